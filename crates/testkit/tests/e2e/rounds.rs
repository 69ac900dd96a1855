//! Sixty-four requests at once with the same refresh token, two hundred times over, at the built program.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sallyport_testkit::http::{Answer, Connection, Request};
use sallyport_testkit::mcp::Modern;
use sallyport_testkit::oauth::{OauthClient, Tokens};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::Scene;

/// How many requests bring the same token at once.
const AT_ONCE: usize = 64;

/// How often.
const ROUNDS: usize = 200;

/// In every so manieth round of the second test the gateway is killed.
const KILLED: usize = 20;

/// What all of them may take together, on a machine that has other things to do.
const TIME: Duration = Duration::from_secs(300);

/// The requests of one round, each over a connection of its own that outlives the round.
struct Crowd(Vec<Connection>);

impl Crowd {
    async fn gather(scene: &Scene) -> anyhow::Result<Self> {
        let mut connections = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            connections.push(scene.gateway.connect().await?);
        }
        Ok(Self(connections))
    }

    /// Everybody asks; `answered` counts.
    fn ask(self, client: &OauthClient, refresh: &str, answered: &watch::Sender<usize>) -> JoinSet<Asked> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client.id.as_str()),
            ("refresh_token", refresh),
        ];
        let request = Request::post("/token").form(&fields);
        let mut asking = JoinSet::new();
        for mut connection in self.0 {
            let (request, answered) = (request.clone(), answered.clone());
            asking.spawn(async move {
                let answer = connection.ask(&request).await;
                answered.send_modify(|count| *count += 1);
                (connection, answer)
            });
        }
        asking
    }
}

type Asked = (Connection, anyhow::Result<Answer>);

/// The one refresh token that all these answers hold.
fn successor(answers: Vec<Answer>) -> anyhow::Result<Tokens> {
    let mut tokens = Vec::new();
    for answer in answers {
        tokens.push(Tokens::read(answer)?);
    }
    let successors: BTreeSet<&str> = tokens.iter().map(|tokens| tokens.refresh.as_str()).collect();
    anyhow::ensure!(successors.len() == 1, "{} lineages", successors.len());
    tokens.pop().context("somebody was answered")
}

/// A round in which all are answered.
async fn round(crowd: Crowd, client: &OauthClient, refresh: &str) -> anyhow::Result<(Crowd, Tokens)> {
    let asked = crowd
        .ask(client, refresh, &watch::Sender::new(0))
        .join_all()
        .await;
    let (connections, answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let answers = answers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok((Crowd(connections), successor(answers)?))
}

/// A round in which the gateway is killed when `after` have been answered: the token is good for all of them when it is back,
/// and for the same successor.
async fn killed(
    scene: &mut Scene,
    (crowd, after): (Crowd, usize),
    client: &OauthClient,
    refresh: &str,
) -> anyhow::Result<(Crowd, Tokens)> {
    let answered = watch::Sender::new(0);
    let mut count = answered.subscribe();
    let asking = crowd.ask(client, refresh, &answered);
    count.wait_for(|count| *count >= after).await?;
    scene.gateway.kill().await?;
    let before: Vec<Answer> = asking
        .join_all()
        .await
        .into_iter()
        .filter_map(|(_, answer)| answer.ok())
        .collect();
    scene.gateway.serve().await?;
    let crowd = Crowd::gather(scene).await?;
    let (crowd, tokens) = round(crowd, client, refresh).await?;
    if !before.is_empty() {
        anyhow::ensure!(
            successor(before)?.refresh == tokens.refresh,
            "another lineage after the restart"
        );
    }
    Ok((crowd, tokens))
}

async fn works(scene: &Scene, tokens: &Tokens) -> anyhow::Result<()> {
    let mut client = Modern::new(scene.gateway.endpoint("default", &tokens.access), json!({}));
    client.request("tools/list", json!({})).await?.result()?;
    Ok(())
}

/// All rounds; `kills` says whether the gateway is killed in some.
async fn rounds(kills: bool) -> anyhow::Result<()> {
    let mut scene = Scene::demo().await?;
    let (client, mut tokens) = {
        let client = scene.gateway.client().await?;
        let mut browser = scene.gateway.browser()?;
        let resource = scene.gateway.resource("default");
        let login = ("ada", sallyport_testkit::front::PASSWORD);
        let tokens = client.log_in(&mut browser, &resource, login).await?;
        (client, tokens)
    };
    let mut crowd = Crowd::gather(&scene).await?;
    let begin = Instant::now();
    for number in 1..=ROUNDS {
        let refresh = tokens.refresh.clone();
        let done = if kills && number % KILLED == 0 {
            // Anywhere from before the first answer to after the last.
            let after = (number / KILLED * 7) % (AT_ONCE + 1);
            killed(&mut scene, (crowd, after), &client, &refresh).await
        } else {
            round(crowd, &client, &refresh).await
        };
        (crowd, tokens) = done.with_context(|| format!("round {number}"))?;
    }
    let taken = begin.elapsed();
    anyhow::ensure!(taken < TIME, "{taken:?}");
    works(&scene, &tokens).await
}

#[tokio::test]
async fn rf_02_two_hundred_rounds_of_sixty_four_leave_one_lineage_and_nobody_outside() {
    rounds(false).await.unwrap();
}

#[tokio::test]
async fn rf_06_killed_in_between_it_leaves_one_lineage_and_nobody_outside() {
    rounds(true).await.unwrap();
}

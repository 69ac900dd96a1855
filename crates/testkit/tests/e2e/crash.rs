//! `kill -9` of the gateway under load, again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sallyport_testkit::mcp::Modern;
use sallyport_testkit::oauth::Tokens;
use serde_json::{Value, json};

use crate::census::{GONE, Tree};
use crate::load::{Count, Family, Load, Witness};
use crate::support::Scene;

/// From the start of the process until it can serve.
const READY: Duration = Duration::from_secs(1);

/// A call's record is on the disk this long after it was made.
const RECORDED: Duration = Duration::from_millis(100);

const SEEDS: [u64; 5] = [0x5a11, 0x9e37_79b9, 0xdead_beef, 0x1234_5678_9abc, 0x00c0_ffee];

/// What is acknowledged when a round ends: another number for each seed, anywhere between a few and many.
fn instant(seed: u64) -> Count {
    let mixed = (seed ^ (seed >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Count {
        tokens: 5 + (mixed >> 58),
        calls: 10 + (mixed >> 32) % 64,
    }
}

/// How often each action was recorded, by grant and outcome.
type Records = BTreeMap<(String, String, String), usize>;

async fn records(scene: &Scene) -> anyhow::Result<Records> {
    scene
        .gateway
        .run(&["audit", "verify"], "")
        .await
        .context("the chain")?;
    let export = scene.gateway.run(&["audit", "export"], "").await?;
    let mut records = Records::new();
    for line in export.lines() {
        let line: Value = serde_json::from_str(line)?;
        let body = line.get("body").unwrap_or(&Value::Null);
        let text = |name: &str| {
            body.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        *records
            .entry((text("action"), text("outcome"), text("grant")))
            .or_default() += 1;
    }
    Ok(records)
}

fn count(records: &Records, action: &str, outcome: &str, grant: &str) -> usize {
    let key = (action.to_owned(), outcome.to_owned(), grant.to_owned());
    records.get(&key).copied().unwrap_or_default()
}

/// Everything that was acknowledged has its record.
async fn recorded(scene: &Scene, witness: &Witness, killed: Instant) -> anyhow::Result<()> {
    let records = records(scene).await?;
    for family in &witness.families {
        let grant = family.grant()?;
        anyhow::ensure!(
            count(&records, "token_issue", "ok", &grant) == 1,
            "a log-in without its record"
        );
        let (had, acknowledged) = (
            count(&records, "token_refresh", "ok", &grant),
            family.tokens.len() - 1,
        );
        anyhow::ensure!(had >= acknowledged, "{acknowledged} refreshes, {had} records");
    }
    for (grant, calls) in &witness.calls {
        let old = calls.iter().filter(|done| **done + RECORDED <= killed).count();
        let had = count(&records, "tool_call", "started", grant);
        anyhow::ensure!(had >= old, "{old} calls, {had} records");
    }
    Ok(())
}

async fn works(scene: &Scene, tokens: &Tokens) -> anyhow::Result<()> {
    let mut client = Modern::new(scene.gateway.endpoint("default", &tokens.access), json!({}));
    client.request("tools/list", json!({})).await?.result()?;
    Ok(())
}

/// Every token of the family works, as far as the rule of rotation lets it.
async fn alive(scene: &Scene, family: &Family) -> anyhow::Result<()> {
    for tokens in &family.tokens {
        works(scene, tokens).await.context("an access token")?;
    }
    // Whether the last one was rotated in the moment of the kill is not known: either way it is good for one successor.
    let last = family.tokens.last().context("a family has tokens")?;
    let next = Tokens::read(family.client.refresh(&last.refresh).await?).context("the last refresh token")?;
    works(scene, &next).await.context("its access token")?;
    let again = Tokens::read(family.client.refresh(&last.refresh).await?).context("once more")?;
    anyhow::ensure!(again.refresh == next.refresh, "another successor");
    // One that had been rotated before still leads to the successor that was acknowledged.
    if let [.., before, last] = &family.tokens[..] {
        let repeated =
            Tokens::read(family.client.refresh(&before.refresh).await?).context("the one before")?;
        anyhow::ensure!(
            repeated.refresh == last.refresh,
            "another successor of the one before"
        );
    }
    Ok(())
}

/// What a round was like.
#[derive(Debug)]
struct Round {
    /// How long after the kill nothing was left.
    gone: Duration,
    /// How long after its start the gateway could serve again.
    ready: Duration,
    grants: usize,
    refreshes: usize,
    calls: usize,
}

/// One round: load, kill, restart at once while the census goes on, and a look at everything that was acknowledged.
async fn round(scene: &mut Scene, callers: &[Tokens], seed: u64) -> anyhow::Result<Round> {
    let (tree, next) = (Tree::new(), Tree::new());
    scene
        .gateway
        .configure(&format!("servers:\n{}", tree.server("tree")?))?;
    scene.gateway.serve().await?;
    let mut load = Load::start(&scene.gateway, callers);
    load.reach(instant(seed)).await?;
    anyhow::ensure!(
        tree.servers().len() >= 2,
        "every legacy session has a process of its own"
    );
    load.is_over();
    let killed = Instant::now();
    scene.gateway.kill().await?;
    scene
        .gateway
        .configure(&format!("servers:\n{}", next.server("tree")?))?;
    let serving = async {
        let begin = Instant::now();
        scene.gateway.serve().await?;
        Ok(begin.elapsed())
    };
    let (gone, ready) = tokio::try_join!(tree.gone(killed), serving)?;
    let witness = load.witness().await?;
    recorded(scene, &witness, killed).await?;
    for family in &witness.families {
        alive(scene, family).await?;
    }
    let begin = Instant::now();
    scene.gateway.kill().await?;
    next.gone(begin).await?;
    Ok(Round {
        gone,
        ready,
        grants: witness.families.len(),
        refreshes: witness
            .families
            .iter()
            .map(|family| family.tokens.len() - 1)
            .sum(),
        calls: witness.calls.values().map(Vec::len).sum(),
    })
}

#[tokio::test]
async fn killed_under_load_it_leaves_no_process_and_loses_nothing_that_it_acknowledged() {
    let mut scene = Scene::demo().await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let mut callers = Vec::new();
    for user in ["ada", "bob"] {
        callers.push(scene.gateway.log_in(user, "default").await.unwrap());
    }
    scene.gateway.kill().await.unwrap();
    let mut restarts = Vec::new();
    for seed in SEEDS {
        let round = round(&mut scene, &callers, seed)
            .await
            .unwrap_or_else(|error| panic!("seed {seed:#x}: {error:#}\n{}", scene.gateway.log()));
        eprintln!(
            "seed {seed:#x}: {} grants, {} refreshes, {} calls; nothing left after {:?}, ready again after {:?}",
            round.grants, round.refreshes, round.calls, round.gone, round.ready
        );
        assert!(round.gone <= GONE, "{round:?}");
        restarts.push(round.ready);
    }
    // The middle one: other tests may have the machine to themselves for a while.
    restarts.sort_unstable();
    assert!(restarts[restarts.len() / 2] <= READY, "{restarts:?}");
}

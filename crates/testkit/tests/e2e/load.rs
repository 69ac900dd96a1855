//! Everything that clients do at once, and what they were told that it is done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use sallyport_testkit::front::{Front, PASSWORD};
use sallyport_testkit::mcp::{Legacy, Modern};
use sallyport_testkit::oauth::{OauthClient, Tokens};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The tokens of one grant, in the order in which they came.
#[derive(Clone)]
pub(crate) struct Family {
    pub(crate) client: OauthClient,
    pub(crate) tokens: Vec<Tokens>,
}

impl Family {
    /// The id of the grant.
    ///
    /// # Errors
    /// When the access token names none.
    pub(crate) fn grant(&self) -> anyhow::Result<String> {
        grant(self.tokens.first().context("a family has a first token")?)
    }
}

fn grant(tokens: &Tokens) -> anyhow::Result<String> {
    let claims = tokens.claims()?;
    let grant = claims.get("grant").and_then(Value::as_str);
    Ok(grant.context("an access token names its grant")?.to_owned())
}

/// What was acknowledged.
#[derive(Default)]
pub(crate) struct Witness {
    /// When a call's answer had come, by the grant of the caller.
    pub(crate) calls: BTreeMap<String, Vec<Instant>>,
    pub(crate) families: Vec<Family>,
}

impl Witness {
    fn join(&mut self, other: Self) {
        self.families.extend(other.families);
        for (grant, calls) in other.calls {
            self.calls.entry(grant).or_default().extend(calls);
        }
    }
}

/// What every worker knows.
#[derive(Clone)]
struct Work {
    front: Front,
    over: Arc<AtomicBool>,
    count: watch::Sender<Count>,
}

/// How much was acknowledged.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Count {
    pub(crate) tokens: u64,
    pub(crate) calls: u64,
}

impl Work {
    fn issued(&self) {
        self.count.send_modify(|count| count.tokens += 1);
    }

    fn called(&self) {
        self.count.send_modify(|count| count.calls += 1);
    }

    /// The tokens of `user` through `client`, in a new browser.
    async fn log_in(&self, client: &OauthClient, user: &str) -> anyhow::Result<Tokens> {
        let mut browser = self.front.browser()?;
        let resource = self.front.resource("default");
        client.log_in(&mut browser, &resource, (user, PASSWORD)).await
    }

    /// What `step` says, unless it failed because the gateway was killed.
    fn unless_over<T>(&self, step: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        match step {
            Ok(done) => Ok(Some(done)),
            Err(_) if self.over.load(Ordering::Acquire) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Logs in again and again.
    async fn logins(self, user: &'static str) -> anyhow::Result<Witness> {
        let mut witness = Witness::default();
        let client = self.unless_over(self.front.client().await)?;
        while let Some(client) = &client {
            let step = self.log_in(client, user).await;
            let Some(tokens) = self.unless_over(step).context("log in")? else {
                break;
            };
            let (client, tokens) = (client.clone(), vec![tokens]);
            witness.families.push(Family { client, tokens });
            self.issued();
        }
        Ok(witness)
    }

    /// Logs in and refreshes again and again.
    async fn refreshes(self, user: &'static str) -> anyhow::Result<Witness> {
        let first = async {
            let client = self.front.client().await?;
            let tokens = vec![self.log_in(&client, user).await?];
            Ok(Family { client, tokens })
        };
        let Some(mut family) = self.unless_over(first.await)? else {
            return Ok(Witness::default());
        };
        while let Some(last) = family.tokens.last() {
            let step = async { Tokens::read(family.client.refresh(&last.refresh).await?) }.await;
            let Some(tokens) = self.unless_over(step).context("refresh")? else {
                break;
            };
            family.tokens.push(tokens);
            self.issued();
        }
        Ok(Witness {
            families: vec![family],
            ..Witness::default()
        })
    }

    /// Calls again and again.
    async fn calls(self, tokens: Tokens, modern: bool) -> anyhow::Result<Witness> {
        let endpoint = self.front.endpoint("default", &tokens.access);
        let mut done = Vec::new();
        if modern {
            let mut client = Modern::new(endpoint, json!({}));
            loop {
                let step = async {
                    client
                        .call("echo", json!({ "text": "x" }))
                        .await?
                        .text()
                        .map(drop)
                }
                .await;
                if self.unless_over(step).context("a modern call")?.is_none() {
                    break;
                }
                done.push(Instant::now());
                self.called();
            }
        } else {
            let mut session = self.unless_over(Legacy::open(endpoint, "2025-11-25", json!({})).await)?;
            while let Some(session) = &mut session {
                let step = async {
                    session
                        .call("echo", json!({ "text": "x" }))
                        .await?
                        .text()
                        .map(drop)
                }
                .await;
                if self.unless_over(step).context("a legacy call")?.is_none() {
                    break;
                }
                done.push(Instant::now());
                self.called();
            }
        }
        Ok(Witness {
            calls: [(grant(&tokens)?, done)].into(),
            families: Vec::new(),
        })
    }
}

/// Clients of all kinds at work.
pub(crate) struct Load {
    work: Work,
    tasks: JoinSet<anyhow::Result<Witness>>,
}

impl Load {
    /// Puts two log-ins, three refreshing clients and a caller of each era and set of tokens to work.
    pub(crate) fn start(front: &Front, callers: &[Tokens]) -> Self {
        let over = Arc::default();
        let work = Work {
            front: front.clone(),
            over,
            count: watch::Sender::default(),
        };
        let mut tasks = JoinSet::new();
        for user in ["ada", "bob"] {
            tasks.spawn(work.clone().logins(user));
        }
        for user in ["ada", "bob", "bob"] {
            tasks.spawn(work.clone().refreshes(user));
        }
        for tokens in callers {
            for modern in [false, true] {
                tasks.spawn(work.clone().calls(tokens.clone(), modern));
            }
        }
        Self { work, tasks }
    }

    /// Waits until at least so much was acknowledged.
    ///
    /// # Errors
    /// When a worker fails before, or nothing goes on.
    pub(crate) async fn reach(&mut self, least: Count) -> anyhow::Result<()> {
        let mut count = self.work.count.subscribe();
        let enough = |count: &Count| count.tokens >= least.tokens && count.calls >= least.calls;
        let reached = sallyport_testkit::http::in_time("the load", async {
            Ok(count.wait_for(enough).await.map(drop)?)
        });
        tokio::select! {
            reached = reached => reached,
            Some(ended) = self.tasks.join_next() => {
                ended??;
                anyhow::bail!("a worker ended by itself")
            }
        }
    }

    /// From now on failures are expected.
    pub(crate) fn is_over(&self) {
        self.work.over.store(true, Ordering::Release);
    }

    /// What was acknowledged.
    ///
    /// # Errors
    /// When something failed before it was over.
    pub(crate) async fn witness(mut self) -> anyhow::Result<Witness> {
        let mut witness = Witness::default();
        while let Some(ended) = self.tasks.join_next().await {
            witness.join(ended??);
        }
        Ok(witness)
    }
}

//! The gateway's own tokens: got in its own name, as the client that the operator has registered (RFC 6749 §4.4). Nobody
//! connects them, everybody is called for with them, and they are in memory alone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sallyport_core::account::{AccountId, Bearer, NoBearer};
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::{Secret, ServerName, Timestamp};
use sallyport_oauth::server_login::Named;
use sallyport_oauth::server_login::request::own_form;
use sallyport_oauth::server_login::tokens::{self, Tokens};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::using::{AGAIN, unavailable};
use crate::wire::{Body, Failure};
use crate::{Accounts, ServerLogin, lock};

/// A token that is refused so soon after it was got is not refused because it has ended.
const FRESH: Duration = Duration::from_secs(60);

/// The longest statement of another authority, in bytes: what fits into a form.
const MAX_ASSERTION: u64 = 16 * 1024;

/// What is shown as the name of the account in the trail.
const NAME: &str = "gateway";

/// A token that is in use.
#[derive(Clone)]
struct Held {
    /// How it was got.
    login: Arc<ServerLogin>,
    bearer: Arc<Bearer>,
    /// When it was got, when it is to be replaced, and when it ends.
    got: Timestamp,
    due: Timestamp,
    ends: Timestamp,
}

/// Why there is none, and until when nobody asks again.
struct Failed {
    login: Arc<ServerLogin>,
    until: Timestamp,
    why: String,
}

/// All of them, one for each server.
#[derive(Default)]
pub(crate) struct OwnTokens {
    held: Mutex<HashMap<ServerName, Held>>,
    failed: Mutex<HashMap<ServerName, Failed>>,
    last: AtomicU64,
}

impl OwnTokens {
    /// The token, if it is not to be replaced; another one than `refused`.
    fn get(
        &self,
        (server, login): (&ServerName, &ServerLogin),
        refused: Option<u64>,
        now: Timestamp,
    ) -> Option<Arc<Bearer>> {
        let held = lock(&self.held);
        let held = held.get(server).filter(|held| held.due > now)?;
        let newer = refused.is_none_or(|refused| held.bearer.version > refused);
        (newer && held.login.is_like(login)).then(|| Arc::clone(&held.bearer))
    }

    fn held(&self, server: &ServerName, login: &ServerLogin) -> Option<Held> {
        let held = lock(&self.held).get(server).cloned();
        held.filter(|held| held.login.is_like(login))
    }

    fn put(
        &self,
        (server, login): (&ServerName, &Arc<ServerLogin>),
        tokens: &Tokens,
        now: Timestamp,
    ) -> Arc<Bearer> {
        let bearer = Arc::new(Bearer {
            account: id(server),
            version: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            header: Secret::new(format!("Bearer {}", tokens.access.expose())),
        });
        let held = Held {
            login: Arc::clone(login),
            bearer: Arc::clone(&bearer),
            got: now,
            due: tokens.due(now),
            ends: tokens.ends(now),
        };
        lock(&self.held).insert(server.clone(), held);
        lock(&self.failed).remove(server);
        bearer
    }

    fn why_not(&self, server: &ServerName, login: &ServerLogin, now: Timestamp) -> Option<String> {
        let failed = lock(&self.failed);
        let failed = failed.get(server).filter(|failed| failed.until > now)?;
        failed.login.is_like(login).then(|| failed.why.clone())
    }

    fn fail(&self, (server, login): (&ServerName, &Arc<ServerLogin>), why: &str, until: Timestamp) {
        let failed = Failed {
            login: Arc::clone(login),
            until,
            why: why.to_owned(),
        };
        lock(&self.failed).insert(server.clone(), failed);
    }
}

/// The statement of another authority, as it is now.
async fn assertion(file: &Path) -> Result<Secret<String>, Failure> {
    let file = tokio::fs::File::open(file).await;
    read(file.map_err(|error| Failure::Assertion(error.to_string()))?).await
}

async fn read(from: impl AsyncRead + Unpin) -> Result<Secret<String>, Failure> {
    let mut text = String::new();
    let read = from.take(MAX_ASSERTION + 1).read_to_string(&mut text).await;
    let text = Secret::new(text);
    let length = read.map_err(|error| Failure::Assertion(error.to_string()))?;
    let trimmed = text.expose().trim();
    if u64::try_from(length).is_ok_and(|length| length > MAX_ASSERTION) || trimmed.is_empty() {
        return Err(Failure::Assertion("it is empty or too long".to_owned()));
    }
    Ok(Secret::from(trimmed))
}

fn id(server: &ServerName) -> AccountId {
    AccountId::new(format!("{NAME}/{server}"))
}

impl Accounts {
    /// The gateway's own token for the server; another one than `refused`.
    pub(crate) async fn own(
        self: &Arc<Self>,
        server: &ServerName,
        login: &Arc<ServerLogin>,
        refused: Option<u64>,
    ) -> Result<Arc<Bearer>, NoBearer> {
        let now = self.deps.clock.now();
        if let Some(bearer) = self.own.get((server, login), refused, now) {
            return Ok(bearer);
        }
        let (this, login, server) = (Arc::clone(self), Arc::clone(login), server.clone());
        let task = self.deps.control.spawn(async move {
            let turn = this.purse.turn(&id(&server));
            let _mine = turn.lock().await;
            this.got(&server, &login, refused).await
        });
        task.await
            .unwrap_or_else(|error| Err(unavailable(&format!("it was broken off: {error}"))))
    }

    async fn got(
        &self,
        server: &ServerName,
        login: &Arc<ServerLogin>,
        refused: Option<u64>,
    ) -> Result<Arc<Bearer>, NoBearer> {
        let now = self.deps.clock.now();
        if let Some(bearer) = self.own.get((server, login), refused, now) {
            return Ok(bearer);
        }
        let held = self.own.held(server, login);
        let refused = held.as_ref().filter(|held| Some(held.bearer.version) == refused);
        if refused.is_some_and(|held| now.since(held.got) < FRESH) {
            return Err(unavailable("the server refuses even a fresh token"));
        }
        let good = held
            .as_ref()
            .filter(|held| refused.is_none() && held.ends > now)
            .map(|held| Arc::clone(&held.bearer));
        if let Some(why) = self.own.why_not(server, login, now) {
            return good.ok_or_else(|| unavailable(&why));
        }
        match self.get_own(server, login).await {
            Ok(tokens) => {
                let event = Self::event(Action::AccountRenew, Outcome::Ok, server, None);
                self.note(&event.on(NAME));
                Ok(self.own.put((server, login), &tokens, now))
            }
            Err(failure) => {
                tracing::warn!(%server, %failure, "the gateway gets no token of its own for a server");
                let why = failure.words();
                self.own.fail((server, login), &why, now.plus(AGAIN));
                good.ok_or_else(|| unavailable(&why))
            }
        }
    }

    async fn get_own(&self, server: &ServerName, login: &ServerLogin) -> Result<Tokens, Failure> {
        let found = self.discover_own(server, login).await?;
        let client = self.configured(login, &found.issuer.issuer, &found.issuer.methods)?;
        let assertion = match &login.assertion_file {
            Some(file) => Some(assertion(file).await?),
            None => None,
        };
        let form = own_form(&client, assertion.as_ref(), &found.resource, &found.scopes);
        let named = login.named();
        let answer = self
            .ask(Named(&named), &found.issuer.token_endpoint, Body::Form(&form))
            .await?;
        Ok(tokens::read(answer.status, &answer.body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn assertions_at_the_limit_and_past_it() {
        let longest = usize::try_from(MAX_ASSERTION).expect("a size");
        for good in ["a", " a.b.c\n", &"x".repeat(longest)] {
            let read = read(good.as_bytes()).await;
            assert!(read.is_ok_and(|text| text.expose() == good.trim()));
        }
        for bad in ["", " \n", &"x".repeat(longest + 1)] {
            assert!(read(bad.as_bytes()).await.is_err());
        }
    }

    #[test]
    fn a_token_of_ours_is_used_until_it_is_due_and_a_refused_one_no_more() {
        let own = OwnTokens::default();
        let at = Timestamp::from_secs;
        let here = ServerName::parse("docs").expect("a name");
        let other = ServerName::parse("other").expect("a name");
        let tokens = Tokens {
            access: Secret::from("t"),
            refresh: None,
            lifetime: Duration::from_secs(100),
            scopes: None,
        };
        let login = |client: &str| {
            Arc::new(ServerLogin {
                url: url::Url::parse("https://s.test/mcp").expect("a URL"),
                is_certain: true,
                shared: false,
                own: true,
                client_id: Some(client.to_owned()),
                client_secret: Some(Secret::from("s")),
                client_key: None,
                assertion_file: None,
                issuer: Some("https://as.test".to_owned()),
                scopes: Vec::new(),
                users: Vec::new(),
            })
        };
        let (us, them) = (login("us"), login("them"));
        let first = own.put((&here, &us), &tokens, at(0));
        let get = |at: Timestamp, refused| own.get((&here, &us), refused, at);
        assert!(get(at(89), None).is_some() && get(at(90), None).is_none());
        assert!(get(at(1), Some(first.version)).is_none());
        assert!(own.get((&other, &us), None, at(1)).is_none());
        assert!(own.get((&here, &them), None, at(1)).is_none(), "another client's");
        let second = own.put((&here, &us), &tokens, at(1));
        assert!(get(at(2), Some(first.version)).is_some_and(|held| held.version == second.version));
        own.fail((&here, &us), "no", at(10));
        assert!(own.why_not(&here, &us, at(9)).is_some() && own.why_not(&here, &us, at(10)).is_none());
        assert!(own.why_not(&here, &them, at(9)).is_none());
    }
}

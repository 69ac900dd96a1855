//! The documents in which clients describe themselves: fetched over the guarded way out, kept for as long as they say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_core::{ClientId, Timestamp};
use sallyport_net::Reach;
use sallyport_net::egress::{EgressError, Fetched};
use sallyport_oauth::client_document::{self, Answer, DocumentError};
use sallyport_oauth::known_client;
use sallyport_oauth::model::Client;
use sallyport_oauth::rate::Wait;
use sallyport_oauth::registration::Policy;
use thiserror::Error;

use crate::context::Context;
use crate::fetching::{Bounds, Fetching};
use crate::settings::Settings;

/// The most documents that are kept; those that end first go first.
const CAPACITY: usize = 1000;

/// How much of a document is taken, and how long it may take.
const BOUNDS: Bounds = Bounds {
    bytes: client_document::MAX_BYTES,
    time: client_document::MAX_TIME,
};

/// How long a document still counts that cannot be fetched again because its site cannot be reached.
const STALE: Duration = client_document::MAX_AGE;

/// Why there is no client under a URL. The texts are for the log; strangers are told one and the same.
#[derive(Debug, Error)]
pub(crate) enum FindError {
    /// The URL, or what is there.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The operator does not let documents of this host count.
    #[error("documents of this host do not count here")]
    Unlisted,
    /// The document cannot be fetched now.
    #[error(transparent)]
    Unreachable(#[from] EgressError),
    /// Too many were fetched for this peer, or from this host.
    #[error("too many documents were fetched")]
    Throttled(Wait),
}

struct Kept {
    client: Client,
    fetched: Timestamp,
    until: Timestamp,
}

/// The documents of one gateway.
pub(crate) struct Documents {
    fetching: Arc<Fetching>,
    kept: Mutex<HashMap<ClientId, Kept>>,
}

impl Documents {
    pub(crate) fn new(fetching: Arc<Fetching>) -> Self {
        Self {
            fetching,
            kept: Mutex::default(),
        }
    }

    /// The client that the document at `id` describes. Nothing is fetched before URL, host and peer have passed.
    pub(crate) async fn find(&self, context: &Context, id: &ClientId) -> Result<Client, FindError> {
        let url = client_document::url(id)?;
        let listed = context.settings.document_hosts.as_deref();
        if listed.is_some_and(|hosts| !client_document::is_listed(&url, hosts)) {
            return Err(FindError::Unlisted);
        }
        if let Some(client) = self.fresh(id, context.now) {
            return Ok(client);
        }
        let turn = self.fetching.turn(id.as_str());
        let _turn = turn.lock().await;
        if let Some(client) = self.fresh(id, context.now) {
            return Ok(client);
        }
        self.fetching.count(&url, context).map_err(FindError::Throttled)?;
        match self.fetching.fetch(&url, Reach::Public, BOUNDS).await {
            Ok(fetched) => self.judge(id, &fetched, context),
            Err(error) => match self.stale(id, context.now) {
                Some(client) => Ok(client),
                None => self.known(id, error, context),
            },
        }
    }

    /// What comes with the program, where the site cannot be reached. One that is reached and says something else is believed.
    fn known(&self, id: &ClientId, error: EgressError, context: &Context) -> Result<Client, FindError> {
        let Some(body) = known_client::document(id) else {
            return Err(error.into());
        };
        tracing::info!(client = %id, reason = %error, "a client's document comes from this program");
        let answer = Answer {
            status: 200,
            media_type: "application/json",
            encoding: None,
            body: &body,
        };
        self.keep(id, answer, client_document::DEFAULT_AGE, context)
    }

    fn fresh(&self, id: &ClientId, now: Timestamp) -> Option<Client> {
        let kept = lock(&self.kept);
        let found = kept.get(id).filter(|kept| now < kept.until);
        found.map(|kept| kept.client.clone())
    }

    fn stale(&self, id: &ClientId, now: Timestamp) -> Option<Client> {
        let kept = lock(&self.kept);
        let found = kept.get(id).filter(|kept| now.since(kept.fetched) < STALE);
        found.map(|kept| kept.client.clone())
    }

    fn judge(&self, id: &ClientId, fetched: &Fetched, context: &Context) -> Result<Client, FindError> {
        let header = |name| fetched.headers.get(name);
        let answer = Answer {
            status: fetched.status,
            media_type: header("content-type").unwrap_or_default(),
            encoding: header("content-encoding"),
            body: &fetched.body,
        };
        let life = client_document::lifetime(header("cache-control"), header("age"), header("vary"));
        self.keep(id, answer, life, context)
    }

    /// What does not count is not kept, and ends what was kept before.
    fn keep(
        &self,
        id: &ClientId,
        answer: Answer<'_>,
        life: Duration,
        context: &Context,
    ) -> Result<Client, FindError> {
        let scopes = Settings::scopes();
        let policy = Policy {
            private_schemes: &context.settings.private_schemes,
            scopes: &scopes,
            is_operator: false,
        };
        let read = client_document::read(id, answer, policy, context.now);
        let mut kept = lock(&self.kept);
        let client = match read {
            Ok(client) => client,
            Err(error) => {
                kept.remove(id);
                return Err(error.into());
            }
        };
        if kept.len() >= CAPACITY && !kept.contains_key(id) {
            let first = kept
                .iter()
                .min_by_key(|(_, kept)| kept.until)
                .map(|(id, _)| id.clone());
            first.and_then(|first| kept.remove(&first));
        }
        let entry = Kept {
            client: client.clone(),
            fetched: context.now,
            until: context.now.plus(life),
        };
        kept.insert(id.clone(), entry);
        Ok(client)
    }
}

/// A map is consistent after every step of its own, so a thread that died in between has left nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

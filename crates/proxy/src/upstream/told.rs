//! What a server said of itself, and what its session is told: again, too, when it is opened anew.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_mcp::Era;
use sallyport_mcp::capabilities::InitializeResult;
use sallyport_mcp::json::quote_into;
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::method::Method;
use sallyport_net::Worker;

use super::request::RequestError;
use super::slot::Slot;
use super::wire::Wire;

/// What is known of the present session.
#[derive(Default)]
pub(super) struct SessionState {
    pub(super) hello: Option<Arc<InitializeResult>>,
    pub(super) told: Told,
    /// The level that the session was told; told again to a new one.
    pub(super) level: Option<LogLevel>,
}

/// What a server said of itself that is looked at later.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    /// It logs.
    pub(super) logs: bool,
    /// It tells of changes of resources.
    pub(super) subscribes: bool,
}

impl Told {
    pub(super) fn of(hello: &InitializeResult) -> Self {
        let resources = hello.capabilities.resources;
        Self {
            logs: hello.capabilities.logging,
            subscribes: resources.is_some_and(|resources| resources.subscribe),
        }
    }
}

impl Slot {
    /// A new legacy session is told what the old one knew.
    pub(super) async fn restore(&self, wire: &Arc<Wire>) {
        if self.era == Era::Modern {
            return;
        }
        let worker = &self.ground.worker;
        let level = {
            let mut state = self.state();
            let logs = state.told.logs;
            state.level.take_if(|_| !logs);
            state.level
        };
        let mut told = Vec::new();
        if let Some(level) = level {
            told.push((Method::SetLevel, level_params(level)));
        }
        let uris = self.inbox.uris();
        told.extend(
            uris.iter()
                .map(|uri| (Method::ResourcesSubscribe, uri_params(uri))),
        );
        for (method, params) in told {
            if let Err(error) = self.request_on(wire, worker, method, params).await {
                tracing::debug!(server = %self.ground.spec.name, %error, "a new session was not told everything");
                if method == Method::SetLevel && matches!(error, RequestError::Fault(_)) {
                    self.state().level = None;
                }
            }
        }
    }

    /// Whether the present session is to be told of `level`: if it logs at all (P-93), and was not told of that level, where
    /// its client is `alone` there. Clients who share a session filter: there a lower level is enough.
    pub(crate) fn lacks_level(&self, level: LogLevel, alone: bool) -> bool {
        let state = self.state();
        let fits = |present: LogLevel| present == level || (!alone && present < level);
        state.told.logs && !state.level.is_some_and(fits)
    }

    /// Tells the session of a log level, and those that follow it. That it is not taken is no reason not to call: a server
    /// that refuses it is not asked again, one that could not be reached is.
    pub(crate) async fn set_level(self: &Arc<Self>, worker: &Arc<Worker>, level: LogLevel) {
        self.state().level = Some(level);
        let told = self.request(worker, Method::SetLevel, level_params(level)).await;
        if let Err(error) = told {
            tracing::debug!(server = %self.ground.spec.name, %error, "the log level was not taken");
            if matches!(error, RequestError::Fault(_)) {
                self.state().level.take_if(|present| *present == level);
            }
        }
    }

    /// Whether the server of the present session tells of changes of resources.
    pub(crate) fn has_subscriptions(&self) -> bool {
        self.state().told.subscribes
    }

    /// Tells the server that somebody listens to a resource, or nobody any more.
    ///
    /// # Errors
    /// [`RequestError`] when the server does not take it.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        uri: &str,
        on: bool,
    ) -> Result<(), RequestError> {
        let method = if on {
            Method::ResourcesSubscribe
        } else {
            Method::ResourcesUnsubscribe
        };
        self.request(worker, method, uri_params(uri)).await.map(drop)
    }
}

fn level_params(level: LogLevel) -> Bytes {
    format!("{{\"level\":\"{}\"}}", level.as_str()).into()
}

fn uri_params(uri: &str) -> Bytes {
    let mut params = b"{\"uri\":".to_vec();
    quote_into(&mut params, uri);
    params.push(b'}');
    params.into()
}

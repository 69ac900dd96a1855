//! Who makes one request, through which endpoint, and on which side of the eras: handed along the whole path.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use sallyport_core::audit::{Action, Entry, Outcome};
use sallyport_core::policy::Facts;
use sallyport_core::{RequestId, Timestamp};
use sallyport_mcp::capabilities::ClientCapabilities;
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::revision::Era;

use crate::call::Asked;
use crate::exchange::{ClientView, Downstream};
use crate::hub::{ModernEars, SharedEars};
use crate::refusal::Refusal;
use crate::route::{Route, What};
use crate::session::Session;
use crate::standing::Standing;
use crate::world::{self, Endpoint};

/// Who makes a request, and where.
pub(crate) struct Caller {
    /// What it has in common with the requests before it.
    pub(crate) standing: Arc<Standing>,
    /// The request's number.
    pub(crate) request: RequestId,
    /// When its head was read.
    pub(crate) arrived: Timestamp,
    /// The nonce that its next proof shall have, for a client that sends proofs.
    pub(crate) nonce: Option<HeaderValue>,
    /// How often everybody had been called to look whether they may stay, before this caller was let in.
    pub(crate) calls: u64,
}

impl Deref for Caller {
    type Target = Standing;

    fn deref(&self) -> &Standing {
        &self.standing
    }
}

impl Caller {
    /// An entry of this request in the audit trail.
    pub(crate) fn entry(&self, action: Action, outcome: Outcome) -> Entry<'_> {
        Entry {
            action,
            outcome,
            who: Some(self.who()),
            server: None,
            target: None,
            reason: None,
            request: Some(self.request),
            at: None,
        }
    }

    /// The same, at the endpoint as it is once servers that are just starting have had their time.
    pub(crate) async fn settled(self: &Arc<Self>) -> Arc<Self> {
        if self.endpoint.settles.is_none() {
            return Arc::clone(self);
        }
        let endpoint = world::settle(&self.proxy, &self.endpoint).await;
        self.at(endpoint)
    }

    /// The same at another endpoint, or at its own as it is now.
    pub(crate) fn at(&self, endpoint: Arc<Endpoint>) -> Arc<Self> {
        Arc::new(Self {
            standing: Arc::new(self.standing.at(endpoint)),
            request: self.request,
            arrived: self.arrived,
            nonce: None,
            calls: self.calls,
        })
    }

    /// Waits only if what is asked for is not known yet.
    pub(crate) async fn settled_for(self: &Arc<Self>, asked: &Asked) -> Arc<Self> {
        self.settled_with(asked.what, &asked.visible).await
    }

    /// Waits only if there is nothing of this name yet.
    pub(crate) async fn settled_with(self: &Arc<Self>, what: What, visible: &str) -> Arc<Self> {
        if self.endpoint.settles.is_none() || Route::find(&self.endpoint, what, visible).is_some() {
            return Arc::clone(self);
        }
        self.settled().await
    }

    /// What is known of a call with these raw arguments.
    pub(crate) fn facts<'a>(&'a self, arguments: &'a [u8]) -> Facts<'a> {
        Facts {
            arguments,
            clock: &*self.proxy.books.clock,
        }
    }

    /// Records that something was refused.
    pub(crate) fn denied(&self, action: Action, target: &str, reason: &str) {
        let recorded = self.proxy.books.audit.enter(&Entry {
            target: Some(target),
            reason: Some(reason),
            ..self.entry(action, Outcome::Denied)
        });
        // The refusal stands whether or not it can be written down.
        if recorded.is_err() {
            tracing::error!("a refusal could not be recorded: the audit trail cannot be written");
        }
    }
}

/// The client's side of a request.
#[derive(Clone)]
pub(crate) enum Client {
    /// In a session.
    Legacy(Arc<Session>),
    /// On its own.
    Modern(Arc<Modern>),
}

/// What a modern request says of its client.
pub(crate) struct Modern {
    /// What servers may know of it.
    pub(crate) view: ClientView,
    /// What it can do.
    pub(crate) can: ClientCapabilities,
}

impl Client {
    /// What servers may know of the client.
    pub(crate) fn view(&self) -> &ClientView {
        match self {
            Self::Legacy(session) => &session.view,
            Self::Modern(modern) => &modern.view,
        }
    }

    /// The era it speaks.
    pub(crate) fn era(&self) -> Era {
        match self {
            Self::Legacy(_) => Era::Legacy,
            Self::Modern(_) => Era::Modern,
        }
    }

    /// What it can do.
    pub(crate) fn can(&self) -> &ClientCapabilities {
        match self {
            Self::Legacy(session) => &session.ears.can,
            Self::Modern(modern) => &modern.can,
        }
    }

    /// Where a server's words outside of calls go.
    pub(crate) fn ears(&self, caller: &Caller, route: &Route) -> Arc<dyn Downstream> {
        if caller.endpoint.is_shared(&route.server) {
            let sessions = Arc::downgrade(&caller.proxy.sessions);
            return Arc::new(SharedEars {
                hears: caller.proxy.hears(),
                sessions,
            });
        }
        match self {
            Self::Legacy(session) => Arc::clone(&session.ears) as Arc<dyn Downstream>,
            Self::Modern(_) => Arc::new(ModernEars {
                hears: caller.proxy.hears(),
                owner: caller.key.clone(),
            }),
        }
    }

    /// The level of the log messages that a request of this client brings, apart from what the request itself says.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        match self {
            Self::Legacy(session) => session.level(),
            Self::Modern(_) => None,
        }
    }
}

/// The error for a name that is unknown here, forbidden, or gone: always the same (IS-11).
pub(crate) fn unknown(what: crate::route::What, visible: &str, era: Era) -> Refusal {
    use crate::route::What;
    use sallyport_mcp::{error, json};
    match what {
        What::Tool => Refusal::params(format!("Unknown tool: {visible}")),
        What::Prompt | What::PromptArgument => Refusal::params(format!("Unknown prompt: {visible}")),
        What::Resource | What::Skill | What::Directory | What::TemplateVariable => {
            let code = match (what, era) {
                (What::Resource, Era::Legacy) => error::LEGACY_RESOURCE_NOT_FOUND,
                _ => error::INVALID_PARAMS,
            };
            let uri = String::from_utf8(json::quote(visible)).unwrap_or_default();
            Refusal::new(200, code, format!("Resource not found: {visible}"))
                .with(format!("{{\"uri\":{uri}}}"))
        }
    }
}

/// The raw token as bytes of its own.
pub(crate) fn own(raw: Option<&[u8]>) -> Option<Bytes> {
    raw.map(Bytes::copy_from_slice)
}

//! Where a server is, and the part of every request that is always the same.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, header};
use sallyport_core::Secret;
use sallyport_core::fault::Fault;
use sallyport_net::egress::{Egress, EgressError};
use sallyport_net::http1::{Answer, HeaderError, RequestHead, Timeouts, send};
use sallyport_net::{Reach, Target, Worker};
use thiserror::Error;

use crate::spec::ServerLimits;
use crate::upstream::account::{Door, Ticket};

/// `MCP-Protocol-Version`.
pub(super) static VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Session-Id`.
pub(super) static SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Mcp-Method`.
pub(super) static METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`.
pub(super) static NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Last-Event-ID`.
pub(super) static LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Headers that the protocol gives their values; a configured one would contradict them.
const OURS: [&str; 8] = [
    "accept",
    "content-type",
    "content-encoding",
    "mcp-protocol-version",
    "mcp-session-id",
    "mcp-method",
    "mcp-name",
    "last-event-id",
];

/// Why an endpoint cannot be used.
#[derive(Debug, Error)]
pub(crate) enum EndpointError {
    #[error("its URL cannot be used: {0}")]
    Url(#[from] EgressError),
    #[error("its header `{0}` cannot be sent: {1}")]
    Header(String, HeaderError),
    #[error("its header `{0}` is set by the protocol; leave it out")]
    Ours(String),
}

/// A server's endpoint.
pub(crate) struct Endpoint {
    target: Arc<Target>,
    post: RequestHead,
    get: RequestHead,
    timeouts: Timeouts,
    pub(super) message_bytes: usize,
    /// Whether requests are refused for want of an account.
    door: Option<Arc<Door>>,
    /// The account with which requests are made.
    ticket: Option<Ticket>,
}

impl Endpoint {
    /// The endpoint at `url`. Nothing but the configured headers, ours and those of the framing will ever be sent to it
    /// (UC-01, UC-02).
    ///
    /// # Errors
    /// [`EndpointError`]: a wrong configuration.
    pub(crate) fn new(
        egress: &Arc<Egress>,
        url: &url::Url,
        headers: &[(String, Secret<String>)],
        limits: &ServerLimits,
    ) -> Result<Self, EndpointError> {
        let target = egress.target(url, Reach::Operator)?;
        let mut common = RequestHead::new(Method::POST);
        for (name, value) in headers {
            let lower = name.to_ascii_lowercase();
            if OURS.contains(&lower.as_str()) || lower.starts_with("mcp-param-") {
                return Err(EndpointError::Ours(name.clone()));
            }
            common
                .put(name, value.expose().as_bytes())
                .map_err(|error| EndpointError::Header(name.clone(), error))?;
        }
        let ours = |error| EndpointError::Header("accept".to_owned(), error);
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("user-agent"))
        {
            let agent = concat!("sallyport/", env!("CARGO_PKG_VERSION"));
            common.put_known(&header::USER_AGENT, agent).map_err(ours)?;
        }
        let mut get = common.clone().with_method(Method::GET);
        get.put_known(&header::ACCEPT, "text/event-stream")
            .map_err(ours)?;
        let mut post = common;
        post.put_known(&header::ACCEPT, "application/json, text/event-stream")
            .and_then(|()| post.put_known(&header::CONTENT_TYPE, "application/json"))
            .map_err(ours)?;
        Ok(Self {
            target,
            post,
            get,
            timeouts: Timeouts {
                connect: limits.connect,
                first_byte: limits.idle,
                idle: limits.idle,
            },
            message_bytes: limits.message_bytes,
            door: None,
            ticket: None,
        })
    }

    /// Behind this door.
    pub(crate) fn behind(mut self, door: &Arc<Door>) -> Self {
        self.door = Some(Arc::clone(door));
        self
    }

    /// The same place and connections, with an account.
    pub(crate) fn with(&self, ticket: Ticket) -> Self {
        Self {
            target: Arc::clone(&self.target),
            post: self.post.clone(),
            get: self.get.clone(),
            timeouts: self.timeouts,
            message_bytes: self.message_bytes,
            door: None,
            ticket: Some(ticket),
        }
    }

    /// Another endpoint of the same server, sent the same headers.
    ///
    /// # Errors
    /// [`EndpointError`]: the URL is out of reach.
    pub(super) fn elsewhere(&self, url: &url::Url) -> Result<Self, EndpointError> {
        Ok(Self {
            target: self.target.egress().target(url, self.target.reach())?,
            post: self.post.clone(),
            get: self.get.clone(),
            timeouts: self.timeouts,
            message_bytes: self.message_bytes,
            door: self.door.clone(),
            ticket: self.ticket.clone(),
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &url::Url {
        self.target.url()
    }

    /// The head of a POST.
    pub(super) fn post(&self) -> RequestHead {
        self.post.clone()
    }

    /// The head of a GET.
    pub(super) fn get(&self) -> RequestHead {
        self.get.clone()
    }

    /// Sends a request; redirects are answers like any other (UC-03).
    ///
    /// # Errors
    /// A fault tells whether a repetition is safe.
    pub(super) async fn send(
        &self,
        worker: &Worker,
        head: &RequestHead,
        body: &[&[u8]],
    ) -> Result<Answer, Fault> {
        self.send_in(worker, head, body, self.timeouts).await
    }

    async fn send_in(
        &self,
        worker: &Worker,
        head: &RequestHead,
        body: &[&[u8]],
        timeouts: Timeouts,
    ) -> Result<Answer, Fault> {
        if let Some(ticket) = &self.ticket {
            let sending = ticket.send(head, move |head| async move {
                send(worker, &self.target, &head, body, timeouts).await
            });
            // In a box, as whatever not every call needs.
            return Box::pin(sending).await;
        }
        let answer = send(worker, &self.target, head, body, timeouts).await?;
        match &self.door {
            Some(door) if answer.status == 401 => Box::pin(door.refused(answer)).await,
            _ => Ok(answer),
        }
    }

    /// As [`Self::send`], waiting at most `patience` for the head of the answer.
    ///
    /// # Errors
    /// A fault tells whether a repetition is safe.
    pub(super) async fn send_within(
        &self,
        worker: &Worker,
        head: &RequestHead,
        body: &[&[u8]],
        patience: Duration,
    ) -> Result<Answer, Fault> {
        let timeouts = Timeouts {
            connect: self.timeouts.connect.min(patience),
            first_byte: patience,
            ..self.timeouts
        };
        self.send_in(worker, head, body, timeouts).await
    }
}

/// A header that we make, whose value came from a server or was encoded by us.
///
/// # Errors
/// A fault of ours: the value cannot stand in a header.
pub(super) fn put(head: &mut RequestHead, name: &'static HeaderName, value: &str) -> Result<(), Fault> {
    head.put_known(name, value)
        .map_err(|error| Fault::gateway("build the request", error))
}

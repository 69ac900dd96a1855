//! What passes between the fronts (clients) and the upstreams (servers): one model, shaped like the modern protocol.
//!
//! A request is self-contained and is answered by a stream of notifications and one terminal message. JSON stays in the
//! bytes in which it came; who changes something splices.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use sallyport_core::fault::Fault;
use sallyport_core::policy::{Action, Permit};
use sallyport_core::session::SessionNonce;
use sallyport_core::{PrincipalKey, ServerName, SmolStr};
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::revision::Revision;
use tokio::sync::oneshot;

/// What a server may know of the client on whose behalf it is called.
#[derive(Clone, Debug)]
pub struct ClientView {
    /// Whose sessions, processes and state these are.
    pub principal: PrincipalKey,
    /// Tells apart the legacy sessions of one principal; `None` for a modern client, whose links are pooled by principal
    /// and capabilities.
    pub session: Option<Arc<str>>,
    /// Whether the session outlives the process.
    pub lasting: Option<Lasting>,
    /// The revision that the client speaks. A server that speaks the client's era is spoken to in it.
    pub revision: Revision,
    /// `clientInfo`: a raw JSON object.
    pub info: Option<Bytes>,
    /// The client's capabilities: a raw JSON object, `{}` when it has none.
    pub capabilities: Bytes,
}

/// A session that its client can come back to, in this process or another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lasting {
    /// What makes it unique.
    pub nonce: SessionNonce,
    /// Whether its client has come back to it already: it may have been used elsewhere before.
    pub has_come_back: bool,
}

/// One permitted request for one server. It is made from a permit by value and sent by value, once.
#[derive(Debug)]
pub struct OutboundCall {
    /// The server that the permit names.
    pub(crate) server: ServerName,
    /// The MCP method.
    pub(crate) method: &'static str,
    /// The tool, prompt or resource as the server knows it; the source of `Mcp-Name`.
    pub(crate) target: SmolStr,
    /// The raw `params` object. Names in it are the server's own; `_meta` is as the client sent it, without anything
    /// of ours.
    pub(crate) params: Bytes,
    /// The client's raw JSON-RPC id: answers bear it again, whatever id the server saw.
    pub(crate) id: Bytes,
    /// The raw `progressToken` of `_meta`, if any; progress bears it again.
    pub(crate) progress_token: Option<Bytes>,
    /// The level from which on the client wants to be told: a modern client's of this request, a legacy client's of its
    /// session as it is now.
    pub(crate) log_level: Option<LogLevel>,
    /// It makes a task of a legacy server, or is about one.
    pub(crate) is_of_task: bool,
    /// A long result may be passed on while it comes.
    pub(crate) flows: bool,
}

/// The parts of a request besides its permit.
#[derive(Debug)]
pub struct CallParts {
    /// The raw `params` object, names already the server's own.
    pub params: Bytes,
    /// The client's raw JSON-RPC id.
    pub id: Bytes,
    /// The raw `progressToken`.
    pub progress_token: Option<Bytes>,
    /// The modern `logLevel` of `_meta`, or the level of the client's session.
    pub log_level: Option<LogLevel>,
    /// Whether it makes a task of a legacy server, or is about one: all of these take one session or process.
    pub is_of_task: bool,
    /// Whether a long result may be passed on while it comes: as the server says it, word for word.
    pub flows: bool,
}

impl OutboundCall {
    /// Turns a permit into the one call that it allows. Nothing else makes an outbound call.
    pub fn new<A: Action>(permit: Permit<A>, parts: CallParts) -> Self {
        let action = permit.into_action();
        Self {
            server: action.server().clone(),
            method: A::METHOD,
            target: action.target().clone(),
            params: parts.params,
            id: parts.id,
            progress_token: parts.progress_token,
            log_level: parts.log_level,
            is_of_task: parts.is_of_task,
            flows: parts.flows,
        }
    }
}

/// The answer to a call.
pub enum Reply {
    /// One complete JSON-RPC response with the client's id, in the server's era.
    Whole(Bytes),
    /// A response with a result, as the client may have it, that is still coming: only for a call that flows.
    Long(Long),
    /// Messages as they come; the last is [`Message::Terminal`].
    Stream(Pin<Box<dyn Stream<Item = Result<Message, Fault>> + Send>>),
}

/// A message that is still coming. What has come of it is well-formed so far; its last brace comes only when all of it was.
pub struct Long {
    /// The raw id that it bears.
    pub(crate) id: Bytes,
    /// What it begins with.
    pub(crate) begin: Bytes,
    /// The rest; an error when there is no such message after all.
    pub(crate) rest: Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>,
}

impl Long {
    /// The message in one piece.
    ///
    /// # Errors
    /// A fault of the server when there is none.
    pub(crate) async fn whole(mut self) -> Result<Bytes, Fault> {
        let mut message = BytesMut::from(self.begin);
        while let Some(piece) = self.rest.next().await {
            message.extend_from_slice(&piece?);
        }
        Ok(message.freeze())
    }
}

impl fmt::Debug for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Long").finish_non_exhaustive()
    }
}

/// One message from a server about a running call.
#[derive(Debug)]
pub enum Message {
    /// A complete JSON-RPC notification; progress bears the client's token.
    Notification(Bytes),
    /// Progress notifications that came together, in their order.
    Progress(Vec<ProgressNote>),
    /// A question to the client (a legacy server's sampling, elicitation or roots request).
    Question(Question),
    /// The complete JSON-RPC response with the client's id. Nothing follows.
    Terminal(Bytes),
}

/// A progress notification: complete, and with the client's token.
#[derive(Debug)]
pub struct ProgressNote {
    /// The message.
    pub message: Bytes,
    /// How far it says that the call has come, if it says that in a number.
    pub value: Option<f64>,
}

/// A request of a legacy server to the client.
#[derive(Debug)]
pub struct Question {
    /// `sampling/createMessage`, `elicitation/create`, `roots/list` or `ping`-like others.
    pub method: Box<str>,
    /// The raw `params` object, if any.
    pub params: Option<Bytes>,
    /// Where the client's answer goes. Dropped without an answer, the server is told that there is none.
    pub answer: oneshot::Sender<Answered>,
}

/// The client's answer to a question.
#[derive(Debug)]
pub enum Answered {
    /// The raw `result`.
    Result(Bytes),
    /// The raw `error` object.
    Error(Bytes),
}

/// Where goes what a server sends outside of any call of the session or lease.
pub trait Downstream: Send + Sync {
    /// A complete notification: list changes, resource updates, log messages.
    fn notify(&self, server: &ServerName, message: Bytes);

    /// Whether a question outside of any call would reach somebody now. A session that the client has to itself stays open for
    /// that long.
    fn hears(&self) -> bool;

    /// A question outside of any call.
    fn ask(&self, server: &ServerName, question: Question);
}

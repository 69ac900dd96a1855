//! A legacy session at a server.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use sallyport_core::SmolStr;
use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_mcp::capabilities::InitializeResult;
use sallyport_mcp::session::ServerSessionSeal;
use sallyport_mcp::{Era, Revision, error, json};
use sallyport_net::Worker;
use sallyport_net::http1::{Answer, RequestHead};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answer::{HttpError, Refused, json_here, judge, judge_taken};
use super::apart::Running;
use super::endpoint::{Endpoint, SESSION, VERSION, put};
use super::modern::body;
use super::relay::{Call, Home};
use crate::at_servers::Placed;
use crate::exchange::Reply;
use crate::upstream::ground::Ground;
use crate::upstream::inbox::{Inbox, Respond};
use crate::upstream::outgoing::{Logs, Outgoing};
use crate::upstream::presented::Presented;

/// The longest session id that is taken from a server, in bytes.
const SESSION_ID: usize = 1024;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What has become of a session's own stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Hearing {
    /// Nobody has asked for it.
    #[default]
    Unasked,
    /// It is being opened for the first time.
    Opening,
    /// It was opened or refused.
    Tried,
}

/// A session that is open at a server; a server without sessions has one too, without an id.
pub(crate) struct Session {
    pub(super) ground: Arc<Ground>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(crate) inbox: Arc<Inbox>,
    pub(super) home: Arc<Home>,
    /// The tokens of running calls: progress may come on the session's own stream.
    tokens: Mutex<Vec<Bytes>>,
    /// Whether the client can be asked anything.
    pub(super) asks: bool,
    /// Its calls that run, if so.
    pub(super) running: Running,
    /// Heads with the session's id and version.
    pub(super) post: RequestHead,
    pub(super) get: RequestHead,
    id: Option<Box<str>>,
    revision: Revision,
    /// Where the next process finds it.
    placed: OnceLock<Placed>,
    /// Whether the server promised to tell of changes of its lists in this session, which is the gateway's own.
    pub(crate) tells: AtomicBool,
    /// Of the session's own stream.
    pub(super) hearing: watch::Sender<Hearing>,
    /// The server has forgotten the session, or it was closed.
    pub(super) gone: CancellationToken,
}

impl Session {
    /// Opens a session for the client as it is presented: `initialize`, then `notifications/initialized`.
    ///
    /// # Errors
    /// [`HttpError::Refused`] where the server does not know `initialize` here; a fault otherwise.
    pub(crate) async fn open(
        ground: &Arc<Ground>,
        presented: &Presented,
        inbox: Arc<Inbox>,
    ) -> Result<(Arc<Self>, InitializeResult), HttpError> {
        let patience = ground.spec.limits.handshake;
        let opening = Self::handshake(ground, presented, inbox);
        tokio::time::timeout(patience, opening)
            .await
            .map_err(|_| Fault::unreached("open a session", "the server took too long"))?
    }

    async fn handshake(
        ground: &Arc<Ground>,
        presented: &Presented,
        inbox: Arc<Inbox>,
    ) -> Result<(Arc<Self>, InitializeResult), HttpError> {
        let endpoint = ground.endpoint_as(presented.account.as_ref())?;
        let outgoing = Outgoing {
            method: "initialize",
            target: SmolStr::default(),
            params: presented.initialize_params(),
            id: Bytes::from_static(b"0"),
            token: None,
            logs: Logs::None,
            flows: false,
        };
        let call = Call::new(&Home::new(ground), &outgoing, None);
        let pieces = body(call.sent_id(), &outgoing);
        let answer = endpoint.send(&ground.worker, &endpoint.post(), &pieces).await?;
        let id = session_id(&answer)?;
        let got = judge(answer, endpoint.message_bytes, false).await?;
        let hello = introduction(call.reply(got, ()).await?).await?;
        let revision = spoken(&hello.protocol_version)?;
        let session = Arc::new(Self::new(ground, endpoint, inbox, id.as_deref(), revision)?);
        let initialized = error::notification("notifications/initialized", None);
        session.notify(&ground.worker, &initialized).await?;
        ground.counters.links_opened.add();
        Ok((session, hello))
    }

    /// A session that is open already. Whether the server still knows it is to be found out.
    ///
    /// # Errors
    /// A fault of ours: the server cannot be used as it is configured.
    pub(crate) fn again(
        ground: &Arc<Ground>,
        presented: &Presented,
        inbox: &Arc<Inbox>,
        seal: &ServerSessionSeal,
    ) -> Result<Arc<Self>, Fault> {
        let endpoint = ground.endpoint_as(presented.account.as_ref())?;
        let session = Self::new(ground, endpoint, Arc::clone(inbox), Some(&seal.id), seal.revision)?;
        Ok(Arc::new(session))
    }

    fn new(
        ground: &Arc<Ground>,
        endpoint: Arc<Endpoint>,
        inbox: Arc<Inbox>,
        id: Option<&str>,
        revision: Revision,
    ) -> Result<Self, Fault> {
        let mut post = endpoint.post();
        let mut get = endpoint.get();
        for head in [&mut post, &mut get] {
            put(head, &VERSION, revision.as_str())?;
            if let Some(id) = id {
                put(head, &SESSION, id)?;
            }
        }
        Ok(Self {
            ground: Arc::clone(ground),
            endpoint,
            asks: inbox.asks(),
            inbox,
            home: Home::new(ground),
            tokens: Mutex::default(),
            running: Running::default(),
            post,
            get,
            id: id.map(Box::from),
            revision,
            placed: OnceLock::new(),
            tells: AtomicBool::new(false),
            hearing: watch::Sender::default(),
            gone: CancellationToken::new(),
        })
    }

    /// Sends a call and waits for its answer, or the first message of it. `kept` lives as long as the call.
    ///
    /// # Errors
    /// A fault. When the server has forgotten the session, the fault is safe to repeat and [`Self::is_gone`] says so.
    pub(crate) async fn call<K: Send + 'static>(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        outgoing: &Outgoing<'_>,
        kept: K,
    ) -> Result<Reply, Fault> {
        if let Some(method) = self.can_be_asked(outgoing.method) {
            return Box::pin(self.call_asked(worker, (method, outgoing), kept)).await;
        }
        let mut call = Call::new(&self.home, outgoing, Some(self));
        let token = outgoing.token.clone().map(|token| ActiveToken::new(self, token));
        let id = call.sent_id().clone();
        call.begin();
        let pieces = body(&id, outgoing);
        let mut answer = call.sent(self.endpoint.send(worker, &self.post, &pieces).await)?;
        if let Some(body) = json_here(&mut answer, self.endpoint.message_bytes) {
            return call.whole_reply(body);
        }
        Box::pin(self.replied(call, answer, outgoing, (kept, token))).await
    }

    /// Makes a reply of an answer of which more is to come than its head.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn replied<K: Send + 'static>(
        self: &Arc<Self>,
        mut call: Call,
        answer: Answer,
        outgoing: &Outgoing<'_>,
        kept: K,
    ) -> Result<Reply, Fault> {
        let judging = std::pin::pin!(judge(answer, self.endpoint.message_bytes, outgoing.flows));
        match call.within(judging).await? {
            Ok(got) => call.reply(got, kept).await,
            Err(HttpError::Fault(fault)) => Err(fault),
            Err(HttpError::Refused(refused)) => {
                call.settle();
                self.refused(refused, &outgoing.id)
            }
        }
    }

    fn refused(&self, refused: Refused, id: &[u8]) -> Result<Reply, Fault> {
        if self.is_forgotten(&refused) {
            self.gone.cancel();
            return Err(forgotten());
        }
        match &refused.error {
            Some(raw) => Ok(Reply::Whole(error::relay(Some(id), raw))),
            None => Err(refused.into_fault()),
        }
    }

    /// 404 says that the session is gone (2025-11-25, Session Management). Servers that follow the SDK's examples say it
    /// with 400 and an error about the session.
    fn is_forgotten(&self, refused: &Refused) -> bool {
        let says_so = || {
            refused.status == 400
                && refused.code() == Some(-32000)
                && refused.message().to_ascii_lowercase().contains("session")
        };
        self.id.is_some() && (refused.status == 404 || says_so())
    }

    /// Sends a notification or an answer.
    ///
    /// # Errors
    /// A fault when the server does not take it.
    pub(crate) async fn notify(&self, worker: &Worker, message: &[u8]) -> Result<(), Fault> {
        let answer = self.endpoint.send(worker, &self.post, &[message]).await?;
        match judge_taken(answer).await {
            Ok(()) => Ok(()),
            Err(HttpError::Fault(fault)) => Err(fault),
            Err(HttpError::Refused(refused)) if self.is_forgotten(&refused) => {
                self.gone.cancel();
                Err(forgotten())
            }
            Err(HttpError::Refused(refused)) => Err(refused.into_fault()),
        }
    }

    /// Tells the server that a call is not wanted any more, without waiting.
    pub(super) fn cancel(self: &Arc<Self>, id: &[u8]) {
        let mut params = b"{\"requestId\":".to_vec();
        params.extend_from_slice(id);
        params.extend_from_slice(b",\"reason\":\"no longer wanted\"}");
        self.post_soon(error::notification("notifications/cancelled", Some(&params)));
    }

    fn post_soon(self: &Arc<Self>, message: Bytes) {
        let session = Arc::clone(self);
        self.ground.tasks.spawn(async move {
            let sent = session.notify(&session.ground.worker, &message);
            match tokio::time::timeout(GOODBYE, sent).await {
                Ok(Err(fault)) if !session.is_gone() => {
                    tracing::debug!(server = %session.ground.spec.name, %fault, "a message was not taken");
                }
                _ => {}
            }
        });
    }

    /// What the server calls it.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What was negotiated.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Whose it is.
    pub(crate) fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// The next process finds it there.
    pub(crate) fn stays_in(&self, placed: Placed) {
        // A session is put in its place once.
        let _ = self.placed.set(placed);
    }

    /// Whether the session cannot be used any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Becomes ready when the session cannot be used any more.
    pub(crate) async fn wait_gone(&self) {
        self.gone.cancelled().await;
    }

    /// Ends the session at the server too, if it is still there, unless the next process goes on with it.
    pub(crate) async fn close(&self) {
        if self.is_gone() {
            return;
        }
        self.gone.cancel();
        self.inbox.forget_questions();
        if let Some(placed) = self.placed.get() {
            if self.ground.is_stopping() {
                return;
            }
            placed.ends();
        }
        if self.id.is_some() {
            let head = self.get.clone().with_method(Method::DELETE);
            let sent = self
                .endpoint
                .send_within(&self.ground.worker, &head, &[], GOODBYE);
            // 405 means that the server does not end sessions on demand; nothing else can be done about others.
            let _farewell = tokio::time::timeout(GOODBYE, sent).await;
        }
    }

    /// Whether progress with this raw token belongs to a running call.
    pub(super) fn has_token(&self, token: &[u8]) -> bool {
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|active| active == token)
    }
}

/// Takes answers back to a session's server.
pub(super) struct Answers(pub(super) Arc<Session>);

impl Respond for Answers {
    fn respond(&self, message: Bytes) {
        self.0.post_soon(message);
    }
}

/// The token of a running call.
pub(super) struct ActiveToken {
    session: Arc<Session>,
    token: Bytes,
}

impl ActiveToken {
    pub(super) fn new(session: &Arc<Session>, token: Bytes) -> Self {
        let mut tokens = session.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(token.clone());
        drop(tokens);
        Self {
            session: Arc::clone(session),
            token,
        }
    }
}

impl Drop for ActiveToken {
    fn drop(&mut self) {
        let mut tokens = self.session.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = tokens.iter().position(|token| *token == self.token) {
            tokens.swap_remove(at);
        }
    }
}

/// A request was not looked at because its session is gone.
fn forgotten() -> Fault {
    Fault::new(
        Blame::Upstream,
        Retry::Safe,
        "use a session",
        "the server has forgotten the session",
    )
}

/// The session id of an answer to `initialize`: visible ASCII (2025-03-26, Session Management).
fn session_id(answer: &Answer) -> Result<Option<Box<str>>, Fault> {
    let mut values = answer.headers.all("mcp-session-id");
    let (first, second) = (values.next(), values.next());
    let Some(first) = first else {
        return Ok(None);
    };
    let visible = (1..=SESSION_ID).contains(&first.len()) && first.iter().all(|b| matches!(b, 0x21..=0x7e));
    let text = std::str::from_utf8(first)
        .ok()
        .filter(|_| visible && second.is_none());
    text.map(|text| Some(text.into()))
        .ok_or_else(|| Fault::upstream("open a session", "the server's session id cannot be used"))
}

/// The result of `initialize`.
async fn introduction(reply: Reply) -> Result<InitializeResult, Fault> {
    let message = crate::upstream::reply::terminal(reply).await?;
    let result = json::find(&message, "result")
        .ok_or_else(|| Fault::upstream("open a session", "the server refused `initialize`"))?;
    InitializeResult::parse(result).map_err(|error| Fault::upstream("open a session", error))
}

/// The version that the server chose, if it is a legacy one that is spoken here.
pub(crate) fn spoken(version: &str) -> Result<Revision, Fault> {
    Revision::parse(version)
        .filter(|revision| revision.era() == Era::Legacy)
        .ok_or_else(|| {
            Fault::upstream(
                "open a session",
                "the server chose a revision that is not spoken here",
            )
        })
}

//! What a legacy server says outside of the answer to a call: questions to the client, and news.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sallyport_mcp::error::{self, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND};
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Envelope, Key, MetaKey};
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::method::Method;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::changes::Changed;
use super::ground::Ground;
use super::mailbox::{Delivery, Mailbox};
use super::presented::Declared;
use crate::exchange::{Answered, Downstream, Message, Question};

/// Questions of one session or process that wait for answers.
pub(crate) const QUESTIONS: usize = 64;

/// Takes an answer back to the server that asked.
pub(crate) trait Respond: Send + Sync {
    /// Sends a complete JSON-RPC response, without waiting.
    fn respond(&self, message: Bytes);
}

/// The place where one session's or process's messages outside of calls arrive.
pub(crate) struct Inbox {
    ground: Arc<Ground>,
    /// What the server was told that its client can do.
    declared: Declared,
    listeners: Mutex<Listeners>,
    /// Open questions by the server's raw id.
    questions: Mutex<HashMap<Bytes, AbortHandle>>,
}

#[derive(Default)]
struct Listeners {
    last: u64,
    list: Vec<Listener>,
}

struct Listener {
    id: u64,
    to: Arc<dyn Downstream>,
    /// Whether it takes questions and log messages: the one client whose session this is.
    is_client: bool,
    uris: HashSet<Box<str>>,
}

impl Inbox {
    pub(crate) fn new(ground: Arc<Ground>, declared: Declared) -> Arc<Self> {
        Arc::new(Self {
            ground,
            declared,
            listeners: Mutex::default(),
            questions: Mutex::default(),
        })
    }

    /// Adds a listener for updates of resources; the one client of the session gets everything else too.
    pub(crate) fn attach(self: &Arc<Self>, to: Arc<dyn Downstream>, is_client: bool) -> Attached {
        let mut listeners = self.listeners();
        listeners.last += 1;
        let id = listeners.last;
        listeners.list.push(Listener {
            id,
            to,
            is_client,
            uris: HashSet::new(),
        });
        drop(listeners);
        Attached {
            inbox: Arc::clone(self),
            id,
        }
    }

    /// Every resource that somebody listens to.
    pub(crate) fn uris(&self) -> HashSet<Box<str>> {
        let listeners = self.listeners();
        listeners
            .list
            .iter()
            .flat_map(|listener| listener.uris.iter().cloned())
            .collect()
    }

    /// Takes a notification that belongs to no call.
    pub(crate) fn notification(&self, envelope: &Envelope<'_>, bytes: &Bytes) {
        match envelope.called() {
            Method::ToolsChanged | Method::PromptsChanged | Method::ResourcesChanged => {
                if let Some(changed) = Changed::of(envelope.called()) {
                    self.ground.changes.add(changed);
                }
            }
            Method::ResourceUpdated => {
                let uri = envelope.params.as_ref().and_then(|params| params.uri());
                let uri = uri.map(|text| text.value).unwrap_or_default();
                self.tell(bytes, |listener| listener.uris.contains(&*uri));
            }
            Method::Progress if is_of_task(envelope) => self.tell_anyone(bytes),
            Method::LogMessage | Method::Progress => self.tell(bytes, |listener| listener.is_client),
            // By its id each knows whether it is meant.
            Method::ElicitationComplete => self.tell(bytes, |_| true),
            Method::Cancelled => self.withdraw(envelope),
            Method::TaskStatus => self.tell_anyone(bytes),
            _ => self.ground.counters.foreign_messages.add(),
        }
    }

    /// Whether a server can have any question for the client.
    pub(crate) fn asks(&self) -> bool {
        !self.declared.is_empty()
    }

    /// Takes a request of a conversation. It goes to the call that runs alone, else to the session's client, else it is
    /// refused.
    pub(crate) fn request(
        self: &Arc<Self>,
        envelope: &Envelope<'_>,
        sole: Option<&Mailbox>,
        to: &Arc<dyn Respond>,
    ) {
        let open = sole.map(|mailbox| mailbox.questions().open());
        let whom = match sole {
            Some(mailbox) => Whom::Call(mailbox),
            None => self.client().map_or(Whom::Nobody, Whom::Client),
        };
        self.put(envelope, whom, open, to);
    }

    /// Takes a request that came on a session's own stream while these calls ran. It goes to the session's client if that
    /// listens, else to the call that runs alone; which one of several it is about nobody knows. The server is silent with
    /// reason in each of them until it is answered.
    pub(crate) fn request_apart(
        self: &Arc<Self>,
        envelope: &Envelope<'_>,
        running: &[Mailbox],
        to: &Arc<dyn Respond>,
    ) {
        let client = self.client();
        let asks = self.declared.allows(envelope.called(), envelope.params_raw());
        if client.is_none() && !running.is_empty() && asks && !is_of_task(envelope) {
            self.ground.has_asked_apart();
        }
        let open: Vec<_> = running.iter().map(|call| call.questions().open()).collect();
        let whom = match (client, running) {
            (Some(client), _) if client.hears() => Whom::Client(client),
            (_, [sole]) => Whom::Call(sole),
            (Some(client), _) => Whom::Client(client),
            (None, _) => Whom::Nobody,
        };
        self.put(envelope, whom, open, to);
    }

    /// Puts a question; `open` is kept until it is answered. One about a task goes to whoever has the task, which may be
    /// anyone who listens.
    fn put(
        self: &Arc<Self>,
        envelope: &Envelope<'_>,
        whom: Whom<'_>,
        open: impl Send + 'static,
        to: &Arc<dyn Respond>,
    ) {
        let of_task = is_of_task(envelope);
        let whom = match whom {
            _ if of_task => self.anyone().map_or(Whom::Nobody, Whom::Client),
            Whom::Nobody if envelope.called() != Method::Ping => return self.refuse_unasked(envelope, to),
            whom => whom,
        };
        let open = (!of_task).then_some(open);
        let Some(question) = self.question(envelope, open, to) else {
            return;
        };
        match whom {
            Whom::Call(mailbox) => {
                if mailbox.deliver(Message::Question(question)) != Delivery::Taken {
                    self.ground.counters.slow_readers.add();
                }
            }
            Whom::Client(client) => client.ask(&self.ground.spec.name, question),
            Whom::Nobody => {}
        }
    }

    /// A question that belongs to no call has nobody to answer it: only legacy sessions have a client outside of calls.
    fn refuse_unasked(&self, envelope: &Envelope<'_>, to: &Arc<dyn Respond>) {
        self.ground.counters.foreign_messages.add();
        let Some(id) = envelope.id_raw() else { return };
        let (code, text) = if self.declared.allows(envelope.called(), envelope.params_raw()) {
            (INVALID_PARAMS, "the request belongs to no running call")
        } else {
            (METHOD_NOT_FOUND, "the client did not declare this capability")
        };
        to.respond(error::message(Some(id), code, text, None));
    }

    /// Tells something of a task. Whose task it is, is known by its id: one listener is enough.
    fn tell_anyone(&self, bytes: &Bytes) {
        if let Some(first) = self.anyone() {
            first.notify(&self.ground.spec.name, bytes.clone());
        }
    }

    /// Whether it is the session of one client.
    pub(crate) fn has_client(&self) -> bool {
        self.client().is_some()
    }

    /// The one client whose session this is.
    fn client(&self) -> Option<Arc<dyn Downstream>> {
        self.listener(|listener| listener.is_client)
    }

    /// The session's client, else whoever listens.
    fn anyone(&self) -> Option<Arc<dyn Downstream>> {
        self.client().or_else(|| self.listener(|_| true))
    }

    fn listener(&self, wanted: impl Fn(&Listener) -> bool) -> Option<Arc<dyn Downstream>> {
        let listeners = self.listeners();
        let found = listeners.list.iter().find(|listener| wanted(listener));
        found.map(|listener| Arc::clone(&listener.to))
    }

    /// Makes a question of a request; `None` when it was answered here. `open` is kept until it is answered.
    pub(crate) fn question(
        self: &Arc<Self>,
        envelope: &Envelope<'_>,
        open: impl Send + 'static,
        to: &Arc<dyn Respond>,
    ) -> Option<Question> {
        let id = Bytes::copy_from_slice(envelope.id_raw()?);
        let method = envelope.called();
        let params = envelope.params_raw();
        if method == Method::Ping {
            to.respond(error::result(&id, b"{}"));
            return None;
        }
        if !self.declared.allows(method, params) {
            self.ground.counters.foreign_messages.add();
            let text = "the client did not declare this capability";
            to.respond(error::message(Some(&id), METHOD_NOT_FOUND, text, None));
            return None;
        }
        if self.questions().len() >= QUESTIONS {
            let text = "too many questions are open";
            to.respond(error::message(Some(&id), INTERNAL_ERROR, text, None));
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let (inbox, server) = (Arc::clone(self), Arc::clone(to));
        let key = id.clone();
        let task = self.ground.tasks.spawn(async move {
            let _open = open;
            let message = answer_of(&id, method, answered.await.ok());
            inbox.questions().remove(&id);
            server.respond(message);
        });
        self.questions().insert(key, task.abort_handle());
        Some(Question {
            method: envelope.method_name().into(),
            params: params.map(Bytes::copy_from_slice),
            answer,
        })
    }

    /// The server takes a question back: whoever holds it finds that nobody waits for the answer.
    fn withdraw(&self, envelope: &Envelope<'_>) {
        let id = envelope
            .params
            .as_ref()
            .and_then(|params| params.get(Key::RequestId));
        if let Some(task) = id.and_then(|id| self.questions().remove(id)) {
            task.abort();
        }
    }

    /// The session or process is gone, and with it its questions.
    pub(crate) fn forget_questions(&self) {
        for (_, task) in self.questions().drain() {
            task.abort();
        }
    }

    fn tell(&self, bytes: &Bytes, wanted: impl Fn(&Listener) -> bool) {
        let told: Vec<_> = self
            .listeners()
            .list
            .iter()
            .filter(|listener| wanted(listener))
            .map(|listener| Arc::clone(&listener.to))
            .collect();
        for downstream in told {
            downstream.notify(&self.ground.spec.name, bytes.clone());
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn questions(&self) -> MutexGuard<'_, HashMap<Bytes, AbortHandle>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who gets a question.
enum Whom<'a> {
    /// The call that it is about.
    Call(&'a Mailbox),
    /// Whoever listens outside of calls.
    Client(Arc<dyn Downstream>),
    /// There is none.
    Nobody,
}

/// A listener; it ends when dropped.
pub(crate) struct Attached {
    inbox: Arc<Inbox>,
    id: u64,
}

impl Attached {
    /// Whether it listens to this session or process.
    pub(crate) fn is_at(&self, inbox: &Arc<Inbox>) -> bool {
        Arc::ptr_eq(&self.inbox, inbox)
    }

    /// Listens to a resource; true if nobody else did.
    pub(crate) fn subscribe(&self, uri: &str) -> bool {
        self.first_or_last(uri, |uris| {
            uris.insert(uri.into());
        })
    }

    /// Listens no longer; true if nobody else does.
    pub(crate) fn unsubscribe(&self, uri: &str) -> bool {
        self.first_or_last(uri, |uris| {
            uris.remove(uri);
        })
    }

    /// Changes this listener's resources; true if no other one has `uri` among its own.
    fn first_or_last(&self, uri: &str, change: impl FnOnce(&mut HashSet<Box<str>>)) -> bool {
        let mut listeners = self.inbox.listeners();
        if let Some(own) = listeners.list.iter_mut().find(|l| l.id == self.id) {
            change(&mut own.uris);
        }
        !listeners
            .list
            .iter()
            .any(|listener| listener.id != self.id && listener.uris.contains(uri))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.inbox.listeners().list.retain(|l| l.id != self.id);
    }
}

/// Whether a message is about a task that a call has become (2025-11-25, Related Task Metadata).
pub(crate) fn is_of_task(envelope: &Envelope<'_>) -> bool {
    let meta = envelope.meta();
    meta.is_some_and(|meta| meta.get(MetaKey::RelatedTask).is_some())
}

/// The level of a log message.
pub(crate) fn level_of(envelope: &Envelope<'_>) -> Option<LogLevel> {
    let text = envelope.params.as_ref()?.text(Key::Level)?;
    LogLevel::parse(&text.value)
}

/// The response that a server gets. Elicitations have a way of saying that there is no answer, the others have not.
fn answer_of(id: &[u8], method: Method, answered: Option<Answered>) -> Bytes {
    match answered {
        Some(Answered::Result(raw)) if json::is_object(&raw) => error::result(id, &raw),
        Some(Answered::Error(raw)) if json::is_object(&raw) => error::relay(Some(id), &raw),
        _ if method == Method::ElicitationCreate => error::result(id, b"{\"action\":\"cancel\"}"),
        _ => error::message(Some(id), INTERNAL_ERROR, "the client gave no answer", None),
    }
}

//! The place of one session or conversation: opened when it is first needed, and again when it has ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use sallyport_core::fault::{Blame, Fault};
use sallyport_mcp::Era;
use sallyport_mcp::capabilities::{InitializeResult, ServerCapabilities};
use sallyport_mcp::method::Method;
use sallyport_net::Worker;
use tokio::time::{Instant, sleep};

use super::backoff::Breaker;
use super::conversation::{Conversation, introduce, open};
use super::ground::Ground;
use super::http::{HttpError, Session, sse};
use super::inbox::Inbox;
use super::presented::Presented;
use super::request::{RequestError, own, result};
use super::told::{SessionState, Told};
use super::wire::Wire;
use crate::at_servers::Place;
use crate::spec::{HttpForm, Transport};

/// A wait for the next attempt that a call sits out; longer ones fail it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What ended earlier than this after it was opened has failed.
const LIVED: Duration = Duration::from_secs(10);

/// Where a session or conversation is, or will be.
pub(crate) struct Slot {
    pub(crate) ground: Arc<Ground>,
    pub(crate) era: Era,
    pub(crate) presented: Presented,
    pub(crate) inbox: Arc<Inbox>,
    /// Whether the session's own stream is listened to.
    listens: AtomicBool,
    /// Where its session is left for the next process, and may have been left.
    pub(super) place: Option<Arc<Place>>,
    /// Whether its process is a client's, of which there are only so many.
    counts: bool,
    wire: ArcSwapOption<Wire>,
    opening: tokio::sync::Mutex<Opening>,
    state: Mutex<SessionState>,
}

#[derive(Default)]
struct Opening {
    breaker: Breaker,
    opened: Option<Instant>,
    /// The contact with the server that these failures belong to.
    contact: u64,
}

impl Opening {
    /// Forgets what failed before the server came back: whoever tried in vain must not wait longer than others.
    fn notice(&mut self, contact: u64) {
        if self.contact != contact {
            *self = Self {
                contact,
                ..Self::default()
            };
        }
    }
}

impl Slot {
    /// A place where nothing is open yet. `listens` says whether the session's own stream is opened with it; that of a
    /// client that can be asked is in any case.
    pub(crate) fn new(ground: &Arc<Ground>, era: Era, presented: Presented, listens: bool) -> Arc<Self> {
        Self::make(ground, (era, presented, None), listens, true)
    }

    /// The place of a legacy client's session, which may have been opened by another process.
    pub(crate) fn of_session(
        ground: &Arc<Ground>,
        presented: Presented,
        place: Option<Arc<Place>>,
    ) -> Arc<Self> {
        Self::make(ground, (Era::Legacy, presented, place), true, true)
    }

    /// The gateway's own, in which nothing is open yet.
    pub(crate) fn own(ground: &Arc<Ground>, era: Era) -> Arc<Self> {
        Self::make(ground, (era, Presented::gateway(), None), true, false)
    }

    fn make(
        ground: &Arc<Ground>,
        (era, presented, place): (Era, Presented, Option<Arc<Place>>),
        listens: bool,
        counts: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            inbox: Inbox::new(Arc::clone(ground), presented.declared.clone()),
            ground: Arc::clone(ground),
            era,
            presented,
            place,
            listens: AtomicBool::new(listens),
            counts,
            wire: ArcSwapOption::empty(),
            opening: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// Puts in what was opened elsewhere.
    pub(crate) fn fill(&self, wire: Wire, hello: Option<InitializeResult>) {
        if let Some(hello) = hello {
            self.met(hello);
        }
        let wire = Arc::new(wire);
        self.ground.opened(&wire);
        self.wire.store(Some(wire));
    }

    fn met(&self, hello: InitializeResult) {
        let mut state = self.state();
        state.told = Told::of(&hello);
        state.hello = Some(Arc::new(hello));
    }

    /// What the server said when the session that is gone on with was opened.
    pub(super) fn was_told(&self, told: Told) {
        self.state().told = told;
    }

    /// What the server said when the present session was opened.
    pub(crate) fn hello(&self) -> Option<Arc<InitializeResult>> {
        self.state().hello.clone()
    }

    /// The open session or conversation. Opening it goes on if the caller leaves, and happens once however many wait.
    ///
    /// # Errors
    /// A fault that is safe to repeat: nothing of a call was sent.
    pub(crate) async fn wire(self: &Arc<Self>) -> Result<Arc<Wire>, Fault> {
        if let Some(wire) = self.alive() {
            return Ok(wire);
        }
        let slot = Arc::clone(self);
        let opening = self.ground.tasks.spawn(async move { slot.open().await });
        opening
            .await
            .unwrap_or_else(|error| Err(Fault::gateway("open a session", error)))
    }

    /// The open session or conversation, if there is one.
    pub(crate) fn alive(&self) -> Option<Arc<Wire>> {
        self.wire.load_full().filter(|wire| wire.is_alive())
    }

    /// What `use_it` makes of the open conversation, if there is one; without counting one more who holds on to it.
    pub(crate) fn conversation<T>(&self, use_it: impl FnOnce(&Arc<Conversation>) -> T) -> Option<T> {
        match self.wire.load().as_deref()? {
            Wire::Conversation(conversation) if conversation.is_alive() => Some(use_it(conversation)),
            Wire::Conversation(_) | Wire::Session(_) => None,
        }
    }

    /// Whether it is the place of a session in which no call runs that may be asked about.
    pub(crate) fn is_quiet(&self) -> bool {
        match self.alive().as_deref() {
            Some(Wire::Session(session)) => session.is_quiet(),
            Some(Wire::Conversation(_)) => false,
            None => !self.ground.converses(),
        }
    }

    async fn open(self: &Arc<Self>) -> Result<Arc<Wire>, Fault> {
        let mut opening = self.opening.lock().await;
        if let Some(wire) = self.alive() {
            return Ok(wire);
        }
        if self.ground.is_closed() {
            return Err(removed());
        }
        opening.notice(self.ground.contacts());
        if let Some(opened) = opening.opened.take() {
            let failed = self
                .wire
                .load()
                .as_ref()
                .is_none_or(|wire| !wire.was_told_to_end());
            if failed && opened.elapsed() < LIVED {
                opening.breaker.failed(&*self.ground.deps.random);
            } else {
                opening.breaker.succeeded();
            }
        }
        self.wait_turn(&opening.breaker).await?;
        match self.connect().await {
            Ok(wire) if self.ground.is_closed() => {
                wire.close().await;
                Err(removed())
            }
            Ok(wire) => {
                self.ground.started(true);
                opening.opened = Some(Instant::now());
                let wire = Arc::new(wire);
                self.ground.opened(&wire);
                self.wire.store(Some(Arc::clone(&wire)));
                self.restore(&wire).await;
                Ok(wire)
            }
            Err(fault) => {
                // That there is no room says nothing about the server.
                if self.ground.converses() && fault.blame != Blame::Gateway {
                    self.ground.started(false);
                }
                Err(fault)
            }
        }
    }

    /// What cannot be started or connected to is not tried again and again (ST-10). Sessions are cheap to try.
    async fn wait_turn(&self, breaker: &Breaker) -> Result<(), Fault> {
        if !self.ground.converses() {
            return Ok(());
        }
        let starts = self
            .ground
            .starts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wait();
        let wait = breaker.wait().max(starts);
        if wait > PATIENCE {
            let text = format!(
                "it failed lately; the next attempt is in {} s",
                wait.as_secs() + 1
            );
            return Err(Fault::unreached("reach the server", text));
        }
        sleep(wait).await;
        Ok(())
    }

    async fn connect(&self) -> Result<Wire, Fault> {
        let (ground, inbox) = (&self.ground, Arc::clone(&self.inbox));
        let is_http = matches!(ground.spec.transport, Transport::Http { .. });
        if is_http && self.era == Era::Modern {
            return Err(Fault::gateway("open a session", "this server has none"));
        }
        if is_http && !ground.converses() {
            if let Some(session) = self.come_back().await? {
                return Ok(self.heard(session).await);
            }
            match Session::open(ground, &self.presented, Arc::clone(&inbox)).await {
                Ok((session, hello)) => {
                    ground.form.found(HttpForm::Streamable);
                    if !self.counts {
                        session.tells.store(tells(&hello.capabilities), Ordering::Release);
                    }
                    self.leave_behind(&session, &hello);
                    self.met(hello);
                    return Ok(self.heard(session).await);
                }
                // A server of 2024-11-05 may have its stream there (2025-03-26, Backwards Compatibility; P-88).
                Err(HttpError::Refused(refused))
                    if ground.form.get() == HttpForm::Auto && matches!(refused.status, 400 | 404 | 405) =>
                {
                    let opened = sse::open(ground, self.presented.account.as_ref(), inbox).await;
                    let Ok(conversation) = opened else {
                        return Err(refused.into_fault());
                    };
                    let wire = self.introduced(conversation).await?;
                    ground.form.found(HttpForm::Sse);
                    return Ok(wire);
                }
                Err(error) => return Err(error.into_fault()),
            }
        }
        let conversation = if is_http {
            sse::open(ground, self.presented.account.as_ref(), inbox).await?
        } else {
            open(
                ground,
                self.era,
                inbox,
                self.counts.then_some(&self.presented.owner),
            )
            .await?
        };
        match self.era {
            Era::Legacy => self.introduced(conversation).await,
            Era::Modern => Ok(Wire::Conversation(conversation)),
        }
    }

    /// A session that is listened to as far as its client wants it.
    async fn heard(&self, session: Arc<Session>) -> Wire {
        if !self.presented.declared.is_empty() {
            // What is asked there before it is open is lost.
            session.hear().await;
        } else if self.listens.load(Ordering::Acquire) {
            session.listen();
        }
        Wire::Session(session)
    }

    async fn introduced(&self, conversation: Arc<Conversation>) -> Result<Wire, Fault> {
        let hello = introduce(&conversation, &self.presented).await?;
        self.met(hello);
        Ok(Wire::Conversation(conversation))
    }

    /// A request of the gateway's own in the present session.
    ///
    /// # Errors
    /// [`RequestError`].
    pub(crate) async fn request(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        method: Method,
        params: Bytes,
    ) -> Result<Bytes, RequestError> {
        let wire = self.wire().await?;
        match self.request_on(&wire, worker, method, params.clone()).await {
            // The server has forgotten the session, and so has not looked at the request.
            Err(RequestError::Fault(_)) if !wire.is_alive() => {
                let wire = self.wire().await?;
                self.request_on(&wire, worker, method, params).await
            }
            other => other,
        }
    }

    pub(super) async fn request_on(
        &self,
        wire: &Arc<Wire>,
        worker: &Arc<Worker>,
        method: Method,
        params: Bytes,
    ) -> Result<Bytes, RequestError> {
        let params = match self.era {
            Era::Legacy => params,
            Era::Modern => self.presented.modern_params(&params, None),
        };
        let outgoing = own(method.as_str(), params);
        let patience = self.ground.spec.limits.handshake;
        // Boxed: what is rarely needed must not make every call's future large.
        result(Box::pin(wire.call(worker, &outgoing, ())), patience).await
    }

    /// Changes of resources are told on the session's own stream: from the first subscription on it is open.
    ///
    /// # Errors
    /// A fault when there is no session.
    pub(crate) async fn hear(self: &Arc<Self>) -> Result<(), Fault> {
        self.listens.store(true, Ordering::Release);
        if let Wire::Session(session) = &*self.wire().await? {
            session.hear().await;
        }
        Ok(())
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    /// Nobody uses it any more: no link, and no call that still runs.
    fn drop(&mut self) {
        self.inbox.forget_questions();
        if let Some(wire) = self.wire.swap(None) {
            self.ground.tasks.spawn(async move { wire.close().await });
        }
    }
}

/// Whether the server promises to tell of changes of any of its lists.
fn tells(capabilities: &ServerCapabilities) -> bool {
    capabilities.tools == Some(true)
        || capabilities.prompts == Some(true)
        || capabilities
            .resources
            .is_some_and(|resources| resources.list_changed)
}

fn removed() -> Fault {
    Fault::unreached("open a session", "the server is being removed")
}

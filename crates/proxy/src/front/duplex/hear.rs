//! One message: what it is, of which era, and what is done about it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sallyport_mcp::error::{self, INTERNAL_ERROR, INVALID_REQUEST};
use sallyport_mcp::jsonrpc::{self, Envelope, Key, Kind};
use sallyport_mcp::method::Method;
use sallyport_mcp::mirror::{self, HeaderField};
use sallyport_mcp::render;
use sallyport_mcp::revision::Era;
use sallyport_mcp::spoken::Spoken;

use super::super::{era_of, legacy, limits, listen, modern, notifications, share, unreadable};
use super::mouth::Mouth;
use super::{Inner, Manner, batch};
use crate::caller::Caller;
use crate::deliver::{Said, joined};
use crate::notice;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::stream::Feed;
use crate::stream_get::{self, Seat};
use crate::sync::lock;

/// What every message's work shares.
#[derive(Clone)]
pub(super) struct Talk {
    pub(super) inner: Arc<Inner>,
    mouth: Mouth,
    /// Where a session hears what belongs to no request.
    notices: Feed,
}

/// Carries out one message, or one batch.
pub(super) async fn hear(talk: Talk, caller: Arc<Caller>, body: Bytes, is_full: bool) {
    if jsonrpc::is_batch(&body) {
        return batch::hear(&talk, caller, body, is_full).await;
    }
    let envelope = match jsonrpc::scan(&body, &limits(&caller)) {
        Ok(envelope) => envelope,
        Err(error) => return talk.say(unreadable(&error).message(None)).await,
    };
    match envelope.kind {
        Kind::Request => talk.request(&caller, &envelope, &body, is_full).await,
        Kind::Notification => talk.notification(&caller, &envelope, is_full).await,
        Kind::Response => {
            if let Some(session) = talk.inner.session() {
                notifications::response(&session, &envelope, &body);
            }
        }
    }
}

impl Talk {
    pub(super) fn new(inner: Arc<Inner>, mouth: Mouth, notices: Feed) -> Self {
        Self {
            inner,
            mouth,
            notices,
        }
    }

    pub(super) async fn say(&self, message: Bytes) {
        self.mouth.say(message).await;
    }

    /// Answers a request, unless it is cancelled before. `initialize` cannot be (P-66).
    async fn request(&self, caller: &Arc<Caller>, envelope: &Envelope<'_>, body: &Bytes, is_full: bool) {
        let id = share(body, envelope.id_raw().unwrap_or_default());
        let era = match self.admit(envelope, is_full) {
            Ok(era) => era,
            Err(refusal) => return self.say(refusal.message(Some(&id))).await,
        };
        caller.proxy.books.metrics.request(caller.worker.index(), era);
        if era == Era::Legacy && envelope.called() == Method::Initialize {
            return self.initialize(caller, envelope, &id).await;
        }
        let running = self.inner.running.begin(id.clone());
        let answer = async {
            let answered = match era {
                Era::Legacy => self.legacy(caller, envelope, body).await,
                Era::Modern => self.modern(caller, envelope, body, &id).await,
            };
            if let Err(refusal) = answered {
                self.say(refusal.message(Some(&id))).await;
            }
        };
        tokio::select! {
            biased;
            () = running.cancelled() => {}
            () = answer => {}
        }
    }

    /// The era of a request, if it is carried out at all.
    ///
    /// # Errors
    /// It is of the other era than this connection, there are too many, or the gateway stops.
    fn admit(&self, envelope: &Envelope<'_>, is_full: bool) -> Result<Era, Refusal> {
        if self.inner.ending.is_cancelled() {
            return Err(Refusal::new(503, INTERNAL_ERROR, "The gateway stops"));
        }
        if is_full {
            return Err(Refusal::too_many("requests"));
        }
        let called = envelope.called();
        let only_modern = called.from_client(Era::Modern) && !called.from_client(Era::Legacy);
        let era = match era_of(HeaderField::Missing, envelope, Spoken::ALL) {
            Era::Legacy if only_modern => Era::Modern,
            era => era,
        };
        let other = |text| Err(Refusal::new(400, INVALID_REQUEST, text));
        match (self.inner.era(), era) {
            (Some(Era::Legacy), Era::Modern) => other(
                "This connection is for protocol versions with initialize: leave the version out of _meta",
            ),
            (Some(Era::Modern), Era::Legacy) if called == Method::Initialize => {
                other("This connection is for protocol version 2026-07-28, which has no initialize")
            }
            (Some(era), _) => Ok(era),
            (None, era) => Ok(era),
        }
    }

    /// Opens the session of this connection. There is one.
    async fn initialize(&self, caller: &Arc<Caller>, envelope: &Envelope<'_>, id: &Bytes) {
        if !self.inner.open() {
            let text = "initialize has been sent before on this connection";
            return self
                .say(Refusal::new(400, INVALID_REQUEST, text).message(Some(id)))
                .await;
        }
        let opened = legacy::open(caller, envelope, false).await;
        let (session, message) = match opened {
            Ok((session, message)) => (Some(session), message),
            Err(refusal) => (None, refusal.message(Some(id))),
        };
        // Before anything is waited for: from here on the end of the conversation ends the session.
        self.inner.opened(session.clone());
        self.say(message).await;
        if let Some(session) = session {
            session.ears.outbox.connect(self.notices.clone());
        }
    }

    async fn legacy(
        &self,
        caller: &Arc<Caller>,
        envelope: &Envelope<'_>,
        body: &Bytes,
    ) -> Result<(), Refusal> {
        let Some(session) = self.inner.session() else {
            if envelope.called() == Method::Ping {
                let id = envelope.id_raw().unwrap_or_default();
                self.say(error::result(id, render::empty_result(Era::Legacy)))
                    .await;
                return Ok(());
            }
            return Err(Refusal::new(
                400,
                INVALID_REQUEST,
                "Send initialize first, or name a protocol version without sessions in _meta",
            ));
        };
        let said = legacy::request(caller, &session, envelope, body).await;
        self.tell(said).await;
        Ok(())
    }

    async fn modern(
        &self,
        caller: &Arc<Caller>,
        envelope: &Envelope<'_>,
        body: &Bytes,
        id: &Bytes,
    ) -> Result<(), Refusal> {
        let spoken = caller.endpoint.spoken();
        let meta =
            mirror::admit_without_headers(envelope, spoken).map_err(|error| modern::mismatch(&error))?;
        self.inner.settle(Era::Modern);
        if envelope.called() != Method::Listen {
            let said = modern::request(caller, envelope, &meta, body, id).await;
            self.tell(said).await;
            return Ok(());
        }
        let caller = caller.settled().await;
        let wanted = listen::wanted(&caller, envelope, &meta)?;
        let _seat = Seat::take(&caller.proxy, &caller.key, &caller.limits)?;
        let stream = listen::start(&caller, wanted, id.clone()).await;
        self.listen(stream, id).await;
        Ok(())
    }

    /// Bears a listen stream. When the gateway ends it, its response comes first and then the word that it is
    /// cancelled: clients wait for one or the other.
    async fn listen(&self, stream: listen::Stream, id: &[u8]) {
        let listen::Stream {
            first,
            last,
            mut events,
            ends,
            kept,
        } = stream;
        self.say(first).await;
        loop {
            let next = tokio::select! {
                biased;
                () = self.inner.ending.cancelled() => None,
                () = stream_get::any(&ends) => None,
                next = events.next() => next,
            };
            let Some(message) = next else { break };
            self.say(message).await;
        }
        drop(kept);
        self.say(last).await;
        let params = [b"{\"requestId\":".as_slice(), id, b"}"].concat();
        let cancelled = error::notification(Method::Cancelled.as_str(), Some(&params));
        self.say(notice::tagged(&cancelled, id)).await;
    }

    /// Says all that a request is answered with.
    async fn tell(&self, said: Said) {
        let mut messages = match said {
            Said::Message { message, .. } => return self.say(message).await,
            Said::Shared { head, rest } => return self.say(joined(&head, &rest)).await,
            Said::Running(messages) => messages,
        };
        while let Some(out) = messages.next().await {
            for message in out.into_messages().await {
                self.say(message).await;
            }
        }
    }

    /// Notifications are never answered (P-04).
    async fn notification(&self, caller: &Arc<Caller>, envelope: &Envelope<'_>, is_full: bool) {
        if envelope.called() == Method::Cancelled {
            let params = envelope.params.as_ref();
            if let Some(id) = params.and_then(|params| params.get(Key::RequestId)) {
                self.inner.running.cancel(id);
            }
            return;
        }
        if let Some(session) = self.inner.session().filter(|_| !is_full) {
            // Only a server's notification is refused, and there is nobody to tell.
            let _ = notifications::legacy(caller, &session, envelope).await;
        }
    }
}

impl Inner {
    /// The era that everything on this connection has, if that is settled.
    fn era(&self) -> Option<Era> {
        match self.manner {
            Manner::EachMessage => None,
            Manner::FirstMessage(_) => lock(&self.state).era,
            Manner::Legacy => Some(Era::Legacy),
        }
    }

    /// The first request that is understood settles it.
    fn settle(&self, era: Era) {
        lock(&self.state).era.get_or_insert(era);
    }

    /// Begins to open the session. False if there is one.
    fn open(&self) -> bool {
        let mut state = lock(&self.state);
        let is_first = state.session.is_none() && !state.opening;
        state.opening |= is_first;
        is_first
    }

    fn opened(&self, session: Option<Arc<Session>>) {
        let mut state = lock(&self.state);
        state.opening = false;
        if session.is_some() {
            state.era.get_or_insert(Era::Legacy);
        }
        state.session = session;
    }

    /// Whether `initialize` is being answered.
    pub(super) fn is_opening(&self) -> bool {
        lock(&self.state).opening
    }
}

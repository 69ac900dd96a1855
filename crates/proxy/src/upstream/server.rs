//! One configured server: what is known of it, and its clients' links.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sallyport_core::account::AccountId;
use sallyport_core::fault::Fault;
use sallyport_core::{PrincipalKey, ServerName};
use sallyport_mcp::Era;
use sallyport_mcp::log::LogLevel;
use sallyport_net::Worker;
use tokio::sync::watch;

use super::account::Account;
use super::changes::Changed;
use super::counters::Counters;
use super::demo::DemoLink;
use super::detect::OwnSlots;
use super::ground::Ground;
use super::http::Modern;
use super::lanes::Lanes;
use super::legacy::LegacyLink;
use super::link::{Kind, Link};
use super::links::{Links, Part};
use super::modern::{ModernLink, Way};
use super::pools::{Common, Pools};
use super::presented::Presented;
use super::slot::Slot;
use super::stale::Freshness;
use super::state::{ServerState, Spoken, Status};
use crate::at_servers::Place;
use crate::exchange::{ClientView, Downstream};
use crate::spec::{ProcessPer, Transport};

/// One server behind the gateway.
pub struct Upstream {
    pub(crate) ground: Arc<Ground>,
    state: watch::Sender<Arc<ServerState>>,
    spoken: Spoken,
    pub(super) freshness: Freshness,
    links: Links,
    pools: Pools,
    /// The gateway's own session or process of each era; every principal's where the operator says so.
    own: [ArcSwapOption<Slot>; 2],
    making: Mutex<()>,
}

impl Upstream {
    pub(super) fn new(ground: Arc<Ground>) -> Arc<Self> {
        let unknown = Arc::new(ServerState::unknown(ground.spec.name.clone()));
        let links = Links::new(&ground.spec);
        Arc::new(Self {
            ground,
            state: watch::Sender::new(unknown),
            spoken: Spoken::default(),
            freshness: Freshness::default(),
            links,
            pools: Pools::default(),
            own: [ArcSwapOption::empty(), ArcSwapOption::empty()],
            making: Mutex::new(()),
        })
    }

    /// The operator's name for it.
    #[must_use]
    pub fn name(&self) -> &ServerName {
        &self.ground.spec.name
    }

    /// What is known of it now.
    #[must_use]
    pub fn state(&self) -> Arc<ServerState> {
        self.state.borrow().clone()
    }

    /// From now on this is known of it.
    pub(super) fn learn(&self, state: &Arc<ServerState>) {
        self.spoken.set(state.speaks);
        self.state.send_replace(Arc::clone(state));
    }

    /// What happened at it.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.ground.counters
    }

    /// A list was asked for: if what is known is older than the server lets it be kept, it is fetched again. Does not
    /// wait.
    pub fn touch_lists(&self) {
        if self.freshness.is_over() {
            self.ground.changes.add(Changed::LISTS);
        }
    }

    /// The client's use of this server, if there is one that needs nothing more before it can be called through.
    pub(crate) fn ready(&self, view: &ClientView) -> Option<Arc<Link>> {
        if self.asks_for_accounts() {
            return None;
        }
        let era = self.era_at_once(view.revision.era())?;
        self.links.get(view, era, None)
    }

    /// A client's use of this server: one for each legacy session, and one for each modern client and its capabilities.
    /// What `downstream` is given first is what the session's messages go to. Nothing is opened yet; unused links close
    /// by themselves.
    ///
    /// # Errors
    /// A fault that is safe to repeat while the server is out of contact, or has too many clients.
    pub async fn link(
        self: &Arc<Self>,
        _worker: &Arc<Worker>,
        view: &ClientView,
        downstream: Arc<dyn Downstream>,
    ) -> Result<Arc<Link>, Fault> {
        // In a box, and only where the server wants accounts.
        let account = if self.asks_for_accounts() {
            Box::pin(self.ground.door.account_of(&view.principal)).await?
        } else {
            None
        };
        let era = self.era_for(view.revision.era()).await?;
        if let Some(link) = self.links.get(view, era, account.as_ref()) {
            return Ok(link);
        }
        if self.ground.is_closed() {
            return Err(Fault::unreached("open a session", "the server is being removed"));
        }
        let link = self.make((era, account.as_ref()), view, downstream)?;
        self.links.insert(view, &link, account.as_ref())
    }

    /// Why the server cannot be called for want of an account of this principal, if so.
    pub(crate) async fn wants_account(&self, principal: &PrincipalKey) -> Option<Fault> {
        self.ground.door.account_of(principal).await.err()
    }

    /// Whether the server is called with people's accounts.
    pub(crate) fn asks_for_accounts(&self) -> bool {
        self.ground.door.asks()
    }

    /// The level of a legacy session has changed; see [`Link::level_changed`].
    pub(crate) fn level_changed(&self, view: &ClientView, level: LogLevel) {
        if let Some(link) = self.links.present(view) {
            link.level_changed(level);
        }
    }

    /// Closes the links of a legacy session that has ended.
    pub async fn drop_session(&self, view: &ClientView) {
        let gone = self.links.remove(&view.principal, &Part::of(view));
        drop(gone);
    }

    /// The era to speak, if it is known.
    fn era_at_once(&self, client: Era) -> Option<Era> {
        match self.ground.spec.transport {
            Transport::Demo => Some(client),
            _ => self.spoken.get().era_for(client),
        }
    }

    /// The era to speak; waits for the first contact, which is being made.
    async fn era_for(&self, client: Era) -> Result<Era, Fault> {
        if let Some(era) = self.era_at_once(client) {
            return Ok(era);
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| state.status != Status::Connecting);
        let waited = tokio::time::timeout(self.ground.spec.limits.handshake, settled).await;
        let found = match &waited {
            Ok(Ok(state)) => state.speaks.era_for(client),
            _ => None,
        };
        found.ok_or_else(|| Fault::unreached("reach the server", "the server is out of contact"))
    }

    fn make(
        &self,
        (era, account): (Era, Option<&Account>),
        view: &ClientView,
        downstream: Arc<dyn Downstream>,
    ) -> Result<Arc<Link>, Fault> {
        let ground = &self.ground;
        let client = view.revision.era();
        let presented = Presented::client(view, era).with(account.cloned());
        let kind = match (&ground.spec.transport, era) {
            (Transport::Demo, _) => Kind::Demo(DemoLink::new(ground, client)),
            (Transport::Http { .. }, Era::Modern) => {
                let way = Way::Http(Arc::new(Modern::new(ground, account)?));
                Kind::Modern(ModernLink::new(ground, client, presented, way, downstream))
            }
            (_, Era::Modern) => {
                let way = Way::Slot(self.modern_slot(view));
                Kind::Modern(ModernLink::new(ground, client, presented, way, downstream))
            }
            (_, Era::Legacy) => {
                let (lanes, is_client) = self.lanes(view, presented);
                Kind::Legacy(LegacyLink::new(ground, client, lanes, downstream, is_client))
            }
        };
        Ok(Link::new(ground, client, kind, account.cloned()))
    }

    /// Whose conversation with a modern server a client's calls go through. Such a server keeps nothing of its clients
    /// between calls, so that a principal's sessions share one unless the operator says otherwise.
    fn modern_slot(&self, view: &ClientView) -> Arc<Slot> {
        let ground = &self.ground;
        let presented = || Presented::gateway().owned_by(&view.principal);
        let make = || Slot::new(ground, Era::Modern, presented(), false);
        if ground.spec.shared {
            return self.own_slot(Era::Modern);
        }
        if ground.spec.processes.per == ProcessPer::Session && view.session.is_some() {
            return make();
        }
        let common = Common {
            principal: view.principal.clone(),
            introduced: None,
            account: None,
        };
        let lanes = self.pools.get(common, || Lanes::One(make()));
        Arc::clone(lanes.control())
    }

    /// Whose session or conversation with a legacy server a client's calls go through; with it, whether the client is the
    /// only one there.
    fn lanes(&self, view: &ClientView, presented: Presented) -> (Lanes, bool) {
        let ground = &self.ground;
        if ground.spec.shared {
            return (Lanes::One(self.own_slot(Era::Legacy)), false);
        }
        let is_session = view.session.is_some();
        let asks = !presented.declared.is_empty();
        let pooled = ground.spec.processes.per == ProcessPer::Principal;
        if is_session && !pooled {
            let place = self.place(view, presented.account.as_ref());
            return (Lanes::One(Slot::of_session(ground, presented, place)), true);
        }
        let introduced = (presented.revision, presented.declared.spelled_as_one());
        let account = presented.account.clone();
        let make = || {
            if asks {
                Lanes::each(ground, presented)
            } else {
                Lanes::One(Slot::new(ground, Era::Legacy, presented, false))
            }
        };
        if !pooled {
            return (make(), false);
        }
        let common = Common {
            principal: view.principal.clone(),
            introduced: Some(introduced),
            account,
        };
        (self.pools.get(common, make), false)
    }

    /// Where a client's session is left for the next process.
    fn place(&self, view: &ClientView, account: Option<&Account>) -> Option<Arc<Place>> {
        let sessions = self.ground.deps.sessions.as_ref()?;
        let pinned = account.and_then(|account| account.pinned.as_ref());
        let pinned = pinned.map_or("-", AccountId::as_str);
        let print = &self.ground.spec.fingerprint;
        let print: String = print.iter().map(|byte| format!("{byte:02x}")).collect();
        Place::new(sessions, view, self.name(), &format!("{print} {pinned}"))
    }

    /// Closes the gateway's own conversation, where nobody else uses it: what speaks there may be of another time than what
    /// clients speak with.
    pub(super) async fn renew(&self) {
        if self.ground.spec.shared {
            return;
        }
        let [_, modern] = &self.own;
        if let Some(wire) = modern.load_full().and_then(|slot| slot.alive()) {
            wire.close().await;
        }
    }

    /// Closes what has been idle for too long, until the server is removed.
    pub(super) async fn sweep(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.links.every()) => {
                    self.links.sweep();
                    self.pools.sweep();
                }
                () = self.ground.closing.cancelled() => return,
            }
        }
    }

    /// Ends everything: the supervisor, sessions and processes. Calls that run may end within `grace` first.
    pub(super) async fn close(&self, grace: Duration) {
        self.ground.close();
        self.links.drain(grace).await;
        for own in &self.own {
            own.store(None);
        }
        self.ground.close_wires().await;
        self.ground.tasks.wait().await;
    }
}

impl OwnSlots for Upstream {
    fn own_slot(&self, era: Era) -> Arc<Slot> {
        let [legacy, modern] = &self.own;
        let own = match era {
            Era::Legacy => legacy,
            Era::Modern => modern,
        };
        if let Some(slot) = own.load_full() {
            return slot;
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        own.load_full().unwrap_or_else(|| {
            let slot = Slot::own(&self.ground, era);
            own.store(Some(Arc::clone(&slot)));
            slot
        })
    }
}

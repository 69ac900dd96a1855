//! The links of one server: bounded, and closed when they are idle.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::PrincipalKey;
use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_core::map::Map;
use sallyport_mcp::{Era, json};
use tokio::time::{Instant, sleep};

use super::account::Account;
use super::link::Link;
use crate::exchange::ClientView;
use crate::spec::{Processes, ServerSpec, Transport};

/// What tells the links of one principal apart: legacy sessions are never mixed, and neither are capabilities, which a
/// legacy server is told once for all (P-101).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Part {
    /// A legacy client's session.
    Session(Arc<str>),
    /// A modern client's capabilities, however it wrote them.
    Capabilities(Bytes),
}

impl Part {
    pub(super) fn of(view: &ClientView) -> Self {
        match &view.session {
            Some(session) => Self::Session(Arc::clone(session)),
            None => {
                let one = json::canonical(&view.capabilities);
                Self::Capabilities(one.map_or_else(|| view.capabilities.clone(), Bytes::from))
            }
        }
    }
}

/// So many spellings of capabilities are known by sight for each principal; others have to be read.
const SPELLINGS: usize = 16;

/// How often idle links are looked for, at most and at least.
const SWEEP_OFTEN: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(30);

/// How many, and for how long.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    idle: Duration,
    /// Whether an own session stays open for as long as its client listens. How long a process may be idle is the
    /// operator's to say.
    waits: bool,
    per_principal: usize,
    in_all: usize,
}

impl Bounds {
    const NETWORK: Self = Self {
        idle: Duration::from_secs(30 * 60),
        waits: true,
        per_principal: 64,
        in_all: 10_000,
    };

    /// A process costs more than a session.
    const STDIO: Self = Self {
        idle: Processes::IDLE,
        waits: false,
        per_principal: 16,
        in_all: 256,
    };
}

/// The links of one principal.
#[derive(Default)]
struct Own {
    links: Map<Part, Arc<Link>>,
    /// What modern clients wrote, and what it means.
    spelled: Map<Bytes, Part>,
}

impl Own {
    fn get(&self, view: &ClientView) -> Option<&Arc<Link>> {
        match &view.session {
            Some(_) => self.links.get(&Part::of(view)),
            None => self.links.get(self.spelled.get(&view.capabilities)?),
        }
    }

    fn insert(&mut self, part: Part, view: &ClientView, link: &Arc<Link>) {
        self.links.insert(part.clone(), Arc::clone(link));
        self.spell(part, view);
    }

    /// Knows what the client wrote by sight from now on.
    fn spell(&mut self, part: Part, view: &ClientView) {
        if view.session.is_some() {
            return;
        }
        if self.spelled.len() >= SPELLINGS {
            self.spelled.clear();
        }
        self.spelled.insert(view.capabilities.clone(), part);
    }

    /// Takes out the link that has been idle longest, if any is.
    fn take_idlest(&mut self) -> Option<Arc<Link>> {
        let idle = self
            .links
            .iter()
            .map(|(part, link)| (link.activity().idle(), part));
        let (_, part) = idle
            .filter(|(idle, _)| !idle.is_zero())
            .max_by_key(|(idle, _)| *idle)?;
        let part = part.clone();
        self.links.remove(&part)
    }
}

/// All links of one server.
pub(super) struct Links {
    bounds: Bounds,
    links: RwLock<Map<PrincipalKey, Own>>,
}

impl Links {
    pub(super) fn new(spec: &ServerSpec) -> Self {
        let bounds = match spec.transport {
            Transport::Stdio { .. } => Bounds {
                idle: spec.processes.idle,
                ..Bounds::STDIO
            },
            _ => Bounds::NETWORK,
        };
        Self {
            bounds,
            links: RwLock::default(),
        }
    }

    /// The client's link, if it speaks `era` and is with this account.
    pub(super) fn get(&self, view: &ClientView, era: Era, account: Option<&Account>) -> Option<Arc<Link>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let link = links.get(&view.principal)?.get(view)?;
        (link.era() == era && link.is_with(account)).then(|| Arc::clone(link))
    }

    /// The client's link, if it has one.
    pub(super) fn present(&self, view: &ClientView) -> Option<Arc<Link>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(&view.principal)?.get(view).cloned()
    }

    /// Keeps a new link; if another one was made meanwhile, that one stays. Where there are too many, the one that has
    /// been idle longest makes room.
    ///
    /// # Errors
    /// A fault of ours, safe to repeat, when all are in use.
    pub(super) fn insert(
        &self,
        view: &ClientView,
        link: &Arc<Link>,
        account: Option<&Account>,
    ) -> Result<Arc<Link>, Fault> {
        let mut evicted = Vec::new();
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        let part = Part::of(view);
        let total: usize = links.values().map(|own| own.links.len()).sum();
        let own = links.entry(view.principal.clone()).or_default();
        match own.links.get(&part).cloned() {
            Some(present) if present.era() == link.era() && present.is_with(account) => {
                own.spell(part, view);
                return Ok(present);
            }
            Some(_) => evicted.extend(own.links.remove(&part)),
            None if own.links.len() >= self.bounds.per_principal => {
                evicted.push(own.take_idlest().ok_or_else(full)?);
            }
            None if total >= self.bounds.in_all => {
                let mut everyone: Vec<_> = links.values_mut().filter(|own| !own.links.is_empty()).collect();
                everyone.sort_by_key(|own| own.links.values().map(|link| link.activity().idle()).max());
                evicted.push(everyone.pop().and_then(Own::take_idlest).ok_or_else(full)?);
            }
            None => {}
        }
        let own = links.entry(view.principal.clone()).or_default();
        own.insert(part, view, link);
        drop(links);
        // Sessions and processes close out here, without the lock.
        drop(evicted);
        Ok(Arc::clone(link))
    }

    /// Takes a link out.
    pub(super) fn remove(&self, principal: &PrincipalKey, part: &Part) -> Option<Arc<Link>> {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        let own = links.get_mut(principal)?;
        let link = own.links.remove(part)?;
        if own.links.is_empty() {
            links.remove(principal);
        }
        Some(link)
    }

    /// How often idle links are to be looked for: none stays for much longer than it may.
    pub(super) fn every(&self) -> Duration {
        (self.bounds.idle / 4).clamp(SWEEP_OFTEN, SWEEP)
    }

    /// Closes what has been idle for too long.
    pub(super) fn sweep(&self) {
        let mut idle = Vec::new();
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, own| {
            let is_idle = |link: &Link| {
                if self.bounds.waits && link.is_heard() {
                    link.activity().touch();
                }
                link.activity().idle() >= self.bounds.idle
            };
            idle.extend(own.links.extract_if(|_, link| is_idle(link)));
            !own.links.is_empty()
        });
        drop(links);
        drop(idle);
    }

    /// Lets go of all, once no call uses them, at the latest after `grace`.
    pub(super) async fn drain(&self, grace: Duration) {
        let all = std::mem::take(&mut *self.links.write().unwrap_or_else(PoisonError::into_inner));
        let links: Vec<_> = all
            .into_values()
            .flat_map(|own| own.links.into_values())
            .collect();
        let until = Instant::now() + grace;
        while Instant::now() < until && links.iter().any(|link| link.activity().is_busy()) {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn full() -> Fault {
    Fault::new(
        Blame::Gateway,
        Retry::Safe,
        "open a session",
        "too many clients use this server",
    )
}

//! The supervisor of a server: makes contact, learns what the server offers, watches for changes, and starts over when
//! contact is lost. It never holds up a client.

use std::sync::Arc;
use std::time::Duration;

use sallyport_core::fault::Fault;
use sallyport_mcp::capabilities::ServerCapabilities;
use sallyport_mcp::catalogue::{Catalogue, ListKind};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::backoff::Backoff;
use super::changes::Changed;
use super::control::Control;
use super::detect::{Contact, contact};
use super::listen::{ListenFilter, follow};
use super::lists::fetch;
use super::modern::{Source, wait};
use super::presented::Presented;
use super::server::Upstream;
use super::state::{ServerState, Speaks, Status};

/// Changes that are told of within this time are looked at together.
const TOGETHER: Duration = Duration::from_millis(250);

/// The shortest time between two looks.
const BETWEEN: Duration = Duration::from_secs(1);

/// Why the supervisor starts over.
enum Why {
    /// Contact is lost, or the server does not do what it said.
    Lost(String),
    /// The server is not what it was taken for.
    Contradicted,
}

/// Supervises until the server is removed.
pub(super) async fn supervise(upstream: Arc<Upstream>, publish: Arc<dyn Publish>) {
    let closing = upstream.ground.closing.clone();
    tokio::select! {
        () = closing.cancelled() => {}
        () = Supervisor { upstream, publish, backoff: Backoff::default() }.run() => {}
    }
}

/// Where news of servers go.
pub(super) trait Publish: Send + Sync {
    /// The state of a server has changed.
    fn publish(&self, upstream: &Upstream, state: Arc<ServerState>);
}

struct Supervisor {
    upstream: Arc<Upstream>,
    publish: Arc<dyn Publish>,
    backoff: Backoff,
}

impl Supervisor {
    async fn run(mut self) {
        let mut known = Speaks::default();
        loop {
            let began = Instant::now();
            let why = match self.connect(known).await {
                Ok(contact) => {
                    known = contact.speaks;
                    self.stay(contact).await
                }
                Err(fault) => {
                    // What was known may be why.
                    known = Speaks::default();
                    self.upstream.ground.form.forget();
                    Why::Lost(fault.to_string())
                }
            };
            if began.elapsed() >= Backoff::LONGEST {
                self.backoff.succeeded();
            }
            match why {
                Why::Lost(reason) => self.failed(reason),
                Why::Contradicted => {
                    known = Speaks::default();
                    self.upstream.ground.form.forget();
                    self.upstream.renew().await;
                }
            }
            let ground = &self.upstream.ground;
            tokio::select! {
                () = sleep(self.backoff.failed(&*ground.deps.random)) => {}
                () = ground.door.changed() => {}
            }
        }
    }

    /// Makes contact and fetches the lists.
    async fn connect(&mut self, known: Speaks) -> Result<Contact, Fault> {
        let ground = &self.upstream.ground;
        // All lists are about to be fetched.
        ground.changes.take();
        let contact = contact(ground, &*self.upstream, known).await?;
        let catalogue = self.lists(&contact, Changed::LISTS, Arc::default()).await?;
        let state = ServerState {
            name: ground.spec.name.clone(),
            status: Status::Ready,
            speaks: contact.speaks,
            capabilities: contact.capabilities.clone(),
            instructions: contact.instructions.clone(),
            info: contact.info.clone(),
            catalogue: self.same_or(catalogue),
            fresh: true,
        };
        tracing::info!(
            server = %ground.spec.name,
            legacy = contact.speaks.legacy,
            modern = contact.speaks.modern,
            tools = state.catalogue.tools.len(),
            "in contact with a server"
        );
        // Before clients hear of it and try again.
        ground.contact_made();
        self.set(state);
        Ok(contact)
    }

    /// Watches until contact is lost.
    async fn stay(&mut self, contact: Contact) -> Why {
        let _listening = match self.listen(&contact).await {
            Ok(listening) => listening,
            Err(fault) => return Why::Lost(fault.to_string()),
        };
        let upstream = Arc::clone(&self.upstream);
        loop {
            let changed = tokio::select! {
                () = contact.control.lost() => return Why::Lost("the connection to the server ended".to_owned()),
                () = upstream.ground.changes.wait() => {
                    sleep(TOGETHER).await;
                    upstream.ground.changes.take()
                }
            };
            if changed.covers(Changed::EVERYTHING) {
                return Why::Contradicted;
            }
            let last = upstream.state().catalogue.clone();
            match self.lists(&contact, changed, last).await {
                Ok(catalogue) => self.refreshed(catalogue),
                Err(fault) => return Why::Lost(fault.to_string()),
            }
            sleep(BETWEEN).await;
        }
    }

    /// The lists in `changed`, and those of `last` otherwise.
    async fn lists(
        &self,
        contact: &Contact,
        changed: Changed,
        last: Arc<Catalogue>,
    ) -> Result<Arc<Catalogue>, Fault> {
        let ground = &self.upstream.ground;
        let mirrored = matches!(contact.control, Control::Http(..));
        let mut next = (*last).clone();
        let mut shortest: Option<Duration> = None;
        let fetching = async {
            for kind in ListKind::ALL {
                if !changed.touches(change_of(kind)) || !has(&contact.capabilities, kind) {
                    continue;
                }
                let fetched = fetch(&contact.control, ground, kind, mirrored).await?;
                shortest = match (shortest, fetched.ttl()) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                next.set_cut(kind, fetched.cut);
                next.put(kind, fetched.items, fetched.hint);
            }
            Ok::<_, Fault>(())
        };
        // Each page has its own deadline; the whole may take a few of them.
        timeout(ground.spec.limits.handshake.saturating_mul(4), fetching)
            .await
            .map_err(|_| Fault::upstream("fetch the lists", "the server took too long"))??;
        if mirrored {
            ground.param_headers.learn(&next.tools);
        }
        let tells = tells_all(&contact.capabilities) && !ground.is_deaf();
        self.upstream.freshness.fetched(shortest, tells);
        Ok(Arc::new(next))
    }

    /// Asks a modern server to tell of changes; a legacy one does so by itself.
    async fn listen(&self, contact: &Contact) -> Result<Option<AbortOnDropHandle<()>>, Fault> {
        let capabilities = &contact.capabilities;
        let filter = ListenFilter {
            tools: capabilities.tools == Some(true),
            prompts: capabilities.prompts == Some(true),
            resources: capabilities
                .resources
                .is_some_and(|resources| resources.list_changed),
            tasks: Vec::new(),
            uris: Vec::new(),
        };
        let Some(way) = contact.control.modern().filter(|_| !filter.is_empty()) else {
            return Ok(None);
        };
        let ground = &self.upstream.ground;
        let source = Source {
            way,
            ground: Arc::clone(ground),
        };
        let (sender, acknowledged) = oneshot::channel();
        let listening = follow(ground, source, &Presented::gateway(), filter, None, sender);
        match wait(ground, acknowledged).await {
            Ok(_) => Ok(Some(listening)),
            Err(fault) => {
                // Its lists are then asked for again from time to time.
                tracing::info!(server = %ground.spec.name, %fault, "a server does not tell of changes as it promised");
                ground.hears(false);
                self.upstream.freshness.fetched(None, false);
                Ok(None)
            }
        }
    }

    fn refreshed(&self, catalogue: Arc<Catalogue>) {
        let mut state = (*self.upstream.state()).clone();
        state.catalogue = self.same_or(catalogue);
        if !Arc::ptr_eq(&state.catalogue, &self.upstream.state().catalogue) {
            self.set(state);
        }
    }

    /// The present catalogue if nothing in it has changed, so that nobody is told of a change that is none.
    fn same_or(&self, next: Arc<Catalogue>) -> Arc<Catalogue> {
        let present = self.upstream.state().catalogue.clone();
        if *present == *next { present } else { next }
    }

    fn failed(&self, reason: String) {
        tracing::warn!(server = %self.upstream.ground.spec.name, reason, "no contact with a server");
        let mut state = (*self.upstream.state()).clone();
        state.status = Status::Failed { reason };
        state.fresh = false;
        self.set(state);
    }

    fn set(&self, state: ServerState) {
        let state = Arc::new(state);
        self.upstream.learn(&state);
        self.publish.publish(&self.upstream, state);
    }
}

fn change_of(kind: ListKind) -> Changed {
    match kind {
        ListKind::Tools => Changed::TOOLS,
        ListKind::Prompts => Changed::PROMPTS,
        ListKind::Resources | ListKind::Templates | ListKind::Skills => Changed::RESOURCES,
    }
}

/// What a server did not declare is not asked for (P-93).
fn has(capabilities: &ServerCapabilities, kind: ListKind) -> bool {
    match kind {
        ListKind::Tools => capabilities.tools.is_some(),
        ListKind::Prompts => capabilities.prompts.is_some(),
        ListKind::Resources | ListKind::Templates => capabilities.resources.is_some(),
        ListKind::Skills => capabilities.has_skills(),
    }
}

/// Whether the server tells of changes of every list that it has. No notification tells of skills.
fn tells_all(capabilities: &ServerCapabilities) -> bool {
    !capabilities.has_skills()
        && capabilities.tools != Some(false)
        && capabilities.prompts != Some(false)
        && capabilities
            .resources
            .is_none_or(|resources| resources.list_changed)
}

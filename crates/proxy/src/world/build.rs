//! Making the world from the configuration and the fleet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sallyport_core::{ServerName, Timestamp};
use sallyport_mcp::catalogue::{Catalogue, ListKind};
use sallyport_mcp::merge::{self, Merged};

use super::World;
use super::curate::Curated;
use super::endpoint::{Endpoint, Identity, Parts};
use crate::notice::Changes;
use crate::spec::{EndpointKind, EndpointSpec, Naming, ProxyConfig, ServerSpec};
use crate::upstream::{Fleet, ServerState, Status};

/// How long a list waits for a server that has just been started. Long enough for programs that start at once; clients
/// hear of slower ones by a list change.
const SETTLING: Duration = Duration::from_secs(5);

/// The most colliding names that are left out of an endpoint before it is left empty.
const MAX_COLLISIONS: usize = 256;

/// What makes the world, and remembers what it needs for the next one.
pub(crate) struct Builder {
    config: ProxyConfig,
    /// Counts the configurations.
    configured: u64,
    /// When each server, as it is configured, was first waited for.
    first_seen: HashMap<(ServerName, [u8; 32]), Timestamp>,
    curated: Curated,
}

/// A new world, and what changed for whom.
pub(crate) struct Built {
    pub(crate) world: Arc<World>,
    /// By endpoint key.
    pub(crate) changes: BTreeMap<Arc<str>, Changes>,
}

impl Builder {
    /// From this configuration on.
    pub(crate) fn new(config: ProxyConfig) -> Self {
        Self {
            config,
            configured: 0,
            first_seen: HashMap::new(),
            curated: Curated::default(),
        }
    }

    /// From now on with this configuration.
    pub(crate) fn apply(&mut self, config: ProxyConfig) {
        self.config = config;
        self.configured = self.configured.wrapping_add(1);
        self.curated.clear();
    }

    /// Makes the world. Endpoints of which nothing has changed are taken over from the earlier one.
    pub(crate) fn build(&mut self, fleet: &Fleet, earlier: Option<&World>, now: Timestamp) -> Built {
        self.first_seen.retain(|(name, print), _| {
            self.config
                .servers
                .iter()
                .any(|s| s.name == *name && s.fingerprint == *print)
        });
        for server in &self.config.servers {
            let key = (server.name.clone(), server.fingerprint);
            self.first_seen.entry(key).or_insert(now);
        }
        let curated = match &self.config.curator {
            Some(curator) => Some(self.curated.of(fleet, &self.config.servers, &**curator)),
            None => None,
        };
        let fleet = curated.as_ref().unwrap_or(fleet);
        let mut changes = BTreeMap::new();
        let specs = std::mem::take(&mut self.config.endpoints);
        let endpoints = specs
            .iter()
            .map(|spec| {
                let key = key_of(&spec.kind);
                let before = earlier.and_then(|world| world.endpoint(&key));
                let endpoint = self.endpoint(&key, spec, fleet, before, now);
                if let Some(before) = before {
                    let changed = endpoint.changes_since(before);
                    if changed.any() {
                        changes.insert(Arc::clone(&endpoint.key), changed);
                    }
                }
                endpoint
            })
            .collect();
        self.config.endpoints = specs;
        Built {
            world: Arc::new(World::new(&self.config, endpoints)),
            changes,
        }
    }

    fn endpoint(
        &self,
        key: &str,
        spec: &EndpointSpec,
        fleet: &Fleet,
        before: Option<&Arc<Endpoint>>,
        now: Timestamp,
    ) -> Arc<Endpoint> {
        let states: Vec<Arc<ServerState>> = spec
            .servers
            .iter()
            .map(|name| match fleet.servers.get(name) {
                Some(state) => Arc::clone(state),
                None => Arc::new(ServerState::unknown(name.clone())),
            })
            .collect();
        let settles = self.settles(&states, now);
        if let Some(before) = before
            && before.parts.configured == self.configured
            && before.settles.is_some() == settles.is_some()
            && before.states.len() == states.len()
            && before
                .states
                .iter()
                .zip(&states)
                .all(|(old, new)| Arc::ptr_eq(old, new))
        {
            return Arc::clone(before);
        }
        let (merged, collisions) = merged(key, spec, &states);
        let identity = Identity {
            key: before.map_or_else(|| key.into(), |before| Arc::clone(&before.key)),
            resources: spec.resources.clone(),
            rules: spec.rules.clone(),
        };
        let parts = Parts {
            profile: match &spec.kind {
                EndpointKind::Profile(slug) => Some(slug.clone()),
                EndpointKind::Server(_) => None,
            },
            servers: spec.servers.clone(),
            shared: self.shared(spec),
            page_items: self.config.limits.page_items,
            spoken: spec.spoken,
            asks: asks(spec, &merged),
            collisions,
            configured: self.configured,
        };
        Arc::new(Endpoint::new(identity, parts, states, merged, settles))
    }

    fn shared(&self, spec: &EndpointSpec) -> HashSet<ServerName> {
        let shared = self.config.servers.iter().filter(|server| server.shared);
        let here = shared.filter(|server| spec.servers.contains(&server.name));
        here.map(|server| server.name.clone()).collect()
    }

    /// Until when the servers that have not been reached yet are waited for, once: each has its time to connect and to
    /// introduce itself, but no more than [`SETTLING`].
    fn settles(&self, states: &[Arc<ServerState>], now: Timestamp) -> Option<Timestamp> {
        let connecting = states.iter().filter(|state| state.status == Status::Connecting);
        let until = |server: &ServerSpec| {
            let key = (server.name.clone(), server.fingerprint);
            let since = self.first_seen.get(&key).copied().unwrap_or(now);
            since.plus(SETTLING.min(server.limits.connect + server.limits.handshake))
        };
        let named = |name: &ServerName| self.config.servers.iter().find(|server| server.name == *name);
        let latest = connecting.filter_map(|state| named(&state.name)).map(until).max();
        latest.filter(|until| *until > now)
    }
}

/// The tools whose calls have to be approved.
fn asks(spec: &EndpointSpec, merged: &Merged) -> HashSet<Box<str>> {
    let asks = |name: &str| spec.asks.iter().any(|glob| glob.matches(name));
    let tools = merged.tools.iter().filter(|tool| asks(&tool.visible));
    tools.map(|tool| Box::from(&*tool.visible)).collect()
}

fn key_of(kind: &EndpointKind) -> String {
    match kind {
        EndpointKind::Profile(slug) => format!("profile/{slug}"),
        EndpointKind::Server(name) => format!("server/{name}"),
    }
}

/// The servers' offers as one. A name that two servers have, where none may be changed, is left out of both: nobody can
/// say whose it is.
fn merged(
    key: &str,
    spec: &EndpointSpec,
    states: &[Arc<ServerState>],
) -> (Merged, Vec<merge::CollisionError>) {
    let naming = match (&spec.kind, spec.naming) {
        (EndpointKind::Server(_), _) | (_, Naming::Never) => merge::Naming::Never,
        (_, Naming::OnCollision) => merge::Naming::OnCollision,
        (_, Naming::Always) => merge::Naming::Always,
    };
    let rules = &spec.rules;
    let admit = |kind, visible: &str| match kind {
        ListKind::Tools => rules.tools.admits(visible),
        ListKind::Prompts => rules.prompts.admits(visible),
        ListKind::Resources | ListKind::Templates | ListKind::Skills => rules.resources.admits(visible),
    };
    let mut own: BTreeMap<usize, Catalogue> = BTreeMap::new();
    let mut collisions = Vec::new();
    for _ in 0..=MAX_COLLISIONS {
        let offers: Vec<(ServerName, &Catalogue)> = states
            .iter()
            .enumerate()
            .map(|(place, state)| (state.name.clone(), own.get(&place).unwrap_or(&state.catalogue)))
            .collect();
        let collision = match merge::merge(&offers, naming, admit) {
            Ok(merged) => return (merged, collisions),
            Err(collision) => collision,
        };
        tracing::error!(endpoint = key, "left out: {collision}");
        for (place, state) in states.iter().enumerate() {
            let catalogue = own.entry(place).or_insert_with(|| (*state.catalogue).clone());
            let list = catalogue.list_mut(collision.kind);
            list.retain(|item| *item.key != *collision.key);
        }
        collisions.push(collision);
    }
    tracing::error!(endpoint = key, "left empty: too many names collide");
    (Merged::default(), collisions)
}

//! What clients see: every endpoint as one unchanging snapshot, replaced as a whole when a server or the configuration
//! changes. Requests read it; nothing of it is computed while one waits.

mod build;
mod curate;
mod endpoint;
mod introduce;
mod keep;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use sallyport_core::{ClientId, GrantId, Principal, Resource, ScopeSet, Timestamp, TokenId, UserId};

pub(crate) use build::Builder;
pub(crate) use endpoint::{Endpoint, Shown};
pub(crate) use watch::{rebuild, settle, watch};

use crate::spec::{ProxyConfig, ProxyLimits};

/// Everything that clients see.
pub(crate) struct World {
    /// The bounds.
    pub(crate) limits: ProxyLimits,
    /// Who everyone is where no token is needed.
    pub(crate) local: Option<Arc<Principal>>,
    /// What those who may call are called.
    pub(crate) names: Arc<HashMap<UserId, Box<str>>>,
    endpoints: Vec<Arc<Endpoint>>,
    paths: HashMap<String, (usize, String)>,
}

/// One endpoint under one of its paths.
#[derive(Clone, Copy)]
pub(crate) struct Place<'w> {
    /// The endpoint.
    pub(crate) endpoint: &'w Arc<Endpoint>,
    /// The URL of the metadata of the resource that this path is (RFC 9728 §5.1).
    pub(crate) metadata: &'w str,
}

impl World {
    fn new(config: &ProxyConfig, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let origin = config.public_url.trim_end_matches('/');
        let mut paths = HashMap::new();
        for (place, spec) in config.endpoints.iter().enumerate() {
            for path in &spec.paths {
                let metadata = format!("{origin}/.well-known/oauth-protected-resource{path}");
                paths.insert(path.clone(), (place, metadata));
            }
        }
        Self {
            limits: config.limits,
            local: local(config),
            names: Arc::clone(&config.names),
            endpoints,
            paths,
        }
    }

    /// The endpoint under a path.
    pub(crate) fn at(&self, path: &str) -> Option<Place<'_>> {
        let (place, metadata) = self.paths.get(path)?;
        let endpoint = self.endpoints.get(*place)?;
        Some(Place { endpoint, metadata })
    }

    /// Whether no server is waited for any more.
    pub(crate) fn is_settled(&self, now: Timestamp) -> bool {
        let waiting = |endpoint: &Arc<Endpoint>| endpoint.settles.is_some_and(|until| until > now);
        !self.endpoints.iter().any(waiting)
    }

    /// The endpoint of this key.
    pub(crate) fn endpoint(&self, key: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|endpoint| *endpoint.key == *key)
    }
}

/// The local user of `auth.mode: none`, who is here without a token.
fn local(config: &ProxyConfig) -> Option<Arc<Principal>> {
    let user = config.anonymous.clone()?;
    let audience = config.endpoints.first()?.resources.first()?.clone();
    Some(Arc::new(local_user(user, audience)))
}

/// A person who is here without a token.
pub(crate) fn local_user(user: UserId, audience: Resource) -> Principal {
    Principal {
        user,
        client: ClientId::new("local"),
        grant: GrantId::new("local"),
        token: TokenId::new("local"),
        scopes: ScopeSet::parse(sallyport_core::Scope::MCP),
        audience,
        expires: Timestamp::from_millis(i64::MAX),
    }
}

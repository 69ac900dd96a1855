//! Finds what would keep a client from working, and says the mend.
//!
//! Everything goes over the network as a client's requests do, against `public_url`. What is made for it is removed again:
//! the registration of a client that was walked for, the client of the probe with everything that was granted to it, and
//! the records of their log-ins. The audit trail keeps that it was done. Nothing secret is part of what is said.

mod behind;
mod challenge;
mod client;
mod finding;
mod front;
mod here;
mod judge;
mod place;
mod probe;
mod walk;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use sallyport_core::clock::SystemClock;
use sallyport_core::{Clock as _, ProfileSlug};
use sallyport_net::egress::Egress;
use sallyport_vault::SystemRandom;
use url::Url;

use self::client::Client;
use self::finding::Ill;
use self::front::Front;
use self::place::Place;
use self::probe::Probe;
use self::walk::Walk;
use self::wire::Wire;
use crate::base::{Base, public_origin};
use crate::config::Config;
use crate::config::auth::Mode;
use crate::environment::Environment;

pub(crate) use finding::{Mark, Report};

/// Where the doctor begins: the configuration in force, and the profile whose endpoint clients use.
pub(crate) struct Doctor {
    config: Config,
    environment: Environment,
    profile: ProfileSlug,
    origin: Option<Url>,
    egress: Arc<Egress>,
    clock: SystemClock,
}

/// The client of a name.
///
/// # Errors
/// What names there are.
pub(crate) fn known(name: &str) -> Result<&'static str, String> {
    client::find(name).map(|client| client.name)
}

impl Doctor {
    /// For a configuration. `profile` is the one that clients are given; without, it is the one at `/mcp`, or the first.
    ///
    /// # Errors
    /// There is no such profile.
    pub(crate) fn new(
        config: Config,
        environment: Environment,
        profile: Option<ProfileSlug>,
    ) -> Result<Self, String> {
        let profiles = &config.root.profiles;
        let default = ProfileSlug::parse("default").ok();
        let has = |slug: &ProfileSlug| {
            profiles.get(slug.as_str()).is_some() || (profiles.0.is_empty() && Some(slug) == default.as_ref())
        };
        let first = || profiles.iter().next().map(|row| row.key.clone());
        let profile = match profile {
            Some(slug) if has(&slug) => slug,
            Some(slug) => return Err(format!("there is no profile `{slug}`")),
            None => default
                .clone()
                .filter(has)
                .or_else(first)
                .ok_or("there is no profile")?,
        };
        let listen: SocketAddr = config.root.listen.value.0;
        let is_known = config.root.public_url.is_some() || listen.port() != 0;
        let origin = is_known
            .then(|| Url::parse(&public_origin(&config, listen)).ok())
            .flatten();
        let egress = Egress::new((&config.root.egress).into());
        Ok(Self {
            config,
            environment,
            profile,
            origin,
            egress,
            clock: SystemClock,
        })
    }

    /// What people call a client.
    pub(crate) fn label(name: &str) -> &'static str {
        client::find(name).map_or("", |client| client.label)
    }

    /// The URL that clients are given; empty while it is not known.
    pub(crate) fn endpoint(&self) -> String {
        let origin = self.origin.as_ref().map(|url| url.as_str().trim_end_matches('/'));
        origin.map_or_else(String::new, |origin| format!("{origin}{}", self.path()))
    }

    fn path(&self) -> String {
        match self.profile.as_str() {
            "default" => "/mcp".to_owned(),
            slug => format!("/mcp/{slug}"),
        }
    }

    fn is_open(&self) -> bool {
        self.config.root.auth.mode.value == Mode::None
    }

    fn wire(&self, agent: &str) -> Wire {
        let origin = self.origin.as_ref().map(Url::as_str).unwrap_or_default();
        Wire::new(Arc::clone(&self.egress), origin, agent)
    }

    async fn place(&self, report: &mut Report, base: Option<&Base>) -> Option<Place> {
        let Some(url) = self.origin.clone() else {
            report.begin("from outside");
            report.ill(
                "public_url",
                Ill::fails(
                    "url-unknown",
                    "the gateway's URL is not known: `listen` has port 0",
                    "Set `public_url` to the address that clients use.",
                ),
            );
            return None;
        };
        let store = base.map(|base| base.store.clone());
        Some(Place::find(url, store, &self.clock).await)
    }

    /// What this machine, the front, the servers and the providers are like.
    pub(crate) async fn examine(&self) -> Report {
        let mut report = Report::default();
        here::configuration(&mut report, &self.config);
        let base = if here::data(&mut report, &self.config, &self.clock).await {
            here::opened(&mut report, self.open().await)
        } else {
            None
        };
        if let Some(base) = base.as_ref().filter(|_| !self.is_open()) {
            here::people(&mut report, base).await;
        }
        if let Some(place) = self.place(&mut report, base.as_ref()).await {
            let origin = place.url.as_str().trim_end_matches('/').to_owned();
            here::listeners(&mut report, &self.config, &self.egress, &origin).await;
            self.outside(&mut report, &place, base.as_ref()).await;
            place.leave(self.clock.now()).await;
        }
        if let Some(base) = &base {
            behind::servers(&mut report, base, &self.environment, &self.profile).await;
            let auth = &self.config.root.auth;
            if auth.github.is_some() || !auth.oidc.0.is_empty() {
                behind::providers(&mut report, base, &self.egress).await;
            }
            if !auth.issuers.0.is_empty() {
                behind::issuers(&mut report, base, &self.egress).await;
            }
            base.store.close().await;
        }
        report
    }

    async fn outside(&self, report: &mut Report, place: &Place, base: Option<&Base>) {
        let wire = self.wire("");
        let path = self.path();
        let mut paths = vec![path.clone()];
        let others = self.config.root.profiles.iter().map(|row| row.key.as_str());
        paths.extend(
            others
                .filter(|slug| *slug != self.profile.as_str())
                .map(|slug| format!("/mcp/{slug}")),
        );
        let allowed = self.config.root.allowed_origins.first();
        let front = Front {
            wire: &wire,
            place,
            paths: &paths,
            request_bytes: u64::try_from(self.config.root.limits.request_bytes.0).unwrap_or(u64::MAX),
            page: allowed.map_or(wire.origin(), |origin| origin.as_str()),
            is_open: self.is_open(),
        };
        if !front.look(report, &self.clock).await {
            return;
        }
        if let Some(base) = base {
            let probe = Probe {
                wire: &wire,
                base,
                path: &path,
                is_open: self.is_open(),
            };
            probe.look(report).await;
        }
    }

    /// The way of one client.
    pub(crate) async fn walk(&self, name: &str) -> Report {
        let mut report = Report::default();
        let Ok(client) = client::find(name) else {
            return report;
        };
        // Its records explain refusals; a gateway elsewhere can be walked to as well.
        let is_here = self.config.data_dir.exists() && self.is_current().await;
        let base = if is_here { self.open().await.ok() } else { None };
        if let Some(place) = self.place(&mut report, base.as_ref()).await {
            self.walk_to(&mut report, client, (&place, base.as_ref())).await;
            place.leave(self.clock.now()).await;
        }
        if let Some(base) = base {
            base.store.close().await;
        }
        report
    }

    async fn walk_to(
        &self,
        report: &mut Report,
        client: &'static Client,
        (place, base): (&Place, Option<&Base>),
    ) {
        if self.is_open() {
            report.begin("reaching the gateway");
            report.ill(
                "log-in",
                Ill::skipped("with `auth.mode: none` nobody logs in; `sallyport doctor` looks at the rest"),
            );
            return;
        }
        let wire = self.wire(client.agent);
        let path = self.path();
        let walk = Walk {
            wire: &wire,
            client,
            path: &path,
            place,
            base,
            life: here::token_life(&self.config).as_secs(),
        };
        walk.go(report).await;
    }

    /// Whether opening the store would change nothing in it.
    async fn is_current(&self) -> bool {
        let schema = sallyport_store::Store::schema(&self.config.data_dir).await;
        schema.is_ok_and(|schema| schema.found == schema.known)
    }

    async fn open(&self) -> Result<Base, crate::base::StartError> {
        let (clock, random) = (Arc::new(self.clock), Arc::new(SystemRandom));
        Base::open(self.config.clone(), &self.environment, clock, random).await
    }
}

//! How the parts of a gateway are put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use sallyport_accounts::{Accounts, Using};
use sallyport_authserver::{Approvals, Logins, Parts, Proofs, router, setup_link};
use sallyport_core::Secret;
use sallyport_core::audit::{Action, Audit, Event, Outcome};
use sallyport_net::egress::Egress;
use sallyport_net::layers::{secure, strict_transport};
use sallyport_net::{ListenOptions, Listener, ServerHandle, framed};
use sallyport_proxy::upstream::{Launcher, UpstreamDeps, Upstreams};
use sallyport_proxy::{Metrics, Proxy, ProxyDeps, ServerSessions};
use sallyport_vault::password::Argon2id;
use sallyport_vault::signing::Signer;
use sallyport_vault::verifier::{DEFAULT_CACHE, Verifier};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::framed::TcpGate;
use super::gateway::{Gateway, Overrides};
use super::issuers::{self, Issuers};
use super::live::{Live, doors, due, plan_now, run_dir};
use super::names;
use super::plan::Plan;
use super::service::Front;
use super::watch;
use crate::base::{Base, StartError, public_origin};
use crate::config::Config;
use crate::config::auth::Mode;
use crate::lock::Lock;
use crate::{child, keys, master};

/// Binds first, because a port in use is the commonest mistake; then opens, then connects.
pub(super) async fn assemble(
    config: Config,
    overrides: Overrides,
    control: tokio::runtime::Handle,
) -> Result<Gateway, StartError> {
    let (mut addr, mut admin_addr) = (config.root.listen.value.0, config.root.admin_listen.value.0);
    let mut listening = Vec::new();
    let mut listeners = None;
    if overrides.listens {
        let bound = Listeners::bind(&config)?;
        listening = bound.front.local_addrs();
        (addr, admin_addr) = (first(&bound.front)?, first(&bound.admin)?);
        listeners = Some(bound);
    }
    let base = Base::open(
        config,
        &overrides.environment,
        Arc::clone(&overrides.clock),
        Arc::clone(&overrides.random),
    )
    .await?;
    let origin = public_origin(&base.config, addr);
    let trail = Arc::new(base.trail().await?);
    let live = Arc::new(
        live(
            base,
            Wires {
                origin,
                listening,
                trail,
                overrides: &overrides,
                control: control.clone(),
            },
        )
        .await?,
    );
    names::unambiguous(&live).await?;
    started(&live).await?;
    let stop = Stop::default();
    let serving = match listeners {
        Some(listeners) => listeners.serve(&live, &control, &stop).await?,
        None => Serving::default(),
    };
    let (asks, asked) = mpsc::channel(1);
    control.spawn(watch::watch(
        Arc::clone(&live),
        overrides.source,
        asked,
        stop.all.clone(),
    ));
    control.spawn(master::watch::watch(live.base.clone(), stop.all.clone()));
    live.ready.store(true, Ordering::Release);
    Ok(Gateway {
        live,
        addr,
        admin_addr,
        front: serving.front,
        tcp: serving.tcp,
        tcp_addr: serving.tcp_addr,
        admin: serving.admin,
        conversation: None,
        stop_front: stop.front,
        stop_all: stop.all,
        asks,
        setup: serving.setup,
        runtime: None,
    })
}

/// What ends the listeners: those for clients, and then all.
#[derive(Default)]
struct Stop {
    front: CancellationToken,
    all: CancellationToken,
}

/// What is served, and the link with which the first administrator makes an account.
#[derive(Default)]
struct Serving {
    front: Option<ServerHandle>,
    tcp: Option<ServerHandle>,
    tcp_addr: Option<SocketAddr>,
    admin: Option<ServerHandle>,
    setup: Option<Secret<String>>,
}

/// Bound sockets that nobody is served on yet.
struct Listeners {
    front: Listener,
    admin: Listener,
    tcp: Option<Listener>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let root = &config.root;
        let tcp = root.tcp_listen.as_ref();
        Ok(Self {
            front: bind(config, root.listen.value.0, "worker")?,
            admin: bind(config, root.admin_listen.value.0, "admin")?,
            tcp: tcp.map(|addr| bind(config, addr.value.0, "tcp")).transpose()?,
        })
    }

    async fn serve(
        self,
        live: &Arc<Live>,
        control: &tokio::runtime::Handle,
        stop: &Stop,
    ) -> Result<Serving, StartError> {
        let (parts, router) = authserver(live)?;
        let setup = match &router {
            Some(_) => setup_link(&parts).await?,
            None => None,
        };
        let front = Front {
            live: Arc::clone(live),
            router,
            control: control.clone(),
        };
        let mut careful = HeaderMap::new();
        secure(&mut careful);
        // Where browsers reach us by https.
        if live.origin.starts_with("https://") {
            strict_transport(&mut careful);
        }
        let admin = Admin {
            live: Arc::clone(live),
            local: first(&self.admin)?.ip().is_loopback(),
        };
        let tcp_addr = self.tcp.as_ref().map(first).transpose()?;
        let front = self
            .front
            .always(&careful)
            .serve(Arc::new(front), stop.front.clone());
        let tcp = self.tcp.map(|tcp| serve_tcp(tcp, live, stop.front.clone()));
        let admin = self.admin.serve(Arc::new(admin), stop.all.clone());
        Ok(Serving {
            front: Some(front.map_err(StartError::io("start the threads of the listener"))?),
            tcp: tcp.transpose()?,
            tcp_addr,
            admin: Some(admin.map_err(StartError::io("start the threads of the admin listener"))?),
            setup,
        })
    }
}

fn bind(config: &Config, addr: SocketAddr, name: &'static str) -> Result<Listener, StartError> {
    let limits = &config.root.limits;
    let mut options = ListenOptions::new(addr);
    options.name = name;
    options.header_timeout = limits.header_timeout.0;
    options.max_connections = limits.connections;
    options.shutdown_timeout = limits.drain.0;
    options.unbounded_peers = config
        .root
        .trusted_proxies
        .iter()
        .map(|network| network.0)
        .collect();
    if name == "admin" {
        options.workers = 1;
        options.shutdown_timeout = Duration::from_secs(1);
    } else if config.root.workers > 0 {
        options.workers = config.root.workers;
    }
    Listener::bind(options).map_err(|error| {
        StartError::Other(match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("{addr} is in use: stop what listens there, or choose another port")
            }
            _ => error.to_string(),
        })
    })
}

fn serve_tcp(
    listener: Listener,
    live: &Arc<Live>,
    stop: CancellationToken,
) -> Result<ServerHandle, StartError> {
    let gate = TcpGate {
        live: Arc::clone(live),
    };
    let options = framed::Options {
        message_bytes: live.config.load().root.limits.request_bytes.0,
        ..framed::Options::default()
    };
    framed::listen(listener, Arc::new(gate), options, stop)
        .map_err(StartError::io("start the threads of the TCP listener"))
}

fn first(listener: &Listener) -> Result<SocketAddr, StartError> {
    let addr = listener.local_addrs().first().copied();
    addr.ok_or_else(|| StartError::Other("the listener has no address".to_owned()))
}

/// What [`live`] is given besides the base.
struct Wires<'a> {
    origin: String,
    listening: Vec<SocketAddr>,
    trail: Arc<sallyport_store::AuditTrail>,
    overrides: &'a Overrides,
    control: tokio::runtime::Handle,
}

async fn live(base: Base, wires: Wires<'_>) -> Result<Live, StartError> {
    let Wires {
        origin,
        listening,
        trail,
        overrides,
        control,
    } = wires;
    let audit: Arc<dyn Audit> = trail.clone();
    let (signer, ring) = keys::signer(&base, &origin).await?;
    let verifier = verifier(&base, &origin, &signer)?;
    let issuers = believe(&base, &verifier, &origin, &control)?;
    let policy = keys::policy(&base);
    base.store.note_token_life(policy.longest).await?;
    let mut plan = plan_now(&base, &base.config, &origin).await?;
    let lock = lock(&base, &audit, &control, &mut plan)?;
    let metrics = Arc::new(Metrics::new());
    let logins = Logins::start(
        base.store.clone(),
        Arc::clone(&base.clock),
        Arc::clone(&base.random),
        &control,
    );
    verifier.watch(logins.clone());
    let accounts = accounts(&base, plan.accounts, &audit, &control);
    let using = Arc::new(Using(Arc::clone(&accounts)));
    let upstreams = upstreams(&base, overrides, (&audit, using), &control)?;
    let approvals = Arc::new(Approvals::new(Arc::clone(&base.random)));
    let proofs = Arc::new(Proofs::new(base.vault.clone(), &*base.random));
    let proxy = Proxy::new(
        ProxyDeps {
            proofs: proofs.clone(),
            verifier: issuers.clone(),
            sealer: base.vault.clone(),
            sessions: Arc::new(base.store.clone()),
            audit,
            clock: Arc::clone(&base.clock),
            random: Arc::clone(&base.random),
            upstreams: Arc::clone(&upstreams),
            metrics: Arc::clone(&metrics),
            approvals: approvals.clone(),
            logins: logins.clone(),
            control,
        },
        plan.proxy,
    );
    Ok(Live {
        doors: ArcSwap::from_pointee(doors(&base.config, &origin, &listening)?),
        config: ArcSwap::from_pointee(base.config.clone()),
        started: base.clock.now(),
        base,
        origin,
        listening,
        keys_due: due(ring.due(&policy)),
        signer: Arc::new(signer),
        verifier,
        proofs,
        issuers,
        upstreams,
        accounts,
        proxy,
        metrics,
        settings: Arc::new(ArcSwap::from_pointee(plan.settings)),
        trail,
        lock,
        logins,
        approvals,
        ready: AtomicBool::new(false),
        notes: ArcSwap::from_pointee(plan.notes),
        refused: ArcSwap::default(),
    })
}

/// The servers behind; none is started yet.
fn upstreams(
    base: &Base,
    overrides: &Overrides,
    (audit, accounts): (&Arc<dyn Audit>, Arc<Using>),
    control: &tokio::runtime::Handle,
) -> Result<Arc<Upstreams>, StartError> {
    let launcher = overrides.launcher.clone();
    Ok(Upstreams::start(UpstreamDeps {
        accounts,
        sessions: Some(ServerSessions::new(
            Arc::new(base.store.clone()),
            base.vault.clone(),
        )),
        clock: Arc::clone(&base.clock),
        random: Arc::clone(&base.random),
        audit: Arc::clone(audit),
        egress: Egress::new((&base.config.root.egress).into()),
        control: control.clone(),
        run_dir: run_dir(&base.config.data_dir)?,
        launcher: launcher.unwrap_or_else(|| Launcher::Guard(child::guard_command())),
        environment: overrides.environment.all(),
    }))
}

/// What knows our own tokens.
fn verifier(base: &Base, origin: &str, signer: &Signer) -> Result<Arc<Verifier>, StartError> {
    let verifier = Verifier::new(origin, &signer.verifying_keys(), DEFAULT_CACHE)?;
    Ok(Arc::new(verifier.with_api_keys(base.vault.clone())))
}

/// What is approved, kept up to date and planned with.
fn lock(
    base: &Base,
    audit: &Arc<dyn Audit>,
    control: &tokio::runtime::Handle,
    plan: &mut Plan,
) -> Result<Arc<Lock>, StartError> {
    let lock = Lock::open(&base.config, Arc::clone(audit));
    let lock = lock.map_err(|error| StartError::Other(error.to_string()))?;
    control.spawn(Arc::clone(&lock).keep());
    plan.proxy.curator = lock.curator();
    Ok(lock)
}

/// The accounts at servers. Nothing else opens their tokens.
fn accounts(
    base: &Base,
    settings: sallyport_accounts::Settings,
    audit: &Arc<dyn Audit>,
    control: &tokio::runtime::Handle,
) -> Arc<Accounts> {
    let deps = sallyport_accounts::Deps {
        store: base.store.clone(),
        opener: base.vault.clone(),
        sealer: base.vault.clone(),
        derive: base.vault.clone(),
        audit: Arc::clone(audit),
        clock: Arc::clone(&base.clock),
        random: Arc::clone(&base.random),
        egress: Egress::new((&base.config.root.egress).into()),
        control: control.clone(),
    };
    Accounts::new(deps, settings)
}

/// Our own tokens, and those of the issuers that the configuration names.
fn believe(
    base: &Base,
    own: &Arc<Verifier>,
    origin: &str,
    control: &tokio::runtime::Handle,
) -> Result<Arc<Issuers>, StartError> {
    let (issuers, asked) = Issuers::new(
        Arc::clone(own),
        base.vault.clone(),
        Egress::new((&base.config.root.egress).into()),
        Arc::clone(&base.clock),
    );
    issuers.trust(issuers::trusted(&base.config.root.auth.issuers, origin)?);
    control.spawn(prepare(Arc::clone(&issuers), asked));
    Ok(issuers)
}

/// Gets the keys of other issuers, and asks again about opaque tokens that are in use.
async fn prepare(issuers: Arc<Issuers>, asked: mpsc::Receiver<Secret<String>>) {
    issuers.prepare().await;
    issuers.ask_again(asked).await;
}

/// The trail's first record of this run, and what other processes revoked before it.
async fn started(live: &Live) -> Result<(), StartError> {
    live.refresh_revoked().await?;
    live.refresh_api_keys().await?;
    let mut event = Event::new(Action::Start, Outcome::Ok).on(env!("CARGO_PKG_VERSION"));
    if live.config.load().root.auth.mode.value == Mode::None {
        event = event.because("auth.mode is none");
    }
    let recorded = live.trail.record_durably(event).await;
    recorded.map_err(|error| StartError::Other(error.to_string()))
}

fn authserver(live: &Arc<Live>) -> Result<(Parts, Option<axum::Router>), StartError> {
    let metrics = Arc::clone(&live.metrics);
    let passwords =
        Argon2id::new(Arc::clone(&live.base.random)).map_err(|error| StartError::Other(error.to_string()))?;
    let parts = Parts {
        store: live.base.store.clone(),
        signer: live.signer.clone(),
        sealer: live.base.vault.clone(),
        derive: live.base.vault.clone(),
        passwords: Arc::new(passwords),
        verify: live.verifier.clone(),
        revoke: live.verifier.clone(),
        proofs: Arc::clone(&live.proofs),
        approvals: Arc::clone(&live.approvals),
        audit: live.trail.clone(),
        clock: Arc::clone(&live.base.clock),
        random: Arc::clone(&live.base.random),
        settings: Arc::clone(&live.settings),
        egress: Egress::new((&live.config.load().root.egress).into()),
        metrics: Arc::new(move |reason| metrics.auth_failure(reason)),
        logins: Arc::clone(&live.logins),
        accounts: live.accounts.clone(),
    };
    let is_open = live.config.load().root.auth.mode.value == Mode::None;
    let router = (!is_open).then(|| router(parts.clone()));
    Ok((parts, router))
}

//! A gateway from start to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use sallyport_authserver::{Parts, router, setup_link};
use sallyport_core::audit::{Action, Audit, Event, Outcome};
use sallyport_core::clock::SystemClock;
use sallyport_core::{Clock, Random, Secret};
use sallyport_net::egress::{Egress, EgressPolicy};
use sallyport_net::{ListenOptions, Listener, ServerHandle};
use sallyport_proxy::upstream::{Launcher, UpstreamDeps, Upstreams};
use sallyport_proxy::{Metrics, Proxy, ProxyDeps};
use sallyport_vault::SystemRandom;
use sallyport_vault::password::Argon2id;
use sallyport_vault::verifier::{DEFAULT_CACHE, Verifier};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::banner::Banner;
use super::live::{Live, doors, plan_now, run_dir};
use super::service::Front;
use super::watch::{self, Ask};
use crate::base::{Base, StartError, public_origin};
use crate::config::auth::Mode;
use crate::config::{Adjustments, Config, Location, Problems};
use crate::environment::Environment;
use crate::{child, keys};

/// Threads for everything that is not MCP traffic.
const CONTROL_THREADS: usize = 2;

/// Where a configuration came from, so that it can be read again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub location: Location,
    /// What the command line sets besides.
    pub adjust: Adjustments,
}

/// What stands in for the outside world. The defaults are those of the product.
#[derive(Clone)]
pub struct Overrides {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// The environment.
    pub environment: Environment,
    /// How programs are started; `None` is through this executable's hidden verb.
    pub launcher: Option<Launcher>,
    /// What is read again at a reload; `None` has no reload.
    pub source: Option<Source>,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            environment: Environment::default(),
            launcher: None,
            source: None,
        }
    }
}

/// A running gateway. Dropped without [`Gateway::shutdown`], it stops at once.
pub struct Gateway {
    live: Arc<Live>,
    addr: SocketAddr,
    admin_addr: SocketAddr,
    front: Option<ServerHandle>,
    admin: Option<ServerHandle>,
    /// Stops the front; the admin listener goes last, so that it can tell of the drain.
    stop_front: CancellationToken,
    stop_all: CancellationToken,
    asks: mpsc::Sender<Ask>,
    setup: Option<Secret<String>>,
    runtime: Option<Runtime>,
}

impl Gateway {
    /// Starts a gateway and returns when it can serve.
    ///
    /// # Errors
    /// [`StartError`]; then nothing of it runs any more.
    pub async fn start(config: Config, overrides: Overrides) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(StartError::io("start the control threads"))?;
        let handle = runtime.handle().clone();
        let started = runtime.spawn(assemble(config, overrides, handle)).await;
        match started {
            Ok(Ok(mut gateway)) => {
                gateway.runtime = Some(runtime);
                Ok(gateway)
            }
            Ok(Err(error)) => {
                runtime.shutdown_background();
                Err(error)
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(StartError::Other(format!(
                    "the start did not come to its end: {error}"
                )))
            }
        }
    }

    /// The address of the main listener.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The origin that clients use.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.live.origin
    }

    /// The one-time link with which the first administrator makes an account, while there is none.
    #[must_use]
    pub fn setup_link(&self) -> Option<&Secret<String>> {
        self.setup.as_ref()
    }

    /// What the operator is told once it runs.
    #[must_use]
    pub fn banner(&self) -> Banner {
        let config = self.live.config.load();
        Banner {
            origin: self.live.origin.clone(),
            endpoint: self.live.settings.load().default_resource.as_str().to_owned(),
            admin: self.admin_addr,
            setup: self.setup.clone(),
            data_dir: config.data_dir.clone(),
            file: config.file.clone(),
            notes: self.live.notes.load().to_vec(),
        }
    }

    /// Reads the configuration again; what is wrong with it changes nothing.
    ///
    /// # Errors
    /// Every problem at once.
    pub async fn reload(&self) -> Result<(), Problems> {
        let (ask, answer) = oneshot::channel();
        if self.asks.send(ask).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// Stops: no new connections, running requests end within `limits.drain`, then programs, trail and store.
    pub async fn shutdown(mut self) {
        self.live.ready.store(false, Ordering::Release);
        if let Some(front) = self.front.take() {
            // Streams would otherwise be waited for until the end of the patience.
            self.live.proxy.close_streams();
            self.stop_front.cancel();
            front.drain().await;
        }
        self.live.upstreams.shutdown().await;
        self.live.trail.shutdown().await;
        self.stop_all.cancel();
        if let Some(admin) = self.admin.take() {
            admin.drain().await;
        }
        self.live.base.store.close().await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop_front.cancel();
        self.stop_all.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Binds first, because a port in use is the commonest mistake; then opens, then connects.
async fn assemble(
    config: Config,
    overrides: Overrides,
    control: tokio::runtime::Handle,
) -> Result<Gateway, StartError> {
    let front = bind(&config, config.root.listen.value.0, "worker")?;
    let admin = bind(&config, config.root.admin_listen.value.0, "admin")?;
    let listening = front.local_addrs();
    let (addr, admin_addr) = (first(&front)?, first(&admin)?);
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
    started(&live).await?;
    let (parts, router) = authserver(&live)?;
    let setup = match &router {
        Some(_) => setup_link(&parts).await?,
        None => None,
    };
    let is_https = live.origin.starts_with("https://");
    let (stop_front, stop_all) = (CancellationToken::new(), CancellationToken::new());
    let service = Front {
        live: Arc::clone(&live),
        router,
        control: control.clone(),
        is_https,
    };
    let serving = StartError::io("start the threads of the listener");
    let front = front
        .serve(Arc::new(service), stop_front.clone())
        .map_err(serving)?;
    let service = Admin {
        live: Arc::clone(&live),
        local: admin_addr.ip().is_loopback(),
    };
    let serving = StartError::io("start the threads of the admin listener");
    let admin = admin
        .serve(Arc::new(service), stop_all.clone())
        .map_err(serving)?;
    let (asks, asked) = mpsc::channel(1);
    control.spawn(watch::watch(
        Arc::clone(&live),
        overrides.source,
        asked,
        stop_all.clone(),
    ));
    live.ready.store(true, Ordering::Release);
    Ok(Gateway {
        live,
        addr,
        admin_addr,
        front: Some(front),
        admin: Some(admin),
        stop_front,
        stop_all,
        asks,
        setup,
        runtime: None,
    })
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
        options.shutdown_timeout = std::time::Duration::from_secs(1);
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
    let signer = keys::ring(&base, &origin).await?.signer;
    let verifier = Arc::new(Verifier::new(&origin, &signer.public_keys(), DEFAULT_CACHE)?);
    let plan = plan_now(&base, &base.config, &origin).await?;
    let metrics = Arc::new(Metrics::new());
    let upstreams = Upstreams::start(UpstreamDeps {
        clock: Arc::clone(&base.clock),
        random: Arc::clone(&base.random),
        audit: Arc::clone(&audit),
        egress: Egress::new(EgressPolicy::default()),
        control: control.clone(),
        run_dir: run_dir(&base.config.data_dir)?,
        launcher: overrides
            .launcher
            .clone()
            .unwrap_or_else(|| Launcher::Guard(child::guard_command())),
        environment: overrides.environment.all(),
    });
    let proxy = Proxy::new(
        ProxyDeps {
            verifier: verifier.clone(),
            sealer: base.vault.clone(),
            audit,
            clock: Arc::clone(&base.clock),
            random: Arc::clone(&base.random),
            upstreams: Arc::clone(&upstreams),
            metrics: Arc::clone(&metrics),
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
        signer,
        verifier,
        upstreams,
        proxy,
        metrics,
        settings: Arc::new(ArcSwap::from_pointee(plan.settings)),
        trail,
        ready: AtomicBool::new(false),
        notes: ArcSwap::from_pointee(plan.notes),
        refused: ArcSwap::default(),
    })
}

/// The trail's first record of this run, and what other processes revoked before it.
async fn started(live: &Live) -> Result<(), StartError> {
    live.refresh_revoked().await?;
    let event = Event::new(Action::Start, Outcome::Ok).on(env!("CARGO_PKG_VERSION"));
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
        revoke: live.verifier.clone(),
        audit: live.trail.clone(),
        clock: Arc::clone(&live.base.clock),
        random: Arc::clone(&live.base.random),
        settings: Arc::clone(&live.settings),
        metrics: Arc::new(move |reason| metrics.auth_failure(reason)),
    };
    let is_open = live.config.load().root.auth.mode.value == Mode::None;
    let router = (!is_open).then(|| router(parts.clone()));
    Ok((parts, router))
}

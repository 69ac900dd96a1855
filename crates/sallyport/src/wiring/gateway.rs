//! A gateway from start to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sallyport_core::clock::SystemClock;
use sallyport_core::{Clock, ProfileSlug, Random, RequestId, Secret, UserId};
use sallyport_net::{ServerHandle, Worker};
use sallyport_proxy::spec::ProxyLimits;
use sallyport_proxy::upstream::Launcher;
use sallyport_proxy::{Credential, Ended, Entrance, Manner, lines};
use sallyport_vault::SystemRandom;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::assemble::assemble;
use super::banner::Banner;
use super::live::Live;
use super::plan::OPERATOR;
use super::watch::Ask;
use crate::base::StartError;
use crate::config::{Adjustments, Config, Location, Problems};
use crate::environment::Environment;

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
    /// Whether anything is listened on. Without, only [`Gateway::converse`] has anybody served.
    pub listens: bool,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            environment: Environment::default(),
            launcher: None,
            source: None,
            listens: true,
        }
    }
}

/// A running gateway. Dropped without [`Gateway::shutdown`], it stops at once.
pub struct Gateway {
    pub(super) live: Arc<Live>,
    pub(super) addr: SocketAddr,
    pub(super) admin_addr: SocketAddr,
    pub(super) front: Option<ServerHandle>,
    pub(super) tcp: Option<ServerHandle>,
    pub(super) tcp_addr: Option<SocketAddr>,
    pub(super) admin: Option<ServerHandle>,
    /// With the operator, over standard input and output.
    pub(super) conversation: Option<JoinHandle<Ended>>,
    /// Stops the front; the admin listener goes last, so that it can tell of the drain.
    pub(super) stop_front: CancellationToken,
    pub(super) stop_all: CancellationToken,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) setup: Option<Secret<String>>,
    pub(super) runtime: Option<Runtime>,
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

    /// The address of the main listener; the configured one where nothing is listened on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the framed TCP listener, if there is one.
    #[must_use]
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp_addr
    }

    /// The address of the admin listener; the configured one where nothing is listened on.
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
        let mut notes = self.live.notes.load().to_vec();
        notes.extend(
            self.tcp_addr
                .filter(|addr| !addr.ip().is_loopback())
                .map(in_the_clear),
        );
        Banner {
            origin: self.live.origin.clone(),
            endpoint: self.live.settings.load().default_resource.as_str().to_owned(),
            tcp: self.tcp_addr,
            admin: self.admin_addr,
            setup: self.setup.clone(),
            data_dir: config.data_dir.clone(),
            file: config.file.clone(),
            notes,
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

    /// Speaks MCP with whoever started this process, through one profile: one message a line. After the end of the input
    /// running requests may end within `limits.drain`.
    ///
    /// # Errors
    /// [`StartError::Other`]: there is no such profile.
    pub fn converse(
        &mut self,
        profile: &ProfileSlug,
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), StartError> {
        let limits = self.live.config.load().root.limits.clone();
        let entrance = Entrance {
            path: format!("/mcp/{profile}"),
            credential: Credential::local(UserId::new(OPERATOR)),
            manner: Manner::FirstMessage(limits.drain.0),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            request: RequestId(0),
        };
        let entered = self.live.proxy.enter_duplex(&Worker::new(0), entrance);
        let conversation =
            entered.map_err(|turned| StartError::Other(format!("profile `{profile}`: {turned}")))?;
        let duplex = lines(reader, writer, ProxyLimits::from(&limits).request_bytes);
        let runtime = self.runtime.as_ref();
        self.conversation = runtime.map(|runtime| runtime.spawn(conversation.run(duplex)));
        Ok(())
    }

    /// Resolves when the conversation of [`Gateway::converse`] has ended; never where there is none.
    pub async fn conversed(&mut self) {
        match &mut self.conversation {
            Some(conversation) => {
                if let Err(error) = conversation.await {
                    tracing::error!(%error, "the conversation did not come to its end");
                }
                self.conversation = None;
            }
            None => std::future::pending().await,
        }
    }

    /// Stops: no new connections, running requests end within `limits.drain`, then programs, trail and store.
    pub async fn shutdown(mut self) {
        self.live.ready.store(false, Ordering::Release);
        // Streams would otherwise be waited for until the end of the patience.
        self.live.proxy.close_streams();
        if let Some(front) = self.front.take() {
            self.stop_front.cancel();
            let tcp = self.tcp.take();
            tokio::join!(front.drain(), async {
                if let Some(tcp) = tcp {
                    tcp.drain().await;
                }
            });
        }
        if self.conversation.is_some() {
            let patience = self.live.config.load().root.limits.drain.0;
            if timeout(patience, self.conversed()).await.is_err() {
                tracing::warn!("requests that did not end in time were cut off");
            }
        }
        self.live.proxy.keep_sessions().await;
        self.live.upstreams.shutdown().await;
        self.live.logins.flush().await;
        self.live.trail.shutdown().await;
        self.stop_all.cancel();
        if let Some(admin) = self.admin.take() {
            admin.drain().await;
        }
        self.live.base.store.close().await;
    }
}

fn in_the_clear(addr: SocketAddr) -> String {
    format!(
        "`tcp_listen` is {addr}, which other machines reach without TLS: tokens pass in the clear; put a TLS proxy in front"
    )
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

//! The one way out of the process over the network: a name is resolved once, every address is checked, and the
//! connection goes to an address that was checked. Proxy settings of the environment are not looked at (SR-07).

mod address;
mod certificate;
mod fetch;
mod resolve;
mod target;
mod tls;
mod transport;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustix::net::sockopt;
use sallyport_core::fault::Fault;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

pub use address::{Kind, kind};
pub use certificate::Certificate;
pub use fetch::{Fetch, Fetched};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use target::Target;
pub use tls::authorities;
pub use transport::Transport;

/// How long one address of several is tried before the next.
const ATTEMPT: Duration = Duration::from_secs(3);

/// After so much silence the other side is asked whether it is still there, every so often, so many times: a stream that
/// says nothing for hours is told apart from a peer that is gone within two minutes, and no NAT forgets it (they keep
/// silent connections for five minutes and more).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// How far a connection may reach.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reach {
    /// A server that the operator configured: http, ws or tcp, with TLS or without, any port, loopback and private networks too. The metadata
    /// services of clouds are out of reach even so (SR-03).
    Operator,
    /// A URL from a stranger (a client's metadata document, a server's answer): https, public addresses and usual ports
    /// only.
    Public,
}

/// What the operator changes in the rules of [`Reach`].
#[derive(Clone, Default, Debug)]
pub struct EgressPolicy {
    /// Networks out of reach for everyone, besides the fixed ones.
    pub denied: Vec<IpNet>,
    /// Networks that are not public and yet within [`Reach::Public`]; http is then allowed too on loopback. Never opens
    /// a metadata service.
    pub allowed: Vec<IpNet>,
    /// Ports within [`Reach::Public`] besides 443 and 8443.
    pub ports: Vec<u16>,
    /// Certificates (DER) of authorities that are trusted besides the system's.
    pub authorities: Vec<Vec<u8>>,
}

/// Why there is no connection. The text is for the operator's log; a stranger is told [`EgressError::PUBLIC`] whatever
/// the reason (SR-10).
#[derive(Debug, Error)]
pub enum EgressError {
    /// Not a URL that may be called: scheme, port, user information or fragment.
    #[error("the URL cannot be called: {0}")]
    Url(&'static str),
    /// The name is, or resolves to, an address out of reach.
    #[error("the address {address} ({kind}) of `{host}` is out of reach")]
    Address {
        /// The host as the URL names it.
        host: String,
        /// The address that was refused.
        address: IpAddr,
        /// What it is.
        kind: Kind,
    },
    /// The name of a metadata service.
    #[error("`{0}` is a metadata service")]
    Metadata(String),
    /// The name does not resolve.
    #[error("`{host}` does not resolve: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// No address answers.
    #[error("`{host}` cannot be reached: {source}")]
    Connect {
        /// The host as the URL names it.
        host: String,
        /// What the last attempt said.
        source: std::io::Error,
    },
    /// TLS failed.
    #[error("TLS with `{host}` failed: {source}")]
    Tls {
        /// The host as the URL names it.
        host: String,
        /// What rustls said.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("`{0}` did not answer in time")]
    Timeout(String),
    /// The request was sent or was to be sent, and failed.
    #[error("the request to `{host}` failed: {source}")]
    Fetch {
        /// The host as the URL names it.
        host: String,
        /// What failed.
        source: Fault,
    },
}

impl EgressError {
    /// What a stranger is told, whatever the reason.
    pub const PUBLIC: &'static str = "the address cannot be reached";
}

/// The guarded way out.
pub struct Egress {
    policy: EgressPolicy,
    resolver: Arc<dyn Resolve>,
    tls: tls::Connector,
}

impl Egress {
    /// With the system's resolver.
    #[must_use]
    pub fn new(policy: EgressPolicy) -> Arc<Self> {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// With another resolver.
    #[must_use]
    pub fn with_resolver(policy: EgressPolicy, resolver: Arc<dyn Resolve>) -> Arc<Self> {
        let tls = tls::Connector::new(policy.authorities.clone());
        Arc::new(Self {
            policy,
            resolver,
            tls,
        })
    }

    /// A place to send requests to. It is made once for a server; idle connections are kept by it.
    ///
    /// # Errors
    /// [`EgressError::Url`], [`EgressError::Metadata`], or [`EgressError::Address`] where the host is an address.
    pub fn target(self: &Arc<Self>, url: &Url, reach: Reach) -> Result<Arc<Target>, EgressError> {
        let target = Target::new(Arc::clone(self), url, reach)?;
        Ok(Arc::new(target))
    }

    /// Connects, with TLS where the URL's scheme has it. The caller bounds the time.
    ///
    /// # Errors
    /// [`EgressError`], always before anything of a request was sent.
    pub async fn connect(&self, target: &Target) -> Result<Transport, EgressError> {
        let addresses = self.addresses(target).await?;
        let tcp = dial(target, &addresses).await?;
        if !target.is_tls() {
            return Ok(Transport::plain(tcp));
        }
        let host = target.host_text();
        let failed = |source| EgressError::Tls {
            host: host.clone(),
            source,
        };
        let tls = self
            .tls
            .connect(&host, tcp, target.is_http())
            .await
            .map_err(failed)?;
        Ok(Transport::tls(tls))
    }

    /// The addresses of the target, each of them checked: one bad address spoils the name (SR-04).
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, EgressError> {
        let port = target.port();
        if let Some(address) = target.literal() {
            self.check(address, target.reach(), &target.host_text())?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = target.host_text();
        let unresolved = |source| EgressError::Resolve {
            host: host.clone(),
            source,
        };
        let found = self.resolver.resolve(&host).await.map_err(unresolved)?;
        if found.is_empty() {
            return Err(unresolved(std::io::Error::from(std::io::ErrorKind::NotFound)));
        }
        for address in &found {
            self.check(*address, target.reach(), &host)?;
        }
        Ok(found
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    fn check(&self, address: IpAddr, reach: Reach, host: &str) -> Result<(), EgressError> {
        let kind = kind(address);
        let real = address.to_canonical();
        let listed = |nets: &[IpNet]| {
            nets.iter()
                .any(|net| net.contains(&real) || net.contains(&address))
        };
        let open = match (kind, reach) {
            _ if listed(&self.policy.denied) => false,
            (Kind::Metadata | Kind::Unusable, _) => false,
            (Kind::Public, _) | (Kind::Loopback | Kind::Private, Reach::Operator) => true,
            (Kind::Tunnel, Reach::Operator) => true,
            (Kind::LinkLocal, Reach::Operator) => address.is_ipv6(),
            (_, Reach::Public) => listed(&self.policy.allowed),
        };
        if open {
            Ok(())
        } else {
            Err(EgressError::Address {
                host: host.to_owned(),
                address,
                kind,
            })
        }
    }
}

/// Tries one address after the other.
async fn dial(target: &Target, addresses: &[SocketAddr]) -> Result<TcpStream, EgressError> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for (nth, address) in addresses.iter().enumerate() {
        let alone = nth + 1 == addresses.len();
        let attempt = if alone {
            tcp(*address).await
        } else {
            timeout(ATTEMPT, tcp(*address))
                .await
                .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut)))
        };
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(EgressError::Connect {
        host: target.host_text(),
        source: last,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that opens connections, to checked addresses"
)]
async fn tcp(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

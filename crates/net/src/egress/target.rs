//! A place to send requests to.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use url::{Host, Url};

use super::{Egress, EgressError, Reach};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Names under which clouds offer their metadata services.
const METADATA_NAMES: [&str; 5] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
];

/// A place to send requests to: one URL with the reach it was given. Idle connections belong to one target, so that none
/// is used under another policy than it was checked for (SR-06).
pub struct Target {
    id: u64,
    url: Url,
    host: Host<String>,
    port: u16,
    reach: Reach,
    tls: bool,
    /// `path HTTP/1.1`, `host`: what of the request's head is always the same.
    fixed: Box<str>,
    egress: Arc<Egress>,
}

impl Target {
    pub(super) fn new(egress: Arc<Egress>, url: &Url, reach: Reach) -> Result<Self, EgressError> {
        let tls = is_tls(url.scheme(), reach)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Url("user information is not allowed in it"));
        }
        let host = host(url)?;
        let port = url
            .port_or_known_default()
            .ok_or(EgressError::Url("it names no port"))?;
        if port == 0 {
            return Err(EgressError::Url("port 0 cannot be called"));
        }
        let literal = literal(&host);
        if let Host::Domain(name) = &host {
            let name = name.trim_end_matches('.');
            if METADATA_NAMES
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
            {
                return Err(EgressError::Metadata(name.to_owned()));
            }
        }
        if let Some(address) = literal {
            egress.check(address, reach, &host.to_string())?;
        }
        if reach == Reach::Public {
            let policy = &egress.policy;
            let opened = literal
                .map(|address| address.to_canonical())
                .is_some_and(|address| {
                    address.is_loopback() && policy.allowed.iter().any(|net| net.contains(&address))
                });
            if !tls && !opened {
                return Err(EgressError::Url("only https is allowed"));
            }
            if !matches!(port, 443 | 8443) && !policy.ports.contains(&port) {
                return Err(EgressError::Url("its port is not allowed"));
            }
        }
        let fixed = fixed_part(url, &host, port, tls);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            id,
            url: url.clone(),
            host,
            port,
            reach,
            tls,
            fixed,
            egress,
        })
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How far it may reach.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// The guarded way out that leads to it.
    #[must_use]
    pub fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn fixed(&self) -> &str {
        &self.fixed
    }

    pub(crate) fn host_text(&self) -> String {
        self.host.to_string()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether HTTP is spoken, which TLS then says in its handshake too (ALPN).
    pub(super) fn is_http(&self) -> bool {
        !matches!(self.url.scheme(), "tcp" | "tls")
    }

    /// The URL as that of a WebSocket.
    pub(crate) fn websocket_url(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let text = self.url.as_str();
        text.split_once(':')
            .map_or_else(String::new, |(_, rest)| format!("{scheme}:{rest}"))
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn literal(&self) -> Option<IpAddr> {
        literal(&self.host)
    }
}

impl fmt::Debug for Target {
    /// Scheme, host and port: the path and query of a URL may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.url.scheme(), self.host, self.port)
    }
}

/// What is spoken. Strangers' URLs are those of documents.
fn is_tls(scheme: &str, reach: Reach) -> Result<bool, EgressError> {
    match (scheme, reach) {
        ("https", _) => Ok(true),
        ("http", _) => Ok(false),
        ("wss" | "tls", Reach::Operator) => Ok(true),
        ("ws" | "tcp", Reach::Operator) => Ok(false),
        (_, Reach::Operator) => Err(EgressError::Url(
            "only http, https, ws, wss, tcp and tls are spoken",
        )),
        (_, Reach::Public) => Err(EgressError::Url("only http and https are spoken")),
    }
}

/// The host, read as that of a web address whatever the scheme: of `tcp` and `tls` URLs the library leaves it as text.
fn host(url: &Url) -> Result<Host<String>, EgressError> {
    let text = url.host_str().ok_or(EgressError::Url("it names no host"))?;
    Host::parse(text).map_err(|_| EgressError::Url("its host cannot be read"))
}

fn literal(host: &Host<String>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        Host::Domain(_) => None,
    }
}

fn fixed_part(url: &Url, host: &Host<String>, port: u16, tls: bool) -> Box<str> {
    let mut text = String::from(url.path());
    if let Some(query) = url.query() {
        text.push('?');
        text.push_str(query);
    }
    text.push_str(" HTTP/1.1\r\nhost: ");
    text.push_str(&host.to_string());
    if port != if tls { 443 } else { 80 } {
        text.push(':');
        text.push_str(&port.to_string());
    }
    text.push_str("\r\n");
    text.into()
}

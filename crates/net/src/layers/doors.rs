//! The doors: which hosts and origins a request may name. They stand before authentication, and are what keeps a web
//! page from talking to a gateway on the reader's machine (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;
use thiserror::Error;
use url::Url;

use super::forwarded::TrustedProxies;
use super::origin::{authorities, is_authority, is_loopback_origin, is_loopback_url};

/// What the doors are made from.
#[derive(Clone, Debug)]
pub struct DoorsOptions<'a> {
    /// The one origin that clients use.
    pub public_url: &'a Url,
    /// The addresses that are listened on, with their real ports.
    pub listen: &'a [SocketAddr],
    /// Origins that may call besides the public one: `scheme://host[:port]`.
    pub allowed_origins: &'a [String],
    /// Networks of the proxies whose word about the client's address is taken.
    pub trusted_proxies: &'a [IpNet],
}

/// Why doors cannot be made: the operator's mistake.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DoorsError {
    /// The public URL names no host.
    #[error("the public URL names no host")]
    PublicUrl,
    /// Not an origin.
    #[error("`{0}` is not an origin: write scheme://host or scheme://host:port, without a path")]
    Origin(String),
}

/// Why a request was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum DoorError {
    /// There is no `Host`, or more than one, or it is not a host (RFC 9112 §3.2): 400.
    #[error("the request needs exactly one well-formed Host header")]
    HostMalformed,
    /// The target names another host than `Host`: 400.
    #[error("the request's target and its Host header differ")]
    TargetDiffers,
    /// A host that is not this gateway's: 421 (RFC 9110 §15.5.20).
    #[error("this host is not served here")]
    HostForeign,
    /// A web page from elsewhere: 403.
    #[error("requests from this origin are not allowed")]
    OriginForeign,
}

impl DoorError {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::HostMalformed | Self::TargetDiffers => StatusCode::BAD_REQUEST,
            Self::HostForeign => StatusCode::MISDIRECTED_REQUEST,
            Self::OriginForeign => StatusCode::FORBIDDEN,
        }
    }

    /// The metric label: a closed set.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::HostMalformed => "host_malformed",
            Self::TargetDiffers => "target_differs",
            Self::HostForeign => "host_foreign",
            Self::OriginForeign => "origin_foreign",
        }
    }
}

/// The checks of `Host` and `Origin`, and who the client is behind proxies.
#[derive(Clone, Debug)]
pub struct Doors {
    hosts: Vec<String>,
    origins: Vec<String>,
    /// Listening on this machine only: pages of this machine may call.
    local: bool,
    proxies: TrustedProxies,
}

impl Doors {
    /// Doors for a public URL and the addresses that are listened on. Where one of these, or the public
    /// URL, is a loopback address, the names `localhost`, `127.0.0.1` and `[::1]` are hosts too, with its port.
    ///
    /// # Errors
    /// [`DoorsError`].
    pub fn new(options: &DoorsOptions<'_>) -> Result<Self, DoorsError> {
        let mut hosts = authorities(options.public_url);
        if hosts.is_empty() {
            return Err(DoorsError::PublicUrl);
        }
        let mut ports: Vec<u16> = Vec::new();
        for addr in options.listen {
            if addr.ip().is_loopback() {
                ports.push(addr.port());
            } else if !addr.ip().is_unspecified() {
                // A proxy in front that does not pass the name on calls the address itself; a page cannot.
                hosts.push(addr.to_string());
            }
        }
        if is_loopback_url(options.public_url) {
            ports.extend(options.public_url.port_or_known_default());
        }
        for port in ports {
            for name in ["localhost", "127.0.0.1", "[::1]"] {
                hosts.push(format!("{name}:{port}"));
                if port == 80 {
                    hosts.push(name.to_owned());
                }
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        let local = !options.listen.is_empty() && options.listen.iter().all(|addr| addr.ip().is_loopback());
        let mut origins = vec![options.public_url.origin().ascii_serialization()];
        for text in options.allowed_origins {
            origins.push(origin(text).ok_or_else(|| DoorsError::Origin(text.clone()))?);
        }
        Ok(Self {
            hosts,
            origins,
            local,
            proxies: TrustedProxies::new(options.trusted_proxies.to_vec()),
        })
    }

    /// Whether the request may come in.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn check(&self, parts: &Parts) -> Result<(), DoorError> {
        let host = single(&parts.headers, &HOST).ok_or(DoorError::HostMalformed)?;
        let host = host.to_str().map_err(|_| DoorError::HostMalformed)?;
        if let Some(authority) = parts.uri.authority()
            && !authority.as_str().eq_ignore_ascii_case(host)
        {
            return Err(DoorError::TargetDiffers);
        }
        if !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Err(if is_authority(host) {
                DoorError::HostForeign
            } else {
                DoorError::HostMalformed
            });
        }
        self.check_origin(&parts.headers)
    }

    /// Whether a page of this origin may call.
    #[must_use]
    pub fn admits_origin(&self, origin: &str) -> bool {
        self.origins
            .iter()
            .any(|known| known.eq_ignore_ascii_case(origin))
            || (self.local && is_loopback_origin(origin))
    }

    /// The client's address: the connection's other end, or what trusted proxies tell of it.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        self.proxies.client(headers, peer.ip())
    }

    /// Whether the other end of a connection is a proxy whose word is taken.
    #[must_use]
    pub fn trusts(&self, peer: SocketAddr) -> bool {
        self.proxies.trusts(peer.ip().to_canonical())
    }

    /// Requests without an origin do not come from a page of another site, or change nothing (a browser sends `Origin`
    /// with every POST and with every request across origins).
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), DoorError> {
        if !headers.contains_key(ORIGIN) {
            return Ok(());
        }
        let origin = single(headers, &ORIGIN).and_then(|origin| origin.to_str().ok());
        match origin {
            Some(origin) if self.admits_origin(origin) => Ok(()),
            _ => Err(DoorError::OriginForeign),
        }
    }
}

/// The header's value if there is exactly one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// An origin as browsers write it. Custom schemes of applications (`vscode-webview://…`) are taken as they are.
fn origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._:+".contains(&b);
        return (!scheme.is_empty() && !authority.is_empty() && authority.bytes().all(fine))
            .then(|| text.to_ascii_lowercase());
    }
    if !is_authority(authority.trim_end_matches('/')) {
        return None;
    }
    Some(Url::parse(text).ok()?.origin().ascii_serialization())
}

#[cfg(test)]
#[path = "doors_tests.rs"]
mod tests;

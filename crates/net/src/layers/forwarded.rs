//! The client's address behind proxies (RFC 7239, and the older `X-Forwarded-For`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The most hops that are looked at, from the nearest on.
const MAX_HOPS: usize = 32;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks of the proxies whose word about the client's address is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Proxies in these networks are trusted; none is otherwise.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The client's address: from a trusted peer, the nearest hop that is not a trusted proxy; everything left of it was
    /// written by a stranger (RL-01, RL-02). Where `Forwarded` and `X-Forwarded-For` are both there and disagree, one of
    /// them was not written by the proxy, and neither is believed.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let peer = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let values = |name: &HeaderName| {
            let lines = headers
                .get_all(name)
                .iter()
                .map(|line| line.to_str().unwrap_or("?"));
            let lines: Vec<&str> = lines.collect();
            (!lines.is_empty()).then(|| lines.join(","))
        };
        let old = values(&X_FORWARDED_FOR).map(|text| self.nearest(peer, text.rsplit(',').map(node)));
        let new = values(&FORWARDED).map(|text| {
            let hops = split_outside_quotes(&text, ',');
            self.nearest(peer, hops.into_iter().rev().map(forwarded_for))
        });
        match (old, new) {
            (Some(old), Some(new)) if old != new => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        }
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Walks from the nearest hop outward.
    fn nearest(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in hops.take(MAX_HOPS) {
            // `unknown`, an obfuscated name or nonsense: nothing further out can be trusted.
            let Some(address) = hop else { return client };
            client = address.to_canonical();
            if !self.trusts(client) {
                return client;
            }
        }
        client
    }
}

/// The `for` parameter of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let parameters = split_outside_quotes(element, ';');
    let mut found = parameters.into_iter().filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.trim().trim_matches('"'))
    });
    let value = found.next()?;
    if found.next().is_some() { None } else { node(value) }
}

/// An address with or without a port, IPv6 in brackets or bare (RFC 7239 §6).
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .collect()
}

/// What limits count as one client: an IPv4 address, or the IPv6 network of 64 bits that one site has (RL-02).
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;

//! Hosts and origins as text that can be compared (RFC 6454 §6, RFC 9110 §7.2).

use std::net::IpAddr;

use url::{Host, Url};

/// Whether the text is `host [ ":" port ]` and nothing else: no user information, path or blank (RFC 9110 §7.2).
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                (address, if after.is_empty() { None } else { Some(after) })
            }
            _ => return false,
        },
        None => match text.find(':') {
            Some(at) => text
                .split_at_checked(at)
                .map_or((text, None), |(host, port)| (host, Some(port))),
            None => (text, None),
        },
    };
    let port_is_fine = port.is_none_or(|port| {
        port.strip_prefix(':').is_some_and(|n| {
            !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && n.parse::<u16>().is_ok()
        })
    });
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    !host.is_empty() && host.bytes().all(name) && port_is_fine
}

/// Every spelling of the authority under which clients call a URL: with the port, and without it where it is the
/// scheme's own.
pub(super) fn authorities(url: &Url) -> Vec<String> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Vec::new();
    };
    let host = host.to_ascii_lowercase();
    let mut found = vec![format!("{host}:{port}")];
    if url.port().is_none() {
        found.push(host);
    }
    found
}

/// Whether the text is the origin of a page on this machine, in any of its three names and on any port.
pub(super) fn is_loopback_origin(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
    else {
        return false;
    };
    is_authority(rest)
        && Url::parse(text).is_ok_and(|url| {
            // The name itself, not one that is only resolved to this machine.
            let known = match url.host() {
                Some(Host::Domain(name)) => name == "localhost",
                Some(Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
                Some(Host::Ipv6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
                None => false,
            };
            // What the browser would have written: no other spelling of the same address.
            known && url.origin().ascii_serialization().eq_ignore_ascii_case(text)
        })
}

/// Whether the URL is one of this machine.
pub(super) fn is_loopback_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

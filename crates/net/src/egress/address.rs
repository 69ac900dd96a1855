//! What an IP address is good for (IANA special-purpose registries, RFC 6890), embedded forms included.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Globally reachable.
    Public,
    /// This machine.
    Loopback,
    /// A private or shared network: RFC 1918, RFC 6598 (CGN), RFC 4193 (ULA), test and documentation networks.
    Private,
    /// RFC 3927, RFC 4291 §2.5.6.
    LinkLocal,
    /// The metadata service of a cloud: it hands out credentials to whoever asks.
    Metadata,
    /// A tunnel whose other end is not told by the address: 6to4, Teredo.
    Tunnel,
    /// Nothing to connect to: unspecified, multicast, broadcast, reserved.
    Unusable,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata service",
            Self::Tunnel => "tunnel",
            Self::Unusable => "unusable",
        })
    }
}

/// The metadata services that live outside of link-local networks, which are all refused: Alibaba, Oracle, Azure's
/// platform address.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Amazon's (both spellings) and Google's over IPv6.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// IPv4 networks that are not public: network, prefix length, what it is. The first that holds the address decides.
const V4: [(Ipv4Addr, u8, Kind); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Kind::Unusable),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Kind::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Kind::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Kind::Loopback),
    // Every metadata service of the v4 link-local network at once: it has no other use between servers.
    (Ipv4Addr::new(169, 254, 0, 0), 16, Kind::Metadata),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Kind::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Kind::Private),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Kind::Private),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Kind::Private),
    (Ipv4Addr::new(192, 52, 193, 0), 24, Kind::Private),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Kind::Tunnel),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Kind::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Kind::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Kind::Private),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Kind::Private),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Kind::Private),
    // Multicast, reserved and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3, Kind::Unusable),
];

/// IPv6 networks that are not public.
const V6: [(Ipv6Addr, u8, Kind); 11] = [
    // Segment routing, discard, dummy prefix, NAT64 for local use (RFC 8215): none has a public other end.
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Kind::Private),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 48, Kind::Unusable),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, Kind::Tunnel),
    // The rest of the IETF protocol assignments: benchmarking, ORCHID, drone ids (RFC 2928).
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Kind::Private),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Kind::Private),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Kind::Tunnel),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Kind::Private),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, Kind::Private),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Kind::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Kind::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Kind::Private),
];

/// What the address is. An address that carries an IPv4 address is what that one is, unless it is worse itself.
#[must_use]
pub fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    if METADATA_V4.contains(&address) {
        return Kind::Metadata;
    }
    let within = |net: Ipv4Addr, prefix: u8| {
        let shift = 32u32.saturating_sub(prefix.into());
        u32::from(address) >> shift == u32::from(net) >> shift
    };
    let found = V4.iter().find(|(net, prefix, _)| within(*net, *prefix));
    found.map_or(Kind::Public, |(_, _, kind)| *kind)
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if METADATA_V6.contains(&address) {
        return Kind::Metadata;
    }
    match address {
        Ipv6Addr::LOCALHOST => return Kind::Loopback,
        Ipv6Addr::UNSPECIFIED => return Kind::Unusable,
        _ => {}
    }
    let outer = outer_v6(address);
    let Some(inner) = embedded(address).map(kind_v4) else {
        return outer;
    };
    match (outer, inner) {
        // What is refused to everyone stays refused in every disguise.
        (_, Kind::Metadata) => Kind::Metadata,
        (Kind::Public, inner) => inner,
        (outer, Kind::Public) => outer,
        (_, inner) => inner,
    }
}

fn outer_v6(address: Ipv6Addr) -> Kind {
    let within = |net: Ipv6Addr, prefix: u8| {
        let shift = 128u32.saturating_sub(prefix.into());
        u128::from(address) >> shift == u128::from(net) >> shift
    };
    if let Some((_, _, kind)) = V6.iter().find(|(net, prefix, _)| within(*net, *prefix)) {
        return *kind;
    }
    // Only 2000::/3 is given out; besides it there are the forms that carry an IPv4 address.
    let global = u128::from(address) >> 125 == 0b001;
    if global || carries_v4(address) {
        Kind::Public
    } else {
        Kind::Unusable
    }
}

/// The forms whose other end is the embedded IPv4 address and nothing else.
fn carries_v4(address: Ipv6Addr) -> bool {
    let high = u128::from(address) >> 32;
    // ::ffff:0:0/96, ::ffff:0:0:0/96 (SIIT), ::/96 (deprecated), 64:ff9b::/96 (RFC 6052).
    matches!(high, 0xffff | 0xffff_0000 | 0 | 0x0064_ff9b_0000_0000_0000_0000)
}

/// The IPv4 address within an IPv6 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = u128::from(address);
    let low = |shift: u32| Ipv4Addr::from(u32::try_from((bits >> shift) & 0xffff_ffff).unwrap_or(0));
    let [a, b, _, _, e, f, ..] = address.segments();
    match (a, b) {
        _ if carries_v4(address) => Some(low(0)),
        // 64:ff9b:1::/48: most networks use the low 32 bits.
        (0x64, 0xff9b) => Some(low(0)),
        // 6to4: right after the prefix.
        (0x2002, _) => Some(low(80)),
        // Teredo: the client's address, inverted (RFC 4380 §4).
        (0x2001, 0) => Some(Ipv4Addr::from(!u32::from(low(0)))),
        // ISATAP interface identifiers (RFC 5214 §6.1).
        _ if e & 0xfdff == 0 && f == 0x5efe => Some(low(0)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn of(text: &str) -> Kind {
    kind(text.parse().unwrap())
}

#[test]
fn sr_02_every_form_of_an_inner_address_is_refused() {
    for (address, expected) in [
        ("::1", Kind::Loopback),
        ("::", Kind::Unusable),
        ("::ffff:127.0.0.1", Kind::Loopback),
        ("::ffff:7f00:1", Kind::Loopback),
        ("::127.0.0.1", Kind::Loopback),
        ("::ffff:0:127.0.0.1", Kind::Loopback),
        ("::ffff:10.0.0.1", Kind::Private),
        ("64:ff9b::7f00:1", Kind::Loopback),
        ("64:ff9b::10.0.0.1", Kind::Private),
        ("64:ff9b:1::10.0.0.1", Kind::Private),
        ("64:ff9b:1::8.8.8.8", Kind::Private),
        ("fe80::1", Kind::LinkLocal),
        ("febf::1", Kind::LinkLocal),
        ("fec0::1", Kind::Private),
        ("fc00::1", Kind::Private),
        ("fd00::1", Kind::Private),
        ("2002:7f00:1::", Kind::Loopback),
        ("2002:0a00:0001::1", Kind::Private),
        ("2002:808:808::1", Kind::Tunnel),
        // Teredo: the client's address is inverted.
        ("2001:0:5db8:d822:0:0:80ff:fffe", Kind::Loopback),
        ("2001:0:5db8:d822:0:0:f7f7:f7f7", Kind::Tunnel),
        ("2001:db8::1", Kind::Private),
        ("2600::5efe:10.0.0.1", Kind::Private),
        ("ff02::1", Kind::Unusable),
        ("100::1", Kind::Unusable),
        ("3fff::1", Kind::Private),
        ("5f00::1", Kind::Private),
        ("4000::1", Kind::Unusable),
        ("2606:4700:4700::1111", Kind::Public),
        ("::ffff:8.8.8.8", Kind::Public),
        ("64:ff9b::808:808", Kind::Public),
    ] {
        assert_eq!(of(address), expected, "{address}");
    }
}

#[test]
fn ipv4_networks_at_their_edges() {
    for (address, expected) in [
        ("0.0.0.0", Kind::Unusable),
        ("0.255.255.255", Kind::Unusable),
        ("1.0.0.0", Kind::Public),
        ("9.255.255.255", Kind::Public),
        ("10.0.0.0", Kind::Private),
        ("10.255.255.255", Kind::Private),
        ("11.0.0.0", Kind::Public),
        ("100.63.255.255", Kind::Public),
        ("100.64.0.0", Kind::Private),
        ("100.127.255.255", Kind::Private),
        ("100.128.0.0", Kind::Public),
        ("126.255.255.255", Kind::Public),
        ("127.0.0.0", Kind::Loopback),
        ("127.255.255.255", Kind::Loopback),
        ("169.253.255.255", Kind::Public),
        ("169.254.0.0", Kind::Metadata),
        ("169.255.0.0", Kind::Public),
        ("172.15.255.255", Kind::Public),
        ("172.16.0.0", Kind::Private),
        ("172.31.255.255", Kind::Private),
        ("172.32.0.0", Kind::Public),
        ("192.0.0.1", Kind::Private),
        ("192.0.2.1", Kind::Private),
        ("192.167.255.255", Kind::Public),
        ("192.168.0.0", Kind::Private),
        ("192.169.0.0", Kind::Public),
        ("198.17.255.255", Kind::Public),
        ("198.18.0.0", Kind::Private),
        ("198.20.0.0", Kind::Public),
        ("203.0.113.9", Kind::Private),
        ("223.255.255.255", Kind::Public),
        ("224.0.0.1", Kind::Unusable),
        ("240.0.0.1", Kind::Unusable),
        ("255.255.255.255", Kind::Unusable),
    ] {
        assert_eq!(of(address), expected, "{address}");
    }
}

proptest! {
    /// However an IPv4 address is wrapped, it is not more public than it is bare.
    #[test]
    fn sr_02_no_wrapping_makes_an_address_public(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from(bits);
        let bare = kind(v4.into());
        let [a, b] = [u16::try_from(bits >> 16).unwrap(), u16::try_from(bits & 0xffff).unwrap()];
        for wrapped in [
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, a, b),
            Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !a, !b),
            Ipv6Addr::new(0x2600, 0, 0, 0, 0x200, 0x5efe, a, b),
            Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0x5efe, a, b),
        ] {
            let found = kind(wrapped.into());
            prop_assert!(found != Kind::Public || bare == Kind::Public, "{} in {} is {}", bare, wrapped, found);
            prop_assert!(bare != Kind::Metadata || found == Kind::Metadata, "{} hides {}", wrapped, v4);
        }
    }

    /// Only addresses that IANA gives out are public.
    #[test]
    fn only_global_unicast_is_public(bits in any::<u128>()) {
        let address = Ipv6Addr::from(bits);
        if kind(address.into()) == Kind::Public {
            let first = address.segments()[0];
            prop_assert!((0x2000..0x4000).contains(&first) || first == 0 || first == 0x64, "{}", address);
        }
    }
}

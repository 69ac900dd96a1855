use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn proxies() -> TrustedProxies {
    TrustedProxies::new(vec![
        "10.0.0.0/8".parse().unwrap(),
        "2001:db8:aa::/48".parse().unwrap(),
    ])
}

fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    proxies().client(&map, peer.parse().unwrap()).to_string()
}

#[test]
fn rl_01_strangers_are_not_believed() {
    for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        for value in ["1.2.3.4", "for=1.2.3.4", "10.0.0.1"] {
            assert_eq!(client("192.0.2.9", &[(name, value)]), "192.0.2.9");
        }
    }
    assert_eq!(client("10.0.0.1", &[("x-real-ip", "1.2.3.4")]), "10.0.0.1");
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
    let peer = "10.0.0.1".parse().unwrap();
    assert_eq!(TrustedProxies::default().client(&headers, peer), peer);
}

#[test]
fn rl_02_the_nearest_hop_that_is_no_proxy_is_the_client() {
    let old = |value: &str| client("10.0.0.1", &[("x-forwarded-for", value)]);
    assert_eq!(old("192.0.2.1"), "192.0.2.1");
    assert_eq!(old("6.6.6.6, 192.0.2.1"), "192.0.2.1");
    assert_eq!(old("6.6.6.6, 192.0.2.1, 10.9.9.9"), "192.0.2.1");
    assert_eq!(old("6.6.6.6,192.0.2.1:4711 , 10.9.9.9"), "192.0.2.1");
    assert_eq!(old("10.1.1.1, 10.2.2.2"), "10.1.1.1");
    assert_eq!(old("::ffff:192.0.2.1"), "192.0.2.1");
    assert_eq!(old("2001:db8::1"), "2001:db8::1");
    assert_eq!(old("[2001:db8::1]:4711"), "2001:db8::1");
    // What cannot be read ends the walk at the last hop that could.
    assert_eq!(old("192.0.2.1, nonsense"), "10.0.0.1");
    assert_eq!(old("192.0.2.1, unknown, 10.5.5.5"), "10.5.5.5");
    assert_eq!(old(""), "10.0.0.1");
    assert_eq!(
        client("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.1")]),
        "192.0.2.1"
    );
    assert_eq!(
        client("2001:db8:aa::7", &[("x-forwarded-for", "192.0.2.1")]),
        "192.0.2.1"
    );
    let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(client("10.0.0.1", &lines), "192.0.2.1");
}

#[test]
fn rl_02_the_standard_header_is_read_alike() {
    let new = |value: &str| client("10.0.0.1", &[("forwarded", value)]);
    assert_eq!(new("for=192.0.2.1"), "192.0.2.1");
    assert_eq!(
        new("for=6.6.6.6, For=192.0.2.1;proto=https;by=10.0.0.1"),
        "192.0.2.1"
    );
    assert_eq!(new("for=\"[2001:db8::1]:4711\""), "2001:db8::1");
    assert_eq!(new("for=\"[2001:db8::1]\""), "2001:db8::1");
    assert_eq!(new("for=\"6.6.6.6, for=192.0.2.1\""), "10.0.0.1");
    assert_eq!(new("for=unknown"), "10.0.0.1");
    assert_eq!(new("for=_hidden"), "10.0.0.1");
    assert_eq!(new("proto=https"), "10.0.0.1");
    assert_eq!(new("for=1.1.1.1;for=2.2.2.2"), "10.0.0.1");
}

#[test]
fn rl_02_two_headers_that_disagree_are_both_left_alone() {
    let both = |old: &str, new: &str| client("10.0.0.1", &[("x-forwarded-for", old), ("forwarded", new)]);
    assert_eq!(both("192.0.2.1", "for=192.0.2.1"), "192.0.2.1");
    assert_eq!(both("192.0.2.1", "for=6.6.6.6"), "10.0.0.1");
    assert_eq!(both("6.6.6.6", "for=192.0.2.1"), "10.0.0.1");
}

#[test]
fn rl_02_a_long_chain_is_not_walked_for_ever() {
    let chain = format!("192.0.2.1, {}", vec!["10.0.0.2"; MAX_HOPS].join(", "));
    assert_eq!(client("10.0.0.1", &[("x-forwarded-for", &chain)]), "10.0.0.2");
}

#[test]
fn rl_02_one_ipv6_site_is_one_client() {
    let of = |text: &str| network(text.parse().unwrap()).to_string();
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(of("2001:db8:1:2:ffff::"), "2001:db8:1:2::");
    assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    assert_eq!(of("192.0.2.1"), "192.0.2.1");
}

proptest! {
    /// Whatever stands left of what the proxy wrote changes nothing.
    #[test]
    fn rl_02_a_stranger_cannot_choose_the_client(written in "[0-9a-f.:, \\[\\]=;\"]{0,40}") {
        let chain = format!("{written}, 192.0.2.1");
        prop_assert_eq!(client("10.0.0.1", &[("x-forwarded-for", &chain)]), "192.0.2.1");
    }
}

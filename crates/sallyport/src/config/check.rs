//! The rules that look at several sections at once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::auth::{Algorithm, Mode};
use super::issuers;
use super::problem::{Collector, nearest};
use super::profiles::Profile;
use super::read::shown;
use super::root::Root;
use super::tree::Place;
use super::value::{Address, Located, Period};

/// Everything that can be judged from the file alone.
pub fn check(root: &Root, problems: &mut Collector) {
    for row in root.profiles.iter() {
        if row.value.value.servers.is_empty() {
            let slug = row.key.as_str();
            problems.add(
                row.place,
                format!("profile `{slug}` names no servers; write `servers: [\"*\"]` for all"),
            );
        }
    }
    for row in root.profiles.iter() {
        if root.auth.mode.value == Mode::None && !row.value.value.tools.ask.is_empty() {
            problems.add(
                row.place,
                "`tools.ask` needs people who log in to answer; use `auth.mode: oauth`, or `deny` in the place of `ask`",
            );
        }
    }
    for row in root.profiles.iter() {
        super::rules::check(row.key.as_str(), &row.value, problems);
    }
    check_addresses(root, problems);
    super::people::check(&root.auth, problems);
    check_rotation(root, problems);
    let profiles = &root.profiles;
    let is_profile =
        |slug: &str| profiles.get(slug).is_some() || (profiles.0.is_empty() && slug == "default");
    issuers::check(&root.auth, is_profile, problems);
}

/// The shortest age at which a signing key is replaced: shorter ones would only fill the key set.
const SHORTEST_ROTATION: Period = Period::secs(3600);

fn check_rotation(root: &Root, problems: &mut Collector) {
    let every = &root.auth.tokens.rotate_every;
    if !every.value.0.is_zero() && every.value < SHORTEST_ROTATION {
        problems.add(
            every.place,
            format!(
                "{} is too short; write `{SHORTEST_ROTATION}` or more, or `0s` for never",
                every.value
            ),
        );
    }
}

fn check_addresses(root: &Root, problems: &mut Collector) {
    let listen = root.listen.value.0;
    if root.auth.mode.value == Mode::None && !listen.ip().is_loopback() {
        problems.add(
            root.auth.mode.place,
            format!("`none` would let in everyone who reaches {listen}; listen on 127.0.0.1, or use `oauth`"),
        );
    }
    if listen.port() != 0 && listen == root.admin_listen.value.0 {
        problems.add(
            root.admin_listen.place,
            format!("{listen} is also the address of `listen`; choose another port"),
        );
    }
    if let Some(tcp) = &root.tcp_listen {
        check_tcp(root, tcp, problems);
    }
    match &root.public_url {
        None if listen.ip().is_unspecified() => problems.add(
            root.listen.place,
            format!("clients cannot know {listen}; set `public_url` to the URL that they use"),
        ),
        Some(public) => {
            let url = &public.value.url;
            if is_in_the_clear(url) && !root.allow_insecure_public_url {
                problems.add(
                    public.place,
                    "passwords and tokens would cross the network in the clear; put a proxy with a certificate in front and \
                     write its https address, or allow it with `allow_insecure_public_url: true`",
                );
            }
            if url.path() != "/" || url.query().is_some() {
                problems.add(
                    public.place,
                    format!(
                        "`public_url` is an origin; write `{}`",
                        url.origin().ascii_serialization()
                    ),
                );
            }
        }
        None => {}
    }
}

fn check_tcp(root: &Root, tcp: &Located<Address>, problems: &mut Collector) {
    let addr = tcp.value.0;
    if root.auth.mode.value == Mode::None && !addr.ip().is_loopback() {
        problems.add(
            tcp.place,
            format!(
                "with `auth.mode: none`, {addr} would let in everyone who reaches it; listen on 127.0.0.1"
            ),
        );
    }
    for (name, other) in [("listen", &root.listen), ("admin_listen", &root.admin_listen)] {
        if addr.port() != 0 && addr == other.value.0 {
            problems.add(
                tcp.place,
                format!("{addr} is also the address of `{name}`; choose another port"),
            );
        }
    }
}

/// The servers that profiles name and the file does not define; a command may have added them.
#[must_use]
pub fn unresolved(root: &Root) -> Vec<(&str, Place)> {
    let named = root.profiles.iter().flat_map(|row| &row.value.value.servers);
    named
        .filter(|name| name.value != Profile::ALL && root.servers.get(&name.value).is_none())
        .map(|name| (name.value.as_str(), name.place))
        .collect()
}

/// The same, after a look at what was added by command.
pub fn check_references(root: &Root, stored: &BTreeSet<String>, problems: &mut Collector) {
    let known = || {
        root.servers
            .iter()
            .map(|row| row.key.as_str())
            .chain(stored.iter().map(String::as_str))
    };
    for (name, place) in unresolved(root) {
        if stored.contains(name) {
            continue;
        }
        let mend = match nearest(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "define it under `servers`, or add it with `sallyport add`".to_owned(),
        };
        problems.add(place, format!("there is no server `{}`; {mend}", shown(name)));
    }
}

/// How long an access token may be good without a word: clients refresh by themselves.
pub const LONG_ACCESS: Period = Period::secs(3600);

/// What is allowed and yet deserves a word at start.
#[must_use]
pub fn warnings(root: &Root) -> Vec<String> {
    let mut warnings = super::people::warnings(&root.auth);
    if root.auth.tokens.alg == Algorithm::Hs256 {
        warnings.push(
            "auth.tokens.alg is HS256: no public key is published, and whoever could verify a token could make one"
                .to_owned(),
        );
    }
    if root.auth.tokens.access_ttl > LONG_ACCESS {
        warnings.push(format!(
            "auth.tokens.access_ttl is {}: whoever finds an access token may use it for so long",
            root.auth.tokens.access_ttl
        ));
    }
    if root.auth.mode.value == Mode::None {
        warnings.push("auth.mode is none: every process on this machine may call every tool".to_owned());
    }
    let public = root.public_url.as_ref();
    if public.is_some_and(|public| is_in_the_clear(&public.value.url)) {
        warnings
            .push("public_url is not https: passwords and tokens cross the network in the clear".to_owned());
    }
    warnings
}

/// Whether what is sent to a URL leaves the machine without TLS.
fn is_in_the_clear(url: &url::Url) -> bool {
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    url.scheme() == "http" && !local
}

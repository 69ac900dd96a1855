//! `auth.issuers`: other issuers whose access tokens are taken.

use super::auth::Auth;
use super::problem::Collector;
use super::read::{choice, section};
use super::table::{Row, Table};
use super::tree::Place;
use super::value::{Located, Period, Sensitive, WebUrl};

/// What begins other names in the lists of profiles.
const RESERVED: [&str; 5] = ["client", "github", "group", "org", "team"];

/// `auth.issuers`, by name.
pub type Issuers = Table<String, Located<Issuer>>;

section! {
    /// Another issuer of access tokens. None is trusted that is not named here.
    Issuer {
        /// What `iss` in its tokens is, letter by letter: an https URL.
        issuer: Option<Located<String>> = None;
        /// Where its keys are. Absent: where its metadata says (RFC 8414, OpenID Connect Discovery).
        jwks_uri: Option<WebUrl> = None;
        /// Asks the issuer about each token (RFC 7662), for tokens that are no JWTs. An answer holds for 30 seconds.
        introspection: Option<Introspection> = None;
        /// What `aud` may be. Absent: the URL of the endpoint that the token is used at.
        audiences: Vec<String> = Vec::new();
        /// The profiles that tokens for `audiences` open.
        profiles: Vec<Located<String>> = vec![at_start("default")];
        /// The signature algorithms that count.
        algorithms: Vec<Signature> = vec![Signature::Es256, Signature::EdDsa, Signature::Rs256, Signature::Ps256];
        /// Whether a token has to say when it ends. Without an end it is looked at anew every five minutes.
        require_exp: bool = true;
        /// Whether a token has to have an id.
        require_jti: bool = false;
        /// How far the clocks of the issuer and of the gateway may differ.
        skew: Period = Period::secs(30), within Period::secs(0)..=Period::secs(60);
        /// The claim that names the person, who is known here as `NAME:claim`.
        user_claim: String = "sub".to_owned();
        /// The scopes that its tokens have here besides their own, separated by blanks: `mcp` if it knows no such scope.
        scopes: String = String::new();
    }
}

section! {
    /// Where and as whom an issuer is asked about tokens.
    Introspection {
        /// The introspection endpoint.
        url: Option<WebUrl> = None;
        /// The gateway's client id there.
        client_id: String = String::new();
        /// Its secret.
        client_secret: Option<Sensitive> = None;
    }
}

choice! {
    /// A signature algorithm of other issuers.
    Signature {
        /// ECDSA over P-256 with SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
        /// RSA, PKCS #1 v1.5, SHA-256, 2048 bits or more.
        Rs256 = "RS256",
        /// RSA, PSS, SHA-256, 2048 bits or more.
        Ps256 = "PS256",
    }
}

impl Signature {
    /// The name in headers (RFC 7518 §3.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }
}

fn at_start(text: &str) -> Located<String> {
    Located {
        place: Place::START,
        value: text.to_owned(),
    }
}

/// What is wrong with the issuers of a file. `is_profile` knows the profiles that there are.
pub fn check(auth: &Auth, is_profile: impl Fn(&str) -> bool, problems: &mut Collector) {
    let mut known: Vec<&str> = Vec::new();
    for row in auth.issuers.iter() {
        let name = row.key.as_str();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let taken = RESERVED.contains(&name) || auth.oidc.get(name).is_some();
        if taken || !name.bytes().all(plain) {
            problems.add(
                row.place,
                format!(
                    "`{name}` is taken or cannot begin names of people; use another one of a to z, 0 to 9 and `-`"
                ),
            );
        }
        check_issuer(row, &mut known, problems);
        let issuer = &row.value.value;
        for profile in issuer.profiles.iter().filter(|_| !issuer.audiences.is_empty()) {
            if !is_profile(&profile.value) {
                problems.add(
                    profile.place,
                    format!("there is no profile `{}`; name one of `profiles`", profile.value),
                );
            }
        }
        let Some(asked) = &issuer.introspection else {
            continue;
        };
        if asked.url.is_none() || asked.client_id.is_empty() || asked.client_secret.is_none() {
            problems.add(
                row.place,
                "`introspection` needs `url`, `client_id` and `client_secret`",
            );
        }
    }
}

fn check_issuer<'a>(
    row: &'a Row<String, Located<Issuer>>,
    known: &mut Vec<&'a str>,
    problems: &mut Collector,
) {
    let Some(issuer) = &row.value.value.issuer else {
        problems.add(
            row.place,
            "an issuer needs its identifier; write `issuer: https://…`, as `iss` in its tokens has it",
        );
        return;
    };
    let url = url::Url::parse(&issuer.value).ok();
    let local = |url: &url::Url| match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if !url.is_some_and(|url| url.scheme() == "https" || url.scheme() == "http" && local(&url)) {
        problems.add(
            issuer.place,
            "the identifier of an issuer is an https URL (http on this machine only)",
        );
    }
    if known.contains(&issuer.value.as_str()) {
        problems.add(issuer.place, "this issuer is named twice; name it once");
    }
    known.push(&issuer.value);
}

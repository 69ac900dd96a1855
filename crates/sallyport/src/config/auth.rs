//! `auth`: who may log in, and what tokens are like.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::issuers::Issuers;
use super::people::{GithubApp, OidcProvider, Person, ProviderName};
use super::read::{Context, Read, choice, section};
use super::table::Table;
use super::tree::Node;
use super::value::{Located, Period};

section! {
    /// Who may log in, and what tokens are like.
    Auth {
        /// `oauth`: clients need a token of this gateway. `none`: everyone who reaches the address may call; refused
        /// unless `listen` is a loopback address.
        mode: Located<Mode> = Located { place: super::tree::Place::START, value: Mode::Oauth };
        /// Who may log in through an identity provider: `github:LOGIN`, `NAME:USER`, `NAME:id:ID`, `org:ORG`, `team:ORG/SLUG`,
        /// `group:GROUP`, `NAME:group:GROUP`. Empty admits nobody, `["*"]` everybody.
        allow_users: Vec<Located<Person>> = Vec::new();
        /// Who of them administers the gateway; in the same words.
        admins: Vec<Located<Person>> = Vec::new();
        /// Log-in through GitHub.
        github: Option<GithubApp> = None;
        /// Log-in through OpenID Connect providers, by name.
        oidc: Table<ProviderName, Located<OidcProvider>> = Table::default();
        /// The tokens.
        tokens: Tokens = Tokens::default();
        /// Whether clients may register themselves (RFC 7591).
        dynamic_registration: bool = true;
        /// Whether a `client_id` may be the URL of a document in which the client describes itself (Client ID Metadata
        /// Documents). Such documents are fetched from public addresses only.
        client_metadata_documents: bool = true;
        /// The hosts whose documents count: `claude.ai`, or `app.example.com:8443` for another port. Absent: all.
        client_metadata_hosts: Option<Vec<SiteHost>> = None;
        /// Other issuers whose access tokens are taken, by a name that begins the names of their people.
        issuers: Issuers = Issuers::default();
        /// How long a client that registered itself is kept after it was used last, and how long the token of its
        /// registration is good (RFC 7592); `0s` is for ever.
        client_lifetime: Period = Period::secs(90 * 86_400), within Period::secs(0)..=Period::secs(3660 * 86_400);
        /// The private-use URI schemes that public clients may redirect to (RFC 8252 §7.1). Absent: the shipped list.
        private_schemes: Option<Vec<String>> = None;
    }
}

choice! {
    /// How callers are known.
    Mode {
        /// By an access token of this gateway.
        Oauth = "oauth",
        /// Not at all; only on a loopback address.
        None = "none",
    }
}

section! {
    /// What tokens are like.
    Tokens {
        /// How long an access token is good.
        access_ttl: Period = Period::secs(900), within Period::secs(60)..=Period::secs(86_400);
        /// How long a refresh token is good if it is not used.
        refresh_ttl: Period = Period::secs(30 * 86_400), within Period::secs(600)..=Period::secs(366 * 86_400);
        /// The age at which a login ends whatever happens.
        refresh_absolute: Period = Period::secs(30 * 86_400), within Period::secs(600)..=Period::secs(3660 * 86_400);
        /// The signature algorithm. Another one takes effect within seconds; tokens that were signed before stay good.
        alg: Algorithm = Algorithm::Es256;
        /// The age at which the signing key is replaced by the next one, which is published long before; `0s` is never.
        rotate_every: Located<Period> = Located { place: super::tree::Place::START, value: Period::secs(90 * 86_400) };
    }
}

choice! {
    /// The signature algorithm of access tokens.
    Algorithm {
        /// ECDSA over P-256 with SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
        /// RSA with 2048 bits, PKCS #1 v1.5 and SHA-256.
        Rs256 = "RS256",
        /// HMAC with SHA-256 and a secret that is not published: nobody but the gateway can verify its tokens.
        Hs256 = "HS256",
    }
}

/// The host of an https site, as its URLs spell it, with the port where that is not 443.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct SiteHost(String);

impl SiteHost {
    /// The host as URLs spell it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Read for SiteHost {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const FORM: &str = "`claude.ai`, or `app.example.com:8443`";
        let scalar = cx.scalar(node, FORM)?;
        let written = format!("https://{}/", scalar.text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        match url::Url::parse(&written) {
            Ok(url)
                if url.as_str() == written && url.domain().is_some() && scalar.text.bytes().all(plain) =>
            {
                Some(Self(scalar.text.clone()))
            }
            _ => cx.refuse(
                node,
                format!("`{}` is not the host of a site; write {FORM}", scalar.shown()),
            ),
        }
    }
}

impl JsonSchema for SiteHost {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SiteHost".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

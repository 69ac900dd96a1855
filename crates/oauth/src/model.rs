//! What the authorization server keeps: clients, people, browser sessions, consents, grants, codes and refresh tokens.
//!
//! Bearer secrets are kept as keyed hashes only ([`Digest`]).

use sallyport_core::{ClientId, GrantId, Resource, ScopeSet, Secret, Thumbprint, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// The keyed hash of a bearer secret.
pub type Digest = [u8; 32];

/// How a client authenticates at the token endpoint (RFC 7591 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A public client.
    None,
    /// `Authorization: Basic`.
    ClientSecretBasic,
    /// `client_secret` in the form.
    ClientSecretPost,
    /// A statement signed with a key of the registration (RFC 7523).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Whether the client has a secret.
    #[must_use]
    pub fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// A registered client (RFC 7591 §2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// `client_id`.
    pub id: ClientId,
    /// How it authenticates.
    pub auth_method: AuthMethod,
    /// The hash of its secret, for confidential clients.
    pub secret: Option<Digest>,
    /// `redirect_uris`, as registered, each accepted by the redirect rules.
    pub redirect_uris: Vec<String>,
    /// The scopes it may ask for.
    pub scopes: ScopeSet,
    /// Every registered member as it is echoed (`client_name`, `client_uri`, `software_id`, unknown ones), without secrets.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// When it was registered.
    pub registered: Timestamp,
    /// When a token was last issued to it.
    pub last_used: Option<Timestamp>,
}

/// A local user.
#[derive(Clone)]
pub struct User {
    /// The `sub` of this person's tokens; never reused.
    pub id: UserId,
    /// What the person types to log in; unique without regard to case.
    pub name: String,
    /// Whether the person may administer the gateway.
    pub admin: bool,
    /// The Argon2id hash in PHC form.
    pub password: Secret<String>,
    /// When the account was made.
    pub created: Timestamp,
}

/// A browser in which somebody has logged in. The cookie holds the secret, the store its hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrowserSession {
    /// The hash of the cookie's value.
    pub digest: Digest,
    /// Who has logged in.
    pub user: UserId,
    /// When.
    pub created: Timestamp,
    /// When the browser was last seen, to the minute.
    pub seen: Timestamp,
    /// When it ends whatever happens.
    pub expires: Timestamp,
}

/// A person's remembered yes to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consent {
    /// Who said yes.
    pub user: UserId,
    /// To which client.
    pub client: ClientId,
    /// For which resource.
    pub resource: Resource,
    /// For which scopes.
    pub scopes: ScopeSet,
    /// For this redirect URI, without the port if it is a loopback one.
    pub redirect: String,
    /// When.
    pub given: Timestamp,
}

/// A person's grant to a client: the family of its refresh tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The family's id.
    pub id: GrantId,
    /// Who granted.
    pub user: UserId,
    /// To which client.
    pub client: ClientId,
    /// The one resource that its tokens are for.
    pub resource: Resource,
    /// What was granted.
    pub scopes: ScopeSet,
    /// When.
    pub created: Timestamp,
    /// The absolute end of the family.
    pub expires: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// An authorization code, as it is kept (RFC 6749 §4.1.2, RFC 7636).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationCode {
    /// The hash of the code.
    pub digest: Digest,
    /// The grant that it opens; the grant is stored with the code.
    pub grant: GrantId,
    /// The `redirect_uri` of the authorization request, exactly.
    pub redirect_uri: String,
    /// The S256 `code_challenge`.
    pub challenge: String,
    /// The key that whoever redeems it has to hold (RFC 9449 §10).
    pub key: Option<Thumbprint>,
    /// When it ends: 60 s after it was issued.
    pub expires: Timestamp,
}

/// A pushed authorization request, as it is kept (RFC 9126 §2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PushedRequest {
    /// The client that has pushed it.
    pub client: ClientId,
    /// The parameters, encoded, without credentials.
    pub params: String,
    /// When it was pushed.
    pub pushed: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Whether a browser has come with it.
    pub opened: bool,
    /// Whether it was answered, with a code or with a no.
    pub answered: bool,
}

/// A refresh token, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefreshToken {
    /// The hash of the token.
    pub digest: Digest,
    /// Its family.
    pub grant: GrantId,
    /// The key that whoever uses it has to hold; its successors have the same one (RFC 9449 §5).
    pub key: Option<Thumbprint>,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it ends if it is not used.
    pub expires: Timestamp,
}

/// What taking a code found. Taking is atomic: one caller gets [`TakenCode::Fresh`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one of them lives at a time, for the length of a request"
)]
pub enum TakenCode {
    /// The first use. The code is used up whatever follows.
    Fresh(AuthorizationCode, Grant),
    /// A second use: the grant has to be revoked (RFC 6749 §4.1.2).
    Replayed(GrantId),
    /// No such code.
    Unknown,
}

/// What looking at a refresh token finds, before anything is decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefreshState {
    /// The token that was presented.
    pub token: RefreshToken,
    /// When it was rotated, if it was, and the hash of its successor.
    pub rotated: Option<(Timestamp, Digest)>,
    /// Its family.
    pub grant: Grant,
}

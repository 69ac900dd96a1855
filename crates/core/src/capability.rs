//! What one part may do for another, as narrow traits: the authorization server can *sign*, *verify* and *seal* but never
//! open a secret; the proxy can *verify* and keep sealed state, never sign.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{ClientId, Thumbprint, TokenId, UserId};
use crate::{GrantId, Principal, Resource, ScopeSet, Secret, Timestamp};

/// Who acts for the person of a token, and who acted before (`act`, RFC 8693 §4.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Actor {
    /// Who acts.
    pub sub: UserId,
    /// For whom in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl Actor {
    /// How many act for one another.
    #[must_use]
    pub fn depth(&self) -> usize {
        std::iter::successors(Some(self), |actor| actor.act.as_deref()).count()
    }
}

/// The claims of an access token that this gateway issues (RFC 9068 §2.2).
#[derive(Clone, Debug)]
pub struct AccessClaims {
    /// `sub`.
    pub user: UserId,
    /// `client_id`.
    pub client: ClientId,
    /// `aud`: exactly one.
    pub audience: Resource,
    /// `scope`.
    pub scopes: ScopeSet,
    /// `jti`.
    pub token: TokenId,
    /// `cnf`: the key that the token is bound to (RFC 9449 §6.1).
    pub key: Option<Thumbprint>,
    /// `act`: who acts for the person, where the token was exchanged.
    pub actor: Option<Actor>,
    /// The grant (family) that the token belongs to; revoking the grant ends the token.
    pub grant: GrantId,
    /// `iat`.
    pub issued: Timestamp,
    /// `exp`.
    pub expires: Timestamp,
}

/// Something could not be signed.
#[derive(Debug, Error)]
#[error("the key cannot sign")]
pub struct SignError;

/// Signs access tokens and publishes the keys that verify them.
pub trait SignToken: Send + Sync {
    /// A signed access token (`typ: at+jwt`, RFC 9068 §2.1).
    ///
    /// # Errors
    /// [`SignError`] when the key cannot be used.
    fn sign(&self, claims: &AccessClaims) -> Result<Secret<String>, SignError>;

    /// The JWK Set document (RFC 7517 §5) of every key that verifies a live token.
    fn jwks(&self) -> String;
}

/// Signs statements by which the gateway shows who it is, with a key that is registered for it (RFC 7523 §2.2).
pub trait SignStatement: Send + Sync {
    /// The compact JWS (RFC 7515 §7.1) of these claims, a JSON object.
    ///
    /// # Errors
    /// [`SignError`] when the key cannot be used.
    fn sign_statement(&self, claims: &str) -> Result<Secret<String>, SignError>;
}

/// Why a bearer token was refused. The answer to the client is one and the same; the reason is for log and metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TokenError {
    /// Not a token of ours: form, algorithm, type, key or signature.
    #[error("malformed or not signed by this gateway")]
    Malformed,
    /// Its time has not come or is over.
    #[error("expired or not yet valid")]
    Expired,
    /// Another issuer's or for another resource.
    #[error("for another resource")]
    Audience,
    /// Its grant, person or client has been revoked.
    #[error("revoked")]
    Revoked,
    /// It is bound to a key, and was shown without a proof (RFC 9449 §7.2).
    #[error("bound to a key")]
    Bound,
}

impl TokenError {
    /// The metric label: a closed set.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::Audience => "audience",
            Self::Revoked => "revoked",
            Self::Bound => "bound",
        }
    }
}

/// A token that is good, and the key that it is bound to, if it is (RFC 9449 §6).
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// Whoever shows the token has to prove that they hold this key.
    pub key: Option<Thumbprint>,
}

/// Turns a bearer token into a principal, locally and without waiting.
pub trait VerifyToken: Send + Sync {
    /// Verifies `token` for any one of `audiences` (the spellings of one resource) at time `now`. A token that is bound to
    /// a key is none here, so that nobody forgets to ask for the proof.
    ///
    /// # Errors
    /// [`TokenError`] says why; the caller answers all of them alike.
    fn verify(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Arc<Principal>, TokenError>;

    /// Whether what was verified has been revoked since.
    fn is_revoked(&self, principal: &Principal) -> bool;

    /// A number that changes with every revocation and every change of the keys: as long as it stays, nobody has to be
    /// asked about again who [`stands`](Self::stands).
    fn revocations(&self) -> u64;

    /// Whether this principal, who was verified, stays so until the token's time ends, as long as
    /// [`revocations`](Self::revocations) says what it said before. Not so where somebody else may change his mind, as with
    /// tokens that another issuer is asked about.
    fn stands(&self, _principal: &Principal) -> bool {
        false
    }

    /// The same for a token that may be bound to a key. Whoever asks has to see the proof, or has seen it before.
    ///
    /// # Errors
    /// [`TokenError`], but not [`TokenError::Bound`].
    fn verify_any(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        let principal = self.verify(token, audiences, now)?;
        Ok(Verified { principal, key: None })
    }

    /// Whoever showed a token that is bound to a key has proved that they hold it: only with that the token is used.
    fn was_proved(&self, _token: &str, _principal: &Principal) {}
}

/// A request with a proof that its sender holds a key (RFC 9449 §4).
#[derive(Clone, Copy)]
pub struct ProvedRequest<'a> {
    /// The `DPoP` header.
    pub proof: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The request's URL as clients know it.
    pub url: &'a str,
    /// The access token that is shown besides, where there is one.
    pub token: Option<&'a str>,
}

/// Why a proof is none. All of it is the sender's own, so it may be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ProofError {
    /// No signed JWT of the right type with its public key and the needed claims.
    #[error("the proof must be one signed JWT of type dpop+jwt with its public key, jti, htm, htu and iat")]
    Form,
    /// It was made for another request.
    #[error("`htm` and `htu` of the proof must be the request's method and URL")]
    Request,
    /// It is too old, or of the future.
    #[error("`iat` of the proof must be within 60 s of now")]
    Time,
    /// It was made for another token.
    #[error("`ath` of the proof must be the hash of the access token")]
    Token,
    /// It has no nonce of ours, or an old one: the sender makes another one with that of the `DPoP-Nonce` header.
    #[error("the proof must have the nonce of the DPoP-Nonce header")]
    Nonce,
    /// It was made with another key.
    #[error("the proof was made with another key than the token is bound to")]
    Key,
    /// It was shown before.
    #[error("the proof was used before")]
    Replayed,
    /// There are too many to remember.
    #[error("too many proofs; wait a minute")]
    Full,
}

/// Believes that the sender of a request holds a key.
pub trait VerifyProof: Send + Sync {
    /// Verifies the proof and uses it up.
    ///
    /// # Errors
    /// [`ProofError`].
    fn verify_proof(
        &self,
        request: ProvedRequest<'_>,
        key: &Thumbprint,
        now: Timestamp,
    ) -> Result<(), ProofError>;

    /// The nonce that the next proof shall have (RFC 9449 §8): text that can stand in a header.
    fn nonce(&self, now: Timestamp) -> String;
}

/// Ends tokens before their time. What is durable lives in the store; this is the copy that every request looks at.
pub trait RevokeTokens: Send + Sync {
    /// From now on no access token of the grant is accepted.
    fn revoke_grant(&self, grant: &GrantId);

    /// From now on this one access token is not accepted; at `until` it ends by itself.
    fn revoke_token(&self, token: &TokenId, until: Timestamp);
}

/// What a sealed value is for. A value sealed for one purpose does not open for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// The id of a legacy MCP session.
    Session,
    /// A pagination cursor.
    Cursor,
    /// The `requestState` of a parked or relayed call.
    RequestState,
    /// The id of a task.
    Task,
    /// A login or consent form's transaction.
    LoginForm,
    /// What the store keeps of a legacy MCP session besides its id.
    KeptSession,
}

impl Purpose {
    /// A stable name, part of what is authenticated.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Cursor => "cursor",
            Self::RequestState => "request-state",
            Self::Task => "task",
            Self::LoginForm => "login-form",
            Self::KeptSession => "kept-session",
        }
    }
}

/// Seals short-lived state into text that a client or the store carries and cannot read, change or make.
pub trait SealState: Send + Sync {
    /// Base64url text. `bound_to` is authenticated but not carried: opening needs the same value (a principal's key).
    fn seal(&self, purpose: Purpose, bound_to: &str, plain: &[u8]) -> String;

    /// The plain bytes, if `sealed` was made here for the same purpose and binding.
    fn open(&self, purpose: Purpose, bound_to: &str, sealed: &str) -> Option<Vec<u8>>;
}

/// Keyed one-way functions with domain separation: how bearer secrets are kept at rest, and how the successor of a
/// refresh token is made so that a repeated request gets the same one.
pub trait DeriveKeyed: Send + Sync {
    /// HMAC-SHA-256 of `input` under a key of its own for each `label`.
    fn derive(&self, label: &'static str, input: &[u8]) -> [u8; 32];
}

/// Seals a secret for the store; `record` (table, row and column) is authenticated, so that a ciphertext that is moved
/// to another place does not open.
pub trait SealSecret: Send + Sync {
    /// Key id, nonce and ciphertext.
    fn seal_secret(&self, record: &str, plain: &[u8]) -> Vec<u8>;
}

/// A stored secret did not open: wrong key, or changed, or moved.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("the stored secret does not open with this key, or was changed")]
pub struct Tampered;

/// Opens what [`SealSecret`] sealed.
pub trait OpenSecret: Send + Sync {
    /// The plain secret.
    ///
    /// # Errors
    /// [`Tampered`] for every failure alike.
    fn open_secret(&self, record: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Tampered>;
}

/// Hashes and checks passwords. Both take tens of milliseconds of a core: never on a thread that serves requests.
pub trait Passwords: Send + Sync {
    /// An Argon2id hash in PHC string form.
    ///
    /// # Errors
    /// [`PasswordError`] when the hash function itself fails; no input causes it.
    fn hash(&self, password: &Secret<String>) -> Result<Secret<String>, PasswordError>;

    /// Whether the password belongs to the hash. With `None` a fixed hash is computed and the answer is no, so that an
    /// unknown user takes as long as a known one.
    fn verify(&self, password: &Secret<String>, hash: Option<&Secret<String>>) -> bool;
}

/// The hash function failed.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("the password could not be hashed")]
pub struct PasswordError;

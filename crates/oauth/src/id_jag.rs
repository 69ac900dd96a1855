//! Identity assertion authorization grants: a company's identity provider vouches to us for a person and a client, and the
//! client gets a token without a page (RFC 7523 §2.1, draft-ietf-oauth-identity-assertion-authz-grant; "enterprise-managed
//! authorization" of MCP).

use std::time::Duration;

use sallyport_core::{ClientId, Resource, ScopeSet, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::client_auth::AuthenticatedClient;
use crate::error::ErrorCode;
use crate::jws::{Keys, Unverified};
use crate::model::{AuthMethod, Client};
use crate::provider::{Identity, id_token, oidc::Provider};
use crate::registration;
use crate::resources::{self, InvalidTarget, Resources};

/// `grant_type` and the member of `grant_types`.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What metadata says besides (`authorization_grant_profiles_supported`).
pub const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// The `typ` of the assertion.
pub const TYPE: &str = "oauth-id-jag+jwt";

/// How far ahead an assertion may end: it is made for one request, and providers write some minutes.
pub const MAX_LIFE: Duration = Duration::from_secs(3600);

/// How far the provider's clock may be off.
pub const SKEW: Duration = Duration::from_secs(60);

/// The longest `jti` and `sub` that are taken, in bytes.
pub const MAX_ID: usize = 255;

/// Why an assertion gives nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum IdJagError {
    /// The client has not registered the grant type, or does not prove who it is.
    #[error("the client may not use this grant type")]
    GrantType,
    /// No signed JWT of the type with the needed claims.
    #[error(
        "`assertion` must be a signed JWT of type oauth-id-jag+jwt with iss, sub, aud, client_id, jti, iat and exp"
    )]
    Form,
    /// Nobody whom the operator trusts has signed it.
    #[error("the assertion's issuer is not trusted here, or has not signed it")]
    Issuer,
    /// For another authorization server.
    #[error("`aud` of the assertion must be this issuer, alone")]
    Audience,
    /// For another client.
    #[error("`client_id` of the assertion is another client")]
    Client,
    /// Over, not yet valid, or good for too long.
    #[error("the assertion must be valid now and end within an hour")]
    Time,
    /// It was shown before.
    #[error("the assertion was used before")]
    Replayed,
    /// The person is not listed, or no longer.
    #[error("the person is not admitted here")]
    Person,
    /// Another resource than the assertion's, or none of ours.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// No scope is left.
    #[error("nothing of `scope` is in the assertion and registered for the client")]
    Scope,
}

impl IdJagError {
    /// The `error` value of the answer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::GrantType => ErrorCode::UnauthorizedClient,
            Self::Target(_) => ErrorCode::InvalidTarget,
            Self::Scope => ErrorCode::InvalidScope,
            _ => ErrorCode::InvalidGrant,
        }
    }
}

/// An assertion that was sent; nothing of it is believed yet.
pub struct IdJag {
    text: String,
    claims: Claims,
    all: Map<String, Value>,
}

/// A claim that stands twice makes it unreadable.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOf,
    client_id: String,
    jti: String,
    iat: i64,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    resource: Option<OneOf>,
    #[serde(default)]
    scope: Option<String>,
}

/// A list of several could be shown at each of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOf {
    Text(String),
    List([String; 1]),
}

impl OneOf {
    fn as_str(&self) -> &str {
        let (Self::Text(text) | Self::List([text])) = self;
        text
    }
}

/// What a good assertion says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vouched {
    /// Who vouches.
    pub issuer: String,
    /// Its `jti`, which counts once for the issuer.
    pub id: String,
    /// How long it has to be remembered.
    pub until: Timestamp,
    resource: Option<String>,
    scope: Option<ScopeSet>,
    claims: Map<String, Value>,
}

/// Whether the client may use the grant: the identity provider vouches for a client that proves who it is.
///
/// # Errors
/// [`IdJagError::GrantType`].
pub fn check_client(client: &Client) -> Result<(), IdJagError> {
    let may = client.auth_method != AuthMethod::None && registration::allows_grant(client, GRANT_TYPE);
    may.then_some(()).ok_or(IdJagError::GrantType)
}

impl IdJag {
    /// Reads an assertion.
    ///
    /// # Errors
    /// [`IdJagError::Form`].
    pub fn read(text: &str) -> Result<Self, IdJagError> {
        let jws = Unverified::read(text).ok_or(IdJagError::Form)?;
        let typed = jws.kind().is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE));
        let claims: Claims = serde_json::from_slice(jws.claimed()).map_err(|_| IdJagError::Form)?;
        let all = serde_json::from_slice(jws.claimed()).map_err(|_| IdJagError::Form)?;
        let named = |id: &str| !id.is_empty() && id.len() <= MAX_ID;
        if !typed || !named(&claims.sub) || !named(&claims.jti) {
            return Err(IdJagError::Form);
        }
        Ok(Self {
            text: text.to_owned(),
            claims,
            all,
        })
    }

    /// Who says to have made it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Whether one of the keys has signed it. If not, the issuer may have a new key.
    #[must_use]
    pub fn is_signed_by(&self, keys: &Keys) -> bool {
        Unverified::read(&self.text).is_some_and(|jws| jws.is_signed_by(keys))
    }

    /// What it says, if it was made by the holder of these keys, for this client, for us, and for now.
    ///
    /// # Errors
    /// [`IdJagError`].
    pub fn verify(
        &self,
        keys: &Keys,
        (client, audience): (&ClientId, &str),
        now: Timestamp,
    ) -> Result<Vouched, IdJagError> {
        if !self.is_signed_by(keys) {
            return Err(IdJagError::Issuer);
        }
        let claims = &self.claims;
        if claims.aud.as_str() != audience {
            return Err(IdJagError::Audience);
        }
        if claims.client_id != client.as_str() {
            return Err(IdJagError::Client);
        }
        let begins = Timestamp::from_secs(claims.nbf.unwrap_or(claims.iat).max(claims.iat));
        let (ends, latest) = (Timestamp::from_secs(claims.exp), now.plus(SKEW));
        if begins > latest || ends.plus(SKEW) <= now || ends > latest.plus(MAX_LIFE) {
            return Err(IdJagError::Time);
        }
        Ok(Vouched {
            issuer: claims.iss.clone(),
            id: claims.jti.clone(),
            until: ends.plus(SKEW),
            resource: claims.resource.as_ref().map(|one| one.as_str().to_owned()),
            scope: claims.scope.as_deref().map(ScopeSet::parse),
            claims: self.all.clone(),
        })
    }
}

impl Vouched {
    /// The person, as a log-in through the same provider would know them.
    ///
    /// # Errors
    /// [`IdJagError::Form`] if the claim is missing that the provider's people are known by.
    pub fn identity(&self, provider: &Provider) -> Result<Identity, IdJagError> {
        let claims = id_token::Claims::of(self.claims.clone());
        let identity = provider.identity(&claims, None);
        identity.map_err(|_| IdJagError::Form)
    }

    /// What the client gets: never more than the assertion, the registration and the request have in common.
    ///
    /// # Errors
    /// [`IdJagError::Target`], [`IdJagError::Scope`].
    pub fn decide<'a>(
        &self,
        client: AuthenticatedClient<'_>,
        scope: Option<&str>,
        asked: impl Iterator<Item = &'a str>,
        resources: &Resources,
    ) -> Result<(Resource, ScopeSet), IdJagError> {
        let asked: Vec<&str> = asked.collect();
        let resource = match &self.resource {
            Some(named) => {
                let named = resources.resolve([named.as_str()].into_iter())?;
                resources::keep(&named, asked.into_iter())?;
                named
            }
            None => resources.resolve(asked.into_iter())?,
        };
        let registered = &client.client().scopes;
        let most = self
            .scope
            .as_ref()
            .map_or_else(|| registered.clone(), |vouched| registered.intersection(vouched));
        let scopes = match scope {
            Some(scope) => most.intersection(&ScopeSet::parse(scope)),
            None => most,
        };
        if scopes.is_empty() {
            return Err(IdJagError::Scope);
        }
        Ok((resource, scopes))
    }
}

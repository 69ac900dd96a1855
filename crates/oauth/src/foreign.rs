//! Access tokens of other issuers, of which the operator has named each: what has to be in one (RFC 9068 §2.2, RFC 8725 §3),
//! and in what an issuer says of an opaque one (RFC 7662 §2.2).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_core::capability::TokenError;
use sallyport_core::{ClientId, GrantId, Principal, Resource, ScopeSet, Secret, Timestamp, TokenId, UserId};
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;

/// What the grants of other issuers' people are called before the issuer's name.
pub const GRANT: &str = "issuer:";

/// The longest name of a person, a client or a token that is taken, in bytes.
const MAX_NAME: usize = 256;

/// How long a token without an end is taken for good after it was looked at, where the operator allows such tokens.
const ENDLESS: Duration = Duration::from_secs(300);

/// How long an issuer's word about an opaque token holds, so that a revocation there is heard of here.
pub const REMEMBER: Duration = Duration::from_secs(30);

/// The farthest that the operator may let clocks differ.
pub const MAX_SKEW: Duration = Duration::from_secs(60);

/// Members that only other kinds of tokens have: ID tokens (OpenID Connect Core §2, §3.3.2.11), and tokens that are bound to a
/// key of whose possession nothing is shown here (RFC 7800 §3.1).
const OTHER_KINDS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "cnf"];

/// What the operator says of another issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issuer {
    /// The operator's name for it, which begins the names of its people.
    pub name: String,
    /// What `iss` has to be, letter by letter.
    pub issuer: String,
    /// What `aud` may be; without any, the resource itself that the token is used at.
    pub audiences: Vec<String>,
    /// The resources that tokens for `audiences` open.
    pub resources: Vec<Resource>,
    /// Whether a token has to say when it ends.
    pub require_exp: bool,
    /// Whether a token has to have an id.
    pub require_jti: bool,
    /// How far the clocks may differ; at most [`MAX_SKEW`].
    pub skew: Duration,
    /// The claim that names the person.
    pub user_claim: String,
    /// The scopes that its tokens have here besides their own.
    pub scopes: ScopeSet,
}

/// What a token of another issuer says, once it is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    user: UserId,
    client: ClientId,
    token: TokenId,
    scopes: ScopeSet,
    audiences: Vec<String>,
    /// From when on it is good, the skew granted.
    pub not_before: Timestamp,
    /// When it ends, the skew granted.
    pub expires: Timestamp,
}

impl Issuer {
    /// Reads claims whose signature was checked, or an issuer's word about a token.
    ///
    /// # Errors
    /// [`TokenError::Audience`] for another issuer's, [`TokenError::Malformed`] for everything else that is missing or wrong.
    pub fn read(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Statement, TokenError> {
        let malformed = TokenError::Malformed;
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenError::Audience);
        }
        if OTHER_KINDS.iter().any(|name| claims.contains_key(*name)) {
            return Err(malformed);
        }
        let user = name(claims, &self.user_claim)?.ok_or(malformed)?;
        let client = match name(claims, "client_id")? {
            Some(client) => Some(client),
            None => name(claims, "azp")?,
        };
        let token = name(claims, "jti")?;
        if token.is_none() && self.require_jti {
            return Err(malformed);
        }
        let expires = match time(claims, "exp")? {
            Some(end) => end.plus(self.skew),
            None if self.require_exp => return Err(malformed),
            None => now.plus(ENDLESS),
        };
        let begins = [time(claims, "nbf")?, time(claims, "iat")?];
        let not_before = begins.into_iter().flatten().max().unwrap_or(Timestamp::EPOCH);
        let prefixed = |text: &str| format!("{}:{text}", self.name);
        let own = |scope: &ScopeSet| scope.iter().chain(self.scopes.iter()).cloned().collect();
        Ok(Statement {
            user: UserId::new(prefixed(user)),
            client: ClientId::new(prefixed(client.unwrap_or("unnamed"))),
            token: TokenId::new(prefixed(token.unwrap_or_default())),
            scopes: own(&scopes(claims)?),
            audiences: audiences(claims)?,
            not_before: not_before.minus(self.skew),
            expires,
        })
    }

    /// Whom a token stands for at one of `resources`, the spellings of one.
    ///
    /// # Errors
    /// [`TokenError::Audience`] if it is for another place, [`TokenError::Expired`] if its time is not now.
    pub fn admit(
        &self,
        said: &Statement,
        resources: &[Resource],
        now: Timestamp,
    ) -> Result<Principal, TokenError> {
        if now >= said.expires || now < said.not_before {
            return Err(TokenError::Expired);
        }
        let fits = |resource: &&Resource| {
            if self.audiences.is_empty() {
                said.audiences.iter().any(|named| named == resource.as_str())
            } else {
                let named = |audience: &String| self.audiences.contains(audience);
                self.resources.contains(resource) && said.audiences.iter().any(named)
            }
        };
        let audience = resources.iter().find(fits).ok_or(TokenError::Audience)?;
        Ok(Principal {
            user: said.user.clone(),
            client: said.client.clone(),
            grant: GrantId::new(format!("{GRANT}{}", self.name)),
            token: said.token.clone(),
            scopes: said.scopes.clone(),
            audience: audience.clone(),
            expires: said.expires,
        })
    }

    /// Reads what the issuer says of an opaque token; it holds for [`REMEMBER`] and never past the token's end. An answer
    /// without `iss` is the issuer's own: it was asked over its own address.
    ///
    /// # Errors
    /// As [`Issuer::read`]; [`TokenError::Revoked`] for a token that is not active.
    pub fn read_introspection(
        &self,
        mut answer: Map<String, Value>,
        now: Timestamp,
    ) -> Result<Statement, TokenError> {
        if answer.get("active") != Some(&Value::Bool(true)) {
            return Err(TokenError::Revoked);
        }
        let kind = answer.get("token_type").and_then(Value::as_str);
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(TokenError::Malformed);
        }
        answer.entry("iss").or_insert_with(|| self.issuer.as_str().into());
        let said = self.read(&answer, now)?;
        Ok(Statement {
            expires: said.expires.min(now.plus(REMEMBER)),
            ..said
        })
    }
}

/// The value of `Authorization` with which a client authenticates (RFC 6749 §2.3.1: both are form-encoded first).
#[must_use]
pub fn basic(client: &str, secret: &Secret<String>) -> Secret<String> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!("{}:{}", encode(client), encode(secret.expose())));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}

/// A member that is visible ASCII, so that it can stand in logs and headers; of another kind it is not absent but wrong.
fn name<'c>(claims: &'c Map<String, Value>, member: &str) -> Result<Option<&'c str>, TokenError> {
    let Some(value) = claims.get(member) else {
        return Ok(None);
    };
    let text = value.as_str().ok_or(TokenError::Malformed)?;
    let fits = !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(Some(text)).ok_or(TokenError::Malformed)
}

/// A time in whole seconds (RFC 7519 §2); another number or a text is none.
fn time(claims: &Map<String, Value>, member: &str) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(member) else {
        return Ok(None);
    };
    let seconds = value.as_i64().filter(|seconds| *seconds >= 0);
    let seconds = seconds.ok_or(TokenError::Malformed)?;
    Ok(Some(Timestamp::from_secs(seconds)))
}

/// `scope` (RFC 8693 §4.2), or the list or text `scp` that some issuers write.
fn scopes(claims: &Map<String, Value>) -> Result<ScopeSet, TokenError> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        None => Ok(ScopeSet::parse("")),
        Some(Value::String(text)) => Ok(ScopeSet::parse(text)),
        Some(Value::Array(list)) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            Ok(ScopeSet::parse(&texts.ok_or(TokenError::Malformed)?.join(" ")))
        }
        Some(_) => Err(TokenError::Malformed),
    }
}

/// `aud`: a text or a list of texts (RFC 7519 §4.1.3), and never absent.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    let texts = |list: &Vec<Value>| list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
    match claims.get("aud") {
        Some(Value::String(one)) => Some(vec![one.clone()]),
        Some(Value::Array(list)) => texts(list),
        _ => None,
    }
    .filter(|audiences: &Vec<String>| !audiences.is_empty())
    .ok_or(TokenError::Malformed)
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;

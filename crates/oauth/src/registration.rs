//! Dynamic client registration (RFC 7591): what is accepted, what is kept, what is answered.

use std::fmt;

use sallyport_core::{ClientId, ScopeSet, Secret, Timestamp};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;

use crate::device;
use crate::dpop;
use crate::error::ErrorCode;
use crate::exchange;
use crate::id_jag;
use crate::jws::Keys;
use crate::model::{AuthMethod, Client, Digest};
use crate::own_name;
use crate::pushed;
use crate::redirect::{self, RedirectError, RedirectKind};

/// The longest registration that is read, in bytes.
pub const MAX_BYTES: usize = 32 * 1024;
/// The longest address of keys, in bytes.
pub const MAX_KEY_ADDRESS: usize = 2048;
/// The most redirect URIs of one client.
pub const MAX_REDIRECTS: usize = 32;

/// Members that this server alone sets; a caller's are dropped (DC-03).
const OURS: &[&str] = &[
    "client_id",
    "client_secret",
    "client_id_issued_at",
    "client_secret_expires_at",
    "registration_access_token",
    "registration_client_uri",
];

/// What begins like this is the operator's to say.
const OPERATORS: &str = "sallyport_";

/// The paths of the resources whose tokens the client may introspect, in a client that the operator has made.
pub const INTROSPECTS: &str = "sallyport_introspects";

/// What the operator allows.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// Private-use redirect schemes, in lower case.
    pub private_schemes: &'a [String],
    /// Every scope that there is.
    pub scopes: &'a ScopeSet,
    /// Whether the operator registers the client. Then it may be without redirect URIs, for a client that sends nobody
    /// to log in, and what only the operator may say counts.
    pub is_operator: bool,
}

/// Why a registration is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RegistrationError {
    /// Not a JSON object.
    #[error("the body must be a JSON object, each member once (RFC 7591 §3.1)")]
    Form,
    /// A member has the wrong type or a value that cannot be served.
    #[error("`{member}` {wrong}")]
    Member {
        /// Which.
        member: &'static str,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// No list of 1 to [`MAX_REDIRECTS`] strings.
    #[error("`redirect_uris` must be a list of 1 to 32 strings")]
    Redirects,
    /// One of the redirect URIs; each is judged on its own.
    #[error("`redirect_uris` number {number}, {shown}, {error}")]
    Redirect {
        /// Its place in the list, from 1.
        number: usize,
        /// The URI, cut and without odd characters.
        shown: String,
        /// What is wrong with it.
        error: RedirectError,
    },
    /// Nobody's software statements are trusted here.
    #[error("software statements are not accepted")]
    SoftwareStatement,
}

impl RegistrationError {
    /// The `error` value of the answer (RFC 7591 §3.2.2).
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Form | Self::Member { .. } => ErrorCode::InvalidClientMetadata,
            Self::Redirects | Self::Redirect { .. } => ErrorCode::InvalidRedirectUri,
            Self::SoftwareStatement => ErrorCode::UnapprovedSoftwareStatement,
        }
    }
}

/// An accepted registration, without the identifier that it will have.
#[derive(Debug)]
pub struct Registration {
    auth_method: AuthMethod,
    redirect_uris: Vec<String>,
    scopes: ScopeSet,
    metadata: Map<String, Value>,
}

impl Registration {
    /// Reads and judges a registration request.
    ///
    /// # Errors
    /// [`RegistrationError`] names the member, and of the redirect URIs the one that is wrong.
    pub fn read(body: &[u8], policy: Policy<'_>) -> Result<Self, RegistrationError> {
        Self::judge(members(body)?, policy)
    }

    /// Judges the members of a registration.
    ///
    /// # Errors
    /// As [`Registration::read`].
    pub fn judge(mut metadata: Map<String, Value>, policy: Policy<'_>) -> Result<Self, RegistrationError> {
        let is_operator = policy.is_operator;
        metadata.retain(|member, _| {
            !OURS.contains(&member.as_str()) && (is_operator || !member.starts_with(OPERATORS))
        });
        if metadata.remove("software_statement").is_some() {
            return Err(RegistrationError::SoftwareStatement);
        }
        if text(&metadata, "client_name").is_err() {
            return Err(RegistrationError::Member {
                member: "client_name",
                wrong: "must be a string",
            });
        }
        let auth_method = auth_method(&metadata)?;
        check_keys(&metadata, auth_method)?;
        let redirect_uris = redirect_uris(&metadata, auth_method, policy)?;
        let scopes = scopes(&metadata, policy.scopes)?;
        check_response_types(&metadata)?;
        check_flags(&metadata)?;
        let is_coded = !redirect_uris.is_empty();
        let mut grants = if is_coded {
            grant_types(&metadata)?
        } else {
            device_grants(&metadata)
        };
        if is_operator {
            grants.extend(operators_grants(&metadata, auth_method)?);
        }
        // Whom the provider vouches to has to prove who it is.
        if auth_method != AuthMethod::None && asks_for(&metadata, id_jag::GRANT_TYPE) {
            grants.push(id_jag::GRANT_TYPE);
        }
        let responses = if is_coded { vec!["code"] } else { Vec::new() };
        metadata.insert("grant_types".into(), grants.into());
        metadata.insert("response_types".into(), responses.into());
        metadata.insert("scope".into(), scopes.to_string().into());
        metadata.insert("redirect_uris".into(), redirect_uris.clone().into());
        let method = serde_json::to_value(auth_method).unwrap_or_default();
        metadata.insert("token_endpoint_auth_method".into(), method);
        Ok(Self {
            auth_method,
            redirect_uris,
            scopes,
            metadata,
        })
    }

    /// Whether the client needs a secret.
    #[must_use]
    pub fn needs_secret(&self) -> bool {
        self.auth_method.has_secret()
    }

    /// The client with this registration instead of its own. A secret that it has stays, as long as it needs one; `new`
    /// is the hash of one that it is given.
    #[must_use]
    pub fn replacing(self, client: &Client, new: Option<Digest>) -> Client {
        let kept = client.secret.filter(|_| self.needs_secret());
        Client {
            last_used: client.last_used,
            ..self.into_client(client.id.clone(), new.or(kept), client.registered)
        }
    }

    /// The client under its new identifier; `secret` is the hash of the secret that it is given.
    #[must_use]
    pub fn into_client(self, id: ClientId, secret: Option<Digest>, now: Timestamp) -> Client {
        Client {
            id,
            auth_method: self.auth_method,
            secret,
            redirect_uris: self.redirect_uris,
            scopes: self.scopes,
            metadata: self.metadata,
            registered: now,
            last_used: None,
        }
    }
}

/// The members of a registration request.
///
/// # Errors
/// [`RegistrationError::Form`] for anything but a JSON object in which every member stands once (CM-07).
pub fn members(body: &[u8]) -> Result<Map<String, Value>, RegistrationError> {
    let Members(members) = serde_json::from_slice(body).map_err(|_| RegistrationError::Form)?;
    Ok(members)
}

/// Of a member that stands twice two readers may take two different ones.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// The answer to a registration (RFC 7591 §3.2.1): everything that is registered, unknown members too, and the
/// credentials; with the address and the token of its management (RFC 7592 §3).
#[must_use]
pub fn answer(
    client: &Client,
    secret: Option<&Secret<String>>,
    management: Option<(&str, &Secret<String>)>,
) -> Map<String, Value> {
    let mut answer = client.metadata.clone();
    answer.insert("client_id".into(), client.id.as_str().into());
    answer.insert("client_id_issued_at".into(), client.registered.as_secs().into());
    if let Some(secret) = secret {
        answer.insert("client_secret".into(), secret.expose().as_str().into());
        answer.insert("client_secret_expires_at".into(), 0.into());
    }
    if let Some((uri, token)) = management {
        answer.insert("registration_client_uri".into(), uri.into());
        answer.insert("registration_access_token".into(), token.expose().as_str().into());
    }
    answer
}

/// Whether the client registered the grant type (it is `grant_types` of RFC 7591 §2, as it was answered).
#[must_use]
pub fn allows_grant(client: &Client, grant_type: &str) -> bool {
    let listed = client.metadata.get("grant_types").and_then(Value::as_array);
    listed.is_some_and(|types| types.iter().any(|t| t == grant_type))
}

/// Whether the operator lets the client see every token for the resource at this path (RFC 7662 §4).
#[must_use]
pub fn may_introspect(client: &Client, path: &str) -> bool {
    let listed = client.metadata.get(INTROSPECTS).and_then(Value::as_array);
    listed.is_some_and(|paths| paths.iter().any(|one| one == path))
}

/// Where the keys are with which a client signs.
#[derive(Debug)]
pub enum ClientKeys {
    /// In its registration.
    Here(Keys),
    /// At this address, which is the client's to say.
    At(Url),
}

/// The keys with which the client signs.
#[must_use]
pub fn keys(client: &Client) -> Option<ClientKeys> {
    if let Some(set) = client.metadata.get("jwks") {
        return Keys::parse(set).ok().map(ClientKeys::Here);
    }
    let address = client.metadata.get("jwks_uri")?.as_str()?;
    key_address(address).map(ClientKeys::At)
}

/// An address of keys: https, without user information or fragment. It is not called before it is needed (DC-12).
fn key_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_KEY_ADDRESS)?;
    let is_plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    is_plain.then_some(url)
}

fn text<'a>(metadata: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, ()> {
    match metadata.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(()),
    }
}

fn list<'a>(metadata: &'a Map<String, Value>, member: &str) -> Result<Option<Vec<&'a str>>, ()> {
    match metadata.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => items
            .iter()
            .map(|i| i.as_str().ok_or(()))
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(()),
    }
}

/// A registration without a method is a public client: every recorded client that leaves it out is one, although
/// RFC 7591 §2 would make it `client_secret_basic`.
fn auth_method(metadata: &Map<String, Value>) -> Result<AuthMethod, RegistrationError> {
    match text(metadata, "token_endpoint_auth_method") {
        Ok(None | Some("none")) => Ok(AuthMethod::None),
        Ok(Some("client_secret_basic")) => Ok(AuthMethod::ClientSecretBasic),
        Ok(Some("client_secret_post")) => Ok(AuthMethod::ClientSecretPost),
        Ok(Some("private_key_jwt")) => Ok(AuthMethod::PrivateKeyJwt),
        Ok(Some(_)) | Err(()) => Err(RegistrationError::Member {
            member: "token_endpoint_auth_method",
            wrong: "must be none, client_secret_basic, client_secret_post or private_key_jwt",
        }),
    }
}

/// The keys of a client that signs stand in its registration, or at an address that it names.
fn check_keys(metadata: &Map<String, Value>, auth_method: AuthMethod) -> Result<(), RegistrationError> {
    let wrong = |wrong| RegistrationError::Member {
        member: "jwks",
        wrong,
    };
    if auth_method != AuthMethod::PrivateKeyJwt {
        return Ok(());
    }
    match (metadata.get("jwks"), metadata.get("jwks_uri")) {
        (Some(_), Some(_)) => Err(wrong("and `jwks_uri` exclude each other (RFC 7591 §2)")),
        (Some(keys), None) => Keys::parse(keys).map(|_| ()).map_err(wrong),
        (None, Some(address)) => match address.as_str().and_then(key_address) {
            Some(_) => Ok(()),
            None => Err(RegistrationError::Member {
                member: "jwks_uri",
                wrong: "must be an https URL without user information or fragment",
            }),
        },
        (None, None) => Err(wrong(
            "is missing, and so is `jwks_uri`: private_key_jwt needs the client's public keys",
        )),
    }
}

fn redirect_uris(
    metadata: &Map<String, Value>,
    auth_method: AuthMethod,
    policy: Policy<'_>,
) -> Result<Vec<String>, RegistrationError> {
    let uris = list(metadata, "redirect_uris").ok().flatten().unwrap_or_default();
    let needed = !policy.is_operator && !asks_for(metadata, device::GRANT_TYPE);
    if (uris.is_empty() && needed) || uris.len() > MAX_REDIRECTS {
        return Err(RegistrationError::Redirects);
    }
    for (place, uri) in uris.iter().enumerate() {
        let judged = match redirect::classify(uri, policy.private_schemes) {
            Ok(RedirectKind::PrivateUse) if auth_method != AuthMethod::None => {
                Err(RedirectError::Confidential)
            }
            other => other,
        };
        judged.map_err(|error| RegistrationError::Redirect {
            number: place + 1,
            shown: shown(uri),
            error,
        })?;
    }
    Ok(uris.into_iter().map(ToOwned::to_owned).collect())
}

fn shown(uri: &str) -> String {
    uri.chars()
        .take(120)
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\') {
                c
            } else {
                '?'
            }
        })
        .collect()
}

fn scopes(metadata: &Map<String, Value>, all: &ScopeSet) -> Result<ScopeSet, RegistrationError> {
    let asked = text(metadata, "scope").map_err(|()| RegistrationError::Member {
        member: "scope",
        wrong: "must be a string",
    })?;
    let known = all.intersection(&ScopeSet::parse(asked.unwrap_or_default()));
    Ok(if known.is_empty() { all.clone() } else { known })
}

/// Grant types that are not served are left out of the answer, which is what counts (RFC 7591 §3.2.1).
fn grant_types(metadata: &Map<String, Value>) -> Result<Vec<&'static str>, RegistrationError> {
    const SERVED: [&str; 2] = ["authorization_code", "refresh_token"];
    let wrong = |wrong| RegistrationError::Member {
        member: "grant_types",
        wrong,
    };
    let Some(asked) = list(metadata, "grant_types").map_err(|()| wrong("must be a list of strings"))? else {
        return Ok(SERVED.to_vec());
    };
    let by_device = asked.contains(&device::GRANT_TYPE);
    if !asked.is_empty() && !asked.contains(&"authorization_code") && !by_device {
        return Err(wrong("must hold authorization_code"));
    }
    let served = SERVED
        .into_iter()
        .filter(|served| asked.is_empty() || asked.contains(served));
    Ok(served.chain(by_device.then_some(device::GRANT_TYPE)).collect())
}

/// Those that only the operator gives, to clients that prove who they are.
fn operators_grants(
    metadata: &Map<String, Value>,
    auth_method: AuthMethod,
) -> Result<Vec<&'static str>, RegistrationError> {
    let mut given = vec![own_name::GRANT_TYPE, exchange::GRANT_TYPE];
    given.retain(|grant| asks_for(metadata, grant));
    if auth_method == AuthMethod::None && !given.is_empty() {
        return Err(RegistrationError::Member {
            member: "grant_types",
            wrong: "may hold client_credentials and token exchange only for a client that authenticates",
        });
    }
    Ok(given)
}

/// Those of a client without a redirect URI: a device has no use for one (RFC 8628).
fn device_grants(metadata: &Map<String, Value>) -> Vec<&'static str> {
    if !asks_for(metadata, device::GRANT_TYPE) {
        return Vec::new();
    }
    let refreshes = asks_for(metadata, "refresh_token").then_some("refresh_token");
    std::iter::once(device::GRANT_TYPE).chain(refreshes).collect()
}

fn asks_for(metadata: &Map<String, Value>, grant_type: &str) -> bool {
    list(metadata, "grant_types").is_ok_and(|asked| asked.is_some_and(|asked| asked.contains(&grant_type)))
}

/// Members that say yes or no.
fn check_flags(metadata: &Map<String, Value>) -> Result<(), RegistrationError> {
    for member in [pushed::REQUIRED, dpop::REQUIRED] {
        if !matches!(metadata.get(member), None | Some(Value::Null | Value::Bool(_))) {
            let wrong = "must be true or false";
            return Err(RegistrationError::Member { member, wrong });
        }
    }
    Ok(())
}

fn check_response_types(metadata: &Map<String, Value>) -> Result<(), RegistrationError> {
    let wrong = RegistrationError::Member {
        member: "response_types",
        wrong: "must hold code",
    };
    match list(metadata, "response_types") {
        Ok(None) => Ok(()),
        Ok(Some(types)) if types.is_empty() || types.contains(&"code") => Ok(()),
        Ok(Some(_)) | Err(()) => Err(wrong),
    }
}

#[cfg(test)]
mod tests;

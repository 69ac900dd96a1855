//! The management of a registration by its client (RFC 7592): which token opens it, and what a client may change.

use sallyport_core::Timestamp;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::model::{Client, Digest};
use crate::registration::{self, Policy, Registration, RegistrationError};

/// What the tokens of registrations begin with. Access and refresh tokens never do.
pub const PREFIX: &str = "reg-";

/// Members that a client may not send: they are this server's (RFC 7592 §2.2).
const NOT_SENT: [&str; 4] = [
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
];

/// Why a request does not open a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ManagementError {
    /// No bearer token in the `Authorization` header.
    #[error("send the registration's token in the Authorization header")]
    Missing,
    /// A token of another realm: whatever it opens, it is no registration.
    #[error("only the token that came with the registration opens it; access tokens do not")]
    Foreign,
    /// Not this registration's token, or its time is over, or there is no such registration. All look alike (DC-07).
    #[error("the token does not open this registration")]
    Refused,
}

/// The token that a request shows.
///
/// # Errors
/// [`ManagementError::Missing`], [`ManagementError::Foreign`].
pub fn shown(authorization: Option<&str>) -> Result<&str, ManagementError> {
    let (scheme, token) = authorization
        .and_then(|header| header.split_once(' '))
        .ok_or(ManagementError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ManagementError::Missing);
    }
    let token = token.trim();
    if token.starts_with(PREFIX) {
        Ok(token)
    } else {
        Err(ManagementError::Foreign)
    }
}

/// Whether the token with the hash `shown` opens the registration whose token has the hash `kept` and ends at the time
/// beside it.
///
/// # Errors
/// [`ManagementError::Refused`].
pub fn opens(
    shown: &Digest,
    kept: Option<(&Digest, Option<Timestamp>)>,
    now: Timestamp,
) -> Result<(), ManagementError> {
    let (digest, expires) = kept.ok_or(ManagementError::Refused)?;
    let is_same: bool = shown.ct_eq(digest).into();
    if is_same && expires.is_none_or(|expires| now < expires) {
        Ok(())
    } else {
        Err(ManagementError::Refused)
    }
}

/// Reads the new state of a registration, which replaces the old one as a whole (RFC 7592 §2.2).
///
/// # Errors
/// [`RegistrationError`]; above all for another `client_id`, and for a `client_secret` that is not the client's own
/// (DC-08). `hash` is the one that secrets are kept under.
pub fn read_update(
    body: &[u8],
    client: &Client,
    policy: Policy<'_>,
    hash: impl Fn(&[u8]) -> Digest,
) -> Result<Registration, RegistrationError> {
    let members: Map<String, Value> = registration::members(body)?;
    let refuse = |member, wrong| Err(RegistrationError::Member { member, wrong });
    if members.get("client_id").and_then(Value::as_str) != Some(client.id.as_str()) {
        return refuse("client_id", "must be the one of this registration");
    }
    if let Some(member) = NOT_SENT.into_iter().find(|member| members.contains_key(*member)) {
        return refuse(member, "is not the client's to set");
    }
    if let Some(secret) = members.get("client_secret") {
        let hashed = secret.as_str().map(|secret| hash(secret.as_bytes()));
        let is_own = hashed
            .zip(client.secret)
            .is_some_and(|(shown, kept)| shown.ct_eq(&kept).into());
        if !is_own {
            return refuse("client_secret", "must be the one that was issued, or be left out");
        }
    }
    Registration::judge(members, policy)
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ClientId, ScopeSet};
    use serde_json::json;

    use super::*;
    use crate::model::AuthMethod;

    #[test]
    fn dc_06_only_tokens_of_registrations_are_looked_at() {
        use ManagementError::{Foreign, Missing};
        assert_eq!(shown(Some("Bearer reg-abc")), Ok("reg-abc"));
        assert_eq!(shown(Some("bearer  reg-abc ")), Ok("reg-abc"));
        for (header, error) in [
            (None, Missing),
            (Some(""), Missing),
            (Some("reg-abc"), Missing),
            (Some("Basic reg-abc"), Missing),
            (Some("Bearer eyJhbGciOiJFUzI1NiJ9.e30.x"), Foreign),
            (Some("Bearer abc"), Foreign),
            (Some("Bearer REG-abc"), Foreign),
        ] {
            assert_eq!(shown(header), Err(error), "{header:?}");
        }
    }

    #[test]
    fn dc_07_a_token_opens_its_own_registration_until_it_ends() {
        let now = Timestamp::from_secs(100);
        let opens = |kept| opens(&[1; 32], kept, now);
        assert_eq!(opens(Some((&[1; 32], None))), Ok(()));
        assert_eq!(opens(Some((&[1; 32], Some(Timestamp::from_secs(101))))), Ok(()));
        for kept in [None, Some((&[2; 32], None)), Some((&[1; 32], Some(now)))] {
            assert_eq!(opens(kept), Err(ManagementError::Refused), "{kept:?}");
        }
    }

    #[test]
    fn dc_08_what_a_client_may_not_change() {
        let client = Client {
            id: ClientId::new("c"),
            auth_method: AuthMethod::ClientSecretPost,
            secret: Some([7; 32]),
            redirect_uris: vec![],
            scopes: ScopeSet::parse("mcp"),
            metadata: Map::new(),
            registered: Timestamp::EPOCH,
            last_used: None,
        };
        let scopes = ScopeSet::parse("mcp");
        let read = |body: &Value| {
            let policy = Policy {
                private_schemes: &[],
                scopes: &scopes,
                is_operator: false,
            };
            let hash = |secret: &[u8]| if secret == b"own" { [7; 32] } else { [8; 32] };
            read_update(body.to_string().as_bytes(), &client, policy, hash).map(|_| ())
        };
        let with = |member: &str, value: Value| {
            let mut body = json!({ "client_id": "c", "redirect_uris": ["https://c.test/cb"] });
            body[member] = value;
            body
        };
        assert_eq!(read(&with("client_name", json!("New"))), Ok(()));
        assert_eq!(read(&with("client_secret", json!("own"))), Ok(()));
        for (member, value) in [
            ("client_id", json!("d")),
            ("client_id", Value::Null),
            ("client_secret", json!("chosen")),
            ("client_secret", json!(1)),
            ("registration_access_token", json!("reg-x")),
            ("registration_client_uri", json!("https://evil.test")),
            ("client_id_issued_at", json!(1)),
            ("client_secret_expires_at", json!(0)),
        ] {
            let error = read(&with(member, value.clone())).unwrap_err();
            assert!(
                matches!(error, RegistrationError::Member { member: named, .. } if named == member),
                "{member}: {value}"
            );
        }
    }
}

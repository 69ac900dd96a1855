//! The answer of the token endpoint (RFC 6749 §5.1).

use std::time::Duration;

use sallyport_core::capability::AccessClaims;
use sallyport_core::{Principal, ScopeSet, Secret, Timestamp, TokenId};
use serde_json::{Map, Value, json};

use crate::model::Grant;
use crate::{dpop, exchange};

/// The claims of an access token under `grant`. It never lives longer than the grant.
#[must_use]
pub fn access_claims(
    grant: &Grant,
    scopes: ScopeSet,
    token: TokenId,
    now: Timestamp,
    lifetime: Duration,
) -> AccessClaims {
    AccessClaims {
        user: grant.user.clone(),
        client: grant.client.clone(),
        audience: grant.resource.clone(),
        scopes,
        token,
        key: None,
        actor: None,
        grant: grant.id.clone(),
        issued: now,
        expires: now.plus(lifetime).min(grant.expires),
    }
}

/// Whom a secret stands for that is as good as the whole grant: an API key.
#[must_use]
pub fn bearer(grant: &Grant) -> Principal {
    Principal {
        user: grant.user.clone(),
        client: grant.client.clone(),
        grant: grant.id.clone(),
        token: TokenId::new(grant.id.as_str()),
        scopes: grant.scopes.clone(),
        audience: grant.resource.clone(),
        expires: grant.expires,
    }
}

/// The JSON body. `expires_in` and `scope` are always there: clients plan by the first and cannot know the second,
/// because it may be less than they asked for.
#[must_use]
pub fn body(claims: &AccessClaims, access: &Secret<String>, refresh: Option<&Secret<String>>) -> String {
    Value::Object(members(claims, access, refresh)).to_string()
}

/// The same for a token that was exchanged: it says of what type it is (RFC 8693 §2.2.1).
#[must_use]
pub fn exchanged(claims: &AccessClaims, access: &Secret<String>) -> String {
    let mut body = members(claims, access, None);
    body.insert("issued_token_type".into(), exchange::ACCESS_TOKEN.into());
    Value::Object(body).to_string()
}

fn members(
    claims: &AccessClaims,
    access: &Secret<String>,
    refresh: Option<&Secret<String>>,
) -> Map<String, Value> {
    let body = json!({
        "access_token": access.expose(),
        "token_type": if claims.key.is_some() { dpop::SCHEME } else { "Bearer" },
        "expires_in": claims.expires.as_secs().saturating_sub(claims.issued.as_secs()).max(0),
        "scope": claims.scopes.to_string(),
    });
    let mut body = match body {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    if let Some(refresh) = refresh {
        body.insert("refresh_token".into(), refresh.expose().as_str().into());
    }
    body
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ClientId, GrantId, Resource, UserId};
    use serde_json::Value;

    use super::*;

    fn grant() -> Grant {
        Grant {
            id: GrantId::new("g"),
            user: UserId::new("u"),
            client: ClientId::new("c"),
            resource: Resource::parse("http://h/mcp").unwrap(),
            scopes: ScopeSet::parse("mcp"),
            created: Timestamp::EPOCH,
            expires: Timestamp::from_secs(1000),
            revoked: None,
        }
    }

    #[test]
    fn expires_in_is_true_and_never_beyond_the_grant() {
        let claims = |now| {
            let now = Timestamp::from_secs(now);
            access_claims(
                &grant(),
                ScopeSet::parse("mcp"),
                TokenId::new("t"),
                now,
                Duration::from_secs(900),
            )
        };
        for (now, expected) in [(0, 900), (100, 900), (101, 899), (999, 1), (2000, 0)] {
            let body: Value = serde_json::from_str(&body(&claims(now), &Secret::from("a"), None)).unwrap();
            assert_eq!(body["expires_in"], json!(expected), "{now}");
            assert_eq!(body["scope"], json!("mcp"));
            assert_eq!(body["token_type"], json!("Bearer"));
            assert!(body.get("refresh_token").is_none());
        }
    }
}

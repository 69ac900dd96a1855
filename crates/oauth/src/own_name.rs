//! A client in its own name, without a person (client credentials, OAuth 2.1 §4.2): only clients that the operator has
//! registered for it, and only for the resources that the operator has named.

use sallyport_core::{ClientId, Resource, ScopeSet, Timestamp, UserId};
use serde_json::Value;
use thiserror::Error;

use crate::client_auth::AuthenticatedClient;
use crate::error::ErrorCode;
use crate::model::{AuthMethod, Client, Grant};
use crate::narrowed::narrowed;
use crate::registration;
use crate::resources::{InvalidTarget, Resources};

/// `grant_type` and the member of `grant_types`.
pub const GRANT_TYPE: &str = "client_credentials";

/// The paths of the resources that the client may use, in a client that the operator has made.
pub const RESOURCES: &str = "sallyport_resources";

/// Why a client gets no token in its own name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum OwnNameError {
    /// It was not registered for this, or does not prove who it is.
    #[error("the client may not use this grant type")]
    GrantType,
    /// More scopes than it is registered for.
    #[error("`scope` holds more than the client is registered for")]
    Scope,
    /// Another resource than those that were named to it.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
}

impl OwnNameError {
    /// The `error` value of the answer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::GrantType => ErrorCode::UnauthorizedClient,
            Self::Scope => ErrorCode::InvalidScope,
            Self::Target(_) => ErrorCode::InvalidTarget,
        }
    }
}

/// Who acts when a client does in its own name. No person has such an id (RFC 9700 §4.15).
#[must_use]
pub fn user(client: &ClientId) -> UserId {
    UserId::new(format!("client:{client}"))
}

/// Whether the client may act in its own name.
#[must_use]
pub fn is_allowed(client: &Client) -> bool {
    client.auth_method != AuthMethod::None && registration::allows_grant(client, GRANT_TYPE)
}

/// The resources that the operator has named to the client, in that order; `all` are those that there are, each with its
/// path.
#[must_use]
pub fn resources<'r>(client: &Client, all: impl Iterator<Item = (&'r str, &'r Resource)>) -> Vec<Resource> {
    let there: Vec<_> = all.collect();
    let named = client.metadata.get(RESOURCES).and_then(Value::as_array);
    let paths = named.into_iter().flatten().filter_map(Value::as_str);
    let own = paths.filter_map(|path| {
        let found = there.iter().find(|(known, _)| *known == path);
        found.map(|(_, resource)| (*resource).clone())
    });
    own.collect()
}

/// What the client gets. `resources` are those that there are, each with its path; without `resource` it is the first of
/// the client's own, which is what the operator has named first.
///
/// # Errors
/// [`OwnNameError`].
pub fn decide<'a, 'r>(
    client: AuthenticatedClient<'_>,
    scope: Option<&str>,
    asked: impl Iterator<Item = &'a str>,
    resources: impl Iterator<Item = (&'r str, &'r Resource)>,
) -> Result<(Resource, ScopeSet), OwnNameError> {
    let client = client.client();
    if !is_allowed(client) {
        return Err(OwnNameError::GrantType);
    }
    let mut own = self::resources(client, resources).into_iter();
    let first = own.next().ok_or(InvalidTarget)?;
    let resource = Resources::new(first, own).resolve(asked)?;
    let scopes = narrowed(scope, &client.scopes).ok_or(OwnNameError::Scope)?;
    Ok((resource, scopes))
}

/// Whether a grant that the client has already serves for another token: a client that asks often leaves one grant.
#[must_use]
pub fn serves(grant: &Grant, (resource, scopes): (&Resource, &ScopeSet), needed_until: Timestamp) -> bool {
    grant.revoked.is_none()
        && grant.resource == *resource
        && grant.scopes == *scopes
        && grant.expires >= needed_until
}

#[cfg(test)]
mod tests {
    use sallyport_core::GrantId;
    use serde_json::json;

    use super::*;
    use crate::client_auth;
    use crate::params::Params;

    fn client(auth_method: AuthMethod, metadata: &Value) -> Client {
        Client {
            id: ClientId::new("c"),
            auth_method,
            secret: Some([0; 32]),
            redirect_uris: vec![],
            scopes: ScopeSet::parse("mcp other"),
            metadata: metadata.as_object().cloned().unwrap(),
            registered: Timestamp::EPOCH,
            last_used: None,
        }
    }

    fn run(
        client: &Client,
        scope: Option<&str>,
        asked: Option<&str>,
    ) -> Result<(String, String), OwnNameError> {
        let form = match client.auth_method {
            AuthMethod::None => "client_id=c",
            _ => "client_id=c&client_secret=x",
        };
        let presented = client_auth::read(None, &Params::parse(form.as_bytes()).unwrap()).unwrap();
        let proved = client_auth::verify(&presented, Some(client), |_| [0; 32]).unwrap();
        let all: Vec<_> = ["/mcp", "/mcp/a", "/mcp/b"]
            .map(|path| (path, Resource::parse(&format!("http://h{path}")).unwrap()))
            .into();
        let all = all.iter().map(|(path, resource)| (*path, resource));
        let (resource, scopes) = decide(proved, scope, asked.into_iter(), all)?;
        Ok((resource.as_str().to_owned(), scopes.to_string()))
    }

    #[test]
    fn tk_10_only_what_the_operator_has_named() {
        use AuthMethod::{ClientSecretPost, None as Public};
        let right = json!({ "grant_types": [GRANT_TYPE], RESOURCES: ["/mcp/a", "/mcp/b"] });
        let own = client(ClientSecretPost, &right);
        let got = |resource: &str, scopes: &str| Ok((resource.to_owned(), scopes.to_owned()));
        assert_eq!(run(&own, None, None), got("http://h/mcp/a", "mcp other"));
        assert_eq!(
            run(&own, Some("mcp"), Some("http://h/mcp/b")),
            got("http://h/mcp/b", "mcp")
        );
        let target = Err(OwnNameError::Target(InvalidTarget));
        assert_eq!(run(&own, None, Some("http://h/mcp")), target);
        assert_eq!(run(&own, None, Some("http://evil.test/mcp")), target);
        assert_eq!(run(&own, Some("mcp admin"), None), Err(OwnNameError::Scope));
        let nowhere = json!({ "grant_types": [GRANT_TYPE] });
        assert_eq!(run(&client(ClientSecretPost, &nowhere), None, None), target);
        let gone = json!({ "grant_types": [GRANT_TYPE], RESOURCES: ["/mcp/gone"] });
        assert_eq!(run(&client(ClientSecretPost, &gone), None, None), target);
        let coded = json!({ "grant_types": ["authorization_code"], RESOURCES: ["/mcp"] });
        assert_eq!(
            run(&client(ClientSecretPost, &coded), None, None),
            Err(OwnNameError::GrantType)
        );
        assert_eq!(
            run(&client(Public, &right), None, None),
            Err(OwnNameError::GrantType)
        );
    }

    #[test]
    fn one_grant_serves_as_long_as_it_is_alive_and_the_same() {
        let resource = Resource::parse("http://h/mcp").unwrap();
        let (scopes, needed) = (ScopeSet::parse("mcp"), Timestamp::from_secs(100));
        let grant = Grant {
            id: GrantId::new("g"),
            user: user(&ClientId::new("c")),
            client: ClientId::new("c"),
            resource: resource.clone(),
            scopes: scopes.clone(),
            created: Timestamp::EPOCH,
            expires: needed,
            revoked: None,
        };
        assert_eq!(grant.user.as_str(), "client:c");
        assert!(serves(&grant, (&resource, &scopes), needed));
        assert!(!serves(&grant, (&resource, &scopes), Timestamp::from_secs(101)));
        assert!(!serves(&grant, (&resource, &ScopeSet::parse("mcp x")), needed));
        let revoked = Grant {
            revoked: Some(needed),
            ..grant
        };
        assert!(!serves(&revoked, (&resource, &scopes), needed));
    }
}

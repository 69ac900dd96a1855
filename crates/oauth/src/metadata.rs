//! The documents by which clients find their way: RFC 8414, RFC 9728 and the OpenID Connect spelling.
//!
//! They are made from the configured issuer only, never from a request (MD-02), and name nothing that is not served
//! (MD-09).

use sallyport_core::{Resource, Scope, ScopeSet};
use serde_json::{Value, json};

use crate::jws::ALGORITHMS;
use crate::{device, exchange, id_jag, own_name, pkce};

/// How clients authenticate; the first is for public clients.
const METHODS: [&str; 4] = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];

/// What the authorization server's metadata depends on.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    /// The issuer, without a trailing slash; endpoints lie below it.
    pub issuer: &'a str,
    /// Every scope that there is.
    pub scopes: &'a ScopeSet,
    /// Whether clients can register themselves.
    pub registration: bool,
    /// Whether an identity provider may vouch for people.
    pub vouchers: bool,
    /// Whether a `client_id` may be the URL of a document that describes the client.
    pub documents: bool,
}

/// The authorization server metadata (RFC 8414 §2).
#[must_use]
pub fn authorization_server(server: Server<'_>) -> Value {
    let issuer = server.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "pushed_authorization_request_endpoint": format!("{issuer}/par"),
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "revocation_endpoint": format!("{issuer}/revoke"),
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "introspection_endpoint": format!("{issuer}/introspect"),
        "introspection_endpoint_auth_methods_supported": METHODS.get(1..),
        "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": offered(server.scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", own_name::GRANT_TYPE, device::GRANT_TYPE, exchange::GRANT_TYPE],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "code_challenge_methods_supported": [pkce::METHOD],
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "authorization_response_iss_parameter_supported": true,
    });
    if let (true, Some(members)) = (server.documents, document.as_object_mut()) {
        members.insert("client_id_metadata_document_supported".into(), true.into());
    }
    if let (true, Some(members)) = (server.vouchers, document.as_object_mut()) {
        if let Some(grants) = members
            .get_mut("grant_types_supported")
            .and_then(Value::as_array_mut)
        {
            grants.push(id_jag::GRANT_TYPE.into());
        }
        members.insert(
            "authorization_grant_profiles_supported".into(),
            json!([id_jag::PROFILE]),
        );
    }
    if let (true, Some(members)) = (server.registration, document.as_object_mut()) {
        members.insert(
            "registration_endpoint".into(),
            format!("{issuer}/register").into(),
        );
    }
    document
}

/// The same in the spelling of OpenID Connect Discovery 1.0 §3, for clients that look there first. The two members more
/// are required by the format; no ID tokens are issued.
#[must_use]
pub fn openid_configuration(server: Server<'_>) -> Value {
    let mut document = authorization_server(server);
    if let Some(members) = document.as_object_mut() {
        members.insert("subject_types_supported".into(), json!(["public"]));
        members.insert("id_token_signing_alg_values_supported".into(), json!(["ES256"]));
    }
    document
}

/// The metadata of one protected resource (RFC 9728 §2). `resource` is byte for byte what clients compare with the URL
/// that they were given, so it has no trailing slash.
#[must_use]
pub fn protected_resource(resource: &Resource, name: &str, server: Server<'_>) -> Value {
    json!({
        "resource": resource.as_str(),
        "authorization_servers": [server.issuer],
        "scopes_supported": scopes(server.scopes),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "dpop_bound_access_tokens_required": false,
        "resource_name": name,
    })
}

fn scopes(set: &ScopeSet) -> Vec<&str> {
    set.iter().map(Scope::as_str).collect()
}

/// What clients may ask for: the scopes that a person may need, and narrower ones. Those of single servers are not listed,
/// because strangers need not know which servers there are (RFC 8414 §2 allows it).
fn offered(set: &ScopeSet) -> Vec<&str> {
    let narrower = [Scope::READ, Scope::WRITE];
    let narrower = narrower.into_iter().filter(|scope| set.contains(scope));
    scopes(set).into_iter().chain(narrower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md_09_pkce_issuer_and_registration_are_told_as_they_are() {
        let scopes = ScopeSet::parse("mcp");
        let server = Server {
            issuer: "http://h:1",
            scopes: &scopes,
            registration: true,
            vouchers: false,
            documents: true,
        };
        let document = authorization_server(server);
        assert_eq!(document["issuer"], json!("http://h:1"));
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(
            document["authorization_response_iss_parameter_supported"],
            json!(true)
        );
        assert_eq!(document["registration_endpoint"], json!("http://h:1/register"));
        let device = &document["device_authorization_endpoint"];
        assert_eq!(*device, json!("http://h:1/device_authorization"));
        let introspecting = &document["introspection_endpoint_auth_methods_supported"];
        assert!(!introspecting.as_array().unwrap().contains(&json!("none")));
        let closed = authorization_server(Server {
            registration: false,
            ..server
        });
        assert!(closed.get("registration_endpoint").is_none());
        assert_eq!(
            openid_configuration(server)["subject_types_supported"],
            json!(["public"])
        );
    }

    #[test]
    fn md_01_the_resource_is_the_url_without_a_slash() {
        let scopes = ScopeSet::parse("mcp");
        let server = Server {
            issuer: "http://h:1",
            scopes: &scopes,
            registration: true,
            vouchers: false,
            documents: true,
        };
        let resource = Resource::parse("http://h:1/mcp/").unwrap();
        let document = protected_resource(&resource, "Sallyport", server);
        assert_eq!(document["resource"], json!("http://h:1/mcp"));
        assert_eq!(document["authorization_servers"], json!(["http://h:1"]));
    }
}

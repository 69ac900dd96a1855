//! What an authorization server says about itself (RFC 8414, OpenID Connect Discovery 1.0).

use serde_json::Value;
use url::Url;

use super::{LoginError, Named, object, scopes, texts};

const WHAT: &str = "authorization server's metadata (RFC 8414)";

/// How a client shows who it is at the token endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// A secret in the header (RFC 6749 §2.3.1).
    Basic,
    /// A secret in the form.
    Post,
    /// A statement that is signed with a key (RFC 7523 §2.2).
    PrivateKey,
    /// By its id alone; PKCE proves the rest.
    None,
}

impl Method {
    /// Its registered name (RFC 7591 §2).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKey => "private_key_jwt",
            Self::None => "none",
        }
    }

    /// The method of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Basic, Self::Post, Self::PrivateKey, Self::None]
            .into_iter()
            .find(|method| method.as_str() == name)
    }
}

/// An authorization server that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// `issuer`, as it is written.
    pub issuer: String,
    /// Where the browser goes.
    pub authorization_endpoint: Url,
    /// Where codes and refresh tokens become tokens.
    pub token_endpoint: Url,
    /// Where clients register themselves (RFC 7591).
    pub registration_endpoint: Option<Url>,
    /// `scopes_supported`.
    pub scopes: Vec<String>,
    /// The ways to show who one is, of those that are known here.
    pub methods: Vec<Method>,
    /// Whether a client may be a URL at which it describes itself.
    pub takes_documents: bool,
    /// Whether its answers name it (RFC 9207 §3).
    pub names_itself: bool,
}

/// An authorization server as far as it is needed by whoever sends nobody there with a browser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenServer {
    /// `issuer`, as it is written.
    pub issuer: String,
    /// Where tokens are got.
    pub token_endpoint: Url,
    /// The ways to show who one is, of those that are known here.
    pub methods: Vec<Method>,
}

/// Where the document of an issuer is looked for, in this order (2026-07-28, Authorization Server Metadata Discovery).
///
/// # Errors
/// [`LoginError::Form`] for what cannot be an issuer.
pub fn candidates(issuer: &str, named: Named<'_>) -> Result<Vec<Url>, LoginError> {
    let url = named.usable(WHAT, issuer)?;
    if url.query().is_some() {
        return Err(LoginError::Form(WHAT, "the issuer is a URL with a query"));
    }
    let path = url.path().trim_end_matches('/');
    let at = |path: &str| {
        let mut at = url.clone();
        at.set_path(path);
        at
    };
    let mut found = vec![
        at(&format!("/.well-known/oauth-authorization-server{path}")),
        at(&format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        found.push(at(&format!("{path}/.well-known/openid-configuration")));
    }
    Ok(found)
}

impl TokenServer {
    /// Reads the document that was asked of `issuer`.
    ///
    /// # Errors
    /// [`LoginError`]: above all a document that names another issuer (MD-04).
    pub fn read(issuer: &str, named: Named<'_>, status: u16, body: &[u8]) -> Result<Self, LoginError> {
        Self::of(issuer, named, &document_of(issuer, status, body)?)
    }

    fn of(issuer: &str, named: Named<'_>, document: &Value) -> Result<Self, LoginError> {
        let methods = texts(document, "token_endpoint_auth_methods_supported");
        Ok(Self {
            issuer: issuer.to_owned(),
            token_endpoint: endpoint(document, "token_endpoint", named)?,
            // RFC 8414 §2: without a list it is `client_secret_basic`.
            methods: methods.map_or(vec![Method::Basic], |list| {
                list.filter_map(Method::parse).collect()
            }),
        })
    }
}

/// The document, if it is the issuer's own: compared as it is written (RFC 8414 §3.3).
fn document_of(issuer: &str, status: u16, body: &[u8]) -> Result<Value, LoginError> {
    let document = object(WHAT, status, body)?;
    let own = document.get("issuer").and_then(Value::as_str) == Some(issuer);
    own.then_some(document).ok_or(LoginError::OtherIssuer)
}

fn endpoint(document: &Value, name: &str, named: Named<'_>) -> Result<Url, LoginError> {
    let text = document.get(name).and_then(Value::as_str);
    named.usable(
        WHAT,
        text.ok_or(LoginError::Form(WHAT, "an endpoint is missing"))?,
    )
}

impl Metadata {
    /// Reads the document that was asked of `issuer`.
    ///
    /// # Errors
    /// [`LoginError`]: above all a document that names another issuer (MD-04), or no PKCE with S256 (PK-08).
    pub fn read(issuer: &str, named: Named<'_>, status: u16, body: &[u8]) -> Result<Self, LoginError> {
        let document = document_of(issuer, status, body)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let lists =
            |name: &str, wanted: &str| texts(&document, name).map(|mut list| list.any(|one| one == wanted));
        if lists("code_challenge_methods_supported", crate::pkce::METHOD) != Some(true) {
            return Err(LoginError::NoPkce);
        }
        if lists("response_types_supported", "code") == Some(false) {
            return Err(LoginError::Form(WHAT, "it gives out no codes"));
        }
        let registration = text("registration_endpoint").map(|text| named.usable(WHAT, text));
        let TokenServer {
            issuer,
            token_endpoint,
            methods,
        } = TokenServer::of(issuer, named, &document)?;
        let flag = |name: &str| document.get(name) == Some(&Value::Bool(true));
        Ok(Self {
            issuer,
            authorization_endpoint: endpoint(&document, "authorization_endpoint", named)?,
            token_endpoint,
            registration_endpoint: registration.transpose()?,
            scopes: texts(&document, "scopes_supported")
                .map(scopes)
                .unwrap_or_default(),
            methods,
            takes_documents: flag("client_id_metadata_document_supported"),
            names_itself: flag("authorization_response_iss_parameter_supported"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.test/t1";

    fn document() -> Value {
        serde_json::json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://as.test/t1/authorize",
            "token_endpoint": "https://as.test/t1/token",
            "registration_endpoint": "https://as.test/t1/register",
            "code_challenge_methods_supported": ["plain", "S256"],
            "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post", "none"],
            "client_id_metadata_document_supported": true,
            "authorization_response_iss_parameter_supported": true,
            "scopes_supported": ["a", "offline_access"],
        })
    }

    fn read(document: &Value) -> Result<Metadata, LoginError> {
        Metadata::read(ISSUER, Named(&[]), 200, document.to_string().as_bytes())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut document = document();
        document[name] = value;
        document
    }

    #[test]
    fn both_kinds_of_documents_are_tried_in_the_stated_order() {
        let found = |issuer: &str| -> Vec<String> {
            let found = candidates(issuer, Named(&[])).expect(issuer);
            found.into_iter().map(String::from).collect()
        };
        for issuer in [ISSUER, "https://as.test/t1/"] {
            assert_eq!(
                found(issuer),
                [
                    "https://as.test/.well-known/oauth-authorization-server/t1",
                    "https://as.test/.well-known/openid-configuration/t1",
                    "https://as.test/t1/.well-known/openid-configuration",
                ]
            );
        }
        assert_eq!(
            found("https://as.test"),
            [
                "https://as.test/.well-known/oauth-authorization-server",
                "https://as.test/.well-known/openid-configuration",
            ]
        );
        for bad in [
            "http://as.test",
            "https://as.test/?x=1",
            "as.test",
            "https://u:p@as.test",
            "https://as.test#x",
        ] {
            assert!(candidates(bad, Named(&[])).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_good_document_is_read_whole() {
        let found = read(&document()).expect("good");
        assert_eq!(found.methods, [Method::PrivateKey, Method::Post, Method::None]);
        assert!(found.takes_documents && found.names_itself);
        assert_eq!(found.scopes, ["a", "offline_access"]);
        let mut plain = document();
        let object = plain.as_object_mut().expect("an object");
        object.retain(|name, _| !name.ends_with("supported") || name.starts_with("code_"));
        let found = read(&plain).expect("good");
        assert_eq!(found.methods, [Method::Basic]);
        assert!(!found.takes_documents && !found.names_itself);
    }

    #[test]
    fn who_sends_nobody_there_needs_less() {
        let mut small = document();
        let object = small.as_object_mut().expect("an object");
        object.retain(|name, _| matches!(name.as_str(), "issuer" | "token_endpoint"));
        let read = |document: &Value, issuer: &str| {
            TokenServer::read(issuer, Named(&[]), 200, document.to_string().as_bytes())
        };
        let found = read(&small, ISSUER).expect("good");
        assert_eq!(found.methods, [Method::Basic]);
        assert_eq!(read(&small, "https://as.test"), Err(LoginError::OtherIssuer));
        small["token_endpoint"] = "http://as.test/token".into();
        assert!(read(&small, ISSUER).is_err());
    }

    #[test]
    fn md_04_another_issuers_document_is_not_used() {
        for other in [
            "https://evil.test",
            "https://as.test/t1/",
            "https://AS.test/t1",
            "https://as.test",
        ] {
            assert_eq!(
                read(&with("issuer", other.into())),
                Err(LoginError::OtherIssuer),
                "{other}"
            );
        }
        assert_eq!(read(&with("issuer", Value::Null)), Err(LoginError::OtherIssuer));
    }

    #[test]
    fn pk_08_without_s256_nobody_logs_in() {
        for none in [
            Value::Null,
            serde_json::json!([]),
            serde_json::json!(["plain"]),
            "S256".into(),
        ] {
            let document = with("code_challenge_methods_supported", none);
            assert_eq!(read(&document), Err(LoginError::NoPkce));
        }
    }

    #[test]
    fn md_05_endpoints_of_odd_schemes_are_refused() {
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "registration_endpoint",
        ] {
            for bad in [
                "javascript:alert(1)",
                "file:///x",
                "a:$(id)",
                "http://169.254.169.254/",
                "http://as.test/x",
            ] {
                let read = read(&with(name, bad.into()));
                assert!(matches!(read, Err(LoginError::Form(..))), "{name} {bad}");
            }
        }
        for name in ["authorization_endpoint", "token_endpoint"] {
            assert!(read(&with(name, Value::Null)).is_err(), "{name}");
        }
        assert!(read(&with("response_types_supported", serde_json::json!(["token"]))).is_err());
    }
}

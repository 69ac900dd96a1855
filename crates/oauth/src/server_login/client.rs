//! Who the gateway is at an authorization server: a client that the operator registered, one that describes itself in a
//! document, or one that registers itself, in this order (2026-07-28, Client Registration Approaches).

use std::time::Duration;

use sallyport_core::{Secret, Timestamp};
use serde_json::{Value, json};
use url::Url;

use super::issuer::{Metadata, Method};
use super::{LoginError, error_code};

const WHAT: &str = "registration endpoint";

/// The name that people read at the authorization server.
const NAME: &str = "Sallyport";

/// How long a statement counts: what two clocks and a slow request need.
const STATEMENT: Duration = Duration::from_secs(60);

/// The longest id or secret of a client, in bytes.
const MAX_CREDENTIAL: usize = 4096;

/// A client, as its authorization server knows it. Its secret is for that one alone.
#[derive(Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: Option<Secret<String>>,
    /// A statement that it has signed for the next request, which counts once (RFC 7523 §2.2).
    pub statement: Option<Secret<String>>,
    /// How it shows who it is.
    pub method: Method,
    /// When the secret ends, if it does.
    pub expires: Option<Timestamp>,
}

/// How to become a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// As the operator registered it.
    Configured,
    /// By the URL of our own document.
    Document(String),
    /// By registering, here.
    Register(Url),
}

/// Chooses the way. `document` is the URL of our own document, where there is one that others can read.
///
/// # Errors
/// [`LoginError::NoRegistration`].
pub fn way(metadata: &Metadata, configured: bool, document: Option<&str>) -> Result<Way, LoginError> {
    if configured {
        return Ok(Way::Configured);
    }
    let public = metadata.methods.contains(&Method::None) || metadata.methods == [Method::Basic];
    match (document, &metadata.registration_endpoint) {
        (Some(document), _) if metadata.takes_documents && public => Ok(Way::Document(document.to_owned())),
        (_, Some(endpoint)) => Ok(Way::Register(endpoint.clone())),
        (Some(document), None) if metadata.takes_documents => Ok(Way::Document(document.to_owned())),
        _ => Err(LoginError::NoRegistration),
    }
}

/// The document at `url` that describes us (Client ID Metadata Document, §4.1).
#[must_use]
pub fn document(url: &str, redirect_uri: &str, home: &str) -> Value {
    let mut document = description(redirect_uri, Method::None);
    if let Some(members) = document.as_object_mut() {
        members.insert("client_id".to_owned(), url.into());
        members.insert("client_uri".to_owned(), home.into());
    }
    document
}

/// What registering sends (RFC 7591 §2).
#[must_use]
pub fn registration(metadata: &Metadata, redirect_uri: &str) -> String {
    description(redirect_uri, preferred(&metadata.methods)).to_string()
}

/// A server keeps a secret, so it takes a way with one where there is one.
fn preferred(methods: &[Method]) -> Method {
    let order = [Method::Basic, Method::Post, Method::None];
    let found = order.into_iter().find(|method| methods.contains(method));
    found.unwrap_or(Method::None)
}

fn description(redirect_uri: &str, method: Method) -> Value {
    let is_local = Url::parse(redirect_uri).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    });
    json!({
        "client_name": NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method.as_str(),
        "application_type": if is_local { "native" } else { "web" },
    })
}

/// Reads the answer of the registration endpoint (RFC 7591 §3.2).
///
/// # Errors
/// [`LoginError`].
pub fn registered(metadata: &Metadata, status: u16, body: &[u8]) -> Result<Client, LoginError> {
    if !matches!(status, 200 | 201) {
        return Err(match error_code(body) {
            Some(code) => LoginError::Refused(WHAT, code),
            None => LoginError::Status(WHAT, status),
        });
    }
    let answer = super::object(WHAT, 200, body)?;
    let text = |name: &str| {
        let text = answer.get(name).and_then(Value::as_str);
        text.filter(|text| {
            (1..=MAX_CREDENTIAL).contains(&text.len()) && text.bytes().all(|b| (0x20..=0x7e).contains(&b))
        })
    };
    let id = text("client_id").ok_or(LoginError::Form(WHAT, "it gave no usable `client_id`"))?;
    let secret = text("client_secret").map(Secret::from);
    let told = text("token_endpoint_auth_method").map(Method::parse);
    let method = match told {
        Some(told) => told.ok_or(LoginError::Form(
            WHAT,
            "it wants another way to sign in than was asked for",
        ))?,
        None if secret.is_some() => preferred(&metadata.methods),
        None => Method::None,
    };
    if method == Method::PrivateKey {
        return Err(LoginError::Form(
            WHAT,
            "it wants another way to sign in than was asked for",
        ));
    }
    if method != Method::None && secret.is_none() {
        return Err(LoginError::Form(WHAT, "it gave no `client_secret`"));
    }
    let ends = answer.get("client_secret_expires_at").and_then(Value::as_i64);
    Ok(Client {
        id: id.to_owned(),
        secret: secret.filter(|_| method != Method::None),
        statement: None,
        method,
        expires: ends.filter(|ends| *ends > 0).map(Timestamp::from_secs),
    })
}

/// How the client that the operator registered shows who it is: with its key, or with its secret in the way that the server
/// takes.
#[must_use]
pub fn configured(methods: &[Method], has_key: bool, has_secret: bool) -> Method {
    match (has_key, has_secret) {
        (true, _) => Method::PrivateKey,
        (false, false) => Method::None,
        (false, true) if methods.contains(&Method::Basic) => Method::Basic,
        (false, true) if methods.contains(&Method::Post) => Method::Post,
        (false, true) => Method::Basic,
    }
}

/// What a statement says that shows the issuer who the client is (RFC 7523 §3; the audience is the issuer alone).
#[must_use]
pub fn statement(id: &str, issuer: &str, number: &str, now: Timestamp) -> String {
    json!({
        "iss": id,
        "sub": id,
        "aud": issuer,
        "jti": number,
        "iat": now.as_secs(),
        "exp": now.plus(STATEMENT).as_secs(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(documents: bool, registers: bool, methods: &[Method]) -> Metadata {
        let url = |path: &str| Url::parse(&format!("https://as.test/{path}")).expect("a URL");
        Metadata {
            issuer: "https://as.test".to_owned(),
            authorization_endpoint: url("authorize"),
            token_endpoint: url("token"),
            registration_endpoint: registers.then(|| url("register")),
            scopes: Vec::new(),
            methods: methods.to_vec(),
            takes_documents: documents,
            names_itself: false,
        }
    }

    const OURS: &str = "https://g.test/oauth/client.json";

    #[test]
    fn what_the_operator_registered_comes_first_then_the_document_then_registration() {
        let any = [Method::None];
        let register = Way::Register(Url::parse("https://as.test/register").expect("a URL"));
        let chosen = |documents, registers, configured, ours| {
            way(&metadata(documents, registers, &any), configured, ours)
        };
        assert_eq!(chosen(true, true, true, Some(OURS)), Ok(Way::Configured));
        assert_eq!(
            chosen(true, true, false, Some(OURS)),
            Ok(Way::Document(OURS.to_owned()))
        );
        assert_eq!(chosen(true, true, false, None), Ok(register.clone()));
        assert_eq!(chosen(false, true, false, Some(OURS)), Ok(register));
        assert_eq!(
            chosen(false, false, false, Some(OURS)),
            Err(LoginError::NoRegistration)
        );
        assert_eq!(chosen(true, false, false, None), Err(LoginError::NoRegistration));
    }

    #[test]
    fn registering_says_what_kind_of_application_it_is() {
        for (redirect, kind) in [
            ("https://g.test/oauth/callback", "web"),
            ("http://127.0.0.1:8717/oauth/callback", "native"),
            ("http://localhost/oauth/callback", "native"),
            ("http://[::1]:1/oauth/callback", "native"),
        ] {
            let sent = registration(&metadata(false, true, &[Method::None, Method::Post]), redirect);
            let sent: Value = serde_json::from_str(&sent).expect("JSON");
            assert_eq!(sent["application_type"], kind, "{redirect}");
            assert_eq!(sent["redirect_uris"], json!([redirect]));
            assert_eq!(sent["token_endpoint_auth_method"], "client_secret_post");
        }
        let own = document(OURS, "https://g.test/oauth/callback", "https://g.test");
        assert_eq!(own["client_id"], OURS);
        assert_eq!(own["token_endpoint_auth_method"], "none");
    }

    #[test]
    fn a_key_comes_before_a_secret_and_a_statement_is_for_one_issuer_and_a_minute() {
        let post = [Method::Post, Method::None];
        assert_eq!(configured(&post, true, true), Method::PrivateKey);
        assert_eq!(configured(&post, false, true), Method::Post);
        assert_eq!(configured(&[Method::PrivateKey], false, true), Method::Basic);
        assert_eq!(configured(&post, false, false), Method::None);
        let claims = statement("c", "https://as.test", "n", Timestamp::from_secs(1000));
        let claims: Value = serde_json::from_str(&claims).expect("JSON");
        let expected = json!({
            "iss": "c", "sub": "c", "aud": "https://as.test", "jti": "n", "iat": 1000, "exp": 1060,
        });
        assert_eq!(claims, expected);
    }

    #[test]
    fn answers_of_the_registration_endpoint() {
        let metadata = metadata(false, true, &[Method::Basic]);
        let read = |status, body: Value| registered(&metadata, status, body.to_string().as_bytes());
        let good = read(
            201,
            json!({"client_id": "c", "client_secret": "s", "client_secret_expires_at": 7}),
        );
        let Ok(good) = good else { panic!("no client") };
        assert_eq!(
            (good.id.as_str(), good.method, good.expires),
            ("c", Method::Basic, Some(Timestamp::from_secs(7)))
        );
        let public = read(
            200,
            json!({"client_id": "c", "client_secret": "s", "token_endpoint_auth_method": "none"}),
        );
        assert!(public.is_ok_and(|client| client.secret.is_none() && client.method == Method::None));
        for bad in [
            json!({}),
            json!({"client_id": ""}),
            json!({"client_id": "c\u{0}"}),
            json!({"client_id": "x".repeat(MAX_CREDENTIAL + 1)}),
            json!({"client_id": "c", "token_endpoint_auth_method": "client_secret_basic"}),
            json!({"client_id": "c", "client_secret": "s", "token_endpoint_auth_method": "tls_client_auth"}),
            json!({"client_id": "c", "client_secret": "s", "token_endpoint_auth_method": "private_key_jwt"}),
        ] {
            assert!(read(201, bad.clone()).is_err(), "{bad}");
        }
        let refused = read(
            400,
            json!({"error": "invalid_redirect_uri", "error_description": "<b>"}),
        );
        assert_eq!(
            refused.err(),
            Some(LoginError::Refused(WHAT, "invalid_redirect_uri".to_owned()))
        );
        assert_eq!(read(500, json!([])).err(), Some(LoginError::Status(WHAT, 500)));
    }
}

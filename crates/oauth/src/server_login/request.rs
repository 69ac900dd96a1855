//! What is asked: the authorization request, and the requests for tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_core::Secret;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::client::Client;
use super::issuer::{Metadata, Method};
use super::{Challenge, union};
use crate::provider::oidc::Form;

/// The scope by which OpenID providers are asked for refresh tokens.
const OFFLINE: &str = "offline_access";

/// What one authorization asks.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks.
    pub client: &'a str,
    /// Where the browser comes back to.
    pub redirect_uri: &'a str,
    /// Ties the answer to this request.
    pub state: &'a str,
    /// The S256 challenge.
    pub challenge: &'a str,
    /// What the token is to be for (RFC 8707).
    pub resource: &'a str,
    /// What it is to allow; nothing is said where there is none.
    pub scopes: &'a [String],
}

/// Where the browser goes.
#[must_use]
pub fn authorization_url(metadata: &Metadata, asked: Asked<'_>) -> Url {
    let mut url = metadata.authorization_endpoint.clone();
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", asked.client)
        .append_pair("redirect_uri", asked.redirect_uri)
        .append_pair("state", asked.state)
        .append_pair("code_challenge", asked.challenge)
        .append_pair("code_challenge_method", crate::pkce::METHOD)
        .append_pair("resource", asked.resource);
    if !asked.scopes.is_empty() {
        query.append_pair("scope", &asked.scopes.join(" "));
    }
    drop(query);
    url
}

/// The least that is asked for: what the operator says, else what the server's challenge asks, else what the server says
/// that it has; besides it what was missing before, and what brings refresh tokens where the issuer has that (2026-07-28,
/// Scope Selection Strategy).
#[must_use]
pub fn scopes(
    configured: &[String],
    challenge: Option<&Challenge>,
    supported: &[String],
    missing: &[String],
    issuer: &Metadata,
) -> Vec<String> {
    let scopes = union(least(configured, challenge, supported), missing);
    if configured.is_empty() && issuer.scopes.iter().any(|scope| scope == OFFLINE) {
        return union(&scopes, &[OFFLINE.to_owned()]);
    }
    scopes
}

/// The least that is asked for: what the operator says, else what the challenge asks, else what the server says that it has.
#[must_use]
pub fn least<'a>(
    configured: &'a [String],
    challenge: Option<&'a Challenge>,
    supported: &'a [String],
) -> &'a [String] {
    let asked = challenge.map_or(&[][..], |challenge| &challenge.scopes);
    let mut lists = [configured, asked, supported].into_iter();
    lists.find(|scopes| !scopes.is_empty()).unwrap_or_default()
}

/// The request that makes a code into tokens (RFC 6749 §4.1.3).
#[must_use]
pub fn code_form(
    client: &Client,
    (code, verifier): (&str, &str),
    redirect_uri: &str,
    resource: &str,
) -> Form {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("code_verifier", verifier)
        .append_pair("resource", resource);
    signed(client, form)
}

/// The request that makes a refresh token into tokens (RFC 6749 §6).
#[must_use]
pub fn refresh_form(client: &Client, refresh: &str, resource: &str) -> Form {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", refresh)
        .append_pair("resource", resource);
    signed(client, form)
}

/// The request for tokens in our own name (RFC 6749 §4.4); or for what another authority's statement about us grants
/// (RFC 7523 §2.1).
#[must_use]
pub fn own_form(
    client: &Client,
    assertion: Option<&Secret<String>>,
    resource: &str,
    scopes: &[String],
) -> Form {
    let mut form = Serializer::new(String::new());
    match assertion {
        Some(assertion) => form
            .append_pair("grant_type", crate::id_jag::GRANT_TYPE)
            .append_pair("assertion", assertion.expose()),
        None => form.append_pair("grant_type", "client_credentials"),
    };
    form.append_pair("resource", resource);
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    signed(client, form)
}

fn signed(client: &Client, mut form: Serializer<'_, String>) -> Form {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    if let (Method::PrivateKey, Some(statement)) = (client.method, &client.statement) {
        form.append_pair("client_assertion_type", crate::assertion::TYPE)
            .append_pair("client_assertion", statement.expose());
    }
    let authorization = match (&client.secret, client.method) {
        (Some(secret), Method::Basic) => {
            let pair = Secret::new(format!("{}:{}", encoded(&client.id), encoded(secret.expose())));
            Some(Secret::new(format!("Basic {}", STANDARD.encode(pair.expose()))))
        }
        (Some(secret), Method::Post) => {
            form.append_pair("client_id", &client.id)
                .append_pair("client_secret", secret.expose());
            None
        }
        _ => {
            form.append_pair("client_id", &client.id);
            None
        }
    };
    Form {
        body: Secret::new(form.finish()),
        authorization,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(scopes: &[&str]) -> Metadata {
        let url = |path: &str| Url::parse(&format!("https://as.test/{path}")).expect("a URL");
        Metadata {
            issuer: "https://as.test".to_owned(),
            authorization_endpoint: url("authorize?tenant=1"),
            token_endpoint: url("token"),
            registration_endpoint: None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            methods: Vec::new(),
            takes_documents: false,
            names_itself: false,
        }
    }

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_request_names_resource_challenge_and_state() {
        let asked = Asked {
            client: "c",
            redirect_uri: "https://g.test/oauth/callback",
            state: "s",
            challenge: "h",
            resource: "https://m.test/mcp",
            scopes: &[],
        };
        let url = authorization_url(&metadata(&[]), asked);
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        for pair in [
            ("tenant", "1"),
            ("response_type", "code"),
            ("code_challenge_method", "S256"),
            ("resource", "https://m.test/mcp"),
            ("state", "s"),
        ] {
            assert!(
                pairs
                    .iter()
                    .any(|(name, value)| (name.as_str(), value.as_str()) == pair),
                "{pair:?}"
            );
        }
        assert!(!pairs.iter().any(|(name, _)| name == "scope"));
        let scopes = list("a b");
        let url = authorization_url(
            &metadata(&[]),
            Asked {
                scopes: &scopes,
                ..asked
            },
        );
        assert!(
            url.query_pairs()
                .any(|pair| pair == ("scope".into(), "a b".into()))
        );
    }

    #[test]
    fn the_least_scope_is_asked_for() {
        let challenge = Challenge {
            scopes: list("read"),
            ..Challenge::default()
        };
        let silent = Challenge::default();
        let chosen = |configured: &str, challenge: Option<&Challenge>, missing: &str, issuer: &[&str]| {
            scopes(
                &list(configured),
                challenge,
                &list("read write admin"),
                &list(missing),
                &metadata(issuer),
            )
            .join(" ")
        };
        assert_eq!(chosen("", Some(&challenge), "", &[]), "read");
        assert_eq!(chosen("", Some(&silent), "", &[]), "read write admin");
        assert_eq!(chosen("", None, "", &["read"]), "read write admin");
        assert_eq!(chosen("only", Some(&challenge), "", &["offline_access"]), "only");
        assert_eq!(
            chosen("", Some(&challenge), "read write", &["offline_access"]),
            "read write offline_access"
        );
        assert!(scopes(&[], None, &[], &[], &metadata(&["x"])).is_empty());
    }

    #[test]
    fn each_client_shows_who_it_is_in_its_own_way() {
        let client = |method, secret: Option<&str>| Client {
            id: "c:1".to_owned(),
            secret: secret.map(Secret::from),
            statement: (method == Method::PrivateKey).then(|| Secret::from("a.b.c")),
            method,
            expires: None,
        };
        let basic = code_form(&client(Method::Basic, Some("s &")), ("k", "v"), "r", "res");
        let expected = format!("Basic {}", STANDARD.encode("c%3A1:s+%26"));
        assert_eq!(
            basic.authorization.as_ref().map(|a| a.expose().as_str()),
            Some(expected.as_str())
        );
        let body = basic.body.expose();
        assert!(
            body.contains("code_verifier=v") && body.contains("resource=res") && !body.contains("client_"),
            "{body}"
        );
        let post = refresh_form(&client(Method::Post, Some("s")), "t", "res");
        assert!(
            post.body.expose().ends_with("client_id=c%3A1&client_secret=s") && post.authorization.is_none()
        );
        let signed = own_form(&client(Method::PrivateKey, None), None, "res", &list("a b"));
        assert_eq!(
            signed.body.expose(),
            "grant_type=client_credentials&resource=res&scope=a+b\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion=a.b.c&client_id=c%3A1"
        );
        let stated = own_form(
            &client(Method::None, None),
            Some(&Secret::from("x.y.z")),
            "res",
            &[],
        );
        assert_eq!(
            stated.body.expose(),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=x.y.z&resource=res\
             &client_id=c%3A1"
        );
        let public = refresh_form(&client(Method::None, None), "t", "res");
        assert_eq!(
            public.body.expose(),
            "grant_type=refresh_token&refresh_token=t&resource=res&client_id=c%3A1"
        );
    }
}

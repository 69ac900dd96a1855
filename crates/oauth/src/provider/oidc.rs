//! OpenID Connect providers: discovery, the two requests, and whom the answer names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_core::Secret;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::id_token::Claims;
use super::{AnswerError, Identity, Preset, object};

const METADATA: &str = "discovery document";
const TOKEN: &str = "token endpoint";
const USERINFO: &str = "userinfo endpoint";

/// A provider as the operator configures it.
#[derive(Clone)]
pub struct Provider {
    /// Its name in the configuration, in URLs, and before the names of its people.
    pub name: String,
    /// What its button says.
    pub label: String,
    /// The issuer, as the provider itself spells it.
    pub issuer: String,
    /// Our id there.
    pub client_id: String,
    /// Our secret there; without, we are a public client.
    pub client_secret: Option<Secret<String>>,
    /// Its ways.
    pub preset: Preset,
    /// The scopes that are asked for; `openid` among them.
    pub scopes: Vec<String>,
    /// The claim with the groups.
    pub groups_claim: String,
    /// Whether it may vouch for its people to clients.
    pub vouches: bool,
}

/// What a provider says about itself (OpenID Connect Discovery 1.0 §3).
#[derive(Clone, Debug)]
pub struct Metadata {
    authorization_endpoint: Url,
    /// Where codes become tokens.
    pub token_endpoint: Url,
    /// Where claims are that the ID token lacks.
    pub userinfo_endpoint: Option<Url>,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// Whether its answers name it (RFC 9207).
    pub names_itself: bool,
    /// Whether it takes our secret in the header; otherwise in the form.
    basic: bool,
}

/// What one log-in asks.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Where the browser comes back to.
    pub redirect_uri: &'a str,
    /// Ties the answer to the log-in.
    pub state: &'a str,
    /// Ties the ID token to the log-in.
    pub nonce: &'a str,
    /// The S256 challenge.
    pub challenge: &'a str,
    /// Whether the person wants another account than last time.
    pub other_account: bool,
}

/// What the token endpoint gives.
pub struct Tokens {
    /// The ID token, not yet verified.
    pub id_token: String,
    /// For the userinfo endpoint.
    pub access_token: Option<Secret<String>>,
}

/// A form to send, and the `Authorization` header that goes with it.
pub struct Form {
    /// The body.
    pub body: Secret<String>,
    /// The header's value.
    pub authorization: Option<Secret<String>>,
}

impl Provider {
    /// Where the discovery document is (§4: behind the issuer's whole path).
    ///
    /// # Errors
    /// If the issuer is no URL; the configuration has looked.
    pub fn discovery(&self) -> Result<Url, AnswerError> {
        let base =
            Url::parse(&self.issuer).map_err(|_| AnswerError::Form(METADATA, "the issuer is no URL"))?;
        Ok(super::below(&base, ".well-known/openid-configuration"))
    }

    /// Where the browser goes.
    #[must_use]
    pub fn authorization_url(&self, metadata: &Metadata, asked: Asked<'_>) -> Url {
        let mut url = metadata.authorization_endpoint.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", asked.redirect_uri)
            .append_pair("scope", &self.scopes.join(" "))
            .append_pair("state", asked.state)
            .append_pair("nonce", asked.nonce)
            .append_pair("code_challenge", asked.challenge)
            .append_pair("code_challenge_method", crate::pkce::METHOD);
        if asked.other_account {
            query.append_pair("prompt", self.preset.other_account());
        }
        drop(query);
        url
    }

    /// The request that makes a code into tokens (RFC 6749 §4.1.3, §2.3.1).
    #[must_use]
    pub fn token_form(
        &self,
        metadata: &Metadata,
        (code, verifier, redirect_uri): (&str, &str, &str),
    ) -> Form {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_verifier", verifier);
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let authorization = match &self.client_secret {
            Some(secret) if metadata.basic => {
                let pair = format!("{}:{}", encoded(&self.client_id), encoded(secret.expose()));
                Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
            }
            secret => {
                form.append_pair("client_id", &self.client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose());
                }
                None
            }
        };
        Form {
            body: Secret::new(form.finish()),
            authorization,
        }
    }

    /// Whether the ID token leaves something open that the userinfo endpoint may say.
    #[must_use]
    pub fn lacks_something(&self, claims: &Claims) -> bool {
        claims.get(&self.groups_claim).is_none() || self.label(|name| claims.get(name)).is_none()
    }

    /// Whom the claims name. What the ID token says counts before what the userinfo endpoint says, and that only if it
    /// is about the same person (§5.3.2).
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn identity(&self, claims: &Claims, userinfo: Option<&Value>) -> Result<Identity, AnswerError> {
        let userinfo = userinfo.filter(|more| more.get("sub") == claims.get("sub"));
        let claim = |name: &str| claims.get(name).or_else(|| userinfo?.get(name));
        let subject = claims.get(self.preset.subject_claim()).and_then(Value::as_str);
        let subject = subject.ok_or(AnswerError::Form(
            "ID token",
            "the claim with the person's id is not there",
        ))?;
        let groups = match claim(&self.groups_claim) {
            Some(Value::Array(groups)) => groups
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        let label = self.label(claim);
        Identity::new((&self.name, &self.issuer), subject, label, groups)
    }

    /// Whether there are more groups than fit into the token, so that it names none (Entra: more than 200).
    #[must_use]
    pub fn has_too_many_groups(&self, claims: &Claims) -> bool {
        let elsewhere = claims
            .get("_claim_names")
            .and_then(|names| names.get(&self.groups_claim));
        elsewhere.is_some()
    }

    fn label<'c>(&self, claim: impl Fn(&str) -> Option<&'c Value>) -> Option<&'c str> {
        let verified = claim("email_verified").is_some_and(|value| *value == true || *value == "true");
        let names = self.preset.name_claims().iter();
        let mut names = names.filter(|name| **name != "email" || verified);
        names.find_map(|name| claim(name)?.as_str().filter(|text| super::is_label(text)))
    }
}

impl Metadata {
    /// Reads the discovery document, which has to be the expected issuer's own (§4.3). Its endpoints are https, or at the
    /// issuer's own host.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn read(provider: &Provider, status: u16, body: &[u8]) -> Result<Self, AnswerError> {
        let document = object(METADATA, status, body)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(&provider.issuer) {
            return Err(AnswerError::Form(
                METADATA,
                "its `issuer` is not the configured one, letter by letter",
            ));
        }
        let issuer = Url::parse(&provider.issuer);
        let issuer = issuer.map_err(|_| AnswerError::Form(METADATA, "the issuer is no URL"))?;
        let endpoint = |name: &str| {
            let url = Url::parse(text(name)?).ok()?;
            let own = url.scheme() == issuer.scheme() && url.host() == issuer.host();
            let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            (plain && (url.scheme() == "https" || own && url.scheme() == "http")).then_some(url)
        };
        let missing = AnswerError::Form(METADATA, "an endpoint is missing, or is not https");
        let methods = document
            .get("token_endpoint_auth_methods_supported")
            .and_then(Value::as_array);
        let promised = document.get("authorization_response_iss_parameter_supported");
        Ok(Self {
            authorization_endpoint: endpoint("authorization_endpoint").ok_or(missing.clone())?,
            token_endpoint: endpoint("token_endpoint").ok_or(missing.clone())?,
            userinfo_endpoint: endpoint("userinfo_endpoint"),
            jwks_uri: endpoint("jwks_uri").ok_or(missing)?,
            names_itself: promised == Some(&Value::Bool(true)),
            // Without the list it is the header (§3).
            basic: methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic")),
        })
    }
}

/// Reads the answer of the token endpoint (OpenID Connect Core §3.1.3.3).
///
/// # Errors
/// [`AnswerError`].
pub fn tokens(status: u16, body: &[u8]) -> Result<Tokens, AnswerError> {
    let answer = object(TOKEN, status, body)?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let id_token = text("id_token").ok_or(AnswerError::Form(TOKEN, "there is no ID token in it"))?;
    let bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    Ok(Tokens {
        id_token: id_token.to_owned(),
        access_token: text("access_token").filter(|_| bearer).map(Secret::from),
    })
}

/// Reads the answer of the userinfo endpoint (OpenID Connect Core §5.3.2).
///
/// # Errors
/// [`AnswerError`].
pub fn userinfo(status: u16, body: &[u8]) -> Result<Value, AnswerError> {
    object(USERINFO, status, body)
}

#[cfg(test)]
#[path = "oidc_tests.rs"]
mod tests;

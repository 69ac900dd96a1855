//! An OpenID provider that logs one person in without asking, and lies as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use sallyport_core::Clock as _;
use serde_json::{Map, Value, json as object};

use super::{Asked, Fields, Provider, Response, back, json, lock, page, start};
use crate::clock::ManualClock;
use crate::http::{Answer, Request};
use crate::oauth::challenge;

/// What the provider says wrong.
#[derive(Clone, Default)]
pub struct Lies {
    /// Members of the discovery document that are other ones.
    pub metadata: Map<String, Value>,
    /// Header parameters of the ID token that are other ones.
    pub header: Map<String, Value>,
    /// Claims that are other ones; null is none.
    pub claims: Map<String, Value>,
    /// Whether the ID token is signed with a key that is not in the set.
    pub foreign_key: bool,
    /// `iss` of the authorization response: another one, or (empty) none.
    pub iss: Option<String>,
    /// What `/userinfo` says besides.
    pub userinfo: Map<String, Value>,
}

/// A stand-in for an OpenID provider.
pub struct Issuer {
    url: String,
    key: EcdsaKeyPair,
    other_key: EcdsaKeyPair,
    /// The claims about the person that logs in: `sub` and more.
    pub person: Mutex<Value>,
    /// What is wrong.
    pub lies: Mutex<Lies>,
    clock: ManualClock,
    codes: Mutex<HashMap<String, Fields>>,
    count: AtomicUsize,
    /// How many codes were brought to the token endpoint.
    pub exchanges: AtomicUsize,
}

impl Issuer {
    /// Our id there, and our secret.
    pub const CLIENT: (&'static str, &'static str) = ("sallyport", "a secret & more:");

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(person: Value) -> anyhow::Result<Provider<Self>> {
        let pair = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let (key, other_key) = (pair()?, pair()?);
        start(
            |address: SocketAddr| Self {
                url: format!("http://{address}"),
                key,
                other_key,
                person: Mutex::new(person),
                lies: Mutex::default(),
                clock: ManualClock::default(),
                codes: Mutex::default(),
                count: AtomicUsize::new(1),
                exchanges: AtomicUsize::new(0),
            },
            Self::answer,
        )
        .await
    }

    /// Tells it how to lie from now on.
    pub fn lie(&self, lie: impl FnOnce(&mut Lies)) {
        let mut lies = Lies::default();
        lie(&mut lies);
        *lock(&self.lies) = lies;
    }

    fn answer(&self, asked: &Asked) -> Response {
        match (&asked.method, asked.path.as_str()) {
            (&Method::GET, "/.well-known/openid-configuration") => self.metadata(),
            (&Method::GET, "/authorize") => self.authorize(&asked.query),
            (&Method::POST, "/token") => self.exchange(asked),
            (&Method::GET, "/userinfo") => self.userinfo(),
            (&Method::GET, "/jwks") => self.keys(),
            _ => page(StatusCode::NOT_FOUND, "Not Found", ""),
        }
    }

    fn metadata(&self) -> Response {
        let url = &self.url;
        let document = object!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "userinfo_endpoint": format!("{url}/userinfo"),
            "jwks_uri": format!("{url}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": true,
        });
        json(StatusCode::OK, &changed(document, &lock(&self.lies).metadata))
    }

    fn authorize(&self, query: &Fields) -> Response {
        if query.get("client_id") != Self::CLIENT.0 || query.get("response_type") != "code" {
            return page(StatusCode::BAD_REQUEST, "Bad request", "");
        }
        let code = format!("code-{}", self.count.fetch_add(1, Ordering::SeqCst));
        lock(&self.codes).insert(code.clone(), query.clone());
        let iss = lock(&self.lies).iss.clone().unwrap_or_else(|| self.url.clone());
        let mut pairs = vec![("code", code.as_str()), ("state", query.get("state"))];
        if !iss.is_empty() {
            pairs.push(("iss", &iss));
        }
        back(query.get("redirect_uri"), &pairs)
    }

    fn exchange(&self, asked: &Asked) -> Response {
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = Self::CLIENT;
        let basic = format!(
            "Basic {}",
            STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)))
        );
        if asked.header("authorization") != basic {
            return json(StatusCode::UNAUTHORIZED, &object!({ "error": "invalid_client" }));
        }
        let request = lock(&self.codes).remove(asked.form.get("code"));
        let right = |request: &Fields| {
            request.get("redirect_uri") == asked.form.get("redirect_uri")
                && request.get("code_challenge") == challenge(asked.form.get("code_verifier"))
        };
        let Some(request) = request.filter(right) else {
            return json(StatusCode::BAD_REQUEST, &object!({ "error": "invalid_grant" }));
        };
        let Ok(id_token) = self.id_token(request.get("nonce")) else {
            return json(
                StatusCode::INTERNAL_SERVER_ERROR,
                &object!({ "error": "server_error" }),
            );
        };
        json(
            StatusCode::OK,
            &object!({ "access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": id_token }),
        )
    }

    /// An assertion that vouches for the person to a client (enterprise-managed authorization), with other claims.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn vouch(&self, claims: Value, changes: &Map<String, Value>) -> anyhow::Result<String> {
        let (lies, now) = (lock(&self.lies).clone(), self.clock.now().as_secs());
        let header = object!({ "alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "k1" });
        let sub = lock(&self.person).get("sub").cloned().unwrap_or_default();
        let own = object!({ "iss": self.url, "sub": sub, "iat": now, "exp": now + 300 });
        let own = changed(own, claims.as_object().unwrap_or(&Map::new()));
        self.sign(&changed(header, &lies.header), &changed(own, changes))
    }

    fn sign(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let key = if lock(&self.lies).foreign_key {
            &self.other_key
        } else {
            &self.key
        };
        let signature = key.sign(&SystemRandom::new(), message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn id_token(&self, nonce: &str) -> anyhow::Result<String> {
        let (lies, now) = (lock(&self.lies).clone(), self.clock.now().as_secs());
        let header = changed(
            object!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }),
            &lies.header,
        );
        let claims = object!({
            "iss": self.url, "aud": Self::CLIENT.0, "nonce": nonce, "iat": now, "exp": now + 300,
        });
        let person = lock(&self.person).as_object().cloned().unwrap_or_default();
        self.sign(&header, &changed(changed(claims, &person), &lies.claims))
    }

    fn userinfo(&self) -> Response {
        let sub = lock(&self.person).get("sub").cloned().unwrap_or_default();
        json(
            StatusCode::OK,
            &changed(object!({ "sub": sub }), &lock(&self.lies).userinfo),
        )
    }

    fn keys(&self) -> Response {
        let point = self.key.public_key().as_ref();
        let part = |range| {
            point
                .get(range)
                .map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
                .unwrap_or_default()
        };
        let key = object!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
            "x": part(1..33), "y": part(33..65),
        });
        json(StatusCode::OK, &object!({ "keys": [key] }))
    }
}

impl Provider<Issuer> {
    /// The part of a configuration that logs people in here, as the provider `name`.
    #[must_use]
    pub fn configuration(&self, name: &str) -> String {
        let (id, secret) = Issuer::CLIENT;
        format!(
            "    {name}: {{ issuer: \"{}\", client_id: {id}, client_secret: \"{secret}\" }}\n",
            self.url()
        )
    }

    /// What the browser gets when it brings `target` here.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn visit(&self, target: &str) -> anyhow::Result<Answer> {
        let url = url::Url::parse(target)?;
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        self.ask(&Request::get(&path)).await
    }
}

/// The object with other members; null removes one.
pub(super) fn changed(mut object: Value, changes: &Map<String, Value>) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.extend(changes.clone());
        members.retain(|_, value| !value.is_null());
    }
    object
}

//! Proof of possession where tokens are given out (RFC 9449).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use sallyport_core::Resource;
use sallyport_core::capability::{TokenError, Verified};
use sallyport_oauth::exchange::{ACCESS_TOKEN, GRANT_TYPE};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::exchange::registered;
use crate::token::{code_of, confidential};
use crate::world::{Answer, ISSUER, MCP, REDIRECT, VERIFIER, World, authorize, encode};

/// A client's key, and what it was told about nonces.
struct Holder {
    pair: EcdsaKeyPair,
    proofs: u32,
    nonce: String,
}

impl Holder {
    fn new() -> Self {
        Self {
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            proofs: 0,
            nonce: String::new(),
        }
    }

    fn coordinates(&self) -> (String, String) {
        let point = self.pair.public_key().as_ref();
        (
            URL_SAFE_NO_PAD.encode(&point[1..33]),
            URL_SAFE_NO_PAD.encode(&point[33..]),
        )
    }

    fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }

    fn claims(&mut self, world: &World, path: &str) -> Value {
        self.proofs += 1;
        json!({
            "jti": self.proofs.to_string(), "htm": "POST", "htu": format!("{ISSUER}{path}"),
            "iat": world.now().as_secs(), "nonce": self.nonce,
        })
    }

    fn sign(&self, claims: &Value) -> String {
        let (x, y) = self.coordinates();
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Sends a form with a right proof; takes the nonce that it is told, and sends it again with that.
    async fn send(&mut self, world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
        for _ in 0..2 {
            let proof = self.claims(world, path);
            let answer = with_proof(world, path, fields, &self.sign(&proof)).await;
            answer.header("dpop-nonce").clone_into(&mut self.nonce);
            if answer.status == 201 || answer.status == 200 || answer.error().1 != "use_dpop_nonce" {
                return answer;
            }
        }
        panic!("the nonce that was told is none");
    }

    async fn redeem(&mut self, world: &World, client: &str, code: &str) -> Answer {
        self.send(world, "/token", &redeeming(client, code)).await
    }

    async fn refresh(&mut self, world: &World, client: &str, token: &str) -> Answer {
        self.send(world, "/token", &refreshing(client, token)).await
    }
}

fn redeeming<'a>(client: &'a str, code: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
    ]
}

fn refreshing<'a>(client: &'a str, token: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", token),
    ]
}

async fn with_proof(world: &World, path: &str, fields: &[(&str, &str)], proof: &str) -> Answer {
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("dpop", proof);
    world
        .send(request.body(Body::from(encode(fields))).unwrap())
        .await
}

fn text(answer: &Answer, member: &str) -> String {
    answer.json()[member].as_str().unwrap().to_owned()
}

/// The key that an access token is bound to.
fn bound(world: &World, token: &str) -> Option<String> {
    let audience = [Resource::parse(MCP).unwrap()];
    let Verified { key, .. } = world
        .parts
        .verify
        .verify_any(token, &audience, world.now())
        .unwrap();
    key.map(|key| key.as_str().to_owned())
}

#[tokio::test]
async fn tokens_are_bound_to_the_key_that_was_proved() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut holder = Holder::new();
    let code = code_of(&world, &client).await;
    let tokens = holder.redeem(&world, &client, &code).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert_eq!(text(&tokens, "token_type"), "DPoP");
    let access = text(&tokens, "access_token");
    assert_eq!(bound(&world, &access), Some(holder.thumbprint()));
    // As a plain bearer token it is nothing, at whatever door.
    assert_eq!(world.verify(&access, MCP), Err(TokenError::Bound));
    let refreshed = holder
        .refresh(&world, &client, &text(&tokens, "refresh_token"))
        .await;
    assert_eq!(text(&refreshed, "token_type"), "DPoP");
    assert_eq!(
        bound(&world, &text(&refreshed, "access_token")),
        Some(holder.thumbprint())
    );
    // Without a proof a token is as it always was.
    let code = code_of(&world, &client).await;
    let plain = world.form("/token", &redeeming(&client, &code)).await;
    assert_eq!(text(&plain, "token_type"), "Bearer");
    assert!(world.verify(&text(&plain, "access_token"), MCP).is_ok());
    assert!(plain.header("dpop-nonce").is_empty());
}

#[tokio::test]
async fn au_10_a_public_clients_refresh_token_is_for_the_holder_of_its_key() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let (mut holder, mut thief) = (Holder::new(), Holder::new());
    let code = code_of(&world, &client).await;
    let tokens = holder.redeem(&world, &client, &code).await;
    let stolen = text(&tokens, "refresh_token");
    for _ in 0..2 {
        let bare = world.form("/token", &refreshing(&client, &stolen)).await;
        assert_eq!(bare.error(), (400, "invalid_grant".into()));
        let other = thief.refresh(&world, &client, &stolen).await;
        assert_eq!(other.error(), (400, "invalid_grant".into()));
        // The thief has ended nothing, not even by showing it late.
        world.pass(Duration::from_secs(60));
    }
    let next = holder.refresh(&world, &client, &stolen).await;
    assert_eq!(next.status, 200, "{next:?}");
    world.pass(Duration::from_secs(60));
    let next = text(&next, "refresh_token");
    let bare = world.form("/token", &refreshing(&client, &next)).await;
    assert_eq!(
        bare.error(),
        (400, "invalid_grant".into()),
        "the successor is bound too"
    );
    let late = thief.refresh(&world, &client, &stolen).await;
    assert_eq!(late.error(), (400, "invalid_grant".into()));
    assert_eq!(holder.refresh(&world, &client, &next).await.status, 200);
}

#[tokio::test]
async fn au_10_what_is_wrong_with_a_proof_is_said_and_costs_no_code() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let code = code_of(&world, &client).await;
    let fields = redeeming(&client, &code);
    let mut holder = Holder::new();
    let first = with_proof(&world, "/token", &fields, &holder.sign(&json!({}))).await;
    assert_eq!(first.error(), (400, "invalid_dpop_proof".into()));
    first.header("dpop-nonce").clone_into(&mut holder.nonce);
    let now = world.now().as_secs();
    for (member, value, error) in [
        ("htm", json!("GET"), "invalid_dpop_proof"),
        ("htu", json!(format!("{ISSUER}/par")), "invalid_dpop_proof"),
        ("htu", json!("https://evil.test/token"), "invalid_dpop_proof"),
        ("ath", json!("x"), "invalid_dpop_proof"),
        ("iat", json!(now - 61), "invalid_dpop_proof"),
        ("iat", json!(now + 61), "invalid_dpop_proof"),
        ("nonce", json!("stale"), "use_dpop_nonce"),
        ("nonce", Value::Null, "use_dpop_nonce"),
    ] {
        let mut claims = holder.claims(&world, "/token");
        claims[member] = value.clone();
        let answer = with_proof(&world, "/token", &fields, &holder.sign(&claims)).await;
        assert_eq!(answer.error(), (400, error.into()), "{member} {value}");
        assert_eq!(answer.header("dpop-nonce"), holder.nonce, "{member} {value}");
    }
    let good = holder.claims(&world, "/token");
    let good = holder.sign(&good);
    let twice = Request::post("/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("dpop", &good)
        .header("dpop", &good);
    let twice = world.send(twice.body(Body::from(encode(&fields))).unwrap()).await;
    assert_eq!(twice.error(), (400, "invalid_dpop_proof".into()));
    // The code is still there.
    assert_eq!(with_proof(&world, "/token", &fields, &good).await.status, 200);
}

#[tokio::test]
async fn au_10_a_proof_counts_once_and_a_nonce_for_two_minutes_at_most() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut holder = Holder::new();
    let code = code_of(&world, &client).await;
    let tokens = holder.redeem(&world, &client, &code).await;
    let token = text(&tokens, "refresh_token");
    let fields = refreshing(&client, &token);
    let claims = holder.claims(&world, "/token");
    let proof = holder.sign(&claims);
    assert_eq!(with_proof(&world, "/token", &fields, &proof).await.status, 200);
    let replayed = with_proof(&world, "/token", &fields, &proof).await;
    assert_eq!(replayed.error(), (400, "invalid_dpop_proof".into()));
    // The next turn's nonce is another one, and this one's still counts; then it is over.
    let old = holder.nonce.clone();
    world.pass(Duration::from_secs(60));
    let mut claims = holder.claims(&world, "/token");
    claims["nonce"] = json!(old);
    let answer = with_proof(&world, "/token", &fields, &holder.sign(&claims)).await;
    assert_ne!(answer.header("dpop-nonce"), old);
    assert_ne!(answer.error().1, "use_dpop_nonce", "{answer:?}");
    world.pass(Duration::from_secs(60));
    let mut claims = holder.claims(&world, "/token");
    claims["nonce"] = json!(old);
    let answer = with_proof(&world, "/token", &fields, &holder.sign(&claims)).await;
    assert_eq!(answer.error(), (400, "use_dpop_nonce".into()));
    // Another process, or this one after a restart, has other nonces, and so believes no proof that this one has seen.
    let other = World::settled().await;
    let mut claims = holder.claims(&other, "/token");
    claims["nonce"] = json!(answer.header("dpop-nonce"));
    let answer = with_proof(&other, "/token", &fields, &holder.sign(&claims)).await;
    assert_eq!(answer.error(), (400, "use_dpop_nonce".into()));
}

#[tokio::test]
async fn au_10_a_code_that_was_asked_for_with_a_key_is_for_its_holder() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let (mut holder, mut thief) = (Holder::new(), Holder::new());
    let key = holder.thumbprint();
    for (is_holder, status) in [(true, 200), (false, 400)] {
        let path = authorize(&client, REDIRECT, &[("dpop_jkt", &key)]);
        let code = browser.code(&world, &path).await;
        let sender = if is_holder { &mut holder } else { &mut thief };
        let answer = sender.redeem(&world, &client, &code).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let path = authorize(&client, REDIRECT, &[("dpop_jkt", &key)]);
    let code = browser.code(&world, &path).await;
    let bare = world.form("/token", &redeeming(&client, &code)).await;
    assert_eq!(bare.error(), (400, "invalid_grant".into()));
    let wrong = browser
        .open(&world, &authorize(&client, REDIRECT, &[("dpop_jkt", "short")]))
        .await;
    assert_eq!(wrong.redirected("error").as_deref(), Some("invalid_request"));
    // A pushed request is bound by its proof (RFC 9449 §10.1).
    let path = authorize(&client, REDIRECT, &[]);
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(path.split_once('?').unwrap().1.as_bytes())
            .into_owned()
            .collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let theirs = thief.thumbprint();
    let other = [&fields[..], &[("dpop_jkt", theirs.as_str())]].concat();
    let answer = holder.send(&world, "/par", &other).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
    let answer = holder.send(&world, "/par", &fields).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let name = text(&answer, "request_uri");
    let path = format!(
        "/authorize?{}",
        encode(&[("client_id", &client), ("request_uri", &name)])
    );
    let code = browser.code(&world, &path).await;
    let stolen = thief.redeem(&world, &client, &code).await;
    assert_eq!(stolen.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_client_may_bind_itself_to_proofs_and_introspection_tells_the_key() {
    let world = World::settled().await;
    let body = json!({ "redirect_uris": [REDIRECT], "dpop_bound_access_tokens": true });
    let client = text(&world.register(&body).await, "client_id");
    let code = code_of(&world, &client).await;
    let bare = world.form("/token", &redeeming(&client, &code)).await;
    assert_eq!(bare.error(), (400, "invalid_dpop_proof".into()));
    let mut holder = Holder::new();
    assert_eq!(holder.redeem(&world, &client, &code).await.status, 200);
    // A confidential client is bound by what it proves itself with; its access tokens are bound to the key all the same.
    let (id, secret, header) = confidential(&world, "client_secret_post").await;
    let code = code_of(&world, &id).await;
    let fields = [&redeeming(&id, &code)[..], &[("client_secret", secret.as_str())]].concat();
    let tokens = holder.send(&world, "/token", &fields).await;
    let access = text(&tokens, "access_token");
    let told = world
        .form_as("/introspect", &[("token", &access)], Some(&header))
        .await;
    assert_eq!(told.json()["cnf"], json!({ "jkt": holder.thumbprint() }));
    assert_eq!(told.json()["token_type"], json!("DPoP"));
    let token = text(&tokens, "refresh_token");
    let fields = [
        &refreshing(&id, &token)[..],
        &[("client_secret", secret.as_str())],
    ]
    .concat();
    let plain = world.form("/token", &fields).await;
    assert_eq!(text(&plain, "token_type"), "Bearer");
    // A bound token can be given back like any other.
    let answer = world
        .form_as("/revoke", &[("token", &access)], Some(&header))
        .await;
    assert_eq!(answer.status, 200);
    let told = world
        .form_as("/introspect", &[("token", &access)], Some(&header))
        .await;
    assert_eq!(told.json(), json!({ "active": false }));
}

#[tokio::test]
async fn au_10_tk_13_whoever_exchanges_a_bound_token_holds_its_key() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let (mut holder, mut thief) = (Holder::new(), Holder::new());
    let code = code_of(&world, &client).await;
    let tokens = holder.redeem(&world, &client, &code).await;
    let subject = text(&tokens, "access_token");
    let secret = registered(&world, ("agent", "client_secret_post"), &[GRANT_TYPE], &["/mcp"]).await;
    let fields = [
        ("grant_type", GRANT_TYPE),
        ("client_id", "agent"),
        ("client_secret", secret.as_str()),
        ("subject_token", subject.as_str()),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let bare = world.form("/token", &fields).await;
    assert_eq!(bare.error(), (400, "invalid_request".into()));
    let stolen = thief.send(&world, "/token", &fields).await;
    assert_eq!(stolen.error(), (400, "invalid_request".into()));
    let given = holder.send(&world, "/token", &fields).await;
    assert_eq!(
        (given.status.as_u16(), text(&given, "token_type").as_str()),
        (200, "DPoP")
    );
    let access = text(&given, "access_token");
    assert_eq!(bound(&world, &access), Some(holder.thumbprint()));
    assert_eq!(world.verify(&access, MCP), Err(TokenError::Bound));
}

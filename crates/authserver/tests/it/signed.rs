//! Clients that sign who they are (RFC 7523).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::token::code_of;
use crate::world::{Answer, ISSUER, REDIRECT, VERIFIER, World};

pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What the world's clock says at the beginning.
const NOW: i64 = 1_790_000_000;

pub(crate) struct Key(EcdsaKeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn set(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65) }] })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({ "alg": "ES256", "typ": "JWT" }), claims)
    }

    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let header = header.to_string();
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(header), encode(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(crate) fn claims(client: &str, id: &str) -> Value {
    json!({ "iss": client, "sub": client, "aud": ISSUER, "exp": NOW + 60, "jti": id })
}

async fn registered(world: &World, key: &Key) -> String {
    let body = json!({
        "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt", "jwks": key.set(),
    });
    let echo = world.register(&body).await.json();
    assert!(echo.get("client_secret").is_none(), "{echo}");
    assert_eq!(echo["token_endpoint_auth_method"], json!("private_key_jwt"));
    echo["client_id"].as_str().unwrap().to_owned()
}

pub(crate) async fn redeem(world: &World, code: &str, assertion: &str) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    world.form("/token", &fields).await
}

#[tokio::test]
async fn a_signed_statement_opens_a_code_and_refreshes() {
    let world = World::settled().await;
    let key = Key::new();
    let client = registered(&world, &key).await;
    let code = code_of(&world, &client).await;
    let mut statement = claims(&client, "1");
    statement["aud"] = json!(format!("{ISSUER}/token"));
    let tokens = redeem(&world, &code, &key.sign(&statement)).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let again = key.sign(&claims(&client, "2"));
    let tokens = tokens.json();
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("client_id", &client),
        ("client_assertion_type", TYPE),
        ("client_assertion", &again),
    ];
    assert_eq!(world.form("/token", &fields).await.status, 200);
}

#[tokio::test]
async fn tk_05_tk_07_a_statement_counts_once_and_only_if_it_is_the_clients_own() {
    let world = World::settled().await;
    let key = Key::new();
    let client = registered(&world, &key).await;
    let other = registered(&world, &Key::new()).await;
    let code = code_of(&world, &client).await;
    let changed = |member: &str, value: Value| {
        let mut claims = claims(&client, member);
        claims[member] = value;
        key.sign(&claims)
    };
    for statement in [
        Key::new().sign(&claims(&client, "stolen")),
        key.sign(&claims(&other, "posing")),
        key.sign(&claims("nobody", "unknown")),
        changed("aud", json!("https://elsewhere.test")),
        changed("exp", json!(NOW + 361)),
        changed("exp", json!(NOW - 60)),
        changed("iss", json!(other)),
        "no.jwt.here".to_owned(),
    ] {
        let answer = redeem(&world, &code, &statement).await;
        assert_eq!(answer.error(), (401, "invalid_client".into()), "{statement}");
    }
    let posing = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("client_id", &client),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(
        world.form("/token", &posing).await.error(),
        (401, "invalid_client".into())
    );
    let good = key.sign(&claims(&client, "once"));
    assert_eq!(redeem(&world, &code, &good).await.status, 200);
    let code = code_of(&world, &client).await;
    let replayed = redeem(&world, &code, &good).await;
    assert_eq!(replayed.error(), (401, "invalid_client".into()));
    assert!(replayed.body.contains("used before"), "{replayed:?}");
    // The code has not been touched.
    let next = key.sign(&claims(&client, "next"));
    assert_eq!(redeem(&world, &code, &next).await.status, 200);
}

#[tokio::test]
async fn tk_06_a_statement_and_a_secret_are_two_ways() {
    let world = World::settled().await;
    let key = Key::new();
    let client = registered(&world, &key).await;
    let statement = key.sign(&claims(&client, "1"));
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "x"),
        ("client_assertion_type", TYPE),
        ("client_assertion", &statement),
    ];
    let answer = world.form_as("/token", &fields, Some("Basic YTpi")).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
    let posted = [&fields[..], &[("client_secret", "x")]].concat();
    let answer = world.form("/token", &posted).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn registrations_without_usable_keys_are_refused() {
    let world = World::new().await;
    let mut private = Key::new().set();
    private["keys"][0]["d"] = json!("AQAB");
    for jwks in [Value::Null, json!({}), json!({ "keys": [] }), private] {
        let body = json!({
            "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks,
        });
        let answer = world.register(&body).await;
        assert_eq!(answer.error(), (400, "invalid_client_metadata".into()), "{body}");
    }
}

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::ScopeSet;
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_000_000;
const AUDIENCES: [&str; 2] = ["https://g.test", "https://g.test/token"];

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn keys(&self) -> Keys {
        let point = self.0.public_key().as_ref();
        let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65) });
        Keys::parse(&json!({ "keys": [jwk] })).unwrap()
    }

    fn sign(&self, typ: &str, claims: &str) -> String {
        let header = json!({ "alg": "ES256", "typ": typ }).to_string();
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "c", "sub": "c", "aud": "https://g.test", "exp": NOW + 60, "jti": "1", "iat": NOW,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn client(auth_method: AuthMethod) -> Client {
    Client {
        id: ClientId::new("c"),
        auth_method,
        secret: None,
        redirect_uris: vec![],
        scopes: ScopeSet::default(),
        metadata: serde_json::Map::new(),
        registered: Timestamp::EPOCH,
        last_used: None,
    }
}

fn judge(signer: &Signer, text: &str) -> Result<String, ClientAuthError> {
    let client = client(AuthMethod::PrivateKeyJwt);
    let single = Assertion::read(text)?.verify(
        Some(&client),
        &signer.keys(),
        &AUDIENCES,
        Timestamp::from_secs(NOW),
    )?;
    let id = single.id.clone();
    single.counted(true).map(|_| id)
}

fn judge_claims(changes: Value) -> Result<String, ClientAuthError> {
    let signer = Signer::new();
    judge(&signer, &signer.sign("JWT", &claims(changes).to_string()))
}

#[test]
fn good_statements() {
    for changes in [
        json!({}),
        json!({ "aud": "https://g.test/token" }),
        json!({ "aud": ["https://g.test"] }),
        json!({ "exp": NOW + 300, "nbf": NOW }),
        json!({ "exp": NOW - 59 }),
        json!({ "exp": NOW + 360, "iat": NOW + 60 }),
        json!({ "jti": "x".repeat(MAX_ID) }),
    ] {
        assert!(judge_claims(changes.clone()).is_ok(), "{changes}");
    }
    let signer = Signer::new();
    let text = signer.sign("client-authentication+jwt", &claims(json!({})).to_string());
    assert_eq!(judge(&signer, &text), Ok("1".to_owned()));
}

#[test]
fn statements_that_prove_nothing() {
    use AssertionError::{Audience, Form, Id, Subject, Time};
    let cases = [
        (json!({ "iss": "d" }), Subject),
        (json!({ "sub": "d" }), Subject),
        (json!({ "aud": "https://other.test" }), Audience),
        (json!({ "aud": "https://g.test/" }), Audience),
        (json!({ "aud": ["https://g.test", "https://other.test"] }), Form),
        (json!({ "aud": [] }), Form),
        (json!({ "exp": NOW - 60 }), Time),
        (json!({ "exp": NOW + 361 }), Time),
        (json!({ "iat": NOW + 61 }), Time),
        (json!({ "nbf": NOW + 61 }), Time),
        (json!({ "exp": "soon" }), Form),
        (json!({ "exp": 1e300 }), Form),
        (json!({ "jti": null }), Form),
        (json!({ "jti": "" }), Id),
        (json!({ "jti": "x".repeat(MAX_ID + 1) }), Id),
    ];
    for (changes, error) in cases {
        assert_eq!(
            judge_claims(changes.clone()),
            Err(ClientAuthError::Assertion(error)),
            "{changes}"
        );
    }
    let signer = Signer::new();
    let twice = r#"{"iss":"c","iss":"d","sub":"c","aud":"https://g.test","exp":1000060,"jti":"1"}"#;
    assert_eq!(judge(&signer, &signer.sign("JWT", twice)), Err(Form.into()));
}

#[test]
fn jw_10_statements_of_another_type_or_key_are_refused() {
    let signer = Signer::new();
    for typ in ["at+jwt", "dpop+jwt", "logout+jwt"] {
        let text = signer.sign(typ, &claims(json!({})).to_string());
        assert_eq!(judge(&signer, &text), Err(AssertionError::Form.into()), "{typ}");
    }
    let stranger = Signer::new().sign("JWT", &claims(json!({})).to_string());
    assert_eq!(judge(&signer, &stranger), Err(ClientAuthError::Refused));
    let text = signer.sign("JWT", &claims(json!({})).to_string());
    let assertion = Assertion::read(&text).unwrap();
    for method in [AuthMethod::None, AuthMethod::ClientSecretBasic] {
        let client = client(method);
        let now = Timestamp::from_secs(NOW);
        let judged = assertion.verify(Some(&client), &signer.keys(), &AUDIENCES, now);
        assert_eq!(judged.map(|single| single.id), Err(ClientAuthError::Refused));
    }
}

#[test]
fn a_statement_counts_once() {
    let signer = Signer::new();
    let client = client(AuthMethod::PrivateKeyJwt);
    let assertion = Assertion::read(&signer.sign("JWT", &claims(json!({})).to_string())).unwrap();
    let now = Timestamp::from_secs(NOW);
    let single = assertion
        .verify(Some(&client), &signer.keys(), &AUDIENCES, now)
        .unwrap();
    assert_eq!(single.until, Timestamp::from_secs(NOW + 120));
    let again = single.counted(false).map(|_| ());
    assert_eq!(again, Err(AssertionError::Replayed.into()));
}

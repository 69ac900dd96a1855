use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn keys(&self) -> Keys {
        let point = self.0.public_key().as_ref();
        let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        let key = json!({ "kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65) });
        Keys::parse(&json!({ "keys": [key] })).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "typ": "JWT" }), claims)
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.test", "aud": "us", "sub": "1", "nonce": "n",
        "iat": NOW.as_secs(), "exp": NOW.as_secs() + 300,
    })
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: "https://idp.test",
        client: "us",
        nonce: "n",
        access_token: Some("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"),
        now: NOW,
    }
}

fn judge(issuer: &Issuer, token: &str) -> Result<Claims, IdTokenError> {
    IdToken::read(token)?.verify(&issuer.keys(), expected())
}

#[test]
fn a_right_token_counts() {
    let issuer = Issuer::new();
    let mut claims = claims();
    assert!(judge(&issuer, &issuer.token(&claims)).is_ok());
    claims["aud"] = json!(["us"]);
    // The example of OpenID Connect Core §A.3.
    claims["at_hash"] = json!("77QmUPtjPfzWtF2AnpK9RQ");
    claims["exp"] = json!(NOW.as_secs() as f64 + 0.5);
    let read = judge(&issuer, &issuer.token(&claims)).unwrap();
    assert_eq!(read.get("sub"), Some(&json!("1")));
}

#[test]
fn each_claim_has_to_be_right() {
    use IdTokenError::{AccessToken, Audience, Claim, Issuer as Other, Nonce, Time};
    let issuer = Issuer::new();
    let now = NOW.as_secs();
    let table = [
        ("iss", json!("https://idp.test/"), Other),
        ("iss", json!(["https://idp.test"]), Claim("iss")),
        ("aud", json!("them"), Audience),
        ("aud", json!(["us", "them"]), Audience),
        ("aud", json!([]), Audience),
        ("aud", json!(7), Claim("aud")),
        ("azp", json!("them"), Audience),
        ("exp", json!(now - 60), Time),
        ("exp", json!((now + 300).to_string()), Claim("exp")),
        ("exp", json!(null), Claim("exp")),
        ("iat", json!(now + 61), Time),
        ("nbf", json!(now + 61), Time),
        ("nonce", json!("m"), Nonce),
        ("nonce", json!(""), Claim("nonce")),
        ("at_hash", json!("77QmUPtjPfzWtF2AnpK9RR"), AccessToken),
        ("at_hash", json!(1), Claim("at_hash")),
        ("sub", json!(1), Claim("sub")),
    ];
    for (claim, value, error) in table {
        let mut claims = claims();
        claims[claim] = value.clone();
        let judged = judge(&issuer, &issuer.token(&claims)).err();
        assert_eq!(judged, Some(error), "{claim} {value}");
    }
    for claim in ["iss", "aud", "exp", "iat", "nonce", "sub"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(claim);
        let judged = judge(&issuer, &issuer.token(&claims)).err();
        assert_eq!(judged, Some(Claim(claim)), "without {claim}");
    }
    let mut both = claims();
    both["aud"] = json!(["us", "them"]);
    both["azp"] = json!("us");
    assert!(judge(&issuer, &issuer.token(&both)).is_ok());
}

#[test]
fn signatures_are_the_providers_own() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let signed = other.token(&claims());
    assert_eq!(judge(&issuer, &signed).err(), Some(IdTokenError::Signature));
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "ES256", "typ": "at+jwt" }),
        json!({ "alg": "ES256", "typ": "logout+jwt" }),
        json!({ "alg": "ES256", "crit": ["x"] }),
    ] {
        let judged = judge(&issuer, &issuer.sign(&header, &claims())).err();
        assert_eq!(judged, Some(IdTokenError::Form), "{header}");
    }
    let unsigned = format!("{}.", issuer.token(&claims()).rsplit_once('.').unwrap().0);
    assert_eq!(judge(&issuer, &unsigned).err(), Some(IdTokenError::Signature));
    let long = "a".repeat(MAX_BYTES + 1);
    assert_eq!(judge(&issuer, &long).err(), Some(IdTokenError::Form));
}

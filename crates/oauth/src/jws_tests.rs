use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use serde_json::json;

use super::*;

fn compact(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(b"{}"));
    let signature = encode(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

struct P256(EcdsaKeyPair);

impl P256 {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65) })
    }

    fn sign(&self, header: &Value) -> String {
        let random = SystemRandom::new();
        compact(header, |m| self.0.sign(&random, m).unwrap().as_ref().to_vec())
    }
}

fn keys(keys: &[Value]) -> Keys {
    Keys::parse(&json!({ "keys": keys })).unwrap()
}

fn is_good(text: &str, keys: &Keys) -> bool {
    Unverified::read(text).is_some_and(|jws| jws.is_signed_by(keys))
}

fn with(mut jwk: Value, member: &str, value: &str) -> Value {
    jwk[member] = json!(value);
    jwk
}

#[test]
fn which_algorithms_keys_are_for() {
    let p256 = P256::new();
    let table: [(Value, &[&str], bool); 5] = [
        (p256.jwk(), &["ES256"], true),
        (p256.jwk(), &["EdDSA", "ES256"], true),
        (p256.jwk(), &["RS256", "EdDSA"], false),
        (with(p256.jwk(), "alg", "ES384"), &["ES256"], false),
        (p256.jwk(), &[], false),
    ];
    for (jwk, algorithms, served) in table {
        assert_eq!(keys(&[jwk]).serve(algorithms), served, "{algorithms:?}");
    }
}

#[test]
fn every_listed_algorithm() {
    let p256 = P256::new();
    assert!(is_good(
        &p256.sign(&json!({ "alg": "ES256" })),
        &keys(&[p256.jwk()])
    ));
    let ed = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(ed.public_key()) });
    let text = compact(&json!({ "alg": "EdDSA" }), |m| ed.sign(m).as_ref().to_vec());
    assert!(is_good(&text, &keys(&[jwk])));
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = rsa.public_key();
    let jwk = json!({
        "kty": "RSA",
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    });
    for (alg, padding) in [
        (
            "RS256",
            &RSA_PKCS1_SHA256 as &dyn aws_lc_rs::signature::RsaEncoding,
        ),
        ("PS256", &aws_lc_rs::signature::RSA_PSS_SHA256),
    ] {
        let text = compact(&json!({ "alg": alg }), |m| {
            let mut signature = vec![0; public.modulus_len()];
            rsa.sign(padding, &SystemRandom::new(), m, &mut signature)
                .unwrap();
            signature
        });
        assert!(is_good(&text, &keys(std::slice::from_ref(&jwk))), "{alg}");
    }
}

#[test]
fn jw_01_jw_02_jw_04_jw_06_what_a_header_asks_for_is_not_done() {
    let own = P256::new();
    let set = keys(&[with(own.jwk(), "kid", "a")]);
    assert!(is_good(&own.sign(&json!({ "alg": "ES256", "kid": "a" })), &set));
    let stranger = P256::new();
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "ES256", "crit": ["exp"] }),
        json!({ "alg": "ES256", "crit": [] }),
        json!({ "kid": "a" }),
    ] {
        assert!(!is_good(&own.sign(&header), &set), "{header}");
    }
    for header in [
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "kid": "a" }),
        json!({ "alg": "ES256", "kid": "a", "jwk": stranger.jwk() }),
        json!({ "alg": "ES256", "jku": "https://evil.test/keys", "x5u": "https://evil.test/x" }),
    ] {
        assert!(!is_good(&stranger.sign(&header), &set), "{header}");
    }
}

#[test]
fn jw_05_a_key_id_names_its_key_and_no_other() {
    let (a, b) = (P256::new(), P256::new());
    let set = keys(&[with(a.jwk(), "kid", "a"), with(b.jwk(), "kid", "b")]);
    assert!(is_good(&a.sign(&json!({ "alg": "ES256" })), &set));
    assert!(!is_good(&a.sign(&json!({ "alg": "ES256", "kid": "b" })), &set));
    assert!(!is_good(&a.sign(&json!({ "alg": "ES256", "kid": "c" })), &set));
    assert!(is_good(
        &a.sign(&json!({ "alg": "ES256", "kid": "c" })),
        &keys(&[a.jwk()])
    ));
    let other = keys(&[with(a.jwk(), "alg", "RS256")]);
    assert!(!is_good(&a.sign(&json!({ "alg": "ES256" })), &other));
}

#[test]
fn jw_03_jw_15_forms_that_are_none() {
    let key = P256::new();
    let set = keys(&[key.jwk()]);
    let text = key.sign(&json!({ "alg": "ES256" }));
    assert!(is_good(&text, &set));
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    let body = text.rsplit_once('.').unwrap().0;
    for bad in [
        format!("{text}="),
        format!("{text}.x"),
        format!(" {text}"),
        format!("{text}\n"),
        format!("{body}."),
        format!("{body}.{zeros}"),
        body.to_owned(),
        String::new(),
        "a.b.c".to_owned(),
        format!("{}{text}", "a".repeat(MAX_BYTES)),
    ] {
        assert!(!is_good(&bad, &set), "{bad}");
    }
}

#[test]
fn sets_at_the_limit_and_past_it_and_of_other_keys() {
    let jwk = P256::new().jwk();
    assert!(Keys::parse(&json!({ "keys": vec![jwk.clone(); MAX_KEYS] })).is_ok());
    let weak = URL_SAFE_NO_PAD.encode([0xff; 128]);
    for bad in [
        json!({ "keys": vec![jwk.clone(); MAX_KEYS + 1] }),
        json!({ "keys": [] }),
        json!([]),
        json!({ "keys": [1] }),
        json!({ "keys": [with(jwk.clone(), "d", "AQAB")] }),
        json!({ "keys": [{ "kty": "oct", "k": "AQAB" }] }),
        json!({ "keys": [with(jwk.clone(), "use", "enc")] }),
        json!({ "keys": [with(jwk.clone(), "x", "AQAB")] }),
        json!({ "keys": [{ "kty": "RSA", "n": weak, "e": "AQAB" }] }),
    ] {
        assert!(Keys::parse(&bad).is_err(), "{bad}");
    }
    assert!(Keys::parse(&json!({ "keys": [jwk, { "kty": "other" }] })).is_ok());
}

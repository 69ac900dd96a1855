use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const URL: &str = "https://g.test/mcp";

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65) })
    }

    fn header(&self) -> Value {
        json!({ "typ": TYPE, "alg": "ES256", "jwk": self.jwk() })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims() -> Value {
    json!({
        "jti": "1", "htm": "POST", "htu": URL, "iat": NOW.as_secs(), "ath": token_hash("token"), "nonce": "fresh",
    })
}

fn judge(claims: &Value) -> Result<(), ProofError> {
    let signer = Signer::new();
    let text = signer.sign(&signer.header(), claims);
    let request = ProvedRequest {
        proof: &text,
        method: "POST",
        url: URL,
        token: Some("token"),
    };
    Proof::read(&text)?.check(&request, NOW, |nonce| nonce == "fresh")
}

fn with(member: &str, value: Value) -> Result<(), ProofError> {
    let mut claims = claims();
    claims[member] = value;
    judge(&claims)
}

#[test]
fn a_proof_is_for_its_request_its_token_and_its_minute() {
    assert_eq!(judge(&claims()), Ok(()));
    for same in ["https://g.test/mcp/", "HTTPS://G.test:443/mcp?x=1#y"] {
        assert_eq!(with("htu", json!(same)), Ok(()), "{same}");
    }
    for iat in [NOW.as_secs() - 60, NOW.as_secs() + 60] {
        assert_eq!(with("iat", json!(iat)), Ok(()), "{iat}");
    }
}

#[test]
fn au_10_a_proof_for_anything_else_is_none() {
    for (member, value, error) in [
        ("htm", json!("GET"), ProofError::Request),
        ("htm", json!("post"), ProofError::Request),
        ("htu", json!("https://g.test/mcp/other"), ProofError::Request),
        ("htu", json!("https://g.test/MCP"), ProofError::Request),
        ("htu", json!("http://g.test/mcp"), ProofError::Request),
        ("htu", json!("https://evil.test/mcp"), ProofError::Request),
        ("htu", json!("/mcp"), ProofError::Request),
        ("ath", json!(token_hash("other")), ProofError::Token),
        ("ath", Value::Null, ProofError::Token),
        ("nonce", json!("stale"), ProofError::Nonce),
        ("nonce", Value::Null, ProofError::Nonce),
        ("iat", json!(NOW.as_secs() - 61), ProofError::Time),
        ("iat", json!(NOW.as_secs() + 61), ProofError::Time),
        ("iat", json!(i64::MAX), ProofError::Time),
        ("iat", json!("1800000000"), ProofError::Form),
        ("iat", json!(1_800_000_000.5), ProofError::Form),
        ("jti", json!(""), ProofError::Form),
        ("jti", json!("x".repeat(257)), ProofError::Form),
        ("jti", Value::Null, ProofError::Form),
    ] {
        assert_eq!(with(member, value.clone()), Err(error), "{member} {value}");
    }
    assert_eq!(with("jti", json!("x".repeat(256))), Ok(()));
}

#[test]
fn au_10_a_proof_without_a_token_names_none() {
    let signer = Signer::new();
    let read = |claims: &Value| {
        let text = signer.sign(&signer.header(), claims);
        let request = ProvedRequest {
            proof: &text,
            method: "POST",
            url: URL,
            token: None,
        };
        Proof::read(&text)?.check(&request, NOW, |_| true)
    };
    assert_eq!(read(&claims()), Err(ProofError::Token));
    let mut bare = claims();
    bare.as_object_mut().unwrap().remove("ath");
    assert_eq!(read(&bare), Ok(()));
}

#[test]
fn au_10_the_header_brings_one_public_key_and_nothing_else_is_believed() {
    let (signer, other) = (Signer::new(), Signer::new());
    let good = signer.header();
    let changed = |member: &str, value: Value| {
        let mut header = good.clone();
        header[member] = value;
        header
    };
    let mut private = signer.jwk();
    private["d"] = json!("AQAB");
    for header in [
        changed("typ", json!("JWT")),
        changed("typ", json!("at+jwt")),
        changed("typ", Value::Null),
        changed("alg", json!("none")),
        changed("alg", json!("HS256")),
        changed("alg", json!("EdDSA")),
        changed("jwk", Value::Null),
        changed("jwk", other.jwk()),
        changed("jwk", private),
        changed("jwk", json!({ "kty": "oct", "k": "AQAB" })),
        changed("crit", json!(["b64"])),
    ] {
        let text = signer.sign(&header, &claims());
        assert_eq!(Proof::read(&text).err(), Some(ProofError::Form), "{header}");
    }
    // A set of keys, or the address of one, is no key.
    let fetched = changed("jku", json!("https://evil.test/keys"));
    let proof = Proof::read(&signer.sign(&fetched, &claims())).ok().unwrap();
    assert_eq!(
        proof.key(),
        Proof::read(&signer.sign(&good, &claims())).ok().unwrap().key()
    );
    for text in ["", "a.b", "a.b.c", "e30.e30."] {
        assert!(Proof::read(text).is_err(), "{text}");
    }
}

#[test]
fn rfc_9449_6_1_the_thumbprint_is_that_of_rfc_7638() {
    // RFC 7638 §3.1 has an RSA key; RFC 8037 appendix A.3 this one.
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let header = json!({ "typ": TYPE, "alg": "EdDSA", "jwk": { "use": "sig", "x": x, "kty": "OKP", "crv": "Ed25519" } });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims()));
    let text = format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()))
    );
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let expected = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
    assert_eq!(Proof::read(&text).ok().unwrap().key().as_str(), expected);
    assert_eq!(thumbprint(&expected).unwrap().as_str(), expected);
    for bad in [
        "",
        "x",
        &expected[1..],
        &format!("{expected}="),
        &format!("{expected}AA"),
    ] {
        assert_eq!(thumbprint(bad), None, "{bad}");
    }
}

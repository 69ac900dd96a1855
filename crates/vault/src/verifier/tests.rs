use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use sallyport_core::capability::{AccessClaims, SignToken as _};
use sallyport_core::{ClientId, ScopeSet, TokenId, UserId};
use serde_json::{Value, json};

use super::*;
use crate::signing::{Signer, SigningKey};

const ISSUER: &str = "https://gateway.example";
const NOW: i64 = 1_800_000_000;

/// A gateway's key, its signer and its verifier, and the means to sign what the signer never would.
struct Gate {
    key: SigningKey,
    signer: Signer,
    verifier: Verifier,
}

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

fn audience() -> Resource {
    Resource::parse("https://gateway.example/mcp").unwrap()
}

fn claims() -> AccessClaims {
    AccessClaims {
        user: UserId::new("alice"),
        client: ClientId::new("client"),
        audience: audience(),
        scopes: ScopeSet::parse("mcp"),
        token: TokenId::new("jti"),
        grant: GrantId::new("grant"),
        issued: now(),
        expires: now().plus(Duration::from_secs(900)),
    }
}

fn body() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": "https://gateway.example/mcp", "client_id": "client", "scope": "mcp",
        "jti": "jti", "grant": "grant", "iat": NOW, "exp": NOW + 900,
    })
}

impl Gate {
    fn new() -> Self {
        Self::with(SigningKey::generate(now()).unwrap(), ISSUER, 1000)
    }

    fn with(key: SigningKey, issuer: &str, capacity: usize) -> Self {
        let signer = Signer::new(issuer, key.clone(), Vec::new()).unwrap();
        let verifier = Verifier::new(issuer, &signer.public_keys(), capacity).unwrap();
        Self {
            key,
            signer,
            verifier,
        }
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.key.kid()})
    }

    /// A token with a true signature over whatever header and claims.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.key.pkcs8().expose()).unwrap();
        let signature = pair
            .sign(&aws_lc_rs::rand::SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn check(&self, token: &str) -> Result<Arc<Principal>, TokenError> {
        self.verifier.verify(token, &[audience()], now())
    }

    fn refused(&self, token: &str, error: TokenError) {
        // Twice: nothing that was refused may be remembered as good.
        for _ in 0..2 {
            assert_eq!(self.check(token).err(), Some(error), "{token}");
        }
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = body();
        claims[name] = value;
        self.sign(&self.header(), &claims)
    }
}

#[test]
fn a_signed_token_is_its_principal() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    let first = gate.check(token.expose()).unwrap();
    assert_eq!(first.user.as_str(), "alice");
    assert_eq!(first.client.as_str(), "client");
    assert_eq!(first.grant.as_str(), "grant");
    assert_eq!(first.token.as_str(), "jti");
    assert!(first.scopes.contains("mcp"));
    assert_eq!(first.audience, audience());
    assert_eq!(first.expires, claims().expires);
    let second = gate.check(token.expose()).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "the second look is remembered");
    assert!(
        gate.check(&gate.sign(&gate.header(), &body())).is_ok(),
        "the forger's tool makes good tokens too"
    );
}

#[test]
fn jw_01_no_algorithm() {
    let gate = Gate::new();
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(""),
        json!(null),
        json!(["ES256"]),
    ] {
        let mut header = gate.header();
        header["alg"] = alg;
        let signed = gate.sign(&header, &body());
        gate.refused(&signed, TokenError::Malformed);
        let unsigned = signed.rsplit_once('.').unwrap().0.to_owned();
        gate.refused(&format!("{unsigned}."), TokenError::Malformed);
        gate.refused(&unsigned, TokenError::Malformed);
    }
    let mut header = gate.header();
    header.as_object_mut().unwrap().remove("alg");
    gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
}

#[test]
fn jw_02_public_key_as_a_shared_secret() {
    let gate = Gate::new();
    let (x, y) = gate.key.public().coordinates();
    let point = [
        vec![4],
        URL_SAFE_NO_PAD.decode(x).unwrap(),
        URL_SAFE_NO_PAD.decode(y).unwrap(),
    ]
    .concat();
    let der = [
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00".as_slice(),
        &point,
    ]
    .concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&der)
    );
    let jwk = gate.signer.jwks();
    for secret in [point, der, pem.into_bytes(), jwk.into_bytes()] {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(gate.key.kid().to_owned());
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        let forged = jsonwebtoken::encode(&header, &body(), &key).unwrap();
        gate.refused(&forged, TokenError::Malformed);
        // The same MAC under a header that claims the right algorithm.
        let mac = forged.rsplit_once('.').unwrap().1;
        let good = gate.sign(&gate.header(), &body());
        gate.refused(
            &format!("{}.{mac}", good.rsplit_once('.').unwrap().0),
            TokenError::Malformed,
        );
    }
}

#[test]
fn jw_03_other_algorithms_and_hollow_signatures() {
    let gate = Gate::new();
    for alg in [
        "RS256", "ES384", "ES512", "EdDSA", "PS256", "HS256", "ES256K", "es256", "ES256 ",
    ] {
        let mut header = gate.header();
        header["alg"] = json!(alg);
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
    let good = gate.sign(&gate.header(), &body());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = [
        b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff".as_slice(),
        b"\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51",
    ]
    .concat();
    for hollow in [
        vec![],
        vec![0; 64],
        vec![0xff; 64],
        [order.as_slice(), &order].concat(),
        [&[0; 32], &signature[32..]].concat(),
        [&signature[..32], &[0; 32]].concat(),
        signature[..63].to_vec(),
        [signature.as_slice(), &[0]].concat(),
        // DER, as other libraries write it.
        [
            b"\x30\x44\x02\x20".as_slice(),
            &signature[..32],
            b"\x02\x20",
            &signature[32..],
        ]
        .concat(),
    ] {
        gate.refused(
            &format!("{message}.{}", URL_SAFE_NO_PAD.encode(hollow)),
            TokenError::Malformed,
        );
    }
}

#[test]
fn jw_04_headers_that_bring_their_own_key() {
    let (gate, thief) = (Gate::new(), Gate::new());
    let jwk: Value = serde_json::from_str::<Value>(&thief.signer.jwks()).unwrap()["keys"][0].clone();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://thief.example/jwks.json")),
        ("x5u", json!("https://thief.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
    ] {
        for kid in [gate.key.kid(), thief.key.kid()] {
            let mut header = gate.header();
            header["kid"] = json!(kid);
            header[name] = value.clone();
            gate.refused(&thief.sign(&header, &body()), TokenError::Malformed);
        }
    }
    gate.refused(&thief.sign(&gate.header(), &body()), TokenError::Malformed);
}

#[test]
fn jw_05_key_ids_are_looked_up_and_nothing_else() {
    let gate = Gate::new();
    let long = "k".repeat(64 * 1024);
    for kid in [
        json!("../../dev/null"),
        json!("' OR 1=1"),
        json!(long),
        json!(""),
        json!(null),
        json!(1),
        json!([gate.key.kid()]),
        json!(format!("{} ", gate.key.kid())),
    ] {
        let mut header = gate.header();
        header["kid"] = kid;
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
    let mut header = gate.header();
    header.as_object_mut().unwrap().remove("kid");
    gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    let text = gate.header().to_string();
    let twice = format!("{},\"kid\":\"{}\"}}", text.trim_end_matches('}'), gate.key.kid());
    gate.refused(
        &gate.sign_text(&twice, &body().to_string()),
        TokenError::Malformed,
    );
}

#[test]
fn jw_05_a_key_that_is_gone_verifies_nothing_that_was_remembered() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    assert!(gate.check(token.expose()).is_ok());
    let next = SigningKey::generate(now()).unwrap();
    gate.signer.replace(next.clone(), vec![gate.key.clone()]).unwrap();
    gate.verifier.replace_keys(&gate.signer.public_keys()).unwrap();
    let newer = gate.signer.sign(&claims()).unwrap();
    assert!(
        gate.check(token.expose()).is_ok(),
        "a retiring key still verifies"
    );
    assert!(gate.check(newer.expose()).is_ok());
    gate.signer.replace(next, Vec::new()).unwrap();
    gate.verifier.replace_keys(&gate.signer.public_keys()).unwrap();
    gate.refused(token.expose(), TokenError::Malformed);
    assert!(gate.check(newer.expose()).is_ok());
}

#[test]
fn jw_06_critical_and_unencoded() {
    let gate = Gate::new();
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("unknown", json!(1)),
    ] {
        let mut header = gate.header();
        header[name] = value;
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
}

#[test]
fn jw_07_times_of_the_wrong_type_are_not_absent_times() {
    let gate = Gate::new();
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!("1800000000"),
            json!(1_800_000_000.5),
            json!(1e308),
            json!(null),
            json!([NOW]),
            json!({}),
            json!(true),
            json!(u64::MAX),
        ] {
            gate.refused(&gate.with_claim(name, value), TokenError::Malformed);
        }
    }
    gate.refused(&gate.with_claim("exp", json!(-1)), TokenError::Malformed);
    gate.refused(&gate.with_claim("exp", json!(0)), TokenError::Expired);
    gate.refused(&gate.with_claim("iat", json!(NOW + 3600)), TokenError::Expired);
    gate.refused(&gate.with_claim("nbf", json!(NOW + 3600)), TokenError::Expired);
    gate.refused(&gate.with_claim("nbf", json!(i64::MAX)), TokenError::Expired);
    assert!(gate.check(&gate.with_claim("exp", json!(i64::MAX))).is_ok());
}

#[test]
fn jw_07_every_claim_is_required_and_has_one_type() {
    let gate = Gate::new();
    for name in [
        "iss",
        "sub",
        "aud",
        "client_id",
        "scope",
        "jti",
        "grant",
        "iat",
        "exp",
    ] {
        let mut claims = body();
        claims.as_object_mut().unwrap().remove(name);
        gate.refused(&gate.sign(&gate.header(), &claims), TokenError::Malformed);
        for value in [json!(null), json!({}), json!([]), json!(false)] {
            gate.refused(&gate.with_claim(name, value), TokenError::Malformed);
        }
    }
    for name in ["sub", "client_id", "jti", "grant"] {
        gate.refused(&gate.with_claim(name, json!("")), TokenError::Malformed);
    }
    let text = body().to_string();
    let twice = format!("{},\"sub\":\"mallory\"}}", text.trim_end_matches('}'));
    gate.refused(
        &gate.sign_text(&gate.header().to_string(), &twice),
        TokenError::Malformed,
    );
    for claims in ["", "null", "[]", "{}", "\"x\"", "{\"exp\":"] {
        gate.refused(
            &gate.sign_text(&gate.header().to_string(), claims),
            TokenError::Malformed,
        );
    }
}

#[test]
fn jw_08_edges_of_time() {
    let skew = i64::try_from(SKEW.as_secs()).unwrap();
    // Without a cache and with one that is warm.
    for capacity in [0, 1000] {
        let gate = Gate::with(SigningKey::generate(now()).unwrap(), ISSUER, capacity);
        let token = gate.with_claim("exp", json!(NOW + 10));
        let at = |secs| {
            gate.verifier
                .verify(&token, &[audience()], Timestamp::from_secs(secs))
        };
        assert!(at(NOW).is_ok());
        assert!(at(NOW + 9).is_ok());
        assert_eq!(
            at(NOW + 10).err(),
            Some(TokenError::Expired),
            "our own clock wrote exp: no leeway"
        );
        assert!(at(NOW + 9).is_ok());
        assert!(at(NOW - skew).is_ok(), "iat within the skew");
        assert_eq!(at(NOW - skew - 1).err(), Some(TokenError::Expired));
        let token = gate.with_claim("nbf", json!(NOW + 100));
        let at = |secs| {
            gate.verifier
                .verify(&token, &[audience()], Timestamp::from_secs(secs))
        };
        assert!(at(NOW + 100 - skew).is_ok());
        assert_eq!(at(NOW + 100 - skew - 1).err(), Some(TokenError::Expired));
    }
}

#[test]
fn jw_10_other_kinds_of_tokens() {
    let gate = Gate::new();
    for typ in [
        json!("JWT"),
        json!("id_token"),
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("at+JWT"),
        json!("application/at+jwt"),
        json!(""),
        json!(null),
    ] {
        let mut header = gate.header();
        header["typ"] = typ;
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
    let mut header = gate.header();
    header.as_object_mut().unwrap().remove("typ");
    gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
}

#[test]
fn jw_11_audiences() {
    let gate = Gate::new();
    let ours = "https://gateway.example/mcp";
    for several in [json!([ours]), json!([ours, "https://other.example"]), json!([])] {
        gate.refused(&gate.with_claim("aud", several), TokenError::Malformed);
    }
    for other in [
        "https://gateway.example/mc",
        "https://gateway.example/mcp/x",
        "https://gateway.example/mcp/",
        "https://gateway.example/MCP",
        "https://GATEWAY.example/mcp",
        "https://gateway.example:443/mcp",
        "http://gateway.example/mcp",
        "https://gateway.example/mcp#",
        " https://gateway.example/mcp",
        "",
    ] {
        gate.refused(&gate.with_claim("aud", json!(other)), TokenError::Audience);
    }
    // A remembered token is asked for its audience every time.
    let token = gate.sign(&gate.header(), &body());
    assert!(gate.check(&token).is_ok());
    let elsewhere = [Resource::parse("https://gateway.example/mcp/x").unwrap()];
    assert_eq!(
        gate.verifier.verify(&token, &elsewhere, now()).err(),
        Some(TokenError::Audience)
    );
    assert_eq!(
        gate.verifier.verify(&token, &[], now()).err(),
        Some(TokenError::Audience)
    );
    let both = [elsewhere[0].clone(), audience()];
    assert!(gate.verifier.verify(&token, &both, now()).is_ok());
}

#[test]
fn jw_12_issuers_that_look_alike() {
    let gate = Gate::new();
    for other in [
        "https://gateway.example/",
        "https://GATEWAY.example",
        "https://gateway.example:443",
        "http://gateway.example",
        "https://gateway.example.evil",
        "",
    ] {
        gate.refused(&gate.with_claim("iss", json!(other)), TokenError::Audience);
    }
    gate.refused(&gate.with_claim("iss", json!([ISSUER])), TokenError::Malformed);
}

#[test]
fn jw_13_one_gateways_token_signed_by_another_one() {
    let (a, b) = (
        Gate::new(),
        Gate::with(SigningKey::generate(now()).unwrap(), "https://b.example", 10),
    );
    let mut header = a.header();
    a.refused(&b.sign(&header, &body()), TokenError::Malformed);
    header["kid"] = json!(b.key.kid());
    a.refused(&b.sign(&header, &body()), TokenError::Malformed);
}

#[test]
fn jw_15_lax_base64_is_refused() {
    let gate = Gate::new();
    let token = gate.sign(&gate.header(), &body());
    let parts: Vec<&str> = token.split('.').collect();
    let with = |index: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|p| (*p).to_owned()).collect();
        parts[index] = part;
        parts.join(".")
    };
    for (index, part) in parts.iter().enumerate() {
        for lax in [
            format!("{part}="),
            format!("{part}=="),
            format!(" {part}"),
            format!("{part} "),
            format!("{part}\n"),
            format!("{}\n{}", &part[..4], &part[4..]),
            format!("{}\t{}", &part[..4], &part[4..]),
            format!("{part}A"),
            String::new(),
        ] {
            gate.refused(&with(index, lax), TokenError::Malformed);
        }
    }
    // 64 bytes leave four bits over in the last character of a signature.
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    let padded = URL_SAFE.encode(&signature);
    gate.refused(&with(2, padded), TokenError::Malformed);
    let last = parts[2].chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).unwrap();
    let sloppy = alphabet.as_bytes()[index | 1] as char;
    gate.refused(
        &with(2, format!("{}{sloppy}", &parts[2][..parts[2].len() - 1])),
        TokenError::Malformed,
    );
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        &format!("{token}."),
        &format!(".{token}"),
    ] {
        gate.refused(token, TokenError::Malformed);
    }
}

#[test]
fn jw_17_revocation_reaches_remembered_tokens() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    let other = gate
        .signer
        .sign(&AccessClaims {
            grant: GrantId::new("other"),
            ..claims()
        })
        .unwrap();
    assert!(gate.check(token.expose()).is_ok());
    assert!(gate.check(other.expose()).is_ok());
    gate.verifier.revoke_grant(&GrantId::new("grant"));
    gate.refused(token.expose(), TokenError::Revoked);
    let newer = gate
        .signer
        .sign(&AccessClaims {
            token: TokenId::new("2"),
            ..claims()
        })
        .unwrap();
    gate.refused(newer.expose(), TokenError::Revoked);
    assert!(gate.check(other.expose()).is_ok());
}

#[test]
fn jw_17_revocations_of_the_store_hold_after_a_restart() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    assert!(gate.check(token.expose()).is_ok());
    let restarted = Gate::with(gate.key.clone(), ISSUER, 1000);
    restarted.verifier.load_revoked([(GrantId::new("grant"), now())]);
    restarted.refused(token.expose(), TokenError::Revoked);
    restarted.verifier.forget_revoked(now());
    restarted.refused(token.expose(), TokenError::Revoked);
    restarted
        .verifier
        .forget_revoked(now().plus(Duration::from_secs(1)));
    assert!(
        restarted.check(token.expose()).is_ok(),
        "only what cannot be alive any more may be forgotten"
    );
}

#[test]
fn jw_18_a_token_of_another_environment() {
    let key = SigningKey::generate(now()).unwrap();
    let staging = Gate::with(key.clone(), "https://staging.example", 10);
    let production = Gate::with(key, ISSUER, 10);
    production.refused(
        staging.signer.sign(&claims()).unwrap().expose(),
        TokenError::Audience,
    );
}

#[test]
fn tokens_at_the_limit_and_past_it() {
    let gate = Gate::new();
    let of_length = |length: usize| {
        let mut pad = 0;
        loop {
            let token = gate.with_claim("pad", json!("x".repeat(pad)));
            if token.len() >= length {
                return token;
            }
            pad += (length - token.len()).div_ceil(2);
        }
    };
    let at = of_length(MAX_TOKEN);
    assert_eq!(at.len(), MAX_TOKEN);
    assert!(gate.check(&at).is_ok());
    gate.refused(&of_length(MAX_TOKEN + 1), TokenError::Malformed);
}

#[test]
fn what_is_remembered_is_bounded_and_can_be_switched_off() {
    let key = SigningKey::generate(now()).unwrap();
    for (capacity, most) in [(0, 0), (1, 64), (128, 128)] {
        let gate = Gate::with(key.clone(), ISSUER, capacity);
        for jti in 0..400 {
            let claims = AccessClaims {
                token: TokenId::new(format!("{jti}")),
                ..claims()
            };
            let token = gate.signer.sign(&claims).unwrap();
            assert!(gate.check(token.expose()).is_ok());
            assert!(gate.check(token.expose()).is_ok());
        }
        assert!(
            gate.verifier.remembered() <= most,
            "{} of {capacity}",
            gate.verifier.remembered()
        );
        assert!(capacity == 0 || gate.verifier.remembered() > 0);
    }
}

#[test]
fn an_ended_token_leaves_the_cache() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    assert!(gate.check(token.expose()).is_ok());
    assert_eq!(gate.verifier.remembered(), 1);
    let later = now().plus(Duration::from_secs(900));
    assert_eq!(
        gate.verifier.verify(token.expose(), &[audience()], later).err(),
        Some(TokenError::Expired)
    );
    assert_eq!(gate.verifier.remembered(), 0);
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in ".{0,300}") {
        let gate = Gate::new();
        prop_assert_eq!(gate.check(&text).err(), Some(TokenError::Malformed));
    }

    #[test]
    fn no_changed_character_is_accepted(position in 0usize..400, replacement in "[A-Za-z0-9._-]") {
        let gate = Gate::new();
        let token = gate.sign(&gate.header(), &body());
        let position = position % token.len();
        let mut changed = token.clone();
        changed.replace_range(position..=position, &replacement);
        prop_assume!(changed != token);
        prop_assert!(gate.check(&changed).is_err());
    }
}

//! What it has to say: times, audience, issuer, every claim.

use super::*;

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
        let gate = Gate::with(SigningKey::generate(Alg::Es256, now()).unwrap(), ISSUER, capacity);
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
        Gate::with(
            SigningKey::generate(Alg::Es256, now()).unwrap(),
            "https://b.example",
            10,
        ),
    );
    let mut header = a.header();
    a.refused(&b.sign(&header, &body()), TokenError::Malformed);
    header["kid"] = json!(b.key.kid());
    a.refused(&b.sign(&header, &body()), TokenError::Malformed);
}

#[test]
fn jw_18_a_token_of_another_environment() {
    let key = SigningKey::generate(Alg::Es256, now()).unwrap();
    let staging = Gate::with(key.clone(), "https://staging.example", 10);
    let production = Gate::with(key, ISSUER, 10);
    production.refused(
        staging.signer.sign(&claims()).unwrap().expose(),
        TokenError::Audience,
    );
}

use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const HERE: &str = "https://gateway.test/mcp";

fn issuer() -> Issuer {
    Issuer {
        name: "corp".to_owned(),
        issuer: "https://idp.test/realm".to_owned(),
        audiences: Vec::new(),
        resources: Vec::new(),
        require_exp: true,
        require_jti: false,
        skew: Duration::from_secs(30),
        user_claim: "sub".to_owned(),
        scopes: ScopeSet::parse("mcp"),
    }
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": "https://idp.test/realm", "sub": "ada", "aud": HERE, "client_id": "app", "jti": "t1",
        "scope": "read write", "iat": NOW.as_secs(), "exp": NOW.as_secs() + 60,
    });
    claims.as_object().unwrap().clone()
}

fn with(name: &str, value: Value) -> Map<String, Value> {
    let mut claims = claims();
    claims.insert(name.to_owned(), value);
    claims
}

fn without(name: &str) -> Map<String, Value> {
    let mut claims = claims();
    claims.remove(name);
    claims
}

fn here() -> [Resource; 1] {
    [Resource::parse(HERE).unwrap()]
}

fn after(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

/// What a token gets at once.
fn judge(issuer: &Issuer, claims: &Map<String, Value>) -> Result<Principal, TokenError> {
    let said = issuer.read(claims, NOW)?;
    issuer.admit(&said, &here(), NOW)
}

#[test]
fn people_of_another_issuer_have_names_of_their_own() {
    let principal = judge(&issuer(), &claims()).unwrap();
    assert_eq!(principal.user.as_str(), "corp:ada");
    assert_eq!(principal.client.as_str(), "corp:app");
    assert_eq!(principal.grant.as_str(), "issuer:corp");
    assert_eq!(principal.scopes, ScopeSet::parse("read write mcp"));
    assert_eq!(principal.expires, after(90));
    let by_mail = Issuer {
        user_claim: "email".to_owned(),
        scopes: ScopeSet::parse(""),
        ..issuer()
    };
    let principal = judge(&by_mail, &with("email", json!("ada@corp.test"))).unwrap();
    assert_eq!(principal.user.as_str(), "corp:ada@corp.test");
    assert_eq!(principal.scopes, ScopeSet::parse("read write"));
    let azp = json!("web");
    let mut claims = without("client_id");
    claims.insert("azp".to_owned(), azp);
    assert_eq!(judge(&issuer(), &claims).unwrap().client.as_str(), "corp:web");
}

#[test]
fn jw_07_claims_of_the_wrong_type_are_not_absent() {
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!("1000060"),
            json!(1e308),
            json!(-1),
            json!(1.5),
            json!(null),
            json!([1]),
            json!(true),
        ] {
            let judged = judge(&issuer(), &with(name, value.clone()));
            assert_eq!(judged, Err(TokenError::Malformed), "{name} {value}");
        }
    }
    for (name, value) in [
        ("sub", json!(7)),
        ("sub", json!("")),
        ("sub", json!("a b")),
        ("sub", json!("ä")),
        ("sub", json!("a\r\nX-User-Id: root")),
        ("sub", json!("x".repeat(MAX_NAME + 1))),
        ("client_id", json!(["app"])),
        ("jti", json!(1)),
        ("scope", json!(1)),
        ("scope", json!(["mcp", 1])),
        ("aud", json!(null)),
        ("aud", json!([])),
        ("aud", json!([HERE, 1])),
    ] {
        let judged = judge(&issuer(), &with(name, value.clone()));
        assert_eq!(judged, Err(TokenError::Malformed), "{name} {value}");
    }
    assert!(judge(&issuer(), &with("sub", json!("x".repeat(MAX_NAME)))).is_ok());
    for name in ["sub", "aud", "exp"] {
        assert_eq!(
            judge(&issuer(), &without(name)),
            Err(TokenError::Malformed),
            "{name}"
        );
    }
    for name in ["jti", "scope", "client_id", "iat"] {
        assert!(judge(&issuer(), &without(name)).is_ok(), "{name}");
    }
    let strict = Issuer {
        require_jti: true,
        ..issuer()
    };
    assert_eq!(judge(&strict, &without("jti")), Err(TokenError::Malformed));
}

#[test]
fn jw_08_clocks_may_differ_by_the_skew_and_no_more() {
    let said = issuer().read(&claims(), NOW).unwrap();
    let at = |now| issuer().admit(&said, &here(), now).map(drop);
    assert_eq!(at(after(89)), Ok(()));
    assert_eq!(at(after(90)), Err(TokenError::Expired));
    for (ahead, expected) in [(30, Ok(())), (31, Err(TokenError::Expired))] {
        for name in ["nbf", "iat"] {
            let claims = with(name, json!(NOW.as_secs() + ahead));
            assert_eq!(judge(&issuer(), &claims).map(drop), expected, "{name} {ahead}");
        }
    }
    let endless = Issuer {
        require_exp: false,
        ..issuer()
    };
    let said = endless.read(&without("exp"), NOW).unwrap();
    assert_eq!(said.expires, NOW.plus(ENDLESS));
}

#[test]
fn jw_10_other_kinds_of_tokens_are_refused() {
    for name in OTHER_KINDS {
        let judged = judge(&issuer(), &with(name, json!("x")));
        assert_eq!(judged, Err(TokenError::Malformed), "{name}");
    }
}

#[test]
fn jw_11_jw_12_issuer_and_audience_are_compared_as_text() {
    for iss in [
        "https://idp.test/realm/",
        "https://IDP.test/realm",
        "https://idp.test",
        "",
        "corp",
    ] {
        assert_eq!(
            judge(&issuer(), &with("iss", json!(iss))),
            Err(TokenError::Audience),
            "{iss}"
        );
    }
    assert_eq!(
        judge(&issuer(), &with("iss", json!([issuer().issuer]))),
        Err(TokenError::Audience)
    );
    for aud in [
        "https://gateway.test/mcp/",
        "https://gateway.test/mcp/team",
        "https://gateway.test",
        "api://gateway",
    ] {
        assert_eq!(
            judge(&issuer(), &with("aud", json!(aud))),
            Err(TokenError::Audience),
            "{aud}"
        );
    }
    assert!(judge(&issuer(), &with("aud", json!(["api://other", HERE]))).is_ok());
    // Named audiences open the named profiles, and the resource's own URL is none of them.
    let named = Issuer {
        audiences: vec!["api://gateway".to_owned()],
        resources: here().into(),
        ..issuer()
    };
    assert!(judge(&named, &with("aud", json!("api://gateway"))).is_ok());
    assert_eq!(judge(&named, &claims()), Err(TokenError::Audience));
    let elsewhere = Issuer {
        resources: vec![Resource::parse("https://gateway.test/mcp/team").unwrap()],
        ..named
    };
    assert_eq!(
        judge(&elsewhere, &with("aud", json!("api://gateway"))),
        Err(TokenError::Audience)
    );
}

#[test]
fn an_issuers_word_holds_for_thirty_seconds_and_never_past_the_end() {
    let answer = |name: &str, value: Value| {
        let mut answer = with("active", json!(true));
        answer.insert(name.to_owned(), value);
        answer
    };
    let said = |answer| issuer().read_introspection(answer, NOW);
    let until = |answer| said(answer).map(|said| said.expires);
    assert_eq!(
        until(answer("token_type", json!("bearer"))),
        Ok(NOW.plus(REMEMBER))
    );
    let soon = NOW.as_secs() - 20;
    assert_eq!(until(answer("exp", json!(soon))), Ok(after(10)));
    let mut silent = answer("active", json!(true));
    silent.remove("iss");
    assert!(said(silent).is_ok());
    assert_eq!(
        said(answer("iss", json!("https://other.test"))),
        Err(TokenError::Audience)
    );
    for active in [json!(false), json!("true"), json!(1), json!(null)] {
        assert_eq!(said(answer("active", active)), Err(TokenError::Revoked));
    }
    for kind in ["DPoP", "mac", "refresh_token"] {
        assert_eq!(
            said(answer("token_type", json!(kind))),
            Err(TokenError::Malformed)
        );
    }
    assert_eq!(said(claims()), Err(TokenError::Revoked));
}

#[test]
fn credentials_are_form_encoded_before_they_are_joined() {
    let value = basic("a:b", &Secret::from("p w%"));
    let pair = STANDARD
        .decode(value.expose().strip_prefix("Basic ").unwrap())
        .unwrap();
    assert_eq!(pair, b"a%3Ab:p+w%25");
}

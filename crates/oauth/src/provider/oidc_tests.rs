use serde_json::json;

use super::*;

fn provider(preset: Preset) -> Provider {
    Provider {
        name: "idp".into(),
        label: "IdP".into(),
        issuer: "https://idp.test/realms/a".into(),
        client_id: "us &c".into(),
        client_secret: Some(Secret::from("s:1")),
        preset,
        scopes: vec!["openid".into(), "profile".into()],
        groups_claim: preset.groups_claim().into(),
        vouches: false,
    }
}

fn document() -> Value {
    json!({
        "issuer": "https://idp.test/realms/a",
        "authorization_endpoint": "https://idp.test/auth?tenant=1",
        "token_endpoint": "https://other.test/token",
        "jwks_uri": "https://idp.test/jwks",
    })
}

fn read(document: &Value) -> Result<Metadata, AnswerError> {
    Metadata::read(&provider(Preset::Plain), 200, document.to_string().as_bytes())
}

#[test]
fn md_04_md_05_a_document_of_another_issuer_or_with_odd_addresses_does_not_count() {
    assert!(read(&document()).is_ok());
    for (member, value) in [
        ("issuer", json!("https://idp.test/realms/a/")),
        ("issuer", json!("https://evil.test")),
        ("issuer", json!(null)),
        ("token_endpoint", json!("http://idp.test/token")),
        ("token_endpoint", json!("https://u:p@idp.test/token")),
        ("jwks_uri", json!("file:///etc/passwd")),
        ("jwks_uri", json!(null)),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("authorization_endpoint", json!("file:///etc/passwd")),
        ("authorization_endpoint", json!("a:$(id)")),
        ("authorization_endpoint", json!("http://169.254.169.254/")),
    ] {
        let mut document = document();
        document[member] = value.clone();
        assert!(read(&document).is_err(), "{member} {value}");
    }
    let metadata = Metadata::read(&provider(Preset::Plain), 404, b"{}");
    assert_eq!(metadata.err(), Some(AnswerError::Status(METADATA, 404)));
    let discovery = provider(Preset::Plain).discovery().unwrap();
    assert_eq!(
        discovery.as_str(),
        "https://idp.test/realms/a/.well-known/openid-configuration"
    );
}

#[test]
fn md_10_signed_metadata_is_not_looked_at() {
    let mut document = document();
    // {"alg":"none"} and {"token_endpoint":"https://evil.test/token"}
    document["signed_metadata"] =
        json!("eyJhbGciOiJub25lIn0.eyJ0b2tlbl9lbmRwb2ludCI6Imh0dHBzOi8vZXZpbC50ZXN0L3Rva2VuIn0.");
    let metadata = read(&document).unwrap();
    assert_eq!(metadata.token_endpoint.as_str(), "https://other.test/token");
    document["token_endpoint"] = json!(null);
    assert!(read(&document).is_err());
}

#[test]
fn the_request_binds_browser_code_and_token() {
    let asked = Asked {
        redirect_uri: "https://h/callback/idp",
        state: "s",
        nonce: "n",
        challenge: "c",
        other_account: true,
    };
    let metadata = read(&document()).unwrap();
    let url = provider(Preset::Google).authorization_url(&metadata, asked);
    assert_eq!(
        url.as_str(),
        "https://idp.test/auth?tenant=1&response_type=code&client_id=us+%26c\
         &redirect_uri=https%3A%2F%2Fh%2Fcallback%2Fidp&scope=openid+profile&state=s&nonce=n&code_challenge=c\
         &code_challenge_method=S256&prompt=select_account"
    );
}

#[test]
fn our_secret_goes_where_the_provider_wants_it() {
    let form = |methods: Option<Value>, secret: bool| {
        let mut document = document();
        if let Some(methods) = methods {
            document["token_endpoint_auth_methods_supported"] = methods;
        }
        let mut provider = provider(Preset::Plain);
        if !secret {
            provider.client_secret = None;
        }
        let form = provider.token_form(&read(&document).unwrap(), ("c", "v", "r"));
        (
            form.body.expose().clone(),
            form.authorization.map(|value| value.expose().clone()),
        )
    };
    let basic = Some(format!("Basic {}", STANDARD.encode("us+%26c:s%3A1")));
    let plain = "grant_type=authorization_code&code=c&redirect_uri=r&code_verifier=v";
    assert_eq!(form(None, true), (plain.to_owned(), basic));
    let post = json!(["client_secret_post", "private_key_jwt"]);
    let posted = format!("{plain}&client_id=us+%26c&client_secret=s%3A1");
    assert_eq!(form(Some(post), true), (posted, None));
    assert_eq!(form(None, false), (format!("{plain}&client_id=us+%26c"), None));
}

#[test]
fn people_are_their_subjects_and_names_have_to_be_theirs() {
    let claims = |value: &Value| Claims::of(value.as_object().cloned().unwrap());
    let judge = |preset, token: Value, more: Option<Value>| {
        let identity = provider(preset).identity(&claims(&token), more.as_ref()).unwrap();
        (identity.subject, identity.label, identity.groups)
    };
    let (subject, label, groups) = judge(
        Preset::Keycloak,
        json!({ "sub": "1", "preferred_username": "ada", "groups": ["/b", "/a", 7] }),
        None,
    );
    assert_eq!(
        (&*subject, label.as_deref(), groups),
        ("1", Some("ada"), vec!["/a".into(), "/b".into()])
    );
    // An address that nobody has verified could be anybody's.
    for (verified, label) in [
        (json!(true), Some("a@x.test")),
        (json!("true"), Some("a@x.test")),
        (json!(false), None),
        (json!(null), None),
    ] {
        let token = json!({ "sub": "1", "email": "a@x.test", "email_verified": verified, "hd": "x.test" });
        let judged = judge(Preset::Google, token, None);
        assert_eq!((judged.1.as_deref(), judged.2), (label, vec!["x.test".into()]));
    }
    let entra = judge(Preset::Entra, json!({ "sub": "pairwise", "oid": "object" }), None);
    assert_eq!(entra.0, "object");
    assert!(
        provider(Preset::Entra)
            .identity(&claims(&json!({ "sub": "1" })), None)
            .is_err()
    );
    let more = json!({ "sub": "1", "preferred_username": "ada", "groups": ["g"] });
    assert_eq!(
        judge(Preset::Plain, json!({ "sub": "1" }), Some(more.clone())).2,
        ["g"]
    );
    // What is said about somebody else does not count.
    let (_, label, groups) = judge(Preset::Plain, json!({ "sub": "2" }), Some(more));
    assert_eq!((label, groups.len()), (None, 0));
    for subject in ["", "a b", "é", &"x".repeat(256)] {
        let claims = claims(&json!({ "sub": subject }));
        assert!(
            provider(Preset::Plain).identity(&claims, None).is_err(),
            "{subject}"
        );
    }
}

#[test]
fn answers_of_the_token_endpoint() {
    let good = br#"{"id_token":"i","access_token":"a","token_type":"Bearer"}"#;
    let read = tokens(200, good).unwrap();
    assert_eq!((read.id_token.as_str(), read.access_token.is_some()), ("i", true));
    let refused = tokens(400, br#"{"error":"invalid_grant","error_description":"<b>"}"#);
    assert_eq!(
        refused.err(),
        Some(AnswerError::Refused(TOKEN, "invalid_grant".into()))
    );
    for (status, body) in [(200, &b"<html>"[..]), (200, b"{}"), (500, b"{}"), (302, b"")] {
        assert!(tokens(status, body).is_err());
    }
}

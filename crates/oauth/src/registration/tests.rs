use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(body: &Value) -> Result<Registration, RegistrationError> {
    let schemes = ["cursor".to_owned()];
    let scopes = ScopeSet::parse("mcp");
    Registration::read(
        body.to_string().as_bytes(),
        Policy {
            private_schemes: &schemes,
            scopes: &scopes,
            is_operator: false,
        },
    )
}

fn registered(body: &Value) -> Map<String, Value> {
    let client = read(body)
        .unwrap()
        .into_client(ClientId::new("id"), None, Timestamp::from_secs(7));
    answer(&client, None, None)
}

fn code(body: &Value) -> ErrorCode {
    read(body).map(|_| ()).unwrap_err().code()
}

#[test]
fn unknown_members_are_echoed_and_defaults_answered() {
    let echo = registered(&json!({
        "redirect_uris": ["http://127.0.0.1:1/"], "client_name": "Qwen", "application_type": "native",
        "software_id": "s", "software_version": "1", "client_uri": "https://c.test",
        "code_challenge_method": ["S256"],
    }));
    for (member, value) in [
        ("client_id", json!("id")),
        ("client_id_issued_at", json!(7)),
        ("token_endpoint_auth_method", json!("none")),
        ("grant_types", json!(["authorization_code", "refresh_token"])),
        ("response_types", json!(["code"])),
        ("scope", json!("mcp")),
        ("redirect_uris", json!(["http://127.0.0.1:1/"])),
        ("application_type", json!("native")),
        ("software_id", json!("s")),
        ("code_challenge_method", json!(["S256"])),
    ] {
        assert_eq!(echo.get(member), Some(&value), "{member}");
    }
    assert!(!echo.contains_key("client_secret"));
}

#[test]
fn confidential_clients_get_their_method_and_secret() {
    for method in ["client_secret_basic", "client_secret_post"] {
        let body = json!({ "redirect_uris": ["https://c.test/cb"], "token_endpoint_auth_method": method });
        let registration = read(&body).unwrap();
        assert!(registration.needs_secret());
        let client = registration.into_client(ClientId::new("id"), Some([7; 32]), Timestamp::EPOCH);
        let echo = answer(&client, Some(&Secret::from("s3cret")), None);
        assert_eq!(echo.get("client_secret"), Some(&json!("s3cret")));
        assert_eq!(echo.get("client_secret_expires_at"), Some(&json!(0)));
        assert_eq!(echo.get("token_endpoint_auth_method"), Some(&json!(method)));
    }
}

#[test]
fn dc_02_bad_lists_of_redirect_uris() {
    let many = |n: usize| json!({ "redirect_uris": vec!["http://127.0.0.1/cb"; n] });
    assert!(read(&many(MAX_REDIRECTS)).is_ok());
    for body in [
        many(MAX_REDIRECTS + 1),
        many(1000),
        many(0),
        json!({}),
        json!({ "redirect_uris": null }),
        json!({ "redirect_uris": "https://c.test/cb" }),
        json!({ "redirect_uris": [1] }),
        json!({ "redirect_uris": ["javascript:alert(1)"] }),
        json!({ "redirect_uris": ["https://c.test/cb", "http://c.test/cb"] }),
    ] {
        assert_eq!(code(&body), ErrorCode::InvalidRedirectUri, "{body}");
    }
}

#[test]
fn a_refusal_names_the_one_uri() {
    let error = read(&json!({ "redirect_uris": ["https://c.test/cb", "odd\u{202e}://x"] })).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("number 2") && text.contains("odd?://x"), "{text}");
}

#[test]
fn ru_12_private_schemes_only_from_the_list_and_for_public_clients() {
    assert!(read(&json!({ "redirect_uris": ["cursor://cb"] })).is_ok());
    assert_eq!(
        code(&json!({ "redirect_uris": ["other://cb"] })),
        ErrorCode::InvalidRedirectUri
    );
    let confidential =
        json!({ "redirect_uris": ["cursor://cb"], "token_endpoint_auth_method": "client_secret_basic" });
    assert_eq!(code(&confidential), ErrorCode::InvalidRedirectUri);
}

#[test]
fn dc_03_privileges_are_not_for_the_asking() {
    let echo = registered(&json!({
        "redirect_uris": ["https://c.test/cb"], "scope": "admin mcp", "client_id": "root",
        "client_secret": "mine", "registration_access_token": "mine", "role": "admin", "require_consent": false,
        "grant_types": ["authorization_code", "client_credentials"],
    }));
    assert_eq!(echo.get("scope"), Some(&json!("mcp")));
    assert_eq!(echo.get("client_id"), Some(&json!("id")));
    assert_eq!(echo.get("grant_types"), Some(&json!(["authorization_code"])));
    assert!(!echo.contains_key("client_secret") && !echo.contains_key("registration_access_token"));
    let credentials =
        json!({ "redirect_uris": ["https://c.test/cb"], "grant_types": ["client_credentials"] });
    assert_eq!(code(&credentials), ErrorCode::InvalidClientMetadata);
}

#[test]
fn scopes_that_nobody_knows_leave_the_default() {
    for scope in ["openid email profile", "", "mcp offline_access"] {
        let echo = registered(&json!({ "redirect_uris": ["https://c.test/cb"], "scope": scope }));
        assert_eq!(echo.get("scope"), Some(&json!("mcp")), "{scope}");
    }
}

#[test]
fn dc_11_software_statements_are_refused() {
    let body =
        json!({ "redirect_uris": ["https://c.test/cb"], "software_statement": "eyJhbGciOiJub25lIn0.e30." });
    assert_eq!(code(&body), ErrorCode::UnapprovedSoftwareStatement);
}

#[test]
fn wrong_types_are_named() {
    for member in [
        "token_endpoint_auth_method",
        "grant_types",
        "response_types",
        "scope",
        "client_name",
    ] {
        let mut body = json!({ "redirect_uris": ["https://c.test/cb"] });
        body[member] = json!({ "a": 1 });
        assert_eq!(code(&body), ErrorCode::InvalidClientMetadata, "{member}");
    }
    for body in ["[]", "null", "\"x\"", "{", ""] {
        let schemes = [];
        let scopes = ScopeSet::parse("mcp");
        let policy = Policy {
            private_schemes: &schemes,
            scopes: &scopes,
            is_operator: false,
        };
        assert!(
            matches!(
                Registration::read(body.as_bytes(), policy),
                Err(RegistrationError::Form)
            ),
            "{body}"
        );
    }
}

#[test]
fn grants_are_looked_up_in_what_was_answered() {
    let one = read(&json!({ "redirect_uris": ["https://c.test/cb"], "grant_types": ["authorization_code"] }))
        .unwrap();
    let client = one.into_client(ClientId::new("id"), None, Timestamp::EPOCH);
    assert!(allows_grant(&client, "authorization_code"));
    assert!(!allows_grant(&client, "refresh_token"));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(body in "\\PC{0,200}") {
        let scopes = ScopeSet::parse("mcp");
        let _ = Registration::read(body.as_bytes(), Policy { private_schemes: &[], scopes: &scopes, is_operator: false });
    }
}

#[test]
fn the_operator_may_register_clients_that_nobody_logs_in_with() {
    let scopes = ScopeSet::parse("mcp");
    let read = |body: &Value, is_operator| {
        let policy = Policy {
            private_schemes: &[],
            scopes: &scopes,
            is_operator,
        };
        Registration::read(body.to_string().as_bytes(), policy)
    };
    let body =
        json!({ "token_endpoint_auth_method": "client_secret_basic", "sallyport_introspects": ["/mcp"] });
    assert_eq!(read(&body, false).map(|_| ()), Err(RegistrationError::Redirects));
    let client = read(&body, true)
        .unwrap()
        .into_client(ClientId::new("id"), None, Timestamp::EPOCH);
    assert!(may_introspect(&client, "/mcp") && !may_introspect(&client, "/mcp/team"));
    assert!(!allows_grant(&client, "authorization_code"));
    let body = json!({
        "token_endpoint_auth_method": "client_secret_post", "grant_types": ["client_credentials"],
        "sallyport_resources": ["/mcp"],
    });
    let client = read(&body, true)
        .unwrap()
        .into_client(ClientId::new("id"), None, Timestamp::EPOCH);
    assert!(crate::own_name::is_allowed(&client));
    let public = json!({ "grant_types": ["client_credentials"] });
    let refused = read(&public, true).map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidClientMetadata);
    let body = json!({ "redirect_uris": ["https://c.test/cb"], "sallyport_introspects": ["/mcp"] });
    let client = read(&body, false)
        .unwrap()
        .into_client(ClientId::new("id"), None, Timestamp::EPOCH);
    assert!(!may_introspect(&client, "/mcp"));
}

use serde_json::json;

use super::*;

const ISSUER: &str = "https://h";
const ENDPOINT: &str = "https://h/mcp";
const CHALLENGE: &str =
    "Bearer resource_metadata=\"https://h/.well-known/oauth-protected-resource/mcp\", scope=\"mcp\"";

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    Reply {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.to_owned().into(),
        ..Reply::default()
    }
}

fn verdict<T: std::fmt::Debug>(judged: Result<T, Ill>) -> &'static str {
    match judged {
        Ok(_) => "ok",
        Err(ill) => {
            assert!(!ill.text.is_empty() && !ill.mend.is_empty(), "{ill:?}");
            ill.verdict
        }
    }
}

#[test]
fn first_answers_and_their_verdicts() {
    for (status, headers, expected) in [
        (401, vec![("WWW-Authenticate", CHALLENGE)], "ok"),
        (
            401,
            vec![
                ("www-authenticate", "Basic realm=x"),
                ("www-authenticate", CHALLENGE),
            ],
            "ok",
        ),
        (401, vec![], "challenge-missing"),
        (
            401,
            vec![("www-authenticate", "Basic realm=\"proxy\"")],
            "challenge-foreign",
        ),
        (200, vec![], "no-challenge"),
        (301, vec![("location", "https://h/mcp/")], "redirected"),
        (307, vec![], "redirected"),
        (400, vec![], "no-challenge"),
        (403, vec![("server", "cloudflare")], "blocked"),
        (404, vec![], "not-routed"),
        (405, vec![], "method-refused"),
        (421, vec![], "host-not-served"),
        (429, vec![], "throttled"),
        (500, vec![], "server-error"),
        (502, vec![], "gateway-not-behind"),
        (522, vec![], "gateway-not-behind"),
    ] {
        let judged = challenged("POST /mcp", &reply(status, &headers, ""));
        assert_eq!(verdict(judged), expected, "{status} {headers:?}");
    }
}

#[test]
fn a_token_that_arrives_is_called_a_bad_one() {
    let bad = "Bearer error=\"invalid_token\", scope=\"mcp\"";
    for (challenge, expected) in [(bad, "ok"), (CHALLENGE, "authorization-dropped")] {
        let judged = token_arrives("POST /mcp", &reply(401, &[("www-authenticate", challenge)], ""));
        assert_eq!(verdict(judged), expected);
    }
}

#[test]
fn documents_and_their_verdicts() {
    for (status, body, expected) in [
        (200, "{}", "ok"),
        (200, "<html>", "document-is-no-json"),
        (200, "[]", "document-is-no-json"),
        (302, "", "redirected"),
        (401, "", "document-behind-login"),
        (403, "", "blocked"),
        (404, "", "document-missing"),
        (410, "", "document-missing"),
        (503, "", "gateway-not-behind"),
    ] {
        let judged = document("/.well-known/x", &reply(status, &[], body));
        assert_eq!(verdict(judged), expected, "{status} {body}");
    }
}

#[test]
fn the_resource_is_the_url_byte_for_byte() {
    for (told, servers, expected) in [
        (ENDPOINT, json!([ISSUER]), "ok"),
        (ENDPOINT, json!(["https://other", ISSUER]), "ok"),
        ("https://h/mcp/", json!([ISSUER]), "resource-differs"),
        ("http://h/mcp", json!([ISSUER]), "resource-differs"),
        (ENDPOINT, json!(["https://h/"]), "issuer-differs"),
        (ENDPOINT, json!([]), "issuer-differs"),
    ] {
        let document = json!({ "resource": told, "authorization_servers": servers });
        assert_eq!(
            verdict(resource(&document, ENDPOINT, ISSUER)),
            expected,
            "{document}"
        );
    }
    let slash = resource(&json!({ "resource": "https://h/mcp/" }), ENDPOINT, ISSUER).unwrap_err();
    assert!(slash.text.contains("slash"), "{slash:?}");
}

#[test]
fn what_the_servers_document_has_to_say() {
    let good = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://h/authorize",
        "token_endpoint": "https://h/token",
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
    });
    let found = server(&good, ISSUER).unwrap();
    assert_eq!(
        (found.authorize.as_str(), found.token.as_str()),
        ("/authorize", "/token")
    );
    assert!(!found.takes_documents && found.register.is_none());
    for (member, value, expected) in [
        ("issuer", json!("https://h/"), "issuer-differs"),
        ("issuer", json!(null), "issuer-differs"),
        ("token_endpoint", json!("http://h/token"), "endpoint-elsewhere"),
        (
            "authorization_endpoint",
            json!("https://hh/authorize"),
            "endpoint-elsewhere",
        ),
        (
            "authorization_endpoint",
            json!("https://h.evil/authorize"),
            "endpoint-elsewhere",
        ),
        (
            "registration_endpoint",
            json!("https://i/register"),
            "endpoint-elsewhere",
        ),
        ("registration_endpoint", json!("https://h/register"), "ok"),
        (
            "code_challenge_methods_supported",
            json!(["plain"]),
            "pkce-untold",
        ),
        (
            "token_endpoint_auth_methods_supported",
            json!([]),
            "public-clients-untold",
        ),
    ] {
        let mut document = good.clone();
        document[member] = value;
        assert_eq!(verdict(server(&document, ISSUER)), expected, "{document}");
    }
}

#[test]
fn registrations_and_their_verdicts() {
    for (status, body, expected) in [
        (201, r#"{"client_id":"a"}"#, "ok"),
        (201, "{}", "registration-refused"),
        (200, "<html>", "registration-refused"),
        (400, r#"{"error":"invalid_redirect_uri"}"#, "registration-refused"),
        (403, "{}", "blocked"),
        (429, "{}", "throttled"),
        (308, "", "redirected"),
    ] {
        assert_eq!(
            verdict(registered(&reply(status, &[], body))),
            expected,
            "{status}"
        );
    }
}

#[test]
fn where_an_authorization_request_leads() {
    let redirect = "http://127.0.0.1:1/cb";
    for (status, to, expected) in [
        (303, "https://h/login?x=1", "ok"),
        (302, "/login", "ok"),
        (303, "/consent?x", "ok"),
        (
            303,
            "http://127.0.0.1:1/cb?error=invalid_target&state=x",
            "authorization-refused",
        ),
        (302, "https://sso.test/", "redirected"),
        (400, "", "authorization-refused"),
        (404, "", "authorization-refused"),
        (502, "", "gateway-not-behind"),
    ] {
        let judged = asked(&reply(status, &[("location", to)], ""), ISSUER, redirect);
        assert_eq!(verdict(judged), expected, "{status} {to}");
    }
    let refused = asked(
        &reply(
            303,
            &[("location", "http://127.0.0.1:1/cb?error=invalid_target")],
            "",
        ),
        ISSUER,
        redirect,
    );
    assert!(refused.unwrap_err().text.contains("invalid_target"));
}

#[test]
fn pages_are_for_people() {
    let html = [("content-type", "text/html; charset=utf-8")];
    assert_eq!(verdict(page("/login", &reply(200, &html, ""))), "ok");
    assert_eq!(verdict(page("/login", &reply(200, &[], ""))), "page-missing");
    assert_eq!(verdict(page("/login", &reply(302, &html, ""))), "redirected");
    assert_eq!(verdict(page("/login", &reply(403, &html, ""))), "blocked");
}

#[test]
fn errors_of_the_token_endpoint_have_the_form_that_clients_act_on() {
    let error = |code: &str| json!({ "error": code }).to_string();
    let kept = [("cache-control", "no-store")];
    for (status, headers, body, expected) in [
        (400, &kept[..], error("invalid_grant"), "ok"),
        (400, &[], error("invalid_grant"), "token-may-be-cached"),
        (400, &kept, error("invalid_request"), "error-has-wrong-form"),
        (400, &kept, "<html>".to_owned(), "error-has-wrong-form"),
        (200, &kept, "<html>".to_owned(), "error-has-wrong-form"),
        (401, &kept, error("invalid_client"), "client-forgotten"),
        (401, &kept, String::new(), "error-has-wrong-form"),
        (302, &kept, String::new(), "redirected"),
        (403, &kept, String::new(), "blocked"),
        (500, &kept, String::new(), "server-error"),
    ] {
        let judged = invalid_grant(&reply(status, headers, &body));
        assert_eq!(verdict(judged), expected, "{status} {body}");
    }
}

#[test]
fn preflights_allow_the_page_and_its_headers_once() {
    let page = "https://app.test";
    let origin = ("access-control-allow-origin", page);
    let headers = ("access-control-allow-headers", "Authorization, content-type");
    for (status, all, expected) in [
        (204, vec![origin, headers], "ok"),
        (200, vec![("access-control-allow-origin", "*"), headers], "ok"),
        (204, vec![origin, origin, headers], "preflight-refused"),
        (204, vec![headers], "preflight-refused"),
        (204, vec![origin], "preflight-refused"),
        (401, vec![origin, headers], "preflight-refused"),
        (301, vec![], "redirected"),
    ] {
        let judged = preflight(
            "/mcp",
            &reply(status, &all, ""),
            page,
            &["authorization", "content-type"],
        );
        assert_eq!(verdict(judged), expected, "{status} {all:?}");
    }
}

#[test]
fn the_query_of_a_redirect_is_not_shown() {
    let ill = challenged(
        "GET /mcp",
        &reply(302, &[("location", "https://sso.test/in?code=canary#canary")], ""),
    )
    .unwrap_err();
    assert!(
        ill.text.contains("https://sso.test/in") && !ill.text.contains("canary"),
        "{ill:?}"
    );
}

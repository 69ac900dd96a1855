use sallyport_core::ScopeSet;
use serde_json::json;

use super::*;

const URL: &str = "https://app.test/oauth/client.json";

fn id(text: &str) -> ClientId {
    ClientId::new(text)
}

#[test]
fn cm_01_urls_that_are_no_client_id() {
    for good in [
        URL,
        "https://app.test/c",
        "https://app.test:8443/c.json",
        "https://app.test/c?v=1",
        "https://xn--bcher-kva.test/c",
    ] {
        assert!(is_document(&id(good)) && url(&id(good)).is_ok(), "{good}");
    }
    for bad in [
        "https://app.test",
        "https://app.test/",
        "https://app.test/c#x",
        "https://u@app.test/c",
        "https://u:p@app.test/c",
        "https://@app.test/c",
        "https://app.test/a/../c",
        "https://app.test/./c",
        "https://app.test/%2e%2e/c",
        "https://app.test:443/c",
        "https://APP.test/c",
        "https://app.test\\c",
        "https://app.test/c\t",
        "https:///app.test/c",
        "https://127.0.0.1/c",
        "https://2130706433/c",
        "https://[::1]/c",
        "https://bücher.test/c",
        "https://",
    ] {
        assert_eq!(url(&id(bad)), Err(DocumentError::Url), "{bad}");
    }
    for other in [
        "http://app.test/c",
        "HTTPS://app.test/c",
        "ftp://app.test/c",
        "abc",
        "",
    ] {
        assert!(!is_document(&id(other)) && url(&id(other)).is_err(), "{other}");
    }
    let long = |length: usize| format!("https://app.test/{}", "a".repeat(length - 17));
    assert!(url(&id(&long(MAX_URL))).is_ok());
    assert!(url(&id(&long(MAX_URL + 1))).is_err());
}

#[test]
fn cm_12_a_list_of_hosts_is_exact() {
    let hosts = ["good.test".to_owned(), "port.test:8443".to_owned()];
    let listed = |text: &str| is_listed(&Url::parse(text).unwrap(), &hosts);
    assert!(listed("https://good.test/c") && listed("https://GOOD.test/c"));
    assert!(listed("https://port.test:8443/c"));
    for bad in [
        "https://good.test.evil.test/c",
        "https://evilgood.test/c",
        "https://sub.good.test/c",
        "https://good.test./c",
        "https://good.test:8443/c",
        "https://port.test/c",
        "https://xn--bcher-kva.test/c",
        "https://evil.test/good.test",
    ] {
        assert!(!listed(bad), "{bad}");
    }
}

fn read_as(
    status: u16,
    media_type: &str,
    encoding: Option<&str>,
    body: &str,
) -> Result<Client, DocumentError> {
    let scopes = ScopeSet::parse("mcp");
    let policy = Policy {
        private_schemes: &[],
        scopes: &scopes,
        is_operator: false,
    };
    let answer = Answer {
        status,
        media_type,
        encoding,
        body: body.as_bytes(),
    };
    read(&id(URL), answer, policy, Timestamp::EPOCH)
}

fn document(changes: &Value) -> String {
    let mut document = json!({ "client_id": URL, "redirect_uris": ["http://localhost/callback"] });
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.to_string()
}

#[test]
fn a_document_is_a_public_client_under_its_url() {
    let body = document(&json!({ "client_name": "App", "grant_types": ["authorization_code"] }));
    for media in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/client+json",
    ] {
        let client = read_as(200, media, None, &body).unwrap();
        assert_eq!(client.id, id(URL));
        assert_eq!(client.auth_method, AuthMethod::None);
        assert_eq!(client.secret, None);
        assert_eq!(client.redirect_uris, ["http://localhost/callback"]);
    }
    assert!(read_as(200, "application/json", Some("identity"), &body).is_ok());
}

#[test]
fn cm_02_a_document_names_its_own_url() {
    for other in [
        "https://app.test/oauth/client.json/",
        "https://app.test/oauth/Client.json",
        "https://evil.test/oauth/client.json",
        "http://app.test/oauth/client.json",
        "",
    ] {
        let body = document(&json!({ "client_id": other }));
        assert_eq!(
            read_as(200, "application/json", None, &body),
            Err(DocumentError::Id),
            "{other}"
        );
    }
    let body = document(&json!({ "client_id": null }));
    assert_eq!(
        read_as(200, "application/json", None, &body),
        Err(DocumentError::Id)
    );
}

#[test]
fn cm_05_cm_07_answers_and_documents_that_do_not_count() {
    let good = document(&json!({}));
    for status in [201, 204, 301, 302, 304, 307, 404, 500] {
        let read = read_as(status, "application/json", None, &good);
        assert_eq!(read, Err(DocumentError::Status(status)));
    }
    for media in [
        "",
        "text/html",
        "text/json",
        "application/jsonp",
        "json",
        "image/svg+json",
    ] {
        assert_eq!(
            read_as(200, media, None, &good),
            Err(DocumentError::Type),
            "{media}"
        );
    }
    assert_eq!(
        read_as(200, "application/json", Some("gzip"), &good),
        Err(DocumentError::Type)
    );
    for changes in [
        json!({ "client_secret": "x" }),
        json!({ "client_secret_expires_at": 0 }),
        json!({ "token_endpoint_auth_method": "client_secret_basic" }),
        json!({ "token_endpoint_auth_method": "client_secret_post" }),
    ] {
        let read = read_as(200, "application/json", None, &document(&changes));
        assert_eq!(read, Err(DocumentError::Secret), "{changes}");
    }
    let twice = format!(
        "{{\"redirect_uris\":[\"https://evil.test/cb\"],{}",
        good.get(1..).unwrap()
    );
    let marked = format!("\u{feff}{good}");
    for body in [
        document(&json!({ "redirect_uris": null })),
        document(&json!({ "redirect_uris": ["javascript:alert(1)"] })),
        document(&json!({ "redirect_uris": ["cursor://cb"] })),
        document(&json!({ "token_endpoint_auth_method": "client_secret_jwt" })),
        document(&json!({ "token_endpoint_auth_method": "private_key_jwt" })),
        twice,
        marked,
        "[]".to_owned(),
        String::new(),
    ] {
        let read = read_as(200, "application/json", None, &body);
        assert!(matches!(read, Err(DocumentError::Registration(_))), "{body}");
    }
}

#[test]
fn cm_08_a_document_is_kept_as_long_as_it_says_within_bounds() {
    let life = |cache_control| lifetime(cache_control, None, None).as_secs();
    for (cache_control, seconds) in [
        (None, 3600),
        (Some(""), 3600),
        (Some("public"), 3600),
        (Some("max-age=600"), 600),
        (Some("public, Max-Age=600, must-revalidate"), 600),
        (Some("max-age=600, s-maxage=300"), 300),
        (Some("max-age=\"600\""), 600),
        (Some("max-age=1000000000"), 86_400),
        (Some("max-age=99999999999999999999"), 60),
        (Some("max-age=-1"), 60),
        (Some("max-age=0"), 60),
        (Some("no-store"), 60),
        (Some("no-cache, max-age=600"), 60),
    ] {
        assert_eq!(life(cache_control), seconds, "{cache_control:?}");
    }
    assert_eq!(lifetime(Some("max-age=600"), Some("100"), None).as_secs(), 500);
    assert_eq!(lifetime(Some("max-age=600"), Some("900"), None).as_secs(), 60);
    assert_eq!(lifetime(Some("max-age=600"), None, Some("*")).as_secs(), 60);
    assert_eq!(lifetime(Some("max-age=600"), None, Some("Accept")).as_secs(), 600);
}

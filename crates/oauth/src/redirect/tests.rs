use proptest::prelude::*;

use super::*;

fn schemes() -> Vec<String> {
    DEFAULT_PRIVATE_SCHEMES.iter().map(|s| (*s).to_owned()).collect()
}

fn judged(uri: &str) -> Result<RedirectKind, RedirectError> {
    classify(uri, &schemes())
}

#[test]
fn redirects_of_real_clients_are_accepted() {
    let cases = [
        ("http://127.0.0.1:33418/", RedirectKind::Loopback),
        ("http://127.0.0.1:33418", RedirectKind::Loopback),
        ("http://localhost:7777/oauth/callback", RedirectKind::Loopback),
        ("http://localhost/callback", RedirectKind::Loopback),
        ("http://[::1]:9/cb?x=1", RedirectKind::Loopback),
        ("https://claude.ai/api/mcp/auth_callback", RedirectKind::Https),
        ("https://vscode.dev/redirect", RedirectKind::Https),
        (
            "cursor://anysphere.cursor-retrieval/oauth/user-agent/callback",
            RedirectKind::PrivateUse,
        ),
        (
            "vscode://vscode.github-authentication/did-authenticate",
            RedirectKind::PrivateUse,
        ),
    ];
    for (uri, kind) in cases {
        assert_eq!(judged(uri), Ok(kind), "{uri}");
    }
}

#[test]
fn ru_05_dangerous_schemes_in_every_spelling() {
    let mut listed = schemes();
    listed.extend(["javascript".to_owned(), "data".to_owned(), "file".to_owned()]);
    for uri in [
        "JavaScript:alert(1)",
        "javascript://c.test/%0aalert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "blob:https://c.test/1",
        "file:///etc/passwd",
        "about:blank",
        "view-source:https://c.test",
        "intent://x#Intent;end",
        "unlisted://cb",
        "com.example.app:/cb",
    ] {
        assert!(judged(uri).is_err(), "{uri:?} was accepted");
        assert!(
            classify(uri, &listed).is_err(),
            "{uri:?} was accepted because it was listed"
        );
    }
}

#[test]
fn ru_02_ru_06_ru_07_ru_09_forms_that_are_never_registered() {
    let cases = [
        ("https://c.test/cb#x", RedirectError::Fragment),
        ("https://c.test/cb#", RedirectError::Fragment),
        ("http://c.test/cb", RedirectError::PlainHttp),
        ("http://10.0.0.5/cb", RedirectError::PlainHttp),
        ("http://127.0.0.2:1234/cb", RedirectError::PlainHttp),
        ("http://127.1/cb", RedirectError::PlainHttp),
        ("http://localhost.evil.test/cb", RedirectError::PlainHttp),
        ("http://LOCALHOST:1/cb", RedirectError::PlainHttp),
        ("http://127.0.0.1:0/cb", RedirectError::PlainHttp),
        ("http://localhost@evil.test/cb", RedirectError::UserInfo),
        ("https://c.test@evil.test", RedirectError::UserInfo),
        ("https://@evil.test/", RedirectError::UserInfo),
        ("https://c.test\\@evil.test", RedirectError::Form),
        ("https://bücher.test/cb", RedirectError::Form),
        ("https://", RedirectError::Form),
        ("https://c.test;script-src/cb", RedirectError::Form),
        ("https://*.test/cb", RedirectError::Form),
        ("https:c.test/cb", RedirectError::Form),
        ("/cb", RedirectError::Form),
        ("", RedirectError::Form),
    ];
    for (uri, error) in cases {
        assert_eq!(judged(uri), Err(error), "{uri}");
    }
}

#[test]
fn length_at_the_limit_and_past_it() {
    let base = "https://c.test/";
    let at = format!("{base}{}", "a".repeat(MAX_BYTES - base.len()));
    assert!(judged(&at).is_ok());
    assert_eq!(judged(&format!("{at}a")), Err(RedirectError::Form));
}

#[test]
fn ru_01_ru_09_comparison_is_of_strings() {
    let registered = vec!["https://c.test/cb".to_owned()];
    assert!(is_registered("https://c.test/cb", &registered));
    for other in [
        "https://c.test/cb/",
        "https://c.test/cb/x",
        "https://c.test/cb?x=1",
        "https://c.test/cb%2f..",
        "https://c.test/CB",
        "https://c.test/%63b",
        "https://c.test/a/../cb",
        "https://c.test//cb",
        "https://C.test/cb",
        "https://c.test:443/cb",
        "https://c.test:444/cb",
        "HTTPS://c.test/cb",
        "https://c.test.evil.test/cb",
        "https://c.test@evil.test/cb",
        "http://c.test/cb",
    ] {
        assert!(!is_registered(other, &registered), "{other}");
    }
}

#[test]
fn ru_03_only_the_port_of_a_loopback_uri_is_free() {
    let registered = vec![
        "http://127.0.0.1/cb".to_owned(),
        "http://localhost:7777/cb".to_owned(),
        "http://[::1]/cb".to_owned(),
    ];
    for same in [
        "http://127.0.0.1/cb",
        "http://127.0.0.1:1234/cb",
        "http://localhost:1/cb",
        "http://localhost/cb",
        "http://[::1]:65535/cb",
    ] {
        assert!(is_registered(same, &registered), "{same}");
    }
    for other in [
        "http://127.0.0.1:1234/other",
        "http://127.0.0.1:1234/cb/",
        "http://127.0.0.2:1234/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:12a/cb",
        "http://127.0.0.1:1234",
        "http://127.0.0.1.evil.test/cb",
        "http://127.0.0.1:1@evil.test/cb",
        "http://localhost.evil.test:1/cb",
        "https://127.0.0.1:1234/cb",
        "HTTP://127.0.0.1:1234/cb",
    ] {
        assert!(!is_registered(other, &registered), "{other}");
    }
    // The two names of one machine are not swapped: the request goes back to exactly where it came from.
    assert!(!is_registered(
        "http://localhost:1/cb",
        &["http://127.0.0.1/cb".to_owned()]
    ));
}

#[test]
fn the_page_names_and_admits_exactly_the_destination() {
    let cases = [
        (
            "http://127.0.0.1:18399/cb",
            "http://127.0.0.1:18399",
            "127.0.0.1:18399",
        ),
        ("http://localhost:1/", "http://localhost:1", "localhost:1"),
        ("http://[::1]:9/cb", "http:", "[::1]:9"),
        (
            "https://claude.ai/api/mcp/auth_callback",
            "https://claude.ai",
            "claude.ai",
        ),
        ("https://c.test:8443/cb;x", "https://c.test:8443", "c.test:8443"),
        ("cursor://a.b/cb?x=1", "cursor:", "cursor://a.b/cb"),
    ];
    for (uri, source, shown) in cases {
        assert_eq!(csp_source(uri).as_deref(), Some(source), "{uri}");
        assert_eq!(destination(uri), shown, "{uri}");
    }
}

#[test]
fn the_key_of_a_consent_leaves_out_a_loopback_port_only() {
    assert_eq!(without_port("http://127.0.0.1:4711/cb"), "http://127.0.0.1/cb");
    assert_eq!(without_port("https://c.test:4711/cb"), "https://c.test:4711/cb");
}

proptest! {
    #[test]
    fn any_text_is_judged_without_panic(uri in "\\PC{0,80}") {
        let _ = judged(&uri);
        let _ = csp_source(&uri);
        let _ = destination(&uri);
    }

    #[test]
    fn what_differs_in_more_than_a_loopback_port_never_matches(
        registered in "(https://[a-c]{1,2}\\.t|http://127\\.0\\.0\\.1(:[1-9]{1,3})?|http://localhost)/[a-c]{0,2}",
        requested in "(https://[a-c]{1,2}\\.t|http://127\\.0\\.0\\.1(:[1-9]{1,3})?|http://localhost)/[a-c]{0,2}",
    ) {
        let same = without_port(&registered) == without_port(&requested);
        prop_assert_eq!(is_registered(&requested, std::slice::from_ref(&registered)), same);
    }

    #[test]
    fn csp_sources_cannot_widen_the_policy(uri in "https://[a-z0-9.;, *'-]{1,30}/cb") {
        if judged(&uri).is_ok() {
            let source = csp_source(&uri).unwrap_or_default();
            let odd = |c: char| c.is_whitespace() || matches!(c, ';' | ',' | '\'' | '"' | '*');
            prop_assert!(!source.contains(odd), "{}", source);
        }
    }
}

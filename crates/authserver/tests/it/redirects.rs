//! Redirect URIs at both endpoints.

use serde_json::json;

use crate::world::{REDIRECT, World, authorize};

#[tokio::test]
async fn ru_01_ru_02_ru_09_no_variant_of_a_registered_uri_passes() {
    let world = World::settled().await;
    let client = world.client("https://c.test/cb").await;
    for variant in [
        "https://c.test/cb/",
        "https://c.test/cb/x",
        "https://c.test/cb?x=1",
        "https://c.test/cb%2f..",
        "https://c.test/CB",
        "https://c.test/%63b",
        "https://c.test/a/../cb",
        "https://c.test//cb",
        "https://C.test/cb",
        "https://c.test.evil.test/cb",
        "https://c.test@evil.test/cb",
        "https://c.test\\@evil.test",
        "https://c.test/cb#x",
        "http://c.test/cb",
    ] {
        assert!(
            world.get(&authorize(&client, variant, &[])).await.is_page(400),
            "{variant}"
        );
    }
    assert_eq!(
        world
            .get(&authorize(&client, "https://c.test/cb", &[]))
            .await
            .status,
        303
    );
}

#[tokio::test]
async fn ru_03_r8_only_the_port_of_loopback_is_free_and_the_request_is_answered_as_it_was() {
    let world = World::settled().await;
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let client = world.client(&format!("http://{host}:7/cb")).await;
        for port in ["", ":7", ":1234", ":65535"] {
            let uri = format!("http://{host}{port}/cb");
            let answer = world
                .get(&authorize(&client, &uri, &[("response_type", "token")]))
                .await;
            assert!(
                answer.header("location").starts_with(&format!("{uri}?error=")),
                "{uri}"
            );
        }
        for other in [
            "http://127.0.0.2:7/cb",
            "http://127.0.0.1:7/other",
            "http://localhost:7/cb/",
            "http://[::2]/cb",
        ] {
            assert!(
                world.get(&authorize(&client, other, &[])).await.is_page(400),
                "{host}: {other}"
            );
        }
    }
    let root = world.client("http://127.0.0.1:9/").await;
    assert_eq!(
        world
            .get(&authorize(&root, "http://127.0.0.1:4711/", &[]))
            .await
            .status,
        303
    );
}

#[tokio::test]
async fn ru_05_ru_06_ru_07_dangerous_and_plain_uris_are_refused_twice() {
    let world = World::with(|s| s.throttle.registrations.burst = 100).await;
    world.add_user("ada", true).await;
    let client = world.client(REDIRECT).await;
    for uri in [
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "blob:https://c.test/x",
        "file:///etc/passwd",
        "about:blank",
        "https://c.test/cb#x",
        "http://c.test/cb",
        "http://10.0.0.5/cb",
        "unlisted://cb",
    ] {
        let answer = world.register(&json!({ "redirect_uris": [uri] })).await;
        assert_eq!(answer.error(), (400, "invalid_redirect_uri".into()), "{uri}");
        assert!(
            world.get(&authorize(&client, uri, &[])).await.is_page(400),
            "{uri}"
        );
    }
}

#[tokio::test]
async fn ru_08_a_left_out_redirect_uri_is_a_page() {
    let world = World::settled().await;
    let answer = world
        .register(&json!({ "redirect_uris": ["https://c.test/a", "https://c.test/b"] }))
        .await;
    let several = answer.json()["client_id"].as_str().unwrap().to_owned();
    let one = world.client("https://c.test/a").await;
    for client in [several, one] {
        assert!(
            world
                .get(&authorize(&client, "", &[("redirect_uri", "")]))
                .await
                .is_page(400)
        );
    }
}

#[tokio::test]
async fn ru_12_a_scheme_may_be_shared_and_the_operator_may_take_it_away() {
    let world = World::settled().await;
    let uri = "cursor://anysphere.cursor-retrieval/oauth/callback";
    let first = world.client(uri).await;
    let second = world.client(uri).await;
    assert_ne!(first, second);
    assert_eq!(world.get(&authorize(&first, uri, &[])).await.status, 303);
    let mut settings = (**world.parts.settings.load()).clone();
    settings.private_schemes.clear();
    world.parts.settings.store(settings.into());
    assert!(world.get(&authorize(&first, uri, &[])).await.is_page(400));
    let answer = world.register(&json!({ "redirect_uris": [uri] })).await;
    assert_eq!(answer.error(), (400, "invalid_redirect_uri".into()));
}

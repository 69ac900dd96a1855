//! `/.well-known`, the front page and assets.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::world::{ISSUER, MCP, TEAM, World};

#[tokio::test]
async fn md_01_each_resource_has_its_document_and_unknown_ones_none() {
    let world = World::new().await;
    for (path, resource) in [
        ("", MCP),
        ("/mcp", MCP),
        ("/mcp/", MCP),
        ("/mcp/team", TEAM),
        ("/mcp/team/", TEAM),
    ] {
        let answer = world
            .get(&format!("/.well-known/oauth-protected-resource{path}"))
            .await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json()["resource"], json!(resource), "{path}");
        assert_eq!(answer.json()["authorization_servers"], json!([ISSUER]));
        assert_eq!(answer.json()["scopes_supported"], json!(["mcp"]));
    }
    for path in ["/mcp/nobody", "/other", "/mcp/team/x"] {
        let answer = world
            .get(&format!("/.well-known/oauth-protected-resource{path}"))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (404, "not found\n"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn r4_the_server_document_is_at_every_spelling_that_clients_try() {
    let world = World::new().await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/oauth-authorization-server/mcp/team",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.json()["issuer"], json!(ISSUER), "{path}");
    }
    for path in [
        "/.well-known/oauth-authorization-server/nobody",
        "/.well-known/openid-configuration/nobody",
        "/.well-known/nonsense",
        "/.well-known/a/b/c",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.header("content-type").starts_with("text/plain"), "{path}");
        assert!(answer.header("location").is_empty() && answer.header("www-authenticate").is_empty());
    }
}

#[tokio::test]
async fn md_02_the_host_header_changes_nothing() {
    let world = World::new().await;
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/",
    ] {
        let request = Request::get(path)
            .header("host", "evil.test")
            .header("x-forwarded-host", "evil.test")
            .header("x-forwarded-proto", "https")
            .header("mcp-protocol-version", "nonsense")
            .header("accept", "text/nonsense");
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("evil.test"), "{path}");
    }
}

#[tokio::test]
async fn md_09_what_the_document_names_is_served() {
    let world = World::new().await;
    let document = world.get("/.well-known/oauth-authorization-server").await.json();
    let path = |member: &str| {
        document[member]
            .as_str()
            .unwrap()
            .strip_prefix(ISSUER)
            .unwrap()
            .to_owned()
    };
    assert_eq!(world.get(&path("jwks_uri")).await.status, 200);
    assert_eq!(world.get(&path("authorization_endpoint")).await.status, 400);
    assert_eq!(world.get(&path("token_endpoint")).await.status, 405);
    assert_eq!(world.get(&path("registration_endpoint")).await.status, 405);
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(
        document["authorization_response_iss_parameter_supported"],
        json!(true)
    );
    assert_eq!(world.get(&path("revocation_endpoint")).await.status, 405);
    assert_eq!(world.get(&path("introspection_endpoint")).await.status, 405);
    let pushing = path("pushed_authorization_request_endpoint");
    assert_eq!(world.get(&pushing).await.status, 405);
    let devices = path("device_authorization_endpoint");
    assert_eq!(world.get(&devices).await.status, 405);
    let endpoints = document
        .as_object()
        .unwrap()
        .keys()
        .filter(|k| k.ends_with("_endpoint"))
        .count();
    assert_eq!(endpoints, 7);
}

#[tokio::test]
async fn md_09_a_closed_registration_is_not_advertised() {
    let world = World::with(|settings| settings.dynamic_registration = false).await;
    let document = world.get("/.well-known/oauth-authorization-server").await.json();
    assert!(document.get("registration_endpoint").is_none());
    let answer = world
        .register(&json!({ "redirect_uris": ["http://127.0.0.1/"] }))
        .await;
    assert_eq!(answer.error(), (403, "access_denied".into()));
}

#[tokio::test]
async fn keys_and_contact_are_published() {
    let world = World::with(|settings| settings.security_contact = Some("mailto:sec@c.test".into())).await;
    let keys = world.get("/.well-known/jwks.json").await.json();
    assert_eq!(keys["keys"][0]["alg"], json!("ES256"));
    assert!(keys["keys"][0].get("d").is_none());
    let contact = world.get("/.well-known/security.txt").await;
    assert!(
        contact
            .body
            .starts_with("Contact: mailto:sec@c.test\nExpires: 20"),
        "{}",
        contact.body
    );
    assert!(contact.body.contains("Z\nCanonical: "), "{}", contact.body);
}

#[tokio::test]
async fn az_05_no_endpoint_of_a_browser_answers_other_origins() {
    let world = World::new().await;
    for path in ["/authorize", "/login", "/consent", "/setup", "/"] {
        let request = Request::options(path)
            .header("origin", "https://evil.test")
            .header("access-control-request-method", "POST");
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(
            !answer
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_front_page_tells_the_address_and_who_is_there() {
    let world = World::new().await;
    let page = world.get("/").await;
    assert!(
        page.body.contains(MCP) && page.body.contains("no account yet"),
        "{page:?}"
    );
    world.add_user("ada", true).await;
    let page = world.get("/").await;
    assert!(page.body.contains("not signed in") && !page.body.contains(TEAM));
    let mut browser = crate::browser::Browser::of_ada(&world).await;
    let page = browser.open(&world, "/").await;
    assert!(page.body.contains("ada") && page.body.contains(TEAM));
}

#[tokio::test]
async fn assets_are_served_here_and_fresh() {
    let world = World::new().await;
    let style = world.get("/assets/style.css").await;
    assert!(style.header("content-type").starts_with("text/css"));
    let again = Request::get("/assets/style.css").header("if-none-match", style.header("etag"));
    assert_eq!(world.send(again.body(Body::empty()).unwrap()).await.status, 304);
    assert_eq!(
        world.get("/assets/mark.svg").await.header("content-type"),
        "image/svg+xml"
    );
    assert!(world.get("/nothing").await.is_page(404));
}

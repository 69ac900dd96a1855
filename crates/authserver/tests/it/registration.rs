//! `/register`.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use sallyport_core::audit::{Action, Outcome};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn r7_what_is_sent_is_echoed_and_the_default_is_a_public_client() {
    let world = World::new().await;
    let answer = world
        .register(&json!({
            "redirect_uris": ["http://127.0.0.1:1/"], "client_name": "Qwen", "application_type": "native",
            "client_uri": "https://c.test", "software_id": "s", "code_challenge_method": ["S256"],
        }))
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("cache-control"), "no-store");
    let echo = answer.json();
    assert_eq!(echo["token_endpoint_auth_method"], json!("none"));
    assert_eq!(echo["code_challenge_method"], json!(["S256"]));
    assert!(echo.get("client_secret").is_none());
    assert_eq!(world.recorded(Action::ClientRegister, Outcome::Ok), 1);
}

#[tokio::test]
async fn dc_01_a_flood_is_stopped_and_passes() {
    let world = World::new().await;
    let body = json!({ "redirect_uris": ["http://127.0.0.1/"] });
    for n in 0..20 {
        assert_eq!(world.register(&body).await.status, 201, "{n}");
    }
    let refused = world.register(&body).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "6");
    let elsewhere = Request::post("/register")
        .body(Body::from(body.to_string()))
        .unwrap();
    assert_eq!(
        world
            .send_from("192.0.2.7".parse().unwrap(), elsewhere)
            .await
            .status,
        201
    );
    world.pass(Duration::from_secs(6));
    assert_eq!(world.register(&body).await.status, 201);
    assert_eq!(world.register(&body).await.status, 429);
}

#[tokio::test]
async fn dc_01_rows_are_bounded_and_unused_clients_expire() {
    let world = World::with(|settings| settings.max_clients = 5).await;
    let body = json!({ "redirect_uris": ["http://127.0.0.1/"] });
    for _ in 0..5 {
        assert_eq!(world.register(&body).await.status, 201);
    }
    let full = world.register(&body).await;
    assert_eq!(full.error(), (503, "temporarily_unavailable".into()));
    world.pass(Duration::from_secs(2 * 3600));
    assert_eq!(world.register(&body).await.status, 201);
    assert_eq!(world.store.count_clients().await.unwrap(), 1);
}

#[tokio::test]
async fn dc_02_bad_redirect_lists() {
    let world = World::with(|s| s.throttle.registrations.burst = 100).await;
    for uris in [
        json!([]),
        json!(vec!["http://127.0.0.1/"; 1000]),
        json!([1]),
        json!(["javascript:alert(1)"]),
    ] {
        let answer = world.register(&json!({ "redirect_uris": uris })).await;
        assert_eq!(answer.error(), (400, "invalid_redirect_uri".into()));
    }
    assert_eq!(world.store.count_clients().await.unwrap(), 0);
}

#[tokio::test]
async fn dc_03_dc_11_privileges_and_statements() {
    let world = World::new().await;
    let answer = world
        .register(&json!({ "redirect_uris": ["https://c.test/cb"], "scope": "admin", "client_id": "root", "role": "admin" }))
        .await;
    assert_eq!(answer.json()["scope"], json!("mcp"));
    assert_ne!(answer.json()["client_id"], json!("root"));
    let answer = world
        .register(&json!({ "redirect_uris": ["https://c.test/cb"], "software_statement": "e30.e30." }))
        .await;
    assert_eq!(answer.error(), (400, "unapproved_software_statement".into()));
}

#[tokio::test]
async fn broken_and_oversized_registrations() {
    let world = World::new().await;
    let send = async |body: String| {
        let request = Request::post("/register").header("content-type", "application/json");
        world.send(request.body(Body::from(body)).unwrap()).await.error()
    };
    for body in ["", "{", "[]", "null"] {
        assert_eq!(
            send(body.into()).await,
            (400, "invalid_client_metadata".into()),
            "{body}"
        );
    }
    let at = |size: usize| {
        let frame = json!({ "redirect_uris": ["http://127.0.0.1/"], "x": "" }).to_string();
        json!({ "redirect_uris": ["http://127.0.0.1/"], "x": "a".repeat(size - frame.len()) }).to_string()
    };
    assert_eq!(at(32 * 1024).len(), 32 * 1024);
    assert_eq!(send(at(32 * 1024)).await.0, 201);
    assert_eq!(
        send(at(32 * 1024 + 1)).await,
        (400, "invalid_client_metadata".into())
    );
}

#[tokio::test]
async fn nothing_is_registered_that_cannot_be_recorded() {
    let world = World::new().await;
    world.break_audit(true);
    let answer = world
        .register(&json!({ "redirect_uris": ["http://127.0.0.1/"] }))
        .await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(world.store.count_clients().await.unwrap(), 0);
}

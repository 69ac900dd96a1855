//! Who may use the token endpoint, and for which grants.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::browser::{redeem, refresh};
use crate::token::{code_of, confidential};
use crate::world::{REDIRECT, VERIFIER, World};

#[tokio::test]
async fn tk_05_tk_06_tk_07_clients_with_a_secret() {
    let world = World::with(|s| s.throttle.registrations.burst = 100).await;
    world.add_user("ada", true).await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let (client, secret, header) = confidential(&world, method).await;
        let form = |code: &str, more: &[(&'static str, &str)]| -> Vec<(String, String)> {
            let base = [
                ("grant_type", "authorization_code"),
                ("code", code),
                ("code_verifier", VERIFIER),
            ];
            base.iter()
                .chain(more)
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect()
        };
        let send = async |fields: Vec<(String, String)>, basic: Option<&str>| {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            world.form_as("/token", &fields, basic).await
        };
        let code = code_of(&world, &client).await;
        let bad = format!("Basic {}", STANDARD.encode(format!("{client}:bad")));
        let wrong = send(form(&code, &[]), Some(&bad)).await;
        assert_eq!(wrong.error(), (401, "invalid_client".into()));
        assert!(wrong.header("www-authenticate").starts_with("Basic "));
        let posted = send(
            form(&code, &[("client_id", &client), ("client_secret", "bad")]),
            None,
        )
        .await;
        assert_eq!(posted.error(), (401, "invalid_client".into()));
        assert!(posted.header("www-authenticate").is_empty());
        let public = send(form(&code, &[("client_id", &client)]), None).await;
        assert_eq!(public.error(), (401, "invalid_client".into()));
        let both = send(
            form(&code, &[("client_id", &client), ("client_secret", &secret)]),
            Some(&header),
        )
        .await;
        assert_eq!(both.error(), (400, "invalid_request".into()));
        // None of them has used the code up; the client's id may stand in the form besides.
        assert_eq!(
            send(form(&code, &[("client_id", &client)]), Some(&header))
                .await
                .status,
            200
        );
        let code = code_of(&world, &client).await;
        let by_post = send(
            form(&code, &[("client_id", &client), ("client_secret", &secret)]),
            None,
        )
        .await;
        assert_eq!(by_post.status, 200);
    }
}

#[tokio::test]
async fn tk_05_guessing_is_throttled() {
    let world = World::with(|s| s.throttle.token_failures.burst = 3).await;
    world.add_user("ada", true).await;
    for _ in 0..3 {
        assert_eq!(
            refresh(&world, "nobody", "x", &[]).await.error(),
            (401, "invalid_client".into())
        );
    }
    let refused = refresh(&world, "nobody", "x", &[]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "1");
    world.pass(Duration::from_secs(1));
    assert_eq!(refresh(&world, "nobody", "x", &[]).await.status, 401);
}

#[tokio::test]
async fn tk_09_tk_10_other_grant_types() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    for (grant_type, error) in [
        ("password", "unsupported_grant_type"),
        ("implicit", "unsupported_grant_type"),
        ("unknown", "unsupported_grant_type"),
        ("", "unsupported_grant_type"),
        ("client_credentials", "unauthorized_client"),
    ] {
        let answer = world
            .form("/token", &[("grant_type", grant_type), ("client_id", &client)])
            .await;
        assert_eq!(answer.error(), (400, error.into()), "{grant_type}");
    }
    let body = json!({ "redirect_uris": [REDIRECT], "grant_types": ["authorization_code"] });
    let client = world.register(&body).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let code = code_of(&world, &client).await;
    let tokens = redeem(&world, &client, &code, REDIRECT, &[]).await.json();
    assert!(tokens.get("refresh_token").is_none());
}

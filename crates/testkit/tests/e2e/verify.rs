//! `/verify`: other proxies ask about each request that they have got.

mod installed;

use std::time::Duration;

use anyhow::Context as _;
use sallyport_testkit::http::{Answer, Request};
use serde_json::Value;

use crate::support::{Scene, within};

/// What a caller would like the backend to believe.
pub(crate) const FORGED: [(&str, &str); 6] = [
    ("X-User-Id", "root"),
    ("x-user-id", "root"),
    ("X-User-Name", "root"),
    ("X-Client-Id", "root"),
    ("X-Scope", "everything"),
    ("X-USER-NAME", "root"),
];

/// Two profiles, the second for bob alone.
const PROFILES: &str = "servers: {}\nprofiles:\n  default: { servers: [\"*\"] }\n  \
                        team: { servers: [\"*\"], users: { allow: [bob] } }\n";

async fn ask(scene: &Scene, request: &Request) -> anyhow::Result<Answer> {
    scene.gateway.connect().await?.ask(request).await
}

/// The id that the gateway has for a person.
async fn id_of(scene: &Scene, name: &str) -> anyhow::Result<String> {
    let listed = scene.gateway.run(&["-o", "json", "user", "list"], "").await?;
    let listed: Value = serde_json::from_str(&listed)?;
    let users = listed.as_array().context("a list")?;
    let found = users
        .iter()
        .find(|user| user.get("name").and_then(Value::as_str) == Some(name));
    let id = found.and_then(|user| user.get("id")?.as_str()).context("an id")?;
    Ok(id.to_owned())
}

/// A token of bob for the profile `team`, once the running gateway knows him.
async fn bob(scene: &Scene) -> anyhow::Result<String> {
    scene.gateway.add_user("bob", false).await?;
    let token = scene.token_for("bob", "team").await?;
    let known = async || {
        let asked = Request::get("/verify?profile=team").bearer(&token);
        Ok(ask(scene, &asked).await?.status() == 200)
    };
    within(Duration::from_secs(1), known).await?;
    Ok(token)
}

fn challenge(answer: &Answer) -> &str {
    answer.header("www-authenticate").unwrap_or_default()
}

#[tokio::test]
async fn ad_06_the_answer_says_who_calls_whatever_the_caller_says() {
    let scene = Scene::demo().await.unwrap();
    let id = id_of(&scene, "ada").await.unwrap();
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
        let mut request = Request::new(method, "/verify").bearer(&scene.token);
        for (name, value) in FORGED {
            request = request.header(name, value);
        }
        // A page of another site, behind another name: that is the other site's business.
        request = request
            .header("Host", "app.example.com")
            .header("Origin", "https://app.example.com")
            .header("Connection", "close");
        let head = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .begin(&request)
            .await
            .unwrap();
        assert_eq!(head.status, 200, "{method}");
        for (name, value) in [
            ("x-user-id", id.as_str()),
            ("x-user-name", "ada"),
            ("x-client-id", "sallyport-cli"),
            ("x-scope", "mcp"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(head.all(name).collect::<Vec<_>>(), [value], "{method} {name}");
        }
    }
}

#[tokio::test]
async fn without_a_good_token_the_proxy_gets_the_challenge() {
    let scene = Scene::with(PROFILES, Vec::new()).await.unwrap();
    let bob = bob(&scene).await.unwrap();
    let ada = scene.token_for("ada", "team").await.unwrap();
    let metadata = |path: &str| {
        let origin = scene.gateway.origin();
        format!("resource_metadata=\"{origin}/.well-known/oauth-protected-resource{path}\"")
    };
    let default = metadata("/mcp/default");
    let team = metadata("/mcp/team");
    for (request, status, parts) in [
        (Request::get("/verify"), 401, [default.as_str(), "scope=\"mcp\""]),
        (
            Request::get("/verify").bearer("x"),
            401,
            [&default, "invalid_token"],
        ),
        (
            Request::get("/verify").bearer(&bob),
            401,
            [&default, "invalid_token"],
        ),
        // nginx takes 400 for a failure of ours.
        (
            Request::get("/verify").bearer(&scene.token).bearer(&scene.token),
            401,
            [&default, "invalid_request"],
        ),
        (
            Request::get("/verify?profile=team").bearer(&scene.token),
            401,
            [&team, "invalid_token"],
        ),
        (Request::get("/verify?profile=team").bearer(&ada), 403, ["", ""]),
        (Request::get("/verify?profile=nobody").bearer(&bob), 403, ["", ""]),
        (
            Request::get("/verify?profile=team&profile=team").bearer(&bob),
            403,
            ["", ""],
        ),
        (Request::get("/verify?profile=team").bearer(&bob), 200, ["", ""]),
    ] {
        let answer = ask(&scene, &request).await.unwrap();
        assert_eq!(answer.status(), status, "{request:?}");
        for part in parts {
            assert!(
                challenge(&answer).contains(part),
                "{part}: {}",
                challenge(&answer)
            );
        }
        if status != 200 {
            assert!(answer.header("x-user-id").is_none(), "{request:?}");
        }
    }
}

#[tokio::test]
async fn ad_06_only_a_trusted_proxy_names_the_address_and_the_operator_has_the_last_word() {
    let asked = |token: &str, target: &str, header: (&str, &str)| {
        Request::get(target).bearer(token).header(header.0, header.1)
    };
    for (trusted, statuses) in [("trusted_proxies: [127.0.0.1]\n", [200, 401]), ("", [401, 200])] {
        let scene = Scene::with(&format!("{trusted}{PROFILES}"), Vec::new())
            .await
            .unwrap();
        let team = bob(&scene).await.unwrap();
        let status = async |request: Request| ask(&scene, &request).await.unwrap().status();
        for header in ["X-Forwarded-Uri", "X-Original-URI"] {
            for address in ["/mcp/team", "/mcp/team/?x=/mcp", "/mcp/team/sse", "/mcp/team/ws"] {
                let both = [
                    status(asked(&team, "/verify", (header, address))).await,
                    status(asked(&scene.token, "/verify", (header, address))).await,
                ];
                assert_eq!(both, statuses, "{trusted} {header} {address}");
            }
            // Elsewhere the default profile holds.
            assert_eq!(
                status(asked(&scene.token, "/verify", (header, "/app"))).await,
                200
            );
            // The caller chooses the address, the operator the profile.
            let named = asked(&scene.token, "/verify?profile=team", (header, "/mcp"));
            assert_eq!(status(named).await, 401);
        }
        if !trusted.is_empty() {
            for odd in [
                "/mcp/%74eam",
                "//mcp/team",
                "/app/../mcp/team",
                "/mcp/nobody",
                "/MCP/team",
            ] {
                let asked = asked(&scene.token, "/verify", ("X-Forwarded-Uri", odd));
                assert_eq!(status(asked).await, 403, "{odd}");
            }
            let twice =
                asked(&scene.token, "/verify", ("X-Forwarded-Uri", "/app")).header("X-Original-URI", "/app");
            assert_eq!(status(twice).await, 403);
        }
    }
}

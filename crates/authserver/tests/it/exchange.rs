//! Clients that exchange tokens (RFC 8693).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::capability::TokenError;
use sallyport_core::policy::{Glob, Selection};
use sallyport_core::{ClientId, ScopeSet};
use sallyport_oauth::exchange::{ACCESS_TOKEN, GRANT_TYPE};
use sallyport_oauth::registration::{Policy, Registration};
use sallyport_store::Maker;
use serde_json::{Value, json};

use crate::browser::{Browser, redeem};
use crate::world::{Answer, MCP, TEAM, WEB_REDIRECT, World, authorize};

/// A client that the operator has registered for `grants` at `paths`, and its `Authorization` header.
async fn made(world: &World, id: &str, grants: &[&str], paths: &[&str]) -> String {
    let secret = registered(world, (id, "client_secret_basic"), grants, paths).await;
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// The same, by the way in which it authenticates; its secret.
pub(crate) async fn registered(
    world: &World,
    (id, method): (&str, &str),
    grants: &[&str],
    paths: &[&str],
) -> String {
    let (secret, digest) =
        sallyport_authserver::credentials::client_secret(&*world.parts.derive, &*world.parts.random);
    let body = json!({
        "client_name": id, "token_endpoint_auth_method": method,
        "grant_types": grants, "sallyport_resources": paths,
    });
    let policy = Policy {
        private_schemes: &[],
        scopes: &ScopeSet::parse("mcp"),
        is_operator: true,
    };
    let accepted = Registration::read(body.to_string().as_bytes(), policy).unwrap();
    let client = accepted.into_client(ClientId::new(id), Some(digest), world.parts.clock.now());
    let kept = world.store.register_client(&client, Maker::Operator, None);
    kept.await.unwrap();
    secret.expose().clone()
}

async fn agent(world: &World) -> String {
    made(world, "agent", &[GRANT_TYPE], &["/mcp", "/mcp/team"]).await
}

/// What ada's app gets at `/mcp` with this scope.
async fn tokens(world: &World, scope: &str) -> Value {
    let client = world.client(WEB_REDIRECT).await;
    let mut browser = Browser::of_ada(world).await;
    let path = authorize(&client, WEB_REDIRECT, &[("scope", scope)]);
    let code = browser.code(world, &path).await;
    let mut given = redeem(world, &client, &code, WEB_REDIRECT, &[]).await.json();
    given["client_id"] = client.into();
    given
}

fn text<'a>(given: &'a Value, name: &str) -> &'a str {
    given[name].as_str().unwrap_or_else(|| panic!("{name}: {given}"))
}

async fn exchange(world: &World, header: &str, subject: &str, more: &[(&str, &str)]) -> Answer {
    let fields = [
        ("grant_type", GRANT_TYPE),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    world
        .form_as("/token", &[&fields, more].concat(), Some(header))
        .await
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[tokio::test]
async fn tk_13_a_token_becomes_a_narrower_one_in_which_it_stands_who_acts() {
    let world = World::settled().await;
    let agent = agent(&world).await;
    let given = tokens(&world, "mcp").await;
    let subject = text(&given, "access_token");
    let more = [("resource", TEAM), ("scope", "mcp:docs:read")];
    let answer = exchange(&world, &agent, subject, &more).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(text(&body, "issued_token_type"), ACCESS_TOKEN);
    assert_eq!(text(&body, "token_type"), "Bearer");
    assert_eq!(text(&body, "scope"), "mcp:docs:read");
    assert!(body.get("refresh_token").is_none());
    let token = text(&body, "access_token");
    assert!(world.verify(token, TEAM).is_ok());
    assert_eq!(world.verify(token, MCP), Err(TokenError::Audience));
    let (before, after) = (claims(subject), claims(token));
    assert_eq!(
        (&after["sub"], &after["client_id"]),
        (&before["sub"], &json!("agent"))
    );
    assert_eq!(after["act"], json!({ "sub": "client:agent" }));
    assert_eq!(after["grant"], before["grant"]);
    // Who acts once more acts for who acted.
    let again = exchange(&world, &agent, token, &[]).await.json();
    let acts = json!({ "sub": "client:agent", "act": { "sub": "client:agent" } });
    assert_eq!(claims(text(&again, "access_token"))["act"], acts);
    assert_eq!(text(&again, "scope"), "mcp:docs:read");
    let told = world
        .form_as("/introspect", &[("token", token)], Some(&agent))
        .await
        .json();
    assert_eq!(
        (&told["active"], &told["act"]),
        (&json!(true), &json!({ "sub": "client:agent" }))
    );
    assert_eq!(world.recorded(Action::TokenIssue, Outcome::Ok), 3);
}

#[tokio::test]
async fn tk_13_what_is_not_ours_alive_and_permitted_is_not_exchanged() {
    let world = World::settled().await;
    let agent = agent(&world).await;
    let given = tokens(&world, "mcp:read").await;
    let subject = text(&given, "access_token");
    let bad = |error: &str| (400, error.to_owned());
    for foreign in ["nonsense", "sp_key", "a.b.c", text(&given, "refresh_token")] {
        let answer = exchange(&world, &agent, foreign, &[]).await;
        assert_eq!(answer.error(), bad("invalid_request"), "{foreign}");
    }
    for (more, error) in [
        (("scope", "mcp"), "invalid_scope"),
        (("scope", "mcp:docs:write"), "invalid_scope"),
        (("resource", "https://elsewhere.test/mcp"), "invalid_target"),
        (("audience", "team"), "invalid_target"),
        (("actor_token", subject), "invalid_request"),
        (
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:refresh_token",
            ),
            "invalid_request",
        ),
    ] {
        let answer = exchange(&world, &agent, subject, &[more]).await;
        assert_eq!(answer.error(), bad(error), "{more:?}");
    }
    let actor = [("actor_token", subject), ("actor_token_type", ACCESS_TOKEN)];
    let answer = exchange(&world, &agent, subject, &actor).await;
    assert_eq!(
        answer.error(),
        bad("invalid_request"),
        "a person's token as the actor's"
    );
    // Deny by default: another client of the operator, one that is for another profile, and the app itself.
    let other = made(&world, "other", &["client_credentials"], &["/mcp"]).await;
    let answer = exchange(&world, &other, subject, &[]).await;
    assert_eq!(answer.error(), bad("unauthorized_client"));
    let elsewhere = made(&world, "elsewhere", &[GRANT_TYPE], &["/mcp/team"]).await;
    assert_eq!(
        exchange(&world, &elsewhere, subject, &[]).await.error(),
        bad("invalid_request")
    );
    let fields = [
        ("grant_type", GRANT_TYPE),
        ("client_id", text(&given, "client_id")),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    assert_eq!(
        world.form("/token", &fields).await.error(),
        bad("unauthorized_client")
    );
    assert_eq!(world.recorded(Action::TokenIssue, Outcome::Ok), 1);
}

#[tokio::test]
async fn tk_13_a_client_shows_that_it_acts_itself() {
    let world = World::settled().await;
    let agent = made(&world, "agent", &[GRANT_TYPE, "client_credentials"], &["/mcp"]).await;
    let other = made(&world, "other", &[GRANT_TYPE, "client_credentials"], &["/mcp"]).await;
    let own = world
        .form_as("/token", &[("grant_type", "client_credentials")], Some(&agent))
        .await
        .json();
    let given = tokens(&world, "mcp").await;
    let subject = text(&given, "access_token");
    let actor = [
        ("actor_token", text(&own, "access_token")),
        ("actor_token_type", ACCESS_TOKEN),
    ];
    let answer = exchange(&world, &agent, subject, &actor).await;
    assert_eq!(
        claims(text(&answer.json(), "access_token"))["act"],
        json!({ "sub": "client:agent" })
    );
    let stolen = exchange(&world, &other, subject, &actor).await;
    assert_eq!(stolen.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn tk_13_an_exchanged_token_ends_with_what_it_was_made_from() {
    let world = World::settled().await;
    let agent = agent(&world).await;
    let given = tokens(&world, "mcp").await;
    let subject = text(&given, "access_token");
    world.pass(Duration::from_secs(800));
    let answer = exchange(&world, &agent, subject, &[]).await.json();
    assert_eq!(
        answer["expires_in"],
        json!(100),
        "no longer than the subject token"
    );
    let token = text(&answer, "access_token").to_owned();
    assert!(world.verify(&token, MCP).is_ok());
    let fields = [
        ("token", text(&given, "refresh_token")),
        ("client_id", text(&given, "client_id")),
    ];
    assert_eq!(world.form("/revoke", &fields).await.status, 200);
    assert_eq!(world.verify(&token, MCP), Err(TokenError::Revoked));
    let answer = exchange(&world, &agent, subject, &[]).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
    let given = tokens(&world, "mcp").await;
    world.pass(Duration::from_secs(900));
    let late = exchange(&world, &agent, text(&given, "access_token"), &[]).await;
    assert_eq!(late.error(), (400, "invalid_request".into()), "expired");
}

#[tokio::test]
async fn tk_13_dc_09_with_the_client_end_the_tokens_that_it_has_exchanged() {
    let world = World::settled().await;
    let agent = agent(&world).await;
    let given = tokens(&world, "mcp").await;
    let answer = exchange(&world, &agent, text(&given, "access_token"), &[])
        .await
        .json();
    let token = claims(text(&answer, "access_token"))["jti"]
        .as_str()
        .unwrap()
        .to_owned();
    let now = world.now();
    assert!(world.store.revoked_tokens(now).await.unwrap().is_empty());
    world
        .store
        .delete_client(&ClientId::new("agent"), now)
        .await
        .unwrap();
    let revoked = world.store.revoked_tokens(now).await.unwrap();
    assert_eq!(
        revoked.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
        [token.as_str()]
    );
}

#[tokio::test]
async fn tk_13_a_resource_that_does_not_admit_the_person_is_no_target() {
    let world = World::with(|settings| {
        for info in &mut settings.resources {
            if info.path == "/mcp/team" {
                info.users = Selection {
                    allow: vec![Glob::parse("nobody").unwrap()],
                    deny: Vec::new(),
                };
            }
        }
    })
    .await;
    world.add_user("ada", true).await;
    let agent = agent(&world).await;
    let given = tokens(&world, "mcp").await;
    let subject = text(&given, "access_token");
    assert_eq!(exchange(&world, &agent, subject, &[]).await.status, 200);
    let answer = exchange(&world, &agent, subject, &[("resource", TEAM)]).await;
    assert_eq!(answer.error(), (400, "invalid_target".into()));
}

#[tokio::test]
async fn tk_13_what_cannot_be_recorded_is_not_exchanged() {
    let world = World::settled().await;
    let agent = agent(&world).await;
    let given = tokens(&world, "mcp").await;
    world.break_audit(true);
    let answer = exchange(&world, &agent, text(&given, "access_token"), &[]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
}

//! The flight recorder as the operator reads it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use sallyport_core::watch::{Knock, Turned, WatchLogins as _};
use sallyport_core::{Resource, Timestamp};
use sallyport_oauth::flight::step::Step;
use sallyport_oauth::flight::{Trace, verdict::State};
use serde_json::json;

use crate::browser::{Browser, redeem, refresh};
use crate::world::{CHALLENGE, MCP, PASSWORD, REDIRECT, VERIFIER, World, authorize};

const PROGRAM: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl World {
    /// What is kept of log-ins, the newest first.
    async fn logins(&self) -> Vec<Trace> {
        self.parts.logins.flush().await;
        self.store.logins(Timestamp::EPOCH).await.unwrap()
    }

    /// The names of their verdicts.
    async fn verdicts(&self) -> Vec<String> {
        self.pass(Duration::from_secs(1));
        let traces = self.logins().await;
        traces
            .iter()
            .map(|trace| trace.verdict(self.parts.clock.now()).name)
            .collect()
    }

    fn knock(&self, turned: Turned) {
        self.parts.logins.turned_away(Knock {
            peer: PROGRAM,
            agent: "",
            path: "/mcp",
            turned,
            grant: None,
        });
    }
}

#[tokio::test]
async fn a_whole_log_in_is_one_record_without_any_of_its_secrets() {
    let world = World::settled().await;
    world.knock(Turned::NoToken);
    world.get("/.well-known/oauth-protected-resource/mcp").await;
    world.get("/.well-known/oauth-authorization-server").await;
    let client = world.client(REDIRECT).await;
    let path = authorize(&client, REDIRECT, &[("state", "state-that-nobody-sees")]);
    let mut browser = Browser::default();
    let page = browser.log_in(&world, &path, "ada").await;
    let answer = browser.decide(&world, &page, "allow").await;
    let code = answer.redirected("code").unwrap();
    let tokens = redeem(&world, &client, &code, REDIRECT, &[]).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let (now, audience) = (world.parts.clock.now(), [Resource::parse(MCP).unwrap()]);
    let principal = world.parts.verify.verify(access, &audience, now).unwrap();
    world.parts.logins.first_use(&principal);
    let traces = world.logins().await;
    assert_eq!(traces.len(), 1, "{traces:#?}");
    let verdict = traces[0].verdict(world.parts.clock.now());
    assert_eq!(verdict.state, State::Connected, "{traces:#?}");
    assert!(
        verdict.text.starts_with("Test client has logged in"),
        "{verdict:?}"
    );
    let kinds = traces[0].steps.iter().map(|entry| {
        let step = serde_json::to_value(&entry.step).unwrap();
        step["step"].as_str().unwrap().to_owned()
    });
    let kinds: Vec<_> = kinds.collect();
    let expected = [
        "challenged",
        "discovery",
        "discovery",
        "registered",
        "asked",
        "login-shown",
        "logged-in",
        "asked",
        "consent-shown",
        "allowed",
        "issued",
        "used",
    ];
    assert_eq!(kinds, expected);
    let kept = serde_json::to_string(&traces).unwrap();
    let session = browser.cookies.values().cloned();
    let secrets = [
        code,
        access.to_owned(),
        tokens["refresh_token"].as_str().unwrap().to_owned(),
        VERIFIER.to_owned(),
        CHALLENGE.to_owned(),
        PASSWORD.to_owned(),
        "state-that-nobody-sees".to_owned(),
    ];
    for secret in secrets.into_iter().chain(session) {
        assert!(!kept.contains(&secret), "{secret} is in {kept}");
    }
}

#[tokio::test]
async fn each_refusal_has_the_name_of_its_rule() {
    let changes: [(&[(&str, &str)], &str); 8] = [
        (
            &[("redirect_uri", "http://127.0.0.1:33418/callback")],
            "redirect-not-registered",
        ),
        (&[("client_id", "nobody")], "client-unknown"),
        (&[("client_id", "")], "client-missing"),
        (&[("redirect_uri", "")], "redirect-missing"),
        (&[("code_challenge", "")], "challenge-missing"),
        (&[("code_challenge_method", "plain")], "challenge-method"),
        (&[("resource", "https://other.test/mcp")], "resource-unknown"),
        (&[("response_type", "token")], "response-type"),
    ];
    for (changes, name) in changes {
        let world = World::settled().await;
        let client = world.client(REDIRECT).await;
        world.pass(Duration::from_secs(1));
        world.get(&authorize(&client, REDIRECT, changes)).await;
        let traces = world.logins().await;
        let verdict = traces[0].verdict(world.parts.clock.now());
        assert_eq!((verdict.state, verdict.name.as_str()), (State::Refused, name));
        assert!(!verdict.mend.is_empty());
        // It belongs to the registration, unless another client is named.
        let count = if name == "client-unknown" { 2 } else { 1 };
        assert_eq!(traces.len(), count, "{traces:#?}");
    }
}

#[tokio::test]
async fn refusals_at_registration_log_in_consent_and_the_token_endpoint() {
    let world = World::settled().await;
    world
        .register(&json!({ "redirect_uris": ["http://h.test/cb"] }))
        .await;
    assert_eq!(world.verdicts().await, ["redirect-plain-http"]);
    let client = world.client(REDIRECT).await;
    let path = authorize(&client, REDIRECT, &[]);
    let mut browser = Browser::of_ada(&world).await;
    let page = browser.consent_page(&world, &path).await;
    browser.decide(&world, &page, "deny").await;
    assert_eq!(world.verdicts().await[0], "person-said-no");
    let code = browser
        .code(&world, &authorize(&client, REDIRECT, &[("state", "2")]))
        .await;
    assert_eq!(world.verdicts().await[0], "code-unused");
    redeem(&world, &client, &code, REDIRECT, &[("code_verifier", "x")]).await;
    assert_eq!(world.verdicts().await[0], "verifier-wrong");
    refresh(&world, &client, "no-such-token", &[]).await;
    assert_eq!(world.verdicts().await[0], "refresh-unknown");
    world
        .form(
            "/token",
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", "x"),
                ("client_id", "nobody"),
            ],
        )
        .await;
    assert_eq!(world.verdicts().await[0], "client-refused");
}

#[tokio::test]
async fn a_log_in_goes_on_after_a_restart() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    world.parts.logins.flush().await;
    let world = world.restarted();
    Browser::default()
        .log_in(&world, &authorize(&client, REDIRECT, &[]), "ada")
        .await;
    let traces = world.logins().await;
    assert_eq!(traces.len(), 1, "{traces:#?}");
    assert!(traces[0].has(|step| matches!(step, Step::Registered { .. })));
    assert_eq!(traces[0].last(), Some(&Step::ConsentShown));
}

#[tokio::test]
async fn other_well_known_paths_and_pages_are_no_log_ins() {
    let world = World::settled().await;
    for path in [
        "/",
        "/login",
        "/.well-known/acme-challenge/x",
        "/.well-known/security.txt",
    ] {
        world.send(Request::get(path).body(Body::empty()).unwrap()).await;
    }
    assert!(world.logins().await.is_empty());
}

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

/// The rule and the place of the last refusal, as they are told.
async fn last_refusal(world: &World) -> (String, String) {
    world.pass(Duration::from_secs(1));
    let traces = world.logins().await;
    let last = traces.iter().max_by_key(|trace| trace.seen).unwrap();
    let Some(Step::Refused(refused)) = last.last() else {
        panic!("{last:#?}");
    };
    let verdict = last.verdict(world.parts.clock.now());
    assert_eq!(verdict.name, refused.rule.name());
    assert!(!verdict.mend.is_empty());
    let point = serde_json::to_value(refused.point).unwrap();
    (verdict.name, point.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn refusals_of_pushed_requests_have_the_name_of_their_rule() {
    let changes: [(&[(&str, &str)], &str); 8] = [
        (
            &[("redirect_uri", "http://127.0.0.1:33418/other")],
            "redirect-not-registered",
        ),
        (&[("redirect_uri", "")], "redirect-missing"),
        (&[("code_challenge", "")], "challenge-missing"),
        (&[("code_challenge_method", "plain")], "challenge-method"),
        (&[("resource", "https://other.test/mcp")], "resource-unknown"),
        (&[("response_type", "token")], "response-type"),
        (&[("request_uri", "urn:x")], "request-object"),
        (&[("client_id", "nobody")], "client-refused"),
    ];
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    for (changes, name) in changes {
        let path = authorize(&client, REDIRECT, changes);
        let query = path.split_once('?').unwrap().1.as_bytes();
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(query).into_owned().collect();
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = world.form("/par", &fields).await;
        assert!(answer.status.is_client_error(), "{name}: {answer:?}");
        assert_eq!(last_refusal(&world).await, (name.to_owned(), "pushed".to_owned()));
    }
    let flood = authorize(&client, REDIRECT, &[]);
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(flood.split_once('?').unwrap().1.as_bytes())
            .into_owned()
            .collect();
    let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut status = 0;
    for _ in 0..70 {
        status = world.form("/par", &fields).await.status.as_u16();
    }
    assert_eq!(status, 429);
    assert_eq!(last_refusal(&world).await.0, "pushed-throttled");
}

#[tokio::test]
async fn refusals_of_devices_have_the_name_of_their_rule() {
    let world = World::settled().await;
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let body = json!({ "client_name": "Television", "grant_types": [grant] });
    let device = world.register(&body).await.json()["client_id"].clone();
    let device = device.as_str().unwrap();
    let other = world.client(REDIRECT).await;
    for (fields, name) in [
        (vec![("client_id", other.as_str())], "device-not-registered"),
        (
            vec![("client_id", device), ("resource", "https://other.test/mcp")],
            "resource-unknown",
        ),
        (
            vec![("client_id", device), ("scope", "mcp"), ("scope", "mcp")],
            "parameter-repeated",
        ),
        (vec![("client_id", "nobody")], "client-refused"),
    ] {
        let answer = world.form("/device_authorization", &fields).await;
        assert!(answer.status.is_client_error(), "{name}: {answer:?}");
        assert_eq!(last_refusal(&world).await, (name.to_owned(), "device".to_owned()));
    }
    let mut status = 0;
    for _ in 0..60 {
        let answer = world
            .form("/device_authorization", &[("client_id", device)])
            .await;
        status = answer.status.as_u16();
    }
    assert_eq!(status, 429);
    assert_eq!(last_refusal(&world).await.0, "device-throttled");
}

#[tokio::test]
async fn refusals_where_nobody_logs_in_leave_no_record() {
    let world = World::settled().await;
    for path in ["/revoke", "/introspect"] {
        let answer = world.form(path, &[("client_id", "nobody"), ("token", "x")]).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
    }
    // Nobody went to a provider.
    world.get("/callback/corp?state=x&code=y").await;
    assert!(world.logins().await.is_empty());
}

#[tokio::test]
async fn au_10_a_proof_that_is_none_is_in_the_record_of_the_log_in() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let form = format!("grant_type=refresh_token&refresh_token=x&client_id={client}");
    let request = Request::post("/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("dpop", "none");
    let answer = world.send(request.body(Body::from(form)).unwrap()).await;
    assert_eq!(answer.error(), (400, "invalid_dpop_proof".to_owned()));
    let expected = ("proof-refused".to_owned(), "token".to_owned());
    assert_eq!(last_refusal(&world).await, expected);
}

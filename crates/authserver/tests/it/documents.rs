//! Clients that are described by a document at their `client_id`.

use std::sync::Arc;
use std::time::Duration;

use sallyport_authserver::Settings;
use sallyport_net::egress::{Egress, EgressPolicy, Resolve, Resolving};
use serde_json::{Value, json};

use crate::browser::{Browser, redeem, refresh};
use crate::signed::{Key, claims};
use crate::site::{Sent, Site};
use crate::world::{Answer, REDIRECT, VERIFIER, WEB_REDIRECT, World, authorize};

const PATH: &str = "/oauth/client.json";

/// A world that reaches the site, with the administrator `ada`.
async fn world(site: &Site) -> World {
    let world = World::reaching(Arc::clone(&site.egress), |_| {}).await;
    world.add_user("ada", true).await;
    world
}

fn document(url: &str) -> Value {
    json!({ "client_id": url, "client_name": "App", "redirect_uris": [REDIRECT, WEB_REDIRECT] })
}

/// What the person sees who comes with an authorization request of this client.
async fn authorized(world: &World, client: &str) -> Answer {
    world.get(&authorize(client, REDIRECT, &[])).await
}

fn is_login(answer: &Answer) -> bool {
    answer.status == 303 && answer.header("location").starts_with("/login")
}

#[tokio::test]
async fn a_client_is_what_its_document_says_on_every_leg() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    site.serve(PATH, &document(&client).to_string());
    let code = Browser::of_ada(&world)
        .await
        .code(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    let tokens = redeem(&world, &client, &code, REDIRECT, &[]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let token = tokens.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh(&world, &client, &token, &[]).await.status, 200);
    // Another port on loopback is the same place (RFC 8252 §7.3).
    let elsewhere = REDIRECT.replace("33418", "1");
    assert!(is_login(&world.get(&authorize(&client, &elsewhere, &[])).await));
    assert!(
        world
            .get(&authorize(&client, "https://evil.test/cb", &[]))
            .await
            .is_page(400)
    );
    assert_eq!(site.requests(), 1);
    assert_eq!(world.store.count_clients().await.unwrap(), 0);
}

#[tokio::test]
async fn a_document_with_keys_proves_its_client() {
    let site = Site::new().await;
    let world = world(&site).await;
    let (key, client) = (Key::new(), site.url("app.test", PATH));
    let mut described = document(&client);
    described["token_endpoint_auth_method"] = json!("private_key_jwt");
    described["jwks"] = key.set();
    site.serve(PATH, &described.to_string());
    let code = Browser::of_ada(&world)
        .await
        .code(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    let posing = redeem(&world, &client, &code, REDIRECT, &[]).await;
    assert_eq!(posing.error(), (401, "invalid_client".into()));
    let statement = key.sign(&claims(&client, "1"));
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &statement),
    ];
    assert_eq!(world.form("/token", &fields).await.status, 200);
}

#[tokio::test]
async fn documents_and_registration_are_switched_apart() {
    let site = Site::new().await;
    for (documents, registration) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = World::reaching(Arc::clone(&site.egress), |s| {
            s.client_documents = documents;
            s.dynamic_registration = registration;
        })
        .await;
        let client = site.url("app.test", PATH);
        site.serve(PATH, &document(&client).to_string());
        for path in ["oauth-authorization-server", "openid-configuration"] {
            let told = world.get(&format!("/.well-known/{path}")).await.json();
            let member = told.get("client_id_metadata_document_supported");
            assert_eq!(member, documents.then_some(&json!(true)));
            assert_eq!(told.get("registration_endpoint").is_some(), registration);
        }
        let before = site.requests();
        assert_eq!(is_login(&authorized(&world, &client).await), documents);
        assert_eq!(site.requests() - before, usize::from(documents));
    }
}

#[tokio::test]
async fn cm_01_odd_urls_are_a_page_before_anything_is_fetched() {
    let site = Site::new().await;
    let world = world(&site).await;
    let good = site.url("app.test", PATH);
    let port = good.split(':').nth(2).unwrap().split('/').next().unwrap();
    for bad in [
        good.replace("https:", "http:"),
        good.replace("https:", "HTTPS:"),
        good.replace("app.test", "APP.test"),
        good.replace("app.test", "u@app.test"),
        good.replace("app.test", "127.0.0.1"),
        good.replace("/oauth/", "/oauth/../oauth/"),
        format!("{good}#x"),
        format!("https://app.test:{port}"),
        format!("https://app.test:{port}/"),
        // Ports at which no site is.
        good.replace(port, "22"),
        good.replace(port, "0"),
    ] {
        assert!(authorized(&world, &bad).await.is_page(400), "{bad}");
    }
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn cm_02_a_document_of_another_url_is_none_and_is_not_kept() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    for other in [
        format!("{client}/"),
        site.url("evil.test", PATH),
        client.to_uppercase(),
    ] {
        site.serve(PATH, &document(&other).to_string());
        assert!(authorized(&world, &client).await.is_page(400), "{other}");
    }
    site.serve(PATH, &document(&client).to_string());
    assert!(is_login(&authorized(&world, &client).await));
}

#[tokio::test]
async fn cm_03_nothing_inside_is_reached_and_nothing_told_about_it() {
    let mut pages = Vec::new();
    for address in [
        "127.0.0.2",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fc00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ] {
        let site = Site::reached_at(address.parse().unwrap()).await;
        let world = world(&site).await;
        let client = site.url("app.test", PATH);
        site.serve(PATH, &document(&client).to_string());
        let page = authorized(&world, &client).await;
        assert!(page.is_page(400), "{address}: {page:?}");
        assert_eq!(site.requests(), 0, "{address}");
        pages.push(page.body);
    }
    let site = Site::new().await;
    let world = world(&site).await;
    pages.push(authorized(&world, &site.url("app.test", "/missing")).await.body);
    assert!(
        pages.windows(2).all(|pair| pair[0] == pair[1]),
        "one page for all"
    );
}

#[tokio::test]
async fn cm_05_a_redirect_is_not_followed() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", "/moved");
    let there = site.url("app.test", PATH);
    site.serve(PATH, &document(&client).to_string());
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let headers = format!("Content-Type: application/json\r\nLocation: {there}\r\n");
        site.serve_as("/moved", status, &headers, &document(&client).to_string());
        let before = site.requests();
        assert!(authorized(&world, &client).await.is_page(400), "{status}");
        assert_eq!(site.requests() - before, 1, "{status}");
    }
}

#[tokio::test]
async fn cm_06_documents_at_the_limit_and_past_it() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    let sized = |size: usize| {
        let mut described = document(&client);
        described["x"] = json!("");
        let frame = described.to_string().len();
        described["x"] = json!("a".repeat(size - frame));
        described.to_string()
    };
    site.serve(PATH, &sized(5 * 1024 + 1));
    assert!(authorized(&world, &client).await.is_page(400));
    let zipped = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    site.serve_as(PATH, "200 OK", zipped, &document(&client).to_string());
    assert!(authorized(&world, &client).await.is_page(400));
    site.serve(PATH, &sized(5 * 1024));
    assert!(is_login(&authorized(&world, &client).await));
}

#[tokio::test]
async fn cm_06_a_document_in_drops_is_given_up() {
    let site = Site::new().await;
    let world = world(&site).await;
    site.send(PATH, Sent::Drip);
    let begin = std::time::Instant::now();
    assert!(authorized(&world, &site.url("app.test", PATH)).await.is_page(400));
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[tokio::test]
async fn cm_07_documents_that_describe_no_client() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    let good = document(&client).to_string();
    for (media, body) in [
        ("text/html", good.clone()),
        ("application/json", format!("\u{feff}{good}")),
        (
            "application/json",
            good.replacen('{', "{\"redirect_uris\":[],", 1),
        ),
        ("application/json", json!({ "client_id": client }).to_string()),
        (
            "application/json",
            good.replacen('{', "{\"client_secret\":\"x\",", 1),
        ),
        (
            "application/json",
            good.replacen('{', "{\"token_endpoint_auth_method\":\"client_secret_post\",", 1),
        ),
    ] {
        site.serve_as(PATH, "200 OK", &format!("Content-Type: {media}\r\n"), &body);
        assert!(authorized(&world, &client).await.is_page(400), "{media} {body}");
    }
    let answer = redeem(&world, &client, "x", REDIRECT, &[]).await;
    assert_eq!(answer.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn cm_08_what_is_kept_ends_and_errors_are_not_kept() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    let good = document(&client).to_string();
    site.serve_as(PATH, "500 Broken", "", "");
    assert!(authorized(&world, &client).await.is_page(400));
    let forever = "Content-Type: application/json\r\nCache-Control: max-age=1000000000\r\n";
    site.serve_as(PATH, "200 OK", forever, &good);
    assert!(is_login(&authorized(&world, &client).await));
    let mut evil = document(&client);
    evil["redirect_uris"] = json!(["https://evil.test/cb"]);
    site.serve(PATH, &evil.to_string());
    world.pass(Duration::from_secs(24 * 3600 - 1));
    assert!(is_login(&authorized(&world, &client).await));
    assert_eq!(site.requests(), 2);
    world.pass(Duration::from_secs(1));
    assert!(
        authorized(&world, &client).await.is_page(400),
        "the former redirect URI is gone"
    );
    site.serve_as(PATH, "404 Gone", "", "");
    world.pass(Duration::from_secs(3600));
    let gone = world.get(&authorize(&client, "https://evil.test/cb", &[])).await;
    assert!(gone.is_page(400));
    assert_eq!(site.requests(), 4);
}

#[tokio::test]
async fn cm_08_another_redirect_uri_is_asked_about_again() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    let other = "https://c.test/other";
    let mut described = document(&client);
    described["redirect_uris"] = json!([WEB_REDIRECT, other]);
    site.serve(PATH, &described.to_string());
    let mut browser = Browser::of_ada(&world).await;
    browser.code(&world, &authorize(&client, WEB_REDIRECT, &[])).await;
    let again = browser.open(&world, &authorize(&client, WEB_REDIRECT, &[])).await;
    assert!(again.redirected("code").is_some(), "{again:?}");
    let moved = browser.open(&world, &authorize(&client, other, &[])).await;
    assert!(moved.header("location").starts_with("/consent"), "{moved:?}");
}

#[tokio::test]
async fn cm_09_the_page_tells_whose_description_it_is_and_where_the_answer_goes() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    site.serve(PATH, &document(&client).to_string());
    let mut browser = Browser::of_ada(&world).await;
    let page = browser.open(&world, &authorize(&client, REDIRECT, &[])).await;
    let page = browser.follow(&world, page, "none").await;
    assert!(page.body.contains("app.test"), "{page:?}");
    assert!(page.body.contains("127.0.0.1:33418") && page.body.contains("Any program here"));
}

#[tokio::test]
async fn cm_11_fetches_are_bounded_by_peer_and_by_host_and_made_once() {
    let site = Site::new().await;
    let world = Arc::new(
        World::reaching(Arc::clone(&site.egress), |s| {
            s.throttle.documents_per_peer.burst = 5;
            s.throttle.documents_per_host.burst = 8;
        })
        .await,
    );
    let client = site.url("app.test", PATH);
    site.serve(PATH, &document(&client).to_string());
    let together: Vec<_> = (0..32)
        .map(|_| {
            let (world, client) = (Arc::clone(&world), client.clone());
            tokio::spawn(async move { authorized(&world, &client).await })
        })
        .collect();
    for one in together {
        assert!(is_login(&one.await.unwrap()));
    }
    assert_eq!(site.requests(), 1);
    for n in 0..20 {
        let answer = authorized(&world, &site.url("app.test", &format!("/{n}"))).await;
        assert!(answer.is_page(if n < 4 { 400 } else { 429 }), "{n}: {answer:?}");
    }
    assert_eq!(site.requests(), 5);
    // Another peer has its own bound, but the host's is for all.
    for n in 0..20 {
        let path = authorize(&site.url("app.test", &format!("/{n}")), REDIRECT, &[]);
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = world.send_from("192.0.2.7".parse().unwrap(), request).await;
        assert!(answer.is_page(if n < 3 { 400 } else { 429 }), "{n}: {answer:?}");
    }
    assert_eq!(site.requests(), 8);
}

#[tokio::test]
async fn cm_12_only_hosts_of_the_list_count() {
    let site = Site::new().await;
    let (good, evil) = (site.url("good.test", PATH), site.url("evil.test", PATH));
    let authority = good
        .trim_start_matches("https://")
        .trim_end_matches(PATH)
        .to_owned();
    let world = World::reaching(Arc::clone(&site.egress), |s| {
        s.document_hosts = Some(vec![authority, "evil.test".to_owned()]);
    })
    .await;
    site.serve(PATH, &document(&evil).to_string());
    assert!(
        authorized(&world, &evil).await.is_page(400),
        "another port is another place"
    );
    assert_eq!(site.requests(), 0);
    site.serve(PATH, &document(&good).to_string());
    assert!(is_login(&authorized(&world, &good).await));
}

/// Nothing is reached: no name resolves.
struct Nowhere;

impl Resolve for Nowhere {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Err(std::io::Error::from(std::io::ErrorKind::NotFound)) })
    }
}

fn away() -> Arc<Egress> {
    Egress::with_resolver(EgressPolicy::default(), Arc::new(Nowhere))
}

const CODEX: &str = "https://chatgpt.com/oauth/codex/client.json";

#[tokio::test]
async fn without_a_way_out_known_programs_log_in_by_what_is_known_of_their_documents() {
    let world = World::reaching(away(), |_| {}).await;
    world.add_user("ada", true).await;
    let redirect = "http://127.0.0.1:41213/callback";
    let code = Browser::of_ada(&world)
        .await
        .code(&world, &authorize(CODEX, redirect, &[]))
        .await;
    let tokens = redeem(&world, CODEX, &code, redirect, &[]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let token = tokens.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh(&world, CODEX, &token, &[]).await.status, 200);
    // Only back to the program on this machine, and only under the very names that are known.
    for (client, redirect) in [
        (CODEX, "https://chatgpt.com/callback"),
        (CODEX, "http://127.0.0.1:41213/callback/x"),
        ("https://chatgpt.com/oauth/codex/other/client.json", redirect),
        ("https://unknown.test/oauth/client.json", redirect),
    ] {
        let answer = world.get(&authorize(client, redirect, &[])).await;
        assert!(answer.is_page(400), "{client} {redirect}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_document_counts_no_more_than_the_document() {
    let unlisted = |s: &mut Settings| s.document_hosts = Some(vec!["claude.ai".to_owned()]);
    let closed = |s: &mut Settings| s.client_documents = false;
    let changes: [fn(&mut Settings); 2] = [unlisted, closed];
    for change in changes {
        let world = World::reaching(away(), change).await;
        let answer = world
            .get(&authorize(CODEX, "http://127.0.0.1:1/callback", &[]))
            .await;
        assert!(answer.is_page(400));
    }
}

#[tokio::test]
async fn nothing_that_a_document_points_to_is_fetched_or_shown() {
    let site = Site::new().await;
    let world = world(&site).await;
    let client = site.url("app.test", PATH);
    let mut described = document(&client);
    for member in ["logo_uri", "client_uri", "tos_uri", "policy_uri"] {
        let path = format!("/{member}.png");
        described[member] = json!(site.url("app.test", &path));
        site.serve(&path, "image");
    }
    site.serve(PATH, &described.to_string());
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    assert!(!page.body.contains(".png"), "{page:?}");
    let answer = browser.decide(&world, &page, "allow").await;
    assert!(answer.redirected("code").is_some(), "{answer:?}");
    let account = browser.open(&world, "/account").await;
    assert!(
        account.body.contains("App") && !account.body.contains(".png"),
        "{account:?}"
    );
    assert_eq!(site.requests(), 1, "the document alone");
}

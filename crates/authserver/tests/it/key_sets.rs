//! Clients whose keys are at an address that they name (`jwks_uri`).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::signed::{Key, claims, redeem};
use crate::site::Site;
use crate::token::code_of;
use crate::world::{Answer, REDIRECT, World};

const PATH: &str = "/keys.json";

async fn world(site: &Site) -> World {
    let world = World::reaching(Arc::clone(&site.egress), |settings| {
        settings.throttle.token_failures.burst = 1000;
    })
    .await;
    world.add_user("ada", true).await;
    world
}

fn named(key: &Key, id: &str) -> Value {
    let mut set = key.set();
    set["keys"][0]["kid"] = json!(id);
    set
}

async fn registered(world: &World, address: &str) -> Answer {
    let body = json!({
        "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": address,
    });
    world.register(&body).await
}

async fn client_at(world: &World, address: &str) -> String {
    registered(world, address).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Redeems a new code with a statement under the key `id`.
async fn signs_in(world: &World, client: &str, (key, id): (&Key, &str)) -> Answer {
    let code = code_of(world, client).await;
    let mut claims = claims(client, &code);
    claims["exp"] = json!(world.now().as_secs() + 60);
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": id });
    redeem(world, &code, &key.sign_as(&header, &claims)).await
}

#[tokio::test]
async fn keys_are_fetched_when_they_are_needed_and_again_when_they_have_changed() {
    let site = Site::new().await;
    let world = world(&site).await;
    let (old, new) = (Key::new(), Key::new());
    site.serve(PATH, &named(&old, "old").to_string());
    let client = client_at(&world, &site.url("app.test", PATH)).await;
    assert_eq!(site.requests(), 0, "not before it is needed");
    for _ in 0..3 {
        assert_eq!(signs_in(&world, &client, (&old, "old")).await.status, 200);
    }
    assert_eq!(site.requests(), 1);
    // The client takes another key: it is looked for as soon as somebody names it, but not more often than that.
    site.serve(PATH, &named(&new, "new").to_string());
    world.pass(Duration::from_secs(29));
    for _ in 0..3 {
        let early = signs_in(&world, &client, (&new, "new")).await;
        assert_eq!(early.error(), (401, "invalid_client".into()));
    }
    assert_eq!(site.requests(), 1);
    world.pass(Duration::from_secs(1));
    assert_eq!(signs_in(&world, &client, (&new, "new")).await.status, 200);
    assert_eq!(site.requests(), 2);
    let gone = signs_in(&world, &client, (&old, "old")).await;
    assert_eq!(gone.error(), (401, "invalid_client".into()));
    assert_eq!(site.requests(), 2);
    // A set counts for ten minutes.
    world.pass(Duration::from_secs(600));
    assert_eq!(signs_in(&world, &client, (&new, "new")).await.status, 200);
    assert_eq!(site.requests(), 3);
}

#[tokio::test]
async fn a_site_that_is_down_is_nobodys_fault_and_one_that_sends_nonsense_has_no_keys() {
    let site = Site::new().await;
    let world = world(&site).await;
    let key = Key::new();
    let address = site.url("app.test", PATH);
    let client = client_at(&world, &address).await;
    for (status, body) in [
        ("200 OK", "{}".to_owned()),
        ("200 OK", "nonsense".to_owned()),
        ("302 Found", named(&key, "k").to_string()),
        ("500 No", named(&key, "k").to_string()),
        ("200 OK", format!("{}{}", named(&key, "k"), " ".repeat(65 * 1024))),
    ] {
        site.serve_as(PATH, status, "Content-Type: application/json\r\n", &body);
        let answer = signs_in(&world, &client, (&key, "k")).await;
        assert!(matches!(answer.status.as_u16(), 401 | 503), "{status} {answer:?}");
    }
    site.serve(PATH, &named(&key, "k").to_string());
    assert_eq!(signs_in(&world, &client, (&key, "k")).await.status, 200);
    // Kept keys count for a day while nobody answers there.
    let nobody = World::reaching(
        Site::reached_at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)))
            .await
            .egress,
        |_| {},
    )
    .await;
    nobody.add_user("ada", true).await;
    let client = client_at(&nobody, &address).await;
    let answer = signs_in(&nobody, &client, (&key, "k")).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
}

#[tokio::test]
async fn dc_12_an_inner_address_is_never_called_for_keys() {
    let site = Site::new().await;
    let world = World::settled().await;
    for address in [
        "https://127.0.0.1:9/keys",
        "https://169.254.169.254/keys",
        "https://[::1]/keys",
    ] {
        let client = client_at(&world, address).await;
        let answer = signs_in(&world, &client, (&Key::new(), "k")).await;
        assert_eq!(
            answer.error(),
            (503, "temporarily_unavailable".into()),
            "{address}"
        );
    }
    for address in [
        "http://app.test/keys",
        "https://u@app.test/keys",
        "https://app.test/keys#x",
        "file:///etc/passwd",
        "keys",
        "",
    ] {
        let answer = registered(&world, address).await;
        assert_eq!(
            answer.error(),
            (400, "invalid_client_metadata".into()),
            "{address}"
        );
    }
    let long = format!(
        "https://app.test/{}",
        "k".repeat(2048 - "https://app.test/".len())
    );
    assert_eq!(registered(&world, &long).await.status, 201);
    let past = registered(&world, &format!("{long}k")).await;
    assert_eq!(past.error(), (400, "invalid_client_metadata".into()));
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn cm_11_fetches_of_keys_are_bounded_by_host() {
    let site = Site::new().await;
    let world = World::reaching(Arc::clone(&site.egress), |settings| {
        settings.throttle.documents_per_host.burst = 3;
        settings.throttle.token_failures.burst = 1000;
    })
    .await;
    world.add_user("ada", true).await;
    let key = Key::new();
    let mut last = 0;
    for n in 0..4 {
        let path = format!("/{n}.json");
        site.serve(&path, &named(&key, "k").to_string());
        let client = client_at(&world, &site.url("app.test", &path)).await;
        last = signs_in(&world, &client, (&key, "k")).await.status.as_u16();
        assert_eq!(last == 200, n < 3, "{n} {last}");
    }
    assert_eq!((last, site.requests()), (429, 3));
}

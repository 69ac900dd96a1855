//! `/setup`: the first administrator.

use std::time::Duration;

use sallyport_authserver::setup_link;
use sallyport_core::audit::{Action, Outcome};

use crate::browser::{Browser, hidden};
use crate::world::{Answer, ISSUER, PASSWORD, World};

async fn link(world: &World) -> Option<String> {
    let link = setup_link(&world.parts).await.unwrap()?;
    Some(link.expose().strip_prefix(ISSUER).unwrap().to_owned())
}

async fn submit(world: &World, browser: &mut Browser, link: &str, name: &str, password: &str) -> Answer {
    let page = browser.open(world, link).await;
    let transaction = hidden(&page);
    let fields = [
        ("transaction", transaction.as_str()),
        ("username", name),
        ("password", password),
    ];
    browser.submit(world, "/setup", &fields).await
}

#[tokio::test]
async fn the_link_makes_one_administrator_who_is_logged_in() {
    let world = World::new().await;
    let link = link(&world).await.unwrap();
    let mut browser = Browser::default();
    for _ in 0..3 {
        assert_eq!(browser.open(&world, &link).await.status, 200);
    }
    let answer = submit(&world, &mut browser, &link, "ada", PASSWORD).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
    assert!(browser.open(&world, "/").await.body.contains("administrator"));
    assert!(world.store.has_admin().await.unwrap());
    assert_eq!(world.recorded(Action::Setup, Outcome::Ok), 1);
    // It is over for everybody, and there is no other link.
    assert!(Browser::default().open(&world, &link).await.is_page(410));
    assert!(super::setup::link(&world).await.is_none());
}

#[tokio::test]
async fn a_wrong_old_or_used_link_makes_nobody() {
    let world = World::new().await;
    let old = link(&world).await.unwrap();
    let good = link(&world).await.unwrap();
    let mut browser = Browser::default();
    for wrong in [
        old.as_str(),
        "/setup?link=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert!(
            submit(&world, &mut browser, wrong, "eve", PASSWORD)
                .await
                .is_page(410),
            "{wrong}"
        );
    }
    world.pass(Duration::from_secs(24 * 3600));
    assert!(
        submit(&world, &mut browser, &good, "eve", PASSWORD)
            .await
            .is_page(410)
    );
    assert!(world.get("/setup").await.is_page(410));
    assert!(!world.store.has_admin().await.unwrap());
}

#[tokio::test]
async fn lg_07_odd_names_and_passwords_are_explained_and_the_link_stays_good() {
    let world = World::new().await;
    let link = link(&world).await.unwrap();
    let mut browser = Browser::default();
    for (name, password) in [
        ("", PASSWORD),
        ("a b", PASSWORD),
        ("ada", "short"),
        ("ada", &"x".repeat(1025)),
    ] {
        let answer = submit(&world, &mut browser, &link, name, password).await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(answer.body.contains("role=\"alert\""), "{name}");
    }
    assert_eq!(
        submit(&world, &mut browser, &link, "ada", PASSWORD).await.status,
        303
    );
}

#[tokio::test]
async fn co_02_the_form_works_in_its_own_browser_only() {
    let world = World::new().await;
    let link = link(&world).await.unwrap();
    let mut browser = Browser::default();
    let page = browser.open(&world, &link).await;
    let fields = [
        ("transaction", hidden(&page)),
        ("username", "eve".into()),
        ("password", PASSWORD.to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let mut other = Browser::default();
    assert!(other.submit(&world, "/setup", &fields).await.is_page(403));
    other.open(&world, "/login").await;
    assert!(other.submit(&world, "/setup", &fields).await.is_page(403));
    assert!(
        browser
            .submit_from(&world, "/setup", &fields, "cross-site")
            .await
            .is_page(403)
    );
    assert!(!world.store.has_admin().await.unwrap());
}

#[tokio::test]
async fn no_administrator_is_made_that_cannot_be_recorded() {
    let world = World::new().await;
    let link = link(&world).await.unwrap();
    world.break_audit(true);
    assert!(
        submit(&world, &mut Browser::default(), &link, "ada", PASSWORD)
            .await
            .is_page(503)
    );
    assert!(!world.store.has_admin().await.unwrap());
}

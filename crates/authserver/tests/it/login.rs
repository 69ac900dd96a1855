//! `/login`, browser sessions, `/logout`.

use std::time::Duration;

use sallyport_core::audit::{Action, Outcome};

use crate::browser::{Browser, hidden};
use crate::world::{Answer, PASSWORD, World, encode};

pub(crate) async fn attempt(world: &World, browser: &mut Browser, name: &str, password: &str) -> Answer {
    let page = browser.open(world, "/login?next=/").await;
    let transaction = hidden(&page);
    let fields = [
        ("transaction", transaction.as_str()),
        ("username", name),
        ("password", password),
    ];
    browser.submit(world, "/login", &fields).await
}

#[tokio::test]
async fn lg_02_wrong_name_and_wrong_password_look_alike() {
    let world = World::settled().await;
    let mut browser = Browser::default();
    let wrong = attempt(&world, &mut browser, "ada", "wrong password").await;
    let unknown = attempt(&world, &mut browser, "mallory", "wrong password").await;
    assert_eq!((wrong.status, unknown.status), (unknown.status, wrong.status));
    assert_eq!(wrong.status, 403);
    let plain = |answer: &Answer, name: &str| answer.body.replace(&hidden(answer), "").replace(name, "NAME");
    assert_eq!(plain(&wrong, "ada"), plain(&unknown, "mallory"));
    assert_eq!(world.recorded(Action::Login, Outcome::Denied), 2);
    assert_eq!(attempt(&world, &mut browser, "ADA", PASSWORD).await.status, 303);
    assert_eq!(world.recorded(Action::Login, Outcome::Ok), 1);
}

#[tokio::test]
async fn lg_07_long_names_and_passwords_cost_nothing() {
    let world = World::settled().await;
    let mut browser = Browser::default();
    for (name, password) in [("ada".to_owned(), "x".repeat(1025)), ("a".repeat(65), "x".into())] {
        assert_eq!(attempt(&world, &mut browser, &name, &password).await.status, 400);
    }
    assert_eq!(
        attempt(&world, &mut browser, "ada", &"x".repeat(10_000_000))
            .await
            .status,
        400
    );
    assert_eq!(attempt(&world, &mut browser, "ad\0a", PASSWORD).await.status, 400);
    assert_eq!(attempt(&world, &mut browser, "аda", PASSWORD).await.status, 403);
    assert_eq!(
        attempt(&world, &mut browser, &"a".repeat(64), &"x".repeat(1024))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn lg_05_sessions_end_idle_absolutely_and_by_logout() {
    let world = World::settled().await;
    let day = Duration::from_secs(24 * 3600);
    let is_in = async |browser: &mut Browser| browser.open(&world, "/").await.body.contains("Signed in as");
    let mut idle = Browser::of_ada(&world).await;
    world.pass(day);
    assert!(is_in(&mut idle).await);
    world.pass(day + Duration::from_millis(1));
    assert!(!is_in(&mut idle).await);

    let mut steady = Browser::of_ada(&world).await;
    for _ in 0..6 {
        world.pass(day);
        assert!(is_in(&mut steady).await);
    }
    world.pass(day);
    assert!(!is_in(&mut steady).await);

    let mut leaving = Browser::of_ada(&world).await;
    let copied = leaving.clone();
    let page = leaving.open(&world, "/").await;
    let answer = leaving
        .submit(&world, "/logout", &[("transaction", &hidden(&page))])
        .await;
    assert_eq!(answer.status, 303);
    assert!(!is_in(&mut copied.clone()).await);
    assert_eq!(world.recorded(Action::Logout, Outcome::Ok), 1);
}

#[tokio::test]
async fn nobody_is_logged_out_by_another_site() {
    let world = World::settled().await;
    let mut browser = Browser::of_ada(&world).await;
    assert!(browser.submit(&world, "/logout", &[]).await.is_page(403));
    let page = browser.open(&world, "/").await;
    let transaction = hidden(&page);
    let answer = browser
        .submit_from(&world, "/logout", &[("transaction", &transaction)], "same-site")
        .await;
    assert!(answer.is_page(403));
    assert!(browser.open(&world, "/").await.body.contains("Signed in as"));
}

#[tokio::test]
async fn a_login_gets_a_new_session_and_ends_the_old_one() {
    let world = World::settled().await;
    let mut browser = Browser::of_ada(&world).await;
    let before = browser.clone();
    let page = browser.open(&world, "/login?next=/authorize").await;
    let fields = [
        ("transaction", hidden(&page)),
        ("username", "ada".into()),
        ("password", PASSWORD.to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    browser.submit(&world, "/login", &fields).await;
    assert_ne!(
        before.cookies["sallyport-session"],
        browser.cookies["sallyport-session"]
    );
    assert!(
        !before
            .clone()
            .open(&world, "/")
            .await
            .body
            .contains("Signed in as")
    );
}

#[tokio::test]
async fn co_02_a_login_form_works_in_its_own_browser_only() {
    let world = World::settled().await;
    let mut mine = Browser::default();
    let page = mine.open(&world, "/login").await;
    let fields = [
        ("transaction", hidden(&page)),
        ("username", "ada".into()),
        ("password", PASSWORD.to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let mut victim = Browser::default();
    assert!(victim.submit(&world, "/login", &fields).await.is_page(403));
    victim.open(&world, "/login").await;
    assert!(victim.submit(&world, "/login", &fields).await.is_page(403));
    assert!(
        mine.submit_from(&world, "/login", &fields, "cross-site")
            .await
            .is_page(403)
    );
    world.pass(Duration::from_secs(3600) + Duration::from_millis(1));
    assert!(mine.submit(&world, "/login", &fields).await.is_page(400));
}

#[tokio::test]
async fn ru_11_after_login_only_to_places_of_ours() {
    let world = World::settled().await;
    for next in [
        "//evil.test",
        "/\\evil.test",
        "https:evil.test",
        "%09//evil.test",
        "https://evil.test/",
    ] {
        let mut browser = Browser::default();
        let page = browser
            .open(&world, &format!("/login?{}", encode(&[("next", next)])))
            .await;
        let fields = [
            ("transaction", hidden(&page)),
            ("username", "ada".into()),
            ("password", PASSWORD.to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = browser.submit(&world, "/login", &fields).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (303, "/"),
            "{next}"
        );
    }
}

#[tokio::test]
async fn az_06_co_06_answers_to_forms_are_303_and_cookies_are_locked() {
    let world = World::settled().await;
    let mut browser = Browser::default();
    let answer = attempt(&world, &mut browser, "ada", PASSWORD).await;
    assert_eq!(answer.status, 303);
    assert!(
        answer
            .header("set-cookie")
            .ends_with("; Path=/; HttpOnly; SameSite=Lax")
    );
    let secure = World::with(|s| s.issuer = "https://gw.test".into()).await;
    let page = secure.get("/login").await;
    let cookie = page.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-sallyport-browser=")
            && cookie.contains("; Secure; HttpOnly; SameSite=Lax")
    );
    assert!(!cookie.contains("Domain"));
}

#[tokio::test]
async fn nobody_logs_in_who_cannot_be_recorded() {
    let world = World::settled().await;
    let mut browser = Browser::default();
    let page = browser.open(&world, "/login").await;
    world.break_audit(true);
    for password in [PASSWORD, "wrong password"] {
        let transaction = hidden(&page);
        let fields = [
            ("transaction", transaction.as_str()),
            ("username", "ada"),
            ("password", password),
        ];
        let answer = browser.submit(&world, "/login", &fields).await;
        assert!(answer.is_page(503), "{password}");
        assert!(answer.header("set-cookie").is_empty());
    }
}

//! The account page: what a person sees there, and what each button ends.

use sallyport_core::audit::{Action, Outcome};

use crate::browser::{Browser, Connected, hidden, refresh};
use crate::world::{Answer, MCP, REDIRECT, WEB_REDIRECT, World, authorize};

/// The `transaction` of the form with a button that says `button`; of several the one at `nth`.
fn form(page: &Answer, button: &str, nth: usize) -> String {
    let forms: Vec<&str> = page.body.split("<form").skip(1).collect();
    let with = forms.iter().filter(|form| {
        form.split("</form>")
            .next()
            .unwrap()
            .contains(&format!(">{button}</button>"))
    });
    let form = with
        .clone()
        .nth(nth)
        .unwrap_or_else(|| panic!("no {button}: {page:?}"));
    let rest = form.split_once("name=\"transaction\" value=\"").unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn an_app_that_is_removed_has_to_ask_again_and_its_tokens_end() {
    let world = World::settled().await;
    let connected = Connected::new(&world, WEB_REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser.open(&world, "/account").await;
    assert_eq!(page.status, 200);
    for shown in ["Test client", "unverified", "c.test", MCP, "All servers"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let transaction = form(&page, "Remove", 0);
    let answer = browser
        .submit(&world, "/account", &[("transaction", &transaction)])
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/account")
    );
    assert!(world.verify(connected.access(), MCP).is_err());
    let refreshed = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    assert_eq!(refreshed.error(), (400, "invalid_grant".into()));
    let page = browser.open(&world, "/account").await;
    assert!(!page.body.contains("Test client"), "{}", page.body);
    assert_eq!(world.recorded(Action::Revoke, Outcome::Ok), 1);
    // The yes is forgotten too.
    let path = authorize(&connected.client, WEB_REDIRECT, &[]);
    let answer = browser.open_from(&world, &path, "none").await;
    assert!(answer.header("location").starts_with("/consent?"), "{answer:?}");
    // Pressing twice does no harm.
    let again = browser
        .submit(&world, "/account", &[("transaction", &transaction)])
        .await;
    assert_eq!(again.status, 303);
}

#[tokio::test]
async fn a_browser_that_is_signed_out_from_another_is_nobodys() {
    let world = World::settled().await;
    let mut lost = Browser::of_ada(&world).await;
    let mut mine = Browser::of_ada(&world).await;
    let page = mine.open(&world, "/account").await;
    assert_eq!(
        page.body.matches(">Sign out</button>").count(),
        1,
        "{}",
        page.body
    );
    let transaction = form(&page, "Sign out", 0);
    mine.submit(&world, "/account", &[("transaction", &transaction)])
        .await;
    assert!(
        lost.open(&world, "/account")
            .await
            .header("location")
            .starts_with("/login")
    );
    assert_eq!(mine.open(&world, "/account").await.status, 200);
}

#[tokio::test]
async fn lg_05_signing_out_everywhere_ends_sessions_and_if_wanted_apps_too() {
    let world = World::settled().await;
    for apps in [false, true] {
        let connected = Connected::new(&world, REDIRECT).await;
        let mut other = Browser::of_ada(&world).await;
        let mut mine = Browser::of_ada(&world).await;
        let page = mine.open(&world, "/account").await;
        let transaction = form(&page, "Sign out everywhere", 0);
        let mut fields = vec![("transaction", transaction.as_str())];
        if apps {
            fields.push(("apps", "end"));
        }
        let answer = mine.submit(&world, "/account", &fields).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
        for browser in [&mut mine, &mut other] {
            let page = browser.open(&world, "/account").await;
            assert!(page.header("location").starts_with("/login"), "{page:?}");
        }
        assert_eq!(world.verify(connected.access(), MCP).is_err(), apps);
        let refreshed = refresh(&world, &connected.client, connected.refresh(), &[]).await;
        assert_eq!(refreshed.status.as_u16(), if apps { 400 } else { 200 });
    }
}

#[tokio::test]
async fn co_02_nobody_presses_the_buttons_of_somebody_elses_account() {
    let world = World::settled().await;
    world.add_user("eve", false).await;
    let connected = Connected::new(&world, REDIRECT).await;
    let mut ada = Browser::of_ada(&world).await;
    let page = ada.open(&world, "/account").await;
    let transaction = form(&page, "Remove", 0);
    let mut eve = Browser::default();
    eve.log_in(&world, "/login", "eve").await;
    assert!(!eve.open(&world, "/account").await.body.contains("Test client"));
    let fields = [("transaction", transaction.as_str())];
    assert!(eve.submit(&world, "/account", &fields).await.is_page(403));
    assert!(
        Browser::default()
            .submit(&world, "/account", &fields)
            .await
            .is_page(403)
    );
    assert!(
        ada.submit_from(&world, "/account", &fields, "cross-site")
            .await
            .is_page(403)
    );
    assert!(ada.submit(&world, "/account", &[]).await.is_page(403));
    // A form of another kind, made for the same person.
    let logout = form(&page, "Sign out here", 0);
    assert!(
        ada.submit(&world, "/account", &[("transaction", &logout)])
            .await
            .is_page(403)
    );
    assert!(world.verify(connected.access(), MCP).is_ok());
    world.break_audit(true);
    assert!(ada.submit(&world, "/account", &fields).await.is_page(503));
    assert!(world.verify(connected.access(), MCP).is_ok());
}

#[tokio::test]
async fn without_a_session_the_account_page_is_behind_the_log_in() {
    let world = World::settled().await;
    let mut browser = Browser::default();
    let page = browser.log_in(&world, "/account", "ada").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Your account") && !hidden(&page).is_empty());
}

//! Which requests a remembered yes answers.

use crate::browser::{Browser, hidden, redeem};
use crate::world::{PASSWORD, REDIRECT, WEB_REDIRECT, World, authorize};

#[tokio::test]
async fn co_01_each_client_is_asked_about_and_other_sites_always() {
    let world = World::settled().await;
    let good = world.client(WEB_REDIRECT).await;
    let evil = world.client("https://evil.test/cb").await;
    let mut browser = Browser::of_ada(&world).await;
    browser.code(&world, &authorize(&good, WEB_REDIRECT, &[])).await;
    let path = authorize(&good, WEB_REDIRECT, &[]);
    assert!(
        browser
            .open_from(&world, &path, "none")
            .await
            .redirected("code")
            .is_some()
    );
    for site in ["cross-site", "same-site", "odd"] {
        let answer = browser.open_from(&world, &path, site).await;
        assert!(answer.header("location").starts_with("/consent?"), "{site}");
    }
    let evil = authorize(&evil, "https://evil.test/cb", &[]);
    assert!(
        browser
            .open_from(&world, &evil, "none")
            .await
            .header("location")
            .starts_with("/consent?")
    );
}

#[tokio::test]
async fn co_01_a_log_in_on_the_way_from_another_site_does_not_answer_either() {
    let world = World::settled().await;
    let client = world.client(WEB_REDIRECT).await;
    let path = authorize(&client, WEB_REDIRECT, &[]);
    Browser::of_ada(&world).await.code(&world, &path).await;
    for (site, asked) in [("cross-site", true), ("none", false)] {
        let mut browser = Browser::default();
        let answer = browser.open_from(&world, &path, site).await;
        let page = browser.follow(&world, answer, site).await;
        let fields = [
            ("transaction", hidden(&page)),
            ("username", "ada".into()),
            ("password", PASSWORD.to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = browser.submit(&world, "/login", &fields).await;
        let end = browser.follow(&world, answer, "same-origin").await;
        assert_eq!(end.body.contains("value=\"allow\""), asked, "{site}: {end:?}");
        assert_eq!(end.redirected("code").is_some(), !asked, "{site}");
    }
}

#[tokio::test]
async fn cm_09_local_clients_are_asked_about_every_time() {
    let world = World::settled().await;
    for redirect in [REDIRECT, "cursor://x/cb"] {
        let client = world.client(redirect).await;
        let mut browser = Browser::of_ada(&world).await;
        let path = authorize(&client, redirect, &[]);
        for _ in 0..2 {
            browser.code(&world, &path).await;
            assert!(
                browser
                    .open(&world, &path)
                    .await
                    .header("location")
                    .starts_with("/consent?"),
                "{redirect}"
            );
        }
    }
}

#[tokio::test]
async fn a_step_up_asks_for_what_is_new_and_gives_the_union() {
    let world = World::settled().await;
    let client = world.client(WEB_REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let path = |scope: &str| authorize(&client, WEB_REDIRECT, &[("scope", scope)]);
    browser.code(&world, &path("mcp:docs:read")).await;
    let page = browser.consent_page(&world, &path("mcp:docs:write")).await;
    let (new, kept) = page
        .body
        .split_once("You have allowed it to")
        .expect("what it has");
    assert!(
        new.contains("It will also be able to") && new.contains("see and use the tools"),
        "{page:?}"
    );
    assert!(
        !new.contains("see the tools, and") && kept.contains("see the tools, and"),
        "{page:?}"
    );
    let answer = browser.decide(&world, &page, "allow").await;
    let code = answer.redirected("code").expect("a code");
    let given = redeem(&world, &client, &code, WEB_REDIRECT, &[]).await.json();
    assert_eq!(given["scope"], "mcp:docs:read mcp:docs:write");
    // Now it has both: no page, and whoever asks for less gets less.
    let answer = browser.open(&world, &path("mcp:docs:read")).await;
    let code = answer.redirected("code").expect("a code without a page");
    let given = redeem(&world, &client, &code, WEB_REDIRECT, &[]).await.json();
    assert_eq!(given["scope"], "mcp:docs:read");
}

#[tokio::test]
async fn az_08_what_contains_a_scope_is_said_once() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let path = authorize(
        &client,
        REDIRECT,
        &[("scope", "mcp mcp:read mcp:docs:write admin")],
    );
    let page = browser.consent_page(&world, &path).await;
    assert!(page.body.contains("see and use the tools"), "{page:?}");
    assert!(
        !page.body.contains("server docs") && !page.body.contains("use the permission"),
        "{page:?}"
    );
}

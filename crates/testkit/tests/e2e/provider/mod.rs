//! People log in through identity providers, and attackers try to.

mod github;
mod lists;
mod oidc;
mod vouching;

use anyhow::Context as _;
use sallyport_testkit::browser::{Browser, Page};
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::Answer;

/// Where the browser is sent when the button of a provider is pressed on the log-in page.
async fn leave(browser: &mut Browser, provider: &str, next: &str) -> anyhow::Result<String> {
    browser.come_from("same-origin");
    let page = browser
        .open(&format!("/login?{}", encode(&[("next", next)])))
        .await?;
    let button = format!("href=\"/login/{provider}?{}\"", encode(&[("next", next)]));
    let html = page.answer.text();
    anyhow::ensure!(html.contains(&button), "{button}: {html}");
    let page = browser
        .open(&format!("/login/{provider}?{}", encode(&[("next", next)])))
        .await?;
    let location = page.answer.header("location");
    let location = location.with_context(|| format!("{} {}", page.answer.status(), page.answer.text()))?;
    Ok(location.to_owned())
}

/// Comes back from a provider with its answer, and follows redirects within the gateway.
async fn come_back(browser: &mut Browser, answer: &Answer) -> anyhow::Result<Page> {
    let path = sallyport_testkit::provider::location(answer)?;
    browser.come_from("cross-site");
    let page = browser.open(&path).await?;
    let page = browser.follow(page).await?;
    page.map_err(|outside| anyhow::anyhow!("left for {outside}"))
}

/// Who the front page says is signed in.
async fn signed_in(browser: &mut Browser) -> anyhow::Result<Option<String>> {
    let page = browser.open("/").await?;
    let html = page.answer.text();
    let rest = html.split_once("Signed in as <bdi class=\"key\">");
    Ok(rest
        .and_then(|(_, rest)| rest.split_once("</bdi>"))
        .map(|(name, _)| name.to_owned()))
}

fn encode(pairs: &[(&str, &str)]) -> String {
    sallyport_testkit::http::encode(pairs)
}

/// A gateway whose providers and lists these are.
async fn gateway(lists: &str, providers: &str) -> anyhow::Result<TestGateway> {
    TestGateway::start(&format!("auth:\n{lists}{providers}")).await
}

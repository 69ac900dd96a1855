//! People connect accounts at the servers behind, and calls use them.

mod attack;
mod calls;
mod commands;
mod connect;
mod own;
mod rotation;

use anyhow::Context as _;
use sallyport_core::UserId;
use sallyport_testkit::browser::{Browser, Form, Page};
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::Answer;
use sallyport_testkit::mcp::{Exchange, Legacy, Modern};
use sallyport_testkit::provider::{Guarded, LoginServer, Provider};
use serde_json::{Value, json};

use crate::support::{PATIENCE, names, within};

/// A server that wants tokens, who gives them out, and a gateway in front.
struct Stage {
    issuer: Provider<LoginServer>,
    server: Provider<Guarded>,
    gateway: TestGateway,
}

/// Somebody with a browser and a token for the gateway.
struct Someone {
    name: &'static str,
    id: UserId,
    browser: Browser,
    token: String,
}

impl Stage {
    async fn new(is_modern: bool) -> anyhow::Result<Self> {
        Self::with(is_modern, "").await
    }

    /// With `more` in the server's configuration.
    async fn with(is_modern: bool, more: &str) -> anyhow::Result<Self> {
        let issuer = LoginServer::start().await?;
        let server = Guarded::start(is_modern, &issuer).await?;
        let gateway = TestGateway::start(&configuration(&server, more)).await?;
        Ok(Self {
            issuer,
            server,
            gateway,
        })
    }

    /// Somebody who has logged in at the gateway.
    async fn someone(&self, name: &'static str, admin: bool) -> anyhow::Result<Someone> {
        let id = self.gateway.add_user(name, admin).await?;
        let client = self.gateway.client().await?;
        let mut browser = self.gateway.browser()?;
        let resource = self.gateway.resource("default");
        let tokens = client.log_in(&mut browser, &resource, (name, PASSWORD)).await?;
        browser.come_from("same-origin");
        Ok(Someone {
            name,
            id,
            browser,
            token: tokens.access,
        })
    }

    /// The first administrator, whose account is connected.
    async fn connected(&self) -> anyhow::Result<Someone> {
        let mut ada = self.someone("ada", true).await?;
        let page = self.connect(&mut ada, "default").await?;
        anyhow::ensure!(
            page.answer.text().contains(">connected<"),
            "{}",
            page.answer.text()
        );
        self.tools(&ada).await?;
        Ok(ada)
    }

    /// Connects an account by the whole way; the last page.
    async fn connect(&self, someone: &mut Someone, name: &str) -> anyhow::Result<Page> {
        self.issuer.provider.log_in_next(someone.name);
        let away = leave(&mut someone.browser, "docs", name).await?;
        let answer = self.issuer.visit(&away).await?;
        come_back(&mut someone.browser, &answer).await
    }

    /// Waits until somebody sees the server's tools.
    async fn tools(&self, someone: &Someone) -> anyhow::Result<()> {
        let mut client = self.modern(someone, json!({}));
        within(PATIENCE, async || {
            let listed = client.request("tools/list", json!({})).await?;
            Ok(names(listed.result()?).contains(&"whoami"))
        })
        .await?;
        Ok(())
    }

    fn modern(&self, someone: &Someone, capabilities: Value) -> Modern {
        Modern::new(self.gateway.endpoint("default", &someone.token), capabilities)
    }

    async fn legacy(&self, someone: &Someone, capabilities: Value) -> anyhow::Result<Legacy> {
        let endpoint = self.gateway.endpoint("default", &someone.token);
        Legacy::open(endpoint, "2025-11-25", capabilities).await
    }

    /// Whose token the server gets when this person calls.
    async fn whoami(&self, someone: &Someone) -> anyhow::Result<Exchange> {
        self.modern(someone, json!({})).call("whoami", json!({})).await
    }

    /// The page with the accounts of one server.
    async fn page(&self, someone: &mut Someone) -> anyhow::Result<String> {
        let page = someone.browser.open("/connect/docs").await?;
        Ok(page.answer.expect(200)?.text())
    }
}

/// The configuration of the server `docs`.
fn configuration(server: &Provider<Guarded>, more: &str) -> String {
    format!(
        "servers:\n  docs: {{ url: \"{}\"{more} }}\n",
        server.provider.endpoint()
    )
}

/// The form whose button says so.
fn button(page: &Page, value: &str) -> anyhow::Result<Form> {
    let pressed = ("decision".to_owned(), value.to_owned());
    let found = page
        .forms()
        .into_iter()
        .find(|form| form.buttons.contains(&pressed));
    let found = found.with_context(|| {
        format!(
            "no button {value}: {} {}",
            page.answer.status(),
            page.answer.text()
        )
    })?;
    Ok(found.press("decision", value))
}

/// The page that asks, for an account of this name.
async fn ask(browser: &mut Browser, server: &str, name: &str) -> anyhow::Result<Page> {
    let page = browser.open(&format!("/connect/{server}")).await?;
    let form = button(&page, "connect")?.fill("account", name);
    browser.submit(&page, &form).await
}

/// Says yes to it; where the browser goes.
async fn leave(browser: &mut Browser, server: &str, name: &str) -> anyhow::Result<String> {
    let page = ask(browser, server, name).await?;
    go(browser, &page).await
}

/// Presses the button of the page that asks.
async fn go(browser: &mut Browser, page: &Page) -> anyhow::Result<String> {
    let page = browser.submit(page, &button(page, "allow")?).await?;
    let location = page.answer.header("location");
    let location = location.with_context(|| format!("{} {}", page.answer.status(), page.answer.text()))?;
    Ok(location.to_owned())
}

/// Comes back with the authorization server's answer, and follows redirects within the gateway.
async fn come_back(browser: &mut Browser, answer: &Answer) -> anyhow::Result<Page> {
    let path = sallyport_testkit::provider::location(answer)?;
    browser.come_from("cross-site");
    let page = browser.open(&path).await?;
    browser.come_from("same-origin");
    let page = browser.follow(page).await?;
    page.map_err(|outside| anyhow::anyhow!("left for {outside}"))
}

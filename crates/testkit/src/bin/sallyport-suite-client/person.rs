//! The person before the gateway, and their browser.

use anyhow::Context as _;
use sallyport_testkit::browser::{Browser, Form, Page};
use sallyport_testkit::front::{Front, PASSWORD};
use sallyport_testkit::http::{Answer, Connection, Request};
use url::Url;

/// Their name at the gateway.
pub(crate) const NAME: &str = "ada";

/// The page of their accounts at the server behind.
pub(crate) const PAGE: &str = "/connect/suite";

/// Somebody who is logged in at the gateway.
pub(crate) struct Person {
    browser: Browser,
}

impl Person {
    /// Logs in with a new client; the person, and the client's token.
    pub(crate) async fn log_in(front: &Front) -> anyhow::Result<(Self, String)> {
        let client = front.client().await?;
        let mut browser = front.browser()?;
        let login = (NAME, PASSWORD);
        let tokens = client
            .log_in(&mut browser, &front.resource("default"), login)
            .await?;
        Ok((Self { browser }, tokens.access))
    }

    /// Whether the page asks for an account, because there is none or none that is good.
    pub(crate) async fn is_asked(&mut self) -> anyhow::Result<bool> {
        let page = self.browser.open(PAGE).await?;
        let text = page.answer.text();
        Ok(page.answer.status() == 200 && button(&page, "connect").is_ok() && !text.contains(">connected<"))
    }

    /// Connects an account, beginning at a page of the gateway: says yes to everything. The authorization server of the suite
    /// asks nobody and sends the browser back at once.
    pub(crate) async fn connect(&mut self, page: &str) -> anyhow::Result<()> {
        self.browser.come_from("same-origin");
        let page = self.browser.open(page).await?;
        let form = button(&page, "again").or_else(|_| button(&page, "connect"))?;
        let asked = self.browser.submit(&page, &form).await?;
        let left = self.browser.submit(&asked, &button(&asked, "allow")?).await?;
        let answer = fetch(&redirect(&left.answer)?).await?;
        let back = redirect(&answer)?;
        self.browser.come_from("cross-site");
        let page = self.browser.open(back.as_str()).await?;
        let page = self.browser.follow(page).await?;
        let page = page.map_err(|outside| anyhow::anyhow!("left for {outside}"))?;
        let text = page.answer.text();
        anyhow::ensure!(text.contains(">connected<"), "{} {text}", page.answer.status());
        Ok(())
    }
}

/// The form with this button, pressed.
fn button(page: &Page, value: &str) -> anyhow::Result<Form> {
    let pressed = ("decision".to_owned(), value.to_owned());
    let mut forms = page.forms().into_iter();
    let form = forms.find(|form| form.buttons.contains(&pressed));
    let form = form.with_context(|| format!("no button {value}: {}", page.answer.text()))?;
    Ok(form.press("decision", value))
}

/// Where an answer sends the browser.
fn redirect(answer: &Answer) -> anyhow::Result<Url> {
    let location = answer.header("location");
    let location = location.with_context(|| format!("no redirect: {} {}", answer.status(), answer.text()))?;
    Ok(Url::parse(location)?)
}

/// What a server of the suite's answers to somebody who is not the gateway.
pub(crate) async fn fetch(url: &Url) -> anyhow::Result<Answer> {
    let port = url.port_or_known_default().context("a port")?;
    let mut connection = Connection::open(([127, 0, 0, 1], port).into(), url.authority()).await?;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    connection.ask(&Request::get(&target)).await
}

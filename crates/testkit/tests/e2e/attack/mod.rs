//! Attackers at the front door of a running gateway; each test bears the id of the attack in `docs/attacks.md`.

mod audience;
mod authorize;
mod consent;
mod dpop;
mod jwt;
mod pkce;
mod redirects;
mod revocation;
mod scopes;
mod token;
mod upstream;

use std::time::Duration;

use anyhow::Context as _;
use sallyport_testkit::browser::Browser;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::oauth::{OauthClient, Tokens, VERIFIER, get};
use serde_json::{Value, json};
use url::Url;

/// Who logs in.
const ADA: (&str, &str) = ("ada", PASSWORD);
/// What the registered client of a web application is.
const WEB: &str = "https://c.test/cb";

/// A gateway, a person's browser, and a client that the attacker plays with.
struct Stage {
    gateway: TestGateway,
    browser: Browser,
    client: OauthClient,
}

impl Stage {
    async fn new() -> anyhow::Result<Self> {
        Self::with("").await
    }

    async fn with(more: &str) -> anyhow::Result<Self> {
        let gateway = TestGateway::start(more).await?;
        gateway.add_user(ADA.0, true).await?;
        let client = gateway.client().await?;
        let browser = gateway.browser()?;
        Ok(Self {
            gateway,
            browser,
            client,
        })
    }

    async fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        self.gateway.connect().await?.ask(request).await
    }

    async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(&Request::get(path)).await
    }

    /// Registers; a minute passes first, so that nobody is throttled.
    async fn register(&self, metadata: &Value) -> anyhow::Result<Answer> {
        self.gateway.advance(Duration::from_secs(60));
        self.ask(&Request::post("/register").json(metadata)).await
    }

    /// Another client, with this redirect URI.
    async fn client_at(&self, redirect: &str) -> anyhow::Result<OauthClient> {
        let metadata = json!({ "client_name": "another", "redirect_uris": [redirect] });
        let registered = self.register(&metadata).await?.expect(201)?.json()?;
        let mut client = self.client.clone();
        let id = registered.get("client_id").and_then(Value::as_str);
        id.context("client_id")?.clone_into(&mut client.id);
        client.redirect = redirect.to_owned();
        Ok(client)
    }

    /// An authorization request of the client with other values; an empty one leaves the parameter out.
    fn authorize(&self, changes: &[(&str, &str)]) -> String {
        self.authorize_of(&self.client, changes)
    }

    fn authorize_of(&self, client: &OauthClient, changes: &[(&str, &str)]) -> String {
        let mut parameters = client.parameters(&self.gateway.resource("default"));
        for (name, value) in changes {
            parameters.retain(|(known, _)| known != name);
            if !value.is_empty() {
                parameters.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        OauthClient::authorize_path(&parameters)
    }

    /// A code that ada has allowed.
    async fn code(&mut self) -> anyhow::Result<String> {
        let client = self.client.clone();
        self.code_of(&client).await
    }

    async fn code_of(&mut self, client: &OauthClient) -> anyhow::Result<String> {
        let resource = self.gateway.resource("default");
        let answer = client
            .authorize(&mut self.browser, &resource, ADA, "allow")
            .await?;
        Ok(get(&answer, "code").context("code")?.to_owned())
    }

    /// Redeems a code with other values; an empty one leaves the field out.
    async fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let resource = self.gateway.resource("default");
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", self.client.id.as_str()),
            ("code", code),
            ("redirect_uri", self.client.redirect.as_str()),
            ("code_verifier", VERIFIER),
            ("resource", resource.as_str()),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name, value));
            }
        }
        self.ask(&Request::post("/token").form(&fields)).await
    }

    async fn tokens(&mut self) -> anyhow::Result<Tokens> {
        let code = self.code().await?;
        Tokens::read(self.redeem(&code, &[]).await?)
    }

    /// The answer to a `tools/list` with this token.
    async fn list(&self, token: &str) -> anyhow::Result<Answer> {
        self.ask(&list("/mcp").bearer(token)).await
    }
}

/// `tools/list` of 2026-07-28, without a token.
pub(crate) fn list(path: &str) -> Request {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } } });
    let request = Request::post(path).rpc(&message);
    request
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", "tools/list")
}

/// A parameter of the address that the answer redirects to.
fn redirected(answer: &Answer, name: &str) -> Option<String> {
    let location = Url::parse(answer.header("location")?).ok()?;
    let found = location.query_pairs().find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned())
}

/// Whether it is an error page: nothing that a browser would follow.
pub(crate) fn is_page(answer: &Answer, status: u16) -> bool {
    answer.status() == status
        && answer.header("location").is_none()
        && answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
}

/// Status and `error` of an answer of the token or registration endpoint.
pub(crate) fn error(answer: &Answer) -> (u16, String) {
    let body = answer.json().unwrap_or_default();
    (
        answer.status(),
        body.get("error")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    )
}

/// Status and `error` as [`error`] gives them.
pub(crate) fn refused(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// Somewhere on this machine where nobody has any business.
struct Canary(std::net::TcpListener);

impl Canary {
    fn new() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    fn url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}/x", self.0.local_addr()?))
    }

    /// Whether nobody has connected so far.
    fn sings(&self) -> bool {
        self.0
            .accept()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

//! The OAuth side of an MCP client, one step at a time, so that a test can do each of them wrong.

use std::net::SocketAddr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::Url;

use crate::browser::{Browser, Page};
use crate::http::{Answer, Connection, Request};

/// Where the tests' client would listen; nobody does.
pub const REDIRECT: &str = "http://127.0.0.1:33418/callback";
/// A verifier of the right form (RFC 7636 §4.1).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// The S256 challenge of a verifier (RFC 7636 §4.2).
#[must_use]
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        verifier.as_bytes(),
    ))
}

/// The tokens of a response of the token endpoint (RFC 6749 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// `access_token`.
    pub access: String,
    /// `refresh_token`; empty when there is none.
    pub refresh: String,
}

impl Tokens {
    /// Reads them from a successful response.
    ///
    /// # Errors
    /// With the response, when it is none.
    pub fn read(answer: Answer) -> anyhow::Result<Self> {
        let body = answer.expect(200)?.json()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            access: text("access_token").context("access_token")?,
            refresh: text("refresh_token").unwrap_or_default(),
        })
    }

    /// The claims of the access token, unverified.
    ///
    /// # Errors
    /// When it is no JWT.
    pub fn claims(&self) -> anyhow::Result<Value> {
        let payload = self.access.split('.').nth(1).context("a JWT has three parts")?;
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
    }
}

/// The parameters of an authorization request; a test changes what it wants before it sends them.
pub type Parameters = Vec<(String, String)>;

/// A client of one authorization server.
#[derive(Clone, Debug)]
pub struct OauthClient {
    address: SocketAddr,
    host: String,
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`, for a confidential client.
    pub secret: Option<String>,
    /// The redirect URI that it uses.
    pub redirect: String,
}

impl OauthClient {
    /// Registers a public client (RFC 7591).
    ///
    /// # Errors
    /// When it is refused.
    pub async fn register(address: SocketAddr, host: &str) -> anyhow::Result<Self> {
        let metadata = json!({
            "client_name": "testkit",
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let answer = Self::send(address, host, &Request::post("/register").json(&metadata)).await?;
        let body = answer.expect(201)?.json()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            address,
            host: host.to_owned(),
            id: text("client_id").context("client_id")?,
            secret: text("client_secret"),
            redirect: REDIRECT.to_owned(),
        })
    }

    /// A public client that the server knows by this `client_id`, or that it can find out about.
    #[must_use]
    pub fn known(address: SocketAddr, host: &str, id: &str) -> Self {
        Self {
            address,
            host: host.to_owned(),
            id: id.to_owned(),
            secret: None,
            redirect: REDIRECT.to_owned(),
        }
    }

    async fn send(address: SocketAddr, host: &str, request: &Request) -> anyhow::Result<Answer> {
        Connection::open(address, host).await?.ask(request).await
    }

    /// Right parameters for `resource`.
    #[must_use]
    pub fn parameters(&self, resource: &str) -> Parameters {
        let pairs = [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect),
            ("state", "state-of-the-test"),
            ("code_challenge", &challenge(VERIFIER)),
            ("code_challenge_method", "S256"),
            ("resource", resource),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// The path of an authorization request.
    #[must_use]
    pub fn authorize_path(parameters: &Parameters) -> String {
        let pairs: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        format!("/authorize?{}", crate::http::encode(&pairs))
    }

    /// Asks for `resource` in `browser`: logs in if the page asks for it, says `decision` if it asks for consent.
    /// The parameters of the redirect to the client.
    ///
    /// # Errors
    /// When the browser ends on a page of the gateway.
    pub async fn authorize(
        &self,
        browser: &mut Browser,
        resource: &str,
        login: (&str, &str),
        decision: &str,
    ) -> anyhow::Result<Parameters> {
        let page = browser
            .open(&Self::authorize_path(&self.parameters(resource)))
            .await?;
        let redirect = walk(browser, page, login, decision).await?;
        Ok(redirect
            .query_pairs()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect())
    }

    /// Sends `fields` to the token endpoint, with the client's own besides.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn token(&self, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut fields = fields.to_vec();
        fields.push(("client_id", &self.id));
        if let Some(secret) = &self.secret {
            fields.push(("client_secret", secret));
        }
        Self::send(self.address, &self.host, &Request::post("/token").form(&fields)).await
    }

    /// Redeems a code.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn redeem(&self, code: &str, resource: &str) -> anyhow::Result<Answer> {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect),
            ("code_verifier", VERIFIER),
            ("resource", resource),
        ])
        .await
    }

    /// Redeems a refresh token.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn refresh(&self, token: &str) -> anyhow::Result<Answer> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    /// The whole way: authorize, allow, redeem.
    ///
    /// # Errors
    /// At the first step that fails.
    pub async fn log_in(
        &self,
        browser: &mut Browser,
        resource: &str,
        login: (&str, &str),
    ) -> anyhow::Result<Tokens> {
        let answer = self.authorize(browser, resource, login, "allow").await?;
        let code = get(&answer, "code").with_context(|| format!("no code: {answer:?}"))?;
        Tokens::read(self.redeem(code, resource).await?)
    }
}

/// The parameter `name`.
#[must_use]
pub fn get<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

/// From the page that an authorization request shows to the redirect out of the gateway.
///
/// # Errors
/// With the page on which there is nothing to fill in.
pub async fn walk(
    browser: &mut Browser,
    page: Page,
    (user, password): (&str, &str),
    decision: &str,
) -> anyhow::Result<Url> {
    let mut page = page;
    for _ in 0..5 {
        page = match browser.follow(page).await? {
            Ok(page) => page,
            Err(outside) => return Ok(outside),
        };
        let form = match page.consent() {
            Some(form) => form.press("decision", decision),
            None => page
                .form_with("password")?
                .fill("username", user)
                .fill("password", password),
        };
        page = browser.submit(&page, &form).await?;
    }
    anyhow::bail!("the login goes round in circles: {}", page.answer.text())
}

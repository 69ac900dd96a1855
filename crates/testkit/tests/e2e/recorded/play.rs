//! Plays a client from its first request to a call with renewed tokens.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_testkit::browser::Browser;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::oauth::{OauthClient, Parameters, VERIFIER, challenge, get};
use sallyport_testkit::site::Site;
use serde_json::Value;

use super::fixture::{Authentication, Described, Fixture, Message};

/// Where the client is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    AtTheEnd,
    BeforeRedeeming,
    BeforeCalling,
    /// It calls, but does not show its token.
    CallWithout,
}

/// What is at the URL that a client names as its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Document {
    AsItIs,
    /// Nothing.
    Gone,
    /// The document of a client at another URL.
    OfAnother,
    /// A document with a secret, which everybody could read.
    WithSecret,
}

/// What the client will send, for a mutation to change.
pub(super) struct Plan {
    pub(super) endpoint: &'static str,
    pub(super) redirect: String,
    pub(super) decision: &'static str,
    pub(super) stop: Stop,
    pub(super) document: Document,
    /// Replaces values (`Some`) and leaves them out (`None`).
    authorize: Vec<(&'static str, Option<String>)>,
    token: Vec<(&'static str, Option<String>)>,
    refresh: Vec<(&'static str, Option<String>)>,
    added: Vec<(&'static str, &'static str)>,
}

impl Plan {
    pub(super) fn of(fixture: &Fixture) -> Self {
        Self {
            endpoint: "/mcp",
            redirect: fixture.redirect.clone(),
            decision: "allow",
            stop: Stop::AtTheEnd,
            document: Document::AsItIs,
            authorize: Vec::new(),
            token: Vec::new(),
            refresh: Vec::new(),
            added: Vec::new(),
        }
    }

    pub(super) fn drop(&mut self, name: &'static str) {
        self.authorize.push((name, None));
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.authorize.push((name, Some(value.to_owned())));
    }

    /// Puts something behind a value.
    pub(super) fn add(&mut self, name: &'static str, more: &'static str) {
        self.added.push((name, more));
    }

    pub(super) fn drop_token(&mut self, name: &'static str) {
        self.token.push((name, None));
    }

    pub(super) fn set_token(&mut self, name: &'static str, value: &str) {
        self.token.push((name, Some(value.to_owned())));
    }

    pub(super) fn drop_refresh(&mut self, name: &'static str) {
        self.refresh.push((name, None));
    }

    pub(super) fn set_refresh(&mut self, name: &'static str, value: &str) {
        self.refresh.push((name, Some(value.to_owned())));
    }
}

fn apply(fields: &mut Parameters, changes: &[(&'static str, Option<String>)]) {
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        if let Some(value) = value {
            fields.push(((*name).to_owned(), value.clone()));
        }
    }
}

/// A client at one gateway.
pub(super) struct Player<'a> {
    pub(super) gateway: &'a TestGateway,
    pub(super) site: &'a Site,
    pub(super) fixture: &'a Fixture,
    pub(super) plan: Plan,
    /// Which attempt it is. Each has a document of its own, so that no yes to another one is remembered.
    pub(super) attempt: usize,
}

/// The client as the gateway knows it.
struct Registered {
    id: String,
    secret: Option<String>,
}

impl Player<'_> {
    /// Plays until the plan or the gateway stops it.
    ///
    /// # Errors
    /// When an answer is another one than the client can use.
    pub(super) async fn play(&self, browser: &mut Browser) -> anyhow::Result<()> {
        for knock in &self.fixture.knocks {
            // Of some only the head is looked at: a HEAD has no more.
            let head = self.gateway.connect().await?.begin(&self.message(knock)).await?;
            ensure!(head.status == 401, "{} {}", knock.method, head.status);
            let challenge = head.header("www-authenticate").unwrap_or_default();
            let origin = self.gateway.origin();
            let told = format!("resource_metadata=\"{origin}/.well-known/oauth-protected-resource");
            ensure!(
                challenge.contains(&told) && challenge.contains("scope=\"mcp\""),
                "{challenge}"
            );
        }
        self.discover().await?;
        let registered = self.register().await?;
        let asked = self.authorization(&registered);
        let path = OauthClient::authorize_path(&asked);
        if self.fixture.looks_first {
            let answer = self
                .ask(Request::get(&path).header("User-Agent", &self.fixture.agent))
                .await?;
            ensure!(matches!(answer.status(), 303 | 400), "{}", answer.status());
        }
        let Some(code) = self.person(browser, &path, &asked).await? else {
            return Ok(());
        };
        if self.plan.stop == Stop::BeforeRedeeming {
            return Ok(());
        }
        let mut form = self.base("authorization_code", &registered);
        form.push(("code".to_owned(), code));
        form.push(("redirect_uri".to_owned(), self.plan.redirect.clone()));
        form.push(("code_verifier".to_owned(), VERIFIER.to_owned()));
        if self.fixture.authorize.resource {
            form.push(("resource".to_owned(), self.resource()));
        }
        apply(&mut form, &self.plan.token);
        let answer = self.token(&registered, &form).await?;
        if answer.status() != 200 || self.plan.stop == Stop::BeforeCalling {
            return Ok(());
        }
        self.work(&registered, answer.json()?).await
    }

    /// The first call, a refresh, and a call with the new token.
    async fn work(&self, registered: &Registered, tokens: Value) -> anyhow::Result<()> {
        let text = |tokens: &Value, name: &str| -> anyhow::Result<String> {
            let value = tokens.get(name).and_then(Value::as_str);
            Ok(value.with_context(|| name.to_owned())?.to_owned())
        };
        ensure!(text(&tokens, "scope")? == "mcp" && tokens.get("expires_in").is_some());
        let access = text(&tokens, "access_token")?;
        if self.plan.stop == Stop::CallWithout {
            ensure!(self.call(None).await?.status() == 401);
            return Ok(());
        }
        let called = self.call(Some(&access)).await?;
        ensure!(called.status() == 200, "{} {}", called.status(), called.text());
        let mut form = self.base("refresh_token", registered);
        form.push(("refresh_token".to_owned(), text(&tokens, "refresh_token")?));
        if self.fixture.refresh.resource {
            form.push(("resource".to_owned(), self.resource()));
        }
        if let Some(scope) = &self.fixture.refresh.scope {
            form.push(("scope".to_owned(), scope.clone()));
        }
        apply(&mut form, &self.plan.refresh);
        let renewed = self.token(registered, &form).await?;
        if renewed.status() == 200 {
            let renewed = text(&renewed.json()?, "access_token")?;
            ensure!(self.call(Some(&renewed)).await?.status() == 200);
            // A refresh ends no access token (R18).
            ensure!(self.call(Some(&access)).await?.status() == 200);
        }
        Ok(())
    }

    async fn discover(&self) -> anyhow::Result<()> {
        for path in &self.fixture.documents {
            let document = self
                .ask(self.oauth(Request::get(path)))
                .await?
                .expect(200)?
                .json()?;
            if path.contains("protected-resource") {
                let resource = document.get("resource").and_then(Value::as_str);
                ensure!(resource == Some(&self.resource()), "{path}: {document}");
            } else {
                let issuer = document.get("issuer").and_then(Value::as_str);
                ensure!(issuer == Some(&self.gateway.origin()), "{path}: {document}");
            }
        }
        Ok(())
    }

    /// The client's document, as its site sends it from now on.
    fn describe(&self, described: &Described) -> Registered {
        let path = format!("{}?attempt={}", described.path, self.attempt);
        let id = self.site.url(&path);
        let mut document = described.metadata.clone();
        document.insert("client_id".to_owned(), id.as_str().into());
        match self.plan.document {
            Document::AsItIs | Document::Gone => {}
            Document::OfAnother => {
                document.insert("client_id".to_owned(), format!("{id}/").into());
            }
            Document::WithSecret => {
                document.insert("client_secret".to_owned(), "for everybody".into());
            }
        }
        if self.plan.document == Document::Gone {
            self.site.remove(&path);
        } else {
            self.site.serve(&path, &Value::Object(document));
        }
        Registered { id, secret: None }
    }

    async fn register(&self) -> anyhow::Result<Registered> {
        if let Some(described) = &self.fixture.document {
            return Ok(self.describe(described));
        }
        let sent = self.fixture.registration.as_ref().context("a registration")?;
        let request = self.oauth(Request::post("/register").json(sent));
        let answer = self.ask(request).await?.expect(201)?.json()?;
        let members = sent.as_object().context("an object")?;
        for (member, value) in members.iter().filter(|(member, _)| *member != "scope") {
            ensure!(
                answer.get(member) == Some(value),
                "{member} is not echoed: {answer}"
            );
        }
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Registered {
            id: text("client_id").context("client_id")?,
            secret: text("client_secret"),
        })
    }

    fn authorization(&self, registered: &Registered) -> Parameters {
        let mut asked: Parameters = [
            ("response_type", "code"),
            ("client_id", &registered.id),
            ("redirect_uri", &self.plan.redirect),
            ("state", "state-of-the-client"),
            ("code_challenge", &challenge(VERIFIER)),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let authorize = &self.fixture.authorize;
        let resource = authorize.resource.then(|| self.resource());
        for (name, value) in [
            ("resource", resource),
            ("scope", authorize.scope.clone()),
            ("prompt", authorize.prompt.clone()),
        ] {
            asked.extend(value.map(|value| (name.to_owned(), value)));
        }
        apply(&mut asked, &self.plan.authorize);
        for (name, more) in &self.plan.added {
            for (_, value) in asked.iter_mut().filter(|(known, _)| known == name) {
                value.push_str(more);
            }
        }
        asked
    }

    /// What the person's browser brings back: a code, or nothing.
    async fn person(
        &self,
        browser: &mut Browser,
        path: &str,
        asked: &Parameters,
    ) -> anyhow::Result<Option<String>> {
        let mut page = browser.open(path).await?;
        for _ in 0..4 {
            page = match browser.follow(page).await? {
                Ok(page) => page,
                Err(outside) => return self.back(&outside, asked),
            };
            let form = match page.consent() {
                Some(form) => form.press("decision", self.plan.decision),
                None if page.answer.status() == 400 => return Ok(None),
                None => page
                    .form_with("password")?
                    .fill("username", "ada")
                    .fill("password", PASSWORD),
            };
            page = browser.submit(&page, &form).await?;
        }
        anyhow::bail!("the log-in goes round in circles")
    }

    /// Every redirect is to the very address that was asked for, with `iss` and the client's `state`.
    fn back(&self, outside: &url::Url, asked: &Parameters) -> anyhow::Result<Option<String>> {
        let at = outside.as_str();
        let wanted = get(asked, "redirect_uri").unwrap_or_default();
        ensure!(
            at.starts_with(wanted.trim_end_matches('/')),
            "{at} instead of {wanted}"
        );
        let value = |name: &str| {
            let found = outside.query_pairs().find(|(known, _)| known == name);
            found.map(|(_, value)| value.into_owned())
        };
        ensure!(value("iss") == Some(self.gateway.origin()), "{at}");
        ensure!(value("state").as_deref() == get(asked, "state"), "{at}");
        Ok(value("code"))
    }

    fn base(&self, grant: &str, registered: &Registered) -> Parameters {
        let mut form = vec![
            ("grant_type".to_owned(), grant.to_owned()),
            ("client_id".to_owned(), registered.id.clone()),
        ];
        if self.fixture.token.authentication == Authentication::Post {
            form.extend(
                registered
                    .secret
                    .clone()
                    .map(|secret| ("client_secret".to_owned(), secret)),
            );
        }
        form
    }

    async fn token(&self, registered: &Registered, form: &Parameters) -> anyhow::Result<Answer> {
        let fields: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut request = self.oauth(Request::post("/token").form(&fields));
        for (name, value) in &self.fixture.token.headers {
            request = request.header(name, value);
        }
        let is_own = get(form, "client_id") == Some(&registered.id);
        if self.fixture.token.authentication == Authentication::Basic && is_own {
            let secret = registered.secret.as_deref().context("a secret")?;
            let pair = STANDARD.encode(format!("{}:{secret}", registered.id));
            request = request.header("Authorization", &format!("Basic {pair}"));
        }
        let answer = self.ask(request).await?;
        ensure!(answer.header("cache-control") == Some("no-store"));
        Ok(answer)
    }

    async fn call(&self, token: Option<&str>) -> anyhow::Result<Answer> {
        let request = self.message(&self.fixture.call);
        self.ask(match token {
            Some(token) => request.bearer(token),
            None => request,
        })
        .await
    }

    fn message(&self, message: &Message) -> Request {
        let mut request = Request::new(&message.method, self.plan.endpoint);
        if !self.fixture.agent.is_empty() {
            request = request.header("User-Agent", &self.fixture.agent);
        }
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        match &message.json {
            Some(json) => request.json(json),
            None => request,
        }
    }

    fn oauth(&self, request: Request) -> Request {
        match self.fixture.oauth_agent.as_str() {
            "" => request,
            agent => request.header("User-Agent", agent),
        }
    }

    async fn ask(&self, request: Request) -> anyhow::Result<Answer> {
        self.gateway.connect().await?.ask(&request).await
    }

    fn resource(&self) -> String {
        self.gateway.resource("default")
    }
}

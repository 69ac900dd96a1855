//! A person's browser: cookies, redirects, forms.

use std::collections::BTreeMap;

use axum::body::Body;
use http::Request;
use serde_json::Value;

use crate::world::{Answer, PASSWORD, VERIFIER, World, authorize, encode};

#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Opens an address: `site` is what `Sec-Fetch-Site` says.
    pub(crate) async fn open_from(&mut self, world: &World, path: &str, site: &str) -> Answer {
        let request = Request::get(path)
            .header("sec-fetch-site", site)
            .header("cookie", self.cookie_line());
        self.keep(world.send(request.body(Body::empty()).unwrap()).await)
    }

    pub(crate) async fn open(&mut self, world: &World, path: &str) -> Answer {
        self.open_from(world, path, "none").await
    }

    /// Sends a form of ours.
    pub(crate) async fn submit(&mut self, world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit_from(world, path, fields, "same-origin").await
    }

    pub(crate) async fn submit_from(
        &mut self,
        world: &World,
        path: &str,
        fields: &[(&str, &str)],
        site: &str,
    ) -> Answer {
        let request = Request::post(path)
            .header("sec-fetch-site", site)
            .header("cookie", self.cookie_line())
            .header("content-type", "application/x-www-form-urlencoded");
        self.keep(
            world
                .send(request.body(Body::from(encode(fields))).unwrap())
                .await,
        )
    }

    /// Follows redirects as long as they stay at the gateway.
    pub(crate) async fn follow(&mut self, world: &World, mut answer: Answer, site: &str) -> Answer {
        for _ in 0..5 {
            let location = answer.header("location").to_owned();
            if !location.starts_with('/') {
                break;
            }
            answer = self.open_from(world, &location, site).await;
        }
        answer
    }

    /// Logs in and shows the page that `path` leads to in the end.
    pub(crate) async fn log_in(&mut self, world: &World, path: &str, name: &str) -> Answer {
        let answer = self.open(world, path).await;
        let page = self.follow(world, answer, "none").await;
        let fields = [
            ("transaction", hidden(&page)),
            ("username", name.into()),
            ("password", PASSWORD.into()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = self.submit(world, "/login", &fields).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        self.follow(world, answer, "same-origin").await
    }

    /// A browser of `ada` that is logged in.
    pub(crate) async fn of_ada(world: &World) -> Self {
        let mut browser = Self::default();
        browser.log_in(world, "/login", "ada").await;
        browser
    }

    /// The consent page of a request, from a browser that is logged in.
    pub(crate) async fn consent_page(&mut self, world: &World, path: &str) -> Answer {
        let answer = self.open_from(world, path, "cross-site").await;
        let page = self.follow(world, answer, "cross-site").await;
        assert!(page.body.contains("value=\"allow\""), "{page:?}");
        page
    }

    pub(crate) async fn decide(&mut self, world: &World, page: &Answer, decision: &str) -> Answer {
        self.submit(
            world,
            "/consent",
            &[("transaction", &hidden(page)), ("decision", decision)],
        )
        .await
    }

    /// An authorization code for a request.
    pub(crate) async fn code(&mut self, world: &World, path: &str) -> String {
        let page = self.consent_page(world, path).await;
        let answer = self.decide(world, &page, "allow").await;
        answer.redirected("code").unwrap_or_else(|| panic!("{answer:?}"))
    }

    fn cookie_line(&self) -> String {
        self.cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn keep(&mut self, answer: Answer) -> Answer {
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
        answer
    }
}

/// The hidden input of a page's form.
pub(crate) fn hidden(page: &Answer) -> String {
    let start = page
        .body
        .find("name=\"transaction\" value=\"")
        .unwrap_or_else(|| panic!("no form: {page:?}"));
    let rest = &page.body[start + "name=\"transaction\" value=\"".len()..];
    rest[..rest.find('"').unwrap()].to_owned()
}

/// A client with its tokens.
pub(crate) struct Connected {
    pub(crate) client: String,
    pub(crate) tokens: Value,
}

impl Connected {
    /// Registers, logs in as `ada`, consents, redeems.
    pub(crate) async fn new(world: &World, redirect_uri: &str) -> Self {
        let client = world.client(redirect_uri).await;
        let mut browser = Browser::of_ada(world).await;
        let code = browser.code(world, &authorize(&client, redirect_uri, &[])).await;
        let answer = redeem(world, &client, &code, redirect_uri, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Self {
            client,
            tokens: answer.json(),
        }
    }

    pub(crate) fn access(&self) -> &str {
        self.tokens["access_token"].as_str().unwrap()
    }

    pub(crate) fn refresh(&self) -> &str {
        self.tokens["refresh_token"].as_str().unwrap()
    }
}

/// A token request for a code; `changes` replace, add, or remove by an empty value.
pub(crate) async fn redeem(
    world: &World,
    client: &str,
    code: &str,
    redirect_uri: &str,
    changes: &[(&str, &str)],
) -> Answer {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", VERIFIER),
    ];
    for change in changes {
        fields.retain(|(name, _)| name != &change.0);
        if !change.1.is_empty() {
            fields.push(*change);
        }
    }
    world.form("/token", &fields).await
}

/// A token request for a refresh token.
pub(crate) async fn refresh(world: &World, client: &str, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", token),
    ];
    fields.extend_from_slice(more);
    world.form("/token", &fields).await
}

#[tokio::test]
async fn a_person_connects_a_client_from_nothing() {
    let world = World::settled().await;
    let connected = Connected::new(&world, crate::world::REDIRECT).await;
    assert_eq!(connected.tokens["token_type"], "Bearer");
    assert_eq!(connected.tokens["expires_in"], 900);
    assert_eq!(connected.tokens["scope"], "mcp");
    assert!(world.verify(connected.access(), crate::world::MCP).is_ok());
    assert!(world.verify(connected.access(), crate::world::TEAM).is_err());
}

//! Scopes on their whole way: asked for, allowed, missed, stepped up, narrowed.

use sallyport_testkit::mcp::Modern;
use sallyport_testkit::oauth::{Tokens, get, walk};
use sallyport_testkit::{http::Answer, http::Request};
use serde_json::{Value, json};

use super::{ADA, Stage, error, refused};

impl Stage {
    /// The answer of the token endpoint after ada has allowed this scope.
    async fn given(&mut self, scope: &str) -> anyhow::Result<Answer> {
        let path = self.authorize(&[("scope", scope)]);
        let page = self.browser.open(&path).await?;
        let end = walk(&mut self.browser, page, ADA, "allow").await?;
        let answer: Vec<_> = end.query_pairs().into_owned().collect();
        let code = get(&answer, "code").unwrap_or_default().to_owned();
        self.redeem(&code, &[]).await
    }

    async fn call(&self, token: &str) -> anyhow::Result<Answer> {
        let client = Modern::new(self.gateway.endpoint("default", token), json!({}));
        let message = client.message(7, "tools/call", json!({ "name": "time", "arguments": {} }));
        self.ask(&client.http(&message)).await
    }

    async fn refreshed(&self, token: &str, scope: &str) -> anyhow::Result<Answer> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", scope),
        ];
        self.client.token(&fields).await
    }
}

fn scope_of(answer: &Answer) -> String {
    let body = answer.json().unwrap_or_default();
    let scope = body.get("scope").and_then(Value::as_str);
    scope.unwrap_or_default().to_owned()
}

/// The scopes that a challenge names.
fn challenged(answer: &Answer) -> String {
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    let scope = challenge
        .split("scope=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    scope.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn p_119_p_123_reading_is_stepped_up_to_calling_at_once() {
    let mut stage = Stage::new().await.unwrap();
    // Without a token, a client hears of the scope that is enough for everything.
    let stranger = stage.ask(&super::list("/mcp")).await.unwrap();
    assert_eq!((stranger.status(), challenged(&stranger).as_str()), (401, "mcp"));
    let given = stage.given("mcp:read").await.unwrap();
    assert_eq!(scope_of(&given), "mcp:read");
    let tokens = Tokens::read(given).unwrap();
    assert_eq!(stage.list(&tokens.access).await.unwrap().status(), 200);
    let short = stage.call(&tokens.access).await.unwrap();
    assert_eq!(
        (short.status(), challenged(&short).as_str()),
        (403, "mcp:read mcp:write")
    );
    let more = stage.given(&challenged(&short)).await.unwrap();
    assert_eq!(scope_of(&more), "mcp:read mcp:write");
    let more = Tokens::read(more).unwrap();
    assert_eq!(stage.call(&more.access).await.unwrap().status(), 200);
    // What was given first stays what it was.
    assert_eq!(stage.call(&tokens.access).await.unwrap().status(), 403);
}

#[tokio::test]
async fn rf_04_a_refresh_narrows_within_the_hierarchy_and_never_widens() {
    let mut stage = Stage::new().await.unwrap();
    let tokens = Tokens::read(stage.given("mcp").await.unwrap()).unwrap();
    let narrow = stage.refreshed(&tokens.refresh, "mcp:demo:read").await.unwrap();
    assert_eq!(scope_of(&narrow), "mcp:demo:read");
    let narrow = Tokens::read(narrow).unwrap();
    assert_eq!(stage.call(&narrow.access).await.unwrap().status(), 403);
    // The family keeps what it has.
    let whole = stage.refreshed(&narrow.refresh, "mcp").await.unwrap();
    assert_eq!(scope_of(&whole), "mcp");
    assert_eq!(
        stage
            .call(&Tokens::read(whole).unwrap().access)
            .await
            .unwrap()
            .status(),
        200
    );
    let reading = Tokens::read(stage.given("mcp:read").await.unwrap()).unwrap();
    for wider in ["mcp", "mcp:write", "mcp:demo:write", "mcp:read mcp:demo:write"] {
        let answer = stage.refreshed(&reading.refresh, wider).await.unwrap();
        assert_eq!(error(&answer), refused(400, "invalid_scope"), "{wider}");
    }
}

#[tokio::test]
async fn az_08_a_client_that_registered_for_reading_gets_no_more() {
    let mut stage = Stage::new().await.unwrap();
    let metadata = json!({ "client_name": "reader", "redirect_uris": [stage.client.redirect], "scope": "mcp:read admin" });
    let registered = stage.register(&metadata).await.unwrap().expect(201).unwrap();
    assert_eq!(scope_of(&registered), "mcp:read");
    stage.client.id = registered.json().unwrap()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (asked, scope) in [
        ("mcp", "mcp:read"),
        ("mcp:demo:write", "mcp:demo:read"),
        ("", "mcp:read"),
    ] {
        assert_eq!(scope_of(&stage.given(asked).await.unwrap()), scope, "{asked}");
    }
}

#[tokio::test]
async fn p_122_documents_name_few_scopes() {
    let stage = Stage::new().await.unwrap();
    for (path, scopes) in [
        ("/.well-known/oauth-protected-resource/mcp", json!(["mcp"])),
        (
            "/.well-known/oauth-authorization-server",
            json!(["mcp", "mcp:read", "mcp:write"]),
        ),
    ] {
        let document = stage.ask(&Request::get(path)).await.unwrap().json().unwrap();
        assert_eq!(document["scopes_supported"], scopes, "{path}");
    }
}

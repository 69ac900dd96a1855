//! AU: resources and audiences.

use sallyport_testkit::everything::{Era, Options, serve::HttpServer};
use sallyport_testkit::forge::Forger;
use sallyport_testkit::oauth::Tokens;

use super::{Stage, error, list, redirected, refused};

const TWO: &str = "servers: { one: { url: \"http://127.0.0.1:9/mcp\" } }\nprofiles: { default: { servers: [one] }, team: { servers: [one] } }\n";

#[tokio::test]
async fn au_01_no_resource_means_one_profile() {
    let mut stage = Stage::with(TWO).await.unwrap();
    let path = stage.authorize(&[("resource", "")]);
    let page = stage.browser.open(&path).await.unwrap();
    let back = sallyport_testkit::oauth::walk(&mut stage.browser, page, super::ADA, "allow")
        .await
        .unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1;
    let answer = stage.redeem(&code, &[("resource", "")]).await.unwrap();
    let tokens = Tokens::read(answer).unwrap();
    assert_eq!(tokens.claims().unwrap()["aud"], stage.gateway.resource("default"));
    let elsewhere = stage
        .ask(&list("/mcp/team").bearer(&tokens.access))
        .await
        .unwrap();
    assert_eq!(elsewhere.status(), 401);
}

#[tokio::test]
async fn au_02_what_is_no_resource_of_ours_is_no_target() {
    let mut stage = Stage::with(TWO).await.unwrap();
    let own = stage.gateway.resource("default");
    for resource in [
        "https://evil.test/mcp",
        "/mcp",
        "mcp",
        &format!("{own}#x"),
        &format!("{own}/none"),
        &own.replace("/mcp", "/mcp/../admin"),
        &own.replace("http:", "ftp:"),
        &own.replace("127.0.0.1", "127.0.0.1.evil.test"),
        &own.replace("127.0.0.1", "x@127.0.0.1"),
    ] {
        let answer = stage
            .get(&stage.authorize(&[("resource", resource)]))
            .await
            .unwrap();
        assert_eq!(
            redirected(&answer, "error").as_deref(),
            Some("invalid_target"),
            "{resource}"
        );
        let code = stage.code().await.unwrap();
        let answer = stage.redeem(&code, &[("resource", resource)]).await.unwrap();
        assert_eq!(error(&answer), refused(400, "invalid_target"), "{resource}");
    }
}

#[tokio::test]
async fn au_03_a_code_is_for_what_was_allowed() {
    let mut stage = Stage::with(TWO).await.unwrap();
    let code = stage.code().await.unwrap();
    let team = stage.gateway.resource("team");
    let answer = stage.redeem(&code, &[("resource", &team)]).await.unwrap();
    assert_eq!(error(&answer), refused(400, "invalid_target"));
}

#[tokio::test]
async fn au_06_tokens_of_others_are_nothing_here() {
    let mut stage = Stage::new().await.unwrap();
    let mut other = Stage::new().await.unwrap();
    let theirs = other.tokens().await.unwrap();
    let ours = stage.tokens().await.unwrap();
    for foreign in [
        theirs.access.as_str(),
        // What servers behind the gateway give out is mostly opaque.
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        &theirs.refresh,
        &ours.refresh,
    ] {
        let answer = stage.list(foreign).await.unwrap();
        assert_eq!(answer.status(), 401, "{foreign}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    assert_eq!(stage.list(&ours.access).await.unwrap().status(), 200);
}

#[tokio::test]
async fn au_06_the_clients_token_stays_on_its_side() {
    let server = HttpServer::start(
        "127.0.0.1:0",
        Options {
            era: Era::Dual,
            ..Options::default()
        },
    )
    .await
    .unwrap();
    let mut stage = Stage::with(&format!("servers: {{ one: {{ url: \"{}\" }} }}\n", server.url()))
        .await
        .unwrap();
    let tokens = stage.tokens().await.unwrap();
    let endpoint = stage.gateway.endpoint("default", &tokens.access);
    let mut client = sallyport_testkit::mcp::Modern::new(endpoint, serde_json::json!({}));
    let answer = client
        .call("request_headers", serde_json::json!({}))
        .await
        .unwrap();
    let seen = answer.text().unwrap();
    assert!(
        !seen.contains(&tokens.access) && !seen.to_lowercase().contains("bearer"),
        "{seen}"
    );
}

#[tokio::test]
async fn au_07_a_token_without_the_scope_is_told_which() {
    let mut stage = Stage::new().await.unwrap();
    let tokens = stage.tokens().await.unwrap();
    let forger = Forger::with(&stage.gateway.signing_key().await.unwrap()).unwrap();
    let mut claims = tokens.claims().unwrap();
    for scope in ["", "other", "MCP", "mcp:", "mcp:*", "mcp:one", "mcp.read"] {
        claims["scope"] = scope.into();
        let token = forger.sign(&forger.header(), &claims).unwrap();
        let answer = stage.list(&token).await.unwrap();
        assert_eq!(answer.status(), 403, "{scope} {answer:?}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        for part in [
            "error=\"insufficient_scope\"",
            "scope=\"mcp\"",
            "resource_metadata=",
        ] {
            assert!(challenge.contains(part), "{part} {challenge}");
        }
    }
}

//! RV: tokens that are given back, as the MCP endpoint sees them.

use sallyport_testkit::http::Request;
use sallyport_testkit::oauth::Tokens;

use super::{Stage, error, refused};

async fn revoke(stage: &Stage, client: &str, token: &str) -> anyhow::Result<(u16, String)> {
    let form = Request::post("/revoke").form(&[("token", token), ("client_id", client)]);
    let answer = stage.ask(&form).await?;
    let body = answer.text();
    Ok(if answer.status() == 200 {
        (200, body)
    } else {
        error(&answer)
    })
}

#[tokio::test]
async fn rv_04_what_is_given_back_opens_nothing_from_then_on() {
    let mut stage = Stage::new().await.unwrap();
    let id = stage.client.id.clone();
    let first = stage.tokens().await.unwrap();
    assert_eq!(stage.list(&first.access).await.unwrap().status(), 200);
    assert_eq!(
        revoke(&stage, &id, &first.access).await.unwrap(),
        (200, String::new())
    );
    assert_eq!(stage.list(&first.access).await.unwrap().status(), 401);
    // The refresh token is another thing: it still gets a new one.
    let second = Tokens::read(stage.client.refresh(&first.refresh).await.unwrap()).unwrap();
    assert_eq!(stage.list(&second.access).await.unwrap().status(), 200);
    assert_eq!(
        revoke(&stage, &id, &second.refresh).await.unwrap(),
        (200, String::new())
    );
    assert_eq!(stage.list(&second.access).await.unwrap().status(), 401);
    let after = stage.client.refresh(&second.refresh).await.unwrap();
    assert_eq!(error(&after), refused(400, "invalid_grant"));
}

#[tokio::test]
async fn rv_02_rv_05_nobody_revokes_what_is_not_its_own() {
    let mut stage = Stage::new().await.unwrap();
    let tokens = stage.tokens().await.unwrap();
    let other = stage.client_at(&stage.client.redirect.clone()).await.unwrap();
    for token in [&tokens.access, &tokens.refresh] {
        let answer = revoke(&stage, &other.id, token).await.unwrap();
        assert_eq!(answer, refused(400, "invalid_grant"));
    }
    let (body, _) = tokens.access.rsplit_once('.').unwrap();
    let forged = format!("{body}.{}", "A".repeat(86));
    let id = stage.client.id.clone();
    assert_eq!(revoke(&stage, &id, &forged).await.unwrap(), (200, String::new()));
    assert_eq!(stage.list(&tokens.access).await.unwrap().status(), 200);
}

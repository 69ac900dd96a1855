//! TK: the token endpoint.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_testkit::http::Request;
use sallyport_testkit::oauth::{OauthClient, Tokens, VERIFIER};
use serde_json::{Value, json};

use super::{Stage, WEB, error, refused};

#[tokio::test]
async fn tk_01_a_code_that_comes_again_ends_what_it_gave() {
    let mut stage = Stage::new().await.unwrap();
    let code = stage.code().await.unwrap();
    let tokens = Tokens::read(stage.redeem(&code, &[]).await.unwrap()).unwrap();
    assert_eq!(stage.list(&tokens.access).await.unwrap().status(), 200);
    let again = stage.redeem(&code, &[]).await.unwrap();
    assert_eq!(error(&again), refused(400, "invalid_grant"));
    assert_eq!(stage.list(&tokens.access).await.unwrap().status(), 401);
    let refresh = stage.client.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(error(&refresh), refused(400, "invalid_grant"));
}

#[tokio::test]
async fn tk_02_of_sixty_four_thieves_one_is_first() {
    let mut stage = Stage::new().await.unwrap();
    let code = stage.code().await.unwrap();
    let resource = stage.gateway.resource("default");
    let tries: Vec<_> = (0..64)
        .map(|_| {
            let (client, code, resource) = (stage.client.clone(), code.clone(), resource.clone());
            tokio::spawn(async move { client.redeem(&code, &resource).await })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tries {
        let answer = task.await.unwrap().unwrap();
        if answer.status() == 200 {
            winners.push(Tokens::read(answer).unwrap());
        } else {
            assert_eq!(error(&answer), refused(400, "invalid_grant"));
        }
    }
    let [winner] = &winners[..] else {
        panic!("{} got tokens", winners.len())
    };
    // Whoever of them was the thief: nobody keeps anything.
    assert_eq!(stage.list(&winner.access).await.unwrap().status(), 401);
    let refresh = stage.client.refresh(&winner.refresh).await.unwrap();
    assert_eq!(error(&refresh), refused(400, "invalid_grant"));
}

#[tokio::test]
async fn tk_03_an_old_code_is_none() {
    let mut stage = Stage::new().await.unwrap();
    for (after, status) in [(59_999, 200), (60_000, 400), (86_400_000, 400)] {
        let code = stage.code().await.unwrap();
        stage.gateway.advance(Duration::from_millis(after));
        assert_eq!(
            stage.redeem(&code, &[]).await.unwrap().status(),
            status,
            "{after}"
        );
    }
}

#[tokio::test]
async fn tk_04_somebody_elses_code_is_none() {
    let mut stage = Stage::new().await.unwrap();
    let other = stage.client_at(&stage.client.redirect.clone()).await.unwrap();
    for changes in [
        [("client_id", other.id.as_str())],
        [("redirect_uri", "http://127.0.0.1:1/callback")],
        [("redirect_uri", WEB)],
    ] {
        let code = stage.code().await.unwrap();
        let answer = stage.redeem(&code, &changes).await.unwrap();
        assert_eq!(error(&answer), refused(400, "invalid_grant"), "{changes:?}");
    }
}

async fn confidential(stage: &Stage, method: &str) -> anyhow::Result<OauthClient> {
    let metadata = json!({
        "redirect_uris": [stage.client.redirect], "token_endpoint_auth_method": method,
    });
    let registered = stage.register(&metadata).await?.expect(201)?.json()?;
    let text = |name: &str| {
        let text = registered.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let mut client = stage.client.clone();
    client.id = text("client_id").context("client_id")?;
    client.secret = text("client_secret");
    Ok(client)
}

#[tokio::test]
async fn tk_05_tk_06_tk_07_a_client_with_a_secret_proves_it_once() {
    let mut stage = Stage::new().await.unwrap();
    let client = confidential(&stage, "client_secret_basic").await.unwrap();
    let secret = client.secret.clone().unwrap();
    let code = stage.code_of(&client).await.unwrap();
    let id = client.id.as_str();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", client.redirect.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let form = |more: &[(&'static str, &str)]| {
        let fields: Vec<_> = fields.iter().chain(more).copied().collect();
        Request::post("/token").form(&fields)
    };
    let wrong = stage
        .ask(&form(&[]).header("Authorization", &basic("bad")))
        .await
        .unwrap();
    assert_eq!(error(&wrong), refused(401, "invalid_client"));
    let challenge = wrong.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Basic"), "{challenge}");
    for (request, expected) in [
        (
            form(&[("client_id", id), ("client_secret", "bad")]),
            refused(401, "invalid_client"),
        ),
        (form(&[("client_id", id)]), refused(401, "invalid_client")),
        (
            form(&[("client_id", id), ("client_secret", &secret)]).header("Authorization", &basic(&secret)),
            refused(400, "invalid_request"),
        ),
    ] {
        assert_eq!(
            error(&stage.ask(&request).await.unwrap()),
            expected,
            "{request:?}"
        );
    }
    let right = form(&[]).header("Authorization", &basic(&secret));
    Tokens::read(stage.ask(&right).await.unwrap()).unwrap();
}

#[tokio::test]
async fn tk_05_guessing_secrets_gets_slow() {
    let stage = Stage::new().await.unwrap();
    let mut last = 0;
    for _ in 0..200 {
        last = stage.client.refresh("guess").await.unwrap().status();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn tk_08_a_token_request_is_a_posted_form() {
    let mut stage = Stage::new().await.unwrap();
    let code = stage.code().await.unwrap();
    let id = &stage.client.id;
    let body = format!("grant_type=authorization_code&client_id={id}&code={code}&code_verifier={VERIFIER}");
    let query = format!("/token?{body}");
    let get = stage.get(&query).await.unwrap();
    assert_eq!(get.status(), 405);
    assert!(get.header("allow").is_some_and(|allow| allow.contains("POST")));
    let json = json!({ "grant_type": "authorization_code", "client_id": id, "code": code });
    for request in [
        Request::post(&query).form(&[]),
        Request::post(&query),
        Request::post("/token").json(&json),
        Request::post("/token").body(body.clone()),
        Request::post("/token")
            .header("Content-Type", "multipart/form-data")
            .body(body.clone()),
    ] {
        let answer = stage.ask(&request).await.unwrap();
        assert_eq!(error(&answer), refused(400, "invalid_request"), "{request:?}");
    }
}

#[tokio::test]
async fn tk_09_tk_10_tk_13_grants_that_a_client_may_not_use() {
    let stage = Stage::new().await.unwrap();
    let metadata = stage
        .get("/.well-known/oauth-authorization-server")
        .await
        .unwrap()
        .json()
        .unwrap();
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    for (grant, expected) in [
        ("password", "unsupported_grant_type"),
        ("implicit", "unsupported_grant_type"),
        ("nonsense", "unsupported_grant_type"),
        ("Authorization_Code", "unsupported_grant_type"),
        (exchange, "unauthorized_client"),
        ("client_credentials", "unauthorized_client"),
    ] {
        let answer = stage
            .client
            .token(&[
                ("grant_type", grant),
                ("username", "ada"),
                ("subject_token", "x"),
                (
                    "subject_token_type",
                    "urn:ietf:params:oauth:token-type:access_token",
                ),
            ])
            .await
            .unwrap();
        assert_eq!(error(&answer), refused(400, expected), "{grant}");
        let offered = metadata["grant_types_supported"].as_array().unwrap();
        // Those are offered, to clients of the operator.
        let is_offered = ["client_credentials", exchange].contains(&grant);
        assert_eq!(offered.contains(&json!(grant)), is_offered, "{grant}");
    }
}

#[tokio::test]
async fn tk_12_nobody_between_keeps_an_answer() {
    let mut stage = Stage::new().await.unwrap();
    let code = stage.code().await.unwrap();
    let answers = [
        stage.redeem(&code, &[]).await.unwrap(),
        stage.redeem("none", &[]).await.unwrap(),
        stage.register(&json!({ "redirect_uris": [WEB] })).await.unwrap(),
        stage.register(&json!({ "redirect_uris": [] })).await.unwrap(),
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    }
}

#[tokio::test]
async fn tk_14_odd_bytes_are_a_bad_request_and_nothing_worse() {
    let stage = Stage::new().await.unwrap();
    let id = &stage.client.id;
    let long = format!(
        "grant_type=refresh_token&client_id={id}&refresh_token={}",
        "a".repeat(1 << 20)
    );
    let bodies: [&[u8]; 6] = [
        b"grant_type=authorization_code&client_id=x&code=%00",
        b"grant_type=authorization_code&client_id=%ff&code=x",
        b"grant_type=authorization_code&client_id=\xff&code=x",
        b"grant_type=authorization_code&client_id=x&code=a%0d%0ab",
        b"grant_type=authorization_code&client_id=x&code=%zz",
        long.as_bytes(),
    ];
    for body in bodies {
        let request = Request::post("/token")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = stage.ask(&request).await.unwrap();
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(error(&answer), refused(400, "invalid_request"), "{shown}");
    }
}

#[tokio::test]
async fn rf_10_a_refresh_token_calls_nothing() {
    let mut stage = Stage::new().await.unwrap();
    let code = stage.code().await.unwrap();
    let tokens = Tokens::read(stage.redeem(&code, &[]).await.unwrap()).unwrap();
    let answer = stage.list(&tokens.refresh).await.unwrap();
    assert_eq!(answer.status(), 401);
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    // Nothing was used up by it.
    assert_eq!(stage.client.refresh(&tokens.refresh).await.unwrap().status(), 200);
}

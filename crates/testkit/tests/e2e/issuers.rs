//! Access tokens of other issuers, which are servers of the test on this machine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::SignToken as _;
use sallyport_core::{Clock as _, Timestamp};
use sallyport_testkit::forge::Forger;
use sallyport_testkit::front::Front;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::Request;
use sallyport_testkit::mcp::{Conversation, Talk};
use sallyport_vault::signing::{Alg, Signer, SigningKey};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::attack::list;
use crate::tcp::Raw;

/// Where the issuer publishes its keys, and answers questions.
const KEYS: &str = "/keys";
const ASK: &str = "/introspect";

/// What an issuer has, and what it was asked.
#[derive(Default)]
struct State {
    keys: Mutex<Value>,
    /// What it says of every token.
    answer: Mutex<Value>,
    keys_fetched: AtomicUsize,
    asked: AtomicUsize,
}

/// An issuer of access tokens.
struct StandIn {
    address: SocketAddr,
    forger: Forger,
    state: Arc<State>,
}

fn key() -> anyhow::Result<(Forger, Value)> {
    let key = SigningKey::generate(Alg::Es256, Timestamp::EPOCH)?;
    let set = Signer::new("", &key, &[])?.jwks();
    Ok((Forger::with(&key)?, serde_json::from_str(&set)?))
}

impl StandIn {
    async fn start() -> anyhow::Result<Self> {
        let (forger, keys) = key()?;
        let state = Arc::new(State::default());
        *state.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, address, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            forger,
            state,
        })
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Publishes another key in the place of the one it had.
    fn rotate(&mut self) -> anyhow::Result<()> {
        let (forger, keys) = key()?;
        self.forger = forger;
        *self.state.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn says(&self, answer: Value) {
        *self.state.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    fn claims(&self, gateway: &TestGateway) -> Value {
        let now = gateway.clock().now().as_secs();
        json!({
            "iss": self.issuer(), "sub": "ada", "aud": gateway.resource("default"), "client_id": "app",
            "jti": "1", "iat": now, "exp": now + 300,
        })
    }

    fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        self.forger.sign(&self.forger.header(), claims)
    }
}

async fn answer(stream: TcpStream, address: SocketAddr, state: Arc<State>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length, mut basic) = (String::new(), 0, String::new());
    stream.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match &*name.to_ascii_lowercase() {
            "content-length" => length = value.parse()?,
            "authorization" => value.clone_into(&mut basic),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let copy = |held: &Mutex<Value>| held.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (status, said) = match &*path {
        "/.well-known/openid-configuration" => {
            let issuer = format!("http://{address}");
            (
                200,
                json!({ "jwks_uri": format!("{issuer}{KEYS}"), "issuer": issuer }),
            )
        }
        KEYS => {
            state.keys_fetched.fetch_add(1, Ordering::SeqCst);
            (200, copy(&state.keys))
        }
        // `gateway:secret`
        ASK if basic == "Basic Z2F0ZXdheTpzZWNyZXQ=" && body.starts_with(b"token=") => {
            state.asked.fetch_add(1, Ordering::SeqCst);
            (200, copy(&state.answer))
        }
        _ => (404, Value::Null),
    };
    let said = said.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n");
    let answer = format!("{head}Content-Length: {}\r\n\r\n{said}", said.len());
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

async fn status(gateway: &Front, token: &str) -> anyhow::Result<u16> {
    let mut connection = gateway.connect().await?;
    Ok(connection.ask(&list("/mcp").bearer(token)).await?.status())
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut members = claims.as_object().cloned().unwrap_or_default();
    members.insert(name.to_owned(), value);
    Value::Object(members)
}

#[tokio::test]
async fn jw_12_jw_13_only_named_issuers_count_each_with_its_own_keys() {
    let (corp, other, stranger) = (
        StandIn::start().await.unwrap(),
        StandIn::start().await.unwrap(),
        StandIn::start().await.unwrap(),
    );
    let more = format!(
        "auth:\n  issuers:\n    corp: {{ issuer: \"{}\", scopes: mcp }}\n    other: {{ issuer: \"{}\", jwks_uri: \"{}{KEYS}\", \
         audiences: [\"api://gateway\"], scopes: mcp, algorithms: [RS256] }}\n",
        corp.issuer(),
        other.issuer(),
        other.issuer()
    );
    let gateway = TestGateway::start(&more).await.unwrap();
    let good = corp.claims(&gateway);
    let token = corp.sign(&good).unwrap();
    for _ in 0..3 {
        assert_eq!(status(&gateway, &token).await.unwrap(), 200);
    }
    let mut connection = gateway.connect().await.unwrap();
    let who = connection
        .ask(&Request::get("/verify").bearer(&token))
        .await
        .unwrap();
    assert_eq!(who.status(), 200);
    assert_eq!(who.header("x-user-id"), Some("corp:ada"));
    assert_eq!(who.header("x-client-id"), Some("corp:app"));
    // Whatever is not quite that is nothing.
    let now = gateway.clock().now().as_secs();
    for (name, value) in [
        ("iss", json!(format!("{}/", corp.issuer()))),
        ("iss", json!(stranger.issuer())),
        ("iss", json!(other.issuer())),
        ("aud", json!(gateway.resource("team"))),
        ("aud", json!("api://gateway")),
        ("exp", json!(now - 31)),
        ("exp", json!(now.to_string())),
        ("exp", Value::Null),
        ("nbf", json!(now + 31)),
        ("cnf", json!({ "jkt": "x" })),
        ("nonce", json!("an ID token")),
    ] {
        let token = corp.sign(&with(&good, name, value.clone())).unwrap();
        assert_eq!(status(&gateway, &token).await.unwrap(), 401, "{name} {value}");
    }
    for (name, value) in [
        ("alg", "none"),
        ("alg", "HS256"),
        ("typ", "logout+jwt"),
        ("typ", "dpop+jwt"),
        ("kid", "x"),
    ] {
        let header = with(&corp.forger.header(), name, json!(value));
        let token = corp.forger.sign(&header, &good).unwrap();
        assert_eq!(status(&gateway, &token).await.unwrap(), 401, "{name} {value}");
    }
    for thief in [&other, &stranger] {
        let named = corp.forger.header();
        for header in [thief.forger.header(), named] {
            let token = thief.forger.sign(&header, &good).unwrap();
            assert_eq!(status(&gateway, &token).await.unwrap(), 401);
        }
        let own = thief.sign(&thief.claims(&gateway)).unwrap();
        assert_eq!(status(&gateway, &own).await.unwrap(), 401);
    }
    // Its key is good, its audience too: the operator has not named the algorithm.
    let token = other
        .sign(&with(&other.claims(&gateway), "aud", json!("api://gateway")))
        .unwrap();
    assert_eq!(status(&gateway, &token).await.unwrap(), 401);
    assert_eq!(stranger.state.keys_fetched.load(Ordering::SeqCst), 0);
    // Until the operator says so.
    gateway
        .configure(&more.replace(", algorithms: [RS256]", ""))
        .await
        .unwrap();
    assert_eq!(status(&gateway, &token).await.unwrap(), 200);
    gateway.configure("").await.unwrap();
    assert_eq!(status(&gateway, &token).await.unwrap(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jw_05_unknown_keys_are_looked_for_once_a_minute_whoever_asks() {
    let mut corp = StandIn::start().await.unwrap();
    let more = format!(
        "auth: {{ issuers: {{ corp: {{ issuer: \"{}\", scopes: mcp }} }} }}\n",
        corp.issuer()
    );
    let gateway = TestGateway::start(&more).await.unwrap();
    let token = corp.sign(&corp.claims(&gateway)).unwrap();
    assert_eq!(status(&gateway, &token).await.unwrap(), 200);
    let fetched = |corp: &StandIn| corp.state.keys_fetched.load(Ordering::SeqCst);
    assert_eq!(fetched(&corp), 1);
    gateway.advance(Duration::from_secs(61));
    let mut strangers = JoinSet::new();
    for n in 0..40 {
        let header = with(&corp.forger.header(), "kid", json!(format!("k{n}")));
        let token = corp.forger.sign(&header, &corp.claims(&gateway)).unwrap();
        let front = Front::clone(&gateway);
        strangers.spawn(async move { status(&front, &token).await });
    }
    while let Some(answered) = strangers.join_next().await {
        assert_eq!(answered.unwrap().unwrap(), 401);
    }
    assert_eq!(fetched(&corp), 2);
    // A key that is really new is found when the minute is over; what the old one signed has had its time.
    corp.rotate().unwrap();
    let newer = corp.sign(&corp.claims(&gateway)).unwrap();
    assert_eq!(status(&gateway, &newer).await.unwrap(), 401);
    gateway.advance(Duration::from_secs(61));
    assert_eq!(status(&gateway, &newer).await.unwrap(), 200);
    assert_eq!(fetched(&corp), 3);
    assert_eq!(status(&gateway, &token).await.unwrap(), 401);
}

#[tokio::test]
async fn opaque_tokens_open_framed_tcp_too() {
    let corp = StandIn::start().await.unwrap();
    let more = format!(
        "tcp_listen: 127.0.0.1:0\nauth:\n  issuers:\n    corp:\n      issuer: \"{0}\"\n      scopes: mcp\n      introspection: \
         {{ url: \"{0}{ASK}\", client_id: gateway, client_secret: secret }}\n",
        corp.issuer()
    );
    let gateway = TestGateway::start(&more).await.unwrap();
    let address = gateway.gateway().tcp_addr().unwrap();
    let now = u64::try_from(gateway.clock().now().as_secs()).unwrap();
    corp.says(json!({ "active": false }));
    let mut refused = Talk::tcp(address, "opaque-0", now).await.unwrap();
    assert!(refused.receive().await.unwrap()["framed"].is_string());
    corp.says(with(&corp.claims(&gateway), "active", json!(true)));
    let talk = Talk::tcp(address, "opaque-1", now).await.unwrap();
    let mut conversation = Conversation::modern(talk, json!({}));
    let listed = conversation.request("tools/list", json!({})).await.unwrap();
    assert!(listed.result().unwrap()["tools"].is_array());
    // Another one that nobody has asked about yet keeps it open, and one that is not good ends it.
    let mut raw = Raw::open(&gateway, "opaque-1", 0).await;
    raw.ping().await;
    raw.show(&gateway, "opaque-2", 0).await;
    raw.ping().await;
    corp.says(json!({ "active": false }));
    raw.show(&gateway, "opaque-3", 0).await;
    let words = raw.words().await;
    assert!(words.contains("the access token is invalid"), "{words}");
}

#[tokio::test]
async fn opaque_tokens_are_asked_about_and_the_answer_holds_for_thirty_seconds() {
    let corp = StandIn::start().await.unwrap();
    let more = format!(
        "auth:\n  issuers:\n    corp:\n      issuer: \"{0}\"\n      scopes: mcp\n      introspection: \
         {{ url: \"{0}{ASK}\", client_id: gateway, client_secret: secret }}\n\
         profiles:\n  default: {{ servers: [\"*\"], users: {{ allow: [\"corp:a*\"] }} }}\n",
        corp.issuer()
    );
    let gateway = TestGateway::start(&more).await.unwrap();
    let active = |name: &str, value: Value| {
        let answer = with(&corp.claims(&gateway), "active", json!(true));
        with(&answer, name, value)
    };
    let asked = || corp.state.asked.load(Ordering::SeqCst);
    corp.says(active("sub", json!("ada")));
    for _ in 0..5 {
        assert_eq!(status(&gateway, "opaque-1").await.unwrap(), 200);
    }
    assert_eq!(asked(), 1);
    // Revoked there, refused here after half a minute at most.
    corp.says(json!({ "active": false }));
    gateway.advance(Duration::from_secs(30));
    for _ in 0..5 {
        assert_eq!(status(&gateway, "opaque-1").await.unwrap(), 401);
    }
    assert_eq!(asked(), 2);
    // Never past its end.
    let end = gateway.clock().now().as_secs() + 5 - 30;
    corp.says(active("exp", json!(end)));
    assert_eq!(status(&gateway, "opaque-2").await.unwrap(), 200);
    corp.says(json!({ "active": false }));
    gateway.advance(Duration::from_secs(5));
    assert_eq!(status(&gateway, "opaque-2").await.unwrap(), 401);
    for (n, (answer, expected)) in [
        (active("sub", json!("bob")), 403),
        (active("aud", json!(gateway.resource("team"))), 401),
        (active("iss", json!("https://idp.test")), 401),
        (active("active", json!("true")), 401),
        (active("token_type", json!("DPoP")), 401),
        (json!([]), 401),
        (Value::Null, 401),
    ]
    .into_iter()
    .enumerate()
    {
        corp.says(answer.clone());
        assert_eq!(
            status(&gateway, &format!("other-{n}")).await.unwrap(),
            expected,
            "{answer}"
        );
    }
    // A JWT of anybody is no question, and neither is a token of ours.
    let before = asked();
    let forged = [json!({ "alg": "ES256" }), json!({ "iss": "https://idp.test" })]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    assert_eq!(status(&gateway, &format!("{forged}.AAAA")).await.unwrap(), 401);
    assert_eq!(status(&gateway, "sp_AAAA").await.unwrap(), 401);
    assert_eq!(asked(), before);
}

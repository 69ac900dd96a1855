//! AU-10: tokens that are bound to a key, at the door of an endpoint.

use sallyport_core::Clock as _;
use sallyport_testkit::dpop::Holder;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::mcp::{Conversation, Endpoint, Talk};
use sallyport_testkit::oauth::{Tokens, VERIFIER};
use serde_json::{Value, json};

use super::{Stage, list};

/// A client whose tokens are bound.
struct Bound {
    holder: Holder,
    tokens: Tokens,
    nonce: String,
}

impl Bound {
    async fn new(stage: &mut Stage) -> anyhow::Result<Self> {
        let holder = Holder::new()?;
        let code = stage.code().await?;
        let (url, now) = (
            format!("{}/token", stage.gateway.origin()),
            stage.gateway.clock().now(),
        );
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", stage.client.id.as_str()),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
        ];
        let mut nonce = String::new();
        loop {
            let proof = holder.sign(&holder.claims(("POST", &url), None, &nonce, now))?;
            let request = Request::post("/token").form(&fields).header("DPoP", &proof);
            let answer = stage.ask(&request).await?;
            let is_new = nonce.is_empty();
            answer
                .header("dpop-nonce")
                .unwrap_or_default()
                .clone_into(&mut nonce);
            if answer.status() == 200 || !is_new {
                let tokens = Tokens::read(answer)?;
                return Ok(Self {
                    holder,
                    tokens,
                    nonce,
                });
            }
        }
    }

    /// The headers of a request at this path, with a proof of it.
    fn shown(&self, stage: &Stage, method: &str, path: &str) -> anyhow::Result<[String; 2]> {
        let url = format!("{}{path}", stage.gateway.origin());
        let now = stage.gateway.clock().now();
        let claims = self
            .holder
            .claims((method, &url), Some(&self.tokens.access), &self.nonce, now);
        Ok([format!("DPoP {}", self.tokens.access), self.holder.sign(&claims)?])
    }

    /// What a right proof of a `tools/list` claims.
    fn claims(&self, stage: &Stage) -> Value {
        let url = stage.gateway.resource("default");
        let now = stage.gateway.clock().now();
        self.holder
            .claims(("POST", &url), Some(&self.tokens.access), &self.nonce, now)
    }

    async fn list(&self, stage: &Stage, proof: &str) -> anyhow::Result<Answer> {
        stage.ask(&self.request(proof)).await
    }

    fn request(&self, proof: &str) -> Request {
        list("/mcp")
            .header("Authorization", &format!("DPoP {}", self.tokens.access))
            .header("DPoP", proof)
    }
}

/// Status, and the `error` of a challenge under the scheme of proofs.
fn challenge(answer: &Answer) -> (u16, String) {
    let text = answer.header("www-authenticate").unwrap_or_default();
    let error = text
        .split("error=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let scheme = text.split(' ').next().unwrap_or_default();
    (answer.status(), format!("{scheme} {}", error.unwrap_or_default()))
}

fn refused(error: &str) -> (u16, String) {
    (401, format!("DPoP {error}"))
}

#[tokio::test]
async fn au_10_a_bound_token_needs_a_proof_for_each_request() {
    let mut stage = Stage::new().await.unwrap();
    let bound = Bound::new(&mut stage).await.unwrap();
    let proof = bound.holder.sign(&bound.claims(&stage)).unwrap();
    let answer = bound.list(&stage, &proof).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.json().unwrap()["result"]["tools"].is_array());
    assert_eq!(answer.header("dpop-nonce"), Some(bound.nonce.as_str()));
    let replayed = bound.list(&stage, &proof).await.unwrap();
    assert_eq!(challenge(&replayed), refused("invalid_dpop_proof"));
    let header = replayed.header("www-authenticate").unwrap_or_default();
    for part in ["algs=\"ES256 EdDSA RS256 PS256\"", "resource_metadata=\""] {
        assert!(header.contains(part), "{header}");
    }
}

#[tokio::test]
async fn au_10_a_proof_of_something_else_opens_nothing() {
    let mut stage = Stage::new().await.unwrap();
    let bound = Bound::new(&mut stage).await.unwrap();
    let now = stage.gateway.clock().now().as_secs();
    for (member, value, error) in [
        ("htm", json!("GET"), "invalid_dpop_proof"),
        (
            "htu",
            json!(stage.gateway.resource("other")),
            "invalid_dpop_proof",
        ),
        ("htu", json!("https://evil.test/mcp"), "invalid_dpop_proof"),
        ("ath", json!("x"), "invalid_dpop_proof"),
        ("ath", Value::Null, "invalid_dpop_proof"),
        ("iat", json!(now - 61), "invalid_dpop_proof"),
        ("iat", json!(now + 61), "invalid_dpop_proof"),
        ("nonce", json!("stale"), "use_dpop_nonce"),
        ("nonce", Value::Null, "use_dpop_nonce"),
    ] {
        let mut claims = bound.claims(&stage);
        claims[member] = value.clone();
        let proof = bound.holder.sign(&claims).unwrap();
        let answer = bound.list(&stage, &proof).await.unwrap();
        assert_eq!(challenge(&answer), refused(error), "{member} {value}");
        assert_eq!(
            answer.header("dpop-nonce"),
            Some(bound.nonce.as_str()),
            "{member}"
        );
    }
    let thief = Holder::new().unwrap().sign(&bound.claims(&stage)).unwrap();
    let answer = bound.list(&stage, &thief).await.unwrap();
    assert_eq!(challenge(&answer), refused("invalid_dpop_proof"));
    let good = bound.holder.sign(&bound.claims(&stage)).unwrap();
    let twice = bound.request(&good).header("DPoP", &good);
    let answer = stage.ask(&twice).await.unwrap();
    assert_eq!(challenge(&answer), refused("invalid_dpop_proof"));
    assert_eq!(bound.list(&stage, &good).await.unwrap().status(), 200);
}

#[tokio::test]
async fn au_10_a_bound_token_without_its_proof_is_refused_and_so_is_a_proof_of_a_plain_one() {
    let mut stage = Stage::new().await.unwrap();
    let plain = stage.tokens().await.unwrap();
    let bound = Bound::new(&mut stage).await.unwrap();
    let stripped = stage.list(&bound.tokens.access).await.unwrap();
    assert_eq!(challenge(&stripped), refused("invalid_token"));
    let good = bound.holder.sign(&bound.claims(&stage)).unwrap();
    let downgraded = list("/mcp").bearer(&bound.tokens.access).header("DPoP", &good);
    assert_eq!(
        challenge(&stage.ask(&downgraded).await.unwrap()),
        refused("invalid_token")
    );
    let without = list("/mcp").header("Authorization", &format!("DPoP {}", bound.tokens.access));
    assert_eq!(
        challenge(&stage.ask(&without).await.unwrap()),
        refused("invalid_dpop_proof")
    );
    // A token that is bound to no key is none under this scheme, whatever is shown with it.
    let url = stage.gateway.resource("default");
    let now = stage.gateway.clock().now();
    let claims = bound
        .holder
        .claims(("POST", &url), Some(&plain.access), &bound.nonce, now);
    let shown = list("/mcp")
        .header("Authorization", &format!("DPoP {}", plain.access))
        .header("DPoP", &bound.holder.sign(&claims).unwrap());
    assert_eq!(
        challenge(&stage.ask(&shown).await.unwrap()),
        refused("invalid_token")
    );
    assert_eq!(stage.list(&plain.access).await.unwrap().status(), 200);
    // Nor does a WebSocket take a proof of another request.
    let upgrade = Request::get("/mcp/ws")
        .header("Authorization", &format!("DPoP {}", bound.tokens.access))
        .header("DPoP", &good)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(stage.ask(&upgrade).await.unwrap().status(), 401);
}

#[tokio::test]
async fn au_10_a_websocket_is_opened_by_a_proof_of_its_own_request() {
    let mut stage = Stage::new().await.unwrap();
    let mut bound = Bound::new(&mut stage).await.unwrap();
    let endpoint = Endpoint {
        path: "/mcp/ws".to_owned(),
        ..stage.gateway.endpoint("default", &bound.tokens.access)
    };
    let open = async |shown: &[String; 2]| {
        let headers = [("authorization", shown[0].as_str()), ("dpop", shown[1].as_str())];
        Talk::ws_with(&endpoint, &headers).await
    };
    // Whoever has no nonce yet is told one.
    let nonce = std::mem::take(&mut bound.nonce);
    let [token, proof] = bound.shown(&stage, "GET", "/mcp/ws").unwrap();
    let upgrade = Request::get("/mcp/ws")
        .header("Authorization", &token)
        .header("DPoP", &proof)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let told = stage.ask(&upgrade).await.unwrap();
    assert_eq!(challenge(&told), refused("use_dpop_nonce"));
    assert_eq!(told.header("dpop-nonce"), Some(nonce.as_str()));
    bound.nonce = nonce;
    for (method, path) in [("POST", "/mcp/ws"), ("GET", "/mcp"), ("GET", "/mcp/other/ws")] {
        let shown = bound.shown(&stage, method, path).unwrap();
        assert!(open(&shown).await.is_err(), "{method} {path}");
    }
    let shown = bound.shown(&stage, "GET", "/mcp/ws").unwrap();
    let talk = open(&shown).await.unwrap();
    let mut conversation = Conversation::modern(talk, json!({}));
    for _ in 0..2 {
        let listed = conversation.request("tools/list", json!({})).await.unwrap();
        assert!(listed.result().unwrap()["tools"].is_array());
    }
    assert!(open(&shown).await.is_err(), "a proof counts once");
    assert!(Talk::ws(&endpoint).await.is_err(), "as a plain bearer token");
    let thief = Holder::new().unwrap();
    let claims = thief.claims(
        ("GET", &format!("{}/mcp/ws", stage.gateway.origin())),
        Some(&bound.tokens.access),
        &bound.nonce,
        stage.gateway.clock().now(),
    );
    let stolen = [shown[0].clone(), thief.sign(&claims).unwrap()];
    assert!(open(&stolen).await.is_err(), "another key");
}

#[tokio::test]
async fn au_10_each_half_of_a_stream_of_2024_has_its_own_proof() {
    let mut stage = Stage::new().await.unwrap();
    let bound = Bound::new(&mut stage).await.unwrap();
    let [token, proof] = bound.shown(&stage, "GET", "/mcp/sse").unwrap();
    let mut connection = stage.gateway.connect().await.unwrap();
    let stream = Request::get("/mcp/sse")
        .header("Accept", "text/event-stream")
        .header("Authorization", &token)
        .header("DPoP", &proof);
    assert_eq!(connection.begin(&stream).await.unwrap().status, 200);
    let mut events = connection.events();
    let place = events.next().await.unwrap().unwrap().data;
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let [token, proof] = bound.shown(&stage, "POST", "/mcp/messages").unwrap();
    let post = || {
        Request::post(&place)
            .header("Authorization", &token)
            .rpc(&message)
    };
    let posted = stage.ask(&post().header("DPoP", &proof)).await.unwrap();
    assert_eq!(posted.status(), 202, "{posted:?}");
    assert_eq!(events.message().await.unwrap()["id"], json!(1));
    let again = stage.ask(&post().header("DPoP", &proof)).await.unwrap();
    assert_eq!(challenge(&again), refused("invalid_dpop_proof"));
}

#[tokio::test]
async fn au_10_framed_tcp_has_no_place_for_a_proof_and_takes_no_bound_token() {
    let mut stage = Stage::with("tcp_listen: 127.0.0.1:0\n").await.unwrap();
    let bound = Bound::new(&mut stage).await.unwrap();
    let plain = stage.tokens().await.unwrap();
    let address = stage.gateway.gateway().tcp_addr().unwrap();
    let now = u64::try_from(stage.gateway.clock().now().as_secs()).unwrap();
    let mut plain = Conversation::modern(Talk::tcp(address, &plain.access, now).await.unwrap(), json!({}));
    let listed = plain.request("tools/list", json!({})).await.unwrap();
    assert!(listed.result().is_ok());
    let mut bound = Talk::tcp(address, &bound.tokens.access, now).await.unwrap();
    let told = bound.receive().await.unwrap();
    assert_eq!(
        told["framed"],
        json!("the access token is invalid or has expired")
    );
}

#[tokio::test]
async fn md_09_what_is_told_about_proofs_is_true() {
    let stage = Stage::new().await.unwrap();
    let algorithms = json!(["ES256", "EdDSA", "RS256", "PS256"]);
    for document in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let told = stage.get(document).await.unwrap().json().unwrap();
        assert_eq!(
            told["dpop_signing_alg_values_supported"], algorithms,
            "{document}"
        );
    }
    let told = stage
        .get("/.well-known/oauth-protected-resource/mcp")
        .await
        .unwrap();
    assert_eq!(
        told.json().unwrap()["dpop_bound_access_tokens_required"],
        json!(false)
    );
    // Whoever shows nothing is told of the plain way alone: clients of today read no other.
    let bare = stage.ask(&list("/mcp")).await.unwrap();
    let header: Vec<_> = bare.head.all("www-authenticate").collect();
    assert!(
        header.len() == 1 && header[0].starts_with("Bearer "),
        "{header:?}"
    );
}

#[tokio::test]
async fn au_10_the_record_of_a_log_in_is_connected_by_a_proof_and_by_nothing_less() {
    let mut stage = Stage::new().await.unwrap();
    let bound = Bound::new(&mut stage).await.unwrap();
    let bearer = list("/mcp").bearer(&bound.tokens.access);
    assert_eq!(stage.ask(&bearer).await.unwrap().status(), 401);
    let store = stage.gateway.store().await.unwrap();
    let becomes = async |wanted: &str| {
        crate::support::within(crate::support::PATIENCE, async || {
            let traces = store.logins(sallyport_core::Timestamp::EPOCH).await?;
            let now = stage.gateway.clock().now();
            let mut names = traces.iter().map(|trace| trace.verdict(now).name);
            anyhow::ensure!(wanted == "connected" || !names.clone().any(|name| name == "connected"));
            Ok(names.any(|name| name == wanted))
        })
        .await
    };
    becomes("token-refused").await.unwrap();
    let other = Holder::new().unwrap().sign(&bound.claims(&stage)).unwrap();
    assert_eq!(bound.list(&stage, &other).await.unwrap().status(), 401);
    becomes("proof-refused").await.unwrap();
    let proof = bound.holder.sign(&bound.claims(&stage)).unwrap();
    assert_eq!(bound.list(&stage, &proof).await.unwrap().status(), 200);
    becomes("connected").await.unwrap();
    store.close().await;
}

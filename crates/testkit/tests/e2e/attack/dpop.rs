//! AU-10: tokens that are bound to a key, at the door of an endpoint.

use sallyport_core::Clock as _;
use sallyport_testkit::dpop::Holder;
use sallyport_testkit::http::{Answer, Request};
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
    // Nor does a WebSocket, which has one request for all its messages, take a bound one.
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

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use sallyport_core::capability::{AccessClaims, SignToken as _};
use sallyport_core::{ClientId, ScopeSet, TokenId, UserId};
use serde_json::{Value, json};

use super::*;
use crate::signing::{Alg, Signer, SigningKey};

mod api_keys;
mod claims;
mod form;
mod state;

const ISSUER: &str = "https://gateway.example";
const NOW: i64 = 1_800_000_000;

/// A gateway's key, its signer and its verifier, and the means to sign what the signer never would.
struct Gate {
    key: SigningKey,
    signer: Signer,
    verifier: Verifier,
}

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

fn audience() -> Resource {
    Resource::parse("https://gateway.example/mcp").unwrap()
}

fn claims() -> AccessClaims {
    AccessClaims {
        user: UserId::new("alice"),
        client: ClientId::new("client"),
        audience: audience(),
        scopes: ScopeSet::parse("mcp"),
        token: TokenId::new("jti"),
        key: None,
        actor: None,
        grant: GrantId::new("grant"),
        issued: now(),
        expires: now().plus(Duration::from_secs(900)),
    }
}

fn body() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": "https://gateway.example/mcp", "client_id": "client", "scope": "mcp",
        "jti": "jti", "grant": "grant", "iat": NOW, "exp": NOW + 900,
    })
}

/// A gate for each algorithm.
fn gates() -> impl Iterator<Item = Gate> {
    Alg::ALL.into_iter().map(Gate::of)
}

impl Gate {
    fn new() -> Self {
        Self::of(Alg::Es256)
    }

    fn of(alg: Alg) -> Self {
        Self::with(SigningKey::generate(alg, now()).unwrap(), ISSUER, 1000)
    }

    fn with(key: SigningKey, issuer: &str, capacity: usize) -> Self {
        let signer = Signer::new(issuer, &key, &[]).unwrap();
        let verifier = Verifier::new(issuer, &signer.verifying_keys(), capacity).unwrap();
        Self {
            key,
            signer,
            verifier,
        }
    }

    fn header(&self) -> Value {
        json!({"alg": self.key.alg().as_str(), "typ": "at+jwt", "kid": self.key.kid()})
    }

    /// A token with a true signature over whatever header and claims.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self.key.pair().unwrap().sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(&*signature))
    }

    fn check(&self, token: &str) -> Result<Arc<Principal>, TokenError> {
        self.verifier.verify(token, &[audience()], now())
    }

    fn refused(&self, token: &str, error: TokenError) {
        // Twice: nothing that was refused may be remembered as good.
        for _ in 0..2 {
            assert_eq!(self.check(token).err(), Some(error), "{token}");
        }
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = body();
        claims[name] = value;
        self.sign(&self.header(), &claims)
    }
}

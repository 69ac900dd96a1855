//! An MCP server that wants OAuth tokens and says whose it got. It speaks both eras.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json as object};

use super::oidc::changed;
use super::{Asked, LoginServer, Provider, Response, json, lock, page, start};

/// A protected MCP server.
pub struct Guarded {
    url: String,
    /// Whose tokens it takes: the first of them is named first.
    pub believes: Mutex<Vec<Arc<LoginServer>>>,
    /// What its metadata says otherwise; null removes a member.
    pub metadata: Mutex<Map<String, Value>>,
    /// Whether it speaks 2026-07-28 only, or revisions with `initialize` only.
    is_modern: bool,
    /// Whether only calls want a token.
    pub lists_freely: AtomicBool,
    /// Every `Authorization` that it saw, in the order in which they came.
    pub seen: Mutex<Vec<String>>,
    /// How often a tool was carried out.
    pub calls: AtomicUsize,
    sessions: Mutex<Vec<(String, String)>>,
}

impl Guarded {
    /// Starts a server that believes one authorization server.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(is_modern: bool, believes: &Provider<LoginServer>) -> anyhow::Result<Provider<Self>> {
        let believes = vec![Arc::clone(&believes.provider)];
        start(
            |address: SocketAddr| Self {
                url: format!("http://{address}/mcp"),
                believes: Mutex::new(believes),
                metadata: Mutex::default(),
                is_modern,
                lists_freely: AtomicBool::new(false),
                seen: Mutex::default(),
                calls: AtomicUsize::new(0),
                sessions: Mutex::default(),
            },
            Self::answer,
        )
        .await
    }

    /// Its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.url
    }

    fn answer(&self, asked: &Asked) -> Response {
        match (&asked.method, asked.path.as_str()) {
            (&Method::GET, "/.well-known/oauth-protected-resource/mcp") => self.metadata(),
            (&Method::POST, "/mcp") => self.message(asked),
            (&Method::DELETE, "/mcp") => page(StatusCode::NO_CONTENT, "", ""),
            (_, "/mcp") => page(StatusCode::METHOD_NOT_ALLOWED, "", ""),
            _ => page(StatusCode::NOT_FOUND, "Not Found", ""),
        }
    }

    fn metadata(&self) -> Response {
        let issuers: Vec<String> = lock(&self.believes)
            .iter()
            .map(|issuer| issuer.issuer())
            .collect();
        let document = object!({
            "resource": self.url,
            "authorization_servers": issuers,
            "scopes_supported": ["read", "write", "admin"],
        });
        json(StatusCode::OK, &changed(document, &lock(&self.metadata)))
    }

    fn challenge(&self, status: StatusCode, more: &str) -> Response {
        let origin = self.url.trim_end_matches("/mcp");
        let text =
            format!("Bearer resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\", {more}");
        let mut response = json(status, &object!({ "error": "no" }));
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }

    /// Who calls and what they may, if the token is good and for this server.
    fn caller(&self, asked: &Asked) -> Option<(String, Vec<String>)> {
        let token = asked.header("authorization").strip_prefix("Bearer ")?;
        let believes = lock(&self.believes).clone();
        let grants = believes
            .iter()
            .filter_map(|issuer| lock(&issuer.access).get(token).cloned());
        let grant = grants.into_iter().find(|grant| grant.resource == self.url)?;
        Some((grant.person, grant.scopes))
    }

    fn message(&self, asked: &Asked) -> Response {
        lock(&self.seen).push(asked.header("authorization").to_owned());
        let message: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let text = |pointer: &str| {
            message
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let method = text("/method");
        let free = self.lists_freely.load(Ordering::SeqCst) && method != "tools/call";
        let caller = self.caller(asked);
        if caller.is_none() && !free {
            return self.challenge(
                StatusCode::UNAUTHORIZED,
                "scope=\"read\", error=\"invalid_token\"",
            );
        }
        let (person, scopes) = caller.unwrap_or_default();
        let result = match method {
            "initialize" if !self.is_modern => return self.opened(&message, &person),
            "server/discover" if self.is_modern => object!({
                "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "serverInfo": { "name": "guarded", "version": "1" },
            }),
            "tools/list" => tools(),
            "tools/call" => {
                if text("/params/name") == "administrate" && !scopes.iter().any(|scope| scope == "admin") {
                    return self.challenge(
                        StatusCode::FORBIDDEN,
                        "error=\"insufficient_scope\", scope=\"admin\"",
                    );
                }
                self.calls.fetch_add(1, Ordering::SeqCst);
                let session = asked.header("mcp-session-id");
                let owner = lock(&self.sessions)
                    .iter()
                    .find(|(id, _)| id == session)
                    .map(|(_, owner)| owner.clone());
                if owner.is_some_and(|owner| owner != person) {
                    return json(
                        StatusCode::BAD_REQUEST,
                        &object!({ "error": "somebody else's session" }),
                    );
                }
                object!({ "content": [{ "type": "text", "text": person }] })
            }
            _ if message.get("id").is_none() => return page(StatusCode::ACCEPTED, "", ""),
            _ => {
                let error = object!({ "code": -32601, "message": "no such method" });
                let answer = object!({ "jsonrpc": "2.0", "id": message.get("id"), "error": error });
                return json(StatusCode::OK, &answer);
            }
        };
        json(StatusCode::OK, &self.result(&message, result))
    }

    fn result(&self, message: &Value, mut result: Value) -> Value {
        if let (true, Some(members)) = (self.is_modern, result.as_object_mut()) {
            members.insert("resultType".to_owned(), "complete".into());
            members.insert("ttlMs".to_owned(), 0.into());
            members.insert("cacheScope".to_owned(), "private".into());
        }
        object!({ "jsonrpc": "2.0", "id": message.get("id"), "result": result })
    }

    fn opened(&self, message: &Value, person: &str) -> Response {
        let mut sessions = lock(&self.sessions);
        let id = format!("session-{}", sessions.len());
        sessions.push((id.clone(), person.to_owned()));
        let result = object!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "guarded", "version": "1" },
        });
        let mut response = json(StatusCode::OK, &self.result(message, result));
        if let Ok(value) = HeaderValue::from_str(&id) {
            let name = HeaderName::from_static("mcp-session-id");
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn tools() -> Value {
    let schema = object!({ "type": "object" });
    object!({ "tools": [
        { "name": "whoami", "description": "Says whose token came.", "inputSchema": schema },
        { "name": "administrate", "description": "Wants more.", "inputSchema": schema },
    ] })
}

//! The way of one client, from its first request to the token endpoint, as that client goes it.

use std::collections::BTreeSet;

use http::Method;
use sallyport_core::{ClientId, Secret};
use sallyport_oauth::pkce;
use serde_json::{Value, json};

use super::client::{Client, From, Knock, Scopes};
use super::finding::{Ill, Report};
use super::judge::{self, Server};
use super::place::Place;
use super::probe;
use super::wire::{Ask, Reply, Wire, encoded};
use crate::base::Base;

/// No person ever sees it, and no code is given for it.
const VERIFIER: &str = "sallyport-doctor-walks-the-way-of-a-client-and-never-redeems";
/// What is shown in place of a code or a refresh token: it is none.
const NO_TOKEN: &str = "sallyport-doctor-has-none";

pub(super) const AUTHORIZATION: &str = "Authorization header";

/// What the walk goes through.
pub(super) struct Walk<'a> {
    pub(super) wire: &'a Wire,
    pub(super) client: &'static Client,
    /// The endpoint's path, such as `/mcp`.
    pub(super) path: &'a str,
    pub(super) place: &'a Place,
    /// The store behind the gateway, where it is this machine's.
    pub(super) base: Option<&'a Base>,
    /// How long access tokens live, in seconds.
    pub(super) life: u64,
}

/// What the first answers have told.
#[derive(Default)]
struct Told {
    metadata: Option<String>,
    scope: Option<String>,
}

/// The client as the gateway knows it.
struct Known {
    id: String,
    /// How its registration is removed: path and token.
    remove: Option<(String, Secret<String>)>,
}

impl Walk<'_> {
    /// Goes the whole way, as far as it leads, and takes back what was registered.
    pub(super) async fn go(&self, report: &mut Report) {
        report.begin("reaching the gateway");
        self.reach(report);
        report.begin("finding out where to log in");
        let Some(told) = self.knock(report).await else {
            return broken_off(report);
        };
        let Some(offered) = self.resource(report, &told).await else {
            return broken_off(report);
        };
        let Some(server) = self.server(report).await else {
            return broken_off(report);
        };
        report.begin("becoming known");
        let known = match self.become_known(report, &server, &told).await {
            Some(known) => known,
            None => return broken_off(report),
        };
        report.begin("logging in");
        let scope = self.scope(&told, &offered, &server);
        if self.ask(report, (&known, &server), scope.as_deref()).await {
            report.begin("tokens");
            self.redeem(report, (&known, &server)).await;
        } else {
            broken_off(report);
        }
        self.leave(report, &known).await;
    }

    /// What no request can tell: where the client's requests come from.
    fn reach(&self, report: &mut Report) {
        let judged = match self.client.from {
            From::Cloud => self.place.is_on_the_open_network(self.client.label),
            From::Machine => self.place.is_safe_for_machines(),
        };
        report.note("where it comes from", judged);
        if self.client.early > 0 {
            let early = self.client.early;
            let judged = if self.life > early {
                Ok(format!(
                    "access tokens live {} s, longer than the {early} s before their end at which it renews them",
                    self.life
                ))
            } else {
                Err(Ill::warning(
                    "tokens-too-short",
                    format!(
                        "it takes a token for expired {early} s early, and yours live {} s: it renews them before every request",
                        self.life
                    ),
                    format!(
                        "Set `auth.tokens.access_ttl` to more than {}s; the default is 15m.",
                        early.saturating_mul(2)
                    ),
                ))
            };
            report.note("how long tokens live", judged);
        }
    }

    async fn knock(&self, report: &mut Report) -> Option<Told> {
        let mut told = Told::default();
        let mut guesses = false;
        for knock in self.client.knocks {
            let ask = message(*knock, self.path);
            let what = format!("{} {}", ask.method, self.path);
            let judged = self
                .wire
                .judged(&ask, |reply| judge::challenged(&what, reply))
                .await;
            let step = format!("first request ({what})");
            match judged {
                // Clients then guess where the documents are, and do not learn which scopes to ask for.
                Err(ill) if ill.verdict == "challenge-missing" => {
                    report.ill(step, ill);
                    guesses = true;
                }
                judged => {
                    let judged = judged.map(|bearer| (bearer, "401, with where to log in".to_owned()));
                    let bearer = report.take(step, judged)?;
                    told.metadata = told.metadata.or(bearer.metadata);
                    told.scope = told.scope.or(bearer.scope);
                }
            }
        }
        if guesses {
            report.ill(
                AUTHORIZATION,
                Ill::skipped("without a challenge there is no telling whether it arrives"),
            );
        } else {
            report.note(AUTHORIZATION, shows_a_token(self.wire, self.path).await);
        }
        Some(told)
    }

    /// The resource's document, at the address of the challenge, else in the spellings that all try.
    async fn resource(&self, report: &mut Report, told: &Told) -> Option<Vec<String>> {
        const ROOT: &str = "/.well-known/oauth-protected-resource";
        let step = "the resource's document (RFC 9728)";
        let origin = self.wire.origin();
        let path = match &told.metadata {
            Some(url) => match url.strip_prefix(origin).filter(|path| path.starts_with('/')) {
                Some(path) => path.to_owned(),
                None => {
                    report.ill(
                        step,
                        Ill::fails(
                            "metadata-elsewhere",
                            format!("the challenge sends clients to {url}, and the gateway is at {origin}"),
                            "Set `public_url` to the address that clients use, and restart the gateway.",
                        ),
                    );
                    return None;
                }
            },
            None => format!("{ROOT}{}", self.path),
        };
        let endpoint = format!("{origin}{}", self.path);
        let judged = self.document(&path).await.and_then(|document| {
            let scopes = judge::resource(&document, &endpoint, origin)?;
            Ok((scopes, format!("{path} is of {endpoint}")))
        });
        report.take(step, judged)
    }

    /// The server's document: a spelling that is not there leads to the next, anything else that is wrong to nowhere.
    async fn server(&self, report: &mut Report) -> Option<Server> {
        let step = "the server's document (RFC 8414)";
        let mut last = None;
        for spelling in self.client.server_documents {
            let path = spelling.replace("{path}", self.path);
            match self.document(&path).await {
                Ok(document) => {
                    let judged = judge::server(&document, self.wire.origin());
                    return report.take(
                        step,
                        judged.map(|server| (server, format!("{path}, of the issuer that was told"))),
                    );
                }
                Err(ill) if ill.verdict == "document-missing" => last = Some(ill),
                Err(ill) => {
                    report.ill(step, ill);
                    return None;
                }
            }
        }
        if let Some(ill) = last {
            report.ill(step, ill);
        }
        None
    }

    async fn document(&self, path: &str) -> Result<Value, Ill> {
        let ask = Ask::get(path).with("mcp-protocol-version", "2025-11-25");
        judge::document(path, &self.wire.ask(&ask).await?)
    }

    async fn become_known(&self, report: &mut Report, server: &Server, told: &Told) -> Option<Known> {
        if let (Some(url), true) = (self.client.document, server.takes_documents) {
            report.note(
                "its document",
                Ok(format!("it is known by {url}, and registers nothing")),
            );
            return Some(Known {
                id: url.to_owned(),
                remove: None,
            });
        }
        let Some(path) = &server.register else {
            report.ill(
                "registration",
                Ill::fails(
                    "no-way-to-become-known",
                    match self.client.document {
                        Some(_) => "clients may neither describe themselves by a document nor register themselves here",
                        None => "it registers itself, and clients may not do so here",
                    },
                    "Set `auth.dynamic_registration: true` (or `auth.client_metadata_documents: true`, for clients with a \
                     document), or make a client with `sallyport client create` and give its client_id to the program.",
                ),
            );
            return None;
        };
        let ask = Ask::new(Method::POST, path)
            .with("accept", "application/json")
            .json(&self.registration(told));
        let judged = self.wire.judged(&ask, judge::registered).await;
        let redirects = self.client.redirects.join(", ");
        let (id, answer) = report.take(
            "registration (RFC 7591)",
            judged.map(|known| (known, format!("taken, with {redirects}"))),
        )?;
        let uri = judge::text(&answer, "registration_client_uri");
        let token = judge::text(&answer, "registration_access_token");
        let path = uri.strip_prefix(self.wire.origin());
        let remove = path.map(|path| (path.to_owned(), Secret::from(token)));
        Some(Known { id, remove })
    }

    fn registration(&self, told: &Told) -> Value {
        let scopes = matches!(self.client.scopes, Scopes::Challenge | Scopes::Offline);
        let more = [
            ("application_type", self.client.is_native.then_some("native")),
            ("scope", told.scope.as_deref().filter(|_| scopes)),
        ];
        let mut body = json!({
            "client_name": self.client.registers_as,
            "redirect_uris": self.client.redirects,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        if let Some(members) = body.as_object_mut() {
            let more = more
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
            members.extend(more);
        }
        body
    }

    fn scope(&self, told: &Told, offered: &[String], server: &Server) -> Option<String> {
        let joined = |scopes: &[String]| Some(scopes.join(" ")).filter(|scopes| !scopes.is_empty());
        match self.client.scopes {
            Scopes::Fixed(scopes) => Some(scopes.to_owned()),
            Scopes::Resource => joined(offered),
            Scopes::Challenge => told.scope.clone().or_else(|| joined(offered)),
            Scopes::Offline => {
                let scope = told.scope.clone().or_else(|| joined(offered));
                let offline = server.scopes.iter().any(|scope| scope == "offline_access");
                let more = offline.then(|| "offline_access".to_owned());
                let all: BTreeSet<String> = scope.into_iter().chain(more).collect();
                joined(&all.into_iter().collect::<Vec<_>>())
            }
        }
    }

    /// The authorization request, as the browser brings it, and the page that it leads to.
    async fn ask(
        &self,
        report: &mut Report,
        (known, server): (&Known, &Server),
        scope: Option<&str>,
    ) -> bool {
        let endpoint = format!("{}{}", self.wire.origin(), self.path);
        let challenge = pkce::challenge_of(VERIFIER);
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", known.id.as_str()),
            ("redirect_uri", self.client.redirect),
            ("state", "sallyport-doctor"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("resource", endpoint.as_str()),
        ];
        fields.extend(scope.map(|scope| ("scope", scope)));
        fields.extend(self.client.prompt.map(|prompt| ("prompt", prompt)));
        let path = format!("{}?{}", server.authorize, encoded(&fields));
        let asked = |reply: &Reply| judge::asked(reply, self.wire.origin(), self.client.redirect);
        if self.client.looks_first {
            let itself = Ask::new(Method::GET, &path).with("accept", "*/*");
            let judged = self.wire.judged(&itself, asked).await;
            let judged = judged
                .map(|_| "the client itself may look at the address before the browser does".to_owned());
            report.note("authorization request, by the client", judged);
        }
        let judged = match self.wire.judged(&Ask::page(&path), asked).await {
            Err(ill) if ill.verdict == "authorization-refused" => Err(self.place.explained(ill).await),
            judged => judged,
        };
        let text = format!("valid; the answer will go to {}", self.client.redirect);
        let Some(next) = report.take("authorization request", judged.map(|next| (next, text))) else {
            return false;
        };
        if !next.starts_with('/') {
            return true;
        }
        let shown = next.split('?').next().unwrap_or_default().to_owned();
        let judged = self
            .wire
            .judged(&Ask::page(&next), |reply| judge::page(&shown, reply))
            .await;
        report.note("log-in page", judged)
    }

    /// A code and a refresh token that are none: the errors are those that the client acts on.
    async fn redeem(&self, report: &mut Report, (known, server): (&Known, &Server)) {
        let endpoint = format!("{}{}", self.wire.origin(), self.path);
        let base = [("client_id", known.id.as_str()), ("resource", endpoint.as_str())];
        let code = [
            ("grant_type", "authorization_code"),
            ("code", NO_TOKEN),
            ("redirect_uri", self.client.redirect),
            ("code_verifier", VERIFIER),
        ];
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", NO_TOKEN)];
        for (step, own) in [("a code", &code[..]), ("a refresh token", &refresh[..])] {
            let fields: Vec<_> = own.iter().chain(&base).copied().collect();
            let ask = Ask::new(Method::POST, &server.token).form(&fields);
            let judged = self.wire.judged(&ask, judge::invalid_grant).await;
            report.note(format!("redeeming {step}"), judged);
        }
    }

    /// Removes the registration (RFC 7592 §2.3): nothing stays behind. Where that is lost on the way, it is removed here.
    async fn leave(&self, report: &mut Report, known: &Known) {
        let Some((path, token)) = &known.remove else {
            return;
        };
        let ask = Ask::new(Method::DELETE, path).bearing(Some(token));
        let removed = self.wire.ask(&ask).await;
        let judged = match removed {
            Ok(reply) if reply.status == 204 => Ok("nothing stays behind".to_owned()),
            other => self.forget(known, other).await,
        };
        report.note("registration removed (RFC 7592)", judged);
    }

    async fn forget(&self, known: &Known, answer: Result<Reply, Ill>) -> Result<String, Ill> {
        let id = ClientId::new(known.id.as_str());
        if let Some(base) = self.base
            && probe::forget(base, &id).await.is_ok()
        {
            return Ok("by command, as it could not be done from outside; nothing stays behind".to_owned());
        }
        let why = answer.map_or_else(|ill| ill.text, |reply| reply.shown());
        Err(Ill::warning(
            "registration-stays",
            format!("the registration could not be removed: {why}"),
            format!("Remove it: `sallyport client delete {id}`."),
        ))
    }
}

/// Whether a token arrives at the endpoint.
pub(super) async fn shows_a_token(wire: &Wire, path: &str) -> Result<String, Ill> {
    let ask =
        message(Knock::Initialize("2025-11-25"), path).with("authorization", format!("Bearer {NO_TOKEN}"));
    judge::token_arrives(&format!("POST {path}"), &wire.ask(&ask).await?)
}

/// What comes after this one was not gone.
fn broken_off(report: &mut Report) {
    report.ill("the rest of the way", Ill::skipped("a client stops here"));
}

/// A message to the endpoint, without a token.
pub(super) fn message(knock: Knock, path: &str) -> Ask {
    const BOTH: &str = "application/json, text/event-stream";
    let client = json!({ "name": "sallyport-doctor", "version": env!("CARGO_PKG_VERSION") });
    match knock {
        Knock::Get(accept) => Ask::new(Method::GET, path)
            .with("accept", accept)
            .with("mcp-protocol-version", "2024-11-05"),
        Knock::Head => Ask::new(Method::HEAD, path).with("accept", "application/json"),
        Knock::Empty => Ask::new(Method::POST, path)
            .with("accept", "application/json")
            .json(&json!({})),
        Knock::Initialize(revision) => Ask::new(Method::POST, path).with("accept", BOTH).json(&json!({
            "jsonrpc": "2.0",
            "id": 0,
            "method": "initialize",
            "params": { "protocolVersion": revision, "capabilities": {}, "clientInfo": client },
        })),
        Knock::Discover => Ask::new(Method::POST, path)
            .with("accept", BOTH)
            .with("mcp-protocol-version", "2026-07-28")
            .with("mcp-method", "server/discover")
            .json(&json!({
                "jsonrpc": "2.0",
                "id": 0,
                "method": "server/discover",
                "params": { "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": client,
                    "io.modelcontextprotocol/clientCapabilities": {},
                } },
            })),
    }
}

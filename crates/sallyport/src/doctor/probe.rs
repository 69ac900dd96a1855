//! With a token: whether what is in front keeps sessions and streams whole. The token is that of a client of the doctor's
//! own, which acts in its own name and is removed at the end with everything that was granted to it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use sallyport_authserver::{Settings, credentials};
use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_core::{ClientId, Secret};
use sallyport_net::http1::{self, Timeouts};
use sallyport_net::{Reach, Worker};
use sallyport_oauth::own_name;
use sallyport_oauth::registration::{Policy, Registration};
use sallyport_store::Maker;
use serde_json::{Value, json};

use super::client::Knock;
use super::finding::{Ill, Report};
use super::judge;
use super::walk::message;
use super::wire::{self, Ask, PATIENCE, Wire};
use crate::base::Base;

/// The name under which a profile's `users` may list it, as `client:NAME`.
const CLIENT: &str = "sallyport-doctor";
/// How soon the first event of a stream has to be here.
const PROMPT: Duration = Duration::from_secs(5);

/// What is tried with a token.
pub(super) struct Probe<'a> {
    pub(super) wire: &'a Wire,
    pub(super) base: &'a Base,
    /// The endpoint's path.
    pub(super) path: &'a str,
    /// Whether nobody needs a token.
    pub(super) is_open: bool,
}

impl Probe<'_> {
    /// Tries it, and takes back what was made for it.
    pub(super) async fn look(&self, report: &mut Report) {
        report.begin("with a token, from outside");
        if self.is_open {
            return self.converse(report, None).await;
        }
        let made = self.make().await;
        let (id, secret) = match made {
            Ok(made) => made,
            Err(error) => {
                let mend = "See that this user may write the data folder.";
                report.ill(
                    "a client for the probe",
                    Ill::fails("store", error.to_string(), mend),
                );
                return;
            }
        };
        let token = self.token(&id, &secret).await;
        if let Some(token) = report.take("POST /token", token) {
            self.converse(report, Some(&token)).await;
        }
        if let Err(error) = forget(self.base, &id).await {
            report.ill(
                "client of the probe removed",
                Ill::warning(
                    "registration-stays",
                    error.to_string(),
                    format!("Remove it: `sallyport client delete {id}`."),
                ),
            );
        }
    }

    async fn make(&self) -> anyhow::Result<(ClientId, Secret<String>)> {
        let base = self.base;
        let mut body = json!({
            "client_name": CLIENT,
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": [own_name::GRANT_TYPE],
            "redirect_uris": [],
        });
        if let Some(members) = body.as_object_mut() {
            members.insert(own_name::RESOURCES.to_owned(), json!([self.path]));
        }
        let policy = Policy {
            private_schemes: &[],
            scopes: &Settings::scopes(),
            is_operator: true,
        };
        let accepted = Registration::read(body.to_string().as_bytes(), policy)?;
        let (secret, digest) = credentials::client_secret(&*base.vault, &*base.random);
        let id = ClientId::generate(&*base.random);
        let client = accepted.into_client(id.clone(), Some(digest), base.clock.now());
        record(base, Action::ClientRegister, &id).await?;
        base.store.register_client(&client, Maker::Operator, None).await?;
        Ok((id, secret))
    }

    /// A token by `client_secret_basic`: the Authorization header arrives at `/token` too.
    async fn token(&self, id: &ClientId, secret: &Secret<String>) -> Result<(Secret<String>, String), Ill> {
        let pair = STANDARD.encode(format!("{id}:{}", secret.expose()));
        let basic = format!("Basic {pair}");
        let ask = Ask::new(Method::POST, "/token")
            .form(&[("grant_type", own_name::GRANT_TYPE)])
            .with("authorization", basic);
        let reply = self.wire.ask(&ask).await?;
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let token = judge::text(&body, "access_token");
        if reply.status == 200 && !token.is_empty() {
            let text = format!("a token in {} ms", reply.took.as_millis());
            return Ok((Secret::from(token), text));
        }
        if judge::text(&body, "error") == "invalid_client" {
            return Err(Ill::warning(
                "another-gateway",
                format!(
                    "the gateway at {} does not know a client that was just written to this data folder",
                    self.wire.origin()
                ),
                "Run this with the configuration and the user of the gateway that answers there; or the Authorization header is \
                 dropped on the way to `/token`.",
            ));
        }
        let error = judge::text(&body, "error").to_owned();
        let other = || {
            Ill::warning(
                "no-token",
                format!("POST /token was answered with {} {error}", reply.shown()),
                "See the gateway's log.",
            )
        };
        Err(judge::from_elsewhere("POST /token", &reply).unwrap_or_else(other))
    }

    async fn converse(&self, report: &mut Report, token: Option<&Secret<String>>) {
        let opening = message(Knock::Initialize("2025-11-25"), self.path).bearing(token);
        let session = self.wire.judged(&opening, session).await;
        let Some(session) = report.take("Mcp-Session-Id", session) else {
            return;
        };
        let stream = Ask::new(Method::GET, self.path)
            .bearing(token)
            .with("accept", "text/event-stream")
            .with("mcp-protocol-version", "2025-11-25")
            .with("mcp-session-id", session.as_str());
        report.note("event stream", self.stream(&stream).await);
        let end = Ask::new(Method::DELETE, self.path)
            .bearing(token)
            .with("mcp-session-id", session.as_str());
        // It ends by itself, too.
        let _ = self.wire.ask(&end).await;
    }

    /// Whether the first event of a stream comes while the stream is open.
    async fn stream(&self, ask: &Ask) -> Result<String, Ill> {
        let slow = |what: &str| {
            Ill::warning(
                "stream-buffered",
                format!(
                    "{what} within {} s: something on the way keeps events until the stream ends",
                    PROMPT.as_secs()
                ),
                "Have the proxy pass answers on as they come (nginx: `proxy_buffering off;` and `proxy_http_version 1.1;`), and \
                 compress no event streams.",
            )
        };
        let url = self.wire.url(self.path)?;
        let target = self.wire.egress().target(&url, Reach::Operator);
        let target = target.map_err(|error| wire::unreached(&error))?;
        let head = self.wire.head(ask)?;
        let worker = Worker::new(0);
        let timeouts = Timeouts {
            connect: PATIENCE,
            first_byte: PROMPT,
            idle: PROMPT,
        };
        let answer = http1::send(&worker, &target, &head, &[], timeouts).await;
        let mut answer = answer.map_err(|_| slow("no answer to a GET of the event stream came"))?;
        if answer.status != 200 {
            let reply = wire::Reply {
                status: answer.status,
                headers: wire::headers(&answer.headers),
                ..wire::Reply::default()
            };
            let other = || {
                Ill::warning(
                    "no-stream",
                    format!("a GET of the event stream was answered with {}", reply.shown()),
                    "Have the proxy pass `Mcp-Session-Id` and `Accept` on.",
                )
            };
            return Err(judge::from_elsewhere("GET of the event stream", &reply).unwrap_or_else(other));
        }
        match answer.body.next().await {
            Some(Ok(_)) => Ok("its first event comes at once".to_owned()),
            _ => Err(slow("no event came")),
        }
    }
}

/// Removes a client of the doctor's, and everything that was granted to it.
pub(super) async fn forget(base: &Base, id: &ClientId) -> anyhow::Result<()> {
    record(base, Action::ClientDelete, id).await?;
    base.store.delete_client(id, base.clock.now()).await?;
    Ok(())
}

async fn record(base: &Base, action: Action, id: &ClientId) -> anyhow::Result<()> {
    let trail = base.trail().await?;
    let event = Event {
        client: Some(id.clone()),
        ..Event::new(action, Outcome::Ok)
    };
    let recorded = trail
        .record_durably(event.on(CLIENT).because("by the doctor"))
        .await;
    trail.shutdown().await;
    Ok(recorded?)
}

fn session(reply: &wire::Reply) -> Result<(String, String), Ill> {
    if let Some(ill) = judge::from_elsewhere("initialize", reply).filter(|_| reply.status != 403) {
        return Err(ill);
    }
    match (reply.status, reply.header("mcp-session-id")) {
        (200, Some(session)) => Ok((session.to_owned(), "arrives".to_owned())),
        (200, None) => Err(Ill::fails(
            "session-dropped",
            "the answer to `initialize` has no `Mcp-Session-Id`",
            "Have the proxy pass `Mcp-Session-Id` on in both directions.",
        )),
        (403, _) => Err(Ill::skipped(format!(
            "the profile's `users` do not admit `client:{CLIENT}`; add it there to have this looked at"
        ))),
        (401, _) => Err(Ill::fails(
            "token-refused",
            "a token that was just given out is refused",
            "Several gateways stand behind one address without one store, or the Authorization header is changed on the way.",
        )),
        (status, _) => Err(Ill::fails(
            "initialize-refused",
            format!("`initialize` was answered with {status}"),
            "See the gateway's log, and that the proxy passes bodies on unchanged.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_initialize_and_their_verdicts() {
        for (status, session_id, expected) in [
            (200, Some("abc"), "ok"),
            (200, None, "session-dropped"),
            (401, None, "token-refused"),
            (403, None, "skipped"),
            (400, None, "initialize-refused"),
            (502, None, "gateway-not-behind"),
        ] {
            let headers = session_id.map(|id| ("Mcp-Session-Id".to_owned(), id.to_owned()));
            let reply = wire::Reply {
                status,
                headers: headers.into_iter().collect(),
                ..wire::Reply::default()
            };
            let verdict = session(&reply).map_or_else(|ill| ill.verdict, |_| "ok");
            assert_eq!(verdict, expected, "{status}");
        }
    }
}

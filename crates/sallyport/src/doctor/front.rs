//! The gateway from outside, through everything that stands in front of it.

use std::time::Duration;

use http::Method;
use sallyport_core::{Clock, Timestamp};
use sallyport_net::Reach;

use super::client::Knock;
use super::finding::{Ill, Report};
use super::judge;
use super::place::Place;
use super::walk::{AUTHORIZATION, message, shows_a_token};
use super::wire::{self, Ask, PATIENCE, Reply, Wire};

/// A certificate that ends sooner deserves a word: those that renew themselves do so a month before.
const ENDS_SOON: u32 = 14;
/// How far the clock of an answer may be from ours: tokens of other issuers are given 60 s.
const SKEW: Duration = Duration::from_secs(60);
/// The body with which it is tried whether large ones arrive: more than the 1 MiB that nginx takes unless told otherwise.
const LARGE: u64 = 2 << 20;
/// What pages send with their requests.
const PAGE_HEADERS: [&str; 5] = [
    "authorization",
    "content-type",
    "accept",
    "mcp-protocol-version",
    "mcp-session-id",
];

/// What is looked at from outside.
pub(super) struct Front<'a> {
    pub(super) wire: &'a Wire,
    pub(super) place: &'a Place,
    /// The endpoints' paths; the first is the one that is spoken to.
    pub(super) paths: &'a [String],
    /// The largest request body that the gateway takes, in bytes.
    pub(super) request_bytes: u64,
    /// The origin of a page that may call.
    pub(super) page: &'a str,
    /// Whether nobody needs a token.
    pub(super) is_open: bool,
}

impl Front<'_> {
    /// Looks at everything that can be seen without a token.
    pub(super) async fn look(&self, report: &mut Report, clock: &dyn Clock) -> bool {
        report.begin("from outside");
        if !report.note("name", self.place.resolved()) {
            return false;
        }
        report.note("transport", self.place.is_safe_for_machines());
        if self.place.url.scheme() == "https" && !self.certificate(report, clock.now()).await {
            return false;
        }
        let path = self.path();
        let ask = message(Knock::Initialize("2025-11-25"), path);
        let first = match self.wire.ask(&ask).await {
            Ok(reply) => reply,
            Err(ill) => {
                report.ill("connection", ill);
                return false;
            }
        };
        if let Some(judged) = dated(&first, clock.now()) {
            report.note("clock", judged);
        }
        if self.is_open {
            report.ill(
                "logging in",
                Ill::skipped("with `auth.mode: none` nobody needs a token"),
            );
            return true;
        }
        self.documents(report).await;
        self.challenges(report).await;
        report.note(AUTHORIZATION, shows_a_token(self.wire, path).await);
        self.large(report).await;
        self.pages(report).await;
        true
    }

    fn path(&self) -> &str {
        self.paths.first().map_or("/mcp", String::as_str)
    }

    /// What is left of a certificate that is good now, and whose it is.
    async fn certificate(&self, report: &mut Report, now: Timestamp) -> bool {
        let egress = self.wire.egress();
        let found = async {
            let target = egress.target(&self.place.url, Reach::Operator)?;
            egress.certificate(&target, now).await
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        let certificate = match found {
            Ok(Ok(Some(certificate))) => certificate,
            Ok(Ok(None)) => return true,
            Ok(Err(error)) => {
                report.ill("certificate", wire::unreached(&error));
                return false;
            }
            Err(_) => {
                let text = "the TLS handshake does not come to an end";
                report.ill(
                    "certificate",
                    Ill::fails("no-answer", text, "See the proxy's log."),
                );
                return false;
            }
        };
        report.note("certificate", lasting(certificate.days, certificate.is_public));
        true
    }

    /// Every spelling that clients try, and one that there is not.
    async fn documents(&self, report: &mut Report) {
        let origin = self.wire.origin();
        for path in self.paths {
            let spelled = format!("/.well-known/oauth-protected-resource{path}");
            let endpoint = format!("{origin}{path}");
            let judged = self.document(&spelled).await;
            let judged = judged.and_then(|document| judge::resource(&document, &endpoint, origin));
            report.note(spelled, judged.map(|_| format!("of {endpoint}")));
        }
        let judged = self.document("/.well-known/oauth-protected-resource").await;
        report.note(
            "/.well-known/oauth-protected-resource",
            judged.map(|_| "there".to_owned()),
        );
        for name in ["oauth-authorization-server", "openid-configuration"] {
            for behind in ["", self.path()] {
                let spelled = format!("/.well-known/{name}{behind}");
                let judged = self.document(&spelled).await;
                let judged = judged.and_then(|document| judge::server(&document, origin));
                report.note(spelled, judged.map(|_| format!("of the issuer {origin}")));
            }
        }
        let judged = self.document("/.well-known/jwks.json").await;
        report.note("/.well-known/jwks.json", judged.map(|_| "there".to_owned()));
        let nothing = Ask::get("/.well-known/oauth-authorization-server/sallyport-doctor");
        let judged = self.wire.judged(&nothing, unknown).await;
        report.note("a document that there is not", judged);
    }

    async fn document(&self, path: &str) -> Result<serde_json::Value, Ill> {
        judge::document(path, &self.wire.ask(&Ask::get(path)).await?)
    }

    /// Every method, and the spelling with a slash (R1, R2).
    async fn challenges(&self, report: &mut Report) {
        let path = self.path();
        let slash = format!("{path}/");
        let asks = [
            message(Knock::Initialize("2025-11-25"), path),
            message(Knock::Get("text/event-stream"), path),
            message(Knock::Head, path),
            Ask::new(Method::DELETE, path),
            message(Knock::Initialize("2025-11-25"), &slash),
        ];
        for ask in asks {
            let what = format!("{} {}", ask.method, ask.path);
            let judged = self
                .wire
                .judged(&ask, |reply| judge::challenged(&what, reply))
                .await;
            let judged =
                judged.and_then(|bearer| told(self.wire.origin(), &what, bearer.metadata.as_deref()));
            report.note(what, judged);
        }
    }

    /// Whether large messages arrive.
    async fn large(&self, report: &mut Report) {
        let size = self.request_bytes.min(LARGE);
        let mut ask = message(Knock::Empty, self.path());
        ask.body.resize(usize::try_from(size).unwrap_or(usize::MAX), b' ');
        let judged = match self.wire.ask(&ask).await {
            Ok(reply) if reply.status == 413 => Err(Ill::warning(
                "bodies-cut",
                format!("a message of {size} bytes was answered with {}", reply.shown()),
                format!(
                    "Have the proxy take what the gateway takes, {} bytes (nginx: `client_max_body_size`).",
                    self.request_bytes
                ),
            )),
            Ok(reply) => judge::challenged(&format!("POST {}", self.path()), &reply)
                .map(|_| format!("messages of {size} bytes arrive"))
                .map_err(Ill::mild),
            Err(ill) => Err(ill.mild()),
        };
        report.note("large messages", judged);
    }

    /// Pages for people, and pages as clients.
    async fn pages(&self, report: &mut Report) {
        let login = Ask::page("/login");
        let judged = self
            .wire
            .judged(&login, |reply| judge::page("/login", reply))
            .await;
        report.note("log-in page", judged);
        for (path, needs) in [
            (self.path(), &PAGE_HEADERS[..]),
            ("/token", &["content-type"][..]),
        ] {
            let wanted = needs.join(", ");
            let ask = Ask::new(Method::OPTIONS, path)
                .with("origin", self.page)
                .with("access-control-request-method", "POST")
                .with("access-control-request-headers", wanted);
            let judged = self
                .wire
                .judged(&ask, |reply| judge::preflight(path, reply, self.page, needs))
                .await;
            // Programs, which most clients are, send none.
            report.note(format!("preflight of {path}"), judged.map_err(Ill::mild));
        }
    }
}

/// A document that there is not is a plain 404: some clients take whatever else comes for one (R4).
fn unknown(reply: &Reply) -> Result<String, Ill> {
    if reply.status == 404 {
        return Ok("404, so that clients go on to the next spelling".to_owned());
    }
    Err(Ill::warning(
        "unknown-document-answered",
        format!("it was answered with {} and not with 404", reply.shown()),
        "Have the proxy pass everything below `/.well-known/` to the gateway, and send nobody to a page of its own.",
    ))
}

fn told(origin: &str, what: &str, metadata: Option<&str>) -> Result<String, Ill> {
    match metadata {
        Some(url) if url.strip_prefix(origin).is_some_and(|path| path.starts_with('/')) => {
            Ok("401, with where to log in".to_owned())
        }
        Some(url) => Err(Ill::fails(
            "metadata-elsewhere",
            format!("{what} sends clients to {url}, and the gateway is at {origin}"),
            "Set `public_url` to the address that clients use, and restart the gateway.",
        )),
        None => Err(Ill::fails(
            "challenge-foreign",
            format!("{what} was answered with a challenge that does not say where to log in"),
            "The proxy asks for a log-in of its own: take it away from `/mcp` and `/.well-known/`.",
        )),
    }
}

/// How long a certificate lasts, and whether everybody trusts who gave it.
fn lasting(days: u32, is_public: bool) -> Result<String, Ill> {
    if !is_public {
        return Err(Ill::warning(
            "certificate-of-a-private-authority",
            "this machine trusts the authority of the certificate, and others may not",
            "For clients elsewhere (claude.ai, ChatGPT, VS Code) use a certificate of an authority that everybody knows, as Let's \
             Encrypt is.",
        ));
    }
    if days < ENDS_SOON {
        return Err(Ill::warning(
            "certificate-ends-soon",
            format!("it ends within {} days", days + 1),
            "Renew it, and see why it was not renewed by itself.",
        ));
    }
    Ok(format!("good for {days} days and more"))
}

/// Whether the clock in front agrees with ours; nothing where an answer tells no time.
fn dated(reply: &Reply, now: Timestamp) -> Option<Result<String, Ill>> {
    let told = httpdate::parse_http_date(reply.header("date")?).ok()?;
    let told = told.duration_since(std::time::UNIX_EPOCH).ok()?;
    let told = Timestamp::EPOCH.plus(told);
    let apart = told.since(now).max(now.since(told));
    if apart <= SKEW {
        return Some(Ok(
            "this machine and what is in front agree on the time".to_owned()
        ));
    }
    Some(Err(Ill::warning(
        "clocks-differ",
        format!(
            "this machine and what is in front are {} s apart",
            apart.as_secs()
        ),
        "Have both set their clocks by NTP: tokens and codes are good for minutes.",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(judged: Result<String, Ill>) -> &'static str {
        judged.map_or_else(|ill| ill.verdict, |_| "ok")
    }

    #[test]
    fn certificates_at_the_limit_and_one_past_it() {
        for (days, is_public, expected) in [
            (90, true, "ok"),
            (ENDS_SOON, true, "ok"),
            (ENDS_SOON - 1, true, "certificate-ends-soon"),
            (0, true, "certificate-ends-soon"),
            (400, false, "certificate-of-a-private-authority"),
        ] {
            assert_eq!(verdict(lasting(days, is_public)), expected, "{days} {is_public}");
        }
    }

    #[test]
    fn clocks_at_the_limit_and_one_past_it() {
        let reply = Reply {
            headers: vec![("Date".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned())],
            ..Reply::default()
        };
        let told = Timestamp::from_secs(784_111_777);
        for (seconds, expected) in [(0, "ok"), (60, "ok"), (61, "clocks-differ")] {
            for now in [
                told.plus(Duration::from_secs(seconds)),
                told.minus(Duration::from_secs(seconds)),
            ] {
                assert_eq!(verdict(dated(&reply, now).unwrap()), expected, "{seconds}");
            }
        }
        assert!(dated(&Reply::default(), told).is_none());
    }

    #[test]
    fn what_there_is_not_is_a_plain_404() {
        for (status, expected) in [
            (404, "ok"),
            (200, "unknown-document-answered"),
            (302, "unknown-document-answered"),
        ] {
            let reply = Reply {
                status,
                ..Reply::default()
            };
            assert_eq!(verdict(unknown(&reply)), expected);
        }
    }

    #[test]
    fn a_challenge_leads_to_the_gateway_itself() {
        for (metadata, expected) in [
            (Some("https://h/.well-known/x"), "ok"),
            (Some("http://h/.well-known/x"), "metadata-elsewhere"),
            (Some("https://hh/.well-known/x"), "metadata-elsewhere"),
            (None, "challenge-foreign"),
        ] {
            assert_eq!(
                verdict(told("https://h", "POST /mcp", metadata)),
                expected,
                "{metadata:?}"
            );
        }
    }
}

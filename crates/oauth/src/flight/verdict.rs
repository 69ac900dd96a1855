//! What became of a log-in, in one sentence with the mend.

use std::time::Duration;

use sallyport_core::Timestamp;
use serde::Serialize;

use super::rule::Rule;
use super::shape::Place;
use super::step::{Document, Refused, Step};
use super::trace::Trace;

/// How long a log-in may be silent before it counts as broken off: some people read consent pages.
pub const SILENCE: Duration = Duration::from_secs(3 * 60);

/// How a log-in stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The client is connected.
    Connected,
    /// It goes on.
    Underway,
    /// Nothing came after its last step.
    BrokenOff,
    /// A rule was not kept.
    Refused,
}

/// How a log-in stands, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verdict {
    /// How it stands.
    pub state: State,
    /// The rule that decided, or the last step: a closed set of names.
    pub name: String,
    /// One sentence for the operator.
    pub text: String,
    /// What to do about it; empty where there is nothing to do.
    pub mend: String,
}

impl Trace {
    /// The verdict, as of `now`.
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let who = self.client.as_ref().map_or("The client", |client| client.label());
        if let Some(Step::Refused(refused)) = self.last() {
            let (text, mend) = refusal(who, refused);
            return Verdict {
                state: State::Refused,
                name: refused.rule.name(),
                text,
                mend,
            };
        }
        if self.is_connected() {
            return Verdict {
                state: State::Connected,
                name: "connected".to_owned(),
                text: format!("{who} has logged in and made its first call."),
                mend: String::new(),
            };
        }
        let is_silent = now.since(self.seen) >= SILENCE;
        let (name, text, mend) = self.standstill(who);
        Verdict {
            state: if is_silent {
                State::BrokenOff
            } else {
                State::Underway
            },
            name: name.to_owned(),
            text,
            mend: if is_silent { mend.to_owned() } else { String::new() },
        }
    }

    /// The furthest step, and why nothing may have come after it.
    fn standstill(&self, who: &str) -> (&'static str, String, &'static str) {
        let has = |is: fn(&Step) -> bool| self.has(is);
        if let Some(Step::Challenged { endpoint, rule }) = self.last()
            && has(|step| matches!(step, Step::Issued { .. }))
        {
            return token_not_accepted(who, endpoint, *rule);
        }
        if has(|step| matches!(step, Step::Issued { .. })) {
            return (
                "token-unused",
                format!("{who} has an access token and has not used it."),
                "See that what is in front of the gateway passes /mcp and /mcp/… with the Authorization header and without \
                 a redirect, and that the client was given the endpoint's URL exactly as the gateway prints it; then \
                 connect again.",
            );
        }
        if let Some(back) = self.answer_sent_to() {
            return (
                "code-unused",
                format!("The person said yes, and nobody has redeemed the code that was sent to {back}."),
                "The browser has to reach that address: it must run on the client's own machine, the client must still be \
                 waiting, and no firewall or ad blocker may stop the redirect; connect again.",
            );
        }
        if has(|step| *step == Step::ConsentShown || *step == Step::LoggedIn) {
            return (
                "consent-unanswered",
                format!("The person has logged in, and has not answered whether {who} may act for them."),
                "Answer the page in the browser, or connect again.",
            );
        }
        if has(|step| matches!(step, Step::Asked { .. } | Step::LoginShown)) {
            return (
                "nobody-logged-in",
                format!("{who} has sent a browser here, and nobody has logged in."),
                "Log in on that page, or connect again; `sallyport user list` shows who can.",
            );
        }
        if has(|step| matches!(step, Step::Registered { .. })) {
            return (
                "no-browser",
                format!("{who} has registered, and no browser has come to log in."),
                "Open the address that the client shows; on a machine without a browser, open it on another one.",
            );
        }
        self.looked_around(who)
    }

    fn looked_around(&self, who: &str) -> (&'static str, String, &'static str) {
        let found = |wanted: Document| move |step: &Step| matches!(step, Step::Discovery { document, found: true } if *document == wanted);
        let has_server =
            self.has(found(Document::AuthorizationServer)) || self.has(found(Document::OpenidConfiguration));
        if has_server {
            return (
                "not-registered",
                format!("{who} has read how to log in, and has not registered."),
                "Connect again from the client's own log-in command. If clients cannot register themselves here, give it a \
                 client_id from `sallyport client create`.",
            );
        }
        if self.has(found(Document::ProtectedResource)) {
            return (
                "no-server-document",
                format!("{who} has read about the endpoint, and has not asked where to log in."),
                "Compare the URL that the client was given with the `resource` of that document: most clients stop when they \
                 differ, be it by a slash.",
            );
        }
        if self.has(|step| matches!(step, Step::Discovery { .. })) {
            return (
                "no-document",
                format!("{who} has asked for documents that are not here, and for none that is."),
                "See that `public_url` is the address that clients use, and that what is in front of the gateway passes \
                 /.well-known/ on.",
            );
        }
        (
            "only-challenged",
            format!("{who} was told where to log in, and has asked for nothing there."),
            "Its version may not know OAuth, or wants its own log-in command to be run; or it cannot reach `public_url`.",
        )
    }

    /// Where the answer to a person's yes went, while nobody came for the tokens.
    fn answer_sent_to(&self) -> Option<&str> {
        if !self.awaits_tokens() {
            return None;
        }
        let asked = self.steps.iter().rev().find_map(|entry| match &entry.step {
            Step::Asked { redirect, .. } => Some(redirect.as_str()),
            _ => None,
        });
        Some(asked.unwrap_or("the client"))
    }
}

fn token_not_accepted(who: &str, endpoint: &Place, rule: Rule) -> (&'static str, String, &'static str) {
    let at = endpoint.as_str();
    match rule {
        Rule::TokenMissing => (
            "token-not-sent",
            format!("{who} has an access token and came to {at} without it."),
            "What is in front of the gateway may take the Authorization header away, or the client followed a redirect; \
             pass the header on and give the client the URL exactly as the gateway prints it.",
        ),
        Rule::TokenAudience => (
            "token-audience",
            format!("{who} used a token at {at} that is for another endpoint."),
            "Log in again at the URL that the client calls: a token is good for the one endpoint that it was asked for.",
        ),
        Rule::ProofRefused => {
            let (_, mend) = super::words::of(rule);
            (
                "proof-refused",
                format!(
                    "{who} has an access token that is bound to a key, and its DPoP proof at {at} was not accepted."
                ),
                mend,
            )
        }
        _ => (
            "token-refused",
            format!("{who} has an access token, and the one that it showed at {at} was not accepted."),
            "Remove the saved sign-in from the client and connect again.",
        ),
    }
}

/// What was refused, and the mend.
fn refusal(who: &str, refused: &Refused) -> (String, String) {
    if refused.rule == Rule::RedirectNotRegistered {
        return redirect_not_registered(who, refused);
    }
    let (what, mend) = super::words::of(refused.rule);
    (what.replace("{who}", who), mend.to_owned())
}

fn redirect_not_registered(who: &str, refused: &Refused) -> (String, String) {
    let asked = refused.asked.as_ref().map_or("another address", Place::as_str);
    let registered: Vec<&str> = refused.registered.iter().map(Place::as_str).collect();
    if registered.is_empty() {
        return (
            format!("{who} asked to return to {asked}, and has registered no such address."),
            format!("Register {asked} for it."),
        );
    }
    let differ = refused
        .differs
        .map(|difference| format!(" (they differ in {})", difference.words()))
        .unwrap_or_default();
    (
        format!(
            "{who} asked to return to {asked}, but it registered {}{differ}.",
            registered.join(" and ")
        ),
        format!(
            "Register {asked} for it, or have the client use what it registered; if it saved an older registration, remove \
             its saved sign-in and connect again."
        ),
    )
}

//! A person's yes: when it has to be asked for, and what it makes.

use std::time::Duration;

use sallyport_core::{GrantId, ScopeSet, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::authorize::ValidRequest;
use crate::model::{AuthorizationCode, Consent, Digest, Grant};
use crate::redirect::{self, RedirectKind};

/// How long a consent page may stay open.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// Where the browser comes from, by `Sec-Fetch-Site` (Fetch Metadata §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Navigation {
    /// The person opened the address, a program did, or a page of ours led here.
    Direct,
    /// Another site sent the browser here, or the browser does not say.
    Elsewhere,
}

impl Navigation {
    /// Reads the header's value. A browser that does not send it is taken to come from elsewhere; so is a page of the
    /// same site, because every program on a loopback port is of the same site.
    #[must_use]
    pub fn from_header(value: Option<&str>) -> Self {
        match value {
            Some("none" | "same-origin") => Self::Direct,
            _ => Self::Elsewhere,
        }
    }
}

/// Whether a yes to this kind of client may be remembered. Behind loopback and private-use redirects anybody's program
/// can be (RFC 8252 §8.6), so it is asked every time.
#[must_use]
pub fn can_be_remembered(kind: RedirectKind) -> bool {
    matches!(kind, RedirectKind::Https)
}

/// Whether a remembered yes answers this request without a page. It never answers a navigation from another site.
#[must_use]
pub fn is_covered(remembered: Option<&Consent>, request: &ValidRequest, navigation: Navigation) -> bool {
    let matches = |consent: &Consent| is_for(consent, request) && consent.scopes.covers(&request.scopes);
    can_be_remembered(request.kind)
        && navigation == Navigation::Direct
        && !request.prompt.consent
        && remembered.is_some_and(matches)
}

/// What an app has that asks for more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepUp {
    /// What it was allowed before and keeps.
    pub kept: ScopeSet,
    /// What is new.
    pub new: ScopeSet,
}

/// What is new in a request for more than a remembered yes allows. A yes to it makes the union, of which nothing is more than
/// the client may ask for (`registered`). One that asks for what it has, or for less, gets what it asks for.
#[must_use]
pub fn step_up(
    remembered: Option<&Consent>,
    request: &ValidRequest,
    registered: &ScopeSet,
) -> Option<StepUp> {
    let remembered =
        remembered.filter(|consent| can_be_remembered(request.kind) && is_for(consent, request))?;
    let kept = registered.intersection(&remembered.scopes);
    let new = request
        .scopes
        .iter()
        .filter(|scope| !kept.contains(scope.as_str()));
    let new: ScopeSet = new.cloned().collect();
    (!kept.is_empty() && !new.is_empty()).then_some(StepUp { kept, new })
}

/// Whether a remembered yes was to the same client at the same place, for the same resource.
fn is_for(consent: &Consent, request: &ValidRequest) -> bool {
    consent.client == request.client
        && consent.resource == request.resource
        && consent.redirect == redirect::without_port(&request.target.redirect_uri)
}

/// What a consent page carries, sealed: the form can neither be changed nor made by anybody else, and what counts is
/// this, not what the form says besides (CO-05).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// What was asked for.
    pub request: ValidRequest,
    /// The name under which it was pushed, if it was: it is answered once.
    pub pushed: Option<Digest>,
    /// One yes to one page makes one code, however often the button is pressed (CO-09).
    pub nonce: String,
    /// When the page was made.
    pub opened: Timestamp,
    /// Whether it asks for more than the app was allowed before.
    #[serde(default)]
    pub more: bool,
}

impl Transaction {
    /// Whether the page was open for longer than [`MAX_AGE`].
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.opened) > MAX_AGE
    }
}

/// How long what a yes makes shall live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// The code.
    pub code: Duration,
    /// The grant, however often it is refreshed.
    pub grant: Duration,
}

/// What a yes makes: the grant and the code that opens it. `digest` is the code's hash.
#[must_use]
pub fn approve(
    request: &ValidRequest,
    user: UserId,
    (grant, digest): (GrantId, Digest),
    now: Timestamp,
    lifetimes: Lifetimes,
) -> (Grant, AuthorizationCode) {
    let code = AuthorizationCode {
        digest,
        grant: grant.clone(),
        redirect_uri: request.target.redirect_uri.clone(),
        challenge: request.challenge.as_str().to_owned(),
        key: request.key.clone(),
        expires: now.plus(lifetimes.code),
    };
    let grant = Grant {
        id: grant,
        user,
        client: request.client.clone(),
        resource: request.resource.clone(),
        scopes: request.scopes.clone(),
        created: now,
        expires: now.plus(lifetimes.grant),
        revoked: None,
    };
    (grant, code)
}

/// The yes as it is remembered.
#[must_use]
pub fn remembered(request: &ValidRequest, user: UserId, now: Timestamp) -> Consent {
    Consent {
        user,
        client: request.client.clone(),
        resource: request.resource.clone(),
        scopes: request.scopes.clone(),
        redirect: redirect::without_port(&request.target.redirect_uri),
        given: now,
    }
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ClientId, Resource};

    use super::*;
    use crate::authorize::ResponseTarget;
    use crate::pkce::CodeChallenge;
    use crate::prompt::Prompt;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn request(redirect_uri: &str, kind: RedirectKind) -> ValidRequest {
        ValidRequest {
            target: ResponseTarget {
                redirect_uri: redirect_uri.into(),
                state: None,
            },
            kind,
            client: ClientId::new("c"),
            resource: Resource::parse("http://h/mcp").unwrap(),
            scopes: ScopeSet::parse("mcp"),
            challenge: CodeChallenge::read(Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), Some("S256"))
                .unwrap(),
            prompt: Prompt::default(),
            key: None,
        }
    }

    fn web() -> ValidRequest {
        request("https://c.test/cb", RedirectKind::Https)
    }

    #[test]
    fn a_remembered_yes_answers_the_same_request_again() {
        let consent = remembered(&web(), UserId::new("u"), NOW);
        assert!(is_covered(Some(&consent), &web(), Navigation::Direct));
        assert!(!is_covered(None, &web(), Navigation::Direct));
    }

    #[test]
    fn co_01_it_never_answers_another_site_nor_another_request() {
        let consent = remembered(&web(), UserId::new("u"), NOW);
        assert!(!is_covered(Some(&consent), &web(), Navigation::Elsewhere));
        let other_place = request("https://c.test/other", RedirectKind::Https);
        let more = ValidRequest {
            scopes: ScopeSet::parse("mcp more"),
            ..web()
        };
        let other_resource = ValidRequest {
            resource: Resource::parse("http://h/mcp/b").unwrap(),
            ..web()
        };
        let other_client = ValidRequest {
            client: ClientId::new("d"),
            ..web()
        };
        let asked = ValidRequest {
            prompt: Prompt {
                consent: true,
                ..Prompt::default()
            },
            ..web()
        };
        for request in [other_place, more, other_resource, other_client, asked] {
            assert!(
                !is_covered(Some(&consent), &request, Navigation::Direct),
                "{request:?}"
            );
        }
    }

    #[test]
    fn p_123_a_remembered_yes_to_much_answers_for_less() {
        let consent = remembered(&web(), UserId::new("u"), NOW);
        for (scopes, is) in [
            ("mcp:read", true),
            ("mcp:docs:write", true),
            ("mcp openid", false),
        ] {
            let request = ValidRequest {
                scopes: ScopeSet::parse(scopes),
                ..web()
            };
            assert_eq!(
                is_covered(Some(&consent), &request, Navigation::Direct),
                is,
                "{scopes}"
            );
        }
    }

    #[test]
    fn a_step_up_asks_for_what_is_new_and_keeps_the_rest() {
        let had = |scopes: &str| Consent {
            scopes: ScopeSet::parse(scopes),
            ..remembered(&web(), UserId::new("u"), NOW)
        };
        let asks = |scopes: &str| ValidRequest {
            scopes: ScopeSet::parse(scopes),
            ..web()
        };
        let all = ScopeSet::parse("mcp");
        let up = |consent: &Consent, request: &ValidRequest, registered: &ScopeSet| {
            let up = step_up(Some(consent), request, registered)?;
            Some((up.kept.to_string(), up.new.to_string()))
        };
        let said = |kept: &str, new: &str| Some((kept.to_owned(), new.to_owned()));
        assert_eq!(
            up(&had("mcp:read"), &asks("mcp:write"), &all),
            said("mcp:read", "mcp:write")
        );
        assert_eq!(
            up(&had("mcp:docs:write"), &asks("mcp:docs:read mcp:mail:read"), &all),
            said("mcp:docs:write", "mcp:mail:read")
        );
        // Whoever asks for less gets less.
        assert_eq!(up(&had("mcp"), &asks("mcp:read"), &all), None);
        // AZ-08: what is no longer registered is not kept.
        assert_eq!(
            up(
                &had("mcp:mail:write"),
                &asks("mcp:docs:read"),
                &ScopeSet::parse("mcp:docs:read")
            ),
            None
        );
        // Another place is another app, and a local program is nobody in particular.
        let elsewhere = request("https://c.test/other", RedirectKind::Https);
        assert_eq!(up(&had("mcp:read"), &elsewhere, &all), None);
        let local = request("http://127.0.0.1:1/cb", RedirectKind::Loopback);
        let of_local = Consent {
            scopes: ScopeSet::parse("mcp:read"),
            ..remembered(&local, UserId::new("u"), NOW)
        };
        assert_eq!(up(&of_local, &local, &all), None);
    }

    #[test]
    fn cm_09_ru_12_local_programs_are_asked_about_every_time() {
        for request in [
            request("http://127.0.0.1:1/cb", RedirectKind::Loopback),
            request("cursor://x/cb", RedirectKind::PrivateUse),
        ] {
            let consent = remembered(&request, UserId::new("u"), NOW);
            assert!(
                !is_covered(Some(&consent), &request, Navigation::Direct),
                "{request:?}"
            );
        }
    }

    #[test]
    fn where_a_browser_comes_from() {
        for (value, expected) in [
            (Some("none"), Navigation::Direct),
            (Some("same-origin"), Navigation::Direct),
            (Some("same-site"), Navigation::Elsewhere),
            (Some("cross-site"), Navigation::Elsewhere),
            (Some("odd"), Navigation::Elsewhere),
            (None, Navigation::Elsewhere),
        ] {
            assert_eq!(Navigation::from_header(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_page_ends_after_ten_minutes_and_a_code_after_one() {
        let transaction = Transaction {
            request: web(),
            pushed: None,
            nonce: "n".into(),
            more: false,
            opened: NOW,
        };
        assert!(!transaction.is_stale(NOW.plus(MAX_AGE)));
        assert!(transaction.is_stale(NOW.plus(MAX_AGE + Duration::from_millis(1))));
        let lifetimes = Lifetimes {
            code: Duration::from_secs(60),
            grant: Duration::from_secs(90),
        };
        let ids = (GrantId::new("g"), [3; 32]);
        let (grant, code) = approve(&web(), UserId::new("u"), ids, NOW, lifetimes);
        assert_eq!(code.expires, Timestamp::from_secs(1060));
        assert_eq!(grant.expires, Timestamp::from_secs(1090));
        assert_eq!(code.redirect_uri, "https://c.test/cb");
        assert_eq!(grant.resource, web().resource);
    }
}

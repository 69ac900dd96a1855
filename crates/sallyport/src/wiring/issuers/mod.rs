//! Access tokens of other issuers, of which the operator has named each: JWTs by the issuer's published keys, opaque ones by
//! asking the issuer. Requests are judged by what is known already, without waiting; [`Issuers::learn`] gets what is missing
//! before.

mod answers;
mod configured;
mod keys;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sallyport_core::capability::{DeriveKeyed, TokenError, Verified, VerifyToken};
use sallyport_core::{Clock, Principal, Resource, Secret, Timestamp};
use sallyport_net::egress::Egress;
use sallyport_oauth::foreign::{GRANT, Issuer, Statement};
use sallyport_oauth::jws::Unverified;
use sallyport_oauth::rate::{Limiter, Rate, peer_key};
use sallyport_vault::verifier::{MAX_TOKEN, Verifier, api_keys};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use answers::Answers;
pub(super) use configured::trusted;
use keys::Keys;

/// The most tokens of one issuer that are remembered.
const REMEMBERED: usize = 10_000;

/// The most peers whose questions are counted.
const COUNTED: usize = 10_000;

/// How often one peer may make the gateway ask or fetch for a token in a minute, and at once.
const ASKS: u32 = 60;

/// Tokens that wait to be asked about again.
const QUEUE: usize = 256;

/// The keyed hash of a token.
type Digest = [u8; 32];

/// Another issuer as the configuration names it.
pub(super) struct Trusted {
    /// What its tokens have to say.
    pub(super) rules: Issuer,
    /// How they are verified.
    pub(super) means: Means,
}

/// How the tokens of an issuer are verified.
pub(super) enum Means {
    /// By its published keys.
    Keys(Keys),
    /// By asking it.
    Answers(Answers),
}

/// An issuer, and its tokens that were believed.
struct Known {
    trusted: Trusted,
    said: Mutex<HashMap<Digest, Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    /// `None` for a token of which the issuer has said no.
    statement: Option<Arc<Statement>>,
    /// Until when this holds.
    until: Timestamp,
}

impl Known {
    fn recall(&self, digest: &Digest, now: Timestamp) -> Option<Remembered> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(digest).filter(|one| now < one.until).cloned()
    }

    fn remember(&self, digest: Digest, remembered: Remembered, now: Timestamp) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= REMEMBERED {
            said.retain(|_, one| now < one.until);
        }
        if said.len() >= REMEMBERED {
            said.clear();
        }
        said.insert(digest, remembered);
    }

    fn forget(&self) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Our own tokens, and those of the issuers that are trusted.
pub(super) struct Issuers {
    own: Arc<Verifier>,
    others: ArcSwap<Vec<Arc<Known>>>,
    derive: Arc<dyn DeriveKeyed>,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    asks: Mutex<Limiter<IpAddr>>,
    again: mpsc::Sender<Secret<String>>,
}

/// How each issuer of a configuration can be asked now, by its name there: what is seen, or what is wrong, in words.
pub(crate) async fn examine(
    configured: &crate::config::issuers::Issuers,
    egress: &Arc<Egress>,
) -> Vec<(String, Result<String, String>)> {
    // Its tokens are not looked at, so that it does not matter which URL they would be for.
    let trusted = trusted(configured, "http://localhost").unwrap_or_default();
    let mut seen = Vec::new();
    for issuer in &trusted {
        let judged = match &issuer.means {
            Means::Keys(keys) => keys.examine(egress).await,
            Means::Answers(answers) => answers.examine(egress).await,
        };
        seen.push((issuer.rules.name.clone(), judged));
    }
    seen
}

impl Issuers {
    /// Trusts our own tokens alone, until [`Issuers::trust`] names others. What is to be asked about again comes out of the
    /// channel, for [`Issuers::ask_again`].
    pub(super) fn new(
        own: Arc<Verifier>,
        derive: Arc<dyn DeriveKeyed>,
        egress: Arc<Egress>,
        clock: Arc<dyn Clock>,
    ) -> (Arc<Self>, mpsc::Receiver<Secret<String>>) {
        let (again, asked) = mpsc::channel(QUEUE);
        let this = Self {
            own,
            others: ArcSwap::default(),
            derive,
            egress,
            clock,
            asks: Mutex::new(Limiter::new(Rate::per_minute(ASKS, ASKS), COUNTED)),
            again,
        };
        (Arc::new(this), asked)
    }

    /// Trusts these issuers from now on, and no other. What was believed of them is looked at anew.
    pub(super) fn trust(&self, others: Vec<Trusted>) {
        let known = others.into_iter().map(|trusted| {
            Arc::new(Known {
                trusted,
                said: Mutex::default(),
            })
        });
        self.others.store(Arc::new(known.collect()));
    }

    /// Gets what is missing to judge the token of a request: keys of its issuer, or the issuer's word. Returns at once where
    /// nothing is missing, above all for our own tokens.
    pub(super) async fn learn(&self, headers: &HeaderMap, peer: IpAddr) {
        if self.others.load().is_empty() {
            return;
        }
        if let Some(token) = bearer(headers) {
            self.learn_token(token, peer).await;
        }
    }

    /// The same for a token that is shown otherwise.
    pub(super) async fn learn_token(&self, token: &str, peer: IpAddr) {
        let others = self.others.load_full();
        if others.is_empty() || !is_others(token) {
            return;
        }
        let now = self.clock.now();
        // A signed token is never sent on, above all not one of ours that has had its time.
        if token.split('.').count() != 3 {
            self.ask(&others, token, peer, now).await;
            return;
        }
        let named = Unverified::read(token).and_then(|text| {
            let kid = text.key_id().map(str::to_owned);
            Some((issuer(&text)?, kid))
        });
        let Some((issuer, kid)) = named else { return };
        let found = others.iter().find(|known| known.trusted.rules.issuer == issuer);
        let Some(known) = found else { return };
        if let Means::Keys(keys) = &known.trusted.means
            && keys.lacks(kid.as_deref(), now)
            && self.may_ask(peer, now)
            && keys.fetch(&self.egress, kid.as_deref(), now).await
        {
            // What an old key has signed is looked at anew.
            known.forget();
        }
    }

    /// Fetches the keys of every issuer whose keys are not known yet, so that the first token need not wait.
    pub(super) async fn prepare(&self) {
        let now = self.clock.now();
        for known in self.others.load_full().iter() {
            if let Means::Keys(keys) = &known.trusted.means {
                keys.fetch(&self.egress, None, now).await;
            }
        }
    }

    /// Asks about tokens whose remembered answer ends soon, until the gateway stops.
    pub(super) async fn ask_again(self: Arc<Self>, mut asked: mpsc::Receiver<Secret<String>>) {
        while let Some(token) = asked.recv().await {
            let now = self.clock.now();
            let others = self.others.load_full();
            let digest = self.digest(token.expose());
            for known in others.iter() {
                let ends_soon = |one: &Remembered| answers::ends_soon(one.until, now);
                if known.recall(&digest, now).is_some_and(|one| ends_soon(&one)) {
                    self.ask_one(known, token.expose(), digest, now).await;
                }
            }
        }
    }

    async fn ask(&self, others: &[Arc<Known>], token: &str, peer: IpAddr, now: Timestamp) {
        let digest = self.digest(token);
        for known in others {
            if !matches!(known.trusted.means, Means::Answers(_)) || known.recall(&digest, now).is_some() {
                continue;
            }
            if !self.may_ask(peer, now) {
                return;
            }
            self.ask_one(known, token, digest, now).await;
        }
    }

    async fn ask_one(&self, known: &Known, token: &str, digest: Digest, now: Timestamp) {
        let Means::Answers(answers) = &known.trusted.means else {
            return;
        };
        let Some(answer) = answers.ask(&self.egress, token).await else {
            return;
        };
        let said = known.trusted.rules.read_introspection(answer, now).ok();
        let until = said
            .as_ref()
            .map_or(now.plus(answers::REFUSED), |said| said.expires);
        let statement = said.map(Arc::new);
        known.remember(digest, Remembered { statement, until }, now);
    }

    fn may_ask(&self, peer: IpAddr, now: Timestamp) -> bool {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        asks.take(&peer_key(peer), now).is_ok()
    }

    fn digest(&self, token: &str) -> Digest {
        self.derive.derive("foreign-token", token.as_bytes())
    }

    fn verify_foreign(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Arc<Principal>, TokenError> {
        let others = self.others.load();
        if others.is_empty() || token.len() > MAX_TOKEN || token.starts_with(api_keys::PREFIX) {
            return Err(TokenError::Malformed);
        }
        let digest = self.digest(token);
        for known in others.iter() {
            let Some(remembered) = known.recall(&digest, now) else {
                continue;
            };
            let said = remembered.statement.ok_or(TokenError::Revoked)?;
            if matches!(known.trusted.means, Means::Answers(_)) && answers::ends_soon(remembered.until, now) {
                // A full queue only means that the token is asked about by its next request.
                let _ = self.again.try_send(Secret::from(token));
            }
            return known.trusted.rules.admit(&said, audiences, now).map(Arc::new);
        }
        let text = Unverified::read(token).ok_or(TokenError::Malformed)?;
        let named = issuer(&text).ok_or(TokenError::Malformed)?;
        let known = others.iter().find(|known| known.trusted.rules.issuer == named);
        let known = known.ok_or(TokenError::Malformed)?;
        let Means::Keys(keys) = &known.trusted.means else {
            return Err(TokenError::Malformed);
        };
        if !keys.verify(&text) {
            return Err(TokenError::Malformed);
        }
        let claims: Map<String, Value> =
            serde_json::from_slice(text.claimed()).map_err(|_| TokenError::Malformed)?;
        let said = Arc::new(known.trusted.rules.read(&claims, now)?);
        let principal = known.trusted.rules.admit(&said, audiences, now)?;
        let until = said.expires;
        let statement = Some(said);
        known.remember(digest, Remembered { statement, until }, now);
        Ok(Arc::new(principal))
    }
}

impl VerifyToken for Issuers {
    fn verify(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Arc<Principal>, TokenError> {
        match self.own.verify(token, audiences, now) {
            Err(TokenError::Malformed) => self.verify_foreign(token, audiences, now),
            judged => judged,
        }
    }

    fn verify_any(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        match self.own.verify_any(token, audiences, now) {
            Err(TokenError::Malformed) => {
                let principal = self.verify_foreign(token, audiences, now)?;
                Ok(Verified { principal, key: None })
            }
            judged => judged,
        }
    }

    fn was_proved(&self, token: &str, principal: &Principal) {
        // Those of others are bound to no key.
        self.own.was_proved(token, principal);
    }

    fn is_revoked(&self, principal: &Principal) -> bool {
        let trusted = |name: &str| {
            let others = self.others.load();
            others.iter().any(|known| known.trusted.rules.name == name)
        };
        let issuer = principal.grant.as_str().strip_prefix(GRANT);
        issuer.is_some_and(|name| !trusted(name)) || self.own.is_revoked(principal)
    }

    fn revocations(&self) -> u64 {
        self.own.revocations()
    }

    fn stands(&self, principal: &Principal) -> bool {
        !principal.grant.as_str().starts_with(GRANT) && self.own.stands(principal)
    }
}

/// The issuer that a token names.
fn issuer(text: &Unverified<'_>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        iss: String,
    }
    serde_json::from_slice::<Named>(text.claimed())
        .ok()
        .map(|named| named.iss)
}

/// The bearer token of a request, if there is one; what is wrong with it is said at the door.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whether a token may be another issuer's.
fn is_others(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_TOKEN && !token.starts_with(api_keys::PREFIX)
}

//! What the tests of this crate share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::audit::{Audit, AuditUnavailable, Entry, Event, Outcome, Pending};
use sallyport_core::capability::{
    ProofError, ProvedRequest, Purpose, SealState, TokenError, VerifyProof, VerifyToken,
};
use sallyport_core::session::{
    Fate, KeepSessions, KnownSession, ServerSession, SessionChanges, SessionNonce, SessionsUnavailable,
};
use sallyport_core::{
    ClientId, Clock, GrantId, Principal, PrincipalKey, Random, Resource, ScopeSet, ServerName, Thumbprint,
    Timestamp, TokenId, UserId,
};

use crate::sync::lock;

/// Chance without chance: every fill is another number.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (place, byte) in out.iter_mut().enumerate() {
            *byte = n[place % n.len()];
        }
    }
}

/// A clock that is set by hand.
#[derive(Debug, Default)]
pub(crate) struct Hand(pub(crate) AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A trail in memory.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    events: Mutex<Vec<Event>>,
    broken: AtomicBool,
}

impl Trail {
    pub(crate) fn break_it(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.events().iter().map(|e| e.outcome).collect()
    }
}

impl Audit for Trail {
    fn record_durably(&self, event: Event) -> Pending<'_, Result<(), AuditUnavailable>> {
        let done = self.record(&event);
        Box::pin(async move { done })
    }

    fn enter(&self, entry: &Entry<'_>) -> Result<(), AuditUnavailable> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(AuditUnavailable);
        }
        lock(&self.events).push(entry.to_event());
        Ok(())
    }
}

/// What is kept of sessions, for one gate after the other, or beside it.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    kept: Mutex<Vec<(KnownSession, Option<Timestamp>)>>,
    at_servers: Mutex<Vec<ServerSession>>,
    broken: AtomicBool,
}

impl Shelf {
    /// How many sessions at servers are kept.
    pub(crate) fn at_servers(&self) -> usize {
        lock(&self.at_servers).len()
    }

    /// How many may be used.
    pub(crate) fn live(&self) -> usize {
        lock(&self.kept)
            .iter()
            .filter(|(_, ended)| ended.is_none())
            .count()
    }

    /// Loses everything.
    pub(crate) fn forget(&self) {
        lock(&self.kept).clear();
        lock(&self.at_servers).clear();
    }

    pub(crate) fn break_it(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<(KnownSession, Option<Timestamp>)>) -> T,
    ) -> Pending<'_, Result<T, SessionsUnavailable>> {
        let done = if self.broken.load(Ordering::Relaxed) {
            Err(SessionsUnavailable)
        } else {
            Ok(work(&mut lock(&self.kept)))
        };
        Box::pin(async move { done })
    }
}

impl KeepSessions for Shelf {
    fn end(&self, session: KnownSession) -> Pending<'_, Result<(), SessionsUnavailable>> {
        self.with(|kept| {
            kept.retain(|(other, _)| other.nonce != session.nonce);
            lock(&self.at_servers).retain(|it| it.nonce != session.nonce);
            let ended = session.used;
            kept.push((session, Some(ended)));
        })
    }

    fn keep(&self, changes: SessionChanges) -> Pending<'_, Result<(), SessionsUnavailable>> {
        self.with(|kept| {
            for session in changes.used {
                match kept.iter_mut().find(|(other, _)| other.nonce == session.nonce) {
                    Some((other, _)) => {
                        other.used = other.used.max(session.used);
                        other.wishes = session.wishes.or(other.wishes.take());
                    }
                    None => kept.push((session, None)),
                }
            }
            let is_gone = |session: &KnownSession| {
                let mut gone = changes.gone.iter();
                gone.any(|(_, nonce)| *nonce == session.nonce)
                    || changes.now.since(session.used) > changes.idle
            };
            kept.retain(|(session, ended)| ended.is_some() || !is_gone(session));
            kept.sort_by_key(|(session, _)| std::cmp::Reverse(session.used));
            kept.truncate(changes.per_principal);
            let mut at_servers = lock(&self.at_servers);
            at_servers.retain(|it| !changes.ended_at_servers.contains(it));
            for it in changes.at_servers {
                at_servers.retain(|other| (other.nonce, &other.server) != (it.nonce, &it.server));
                at_servers.push(it);
            }
            at_servers.retain(|it| {
                kept.iter()
                    .any(|(session, ended)| session.nonce == it.nonce && ended.is_none())
            });
        })
    }

    fn fate<'a>(
        &'a self,
        owner: &'a PrincipalKey,
        nonce: SessionNonce,
    ) -> Pending<'a, Result<Fate, SessionsUnavailable>> {
        self.with(|kept| {
            let mut kept = kept.iter();
            match kept.find(|(session, _)| session.nonce == nonce && session.owner == *owner) {
                None => Fate::Unknown,
                Some((_, Some(_))) => Fate::Ended,
                Some((session, None)) => Fate::Used {
                    used: session.used,
                    wishes: session.wishes.clone(),
                },
            }
        })
    }

    fn at_server<'a>(
        &'a self,
        owner: &'a PrincipalKey,
        nonce: SessionNonce,
        server: &'a ServerName,
    ) -> Pending<'a, Result<Option<String>, SessionsUnavailable>> {
        self.with(|_| {
            let at_servers = lock(&self.at_servers);
            let mut at_servers = at_servers.iter();
            let found = at_servers.find(|it| it.owner == *owner && it.nonce == nonce && it.server == *server);
            found.map(|it| it.sealed.clone())
        })
    }

    fn ended_since(
        &self,
        time: Timestamp,
    ) -> Pending<'_, Result<Vec<(PrincipalKey, SessionNonce)>, SessionsUnavailable>> {
        self.with(|kept| {
            let ended = kept
                .iter()
                .filter(|(_, ended)| ended.is_some_and(|ended| ended >= time));
            ended
                .map(|(session, _)| (session.owner.clone(), session.nonce))
                .collect()
        })
    }
}

/// Tokens that are their person's name. `expired`, `revoked` and whatever begins with `bad` are no tokens; a name with
/// `@/path` is a token for another resource; `noscope` has no scope, and what follows a `/` is its scopes; a `+` at the end is another token of the same person.
#[derive(Default)]
pub(crate) struct Keys {
    /// How often somebody was turned out; from the first time on nobody comes in.
    revocations: AtomicU64,
}

impl Keys {
    /// No token is good any more.
    pub(crate) fn revoke(&self) {
        self.revocations.fetch_add(1, Ordering::Relaxed);
    }
}

impl VerifyToken for Keys {
    fn verify(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Arc<Principal>, TokenError> {
        let error = match token {
            "expired" => Some(TokenError::Expired),
            "revoked" => Some(TokenError::Revoked),
            "elsewhere" => Some(TokenError::Audience),
            // Good until a minute has passed on the tests' clock.
            "short" if now.as_millis() >= SHORT => Some(TokenError::Expired),
            other if other.starts_with("bad") => Some(TokenError::Malformed),
            _ if self.revocations() > 0 => Some(TokenError::Revoked),
            _ => None,
        };
        if let Some(error) = error {
            return Err(error);
        }
        let scopes = match token.split_once('/') {
            Some((_, scope)) => scope.replace('+', " ").replace('.', ":"),
            None if token == "noscope" => "openid".to_owned(),
            None => "mcp".to_owned(),
        };
        let token = token.split('/').next().unwrap_or_default();
        Ok(Arc::new(Principal {
            user: UserId::new(token.trim_end_matches('+')),
            client: ClientId::new("client"),
            grant: GrantId::new("grant"),
            token: TokenId::new("token"),
            scopes: ScopeSet::parse(&scopes),
            audience: audiences.first().cloned().ok_or(TokenError::Audience)?,
            expires: Timestamp::from_millis(if token == "short" { SHORT } else { i64::MAX }),
        }))
    }

    fn is_revoked(&self, _: &Principal) -> bool {
        self.revocations() > 0
    }

    fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::Relaxed)
    }

    fn stands(&self, principal: &Principal) -> bool {
        principal.user.as_str() != "foreign"
    }
}

impl VerifyProof for Keys {
    fn verify_proof(&self, _: ProvedRequest<'_>, _: &Thumbprint, _: Timestamp) -> Result<(), ProofError> {
        Err(ProofError::Key)
    }

    fn nonce(&self, _: Timestamp) -> String {
        "nonce".to_owned()
    }
}

/// When the token `short` ends.
pub(crate) const SHORT: i64 = 1_060_000;

/// A seal that everybody could break, but that holds against what a test does by accident.
pub(crate) struct Wax;

impl SealState for Wax {
    fn seal(&self, purpose: Purpose, bound_to: &str, plain: &[u8]) -> String {
        let head = format!("{}\0{bound_to}\0", purpose.label());
        let mut all = head.into_bytes();
        all.extend_from_slice(plain);
        URL_SAFE_NO_PAD.encode(all)
    }

    fn open(&self, purpose: Purpose, bound_to: &str, sealed: &str) -> Option<Vec<u8>> {
        let all = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let head = format!("{}\0{bound_to}\0", purpose.label());
        all.strip_prefix(head.as_bytes()).map(<[u8]>::to_vec)
    }
}

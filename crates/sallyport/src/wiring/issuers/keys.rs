//! The published keys of another issuer (RFC 7517 §5), found where the configuration says or by its metadata (RFC 8414 §3,
//! OpenID Connect Discovery 1.0 §4).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Method;
use sallyport_core::Timestamp;
use sallyport_net::Reach;
use sallyport_net::egress::{Egress, Fetch};
use sallyport_net::http1::RequestHead;
use sallyport_oauth::jws::{self, Unverified};
use serde_json::Value;
use tokio::sync::Mutex as Turn;
use url::Url;

/// How long keys are taken for the issuer's without a look.
const FRESH: Duration = Duration::from_secs(3600);

/// How long keys count whose issuer cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// How often keys are fetched at most, whatever key ids tokens name (JW-05).
const PAUSE: Duration = Duration::from_secs(60);

/// The longest document, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// How long a document may take.
const MAX_TIME: Duration = Duration::from_secs(5);

/// The types of tokens that are taken for access tokens: that of RFC 9068, and the one that many issuers write instead.
const TYPES: [&str; 3] = ["at+jwt", "application/at+jwt", "jwt"];

/// The keys of one issuer.
pub(in crate::wiring) struct Keys {
    issuer: Url,
    set: Option<Url>,
    algorithms: Vec<&'static str>,
    held: ArcSwapOption<Held>,
    /// When they were fetched last, or it was tried. Whoever comes meanwhile waits for the same answer.
    turn: Turn<Option<Timestamp>>,
}

struct Held {
    keys: jws::Keys,
    fetched: Timestamp,
}

impl Keys {
    /// Keys at `set`, or where the issuer's metadata says, for these algorithms. None is fetched yet.
    pub(in crate::wiring) fn new(issuer: Url, set: Option<Url>, algorithms: Vec<&'static str>) -> Self {
        Self {
            issuer,
            set,
            algorithms,
            held: ArcSwapOption::empty(),
            turn: Turn::default(),
        }
    }

    /// Whether the signature is by one of the keys, under an algorithm that is allowed, and the type that of an access token.
    pub(super) fn verify(&self, text: &Unverified<'_>) -> bool {
        let kind = text.kind().unwrap_or("jwt");
        TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind))
            && self.algorithms.contains(&text.algorithm())
            && self
                .held
                .load()
                .as_ref()
                .is_some_and(|held| text.is_signed_by(&held.keys))
    }

    /// Whether keys have to be fetched before a token can be judged that names this key.
    pub(super) fn lacks(&self, kid: Option<&str>, now: Timestamp) -> bool {
        let held = self.held.load();
        held.as_ref()
            .is_none_or(|held| now.since(held.fetched) >= FRESH || kid.is_some_and(|kid| !held.keys.has(kid)))
    }

    /// Fetches the keys, unless somebody just has; says whether there are others now.
    pub(super) async fn fetch(&self, egress: &Arc<Egress>, kid: Option<&str>, now: Timestamp) -> bool {
        let mut tried = self.turn.lock().await;
        if !self.lacks(kid, now) || tried.is_some_and(|at| now.since(at) < PAUSE) {
            return false;
        }
        *tried = Some(now);
        match self.get_keys(egress).await {
            Ok(keys) => {
                self.held.store(Some(Arc::new(Held { keys, fetched: now })));
                true
            }
            Err(reason) => {
                tracing::warn!(issuer = %self.issuer, reason, "the keys of an issuer cannot be had");
                let held = self.held.load();
                let over = held.as_ref().is_some_and(|held| now.since(held.fetched) >= STALE);
                if over {
                    self.held.store(None);
                }
                over
            }
        }
    }

    /// What is to be seen of the keys now.
    ///
    /// # Errors
    /// Why they verify nothing, in words.
    pub(super) async fn examine(&self, egress: &Arc<Egress>) -> Result<String, String> {
        let keys = self.get_keys(egress).await?;
        if !keys.serve(&self.algorithms) {
            let algorithms = self.algorithms.join(", ");
            return Err(format!(
                "none of its keys is for one of `algorithms`: {algorithms}"
            ));
        }
        Ok(format!(
            "{} publishes keys that tokens can be verified with",
            self.issuer
        ))
    }

    async fn get_keys(&self, egress: &Arc<Egress>) -> Result<jws::Keys, String> {
        let set = match &self.set {
            Some(set) => set.clone(),
            None => self.find_set(egress).await?,
        };
        let document = get(egress, &set, self.reach(&set)).await?;
        jws::Keys::parse(&document).map_err(|wrong| format!("its key set {wrong}"))
    }

    /// Where the metadata says that the keys are. Metadata of another issuer counts for nothing (RFC 8414 §3.3).
    async fn find_set(&self, egress: &Arc<Egress>) -> Result<Url, String> {
        let base = self.issuer.as_str().trim_end_matches('/');
        let mut reason = String::new();
        for place in ["openid-configuration", "oauth-authorization-server"] {
            let url = Url::parse(&format!("{base}/.well-known/{place}"));
            let url = url.map_err(|error| error.to_string())?;
            let document = match get(egress, &url, Reach::Operator).await {
                Ok(document) => document,
                Err(error) => {
                    reason = error;
                    continue;
                }
            };
            let named = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
            if named.trim_end_matches('/') != base {
                return Err("its metadata names another issuer".to_owned());
            }
            let set = document.get("jwks_uri").and_then(Value::as_str);
            let set = set.and_then(|set| Url::parse(set).ok());
            return set.ok_or_else(|| "its metadata names no key set".to_owned());
        }
        Err(reason)
    }

    /// What the operator has written may be anywhere; what a document says may only be there too, or be public.
    fn reach(&self, set: &Url) -> Reach {
        if self.set.is_some() || set.origin() == self.issuer.origin() {
            Reach::Operator
        } else {
            Reach::Public
        }
    }
}

async fn get(egress: &Arc<Egress>, url: &Url, reach: Reach) -> Result<Value, String> {
    let mut head = RequestHead::new(Method::GET);
    // Name and value are fixed and right.
    let _ = head.put("accept", "application/json");
    let fetch = Fetch {
        head,
        url,
        reach,
        body: &[],
        limit: MAX_BYTES,
        time: MAX_TIME,
    };
    let fetched = egress.fetch(fetch).await.map_err(|error| error.to_string())?;
    if fetched.status != 200 {
        return Err(format!("{url} is answered with {}", fetched.status));
    }
    serde_json::from_slice(&fetched.body).map_err(|_| format!("{url} is no JSON"))
}

//! What of an account is sealed.

use sallyport_core::{Secret, Timestamp};
use sallyport_oauth::server_login::tokens::Tokens;
use sallyport_store::place;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroize;

use crate::Accounts;
use crate::wire::Failure;

/// The tokens of an account, and where they go back to.
pub(crate) struct Record {
    pub(crate) access: Secret<String>,
    pub(crate) refresh: Option<Secret<String>>,
    /// Of the issuer that gave them.
    pub(crate) token_endpoint: Url,
    /// How its token endpoint wants to be shown who we are.
    pub(crate) method: String,
    /// When the access token ends.
    pub(crate) ends: Timestamp,
}

/// As it is written. Wiped when it was read.
#[derive(Serialize, Deserialize)]
struct Written {
    access: String,
    refresh: Option<String>,
    token_endpoint: Url,
    method: String,
    ends: Timestamp,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.access.zeroize();
        self.refresh.zeroize();
    }
}

impl Record {
    /// Fresh tokens. Without another refresh token, the one of before is still good (RFC 6749 §6).
    pub(crate) fn of(
        tokens: Tokens,
        now: Timestamp,
        before: Option<Secret<String>>,
        (token_endpoint, method): (Url, String),
    ) -> Self {
        Self {
            ends: tokens.ends(now),
            access: tokens.access,
            refresh: tokens.refresh.or(before),
            token_endpoint,
            method,
        }
    }
}

impl Accounts {
    pub(crate) fn seal(&self, id: &str, record: &Record) -> Vec<u8> {
        let written = Written {
            access: record.access.expose().clone(),
            refresh: record.refresh.as_ref().map(|refresh| refresh.expose().clone()),
            token_endpoint: record.token_endpoint.clone(),
            method: record.method.clone(),
            ends: record.ends,
        };
        // Texts and numbers are always written.
        let plain = Secret::new(serde_json::to_vec(&written).unwrap_or_default());
        self.deps.sealer.seal_secret(&place::account(id), plain.expose())
    }

    pub(crate) fn open(&self, id: &str, sealed: &[u8]) -> Result<Record, Failure> {
        let plain = self.deps.opener.open_secret(&place::account(id), sealed);
        let plain = plain.map_err(|error| Failure::Kept(error.to_string()))?;
        let written: Written = serde_json::from_slice(plain.expose())
            .map_err(|_| Failure::Kept("it cannot be read".to_owned()))?;
        Ok(Record {
            access: Secret::new(written.access.clone()),
            refresh: written.refresh.clone().map(Secret::new),
            token_endpoint: written.token_endpoint.clone(),
            method: written.method.clone(),
            ends: written.ends,
        })
    }
}

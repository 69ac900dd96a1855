//! Clients whose `client_id` is the URL of a document that describes them
//! (draft-ietf-oauth-client-id-metadata-document): which URLs and documents count, and for how long.

use std::time::Duration;

use sallyport_core::{ClientId, Timestamp};
use serde_json::Value;
use thiserror::Error;
use url::Url;

use crate::model::{AuthMethod, Client};
use crate::registration::{self, Policy, Registration, RegistrationError};

/// The longest document that is read, in bytes (§6.6 of the draft).
pub const MAX_BYTES: usize = 5 * 1024;

/// How long fetching a document may take in all: a person waits for it.
pub const MAX_TIME: Duration = Duration::from_secs(5);

/// The longest URL, in bytes.
pub const MAX_URL: usize = 2048;

/// How long a document is kept at least, whatever it says, so that one log-in sees one document.
pub const MIN_AGE: Duration = Duration::from_secs(60);

/// How long a document is kept that does not say it.
pub const DEFAULT_AGE: Duration = Duration::from_secs(3600);

/// How long a document is kept at most.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// Why a document describes no client. For the operator's log: the person and the client are told one and the same.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DocumentError {
    /// Not a URL that may be a `client_id`.
    #[error(
        "the client_id must be an https URL in its usual spelling, with a path, without user information or fragment"
    )]
    Url,
    /// Another status than 200; redirects are not followed.
    #[error("the document was answered with status {0}")]
    Status(u16),
    /// No JSON by its type, or in an encoding.
    #[error("the document must be plain application/json")]
    Type,
    /// `client_id` is not the document's URL.
    #[error("`client_id` in the document must be the document's URL")]
    Id,
    /// A secret that everybody can read, or a method that needs one.
    #[error("a client that describes itself in public cannot have a shared secret")]
    Secret,
    /// What it describes cannot be a client.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

/// Whether the text names a document, and not a registration of ours.
#[must_use]
pub fn is_document(id: &ClientId) -> bool {
    id.as_str().starts_with("https://")
}

/// The document's URL. It counts in one spelling only, because it is compared as text.
///
/// # Errors
/// [`DocumentError::Url`].
pub fn url(id: &ClientId) -> Result<Url, DocumentError> {
    let text = id.as_str();
    let url = Url::parse(text).map_err(|_| DocumentError::Url)?;
    let is_plain = url.scheme() == "https"
        && url.as_str() == text
        && text.len() <= MAX_URL
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.path() != "/"
        && url.domain().is_some();
    is_plain.then_some(url).ok_or(DocumentError::Url)
}

/// Whether the operator's list has the URL's host. An entry is `host`, for the usual port, or `host:port` (CM-12).
#[must_use]
pub fn is_listed(url: &Url, hosts: &[String]) -> bool {
    let host = url.host_str().unwrap_or_default();
    let authority = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    !host.is_empty() && hosts.contains(&authority)
}

/// What was answered to the request for the document.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// `Content-Type`.
    pub media_type: &'a str,
    /// `Content-Encoding`, where there is one.
    pub encoding: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Reads the client that a document describes.
///
/// # Errors
/// [`DocumentError`].
pub fn read(
    id: &ClientId,
    answer: Answer<'_>,
    policy: Policy<'_>,
    now: Timestamp,
) -> Result<Client, DocumentError> {
    if answer.status != 200 {
        return Err(DocumentError::Status(answer.status));
    }
    let media = answer.media_type.split(';').next().unwrap_or_default().trim();
    let media = media.to_ascii_lowercase();
    let is_json =
        media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    let is_plain = answer
        .encoding
        .is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    if !is_json || !is_plain {
        return Err(DocumentError::Type);
    }
    let members = registration::members(answer.body)?;
    if members.get("client_id").and_then(Value::as_str) != Some(id.as_str()) {
        return Err(DocumentError::Id);
    }
    if members.contains_key("client_secret") || members.contains_key("client_secret_expires_at") {
        return Err(DocumentError::Secret);
    }
    let accepted = Registration::judge(members, policy)?;
    let client = accepted.into_client(id.clone(), None, now);
    match client.auth_method {
        AuthMethod::None | AuthMethod::PrivateKeyJwt => Ok(client),
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => Err(DocumentError::Secret),
    }
}

/// How long a document may be kept by what its answer says (RFC 9111 §4.2.1, §5.2.2), within [`MIN_AGE`] and [`MAX_AGE`].
#[must_use]
pub fn lifetime(cache_control: Option<&str>, age: Option<&str>, vary: Option<&str>) -> Duration {
    let directives: Vec<String> = cache_control
        .unwrap_or_default()
        .split(',')
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    let has = |name: &str| {
        directives
            .iter()
            .any(|directive| directive.split('=').next() == Some(name))
    };
    if has("no-store") || has("no-cache") || vary.is_some_and(|vary| vary.trim() == "*") {
        return MIN_AGE;
    }
    let seconds = |name: &str| {
        let value = directives
            .iter()
            .find_map(|directive| directive.strip_prefix(name)?.strip_prefix('='));
        // What cannot be read is taken as over already (§4.2.1).
        value.map(|value| value.trim_matches('"').parse::<u32>().unwrap_or(0))
    };
    let Some(seconds) = seconds("s-maxage").or_else(|| seconds("max-age")) else {
        return DEFAULT_AGE;
    };
    let age = age.and_then(|age| age.trim().parse::<u32>().ok()).unwrap_or(0);
    Duration::from_secs(seconds.saturating_sub(age).into()).clamp(MIN_AGE, MAX_AGE)
}

#[cfg(test)]
#[path = "client_document_tests.rs"]
mod tests;

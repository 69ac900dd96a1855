//! Log-in at another place: what identity providers are asked, and what of their answers counts.
//!
//! [`oidc`] and [`github`] are the two kinds. Both end in an [`Identity`], of which issuer and subject never change;
//! [`admission`] says who of them comes in.

pub mod admission;
pub mod callback;
pub mod github;
pub mod id_token;
pub mod oidc;
mod preset;

use serde_json::Value;
use thiserror::Error;
use url::Url;

pub use admission::{Admission, Entry};
pub use preset::Preset;

/// The largest answer of a provider that is read, in bytes: key sets with certificates and lists of teams are long.
pub const MAX_ANSWER: usize = 512 * 1024;

/// The most groups of one person that are looked at; the others do not count.
pub const MAX_GROUPS: usize = 500;

/// The longest group, in bytes; longer ones do not count.
const MAX_GROUP: usize = 256;

/// The longest subject, in bytes (OpenID Connect Core §2, `sub`).
const MAX_SUBJECT: usize = 255;

/// Somebody, as a provider knows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The provider's name in the configuration.
    pub provider: String,
    /// Who vouches: the issuer, or the address of GitHub.
    pub issuer: String,
    /// The person's unchangeable id there.
    pub subject: String,
    /// What the person is called there now. It may change, and later be somebody else's.
    pub label: Option<String>,
    /// The groups, as the provider spells them, sorted.
    pub groups: Vec<String>,
}

/// Why an answer of a provider does not count. The texts are for the log.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AnswerError {
    /// Another status than 200.
    #[error("the answer of the {0} has status {1}")]
    Status(&'static str, u16),
    /// Not what it should be.
    #[error("the answer of the {0} cannot be used: {1}")]
    Form(&'static str, &'static str),
    /// An error in the words of OAuth (RFC 6749 §5.2).
    #[error("the {0} says `{1}`")]
    Refused(&'static str, String),
}

impl Identity {
    /// Takes what a provider says, if it can be kept: the id has 1 to 255 visible characters.
    ///
    /// # Errors
    /// [`AnswerError::Form`].
    pub fn new(
        (provider, issuer): (&str, &str),
        subject: &str,
        label: Option<&str>,
        mut groups: Vec<String>,
    ) -> Result<Self, AnswerError> {
        if subject.is_empty() || subject.len() > MAX_SUBJECT || !subject.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(AnswerError::Form("provider", "the person's id is no usable text"));
        }
        groups.retain(|group| {
            !group.is_empty() && group.len() <= MAX_GROUP && !group.contains(char::is_control)
        });
        groups.truncate(MAX_GROUPS);
        groups.sort();
        groups.dedup();
        Ok(Self {
            provider: provider.to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            label: label.filter(|label| is_label(label)).map(str::to_owned),
            groups,
        })
    }

    /// The name that the person gets here if nobody has it: `github:octocat`. No local user has a colon in the name.
    #[must_use]
    pub fn wanted_name(&self) -> Option<String> {
        let label = self.label.as_ref()?;
        Some(format!("{}:{label}", self.provider))
    }

    /// The name that nobody else can have: `github:id:583231`.
    #[must_use]
    pub fn sure_name(&self) -> String {
        format!("{}:id:{}", self.provider, self.subject)
    }
}

/// What can be part of a name: one line without spaces, of characters that cannot look like others.
fn is_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+' | b'\'');
    (1..=128).contains(&label.len()) && label.bytes().all(allowed)
}

/// The `error` of an answer, as far as it may stand in a log (RFC 6749 §5.2).
fn error_code(code: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    code.chars().filter(plain).take(64).collect()
}

/// The object of an answer with status 200.
fn object(what: &'static str, status: u16, body: &[u8]) -> Result<Value, AnswerError> {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let value = value.filter(Value::is_object);
    let refused = value.as_ref().and_then(|value| value.get("error")?.as_str());
    if let Some(code) = refused {
        return Err(AnswerError::Refused(what, error_code(code)));
    }
    match value {
        Some(value) if status == 200 => Ok(value),
        None if status == 200 => Err(AnswerError::Form(what, "it is no JSON object")),
        _ => Err(AnswerError::Status(what, status)),
    }
}

/// `base` with another path behind its own, whatever slash is between.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

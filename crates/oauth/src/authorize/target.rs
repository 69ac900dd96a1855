//! Where an authorization response goes, and what it carries (OAuth 2.1 §4.1.2, RFC 9207).

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::AuthorizeError;

/// A redirect URI that belongs to the client, and the `state` that goes back with the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResponseTarget {
    /// Exactly as the request spelled it.
    pub redirect_uri: String,
    /// Exactly as the request gave it.
    pub state: Option<String>,
}

impl ResponseTarget {
    /// The `Location` of a granted request, with `iss` (RFC 9207 §2).
    #[must_use]
    pub fn success(&self, issuer: &str, code: &str) -> String {
        self.location(&[("code", code), ("iss", issuer)])
    }

    /// The `Location` of a refused request, with `iss` too: clients check it before they believe the error.
    #[must_use]
    pub fn failure(&self, issuer: &str, error: AuthorizeError) -> String {
        self.location(&[
            ("error", error.code().as_str()),
            ("error_description", &error.to_string()),
            ("iss", issuer),
        ])
    }

    fn location(&self, pairs: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        let joint = if self.redirect_uri.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.redirect_uri, query.finish())
    }
}

//! What well-known clients say in their documents, for a gateway that cannot reach the sites where they lie: a network
//! without a way out would else lock out clients that prefer a document to registering themselves.
//!
//! Only redirects to the person's own machine are told here, so that what is out of date can lose a log-in and leak none.

use sallyport_core::ClientId;
use serde_json::json;

/// A client of a person's own machine: the URL of its document, its name, where it wants to return to.
struct Known {
    id: &'static str,
    name: &'static str,
    redirects: &'static [&'static str],
}

/// As their makers publish them; the port of each counts for nothing (RFC 8252 §7.3).
const KNOWN: &[Known] = &[
    Known {
        id: "https://chatgpt.com/oauth/codex/client.json",
        name: "Codex",
        redirects: &["http://127.0.0.1/callback", "http://localhost/callback"],
    },
    Known {
        id: "https://claude.ai/oauth/claude-code-client-metadata",
        name: "Claude Code",
        redirects: &["http://localhost/callback", "http://127.0.0.1/callback"],
    },
    Known {
        id: "https://github.com/copilot/cli/client-metadata.json",
        name: "GitHub Copilot CLI",
        redirects: &["http://127.0.0.1/"],
    },
    Known {
        id: "https://opencode.ai/oauth/opencode/client.json",
        name: "opencode",
        redirects: &["http://127.0.0.1/callback", "http://localhost/callback"],
    },
    Known {
        id: "https://vscode.dev/oauth/client-metadata.json",
        name: "Visual Studio Code",
        redirects: &["http://127.0.0.1:33418/"],
    },
    Known {
        id: "https://zed.dev/oauth/client-metadata.json",
        name: "Zed",
        redirects: &["http://127.0.0.1/callback"],
    },
];

/// The document that is known to be at this URL, as its site would send it.
#[must_use]
pub fn document(id: &ClientId) -> Option<Vec<u8>> {
    let known = KNOWN.iter().find(|known| known.id == id.as_str())?;
    let document = json!({
        "client_id": known.id,
        "client_name": known.name,
        "redirect_uris": known.redirects,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    Some(document.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ScopeSet, Timestamp};

    use super::*;
    use crate::client_document::{self, Answer};
    use crate::model::AuthMethod;
    use crate::redirect::{RedirectKind, classify};
    use crate::registration::Policy;

    #[test]
    fn every_known_document_counts_by_the_rules_of_all_documents_and_returns_to_this_machine() {
        let policy = Policy {
            private_schemes: &[],
            scopes: &ScopeSet::default(),
            is_operator: false,
        };
        for known in KNOWN {
            let id = ClientId::new(known.id);
            assert!(client_document::url(&id).is_ok(), "{id}");
            let body = document(&id).unwrap();
            assert!(body.len() <= client_document::MAX_BYTES);
            let answer = Answer {
                status: 200,
                media_type: "application/json",
                encoding: None,
                body: &body,
            };
            let client = client_document::read(&id, answer, policy, Timestamp::EPOCH).unwrap();
            assert_eq!(client.auth_method, AuthMethod::None);
            assert_eq!(client.redirect_uris, known.redirects);
            for uri in &client.redirect_uris {
                assert_eq!(classify(uri, &[]), Ok(RedirectKind::Loopback), "{id}: {uri}");
            }
        }
    }

    #[test]
    fn nothing_is_known_of_others() {
        for other in [
            "https://chatgpt.com/oauth/codex/client.json/",
            "https://chatgpt.com/oauth/codex/other/client.json",
            "https://chatgpt.com.evil.test/oauth/codex/client.json",
            "codex",
            "",
        ] {
            assert_eq!(document(&ClientId::new(other)), None, "{other}");
        }
    }
}

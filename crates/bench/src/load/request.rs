//! The requests of each scenario, as bytes.

use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::Context as _;
use memchr::memmem;

/// Where the load goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`.
    pub authority: String,
    /// The path of the endpoint.
    pub path: String,
    /// The bearer token, if one is wanted.
    pub token: Option<String>,
}

impl Target {
    /// From a URL of scheme http.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn parse(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .context("the URL starts with http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            authority: authority.to_owned(),
            path: format!("/{path}"),
            token,
        })
    }
}

/// What is asked for again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// `tools/call` of `echo` in a session (2025-11-25).
    Call,
    /// The same in 2026-07-28.
    CallModern,
    /// `tools/list` in a session.
    List,
    /// The same in 2026-07-28.
    ListModern,
    /// A result of 100 KiB in a session.
    Big,
    /// The same in 2026-07-28.
    BigModern,
    /// Fifty progress notifications and a result in a session.
    Progress,
    /// The same in 2026-07-28.
    ProgressModern,
}

impl Scenario {
    /// Every scenario with its name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("call", Self::Call),
        ("call-modern", Self::CallModern),
        ("list", Self::List),
        ("list-modern", Self::ListModern),
        ("big", Self::Big),
        ("big-modern", Self::BigModern),
        ("progress", Self::Progress),
        ("progress-modern", Self::ProgressModern),
    ];

    pub(super) fn modern(self) -> bool {
        matches!(
            self,
            Self::CallModern | Self::ListModern | Self::BigModern | Self::ProgressModern
        )
    }

    /// Whether `body` is the whole answer to the request with the id `id`.
    pub(super) fn is_answer(self, id: u64, body: &[u8]) -> bool {
        let has = |text: &str| memmem::find(body, text.as_bytes()).is_some();
        let is_result =
            has("\"result\":") && (has(&format!("\"id\":{id},")) || has(&format!("\"id\":{id}}}")));
        let is_error = memmem::find(body.get(..512).unwrap_or(body), b"\"isError\":true").is_some();
        is_result
            && !is_error
            && match self {
                Self::Call | Self::CallModern => has("a short text"),
                Self::List | Self::ListModern => has("\"tool_0009\""),
                Self::Big | Self::BigModern => body.len() >= 100 * 1024,
                Self::Progress | Self::ProgressModern => {
                    memmem::find_iter(body, "notifications/progress").count() == 50
                }
            }
    }

    /// Method, tool and the members of `params` but `_meta`.
    fn question(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Call | Self::CallModern => (
                "tools/call",
                "echo",
                r#""name":"echo","arguments":{"text":"a short text"}"#,
            ),
            Self::List | Self::ListModern => ("tools/list", "", ""),
            Self::Big | Self::BigModern => ("tools/call", "big", r#""name":"big","arguments":{"kib":100}"#),
            Self::Progress | Self::ProgressModern => (
                "tools/call",
                "progress",
                r#""name":"progress","arguments":{"events":50}"#,
            ),
        }
    }

    /// The members of `_meta`.
    fn meta(self) -> String {
        let token = match self {
            Self::Progress | Self::ProgressModern => r#""progressToken":7"#,
            _ => "",
        };
        let own = if self.modern() { META } else { "" };
        let comma = if own.is_empty() || token.is_empty() {
            ""
        } else {
            ","
        };
        format!("{token}{comma}{own}")
    }
}

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, scenario)| *scenario)
            .with_context(|| format!("no scenario {name}"))
    }
}

const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"sallyport-bench-load","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}"#;

fn post(target: &Target, headers: &str, body: &str) -> Vec<u8> {
    let mut text = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {}\r\n{headers}",
        target.path,
        target.authority,
        body.len()
    );
    if let Some(token) = &target.token {
        let _ = write!(text, "Authorization: Bearer {token}\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// `initialize`.
pub(super) fn initialize(target: &Target) -> Vec<u8> {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"sallyport-bench-load","version":"1"}}}"#;
    post(target, "", body)
}

/// `notifications/initialized` of a session.
pub(super) fn initialized(target: &Target, session: &str) -> Vec<u8> {
    post(
        target,
        &session_headers(session),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    )
}

fn session_headers(session: &str) -> String {
    format!("MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: {session}\r\n")
}

/// The request of `scenario` with the id `id`; `session` is empty in the modern era.
pub(super) fn question(target: &Target, scenario: Scenario, session: &str, id: u64) -> Vec<u8> {
    let (method, tool, members) = scenario.question();
    let meta = scenario.meta();
    let meta = if meta.is_empty() {
        meta
    } else {
        format!(r#""_meta":{{{meta}}}"#)
    };
    let comma = if members.is_empty() || meta.is_empty() {
        ""
    } else {
        ","
    };
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}{comma}{meta}}}}}"#);
    if !scenario.modern() {
        return post(target, &session_headers(session), &body);
    }
    let name = if tool.is_empty() {
        String::new()
    } else {
        format!("Mcp-Name: {tool}\r\n")
    };
    let headers = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}");
    post(target, &headers, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_answer_to_this_request_counts() {
        let right = br#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"a short text"}],"isError":false}}"#;
        assert!(Scenario::Call.is_answer(7, right));
        assert!(!Scenario::Call.is_answer(70, right), "another id");
        assert!(!Scenario::Call.is_answer(7, br#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603}}"#));
        assert!(
            !Scenario::Progress.is_answer(7, right),
            "without its notifications"
        );
        assert!(!Scenario::Big.is_answer(7, right), "cut");
    }

    #[test]
    fn bodies_are_json_of_the_length_that_is_said() {
        let target = Target::parse("http://127.0.0.1:1/mcp", Some("t".to_owned())).unwrap();
        for (name, scenario) in Scenario::ALL {
            assert_eq!(name.parse::<Scenario>().unwrap(), scenario);
            let request = String::from_utf8(question(&target, scenario, "s", 12)).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Content-Length: {}\r\n", body.len())),
                "{request}"
            );
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }
}

//! A legacy server that wants a person to visit URLs first (2025-11-25, URL Elicitation Required Error).

use std::borrow::Cow;

use crate::error::LEGACY_URL_ELICITATION_REQUIRED;
use crate::json::{Object, decode, elements};

/// The most URLs in one error.
const MAX_VISITS: usize = 16;

/// One URL that is to be visited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit<'a> {
    /// The server's name for it, by which it tells when it is done.
    pub id: Cow<'a, str>,
    /// Where to go.
    pub url: Cow<'a, str>,
    /// Why.
    pub message: Cow<'a, str>,
}

/// The URLs of a response that is such an error; `None` for every other message, and for an error that names none or too
/// many.
#[must_use]
pub fn visits(message: &[u8]) -> Option<Vec<Visit<'_>>> {
    memchr::memmem::find(message, b"-32042")?;
    let error = Object::read(crate::json::find(message, "error")?).ok()?;
    let code = LEGACY_URL_ELICITATION_REQUIRED.to_string();
    if error.get("code")? != code.as_bytes() {
        return None;
    }
    let data = Object::read(error.get("data")?).ok()?;
    let listed = elements(data.get("elicitations")?).ok()?;
    let visits: Vec<_> = listed.iter().filter_map(|element| visit(element.value)).collect();
    (!visits.is_empty() && visits.len() == listed.len() && visits.len() <= MAX_VISITS).then_some(visits)
}

fn visit(raw: &[u8]) -> Option<Visit<'_>> {
    let object = Object::read(raw).ok()?;
    let text = |key: &str| object.get(key).and_then(decode);
    if object.get("mode").is_some() && text("mode").as_deref() != Some("url") {
        return None;
    }
    Some(Visit {
        id: text("elicitationId")?,
        url: text("url")?,
        message: text("message").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32, elicitations: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"m","data":{{"elicitations":{elicitations}}}}}}}"#
        )
    }

    #[test]
    fn urls_are_read() {
        let message = error(
            -32042,
            r#"[{"mode":"url","elicitationId":"e1","url":"https://a.example/\u0078","message":"Log in"},{"elicitationId":"e2","url":"https://b.example"}]"#,
        );
        let read = visits(message.as_bytes()).expect("two");
        let parts: Vec<_> = read.iter().map(|v| (&*v.id, &*v.url, &*v.message)).collect();
        assert_eq!(
            parts,
            [
                ("e1", "https://a.example/x", "Log in"),
                ("e2", "https://b.example", "")
            ]
        );
    }

    #[test]
    fn what_names_no_url_is_an_error_like_others() {
        let one = r#"[{"mode":"url","elicitationId":"e1","url":"u","message":"m"}]"#;
        for message in [
            error(-32602, one),
            error(-32042, "[]"),
            error(-32042, "{}"),
            error(-32042, r#"[{"mode":"form","elicitationId":"e1","url":"u"}]"#),
            error(-32042, r#"[{"mode":"url","url":"u"}]"#),
            r#"{"jsonrpc":"2.0","id":1,"result":{"x":-32042}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"m"}}"#.to_owned(),
            "-32042".to_owned(),
        ] {
            assert_eq!(visits(message.as_bytes()), None, "{message}");
        }
        let many = |n: usize| {
            let list = vec![r#"{"elicitationId":"e","url":"u"}"#; n].join(",");
            error(-32042, &format!("[{list}]"))
        };
        assert!(visits(many(MAX_VISITS).as_bytes()).is_some());
        assert!(visits(many(MAX_VISITS + 1).as_bytes()).is_none());
    }
}

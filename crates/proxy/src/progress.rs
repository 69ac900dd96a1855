//! How far a call has come, as its client hears it.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use sallyport_mcp::json;

/// Prepared once: for a short message the preparation costs more than the search.
static NAMED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"progress\""));

/// The progress of one call. A client is told of what is further only (2025-11-25, Progress: the value must increase),
/// whatever rounds the call takes with its server.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last: Option<f64>,
}

impl Progress {
    /// Whether this notification says that the call has come further; what says nothing of the kind does not.
    pub(crate) fn is_further(&mut self, notification: &[u8]) -> bool {
        let value = plain(notification).or_else(|| wherever(notification));
        let Some(value) = value.filter(|value| value.is_finite()) else {
            return false;
        };
        let further = self.last.is_none_or(|last| value > last);
        if further {
            self.last = Some(value);
        }
        further
    }
}

/// The value where it can be seen at once: its name stands in the message once, and within a string it would not stand
/// between two quotes.
fn plain(notification: &[u8]) -> Option<f64> {
    const NAME: &[u8] = b"\"progress\":";
    let mut found = NAMED.find_iter(notification);
    let rest = notification.get(found.next()?..)?.strip_prefix(NAME)?;
    if found.next().is_some() {
        return None;
    }
    let end = rest
        .iter()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    number(rest.get(..end?)?)
}

fn wherever(notification: &[u8]) -> Option<f64> {
    let params = json::find(notification, "params")?;
    number(json::find(params, "progress")?)
}

fn number(raw: &[u8]) -> Option<f64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_63_what_falls_back_or_stands_still_is_no_progress() {
        let mut progress = Progress::default();
        for (value, further) in [
            ("-1", true),
            ("0", true),
            ("0", false),
            ("0.5", true),
            ("0.4", false),
            ("\"7\"", false),
            ("null", false),
            ("NaN", false),
            ("1e2", true),
            ("1e999", false),
            ("99", false),
            ("101", true),
        ] {
            let message = format!(r#"{{"method":"notifications/progress","params":{{"progress":{value}}}}}"#);
            assert_eq!(progress.is_further(message.as_bytes()), further, "{value}");
        }
        assert!(!progress.is_further(b"{}"));
    }

    #[test]
    fn p_63_only_the_value_itself_counts() {
        for params in [
            r#"{"progressToken":"progress","progress":5}"#,
            r#"{"message":"\"progress\":9","progress":5}"#,
            r#"{"_meta":{"progress":9},"progress":5}"#,
            r#"{"progress" : 5 ,"total":9}"#,
            r#"{"pro\u0067ress":5}"#,
        ] {
            let message = format!(r#"{{"method":"notifications/progress","params":{params}}}"#);
            let mut progress = Progress { last: Some(4.0) };
            assert!(progress.is_further(message.as_bytes()), "{params}");
            assert_eq!(progress.last, Some(5.0), "{params}");
        }
    }
}

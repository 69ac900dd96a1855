//! How far a call has come, as its client hears it.

use bytes::Bytes;
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::plain_progress;

use crate::exchange::ProgressNote;

/// The progress of one call. A client is told of what is further only (2025-11-25, Progress: the value must increase),
/// whatever rounds the call takes with its server.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last: Option<f64>,
}

impl Progress {
    /// Whether this notification says that the call has come further; what says nothing of the kind does not.
    pub(crate) fn is_further(&mut self, step: &ProgressNote) -> bool {
        let Some(value) = step.value.filter(|value| value.is_finite()) else {
            return false;
        };
        let further = self.last.is_none_or(|last| value > last);
        if further {
            self.last = Some(value);
        }
        further
    }
}

impl ProgressNote {
    /// Reads the value of a notification.
    pub(crate) fn read(message: Bytes) -> Self {
        let raw = match plain_progress(&message) {
            Some(plain) => plain.progress,
            None => wherever(&message),
        };
        let value = raw.and_then(number);
        Self { message, value }
    }
}

fn wherever(notification: &[u8]) -> Option<&[u8]> {
    json::find(json::find(notification, "params")?, "progress")
}

/// The number, if the value is one.
pub(crate) fn number(raw: &[u8]) -> Option<f64> {
    // Most are small whole numbers, of which each is a float.
    if let 1..=9 = raw.len()
        && raw.iter().all(u8::is_ascii_digit)
    {
        let whole = raw.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
        return Some(f64::from(whole));
    }
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
            ("00", false),
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
            assert_eq!(
                progress.is_further(&ProgressNote::read(message.clone().into())),
                further,
                "{value}"
            );
        }
        assert!(!progress.is_further(&ProgressNote::read("{}".into())));
    }

    #[test]
    fn p_63_only_the_value_itself_counts() {
        for params in [
            r#"{"progressToken":"progress","progress":5}"#,
            r#"{"message":"\"progress\":9","progress":5}"#,
            r#"{"_meta":{"progress":9},"progress":5}"#,
            r#"{"progress" : 5 ,"total":9}"#,
            r#"{"progress":5,"total":9}"#,
            r#"{"pro\u0067ress":5}"#,
        ] {
            for version in ["", r#""jsonrpc":"2.0","#] {
                let message = format!(r#"{{{version}"method":"notifications/progress","params":{params}}}"#);
                let mut progress = Progress { last: Some(4.0) };
                assert!(
                    progress.is_further(&ProgressNote::read(message.clone().into())),
                    "{message}"
                );
                assert_eq!(progress.last, Some(5.0), "{message}");
            }
        }
    }
}

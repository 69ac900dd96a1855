//! A child's standard error goes into the log, line by line: bounded, cleaned, never to a client.

use std::sync::Arc;
use std::time::Duration;

use sallyport_core::{Secret, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::Instant;

use crate::upstream::counters::Counters;

/// The longest piece of a line that is logged, in bytes.
const LONGEST: usize = 2 << 10;

/// Lines that are logged in one second.
const PER_SECOND: u32 = 20;

/// Values shorter than this are not looked for: they would be found everywhere.
const SHORTEST_SECRET: usize = 6;

/// Reads to the end of the pipe. Values in `secrets` are blotted out wherever they appear.
pub(crate) async fn drain(
    mut pipe: impl AsyncRead + Unpin,
    server: ServerName,
    secrets: Vec<Secret<String>>,
    counters: Arc<Counters>,
) {
    let mut cutter = Cutter::default();
    let mut allowance = Allowance::default();
    let mut piece = vec![0u8; 8 << 10];
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        for line in cutter.cut(piece.get(..length).unwrap_or_default()) {
            if allowance.take(Instant::now()) {
                let text = clean(&line, &secrets);
                tracing::info!(target: "sallyport::server", server = %server, "{text}");
            } else {
                counters.stderr_suppressed.add();
            }
        }
    }
}

/// Cuts a stream into lines; of a long one only the beginning is kept.
#[derive(Default)]
struct Cutter {
    line: Vec<u8>,
}

impl Cutter {
    fn cut(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut rest = piece;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (head, tail) = rest.split_at(at);
            self.keep(head);
            if !self.line.is_empty() {
                lines.push(std::mem::take(&mut self.line));
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        self.keep(rest);
        lines
    }

    fn keep(&mut self, text: &[u8]) {
        let room = LONGEST.saturating_sub(self.line.len());
        self.line
            .extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
    }
}

/// So many lines in each second, no more.
#[derive(Default)]
struct Allowance {
    second: Option<Instant>,
    used: u32,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        if self
            .second
            .is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1))
        {
            self.second = Some(now);
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        self.used <= PER_SECOND
    }
}

/// Printable text: control characters become visible escapes, so that nobody's terminal obeys a server (LG-01).
fn clean(line: &[u8], secrets: &[Secret<String>]) -> String {
    let mut text = String::from_utf8_lossy(line).into_owned();
    for secret in secrets
        .iter()
        .map(|s| s.expose())
        .filter(|s| s.len() >= SHORTEST_SECRET)
    {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), "[secret]");
        }
    }
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control() && c != '\t';
            let plain = (!escaped).then_some(c);
            escaped
                .then(|| c.escape_default())
                .into_iter()
                .flatten()
                .chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cleaned_of_control_characters_and_secrets() {
        let secrets = [Secret::from("hunter2hunter2"), Secret::from("a")];
        assert_eq!(
            clean(b"\x1b[31mred\tkey=hunter2hunter2 a\xff", &secrets),
            "\\u{1b}[31mred\tkey=[secret] a\u{fffd}"
        );
    }

    #[test]
    fn st_07_long_lines_are_cut_and_floods_are_thinned() {
        let mut cutter = Cutter::default();
        assert!(cutter.cut(&vec![b'x'; 1 << 20]).is_empty());
        let lines = cutter.cut(b"y\n\nz\r\nw");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines.first().map(Vec::len), Some(LONGEST));
        assert_eq!(lines.get(1).map(Vec::as_slice), Some(&b"z"[..]));

        let mut allowance = Allowance::default();
        let now = Instant::now();
        assert_eq!((0..1000).filter(|_| allowance.take(now)).count(), 20);
        assert!(allowance.take(now + Duration::from_secs(1)));
    }
}

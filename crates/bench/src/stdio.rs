//! A small and fast MCP server on its standard input and output: it answers everything that has come with one write.

use std::io::{self, Read, Write};

use memchr::{memchr, memmem};

use crate::upstream::message::{self, Lists, Outcome};

/// How much is read at once.
const READ: usize = 64 * 1024;

/// What a server of one era alone does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Eras {
    /// It speaks both.
    Both,
    /// `server/discover`.
    Legacy,
    /// `initialize`.
    Modern,
}

impl Eras {
    /// The eras by the program's argument.
    #[must_use]
    pub fn named(word: Option<&str>) -> Option<Self> {
        match word {
            None => Some(Self::Both),
            Some("legacy") => Some(Self::Legacy),
            Some("modern") => Some(Self::Modern),
            Some(_) => None,
        }
    }

    fn unknown(self) -> Option<&'static str> {
        match self {
            Self::Both => None,
            Self::Legacy => Some("\"server/discover\""),
            Self::Modern => Some("\"initialize\""),
        }
    }
}

/// Answers line by line until `input` ends.
///
/// # Errors
/// When reading or writing fails.
pub fn run(mut input: impl Read, mut output: impl Write, eras: Eras) -> io::Result<()> {
    let unknown = eras.unknown();
    let lists = Lists::new(10);
    let (mut unread, mut answers) = (Vec::new(), Vec::new());
    let mut piece = vec![0; READ];
    loop {
        let length = input.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        unread.extend_from_slice(piece.get(..length).unwrap_or_default());
        let mut rest = unread.as_slice();
        while let Some((line, after)) = memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end + 1)) {
            let has = |method: &str| memmem::find(line, method.as_bytes()).is_some();
            if let Some(method) = unknown.filter(|method| has(method)) {
                let other = String::from_utf8_lossy(line).replace(method, "\"unknown\"");
                answer(other.as_bytes(), &lists, &mut answers);
            } else if eras == Eras::Modern && has("\"server/discover\"") {
                let mut all = Vec::new();
                answer(line, &lists, &mut all);
                let own = String::from_utf8_lossy(&all).replace(message::LEGACY, "");
                answers.extend_from_slice(own.as_bytes());
            } else {
                answer(line, &lists, &mut answers);
            }
            rest = after;
        }
        let done = unread.len() - rest.len();
        unread.drain(..done);
        output.write_all(&answers)?;
        output.flush()?;
        answers.clear();
    }
}

fn answer(line: &[u8], lists: &Lists, out: &mut Vec<u8>) {
    let modern = memmem::find(line, b"io.modelcontextprotocol/protocolVersion").is_some();
    let text = match message::answer(line, modern, lists) {
        Outcome::Accepted => return,
        Outcome::Message(_, text) | Outcome::Session(text) => text,
        Outcome::Progress { token, events, last } => {
            let mut text = String::with_capacity(128 * 64);
            for done in 1..=events {
                message::progress_into(&mut text, &token, done, events);
                text.push('\n');
            }
            text + &last
        }
    };
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_its_line() {
        let input = concat!(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#,
            "\n",
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"progress","arguments":{"events":2},"_meta":{"progressToken":7}}}"#,
            "\n{\"cut"
        );
        let mut out = Vec::new();
        run(input.as_bytes(), &mut out, Eras::Both).unwrap();
        let lines: Vec<serde_json::Value> = out
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[1]["result"]["content"][0]["text"], "hi");
        assert_eq!(
            lines[3]["params"],
            serde_json::json!({"progressToken": 7, "progress": 2, "total": 2})
        );
        assert_eq!(lines[4]["id"], 3);
    }

    #[test]
    fn a_server_of_one_era_does_not_know_the_others_first_message() {
        let input = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"server/discover\"}\n";
        for (word, known) in [
            (None, [true; 2]),
            (Some("legacy"), [true, false]),
            (Some("modern"), [false, true]),
        ] {
            let mut out = Vec::new();
            run(input.as_bytes(), &mut out, Eras::named(word).unwrap()).unwrap();
            let lines = out.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            let answered: Vec<bool> = lines
                .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["error"].is_null())
                .collect();
            assert_eq!(answered, known, "{word:?}");
            let names_legacy = memmem::find(&out, b"[\"2025-06-18\"").is_some();
            assert_eq!(names_legacy, word.is_none(), "{word:?}");
        }
        assert_eq!(Eras::named(Some("old")), None);
    }
}

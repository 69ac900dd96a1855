//! What is wrong with a configuration: one line for each problem, with file, line, column and the mend.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::tree::Place;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Problem {
    /// The file, as the operator named it.
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong, and the mend after a semicolon.
    pub message: String,
}

fn as_text<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
        } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

/// Everything that is wrong, in the order of the file. As an error it prints one line for each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// A file that was emptied while the gateway runs.
    #[must_use]
    pub fn empty_file(name: &str) -> Self {
        let mut collector = Collector::new(name);
        collector.add(
            Place::START,
            "the file is empty; write the configuration, or restart for built-in defaults",
        );
        collector.finish()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems while a file is read.
#[derive(Clone, Debug)]
pub struct Collector {
    file: Arc<str>,
    found: Vec<Problem>,
}

impl Collector {
    /// For the file that the operator calls `file`.
    #[must_use]
    pub fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            found: Vec::new(),
        }
    }

    /// Notes a problem. The message ends with the mend, after a semicolon.
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        self.found.push(Problem {
            file: Arc::clone(&self.file),
            line: place.line,
            column: place.column,
            message: message.into(),
        });
    }

    /// Everything that was noted, in the order of the file, each once.
    #[must_use]
    pub fn finish(mut self) -> Problems {
        self.found.sort();
        self.found.dedup();
        Problems(self.found)
    }
}

/// The known word that the unknown one was probably meant to be: at most two edits away, or a third of its length.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |s: &str| s.to_ascii_lowercase().replace('-', "_");
    let unknown = fold(unknown);
    let bound = (unknown.chars().count() / 3).clamp(1, 2);
    known
        .into_iter()
        .map(|word| (distance(&unknown, &fold(word)), word))
        .filter(|(edits, _)| *edits <= bound)
        .min()
        .map(|(_, word)| word)
}

/// `; did you mean …?`, or the list of what is allowed where nothing is near.
#[must_use]
pub fn suggestion(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("known here: {}", quoted(known)),
    }
}

/// The words in backquotes, with commas.
#[must_use]
pub fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Edits (insert, remove, replace, swap of neighbours) between two words; texts of a file are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, x) in a.chars().take(64).enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let replace = at(&last, j) + usize::from(x != *y);
            let mut best = replace.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = previous == Some(*y) && j.checked_sub(1).and_then(|j| b.get(j)) == Some(&x);
            if swapped && let Some(j) = j.checked_sub(1) {
                best = best.min(at(&before, j) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
        previous = Some(x);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["servers", "profiles", "listen", "public_url"];
        for (word, near) in [
            ("servrs", Some("servers")),
            ("severs", Some("servers")),
            ("lisetn", Some("listen")),
            ("public-url", Some("public_url")),
            ("Servers", Some("servers")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }

    #[test]
    fn problems_are_in_order_and_said_once() {
        let mut collector = Collector::new("f.yaml");
        collector.add(Place { line: 3, column: 1 }, "b; c");
        collector.add(Place { line: 1, column: 2 }, "a; b");
        collector.add(Place { line: 3, column: 1 }, "b; c");
        assert_eq!(
            collector.finish().to_string(),
            "f.yaml:1:2: a; b\nf.yaml:3:1: b; c"
        );
    }
}

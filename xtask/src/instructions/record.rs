//! The figures that are kept in the repository.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// What a request of each scenario cost when it was recorded.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// The compiler, as `rustc -vV` says, and what it builds for.
    pub(super) toolchain: String,
    /// Instructions per request by scenario.
    pub(super) requests: BTreeMap<String, u64>,
}

const HEAD: &str = "# Instructions of the serving threads per request, counted by callgrind.\n# Written by `cargo xtask instructions`; compared by `cargo xtask test --only instructions`.\n";

impl Record {
    /// Reads the file.
    ///
    /// # Errors
    /// When there is none, or a line of it is none of ours.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut record = Self::default();
        for line in text.lines() {
            if line.is_empty() || line.starts_with(['#', '[']) {
                continue;
            }
            let (key, value) = line
                .split_once(" = ")
                .with_context(|| format!("`{line}` has no value"))?;
            if key == "toolchain" {
                value.trim_matches('"').clone_into(&mut record.toolchain);
            } else {
                let count = value.replace('_', "").parse();
                let count = count.with_context(|| format!("`{line}` has no number"))?;
                record.requests.insert(key.to_owned(), count);
            }
        }
        Ok(record)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        fs::write(file, self.text()).with_context(|| file.display().to_string())
    }

    fn text(&self) -> String {
        let mut text = format!("{HEAD}toolchain = \"{}\"\n\n[requests]\n", self.toolchain);
        for (scenario, count) in &self.requests {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{scenario} = {count}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record {
            toolchain: "rustc 1.95.0 (0 2026-04-14) x86_64-unknown-linux-gnu".to_owned(),
            requests: [("call".to_owned(), 61_234), ("list".to_owned(), 9)].into(),
        };
        assert_eq!(Record::parse(&record.text()).unwrap(), record);
        assert!(Record::parse("call = many").is_err());
    }
}

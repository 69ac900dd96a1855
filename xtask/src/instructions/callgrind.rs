//! Instructions as callgrind counts them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::command;

/// What a stretch of a run cost.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Cost {
    /// Instructions of the threads that serve connections, without hashing.
    pub(super) serving: u64,
    /// Instructions of SHA-256 in these threads: valgrind knows nothing of the processor's own instructions for it, so
    /// that it costs some ten times what it does otherwise.
    pub(super) hashing: u64,
    /// Instructions of all other threads.
    pub(super) others: u64,
}

impl Cost {
    /// The lower of each figure.
    pub(super) fn least(self, other: Self) -> Self {
        Self {
            serving: self.serving.min(other.serving),
            hashing: self.hashing.min(other.hashing),
            others: self.others.min(other.others),
        }
    }
}

/// `program` under callgrind, with its counts in `folder`.
pub(super) fn under(valgrind: &Path, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(valgrind);
    command
        .args(["--tool=callgrind", "--separate-threads=yes", "--fair-sched=yes"])
        .args(["--dump-line=no", "--quiet"])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(program);
    command
}

/// What `process` has cost since the last time that this was asked.
///
/// # Errors
/// When callgrind does not answer, or its answer cannot be read.
pub(super) fn take(process: u32, folder: &Path) -> anyhow::Result<Cost> {
    let before = files(folder)?;
    let mut dump = Command::new("callgrind_control");
    dump.arg("--dump").arg(process.to_string());
    command::quietly(&mut dump)?;
    let new: Vec<_> = files(folder)?
        .into_iter()
        .filter(|file| !before.contains(file))
        .collect();
    if new.is_empty() {
        bail!("callgrind_control made no file");
    }
    let mut cost = Cost::default();
    for file in new {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let one = read(&text);
        cost.serving += one.serving;
        cost.hashing += one.hashing;
        cost.others += one.others;
    }
    Ok(cost)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Reads what one thread cost. The format is that of the Callgrind manual: a line `fn=(id) name` (later `fn=(id)`) and
/// below it lines of a position and a cost; the line after one with `calls=` is what the called function cost.
fn read(text: &str) -> Cost {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let (mut total, mut hashing, mut serves) = (0, 0, false);
    let (mut is_hash, mut called) = (false, false);
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            if matches!(key, "fn" | "cfn") {
                let (id, name) = value.split_once(' ').unwrap_or((value, ""));
                let name = if name.is_empty() {
                    names.get(id).copied().unwrap_or_default()
                } else {
                    names.insert(id, name);
                    name
                };
                if key == "fn" {
                    is_hash = name.contains("sha256_block");
                    serves |= name.contains("sallyport_proxy::call::serve");
                }
            }
            called = key == "calls";
            continue;
        }
        let mut words = line.split(' ');
        let is_position = |word: &str| word.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c));
        let cost = match (words.next(), words.next(), words.next()) {
            (Some(position), Some(cost), None) if is_position(position) => cost.parse().unwrap_or(0),
            _ => 0_u64,
        };
        if !std::mem::take(&mut called) {
            total += cost;
            hashing += if is_hash { cost } else { 0 };
        }
    }
    if serves {
        Cost {
            serving: total - hashing,
            hashing,
            others: 0,
        }
    } else {
        Cost {
            others: total,
            ..Cost::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_added_without_those_of_called_functions() {
        let file = "# callgrind format\npid: 1\nthread: 3\npositions: line\nevents: Ir\n\nfl=(1) a.rs\nfn=(1) sallyport_proxy::call::serve\n0 100\ncfn=(2) aws_lc_sha256_block_data_order\ncalls=2 0 \n0 5000\n+3 7\n\nfn=(2)\n0 5000\n\ntotals: 5107\n";
        let expected = Cost {
            serving: 107,
            hashing: 5000,
            others: 0,
        };
        assert_eq!(read(file), expected);
        let other = file.replace("proxy::call::serve", "store::audit::write");
        assert_eq!(read(&other).others, 5107);
    }
}

//! `llvm-profdata`, which makes what the compiler reads out of what the program has counted.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{command, provide, versions};

const NAME: &str = "llvm-profdata";

/// The tool.
pub(super) struct Profdata {
    program: PathBuf,
}

impl Profdata {
    /// The compiler's own (rustup's component `llvm-tools`), one on the PATH that is new enough, or Debian's.
    ///
    /// # Errors
    /// When there is none and it cannot be installed.
    pub(super) fn find(host: &str) -> anyhow::Result<Self> {
        let own = sysroot()?.join("lib/rustlib").join(host).join("bin").join(NAME);
        let find = || {
            let own = own.is_file().then(|| own.clone());
            choose(
                own.into_iter()
                    .chain(names().iter().filter_map(|name| command::find(name))),
                version,
            )
        };
        if let Some(program) = find() {
            return Ok(Self { program });
        }
        let package = format!("llvm-{}", versions::LLVM.start());
        provide::install(&[&package])?;
        let program = find().with_context(|| format!("the package {package} brought no {NAME}"))?;
        Ok(Self { program })
    }

    /// What was counted in `counts` as the compiler reads it: a new file in `folder`.
    ///
    /// # Errors
    /// When the tool cannot read the counts.
    pub(super) fn merge(&self, counts: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
        let merged = folder.join("merged.profdata");
        let mut merge = Command::new(&self.program);
        merge.args(["merge", "-o"]).arg(&merged).arg(counts);
        command::quietly(&mut merge).map(|_| merged)
    }
}

/// What it is called: plainly, or with its version as Debian does, newest first.
fn names() -> Vec<String> {
    let versions = versions::LLVM.rev();
    std::iter::once(NAME.to_owned())
        .chain(versions.map(|version| format!("{NAME}-{version}")))
        .collect()
}

/// The first whose version will do.
fn choose(
    programs: impl Iterator<Item = PathBuf>,
    version: impl Fn(&Path) -> Option<u32>,
) -> Option<PathBuf> {
    let mut programs = programs;
    programs.find(|program| version(program).is_some_and(|version| versions::LLVM.contains(&version)))
}

fn version(program: &Path) -> Option<u32> {
    major(&command::quietly(Command::new(program).arg("--version")).ok()?)
}

/// The major version in what `--version` says: `… LLVM version 19.1.7`.
fn major(about: &str) -> Option<u32> {
    let (_, version) = about.split_once("LLVM version ")?;
    let end = version.find(|c: char| !c.is_ascii_digit());
    version.get(..end.unwrap_or(version.len()))?.parse().ok()
}

fn sysroot() -> anyhow::Result<PathBuf> {
    let sysroot = command::quietly(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(sysroot.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            major("Debian LLVM version 19.1.7\n  Optimized build.\n"),
            Some(19)
        );
        assert_eq!(
            major("LLVM (http://llvm.org/):\n  LLVM version 22.1.2-rust-1.95.0-stable\n"),
            Some(22)
        );
        assert_eq!(major("LLVM version 20git"), Some(20));
        assert_eq!(major("a program of another kind 19"), None);
    }

    #[test]
    fn the_plain_name_comes_first_then_the_newest() {
        let names = names();
        assert_eq!(names.first().map(String::as_str), Some("llvm-profdata"));
        assert_eq!(names.get(1).map(String::as_str), Some("llvm-profdata-24"));
        assert_eq!(names.last().map(String::as_str), Some("llvm-profdata-19"));
    }

    #[test]
    fn what_is_too_old_or_says_no_version_is_passed_over() {
        let programs = ["a", "b", "c", "d"].map(PathBuf::from);
        let version = |program: &Path| match program.to_str() {
            Some("a") => Some(14),
            Some("c") => Some(21),
            Some("d") => Some(19),
            _ => None,
        };
        let chosen = choose(programs.clone().into_iter(), version);
        assert_eq!(chosen, Some("c".into()));
        assert_eq!(choose(programs.into_iter().take(2), version), None);
    }
}

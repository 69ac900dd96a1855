//! Rules about the text of the repository.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Count, STEPS, attacks, proofs, protocol};
use crate::workspace::Workspace;
use crate::{command, say};

/// No source file is longer.
const MOST_LINES: usize = 600;
/// From here on a warning.
const MANY_LINES: usize = 400;
/// Places on a developer's machine; written in two pieces, so that this file does not hold them.
const PLACES: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/bash_", "jobs"),
];

struct File {
    path: String,
    text: String,
}

/// Checks every rule on every file that git knows or would add.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let files = files(&workspace.root)?;
    let log = command::quietly(
        Command::new("git")
            .args(["log", "--format=%h %B"])
            .current_dir(&workspace.root),
    )?;
    let steps: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
    let proven = |page| {
        untested(&files, page, |page, sources| {
            proofs::disagreements(page, sources, &steps)
        })
    };
    let rules: [(&str, Vec<String>); 7] = [
        ("no source file is over 600 lines", long(&files)),
        ("no place of somebody's machine is named", places(&files)),
        (
            "no commit names a place of somebody's machine",
            lines_with_places("commit", &log),
        ),
        ("no lock file holds download addresses", addresses(&files)),
        (
            "docs/attacks.md and the tests agree",
            untested(&files, attacks::PAGE, |page, sources| {
                attacks::disagreements(page, sources)
            }),
        ),
        (
            "docs/protocol.md and the tests agree",
            untested(&files, protocol::PAGE, |page, sources| {
                protocol::disagreements(page, sources)
            }),
        ),
        (
            "what docs/compliance.md and docs/promises.md name as proof exists",
            proofs::PAGES.into_iter().flat_map(proven).collect(),
        ),
    ];
    let mut count = Count::default();
    for (rule, broken) in rules {
        for place in &broken {
            say::line(format_args!("  {rule}: {place}"));
        }
        count += Count::one(broken.is_empty());
    }
    Ok(count)
}

fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let list = command::quietly(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let files = list
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| {
            // What is no text, or was removed and not yet committed, has no rules.
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(File {
                path: path.to_owned(),
                text,
            })
        });
    Ok(files.collect())
}

fn has_extension(path: &str, extensions: &[&str]) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extensions.iter().any(|known| extension == *known))
}

fn long(files: &[File]) -> Vec<String> {
    let sources = files
        .iter()
        .filter(|file| has_extension(&file.path, &["rs", "mjs", "py", "html", "css", "sh", "sql"]));
    let mut broken = Vec::new();
    for file in sources {
        let lines = file.text.lines().count();
        let said = format!("{} has {lines}", file.path);
        if lines > MOST_LINES {
            broken.push(said);
        } else if lines > MANY_LINES {
            say::line(format_args!("  warning: {said} lines"));
        }
    }
    broken
}

fn lines_with_places(what: &str, text: &str) -> Vec<String> {
    let named = |line: &&str| PLACES.iter().any(|place| begins_there(line, place));
    text.lines()
        .filter(named)
        .map(|line| format!("{what}: {line}"))
        .collect()
}

/// Whether `place` is in `line` as the beginning of a path, not as the middle of one (`file:///test/root/`).
fn begins_there(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|before| before.is_alphanumeric() || ".-_}*".contains(before))
    })
}

fn places(files: &[File]) -> Vec<String> {
    let ours = files
        .iter()
        .filter(|file| file.path != ".gitignore" && file.path != "Cargo.lock");
    ours.flat_map(|file| lines_with_places(&file.path, &file.text))
        .collect()
}

fn addresses(files: &[File]) -> Vec<String> {
    let locks = files.iter().filter(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        [
            "package-lock.json",
            "npm-shrinkwrap.json",
            "yarn.lock",
            "pnpm-lock.yaml",
            "uv.lock",
            "poetry.lock",
        ]
        .contains(&name)
    });
    locks
        .filter(|file| file.text.contains("http"))
        .map(|file| file.path.clone())
        .collect()
}

/// What a page says that the sources do not, and the other way round.
fn untested(
    files: &[File],
    page: &str,
    disagreements: impl Fn(&str, std::vec::IntoIter<&str>) -> Vec<String>,
) -> Vec<String> {
    let Some(text) = files.iter().find(|file| file.path == page) else {
        return vec![format!("there is no {page}")];
    };
    let sources: Vec<_> = files
        .iter()
        .filter(|file| file.path.starts_with("crates/") && has_extension(&file.path, &["rs"]))
        .map(|file| file.text.as_str())
        .collect();
    disagreements(&text.text, sources.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_middle_of_a_path_are_none() {
        let place = PLACES[0];
        assert!(begins_there(&format!("see {place}x"), place));
        assert!(begins_there(&format!("`{place}x`"), place));
        assert!(!begins_there(&format!("a net{place}x"), place));
    }
}

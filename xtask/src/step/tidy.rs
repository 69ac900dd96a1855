//! Rules about the text of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::Count;
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

/// Checks every rule on every file that git knows.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let files = files(&workspace.root)?;
    let log = command::quietly(
        Command::new("git")
            .args(["log", "--format=%h %B"])
            .current_dir(&workspace.root),
    )?;
    let rules: [(&str, Vec<String>); 5] = [
        ("no source file is over 600 lines", long(&files)),
        ("no place of somebody's machine is named", places(&files)),
        (
            "no commit names a place of somebody's machine",
            lines_with_places("commit", &log),
        ),
        ("no lock file holds download addresses", addresses(&files)),
        ("every attack of docs/attacks.md has a test", untested(&files)),
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
    let list = command::quietly(Command::new("git").args(["ls-files", "-z"]).current_dir(root))?;
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

/// The ids in the first cells of the tables (`| AZ-01 | …`).
fn attacks(text: &str) -> BTreeSet<&str> {
    let cell = |line: &'_ str| -> Option<usize> {
        let cell = line.strip_prefix("| ")?.split(" |").next()?;
        let (group, number) = cell.split_once('-')?;
        let right = !group.is_empty()
            && group.chars().all(|letter| letter.is_ascii_uppercase())
            && !number.is_empty()
            && number.chars().all(|digit| digit.is_ascii_digit());
        right.then_some(cell.len())
    };
    text.lines()
        .filter_map(|line| line.get(2..2 + cell(line)?))
        .collect()
}

fn untested(files: &[File]) -> Vec<String> {
    let catalogue = files
        .iter()
        .filter(|file| file.path == "docs/attacks.md")
        .flat_map(|file| attacks(&file.text));
    let sources: Vec<_> = files
        .iter()
        .filter(|file| has_extension(&file.path, &["rs"]))
        .collect();
    let tested = |id: &str| {
        let name = format!("fn {}", id.to_lowercase().replace('-', "_"));
        sources.iter().any(|file| {
            file.text.match_indices(&name).any(|(at, _)| {
                let next = file
                    .text
                    .get(at + name.len()..)
                    .and_then(|rest| rest.chars().next());
                matches!(next, Some('_' | '('))
            })
        })
    };
    catalogue.filter(|id| !tested(id)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_catalogue() {
        let text = "| id | attack |\n| --- | --- |\n| AZ-01 | open redirect |\n| JR-12 | depth |\n| az-02 | no |\nAZ-03";
        assert_eq!(attacks(text).into_iter().collect::<Vec<_>>(), ["AZ-01", "JR-12"]);
    }

    #[test]
    fn an_attack_needs_a_test_of_its_name() {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let files = [
            file("docs/attacks.md", "| AZ-01 | a |\n| AZ-02 | b |\n| AZ-1 | c |"),
            file(
                "crates/x/src/lib.rs",
                "fn az_01_open_redirect() {}\nfn az_10_other() {}",
            ),
        ];
        assert_eq!(untested(&files), ["AZ-02", "AZ-1"]);
    }

    #[test]
    fn places_in_the_middle_of_a_path_are_none() {
        let place = PLACES[0];
        assert!(begins_there(&format!("see {place}x"), place));
        assert!(begins_there(&format!("`{place}x`"), place));
        assert!(!begins_there(&format!("a net{place}x"), place));
    }
}

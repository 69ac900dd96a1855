//! `docs/compliance.md` and `docs/promises.md`: every row says whether what it names is kept, where, and what shows it; and
//! what it names as the proof exists.

use std::collections::BTreeSet;

use super::named;

/// Where the rows are.
pub(super) const PAGES: [&str; 2] = ["docs/compliance.md", "docs/promises.md"];

/// What a row may say of itself, and whether it must name what shows it.
const STATES: [(&str, bool); 6] = [
    ("kept", true),
    ("otherwise", true),
    ("partly", true),
    ("not yet", false),
    ("advice", false),
    ("does not apply", false),
];

/// What the last two columns of every table are called.
const COLUMNS: [&str; 2] = ["state", "shown by"];

/// What a row names that is no test: a step of `cargo xtask test`.
const STEP: &str = "step ";

/// The cells of a line, if it belongs to a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim_end().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// Everything that is wrong with a page, given the sources and the names of the steps.
pub(super) fn disagreements<'a>(
    page: &str,
    sources: impl Iterator<Item = &'a str>,
    steps: &[&str],
) -> Vec<String> {
    let tests: BTreeSet<&str> = sources.flat_map(named::tests).collect();
    let exists = |name: &str| match name.strip_prefix(STEP) {
        Some(step) => steps.contains(&step),
        None => tests.contains(name),
    };
    let (mut ids, mut broken) = (BTreeSet::new(), Vec::new());
    let mut width = 0;
    for line in page.lines() {
        let Some(row) = cells(line) else {
            width = 0;
            continue;
        };
        if row.ends_with(&COLUMNS) {
            width = row.len();
            continue;
        }
        let (Some(id), [.., state, shown]) = (row.first(), &*row) else {
            continue;
        };
        if width == 0 || id.starts_with("---") {
            continue;
        }
        if row.len() != width {
            broken.push(format!("{id} has {} cells and not {width}", row.len()));
            continue;
        }
        if !ids.insert((*id).to_owned()) {
            broken.push(format!("{id} has two rows"));
        }
        if row.iter().take(width - 1).any(|cell| cell.is_empty()) {
            broken.push(format!("{id} says too little"));
        }
        let proofs: BTreeSet<&str> = named::cited(shown).collect();
        match STATES.iter().find(|(known, _)| known == state) {
            None => broken.push(format!("{id} has the unknown state `{state}`")),
            Some((_, true)) if proofs.is_empty() => {
                broken.push(format!("{id} is `{state}` and nothing shows it"));
            }
            Some(_) => {}
        }
        for name in proofs.into_iter().filter(|name| !exists(name)) {
            broken.push(format!("{id}: there is no test {name}"));
        }
    }
    if ids.is_empty() {
        broken.push("there are no rows".to_owned());
    }
    broken
}

#[cfg(test)]
mod checks {
    use super::*;

    const HEAD: &str = "| id | what | where | state | shown by |\n| --- | --- | --- | --- | --- |\n";
    const SOURCE: &str = "#[test]\nfn a() {}\n#[tokio::test]\nasync fn b() {}\nfn helper() {}";

    fn judged(rows: &str) -> Vec<String> {
        disagreements(&format!("{HEAD}{rows}"), [SOURCE].into_iter(), &["deny"])
    }

    #[test]
    fn good_rows_are_good() {
        let rows = "| A1 | x | `y` in z | kept | `a`<br>`step deny` |\n| A2 | x | soon | not yet | |\n\
                    | A3 | x | no such thing | does not apply | `b` |\n";
        assert_eq!(judged(rows), Vec::<String>::new());
        let other = "| what | that |\n| --- | --- |\n| x | `nowhere` |\n\n";
        let page = format!("{other}{HEAD}{rows}\ntext\n\n{other}");
        assert_eq!(
            disagreements(&page, [SOURCE].into_iter(), &["deny"]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn it_is_said_what_is_wrong_with_a_row() {
        let rows = "| A1 | x | y | kept | |\n| A1 | x | y | partly | `helper` |\n| A2 | x | | not yet | |\n\
                    | A3 | x | y | done | `a` |\n| A4 | x | kept | `a` |\n| A5 | x | y | kept | `step x` |\n";
        assert_eq!(
            judged(rows),
            [
                "A1 is `kept` and nothing shows it",
                "A1 has two rows",
                "A1: there is no test helper",
                "A2 says too little",
                "A3 has the unknown state `done`",
                "A4 has 4 cells and not 5",
                "A5: there is no test step x",
            ]
        );
        assert_eq!(judged(""), ["there are no rows"]);
    }
}

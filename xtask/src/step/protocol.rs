//! `docs/protocol.md` and the tests agree: every id of the checklist has a row, what a row names exists, and a test that bears
//! an id (`p_07_…`) is in the row of that id.

use std::collections::{BTreeMap, BTreeSet};

use super::named::{cited, functions, tests};

/// Where the checklist is.
pub(super) const PAGE: &str = "docs/protocol.md";
/// The last id of the checklist that must have a row.
const LAST: u16 = 116;
/// What stands in a row to which no test can belong.
const NONE: &str = "does not apply:";

/// The ids of the checklist with which a test's name begins: `p_34_p_36_…`, `is_07_p_51_…`, and both ends and everything
/// between them of `p_14_to_p_21_…`.
fn ids(test: &str) -> BTreeSet<u16> {
    let mut found = BTreeSet::new();
    let mut from = None;
    let mut parts = test.split('_').peekable();
    while let Some(part) = parts.next() {
        if part == "to" {
            continue;
        }
        let number = parts.peek().and_then(|next| next.parse::<u16>().ok());
        let Some(number) = number.filter(|_| part.len() <= 2) else {
            // Other catalogues write `r14` in one piece.
            if part.len() > 1 && part.starts_with('r') && part.split_at(1).1.parse::<u16>().is_ok() {
                continue;
            }
            break;
        };
        parts.next();
        if part != "p" {
            continue;
        }
        match from.take() {
            Some(first) => found.extend(first..=number),
            None => drop(found.insert(number)),
        }
        if parts.peek() == Some(&"to") {
            from = Some(number);
        }
    }
    found
}

/// The rows of the page: the id, and what stands in the last column.
fn rows(page: &str) -> impl Iterator<Item = (u16, &str)> {
    page.lines().filter_map(|line| {
        let (id, rest) = line.strip_prefix("| P-")?.split_once(" |")?;
        let column = rest.trim_end().trim_end_matches('|').rsplit('|').next()?;
        Some((id.parse().ok()?, column))
    })
}

/// Everything in which the page and the sources disagree.
pub(super) fn disagreements<'a>(page: &str, sources: impl Iterator<Item = &'a str>) -> Vec<String> {
    let (mut all, mut run) = (BTreeSet::new(), BTreeSet::new());
    for source in sources {
        all.extend(functions(source));
        run.extend(tests(source));
    }
    let mut named: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    let mut broken = Vec::new();
    for (id, column) in rows(page) {
        let excused = column.contains(NONE);
        let names: BTreeSet<_> = cited(column).filter(|_| !excused).collect();
        if names.is_empty() && !excused {
            broken.push(format!("P-{id:02} has neither a test nor a reason"));
        }
        for name in names.iter().filter(|name| !run.contains(*name)) {
            broken.push(format!("P-{id:02}: there is no test {name}"));
        }
        if named.insert(id, names).is_some() {
            broken.push(format!("P-{id:02} has two rows"));
        }
    }
    for id in (1..=LAST).filter(|id| !named.contains_key(id)) {
        broken.push(format!("P-{id:02} has no row"));
    }
    for helper in all.difference(&run).filter(|name| !ids(name).is_empty()) {
        broken.push(format!("{helper} bears an id and is no test"));
    }
    for test in run {
        for id in ids(test) {
            if !named.get(&id).is_some_and(|names| names.contains(test)) {
                broken.push(format!("{test} is not in the row of P-{id:02}"));
            }
        }
    }
    broken
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn a_name_begins_with_its_ids() {
        for (name, expected) in [
            ("p_07_batches", &[7][..]),
            ("p_34_p_36_p_45_what", &[34, 36, 45]),
            ("p_14_to_p_17_headers", &[14, 15, 16, 17]),
            ("is_07_p_51_states", &[51]),
            ("p_67_r27_late", &[67]),
            ("p_116_of_another", &[116]),
            ("az_01_a_stranger", &[]),
            ("a_p_07_b", &[]),
            ("up_07", &[]),
        ] {
            assert_eq!(ids(name), BTreeSet::from_iter(expected.iter().copied()), "{name}");
        }
    }

    #[test]
    fn a_function_that_bears_an_id_is_a_test() {
        let page: String = (1..=LAST)
            .map(|id| format!("| P-{id:02} | x | does not apply: `y` is not built |\n"))
            .collect();
        let source = "fn p_01_helper() {}\nfn helper() {}";
        assert_eq!(
            disagreements(&page, [source].into_iter()),
            ["p_01_helper bears an id and is no test"]
        );
    }

    #[test]
    fn page_and_sources_agree_or_it_is_said_where_not() {
        let source = "#[test]\nfn p_01_a() {}\n#[tokio::test]\nasync fn p_02_p_03_b() {}\nfn helper() {}";
        let others: String = (4..=LAST)
            .map(|id| format!("| P-{id:02} | x | does not apply: `y` is not built |\n"))
            .collect();
        let good = format!(
            "| P-01 | a | `p_01_a` |\n| P-02 | `b` | `p_02_p_03_b`<br>`p_01_a` |\n| P-03 | c | `p_02_p_03_b` |\n{others}"
        );
        assert_eq!(disagreements(&good, [source].into_iter()), Vec::<String>::new());
        let bad =
            format!("| P-01 | `p_01_a` | `gone` |\n| P-02 | b | none |\n| P-02 | b | `helper` |\n{others}");
        assert_eq!(
            disagreements(&bad, [source].into_iter()),
            [
                "P-01: there is no test gone",
                "P-02 has neither a test nor a reason",
                "P-02: there is no test helper",
                "P-02 has two rows",
                "P-03 has no row",
                "p_01_a is not in the row of P-01",
                "p_02_p_03_b is not in the row of P-02",
                "p_02_p_03_b is not in the row of P-03",
            ]
        );
    }
}

//! `docs/attacks.md` and the tests agree: what is named there exists, and what bears an attack's id is named there.

use std::collections::{BTreeMap, BTreeSet};

use super::named;

/// Where the attacks are listed.
pub(super) const PAGE: &str = "docs/attacks.md";
/// What stands in a row for which there can be no test yet.
const LATER: &str = "later:";

/// The attacks whose ids a test's name begins with: `az_01_ru_02_…`. Ids of other catalogues (`p_07`, `r14`) may stand
/// between them.
fn ids(test: &str) -> Vec<String> {
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut found = Vec::new();
    let mut parts = test.split('_').peekable();
    while let Some(part) = parts.next() {
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
        if letters.len() == 1 && letters.len() < part.len() {
            continue;
        }
        let Some(number) = parts.next_if(is_number).filter(|_| letters == part) else {
            break;
        };
        match (part.len(), number.len()) {
            (2, 2) => found.push(format!("{}-{number}", part.to_ascii_uppercase())),
            (1, _) => {}
            _ => break,
        }
    }
    found
}

/// The functions of a source file that bear an id.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    named::functions(source).filter(|name| !ids(name).is_empty())
}

/// The rows of the page: the id, and the text behind it.
fn rows(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.lines().filter_map(|line| {
        let (id, rest) = line.strip_prefix("| ")?.split_once(" |")?;
        let (group, number) = id.split_once('-')?;
        let right = group.len() == 2
            && group.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.bytes().all(|byte| byte.is_ascii_digit());
        right.then_some((id, rest))
    })
}

/// The names in backquotes that look like tests.
fn cited(text: &str) -> impl Iterator<Item = &str> {
    named::cited(text).filter(|name| !ids(name).is_empty())
}

/// Everything in which the page and the sources disagree.
pub(super) fn disagreements<'a>(page: &str, sources: impl Iterator<Item = &'a str>) -> Vec<String> {
    let tests: BTreeSet<&str> = sources.flat_map(tests).collect();
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut broken = Vec::new();
    for (id, text) in rows(page) {
        let names: BTreeSet<_> = cited(text).collect();
        if names.is_empty() && !text.contains(LATER) {
            broken.push(format!("{id} has no test"));
        }
        if named.insert(id, names).is_some() {
            broken.push(format!("{id} has two rows"));
        }
    }
    for name in cited(page).filter(|name| !tests.contains(name)) {
        broken.push(format!("there is no test {name}"));
    }
    for test in tests {
        for id in ids(test) {
            if !named.get(&*id).is_some_and(|names| names.contains(test)) {
                broken.push(format!("{test} is not in the row of {id}"));
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
            ("az_01_a_stranger", &["AZ-01"][..]),
            ("az_02_az_07_pk_01_errors", &["AZ-02", "AZ-07", "PK-01"]),
            ("co_04_r14_co_10_pages", &["CO-04", "CO-10"]),
            ("p_22_jr_10_unknown", &["JR-10"]),
            ("au_01_r6_without", &["AU-01"]),
            ("al_07_two_with_64_writers", &["AL-07"]),
            ("r2_r3_the_challenge", &[]),
            ("of_course_az_01", &[]),
            ("r11", &[]),
            ("a", &[]),
        ] {
            assert_eq!(ids(name), expected, "{name}");
        }
    }

    #[test]
    fn page_and_sources_agree_or_it_is_said_where_not() {
        let source = "#[test]\nfn az_01_a() {}\nasync fn az_02_ru_01_b() {}\nfn helper() {}";
        let good = "| id | tests |\n| AZ-01 | x | `az_01_a` |\n| AZ-02 | `az_02_ru_01_b` |\n\
                    | RU-01 | `az_02_ru_01_b` |\n| PK-08 | later: no client yet | |\n";
        assert_eq!(disagreements(good, [source].into_iter()), Vec::<String>::new());
        let bad = "| AZ-01 | `nothing` |\n| AZ-02 | `az_02_ru_01_b` `az_02_gone` |\n| AZ-02 | later: |\n";
        assert_eq!(
            disagreements(bad, [source].into_iter()),
            [
                "AZ-01 has no test",
                "AZ-02 has two rows",
                "there is no test az_02_gone",
                "az_01_a is not in the row of AZ-01",
                "az_02_ru_01_b is not in the row of AZ-02",
                "az_02_ru_01_b is not in the row of RU-01",
            ]
        );
    }
}

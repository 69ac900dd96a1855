//! What the suite says of each scenario, and what is made of it.

use std::fmt;

/// What became of a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Pass,
    Fail,
    /// Failed, as the list of expected failures says.
    Known,
    /// Passed, though the list says that it fails.
    Stale,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Known => "KNOWN",
            Self::Stale => "STALE (it passes: take it out of the expected failures)",
        })
    }
}

/// The scenarios of a whole revision, given the YAML of the failures that are expected.
pub(super) fn revision(log: &str, expected: &str) -> Vec<(String, Verdict)> {
    let verdict = |(scenario, ok): (&str, bool)| (scenario.to_owned(), expecting(scenario, ok, expected));
    scenarios(log).into_iter().map(verdict).collect()
}

/// What became of a scenario, given the YAML of the failures that are expected.
pub(super) fn expecting(scenario: &str, passed: bool, expected: &str) -> Verdict {
    let mut listed = expected
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .map(name);
    match (passed, listed.any(|name| name == scenario)) {
        (true, false) => Verdict::Pass,
        (false, true) => Verdict::Known,
        (false, false) => Verdict::Fail,
        (true, true) => Verdict::Stale,
    }
}

/// A run of one scenario, of which the suite prints no summary but `Passed: 9/9, 0 failed, 0 warnings`.
pub(super) fn scenario(log: &str) -> Verdict {
    let numbers = log
        .lines()
        .filter_map(|line| line.strip_prefix("Passed: ")?.split_once(" failed"))
        .filter_map(|(numbers, _)| {
            let (passed, failed) = numbers.split_once(", ")?;
            let (passed, _) = passed.split_once('/')?;
            Some((passed.parse::<u32>().ok()?, failed.parse::<u32>().ok()?))
        })
        .next_back();
    match numbers {
        Some((passed, 0)) if passed > 0 => Verdict::Pass,
        _ => Verdict::Fail,
    }
}

/// A scenario and whether all of its checks passed (and there were any).
fn scenarios(log: &str) -> Vec<(&str, bool)> {
    let summary = log
        .rfind("SUMMARY")
        .and_then(|at| log.get(at..))
        .unwrap_or_default();
    let line = |line: &'_ str| -> Option<(usize, bool)> {
        let (name, counts) = line.split_once(": ")?;
        let (passed, rest) = counts.split_once(" passed, ")?;
        let failed = rest.split(' ').next()?;
        let measured = passed.parse::<u32>().ok()? > 0;
        Some((name.len(), measured && failed == "0"))
    };
    let mut found: Vec<(&str, bool)> = Vec::new();
    for text in summary.lines() {
        let mark = ["\u{2713} ", "\u{2717} "]
            .into_iter()
            .find_map(|mark| text.strip_prefix(mark));
        let Some(text) = mark else { continue };
        if let Some((length, ok)) = line(text) {
            let name = text.get(..length).unwrap_or(text);
            // The suite names its failures once more at the end.
            if !found.iter().any(|(known, _)| *known == name) {
                found.push((name, ok));
            }
        }
    }
    found
}

fn name(item: &str) -> &str {
    item.split([' ', '#']).next().unwrap_or(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "✓ noise: 1 passed, 0 failed\n=== SUMMARY ===\n✓ ping: 2 passed, 0 failed\n✗ caching: 7 passed, 1 failed\n✓ empty: 0 passed, 0 failed\n\nTotal: 9 passed, 1 failed\n✗ caching: 7 passed, 1 failed";

    #[test]
    fn the_summary_of_the_suite() {
        assert_eq!(
            scenarios(LOG),
            [("ping", true), ("caching", false), ("empty", false)]
        );
    }

    #[test]
    fn a_failure_may_be_expected_and_a_success_then_not() {
        let expected = "server:\n  - caching # because\n  - ping\n";
        let verdicts: Vec<_> = revision(LOG, expected).into_iter().map(|(_, v)| v).collect();
        assert_eq!(verdicts, [Verdict::Stale, Verdict::Known, Verdict::Fail]);
    }

    #[test]
    fn one_scenario_passes_if_something_was_measured_and_nothing_failed() {
        assert_eq!(scenario("x\nPassed: 9/9, 0 failed, 0 warnings\n"), Verdict::Pass);
        assert_eq!(scenario("Passed: 8/9, 1 failed, 0 warnings"), Verdict::Fail);
        assert_eq!(scenario("Passed: 0/0, 0 failed, 0 warnings"), Verdict::Fail);
        assert_eq!(scenario("it crashed"), Verdict::Fail);
    }
}

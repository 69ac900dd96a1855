//! What sources and pages name: functions, tests, and words in backquotes.

/// The functions of a source file.
pub(super) fn functions(source: &str) -> impl Iterator<Item = &str> {
    source
        .split("fn ")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('(')?.0))
}

/// Those functions that a test runner runs.
pub(super) fn tests(source: &str) -> impl Iterator<Item = &str> {
    let mut marked = false;
    source.lines().filter_map(move |line| {
        let line = line.trim_start();
        marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let name = functions(line).next().filter(|_| marked)?;
        marked = false;
        Some(name)
    })
}

/// The words in backquotes.
pub(super) fn cited(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn a_test_is_a_function_that_is_marked_as_one() {
        let source = "fn helper() {}\n    #[test]\n    #[cfg(unix)]\n    fn one() { fn inner() {} }\n\
                      #[tokio::test(start_paused = true)]\nasync fn two(a: u8) {}\npub fn three() {}\n";
        assert_eq!(tests(source).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(
            functions(source).collect::<Vec<_>>(),
            ["helper", "one", "inner", "two", "three"]
        );
        assert_eq!(cited("`a` b `c`<br>`d`").collect::<Vec<_>>(), ["a", "c", "d"]);
    }
}

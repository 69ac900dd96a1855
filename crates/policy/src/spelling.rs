//! Names that rules give to arguments, and look-alikes of them. Some servers read names without regard to case (Go's decoder does), so
//! that a rule over `path` would not see what such a server takes from `PATH`.

use std::collections::HashMap;

/// Names of arguments, by where they stand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Names {
    /// Right in the arguments.
    pub(crate) top: Vec<String>,
    /// Somewhere below.
    pub(crate) below: Vec<String>,
}

/// The names of several rules, by what case makes no difference to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    top: Spelled,
    below: Spelled,
}

type Spelled = HashMap<String, Vec<String>>;

impl Spelling {
    /// Of the names of all rules that are judged together.
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n Names>) -> Self {
        let mut spelling = Self::default();
        for names in names {
            add(&mut spelling.top, &names.top);
            add(&mut spelling.below, &names.below);
        }
        spelling
    }

    /// Whether a key at this depth, 0 being right in the arguments, only looks like one that rules name.
    pub(crate) fn is_look_alike(&self, key: &str, depth: usize) -> bool {
        let spelled = if depth == 0 { &self.top } else { &self.below };
        if spelled.is_empty() {
            return false;
        }
        let known = spelled.get(&folded(key));
        known.is_some_and(|exact| !exact.iter().any(|exact| exact == key))
    }
}

fn add(spelled: &mut Spelled, names: &[String]) {
    for name in names {
        spelled.entry(folded(name)).or_default().push(name.clone());
    }
}

/// Without case; the long s and the sign of Kelvin become letters on the way.
fn folded(name: &str) -> String {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jr_01_look_alikes_are_known_where_their_name_stands() {
        let names = |top: &[&str], below: &[&str]| Names {
            top: top.iter().map(|name| (*name).to_owned()).collect(),
            below: below.iter().map(|name| (*name).to_owned()).collect(),
        };
        let all = [names(&["path", "task"], &["n"]), names(&["Path"], &[])];
        let spelling = Spelling::of(all.iter());
        for (key, depth, looks) in [
            ("path", 0, false),
            ("Path", 0, false),
            ("PATH", 0, true),
            ("ta\u{17f}k", 0, true),
            ("tas\u{212a}", 0, true),
            ("paths", 0, false),
            ("PATH", 1, false),
            ("n", 1, false),
            ("N", 1, true),
            ("N", 5, true),
            ("N", 0, false),
        ] {
            assert_eq!(spelling.is_look_alike(key, depth), looks, "{key} {depth}");
        }
        assert!(!Spelling::default().is_look_alike("x", 0));
    }
}

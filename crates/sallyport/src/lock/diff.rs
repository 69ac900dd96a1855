//! What differs between what is approved and what servers offer now.

use std::collections::BTreeMap;

use sallyport_mcp::catalogue::Item;
use serde::Serialize;
use serde_json::Value;

use super::definition::{Definition, Identity};
use super::file::Entry;

/// The most lines of two definitions that are compared line by line; longer ones are shown one after the other.
const MAX_LINES: usize = 2000;

/// One difference.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Difference {
    /// The server.
    pub(crate) server: String,
    /// The tool by its name there; absent where the server itself is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool: Option<String>,
    /// What differs.
    pub(crate) change: Change,
    /// What is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approved: Option<Side>,
    /// What the server says now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered: Option<Side>,
}

/// What differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// The server is somewhere else than it was when it was approved.
    Moved,
    /// The tool is not approved.
    New,
    /// The tool's definition is another one.
    Changed,
    /// The tool is approved, and not offered any more.
    Gone,
}

/// One side of a difference.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Side {
    /// The hash.
    pub(crate) sha256: String,
    /// What it is of: a definition, or where a server is.
    pub(crate) definition: Value,
}

impl From<&Identity> for Side {
    fn from(identity: &Identity) -> Self {
        Self {
            sha256: identity.sha256.clone(),
            definition: identity.reached.clone().into(),
        }
    }
}

/// The definitions of tools by their names.
#[must_use]
pub(crate) fn definitions(tools: &[Item]) -> BTreeMap<String, Definition> {
    let named = tools
        .iter()
        .map(|tool| (tool.key.to_string(), Definition::of(&tool.raw)));
    named.collect()
}

/// Compares a server with what is approved of it; nothing is where there is no entry.
#[must_use]
pub(crate) fn compare(
    server: &str,
    entry: Option<&Entry>,
    identity: &Identity,
    offered: &BTreeMap<String, Definition>,
) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut add = |tool: Option<&String>, change, approved, offered| {
        all.push(Difference {
            server: server.to_owned(),
            tool: tool.cloned(),
            change,
            approved,
            offered,
        });
    };
    if let Some(entry) = entry.filter(|entry| entry.identity.sha256 != identity.sha256) {
        add(
            None,
            Change::Moved,
            Some((&entry.identity).into()),
            Some(identity.into()),
        );
    }
    let none = BTreeMap::new();
    let approved = entry.map_or(&none, |entry| &entry.tools);
    for (name, definition) in offered {
        let now = Side {
            sha256: definition.sha256.clone(),
            definition: definition.text.clone(),
        };
        match approved.get(name) {
            None => add(Some(name), Change::New, None, Some(now)),
            Some(known) if known.sha256 != definition.sha256 => {
                let before = Side {
                    sha256: known.sha256.clone(),
                    definition: known.definition.clone(),
                };
                add(Some(name), Change::Changed, Some(before), Some(now));
            }
            Some(_) => {}
        }
    }
    for (name, known) in approved.iter().filter(|(name, _)| !offered.contains_key(*name)) {
        let before = Side {
            sha256: known.sha256.clone(),
            definition: known.definition.clone(),
        };
        add(Some(name), Change::Gone, Some(before), None);
    }
    all
}

impl Difference {
    /// For people: one line, and what was and is, line by line.
    #[must_use]
    pub(crate) fn words(&self) -> String {
        let (sign, what) = match self.change {
            Change::Moved => ('!', "is somewhere else"),
            Change::New => ('+', "is not approved"),
            Change::Changed => ('~', "has changed"),
            Change::Gone => ('-', "is not offered any more"),
        };
        let name = match &self.tool {
            Some(tool) => format!("{}/{tool}", self.server),
            None => self.server.clone(),
        };
        let mut out = format!("{sign} {name} {what}\n");
        let lines = |side: &Option<Side>| -> Vec<String> {
            let text = side.as_ref().map(|side| match &side.definition {
                Value::String(text) => text.clone(),
                other => serde_json::to_string_pretty(other).unwrap_or_default(),
            });
            text.iter().flat_map(|text| text.lines()).map(visible).collect()
        };
        if self.change != Change::Gone {
            for (mark, line) in line_by_line(&lines(&self.approved), &lines(&self.offered)) {
                out.push_str(&format!("    {mark} {line}\n"));
            }
        }
        out
    }
}

/// A line without anything that a terminal would obey or a person not see: such characters are written as their numbers.
fn visible(line: &str) -> String {
    let plain = |c: char| c == ' ' || c.is_alphanumeric() || c.is_ascii_graphic();
    let shown = line.chars().map(|c| {
        if plain(c) {
            c.to_string()
        } else {
            format!("\\u{{{:x}}}", u32::from(c))
        }
    });
    shown.collect()
}

/// The lines of both, those that are in one only with a mark; of long runs that both have, nothing.
fn line_by_line<'a>(before: &'a [String], after: &'a [String]) -> Vec<(char, &'a str)> {
    if before.len() > MAX_LINES || after.len() > MAX_LINES {
        let gone = before.iter().map(|line| ('-', line.as_str()));
        return gone
            .chain(after.iter().map(|line| ('+', line.as_str())))
            .collect();
    }
    // The longest common run of lines, from the end: `common[i][j]` is its length from there.
    let mut common = vec![vec![0usize; after.len() + 1]; before.len() + 1];
    let at = |common: &[Vec<usize>], i: usize, j: usize| {
        common
            .get(i)
            .and_then(|row| row.get(j))
            .copied()
            .unwrap_or_default()
    };
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            let length = if old == new {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = length;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut all = Vec::new();
    loop {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => (i, j) = (i + 1, j + 1),
            (Some(old), new) if new.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                all.push(('-', old.as_str()));
                i += 1;
            }
            (_, Some(new)) => {
                all.push(('+', new.as_str()));
                j += 1;
            }
            (_, None) => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::file::Approved;

    fn definition(description: &str) -> Definition {
        let tool = serde_json::json!({ "name": "t", "description": description, "inputSchema": {} });
        Definition::of(tool.to_string().as_bytes())
    }

    fn identity(sha256: &str) -> Identity {
        Identity {
            reached: "https://h".to_owned(),
            sha256: sha256.to_owned(),
        }
    }

    #[test]
    fn each_kind_of_difference_is_found_and_nothing_else() {
        let approve = |name: &str, text: &str| (name.to_owned(), Approved::from(definition(text)));
        let entry = Entry {
            approval: 1,
            identity: identity("a"),
            tools: [
                approve("same", "s"),
                approve("changed", "c"),
                approve("gone", "g"),
            ]
            .into(),
        };
        let offer = |name: &str, text: &str| (name.to_owned(), definition(text));
        let offered = [offer("same", "s"), offer("changed", "C"), offer("new", "n")].into();
        let kinds = |entry, at| {
            let all = compare("s", entry, &identity(at), &offered);
            let kinds = all
                .iter()
                .map(|one| (one.tool.clone().unwrap_or_default(), one.change));
            kinds.collect::<Vec<_>>()
        };
        let mut expected = vec![
            ("changed".to_owned(), Change::Changed),
            ("new".to_owned(), Change::New),
            ("gone".to_owned(), Change::Gone),
        ];
        assert_eq!(kinds(Some(&entry), "a"), expected);
        expected.insert(0, (String::new(), Change::Moved));
        assert_eq!(kinds(Some(&entry), "b"), expected);
        assert!(kinds(None, "a").iter().all(|(_, change)| *change == Change::New));
    }

    #[test]
    fn td_05_what_hides_in_a_text_is_seen() {
        let before = Side {
            sha256: String::new(),
            definition: definition("Adds.").text,
        };
        let after = Side {
            definition: definition("Adds.\u{e0041}\u{202e}\u{1b}[2J").text,
            ..before.clone()
        };
        let difference = Difference {
            server: "s".to_owned(),
            tool: Some("t".to_owned()),
            change: Change::Changed,
            approved: Some(before),
            offered: Some(after),
        };
        assert_eq!(
            difference.words(),
            "~ s/t has changed\n    -   \"description\": \"Adds.\",\n    +   \"description\": \"Adds.\\u{e0041}\\u{202e}\\u001b[2J\",\n"
        );
    }
}

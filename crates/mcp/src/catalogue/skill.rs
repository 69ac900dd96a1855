//! Skills: directories of files, each with a manifest (extension `io.modelcontextprotocol/skills`).

use crate::json::{Object, decode, elements, is_object};

/// The most files of one skill (Skills extension, limits).
pub const MAX_SKILL_FILES: usize = 512;

/// The file by which a skill is called.
pub const SKILL_MD: &str = "SKILL.md";

/// The files that a skill says it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SkillFiles {
    /// These URIs.
    Listed(Vec<Box<str>>),
    /// Not said: its content changes.
    Dynamic,
}

impl SkillFiles {
    /// Reads the raw `resources` member of a skill. `None` if it is neither a manifest nor `"dynamic"`.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        if decode(raw).as_deref() == Some("dynamic") {
            return Some(Self::Dynamic);
        }
        let uris = elements(raw).ok()?.into_iter().map(|element| {
            let file = Object::read(element.value).ok()?;
            file.text("uri").map(Box::from)
        });
        uris.collect::<Option<_>>().map(Self::Listed)
    }
}

/// The directory of a skill, with its slash: its URI without `SKILL.md`. `None` if the URI has another end.
#[must_use]
pub fn skill_root(uri: &str) -> Option<&str> {
    let root = uri.strip_suffix(SKILL_MD)?;
    root.ends_with('/').then_some(root)
}

/// Whether an entry is a skill: named as its directory is, with a manifest that holds `SKILL.md` and nothing outside of the
/// directory.
pub(super) fn is_entry(uri: &str, entry: &Object<'_>) -> bool {
    let Some(root) = skill_root(uri).filter(|root| !root.contains(['?', '#'])) else {
        return false;
    };
    let name = entry
        .get("frontmatter")
        .filter(|raw| is_object(raw))
        .and_then(|raw| Object::read(raw).ok()?.text("name").map(String::from));
    let named = root.trim_end_matches('/').rsplit('/').next();
    if name.is_none() || name.as_deref() != named {
        return false;
    }
    match entry.get("resources").and_then(SkillFiles::read) {
        Some(SkillFiles::Dynamic) => true,
        Some(SkillFiles::Listed(files)) => {
            files.len() <= MAX_SKILL_FILES
                && files.iter().any(|file| **file == *uri)
                && files.iter().all(|file| is_below(root, file))
        }
        None => false,
    }
}

/// Whether a file lies in a directory, and does not climb out of it again.
fn is_below(root: &str, file: &str) -> bool {
    let rest = file.strip_prefix(root);
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest
                .to_ascii_lowercase()
                .replace("%2e", ".")
                .split('/')
                .any(|part| part == "..")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_skill(uri: &str, rest: &str) -> bool {
        let raw = format!(r#"{{"uri":"{uri}",{rest}}}"#);
        is_entry(uri, &Object::read(raw.as_bytes()).expect("an object"))
    }

    fn manifest(files: &[&str]) -> String {
        let files: Vec<_> = files.iter().map(|uri| format!(r#"{{"uri":"{uri}"}}"#)).collect();
        format!(
            r#""frontmatter":{{"name":"bill","description":"d"}},"resources":[{}]"#,
            files.join(",")
        )
    }

    #[test]
    fn a_skill_is_its_directory() {
        let uri = "skill://acme/bill/SKILL.md";
        assert!(is_skill(uri, &manifest(&[uri, "skill://acme/bill/a/b.md"])));
        assert!(is_skill(
            uri,
            r#""frontmatter":{"name":"bill"},"resources":"dynamic""#
        ));
        for (uri, rest) in [
            (
                "skill://acme/bill/skill.md",
                manifest(&["skill://acme/bill/skill.md"]),
            ),
            (
                "skill://acme/pay/SKILL.md",
                manifest(&["skill://acme/pay/SKILL.md"]),
            ),
            (uri, manifest(&["skill://acme/bill/a.md"])),
            (uri, manifest(&[uri, "skill://acme/other/a.md"])),
            (uri, manifest(&[uri, "skill://acme/bill/../other/a.md"])),
            (uri, manifest(&[uri, "skill://acme/bill/%2E%2e/a.md"])),
            (
                uri,
                r#""frontmatter":{"name":"bill"},"resources":"all""#.to_owned(),
            ),
            (uri, r#""frontmatter":{"name":"bill"},"resources":[1]"#.to_owned()),
            (uri, r#""resources":"dynamic""#.to_owned()),
        ] {
            assert!(!is_skill(uri, &rest), "{uri} {rest}");
        }
    }

    #[test]
    fn a_manifest_has_at_most_512_files() {
        let uri = "skill://bill/SKILL.md";
        let files = |count: usize| {
            let more = (1..count).map(|n| format!("skill://bill/{n}"));
            let all: Vec<String> = std::iter::once(uri.to_owned()).chain(more).collect();
            manifest(&all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert!(is_skill(uri, &files(MAX_SKILL_FILES)));
        assert!(!is_skill(uri, &files(MAX_SKILL_FILES + 1)));
    }
}

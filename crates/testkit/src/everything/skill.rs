//! The skills (extension `io.modelcontextprotocol/skills`, SEP-2640): two with a manifest, one that changes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::ErrorData;
use rmcp::model::{
    DIRECTORY_MIME_TYPE, Resource, ResourceContents, Skill, SkillFrontmatter, SkillResource, SkillResources,
};
use serde_json::json;

use super::{answer, input};

/// A skill and its files: paths below its root, types and contents.
struct Source {
    root: &'static str,
    name: &'static str,
    description: &'static str,
    files: &'static [(&'static str, &'static str, &'static str)],
    dynamic: bool,
}

/// `image/png` contents stand in base64, as they are sent.
const SOURCES: [Source; 3] = [
    Source {
        root: "skill://test-greeting",
        name: "test-greeting",
        description: "Greets people in their own language.",
        files: &[
            (
                "references/phrases.md",
                "text/markdown",
                "# Phrases\n\n- Gr\u{fc}\u{df} Gott\n- Bonjour\n",
            ),
            ("references/formal/letters.md", "text/markdown", "# Letters\n"),
        ],
        dynamic: false,
    },
    Source {
        root: "skill://office/test-report",
        name: "test-report",
        description: "Writes a report with a picture.",
        files: &[("assets/dot.png", "image/png", answer::PNG)],
        dynamic: false,
    },
    Source {
        root: "skill://test-weather",
        name: "test-weather",
        description: "Knows the weather, which changes.",
        files: &[],
        dynamic: true,
    },
];

impl Source {
    fn manual(&self) -> String {
        format!("{}/SKILL.md", self.root)
    }

    fn text(&self) -> String {
        let (name, description) = (self.name, self.description);
        format!("---\nname: {name}\ndescription: {description}\n---\n\n# {name}\n\nFollow the references.\n")
    }

    /// URI, type and text (or base64) of each file, the manual first.
    fn files(&self) -> impl Iterator<Item = (String, &'static str, String)> {
        let manual = (self.manual(), "text/markdown", self.text());
        let others = self
            .files
            .iter()
            .map(|(path, mime, text)| (format!("{}/{path}", self.root), *mime, (*text).to_owned()));
        std::iter::once(manual).chain(others)
    }

    fn skill(&self) -> Skill {
        let frontmatter = SkillFrontmatter::new(self.name, self.description);
        let resources = if self.dynamic {
            SkillResources::Dynamic
        } else {
            let entries = self.files().map(|(uri, mime, text)| {
                let bytes = if mime == "image/png" {
                    STANDARD.decode(&text).unwrap_or_default()
                } else {
                    text.into_bytes()
                };
                SkillResource::from_bytes(uri, &bytes)
            });
            SkillResources::Files(entries.collect())
        };
        Skill::new(self.manual(), frontmatter, resources)
    }
}

/// What `skills/list` lists.
pub(super) fn all() -> Vec<Skill> {
    SOURCES.iter().map(Source::skill).collect()
}

/// The skill whose manual is at `uri`.
///
/// # Errors
/// -32602 when there is none.
pub(super) fn get(uri: &str) -> Result<Skill, ErrorData> {
    let source = SOURCES.iter().find(|source| source.manual() == uri);
    source
        .map(Source::skill)
        .ok_or_else(|| ErrorData::invalid_params("no such skill", Some(json!({ "uri": uri }))))
}

/// The manuals, for `resources/list`.
pub(super) fn manuals() -> impl Iterator<Item = Resource> {
    SOURCES.iter().map(|source| {
        Resource::new(source.manual(), source.name)
            .with_description(source.description)
            .with_mime_type("text/markdown")
    })
}

/// The file `uri` of a skill.
pub(super) fn read(uri: &str) -> Option<ResourceContents> {
    let mut files = SOURCES.iter().flat_map(Source::files);
    let (uri, mime, text) = files.find(|(candidate, ..)| candidate == uri)?;
    Some(if mime == "image/png" {
        ResourceContents::blob(text, uri).with_mime_type(mime)
    } else {
        ResourceContents::text(text, uri).with_mime_type(mime)
    })
}

/// What is directly below the directory `uri`.
///
/// # Errors
/// -32602 for what is no directory of a skill.
pub(super) fn children(uri: &str) -> Result<Vec<Resource>, ErrorData> {
    let below = format!("{uri}/");
    let mut found: Vec<Resource> = Vec::new();
    let inside = uri.starts_with("skill://");
    for (file, mime, _) in SOURCES.iter().flat_map(Source::files) {
        let Some(rest) = file.strip_prefix(&below).filter(|_| inside) else {
            continue;
        };
        let (name, mime) = match rest.split_once('/') {
            Some((directory, _)) => (directory, DIRECTORY_MIME_TYPE),
            None => (rest, mime),
        };
        let child = format!("{below}{name}");
        if !found.iter().any(|known| known.uri == child) {
            let resource = json!({ "uri": child, "name": name, "mimeType": mime });
            found.push(input::typed(resource)?);
        }
    }
    if found.is_empty() {
        return Err(ErrorData::invalid_params(
            "no such directory",
            Some(json!({ "uri": uri })),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_list_what_is_directly_below() {
        let names = |uri| {
            let children = children(uri).unwrap();
            children.into_iter().map(|child| child.name).collect::<Vec<_>>()
        };
        assert_eq!(names("skill://test-greeting"), ["SKILL.md", "references"]);
        assert_eq!(
            names("skill://test-greeting/references"),
            ["phrases.md", "formal"]
        );
        assert!(children("skill://test-greeting/SKILL.md").is_err());
        assert!(children("skill:/").is_err());
    }

    #[test]
    fn manifests_are_valid() {
        rmcp::model::validate_skills(&all()).unwrap();
    }
}

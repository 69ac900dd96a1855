//! Which items are taken over from a server.

use thiserror::Error;

use super::ListKind;
use crate::json::{Object, decode, is_object};

/// The largest item, in bytes.
pub const MAX_ITEM_BYTES: usize = 256 << 10;

/// The most JSON objects in one item: a bound on its schema.
pub const MAX_ITEM_OBJECTS: usize = 8192;

/// The longest name, in bytes (MCP, Tool Names).
const MAX_NAME: usize = 128;

/// The longest URI or URI template, in bytes.
const MAX_URI: usize = 8192;

/// Why an item is not taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ItemError {
    /// Not an object, or one in which a member that decides stands twice.
    #[error("not a well-formed item")]
    Malformed,
    /// A name with characters that are not allowed, empty or too long.
    #[error(
        "the name is empty, longer than 128 characters, or has characters other than letters, digits, `_`, `-`, `.`"
    )]
    Name,
    /// A URI without scheme, with blanks or control characters, or too long.
    #[error("the URI has no scheme, has blanks or control characters, or is too long")]
    Uri,
    /// A skill whose URI does not end in its name and `SKILL.md`, or whose manifest is not one.
    #[error("the skill's URI, frontmatter or manifest breaks the rules of the skills extension")]
    Skill,
    /// No input schema.
    #[error("the tool has no input schema")]
    Schema,
    /// Larger than the limits.
    #[error("the item is too large")]
    TooLarge,
    /// An earlier item has the same name.
    #[error("the name is there already")]
    Duplicate,
    /// The list is full.
    #[error("the list is longer than the limit")]
    TooMany,
    /// An `x-mcp-header` annotation is invalid.
    #[error("an `x-mcp-header` annotation is invalid")]
    Annotation,
}

/// Checks one item and gives its key.
pub(super) fn key_of(kind: ListKind, raw: &[u8]) -> Result<Box<str>, ItemError> {
    if raw.len() > MAX_ITEM_BYTES || memchr::memchr_iter(b'{', raw).count() > MAX_ITEM_OBJECTS {
        return Err(ItemError::TooLarge);
    }
    let object = Object::read(raw).map_err(|_| ItemError::Malformed)?;
    if object.repeated_key().is_some() {
        return Err(ItemError::Malformed);
    }
    let key = object
        .get(kind.key())
        .and_then(decode)
        .ok_or(ItemError::Malformed)?;
    match kind {
        ListKind::Tools if !is_tool_name(&key) => return Err(ItemError::Name),
        ListKind::Tools if !object.get("inputSchema").is_some_and(is_object) => {
            return Err(ItemError::Schema);
        }
        ListKind::Prompts if !is_prompt_name(&key) => return Err(ItemError::Name),
        ListKind::Resources | ListKind::Templates | ListKind::Skills if !is_uri_like(&key) => {
            return Err(ItemError::Uri);
        }
        ListKind::Skills if !super::skill::is_entry(&key, &object) => return Err(ItemError::Skill),
        _ => {}
    }
    Ok(key.into())
}

/// Whether a tool may be called so: 1 to 128 of `A-Z a-z 0-9 _ - .` (MCP, Tool Names). No two such names look alike.
#[must_use]
pub fn is_tool_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// For prompts the protocol sets no alphabet: printable ASCII without blanks at the ends will do.
fn is_prompt_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| matches!(b, 0x20..=0x7e))
        && name.trim() == name
}

/// A scheme (RFC 3986 §3.1) and something after it; templates have their braces besides.
fn is_uri_like(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let in_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let invisible = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    uri.len() <= MAX_URI
        && scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && !rest.chars().any(invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn td_04_confusable_names_are_refused() {
        for good in ["a", "get_user", "A-b.C_9", &"x".repeat(128)] {
            assert!(is_tool_name(good), "{good}");
        }
        for bad in [
            "",
            "se\u{430}rch",
            "search\u{200b}",
            "\u{202e}hcraes",
            "search ",
            " search",
            "a/b",
            "a\0",
            "ſearch",
            &"x".repeat(129),
        ] {
            assert!(!is_tool_name(bad), "{bad:?}");
            assert!(!is_prompt_name(bad) || bad == "a/b", "{bad:?}");
        }
    }

    #[test]
    fn uris_have_a_scheme_and_nothing_hidden() {
        for good in [
            "file:///a",
            "urn:x",
            "git+https://x",
            "db://{table}/{id}",
            "ui://app/é",
        ] {
            assert!(is_uri_like(good), "{good}");
        }
        let long = format!("x:{}", "a".repeat(MAX_URI - 1));
        for bad in [
            "",
            "file",
            ":a",
            "a:",
            "1a:x",
            "a b:c",
            "a:b c",
            "a:\n",
            "a:\u{202e}x",
            "a:\u{200b}",
            &long,
        ] {
            assert!(!is_uri_like(bad), "{bad:?}");
        }
        assert!(is_uri_like(&long[..MAX_URI]));
    }
}

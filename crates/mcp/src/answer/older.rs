//! What clients of older revisions cannot read, said in a form that they can.

use std::borrow::Cow;

use memchr::memmem;

use crate::json::{Object, elements, is_object, quote};
use crate::method::Method;
use crate::revision::{Era, Revision};
use crate::splice::{Edits, ObjectEdit};

/// What a result may hold that its reader does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unknown {
    /// `resource_link` blocks (since 2025-06-18).
    links: bool,
    /// `audio` blocks (since 2025-03-26).
    audio: bool,
    /// `structuredContent` that is no object (since 2026-07-28).
    structured: bool,
}

impl Unknown {
    /// What the revision does not know, of what the message may hold: told by a search.
    fn of(message: &[u8], method: Method, from: Era, to: Revision) -> Self {
        let has = |needle: &[u8]| memmem::find(message, needle).is_some();
        Self {
            links: to < Revision::V2025_06_18 && has(b"resource_link"),
            audio: to < Revision::V2025_03_26 && has(b"audio"),
            structured: from == Era::Modern && method == Method::ToolsCall && has(b"structuredContent"),
        }
    }

    fn any(self) -> bool {
        self.links || self.audio || self.structured
    }
}

/// The response of a server of the era `from` to `tools/call` or `prompts/get`, for a legacy client of the revision `to`:
/// blocks that it does not know become text, and structured content that is no object is left to the text beside it.
/// Borrowed if nothing changes.
#[must_use]
pub fn to_older(message: &[u8], method: Method, from: Era, to: Revision) -> Cow<'_, [u8]> {
    let unknown = Unknown::of(message, method, from, to);
    if !unknown.any() {
        return Cow::Borrowed(message);
    }
    let Ok(object) = Object::read(message) else {
        return Cow::Borrowed(message);
    };
    let member = object
        .members()
        .iter()
        .find(|m| m.is("result") && is_object(m.value));
    let Some(member) = member else {
        return Cow::Borrowed(message);
    };
    let mut result = Cow::Borrowed(member.value);
    if unknown.structured
        && let Some(changed) = unstructured(member.value)
    {
        result = Cow::Owned(changed);
    }
    if (unknown.links || unknown.audio)
        && let Some(changed) = in_words(&result, method, unknown)
    {
        result = Cow::Owned(changed);
    }
    match result {
        Cow::Borrowed(_) => Cow::Borrowed(message),
        Cow::Owned(result) => {
            let mut edits = Edits::new();
            edits.replace(member.value_span, result);
            Cow::Owned(edits.apply(message))
        }
    }
}

/// A tool as legacy clients may be shown it: until 2025-11-25 an `outputSchema` is one of an object. Borrowed if it is.
#[must_use]
pub fn tool_for_legacy(raw: &[u8]) -> Cow<'_, [u8]> {
    if memmem::find(raw, b"outputSchema").is_none() {
        return Cow::Borrowed(raw);
    }
    let Ok(mut edit) = ObjectEdit::new(raw) else {
        return Cow::Borrowed(raw);
    };
    let schema = edit.object().get("outputSchema");
    let of_object = |schema| Object::read(schema).is_ok_and(|s| s.text("type").as_deref() == Some("object"));
    if schema.is_none_or(of_object) {
        return Cow::Borrowed(raw);
    }
    edit.remove("outputSchema");
    Cow::Owned(edit.finish())
}

/// The result without structured content that is no object; what it said stays as text.
fn unstructured(result: &[u8]) -> Option<Vec<u8>> {
    let mut edit = ObjectEdit::new(result).ok()?;
    let structured = edit.object().get("structuredContent")?;
    if is_object(structured) {
        return None;
    }
    let content = edit.object().get("content");
    let has_content = content.is_some_and(|raw| elements(raw).is_ok_and(|blocks| !blocks.is_empty()));
    edit.remove("structuredContent");
    if !has_content {
        let block = text_block(&String::from_utf8_lossy(structured), None);
        edit.set("content", [b"[", block.as_slice(), b"]"].concat());
    }
    Some(edit.finish())
}

/// The result with text in the place of the blocks that are unknown; `None` if it has none of them.
fn in_words(result: &[u8], method: Method, unknown: Unknown) -> Option<Vec<u8>> {
    let list = match method {
        Method::ToolsCall => "content",
        Method::PromptsGet => "messages",
        _ => return None,
    };
    let object = Object::read(result).ok()?;
    let list = object.members().iter().find(|m| m.is(list))?;
    let base = list.value_span.start();
    let mut edits = Edits::new();
    for element in elements(list.value).ok()? {
        let at = element.span.at_base(base);
        if method == Method::ToolsCall {
            if let Some(text) = said(element.value, unknown) {
                edits.replace(at, text);
            }
            continue;
        }
        let Ok(message) = Object::read(element.value) else {
            continue;
        };
        let block = message.members().iter().find(|m| m.is("content"));
        if let Some(block) = block
            && let Some(text) = said(block.value, unknown)
        {
            edits.replace(block.value_span.at_base(at.start()), text);
        }
    }
    (!edits.is_empty()).then(|| edits.apply(result))
}

/// A block in words, if it is one of the unknown.
fn said(block: &[u8], unknown: Unknown) -> Option<Vec<u8>> {
    let block = Object::read(block).ok()?;
    let text = match block.text("type").as_deref() {
        Some("resource_link") if unknown.links => {
            let uri = block.text("uri")?;
            let name = block.text("title").or_else(|| block.text("name"));
            let name = name.map_or_else(String::new, |name| format!("{name}: "));
            let description = block.text("description");
            let description = description.map_or_else(String::new, |text| format!("\n{text}"));
            format!("{name}{uri}{description}")
        }
        Some("audio") if unknown.audio => {
            let kind = block.text("mimeType").unwrap_or(Cow::Borrowed("audio"));
            format!("[A recording ({kind}) that this revision of the protocol cannot carry]")
        }
        _ => return None,
    };
    Some(text_block(&text, block.get("annotations")))
}

fn text_block(text: &str, annotations: Option<&[u8]>) -> Vec<u8> {
    let mut out = b"{\"type\":\"text\",\"text\":".to_vec();
    out.extend_from_slice(&quote(text));
    if let Some(annotations) = annotations {
        out.extend_from_slice(b",\"annotations\":");
        out.extend_from_slice(annotations);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = r#"{"type":"resource_link","uri":"db:1","name":"n","title":"One","description":"d","annotations":{"priority":1.0}}"#;
    const LINK_TEXT: &str = r#"{"type":"text","text":"One: db:1\nd","annotations":{"priority":1.0}}"#;
    const AUDIO: &str = r#"{"type":"audio","data":"AAAA","mimeType":"audio/wav"}"#;

    fn older(message: &str, method: Method, to: Revision) -> String {
        let changed = to_older(message.as_bytes(), method, Era::Modern, to);
        String::from_utf8(changed.into_owned()).unwrap()
    }

    #[test]
    fn links_become_text_before_2025_06_18() {
        let tool = format!(r#"{{"id":1,"result":{{"content":[ 5,{LINK},{{"type":"text","text":"t"}}]}}}}"#);
        let expected =
            format!(r#"{{"id":1,"result":{{"content":[ 5,{LINK_TEXT},{{"type":"text","text":"t"}}]}}}}"#);
        let prompt = format!(r#"{{"id":1,"result":{{"messages":[{{"role":"user","content":{LINK}}}]}}}}"#);
        let told = format!(r#"{{"id":1,"result":{{"messages":[{{"role":"user","content":{LINK_TEXT}}}]}}}}"#);
        for (to, tool_out, prompt_out) in [
            (Revision::V2024_11_05, &expected, &told),
            (Revision::V2025_03_26, &expected, &told),
            (Revision::V2025_06_18, &tool, &prompt),
            (Revision::V2025_11_25, &tool, &prompt),
        ] {
            assert_eq!(older(&tool, Method::ToolsCall, to), *tool_out, "{to:?}");
            assert_eq!(older(&prompt, Method::PromptsGet, to), *prompt_out, "{to:?}");
        }
    }

    #[test]
    fn audio_becomes_a_note_before_2025_03_26() {
        let message = format!(r#"{{"id":1,"result":{{"content":[{AUDIO}]}}}}"#);
        let note = older(&message, Method::ToolsCall, Revision::V2024_11_05);
        assert!(
            note.contains(r#"{"type":"text","text":"[A recording (audio/wav)"#),
            "{note}"
        );
        assert!(!note.contains("AAAA"));
        assert_eq!(older(&message, Method::ToolsCall, Revision::V2025_03_26), message);
    }

    #[test]
    fn structured_content_that_is_no_object_is_left_to_the_text() {
        for (before, after) in [
            (
                r#"{"id":1,"result":{"structuredContent":[1.0],"content":[{"type":"text","text":"one"}]}}"#,
                r#"{"id":1,"result":{"content":[{"type":"text","text":"one"}]}}"#,
            ),
            (
                r#"{"id":1,"result":{"content":[],"structuredContent":"x"}}"#,
                r#"{"id":1,"result":{"content":[{"type":"text","text":"\"x\""}]}}"#,
            ),
            (
                r#"{"id":1,"result":{"structuredContent":null}}"#,
                r#"{"id":1,"result":{"content":[{"type":"text","text":"null"}]}}"#,
            ),
        ] {
            assert_eq!(older(before, Method::ToolsCall, Revision::V2025_11_25), after);
            let same = to_older(
                before.as_bytes(),
                Method::ToolsCall,
                Era::Legacy,
                Revision::V2025_11_25,
            );
            assert!(matches!(same, Cow::Borrowed(_)), "a legacy server's own affair");
        }
        let object = br#"{"id":1,"result":{"content":[],"structuredContent":{"a":1}}}"#;
        let same = to_older(object, Method::ToolsCall, Era::Modern, Revision::V2024_11_05);
        assert!(matches!(same, Cow::Borrowed(_)));
    }

    #[test]
    fn words_in_the_text_are_no_blocks() {
        for message in [
            r#"{"id":1,"result":{"content":[{"type":"text","text":"resource_link audio structuredContent"}]}}"#,
            r#"{"id":1,"error":{"code":1,"message":"resource_link"}}"#,
            r#"{"id":1,"result":{"content":"resource_link"}}"#,
            "resource_link",
        ] {
            let same = to_older(
                message.as_bytes(),
                Method::ToolsCall,
                Era::Modern,
                Revision::V2024_11_05,
            );
            assert!(matches!(same, Cow::Borrowed(_)), "{message}");
        }
    }

    #[test]
    fn tools_with_schemas_of_objects_stay_as_they_are() {
        for (before, after) in [
            (r#"{"name":"a"}"#, r#"{"name":"a"}"#),
            (
                r#"{"name":"a","outputSchema":{"type":"object"}}"#,
                r#"{"name":"a","outputSchema":{"type":"object"}}"#,
            ),
            (
                r#"{"name":"a","outputSchema":{"type":"array"}}"#,
                r#"{"name":"a"}"#,
            ),
            (
                r#"{"name":"a","outputSchema":true,"x":1}"#,
                r#"{"name":"a","x":1}"#,
            ),
            (r#"{"name":"a","outputSchema":{"oneOf":[]}}"#, r#"{"name":"a"}"#),
            (
                r#"{"name":"a","description":"outputSchema"}"#,
                r#"{"name":"a","description":"outputSchema"}"#,
            ),
        ] {
            assert_eq!(tool_for_legacy(before.as_bytes()), after.as_bytes(), "{before}");
        }
    }
}

//! An event as the text that is kept and hashed.

use std::fmt::Write as _;

use sallyport_core::ClientId;
use sallyport_core::audit::Event;

/// The longest client id that is kept, in bytes: a metadata document's URL.
const MAX_CLIENT: usize = 2048;

/// One line of JSON in visible ASCII: whatever a name contains — line breaks, terminal codes, letters that turn the
/// reading direction — stands there escaped (AL-06, CWE-117).
pub(super) fn encode(mut event: Event) -> Option<String> {
    if let Some(target) = event.target.take() {
        event = event.on(&target);
    }
    if let Some(reason) = event.reason.take() {
        event = event.because(reason);
    }
    if let Some(client) = event
        .client
        .as_ref()
        .map(ClientId::as_str)
        .filter(|id| id.len() > MAX_CLIENT)
    {
        let cut = client
            .get(..client.floor_char_boundary(MAX_CLIENT))
            .unwrap_or_default();
        event.client = Some(ClientId::new(cut));
    }
    serde_json::to_string(&event).ok().map(visible)
}

/// Escapes what JSON allows in strings as it is but what is not visible ASCII; outside of strings there is none of it.
fn visible(json: String) -> String {
    if json.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 32);
    for c in json.chars() {
        if (' '..='~').contains(&c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing into a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::audit::{Action, Outcome};

    #[test]
    fn al_06_bodies_are_one_visible_line_that_reads_back() {
        for nasty in [
            "a\nb\r\n{\"seq\":1}",
            "\u{1b}[2J\u{7f}\u{9b}",
            "\u{202e}txt.exe\u{2066}",
            "😀\u{0}é",
            "\"\\",
        ] {
            let event = Event::new(Action::ToolCall, Outcome::Denied)
                .on(nasty)
                .because(nasty.to_owned());
            let body = encode(event.clone()).unwrap();
            assert!(body.bytes().all(|b| (0x20..0x7f).contains(&b)), "{body}");
            assert_eq!(serde_json::from_str::<Event>(&body).unwrap(), event);
        }
    }

    #[test]
    fn al_06_texts_that_were_set_directly_are_cut_too() {
        let mut event = Event::new(Action::Denied, Outcome::Denied);
        event.target = Some("x".repeat(1 << 20).into());
        event.reason = Some("y".repeat(1 << 20).into());
        event.client = Some(ClientId::new("z".repeat(1 << 20)));
        let kept: Event = serde_json::from_str(&encode(event).unwrap()).unwrap();
        assert_eq!(kept.target.map(|t| t.len()), Some(Event::MAX_TEXT));
        assert_eq!(kept.reason.map(|t| t.len()), Some(Event::MAX_TEXT));
        assert_eq!(kept.client.map(|c| c.as_str().len()), Some(MAX_CLIENT));
    }
}

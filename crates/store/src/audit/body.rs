//! An event as the text that is kept and hashed.

use std::io::Write as _;

use sallyport_core::audit::Event;
use sallyport_core::{ClientId, GrantId, ProfileSlug, ServerName, UserId};

/// The longest client id that is kept, in bytes: a metadata document's URL.
const MAX_CLIENT: usize = 2048;

/// Longer than the record of a call usually is, in bytes.
const USUAL: usize = 512;

/// One line of JSON in visible ASCII: whatever a name contains — line breaks, terminal codes, letters that turn the
/// reading direction — stands there escaped (AL-06, CWE-117). Written by hand, because every call has two.
pub(super) fn encode(event: &Event) -> Option<String> {
    let mut out = Vec::with_capacity(USUAL);
    out.extend_from_slice(b"{\"action\":");
    serde_json::to_writer(&mut out, &event.action).ok()?;
    out.extend_from_slice(b",\"outcome\":");
    serde_json::to_writer(&mut out, &event.outcome).ok()?;
    let mut member = |key: &str, value: Option<&str>, max: usize| {
        if let Some(value) = value {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":\"");
            visible(cut(value, max), &mut out);
            out.push(b'"');
        }
    };
    member("user", event.user.as_ref().map(UserId::as_str), usize::MAX);
    member("client", event.client.as_ref().map(ClientId::as_str), MAX_CLIENT);
    member("grant", event.grant.as_ref().map(GrantId::as_str), usize::MAX);
    member(
        "profile",
        event.profile.as_ref().map(ProfileSlug::as_str),
        usize::MAX,
    );
    member(
        "server",
        event.server.as_ref().map(ServerName::as_str),
        usize::MAX,
    );
    member("target", event.target.as_deref(), Event::MAX_TEXT);
    member("reason", event.reason.as_deref(), Event::MAX_TEXT);
    // Writing into a Vec cannot fail.
    if let Some(request) = event.request {
        let _ = write!(out, ",\"request\":{}", request.0);
    }
    if let Some(peer) = event.peer {
        let _ = write!(out, ",\"peer\":\"{peer}\"");
    }
    out.push(b'}');
    String::from_utf8(out).ok()
}

fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Writes the inside of a JSON string in visible ASCII.
fn visible(text: &str, out: &mut Vec<u8>) {
    let plain = |b: u8| (0x20..0x7f).contains(&b) & (b != b'"') & (b != b'\\');
    // Without a way out of the loop, many bytes are looked at in one step.
    if text.bytes().fold(true, |all, b| all & plain(b)) {
        return out.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        match u8::try_from(c) {
            Ok(b) if plain(b) => out.push(b),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::RequestId;
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
            let body = encode(&event).unwrap();
            assert!(body.bytes().all(|b| (0x20..0x7f).contains(&b)), "{body}");
            assert_eq!(serde_json::from_str::<Event>(&body).unwrap(), event);
        }
    }

    #[test]
    fn every_member_reads_back_as_it_was() {
        let mut event = Event::new(Action::ToolCall, Outcome::Started)
            .on("echo")
            .because("rule");
        event.user = Some(UserId::new("u"));
        event.client = Some(ClientId::new("https://client.example/\"quoted\""));
        event.grant = Some(GrantId::new("g"));
        event.profile = ProfileSlug::parse("default").ok();
        event.server = ServerName::parse("docs").ok();
        event.request = Some(RequestId(u64::MAX));
        event.peer = Some("2001:db8::1".parse().unwrap());
        let body = encode(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&body).unwrap(), event);
        let members = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(members(&body), members(&serde_json::to_string(&event).unwrap()));
    }

    #[test]
    fn al_06_texts_that_were_set_directly_are_cut_too() {
        let mut event = Event::new(Action::Denied, Outcome::Denied);
        event.target = Some("x".repeat(1 << 20).into());
        event.reason = Some("y".repeat(1 << 20).into());
        event.client = Some(ClientId::new("z".repeat(1 << 20)));
        let kept: Event = serde_json::from_str(&encode(&event).unwrap()).unwrap();
        assert_eq!(kept.target.map(|t| t.len()), Some(Event::MAX_TEXT));
        assert_eq!(kept.reason.map(|t| t.len()), Some(Event::MAX_TEXT));
        assert_eq!(kept.client.map(|c| c.as_str().len()), Some(MAX_CLIENT));
    }
}

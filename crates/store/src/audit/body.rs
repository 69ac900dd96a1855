//! An event as the text that is kept and hashed.

use std::io::Write as _;
use std::net::IpAddr;

use sallyport_core::audit::{Entry, Event};
use sallyport_core::{ClientId, GrantId, ProfileSlug, ServerName, UserId};
use serde::Serialize;

/// The longest client id that is kept, in bytes: a metadata document's URL.
const MAX_CLIENT: usize = 2048;

/// The bytes that the record of a call has as a rule, at most.
const USUAL: usize = 512;

/// One line of JSON in visible ASCII at the end of `out`: whatever a name contains — line breaks, terminal codes, letters
/// that turn the reading direction — stands there escaped (AL-06, CWE-117). Written by hand, because every call has two.
pub(super) fn encode(entry: &Entry<'_>, out: &mut Vec<u8>) {
    // Room for the whole, as a rule, so that the pieces need not ask.
    out.reserve(USUAL);
    out.extend_from_slice(b"{\"action\":");
    json(&entry.action, out);
    out.extend_from_slice(b",\"outcome\":");
    json(&entry.outcome, out);
    let mut member = |key: &[u8], value: Option<&str>, max: usize| {
        if let Some(value) = value {
            out.extend_from_slice(key);
            visible(cut(value, max), out);
            out.push(b'"');
        }
    };
    let whole = usize::MAX;
    member(b",\"user\":\"", entry.user.map(UserId::as_str), whole);
    member(b",\"client\":\"", entry.client.map(ClientId::as_str), MAX_CLIENT);
    member(b",\"grant\":\"", entry.grant.map(GrantId::as_str), whole);
    member(b",\"profile\":\"", entry.profile.map(ProfileSlug::as_str), whole);
    member(b",\"server\":\"", entry.server.map(ServerName::as_str), whole);
    member(b",\"target\":\"", entry.target, Event::MAX_TEXT);
    member(b",\"reason\":\"", entry.reason, Event::MAX_TEXT);
    if let Some(request) = entry.request {
        out.extend_from_slice(b",\"request\":");
        json(&request.0, out);
    }
    if let Some(peer) = entry.peer {
        out.extend_from_slice(b",\"peer\":\"");
        address(peer, out);
        out.push(b'"');
    }
    out.push(b'}');
}

/// A number, or a name of ours. Writing into a `Vec` cannot fail, and neither has anything else that could.
fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}

/// As the standard library writes it; the common kind by the octet, which is a tenth of the work.
fn address(peer: IpAddr, out: &mut Vec<u8>) {
    match peer {
        IpAddr::V4(peer) => {
            for (place, octet) in peer.octets().iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                json(octet, out);
            }
        }
        IpAddr::V6(peer) => {
            let _ = write!(out, "{peer}");
        }
    }
}

fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Writes the inside of a JSON string in visible ASCII.
fn visible(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
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

/// Whether a byte stands in a JSON string as it is, and can be seen.
fn plain(b: u8) -> bool {
    matches!(b, 0x20..0x7f) && b != b'"' && b != b'\\'
}

/// Whether all are, eight at a time.
fn is_plain(text: &[u8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of a byte is set where it is zero; of bytes above one that is, it may be.
    let zero = |x: u64| x.wrapping_sub(EACH) & !x;
    let eight = |x: u64| {
        let low = x.wrapping_sub(EACH * 0x20) & !x;
        let high = x.wrapping_add(EACH) | x;
        let quote = zero(x ^ (EACH * u64::from(b'"')));
        let backslash = zero(x ^ (EACH * u64::from(b'\\')));
        (low | high | quote | backslash) & HIGH == 0
    };
    let (eights, rest) = text.as_chunks::<8>();
    eights.iter().all(|bytes| eight(u64::from_ne_bytes(*bytes))) && rest.iter().all(|b| plain(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::RequestId;
    use sallyport_core::audit::{Action, Outcome};

    fn encode(event: &Event) -> String {
        let mut out = Vec::new();
        super::encode(&event.entry(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn al_06_every_byte_is_judged_alike_alone_and_among_eight() {
        for byte in 0..=u8::MAX {
            let alone = is_plain(&[byte]);
            assert_eq!(alone, plain(byte));
            for place in 0..8 {
                for others in *b" a~" {
                    let mut eight = [others; 8];
                    eight[place] = byte;
                    assert_eq!(is_plain(&eight), alone, "{byte} at {place}");
                }
            }
        }
    }

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
            let body = encode(&event);
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
        let body = encode(&event);
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
        let kept: Event = serde_json::from_str(&encode(&event)).unwrap();
        assert_eq!(kept.target.map(|t| t.len()), Some(Event::MAX_TEXT));
        assert_eq!(kept.reason.map(|t| t.len()), Some(Event::MAX_TEXT));
        assert_eq!(kept.client.map(|c| c.as_str().len()), Some(MAX_CLIENT));
    }
}

//! An event as the text that is kept and hashed.

use sallyport_core::audit::text::member;
use sallyport_core::audit::{Action, Entry, Event, Outcome};
use serde::Serialize;

/// The bytes that the record of a call has as a rule, at most.
const USUAL: usize = 512;

/// What most records begin with, ready to be copied.
const OFTEN: [(Outcome, &[u8]); 2] = [
    (Outcome::Started, br#"{"action":"tool_call","outcome":"started""#),
    (Outcome::Ok, br#"{"action":"tool_call","outcome":"ok""#),
];

/// One line of JSON in visible ASCII at the end of `out`: whatever a name contains — line breaks, terminal codes, letters
/// that turn the reading direction — stands there escaped (AL-06, CWE-117). Written by hand, because every call has two.
/// What says who is left out; its place is returned.
pub(super) fn encode(entry: &Entry<'_>, out: &mut Vec<u8>) -> usize {
    // Room for the whole, as a rule, so that the pieces need not ask.
    out.reserve(USUAL);
    let is_it = |(outcome, _): &&(Outcome, &[u8])| *outcome == entry.outcome;
    match OFTEN
        .iter()
        .find(is_it)
        .filter(|_| entry.action == Action::ToolCall)
    {
        Some((_, begin)) => out.extend_from_slice(begin),
        None => {
            out.extend_from_slice(b"{\"action\":");
            json(&entry.action, out);
            out.extend_from_slice(b",\"outcome\":");
            json(&entry.outcome, out);
        }
    }
    let place = out.len();
    if let Some(server) = entry.server {
        member("server", server.as_str(), usize::MAX, out);
    }
    if let Some(target) = entry.target {
        member("target", target, Event::MAX_TEXT, out);
    }
    if let Some(reason) = entry.reason {
        member("reason", reason, Event::MAX_TEXT, out);
    }
    if let Some(request) = entry.request {
        out.extend_from_slice(b",\"request\":");
        json(&request.0, out);
    }
    out.push(b'}');
    place
}

/// A number, or a name of ours. Writing into a `Vec` cannot fail, and neither has anything else that could.
fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::RequestId;
    use sallyport_core::audit::Who;
    use sallyport_core::{ClientId, GrantId, ProfileSlug, ServerName, UserId};

    fn encode(event: &Event) -> String {
        let (mut out, who) = (Vec::new(), event.who());
        let place = super::encode(&event.entry(&who), &mut out);
        out.splice(place..place, who.text().iter().copied());
        String::from_utf8(out).unwrap()
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
        assert_eq!(kept.client.map(|c| c.as_str().len()), Some(Who::MAX_CLIENT));
    }
}

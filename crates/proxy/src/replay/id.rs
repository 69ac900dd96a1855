//! Event ids.

use std::fmt;

/// The longest id that is read. Ours are shorter.
const MAX_LENGTH: usize = 64;

/// What a stream belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamKind {
    /// The calls of one POST; it ends with their last response.
    Call,
    /// The session: a GET stream, without an end of its own.
    Session,
}

/// The id of one event, `{tag}.{p or g}{stream}.{event}`. The tag is the journal's: an id of another session, or from
/// before a restart, is told apart from ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EventId<'a> {
    /// Whose id it is.
    pub(crate) tag: &'a str,
    /// What the stream belongs to.
    pub(crate) kind: StreamKind,
    /// The stream's number in its session.
    pub(crate) stream: u64,
    /// The event's number in its stream; 0 is the priming event.
    pub(crate) event: u64,
}

impl<'a> EventId<'a> {
    /// Reads what a client sends as `Last-Event-ID`. `None` for what this gateway never wrote.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let mut parts = text.split('.');
        let (tag, stream, event) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, stream) = if let Some(number) = stream.strip_prefix('p') {
            (StreamKind::Call, number)
        } else {
            (StreamKind::Session, stream.strip_prefix('g')?)
        };
        let id = Self {
            tag,
            kind,
            stream: number(stream)?,
            event: number(event)?,
        };
        (!tag.is_empty() && parts.next().is_none()).then_some(id)
    }
}

impl fmt::Display for EventId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            StreamKind::Call => 'p',
            StreamKind::Session => 'g',
        };
        write!(f, "{}.{kind}{}.{}", self.tag, self.stream, self.event)
    }
}

/// A number in the one form in which we write it.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_never_written_is_not_read() {
        for text in [
            "",
            "7",
            "..",
            "t.p1",
            "t.p1.2.3",
            "t.x1.2",
            "t.p.2",
            "t.p1.",
            ".p1.2",
            "t.p+1.2",
            "t.p01.2",
            "t.p1.-2",
            "t.p1.18446744073709551616",
            "t.p1. 2",
        ] {
            assert_eq!(EventId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_length_at_the_limit_and_one_past_it() {
        let id = |length| format!("{}.g1.0", "t".repeat(length - 5));
        assert!(EventId::parse(&id(MAX_LENGTH)).is_some());
        assert!(EventId::parse(&id(MAX_LENGTH + 1)).is_none());
    }

    proptest! {
        #[test]
        fn p_77_an_id_names_its_stream_and_event(tag in "[A-Za-z0-9_-]{1,12}", stream: u64, event: u64, call: bool) {
            let kind = if call { StreamKind::Call } else { StreamKind::Session };
            let id = EventId { tag: &tag, kind, stream, event };
            let text = id.to_string();
            prop_assert_eq!(EventId::parse(&text), Some(id));
        }

        #[test]
        fn no_text_is_read_as_an_id_that_is_written_otherwise(text in "\\PC{0,70}") {
            if let Some(id) = EventId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}

//! Records' bodies as they wait, and as a row holds them: one text with a line for each.

use std::ops::Range;

use sallyport_core::Timestamp;
use sallyport_core::audit::{Entry, Who};

use super::body;
use super::callers::{Caller, Callers};

/// Bodies in the order in which they will stand in the chain. What says who is kept apart, so that little is written where
/// a call waits for it.
#[derive(Default)]
pub(super) struct Lines {
    /// The bodies without that, one after the other.
    text: Vec<u8>,
    marks: Vec<Mark>,
    callers: Callers,
}

/// One body.
#[derive(Clone, Copy)]
struct Mark {
    at: Timestamp,
    /// What says who.
    caller: Caller,
    /// Where that belongs in the text.
    place: usize,
    /// Where the rest ends.
    end: usize,
}

impl Lines {
    /// What is kept of the memory of a burst, in bytes of text: what one thread records in a
    /// fifth of a second of the fastest load.
    const KEPT: usize = 2 << 20;

    pub(super) fn push(&mut self, at: Timestamp, entry: &Entry<'_>) {
        let caller = self.callers.number(entry.who.map_or(&[], Who::text));
        let place = body::encode(entry, &mut self.text);
        let end = self.text.len();
        self.marks.push(Mark {
            at,
            caller,
            place,
            end,
        });
    }

    /// A body as it is.
    #[cfg(test)]
    pub(super) fn push_body(&mut self, at: Timestamp, body: &str) {
        self.text.extend_from_slice(body.as_bytes());
        let end = self.text.len();
        self.marks.push(Mark {
            at,
            caller: self.callers.number(&[]),
            place: end,
            end,
        });
    }

    /// What is there without those who did it.
    #[cfg(test)]
    pub(super) fn raw(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Those of `range`, as far as there are any.
    pub(super) fn part(&self, range: Range<usize>) -> Part<'_> {
        let end = range.end.min(self.marks.len());
        let start = range.start.min(end);
        let before = start.checked_sub(1).and_then(|before| self.marks.get(before));
        Part {
            lines: self,
            from: before.map_or(0, |mark| mark.end),
            marks: self.marks.get(start..end).unwrap_or_default(),
        }
    }

    /// The times from this one on.
    pub(super) fn times(&self, from: usize) -> impl Iterator<Item = Timestamp> {
        let marks = self.marks.get(from..).unwrap_or_default();
        marks.iter().map(|mark| mark.at)
    }

    /// Appends the bodies of another.
    pub(super) fn append(&mut self, part: Part<'_>) {
        let Some(last) = part.marks.last() else {
            return;
        };
        let before = self.text.len();
        let text = part.lines.text.get(part.from..last.end);
        self.text.extend_from_slice(text.unwrap_or_default());
        for mark in part.marks {
            let caller = self.callers.number(part.lines.callers.text(mark.caller));
            self.marks.push(Mark {
                at: mark.at,
                caller,
                place: mark.place - part.from + before,
                end: mark.end - part.from + before,
            });
        }
    }

    /// Forgets them all; the memory is used again unless it is much.
    pub(super) fn clear(&mut self) {
        if self.text.capacity() > Self::KEPT {
            *self = Self::default();
        }
        self.text.clear();
        self.marks.clear();
        self.callers.clear();
    }
}

/// Some bodies that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    lines: &'a Lines,
    /// Where the first begins.
    from: usize,
    marks: &'a [Mark],
}

impl<'a> Part<'a> {
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Writes the bodies out, a line each without the last line's end, and shows each as soon as it is written.
    pub(super) fn write(&self, mut show: impl FnMut(Timestamp, &[u8])) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length());
        for (number, (at, pieces)) in self.bodies().enumerate() {
            if number > 0 {
                out.push(b'\n');
            }
            let start = out.len();
            for piece in pieces {
                out.extend_from_slice(piece);
            }
            show(at, out.get(start..).unwrap_or_default());
        }
        out
    }

    fn length(&self) -> usize {
        let lengths = self.bodies().map(|(_, pieces)| pieces.map(<[u8]>::len));
        lengths.map(|pieces| pieces.iter().sum::<usize>() + 1).sum()
    }

    /// Each body in three pieces.
    fn bodies(&self) -> impl Iterator<Item = (Timestamp, [&'a [u8]; 3])> + use<'a> {
        let (lines, mut from) = (self.lines, self.from);
        self.marks.iter().map(move |mark| {
            let piece = |range: Range<usize>| lines.text.get(range).unwrap_or_default();
            let pieces = [
                piece(from..mark.place),
                lines.callers.text(mark.caller),
                piece(mark.place..mark.end),
            ];
            from = mark.end;
            (mark.at, pieces)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::UserId;
    use sallyport_core::audit::{Action, Event, Outcome};

    fn all(part: Part<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut bodies = Vec::new();
        let text = part.write(|_, body| bodies.push(body.to_vec()));
        (text, bodies)
    }

    #[test]
    fn any_part_has_its_bodies_and_their_text() {
        let wanted = ["a", "", "{\"b\":1}", "c"];
        let mut lines = Lines::default();
        for (n, body) in (0..).zip(wanted) {
            lines.push_body(Timestamp::from_millis(n), body);
        }
        for start in 0..=5 {
            for end in start..=6 {
                let wanted = wanted.get(start.min(4)..end.min(4)).unwrap();
                let (text, bodies) = all(lines.part(start..end));
                assert_eq!(text, wanted.join("\n").as_bytes());
                assert!(bodies.iter().eq(wanted.iter().map(|body| body.as_bytes())));
                let mut copy = Lines::default();
                copy.append(lines.part(start..end));
                assert_eq!((copy.len(), all(copy.part(0..9))), (wanted.len(), (text, bodies)));
            }
        }
        lines.clear();
        assert!(lines.is_empty() && all(lines.part(0..1)).0.is_empty());
    }

    #[test]
    fn each_record_says_who_did_it() {
        let mut lines = Lines::default();
        let mut events = Vec::new();
        for (n, user) in [Some("ada"), Some("bob"), None, Some("ada"), None]
            .iter()
            .enumerate()
        {
            let mut event = Event::new(Action::ToolCall, Outcome::Ok).on(&n.to_string());
            event.user = user.map(UserId::new);
            lines.push(Timestamp::EPOCH, &event.entry(&event.who()));
            events.push(event);
        }
        let mut moved = Lines::default();
        moved.append(lines.part(1..4));
        moved.append(lines.part(0..1));
        moved.append(lines.part(4..5));
        let read = |lines: &Lines| -> Vec<Event> {
            let (_, bodies) = all(lines.part(0..9));
            let events = bodies.iter().map(|body| serde_json::from_slice(body).unwrap());
            events.collect()
        };
        assert_eq!(read(&lines), events);
        let order = [1, 2, 3, 0, 4].map(|n: usize| events[n].clone());
        assert_eq!(read(&moved), order);
    }
}

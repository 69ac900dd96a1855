//! Records' bodies as they wait and as a row holds them: one text with a line for each.

use std::ops::Range;

use sallyport_core::Timestamp;
use sallyport_core::audit::Entry;

use super::body;

/// Bodies in the order in which they will stand in the chain.
#[derive(Default)]
pub(super) struct Lines {
    /// Each body with a line break after it.
    text: Vec<u8>,
    marks: Vec<Mark>,
}

/// One body.
#[derive(Clone, Copy)]
struct Mark {
    at: Timestamp,
    /// Where its line break ends.
    end: usize,
}

impl Lines {
    /// What is kept of the memory of a burst, in bytes of text: what one thread records in a
    /// tenth of a second of the fastest load.
    const KEPT: usize = 2 << 20;

    pub(super) fn push(&mut self, at: Timestamp, entry: &Entry<'_>) {
        body::encode(entry, &mut self.text);
        self.end(at);
    }

    /// A body as it is.
    #[cfg(test)]
    pub(super) fn push_body(&mut self, at: Timestamp, body: &str) {
        self.text.extend_from_slice(body.as_bytes());
        self.end(at);
    }

    fn end(&mut self, at: Timestamp) {
        self.text.push(b'\n');
        let end = self.text.len();
        self.marks.push(Mark { at, end });
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
        Part {
            text: &self.text,
            from: start
                .checked_sub(1)
                .and_then(|before| self.marks.get(before))
                .map_or(0, |mark| mark.end),
            marks: self.marks.get(start..end).unwrap_or_default(),
        }
    }

    /// The times from this one on.
    pub(super) fn times(&self, from: usize) -> impl Iterator<Item = Timestamp> {
        self.marks
            .get(from..)
            .unwrap_or_default()
            .iter()
            .map(|mark| mark.at)
    }

    /// Appends the bodies of another.
    pub(super) fn append(&mut self, part: Part<'_>) {
        let Some(last) = part.marks.last() else {
            return;
        };
        let before = self.text.len();
        self.text
            .extend_from_slice(part.text.get(part.from..last.end).unwrap_or_default());
        self.marks.extend(part.marks.iter().map(|mark| Mark {
            at: mark.at,
            end: mark.end - part.from + before,
        }));
    }

    /// Forgets them all; the memory is used again unless it is much.
    pub(super) fn clear(&mut self) {
        if self.text.capacity() > Self::KEPT {
            *self = Self::default();
        }
        self.text.clear();
        self.marks.clear();
    }
}

/// Some bodies that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    text: &'a [u8],
    /// Where the first begins.
    from: usize,
    marks: &'a [Mark],
}

impl<'a> Part<'a> {
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// As a row holds them: a line each, without the last line's end.
    pub(super) fn text(&self) -> &'a [u8] {
        let end = self.marks.last().map_or(self.from, |last| last.end - 1);
        self.text.get(self.from..end).unwrap_or_default()
    }

    pub(super) fn bodies(&self) -> impl Iterator<Item = (Timestamp, &'a [u8])> + use<'a> {
        let (text, mut from) = (self.text, self.from);
        self.marks.iter().map(move |mark| {
            let body = text.get(from..mark.end - 1).unwrap_or_default();
            from = mark.end;
            (mark.at, body)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_has_its_bodies_and_their_text() {
        let all = ["a", "", "{\"b\":1}", "c"];
        let mut lines = Lines::default();
        for (n, body) in (0..).zip(all) {
            lines.push_body(Timestamp::from_millis(n), body);
        }
        for start in 0..=5 {
            for end in start..=6 {
                let wanted = all.get(start.min(4)..end.min(4)).unwrap();
                let part = lines.part(start..end);
                assert_eq!(part.text(), wanted.join("\n").as_bytes());
                let bodies: Vec<_> = part.bodies().map(|(_, body)| body).collect();
                assert_eq!(
                    bodies,
                    wanted.iter().map(|body| body.as_bytes()).collect::<Vec<_>>()
                );
                let mut copy = Lines::default();
                copy.append(part);
                assert_eq!((copy.len(), copy.part(0..9).text()), (wanted.len(), part.text()));
            }
        }
        lines.clear();
        assert!(lines.is_empty() && lines.part(0..1).text().is_empty());
    }
}

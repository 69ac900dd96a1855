//! Records on their way from the queue to the database, and who waits for them.

use std::iter::Peekable;
use std::vec::IntoIter;

use sallyport_core::Timestamp;
use sallyport_core::audit::Entry;
use tokio::sync::oneshot;

use super::lines::Lines;

/// Told once the record is on the disk, dropped if it will not be.
type Done = oneshot::Sender<()>;

/// Records in the order in which they will stand in the chain.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) lines: Lines,
    /// Who waits for which of them.
    waiting: Vec<(usize, Done)>,
}

impl Batch {
    /// Adds one.
    pub(super) fn push(&mut self, at: Timestamp, entry: &Entry<'_>, done: Option<Done>) {
        self.waiting.extend(done.map(|done| (self.lines.len(), done)));
        self.lines.push(at, entry);
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tells those who wait for the first `count`.
    pub(super) fn written(&mut self, count: usize) {
        let later = self.waiting.partition_point(|(index, _)| *index < count);
        for (_, done) in self.waiting.drain(..later) {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }

    /// Keeps what comes after the first `count` and nobody waits for; whoever waits is refused.
    pub(super) fn give_up(&mut self, count: usize) {
        let refused = std::mem::take(&mut self.waiting);
        let mut kept = Lines::default();
        let mut from = count;
        for (index, _) in &refused {
            kept.append(self.lines.part(from..*index));
            from = index + 1;
        }
        kept.append(self.lines.part(from..self.lines.len()));
        self.lines = kept;
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.waiting.clear();
    }
}

/// What was taken from the queue: a batch from each thread that has recorded.
#[derive(Default)]
pub(super) struct Taken {
    sources: Vec<Source>,
    /// Whose memory is used again.
    spare: Vec<Lines>,
}

/// A batch of which some have been moved on.
struct Source {
    lines: Lines,
    waiting: Peekable<IntoIter<(usize, Done)>>,
    next: usize,
}

impl Taken {
    /// Takes all of a batch, which is empty then.
    pub(super) fn add(&mut self, batch: &mut Batch) {
        if batch.lines.is_empty() {
            return;
        }
        let spare = self.spare.pop().unwrap_or_default();
        self.sources.push(Source {
            lines: std::mem::replace(&mut batch.lines, spare),
            waiting: std::mem::take(&mut batch.waiting).into_iter().peekable(),
            next: 0,
        });
    }

    /// Moves the next records, `most` at most, to the end of `batch`: the earliest of what is there, but none before one
    /// that its own thread has recorded before it. Of those of one time the first are those of the batch that was added
    /// first. A single batch goes over as a whole, however much that is, and is not copied.
    pub(super) fn next(&mut self, batch: &mut Batch, most: usize) {
        if let [only] = self.sources.as_mut_slice()
            && only.next == 0
            && batch.lines.is_empty()
        {
            std::mem::swap(&mut batch.lines, &mut only.lines);
            batch.waiting = only.waiting.by_ref().collect();
        } else {
            let mut room = most;
            while room > 0 {
                let moved = self.run(batch, room);
                if moved == 0 {
                    break;
                }
                room = room.saturating_sub(moved);
            }
        }
        self.sweep();
    }

    /// Moves those of the earliest source that are earlier than all others; returns how many.
    fn run(&mut self, batch: &mut Batch, most: usize) -> usize {
        let (mut earliest, mut other) = (None, None);
        for (n, source) in self.sources.iter().enumerate() {
            let Some(at) = source.lines.times(source.next).next() else {
                continue;
            };
            let head = (at, n);
            if earliest.is_none_or(|earliest| head < earliest) {
                (earliest, other) = (Some(head), earliest);
            } else if other.is_none_or(|other| head < other) {
                other = Some(head);
            }
        }
        let Some((n, source)) = earliest.and_then(|(_, n)| Some((n, self.sources.get_mut(n)?))) else {
            return 0;
        };
        let times = source.lines.times(source.next).take(most);
        let count = times
            .take_while(|at| other.is_none_or(|other| (*at, n) < other))
            .count();
        let (from, to) = (source.next, source.next + count);
        let before = batch.lines.len();
        while let Some((index, done)) = source.waiting.next_if(|(index, _)| *index < to) {
            batch.waiting.push((before + index - from, done));
        }
        batch.lines.append(source.lines.part(from..to));
        source.next = to;
        count
    }

    /// Keeps the memory of what has been moved.
    fn sweep(&mut self) {
        let done = |source: &mut Source| source.next >= source.lines.len();
        for mut source in self.sources.extract_if(.., done) {
            source.lines.clear();
            self.spare.push(source.lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::audit::{Action, Event, Outcome};

    /// A batch of records at these times, named after it and them, and whoever waits for every third.
    fn batch(name: usize, times: &[i64]) -> (Batch, Vec<(String, oneshot::Receiver<()>)>) {
        let (mut batch, mut waiting) = (Batch::default(), Vec::new());
        for (n, at) in times.iter().enumerate() {
            let target = format!("{name}.{n}");
            let event = Event::new(Action::ToolCall, Outcome::Ok).on(&target);
            let done = (n % 3 == 1).then(|| {
                let (done, written) = oneshot::channel();
                waiting.push((target, written));
                done
            });
            batch.push(Timestamp::from_millis(*at), &event.entry(&event.who()), done);
        }
        (batch, waiting)
    }

    fn targets(lines: &Lines) -> Vec<(i64, String)> {
        let target = |body: &[u8]| serde_json::from_slice::<Event>(body).unwrap().target.unwrap();
        let mut targets = Vec::new();
        lines
            .part(0..lines.len())
            .write(|at, body| targets.push((at.as_millis(), target(body).into())));
        targets
    }

    #[test]
    fn batches_are_merged_by_time_and_each_keeps_its_order() {
        let cases: [&[&[i64]]; 7] = [
            &[],
            &[&[1, 2, 3]],
            &[&[1, 3, 3, 5], &[2, 3, 4, 9]],
            &[&[5, 5, 5], &[5, 5], &[], &[4, 5, 6]],
            &[&[1, 2, 3, 4, 5, 6, 7], &[4]],
            &[&[7, 8], &[1, 2], &[4, 5]],
            // A clock that was set back.
            &[&[100, 50, 60], &[99, 101, 40, 102]],
        ];
        for times in cases {
            for most in [1, 2, 3, 100] {
                let (mut taken, mut waiting) = (Taken::default(), Vec::new());
                for (name, times) in times.iter().enumerate() {
                    let (mut batch, waits) = batch(name, times);
                    taken.add(&mut batch);
                    assert!(batch.lines.is_empty() && !batch.is_waited_for());
                    waiting.extend(waits);
                }
                let mut merged = Batch::default();
                loop {
                    let before = merged.lines.len();
                    taken.next(&mut merged, most);
                    let moved = merged.lines.len() - before;
                    assert!(moved <= most || times.len() == 1);
                    if moved == 0 {
                        break;
                    }
                }
                let found = targets(&merged.lines);
                let mut expected: Vec<(i64, String)> = Vec::new();
                for (name, times) in times.iter().enumerate() {
                    let prefix = format!("{name}.");
                    let own: Vec<_> = (0..times.len()).map(|n| format!("{prefix}{n}")).collect();
                    let kept: Vec<_> = found
                        .iter()
                        .filter(|(_, target)| target.starts_with(&prefix))
                        .collect();
                    assert!(kept.iter().map(|(_, target)| target).eq(&own), "{found:?}");
                    expected.extend(times.iter().copied().zip(own));
                }
                assert_eq!(found.len(), expected.len());
                if times.iter().all(|times| times.is_sorted()) {
                    expected.sort_by_key(|(at, _)| *at);
                    assert_eq!(found, expected);
                }
                // Each is told of its own record.
                for (index, (_, target)) in found.iter().enumerate() {
                    merged.written(index + 1);
                    for (of, written) in &mut waiting {
                        assert_eq!(written.try_recv().is_ok(), of == target);
                    }
                }
            }
        }
    }

    #[test]
    fn a_single_batch_is_not_copied_and_memory_is_used_again() {
        let mut taken = Taken::default();
        let (mut first, _waiting) = batch(0, &[3, 1, 2]);
        let text = first.lines.raw().as_ptr();
        taken.add(&mut first);
        let mut moved = Batch::default();
        taken.next(&mut moved, 1);
        assert_eq!(moved.lines.raw().as_ptr(), text);
        assert!(moved.is_waited_for());
        // What is there already is not left behind.
        let (mut second, _waiting) = batch(1, &[0]);
        taken.add(&mut second);
        taken.next(&mut moved, 1);
        let found: Vec<_> = targets(&moved.lines).into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, [3, 1, 2, 0]);
        assert_eq!((taken.sources.len(), taken.spare.len()), (0, 1));
    }
}

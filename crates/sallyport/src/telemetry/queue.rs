//! Log lines are written by a thread of their own: whoever reads standard error slowly, or not at all, holds up no
//! request. Lines that nobody takes are counted and left out.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait at most: a fifth of a second of twenty thousand a second. Their places take 128 KiB, whether there are
/// any or not.
const LINES: usize = 4 * 1024;
/// Lines that are joined into one write.
const BATCH: usize = 128 * 1024;
/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where log lines go.
#[derive(Clone)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&receiver, out, &lost))?;
        Ok(Self { sender, dropped })
    }

    /// Waits until what was logged so far is written, at most a second.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        let deadline = Instant::now() + LAST;
        let mut message = Message::Flush(done);
        // There may be no room at the moment.
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            if Instant::now() > deadline {
                return;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = wait.recv_timeout(LAST);
    }
}

fn write(receiver: &Receiver<Message>, mut out: impl Write, lost: &AtomicU64) {
    while let Ok(first) = receiver.recv() {
        let mut batch = Vec::new();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Flush(done) => waiting.push(done),
            }
            next = if batch.len() < BATCH {
                receiver.try_recv().ok()
            } else {
                None
            };
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                batch,
                "{{\"level\":\"WARN\",\"message\":\"log lines were left out\",\"lines\":{lost}}}"
            );
        }
        // There is nobody to tell that standard error is gone.
        let _ = out.write_all(&batch).and_then(|()| out.flush());
        for done in waiting {
            let _ = done.send(());
        }
    }
}

/// One event's line.
pub(super) struct Line {
    bytes: Vec<u8>,
    queue: Queue,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            bytes: Vec::with_capacity(256),
            queue: self.clone(),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.queue.sender.try_send(Message::Line(line)).is_err() {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(queue: &Queue, line: &str) {
        queue.make_writer().write_all(line.as_bytes()).expect("kept");
    }

    #[test]
    fn lines_come_out_in_order_and_flush_waits_for_them() {
        let out = Shared::default();
        let queue = Queue::start(out.clone()).expect("started");
        log(&queue, "a\n");
        log(&queue, "b\n");
        queue.flush();
        assert_eq!(*out.0.lock().expect("whole"), b"a\nb\n");
    }

    /// Takes one line, says so, and then nothing more until it is let go.
    struct Stuck(Sender<()>, Mutex<Receiver<()>>, Shared);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(());
            let _ = self.1.lock().unwrap_or_else(PoisonError::into_inner).recv();
            self.2.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_holds_up_nobody_and_loses_only_what_is_too_much() {
        let (taken, wait) = channel();
        let (go, gate) = channel();
        let out = Shared::default();
        let queue = Queue::start(Stuck(taken, Mutex::new(gate), out.clone())).expect("started");
        log(&queue, "first\n");
        wait.recv().expect("the writer is stuck now");
        for _ in 0..LINES + 3 {
            log(&queue, "x\n");
        }
        drop(go);
        queue.flush();
        let text = String::from_utf8(out.0.lock().expect("whole").clone()).expect("text");
        assert_eq!(text.lines().filter(|line| *line == "x").count(), LINES);
        assert!(
            text.contains("\"lines\":3"),
            "{}",
            text.lines().last().unwrap_or_default()
        );
    }
}

//! The two halves of a connection.
//!
//! There is no task and no queue in between: who reads is the one who asks for signs of life and answers them, who
//! writes waits for the peer to take what was written. Only one half at a time brings the connection to its end, the one
//! that began with it; the other waits for that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use sallyport_core::fault::{Fault, Retry};
use tokio::time::Instant;

use super::{Bucket, CarrierError, Event, Farewell, Framing, Terms};
use crate::duplex::Duplex;
use crate::timer::Timer;

/// Both directions over a connection.
pub(crate) fn duplex<F: Framing>(framing: F, terms: Terms) -> Duplex {
    let line = Line {
        probe_at: Instant::now() + terms.pace.probe,
        control: Bucket::new(terms.pace.control_burst),
        framing,
        terms,
        state: State::Open,
        timer: Timer::default(),
        unflushed: false,
        reader: None,
        writer: None,
    };
    let line = Arc::new(Mutex::new(line));
    Duplex {
        incoming: Box::pin(Reader(Arc::clone(&line))),
        outgoing: Box::pin(Writer {
            line,
            timer: Timer::default(),
            stalled: None,
        }),
    }
}

struct Line<F> {
    framing: F,
    terms: Terms,
    state: State,
    /// For the half that reads, or that ends the connection.
    timer: Timer,
    probe_at: Instant,
    control: Bucket,
    /// Control frames wait to be written.
    unflushed: bool,
    /// Who waits to read.
    reader: Option<Waker>,
    /// Who waits to write, and flushes by that.
    writer: Option<Waker>,
}

enum State {
    Open,
    Leaving(Leaving),
    /// At the end; with what the reader is still to be told.
    Over(Option<Fault>),
}

struct Leaving {
    by: Half,
    /// The last words, until they are queued.
    why: Option<Farewell>,
    step: Step,
    until: Instant,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Reader,
    Writer,
}

#[derive(Clone, Copy)]
enum Step {
    /// What is queued is written, then the last words: nothing may follow them,
    Flush,
    /// then our direction ends,
    Shut,
    /// then the peer has time to read them: closing before it ends its own direction could take them from it.
    Wait,
}

impl<F: Framing> Line<F> {
    fn fault(&self, operation: &'static str, error: CarrierError) -> Fault {
        Fault::new(self.terms.blame, Retry::Never, operation, error)
    }

    fn unread(&self, error: CarrierError) -> Fault {
        self.fault("read a message", error)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            match &mut self.state {
                State::Over(fault) => return Poll::Ready(fault.take().map(Err)),
                State::Leaving(leaving) if leaving.by == Half::Writer => {
                    self.park(cx);
                    return Poll::Pending;
                }
                State::Leaving(_) => ready!(self.poll_leave(cx)),
                State::Open => match self.framing.poll_event(cx) {
                    Poll::Ready(Event::Message(message)) => return Poll::Ready(Some(Ok(message))),
                    Poll::Ready(event) => self.note(event),
                    Poll::Pending => {
                        self.park(cx);
                        ready!(self.poll_life(cx));
                    }
                },
            }
        }
    }

    /// Notes whom the other half is to wake when it ends the connection.
    fn park(&mut self, cx: &Context<'_>) {
        if !self
            .reader
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            self.reader = Some(cx.waker().clone());
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Message(_) => {}
            Event::Control => {
                self.unflushed = true;
                if !self.control.take() {
                    let fault = self.unread(CarrierError::Flood);
                    self.leave(Half::Reader, Some(Farewell::Policy), Some(fault));
                }
            }
            Event::Bye => self.leave(Half::Reader, None, None),
            Event::Cut(error) => {
                let fault = self.unread(error);
                self.end(Some(fault));
            }
            Event::Offence(why, error) => {
                let fault = self.unread(error);
                self.leave(Half::Reader, Some(why), Some(fault));
            }
        }
    }

    /// Asks for signs of life while nothing comes; ready when the connection is to end.
    fn poll_life(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (now, pace) = (Instant::now(), self.terms.pace);
            let silent_at = self.framing.signs().heard + pace.silence;
            if now >= silent_at {
                let fault = self.unread(CarrierError::Silent(pace.silence));
                self.leave(Half::Reader, Some(Farewell::Policy), Some(fault));
                return Poll::Ready(());
            }
            if now >= self.probe_at {
                self.framing.probe();
                self.probe_at = now + pace.probe;
                self.unflushed = true;
            }
            // Who waits to write flushes by that, and is the one to be woken.
            if self.unflushed && self.writer.is_none() {
                match self.framing.poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(error)) => {
                        let fault = self.unread(error);
                        self.end(Some(fault));
                        return Poll::Ready(());
                    }
                    Poll::Pending => {}
                }
            }
            ready!(self.timer.poll(cx, silent_at.min(self.probe_at)));
        }
    }

    /// Begins to end the connection; `None` where there are no last words of ours.
    fn leave(&mut self, by: Half, why: Option<Farewell>, fault: Option<Fault>) {
        self.state = State::Leaving(Leaving {
            by,
            why,
            step: Step::Flush,
            until: Instant::now() + self.terms.pace.linger,
            fault,
        });
        let other = match by {
            Half::Reader => self.writer.take(),
            Half::Writer => self.reader.take(),
        };
        other.into_iter().for_each(Waker::wake);
    }

    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Leaving(leaving) = &mut self.state else {
            return Poll::Ready(());
        };
        if self.timer.poll(cx, leaving.until).is_pending() {
            loop {
                leaving.step = match leaving.step {
                    Step::Flush => match ready!(self.framing.poll_flush(cx)) {
                        Ok(()) => match leaving.why.take() {
                            Some(why) => {
                                self.framing.farewell(why);
                                Step::Flush
                            }
                            None => Step::Shut,
                        },
                        Err(_) => break,
                    },
                    Step::Shut => match ready!(self.framing.poll_shutdown(cx)) {
                        Ok(()) => Step::Wait,
                        Err(_) => break,
                    },
                    Step::Wait => {
                        ready!(self.framing.poll_discard(cx));
                        break;
                    }
                };
            }
        }
        let fault = leaving.fault.take();
        self.end(fault);
        Poll::Ready(())
    }

    fn end(&mut self, fault: Option<Fault>) {
        self.state = State::Over(fault);
        let waiting = self.reader.take().into_iter().chain(self.writer.take());
        waiting.for_each(Waker::wake);
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &self.state {
                State::Open => {
                    let why = self
                        .terms
                        .reason
                        .as_ref()
                        .map_or(Farewell::Done, |reason| reason());
                    self.leave(Half::Writer, Some(why), None);
                }
                State::Leaving(leaving) if leaving.by == Half::Writer => ready!(self.poll_leave(cx)),
                State::Leaving(_) | State::Over(_) => return Poll::Ready(()),
            }
        }
    }
}

fn lock<F>(line: &Mutex<Line<F>>) -> MutexGuard<'_, Line<F>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader<F>(Arc<Mutex<Line<F>>>);

impl<F: Framing> Stream for Reader<F> {
    type Item = Result<Bytes, Fault>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        lock(&self.0).poll_message(cx)
    }
}

struct Writer<F: Framing> {
    line: Arc<Mutex<Line<F>>>,
    timer: Timer,
    /// Since when the peer has been waited for.
    stalled: Option<Instant>,
}

impl<F: Framing> Writer<F> {
    /// Passes on whether the framing is done, and lets nobody wait too long for a peer that does not read.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        step: fn(&mut F, &mut Context<'_>) -> Poll<Result<(), CarrierError>>,
    ) -> Poll<Result<(), Fault>> {
        let Self { line, timer, stalled } = self;
        let mut line = lock(line);
        let unwritten = |line: &Line<F>, error| Poll::Ready(Err(line.fault("write a message", error)));
        if !matches!(line.state, State::Open) {
            return unwritten(&line, CarrierError::Closed);
        }
        line.writer = None;
        let error = match step(&mut line.framing, cx) {
            Poll::Ready(Ok(())) => {
                *stalled = None;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(error)) => error,
            Poll::Pending => {
                let stall = line.terms.pace.stall;
                let since = *stalled.get_or_insert_with(Instant::now);
                let moved = line.framing.signs().taken.max(since);
                if timer.poll(cx, moved + stall).is_pending() {
                    line.writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                CarrierError::Stalled(stall)
            }
        };
        let fault = line.unread(CarrierError::Closed);
        line.end(Some(fault));
        unwritten(&line, error)
    }
}

impl<F: Framing> Sink<Bytes> for Writer<F> {
    type Error = Fault;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.get_mut().poll(cx, F::poll_ready)
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), Fault> {
        let mut line = lock(&self.line);
        let sent = match line.state {
            State::Open => line.framing.start_send(message),
            State::Leaving(_) | State::Over(_) => Err(CarrierError::Closed),
        };
        sent.map_err(|error| line.fault("write a message", error))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.get_mut().poll(cx, F::poll_flush)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        lock(&self.line).poll_close(cx).map(Ok)
    }
}

impl<F: Framing> Drop for Writer<F> {
    /// An end that nobody would bring about any more is there now.
    fn drop(&mut self) {
        let mut line = lock(&self.line);
        if matches!(&line.state, State::Leaving(leaving) if leaving.by == Half::Writer) {
            line.end(None);
        }
    }
}

//! One request, one answer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Method;
use sallyport_core::fault::Fault;
use tokio::io::AsyncWrite as _;
use tokio::time::{Instant, timeout};

use super::Timeouts;
use super::answer::{Answer, AnswerBody};
use super::connection::{Connection, READ};
use super::head::RequestHead;
use super::parse::{Head, HeadEnd, take_head};
use super::trouble::Trouble;
use crate::{Target, Worker};

/// Requests below this are written from one buffer, larger ones with one gathering write.
const COPY_BELOW: usize = 16 * 1024;

/// The most interim answers (1xx) that are skipped before the final one.
const MAX_INTERIM: usize = 16;

/// Sends one request and waits for the head of the answer.
///
/// An idle connection of the worker is used if there is one that is still good, else a new one is made. Dropping the
/// future closes the connection.
///
/// # Errors
/// A [`Fault`] whose source is a [`Trouble`]; it is safe to repeat only if not a byte had been written.
pub async fn send(
    worker: &Worker,
    target: &Arc<Target>,
    head: &RequestHead,
    body: &[&[u8]],
    timeouts: Timeouts,
) -> Result<Answer, Fault> {
    loop {
        let idle = idle(worker, target).await;
        let is_new = idle.is_none();
        let mut connection = match idle {
            Some(connection) => connection,
            // In a box: it is seldom needed, and large.
            None => Box::pin(connect(target, timeouts)).await?,
        };
        let mut exchange = Exchange::new(target, head, body, timeouts, &mut connection);
        match exchange.run(&mut connection).await {
            Ok(answer) => return Ok(finish(worker, target, connection, answer, timeouts)),
            // Closed while it was idle, and seen only now: nothing was written.
            Err(_) if !exchange.touched && !is_new => {}
            Err(trouble) if !exchange.touched => return Err(trouble.unsent("call the server")),
            Err(trouble) => return Err(trouble.sent("call the server")),
        }
    }
}

/// An idle connection that is still good.
async fn idle(worker: &Worker, target: &Target) -> Option<Box<Connection>> {
    poll_fn(|cx| {
        while let Some(mut connection) = worker.pool().take(target.id()) {
            if connection.is_quiet(cx) {
                return Poll::Ready(Some(connection));
            }
        }
        Poll::Ready(None)
    })
    .await
}

async fn connect(target: &Arc<Target>, timeouts: Timeouts) -> Result<Box<Connection>, Fault> {
    match timeout(timeouts.connect, target.egress().connect(target)).await {
        Ok(Ok(transport)) => Ok(Box::new(Connection::new(transport))),
        Ok(Err(error)) => Err(Trouble::Egress(error).unsent("connect to the server")),
        Err(_) => Err(Trouble::Timeout("connection").unsent("connect to the server")),
    }
}

fn finish(
    worker: &Worker,
    target: &Target,
    connection: Box<Connection>,
    (head, complete): (Head, bool),
    timeouts: Timeouts,
) -> Answer {
    let mut body = AnswerBody::new(connection, head.length, timeouts.idle);
    if head.reusable && complete {
        body = body.returning(worker.pool(), target.id(), head.keep);
    }
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.settled(),
    }
}

/// A request on its way.
struct Exchange<'a> {
    method: &'a Method,
    /// Pieces of the body that are not in the connection's own buffer.
    apart: &'a [&'a [u8]],
    length: usize,
    written: usize,
    /// Whether a byte has been written.
    touched: bool,
    end: HeadEnd,
    silent_since: Option<Instant>,
    timeouts: Timeouts,
}

impl<'a> Exchange<'a> {
    fn new(
        target: &Target,
        head: &'a RequestHead,
        body: &'a [&'a [u8]],
        timeouts: Timeouts,
        connection: &mut Connection,
    ) -> Self {
        let body_length: usize = body.iter().map(|piece| piece.len()).sum();
        let out = &mut connection.out;
        out.clear();
        head.write(target.fixed(), body_length, out);
        let mut apart = body;
        if out.len().saturating_add(body_length) < COPY_BELOW {
            body.iter().for_each(|piece| out.extend_from_slice(piece));
            apart = &[];
        }
        let length = out.len() + apart.iter().map(|piece| piece.len()).sum::<usize>();
        Self {
            method: head.method(),
            apart,
            length,
            written: 0,
            touched: false,
            end: HeadEnd::default(),
            silent_since: None,
            timeouts,
        }
    }

    /// Writes the request and reads the head of the final answer; with it, whether the request was written to its end.
    async fn run(&mut self, connection: &mut Connection) -> Result<(Head, bool), Trouble> {
        let complete = poll_fn(|cx| self.poll_write(connection, cx)).await?;
        self.silent_since = None;
        for _ in 0..=MAX_INTERIM {
            let head = poll_fn(|cx| self.poll_head(connection, cx)).await?;
            match head.status {
                101 => return Err(Trouble::Framing("it switches protocols unasked")),
                100..=199 => self.end = HeadEnd::default(),
                _ => return Ok((head, complete)),
            }
        }
        Err(Trouble::Framing("it has too many interim answers"))
    }

    /// Writes until all is written, or until the server answers before that.
    fn poll_write(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Trouble>> {
        while self.written < self.length {
            match self.poll_write_some(connection, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Trouble::Closed)),
                Poll::Ready(Ok(n)) => {
                    self.written = self.written.saturating_add(n);
                    self.touched = true;
                    self.silent_since = None;
                }
                // A server that refuses a large body answers and closes: the answer is worth more than the error.
                Poll::Ready(Err(error)) if !self.touched => return Poll::Ready(Err(Trouble::Io(error))),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(false)),
                Poll::Pending => match connection.poll_fill(cx, READ) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Trouble::Closed)),
                    Poll::Ready(Ok(_)) => return Poll::Ready(Ok(false)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Trouble::Io(error))),
                    Poll::Pending => return self.poll_timeout(connection, cx, "progress of the request"),
                },
            }
        }
        match Pin::new(&mut connection.transport).poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(true)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(Trouble::Io(error))),
            Poll::Pending => self.poll_timeout(connection, cx, "progress of the request"),
        }
    }

    fn poll_write_some(&self, connection: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let transport = Pin::new(&mut connection.transport);
        if self.apart.is_empty() {
            return transport.poll_write(cx, connection.out.get(self.written..).unwrap_or_default());
        }
        let mut slices = Vec::with_capacity(self.apart.len() + 1);
        slices.push(IoSlice::new(&connection.out));
        slices.extend(self.apart.iter().map(|piece| IoSlice::new(piece)));
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, self.written);
        transport.poll_write_vectored(cx, rest)
    }

    fn poll_head(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, Trouble>> {
        loop {
            let buffer = &mut connection.buffer;
            if let Some(head) = connection.familiar.take(buffer, self.method) {
                return Poll::Ready(Ok(head));
            }
            match self.end.find(buffer) {
                Ok(Some(end)) => {
                    let head = take_head(buffer, end, self.method).map_err(Trouble::Framing)?;
                    connection.familiar.remember(&head, self.method);
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => {}
                Err(what) => return Poll::Ready(Err(Trouble::Framing(what))),
            }
            match connection.poll_fill(cx, READ) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Trouble::Closed)),
                // No fresh start for the clock: a head in drops is as late as none.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Trouble::Io(error))),
                Poll::Pending => return self.poll_timeout(connection, cx, "answer"),
            }
        }
    }

    fn poll_timeout<T>(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
        what: &'static str,
    ) -> Poll<Result<T, Trouble>> {
        let limit = self.timeouts.first_byte;
        connection
            .poll_silence(cx, &mut self.silent_since, limit)
            .map(|()| Err(Trouble::Timeout(what)))
    }
}

//! A legacy client that leaves has not cancelled its request (2025-06-18 transports, "Disconnection"): the call goes
//! on without it until its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::runtime::Handle;

/// A stream that is read to its end even when its reader goes away.
pub(crate) struct Lingering<S, F>
where
    S: Stream + Send + Unpin + 'static,
    F: FnMut(S::Item) + Send + 'static,
    S::Item: Send,
{
    inner: Option<(S, F)>,
}

impl<S, F> Lingering<S, F>
where
    S: Stream + Send + Unpin + 'static,
    F: FnMut(S::Item) + Send + 'static,
    S::Item: Send,
{
    /// Wraps a stream; items that come after the reader has left go to `sink`.
    pub(crate) fn new(stream: S, sink: F) -> Self {
        Self {
            inner: Some((stream, sink)),
        }
    }
}

impl<S, F> Stream for Lingering<S, F>
where
    S: Stream + Send + Unpin + 'static,
    F: FnMut(S::Item) + Send + Unpin + 'static,
    S::Item: Send,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some((stream, _)) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let next = stream.poll_next_unpin(cx);
        if matches!(next, Poll::Ready(None)) {
            self.inner = None;
        }
        next
    }
}

impl<S, F> Drop for Lingering<S, F>
where
    S: Stream + Send + Unpin + 'static,
    F: FnMut(S::Item) + Send + 'static,
    S::Item: Send,
{
    fn drop(&mut self) {
        let Some((mut stream, mut sink)) = self.inner.take() else {
            return;
        };
        // One that has said all it had to say, which is the usual, needs no task for its end.
        match stream.next().now_or_never() {
            Some(Some(item)) => sink(item),
            Some(None) => return,
            None => {}
        }
        // Outside of a runtime (at the end of the process) the call is dropped with its reader.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                while let Some(item) = stream.next().await {
                    sink(item);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn an_abandoned_stream_is_read_to_its_end() {
        let (seen, mut rest) = mpsc::unbounded_channel();
        let mut reader = Lingering::new(stream::iter(1..=3), move |n| {
            let _ = seen.send(n);
        });
        assert_eq!(reader.next().await, Some(1));
        drop(reader);
        assert_eq!((rest.recv().await, rest.recv().await), (Some(2), Some(3)));
        assert_eq!(rest.recv().await, None);
    }

    #[tokio::test]
    async fn a_finished_stream_leaves_nothing_behind() {
        let (seen, mut rest) = mpsc::unbounded_channel::<i32>();
        let mut reader = Lingering::new(stream::iter([1]), move |n| {
            let _ = seen.send(n);
        });
        assert_eq!(reader.next().await, Some(1));
        assert_eq!(reader.next().await, None);
        drop(reader);
        assert_eq!(rest.recv().await, None);
    }
}

//! A client's connection as the runtime knows it: what of it saves work beyond reading and writing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::sockopt::tcp_congestion;
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

use crate::shared::Pages;

/// A client's connection.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// Whether what the kernel can send is sent that way, with [`Self::poll_send`].
    fn sends(&self) -> bool {
        false
    }

    /// Whether something may have come to be read since a read found nothing. If not, whoever read then is still woken for
    /// it, and need not read again.
    fn has_news(&self) -> bool {
        true
    }

    /// Writes some bytes that others follow at once: they need not leave by themselves.
    fn poll_write_before(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    /// Has the kernel send up to `most` bytes of a memory file from `from` on; how many it took. `None` where it cannot.
    fn poll_send(
        &mut self,
        _cx: &mut Context<'_>,
        _pages: &Pages,
        _from: usize,
        _most: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        Poll::Ready(Ok(None))
    }
}

#[cfg(test)]
impl Socket for tokio::io::DuplexStream {}

impl Socket for TcpStream {
    fn sends(&self) -> bool {
        tcp_congestion(self).is_ok_and(|control| !is_paced(&control))
    }

    fn has_news(&self) -> bool {
        let mut has_news = false;
        // Looks at what the runtime knows of the socket, without a lock and without a system call.
        let _ = self.try_io(Interest::READABLE, || {
            has_news = true;
            Ok(())
        });
        has_news
    }

    fn poll_write_before(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        when_writable(self, cx, |stream| Ok(send(stream, bytes, flags)?))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        pages: &Pages,
        from: usize,
        most: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        let sent = ready!(when_writable(self, cx, |stream| pages.send(stream, from, most)));
        Poll::Ready(match sent {
            Ok(sent) => Ok(Some(sent)),
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(error),
        })
    }
}

/// Whether a congestion control has a timer for each segment. Pages go out segment by segment, without the time that
/// copying takes in between: nearly each of them would wait for it, which costs more than copying.
fn is_paced(control: &str) -> bool {
    control.starts_with("bbr")
}

/// Whether it is the call that fails and not the connection, as in a sandbox that knows no sendfile(2).
fn is_unknown(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), Unsupported | InvalidInput | PermissionDenied)
}

fn when_writable(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_io(Interest::WRITABLE, || write(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::set_tcp_congestion;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_sends_where_segments_do_not_wait() {
        for (control, paced) in [("bbr", true), ("bbr3", true), ("cubic", false), ("reno", false)] {
            assert_eq!(is_paced(control), paced, "{control}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test is the client")]
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        set_tcp_congestion(&stream, "reno").unwrap();
        assert!(stream.sends());
        // Where the system has it.
        if set_tcp_congestion(&stream, "bbr").is_ok() {
            assert!(!stream.sends());
        }
    }
}

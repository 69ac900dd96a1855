//! Lines of a pipe, each at most so long, without copying them.

use std::io;

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::unix::pipe::Receiver;

/// Why there is no next line.
#[derive(Debug, Error)]
pub(crate) enum LineError {
    /// ST-07.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    #[error("the pipe broke: {0}")]
    Broken(#[from] io::Error),
}

/// Reads lines.
pub(crate) struct Lines<R> {
    pipe: R,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    limit: usize,
}

/// What is read at once; also what a quiet pipe keeps.
const PIECE: usize = 16 << 10;

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `limit` bytes, the line end not counted.
    pub(crate) fn new(pipe: R, limit: usize) -> Self {
        Self {
            pipe,
            buffer: BytesMut::new(),
            searched: 0,
            limit,
        }
    }

    /// The next line without its end, `None` at the end of the pipe. What stands after the last line end is no line:
    /// its writer did not finish it.
    ///
    /// # Errors
    /// [`LineError`]: nothing more can be read.
    pub(crate) async fn next_line(&mut self) -> Result<Option<Bytes>, LineError> {
        loop {
            if let Some(line) = self.ready()? {
                return Ok(Some(line));
            }
            self.buffer.reserve(PIECE);
            // The buffer's room grows by doubling; what is read at once does not.
            let mut piece = (&mut self.pipe).take(PIECE as u64);
            if piece.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next line without its end, if it has been read already.
    ///
    /// # Errors
    /// [`LineError`]: nothing more can be read.
    pub(crate) fn ready(&mut self) -> Result<Option<Bytes>, LineError> {
        let unseen = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unseen) else {
            self.searched = self.buffer.len();
            if self.searched > self.limit {
                return Err(LineError::TooLong(self.limit));
            }
            return Ok(None);
        };
        let end = self.searched + found;
        if end > self.limit {
            return Err(LineError::TooLong(self.limit));
        }
        self.searched = 0;
        let mut line = self.buffer.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end.saturating_sub(1));
        }
        Ok(Some(line.freeze()))
    }
}

impl Lines<Receiver> {
    /// The same lines, read on the runtime that this is called in.
    ///
    /// # Errors
    /// When the pipe cannot be watched there.
    pub(super) fn moved(self) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd_unchecked(self.pipe.into_nonblocking_fd()?)?;
        Ok(Self { pipe, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], limit: usize) -> (Vec<String>, Option<LineError>) {
        let mut lines = Lines::new(input, limit);
        let mut seen = Vec::new();
        loop {
            match lines.next_line().await {
                Ok(Some(line)) => seen.push(String::from_utf8_lossy(&line).into_owned()),
                Ok(None) => return (seen, None),
                Err(error) => return (seen, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn lines_end_with_lf_or_crlf() {
        let (lines, error) = all(b"a\nbc\r\n\n\rd\ntail", 100).await;
        assert_eq!(lines, ["a", "bc", "", "\rd"]);
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn st_07_a_line_at_the_limit_and_one_past_it() {
        let (lines, error) = all(b"12345\n", 5).await;
        assert_eq!((lines.len(), error.is_none()), (1, true));
        let (lines, error) = all(b"ok\n123456\n", 5).await;
        assert_eq!(lines, ["ok"]);
        assert!(matches!(error, Some(LineError::TooLong(5))));
    }

    #[tokio::test]
    async fn st_07_a_line_without_end_is_given_up_at_the_limit() {
        let mut lines = Lines::new(tokio::io::repeat(b'x'), 1 << 20);
        assert!(matches!(lines.next_line().await, Err(LineError::TooLong(_))));
        assert!(
            lines.buffer.len() <= (1 << 20) + (64 << 10),
            "the buffer is bounded"
        );
    }
}

//! Heads that come again: what a client says in the head is mostly the same for all requests of a connection, and the same
//! bytes have the same reading. What is kept holds the client's credential, for as long as the connection that brought it.

use bytes::Bytes;
use http::Method;

use super::request::{self, Head, Refusal};
use super::wire::Wire;
use crate::Memo;

/// The last head of a connection, as it came and as it was read.
#[derive(Default)]
pub(super) struct Heads {
    last: Option<Box<Last>>,
}

struct Last {
    text: Bytes,
    head: Head,
    memo: Memo,
}

impl Heads {
    /// Takes the last head off what was read, with what was made of it, if it has come again as a whole.
    pub(super) fn again<T>(&mut self, wire: &mut Wire<T>) -> Option<(Head, Memo)> {
        let last = self.last.as_ref()?;
        if !wire.buffer.starts_with(&last.text) {
            return None;
        }
        wire.skip(last.text.len());
        Some((last.head.clone(), last.memo.clone()))
    }

    /// Reads the head of so many bytes at the front of what was read, and takes it off.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn read<T>(&mut self, wire: &mut Wire<T>, length: usize) -> Result<(Head, Memo), Refusal> {
        let text = wire.buffer.get(..length).unwrap_or_default();
        // A copy: the body gets the buffer for itself, and of what is kept nothing is larger than the head.
        let text = Bytes::copy_from_slice(text);
        wire.skip(length);
        let head = request::read(&text, wire.options.max_headers)?;
        // A request for a stream is followed by none for long, so that its head would only take memory.
        let memo = Memo::default();
        self.last = (head.parts.method == Method::POST).then(|| {
            let (head, memo) = (head.clone(), memo.clone());
            Box::new(Last { text, head, memo })
        });
        Ok((head, memo))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::listen::ListenOptions;

    /// Whether the head at the front was read anew, and what it says.
    fn read(heads: &mut Heads, head: &str) -> (bool, Result<Head, Refusal>) {
        let options = Arc::new(ListenOptions::new("127.0.0.1:0".parse().unwrap()));
        let mut wire = Wire::new(tokio::io::empty(), options);
        wire.buffer.extend_from_slice(head.as_bytes());
        wire.buffer.extend_from_slice(b"body");
        let before = heads.last.as_ref().map(|last| Arc::clone(&last.head.parts));
        let again = heads.again(&mut wire).map(Ok);
        let read = again.unwrap_or_else(|| heads.read(&mut wire, head.len()));
        let read = read.map(|(head, memo)| {
            // What was made of a head goes with it.
            let parts = Arc::as_ptr(&head.parts).addr();
            assert!(memo.recall::<usize>().is_none_or(|made| *made == parts));
            memo.keep(Arc::new(parts));
            head
        });
        assert_eq!(*wire.buffer, *b"body");
        let again = |head: &Head| before.is_some_and(|before| Arc::ptr_eq(&before, &head.parts));
        (!read.as_ref().is_ok_and(again), read)
    }

    #[test]
    fn only_the_same_bytes_are_not_read_again() {
        let post = |fields: &str| format!("POST /mcp HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let token = |token: &str| post(&format!("Authorization: Bearer {token}\r\nContent-Length: 4\r\n"));
        let mut heads = Heads::default();
        let (first, same) = (token("a"), token("a"));
        assert!(read(&mut heads, &first).0);
        assert!(!read(&mut heads, &same).0);
        for other in [
            token("b"),
            token("aa"),
            token("a").replace("Authorization", "authorization"),
            token("a").replace("/mcp", "/mcq"),
            token("a").replace("Length: 4", "Length: 3"),
            post("Content-Length: 4\r\n"),
        ] {
            let (anew, head) = read(&mut heads, &other);
            let (mut alone, expected) = (Heads::default(), head.unwrap());
            let (_, head) = read(&mut alone, &other);
            let head = head.unwrap();
            assert!(anew, "{other}");
            assert_eq!(expected.parts.uri, head.parts.uri);
            assert_eq!(expected.parts.headers, head.parts.headers);
            assert_eq!(expected.length, head.length);
            assert!(read(&mut heads, &first).0);
        }
    }

    #[test]
    fn what_is_refused_is_refused_again_and_a_stream_keeps_no_head() {
        let mut heads = Heads::default();
        let twice = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n";
        for _ in 0..2 {
            assert_eq!(read(&mut heads, twice).1.err(), Some(Refusal::Broken));
        }
        assert!(read(&mut heads, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").1.is_ok());
        assert!(heads.last.is_none());
    }
}

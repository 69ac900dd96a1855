//! Messages as lines of text (stdio, every revision): one JSON message a line, and no line break within one.

use bytes::Bytes;
use futures_util::{sink, stream};
use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_net::Duplex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::upstream::stdio::lines::{LineError, Lines};

/// A connection of two pipes. Lines are at most `message_bytes` long: a longer one is an error, after which nothing more is
/// read (P-08). Empty lines are let be.
pub fn lines(
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: impl AsyncWrite + Send + Unpin + 'static,
    message_bytes: usize,
) -> Duplex {
    let lines = Some(Lines::new(reader, message_bytes));
    let incoming = stream::unfold(lines, |lines| async {
        let mut lines = lines?;
        loop {
            match lines.next_line().await {
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => return Some((Ok(line), Some(lines))),
                Ok(None) => return None,
                Err(error) => return Some((Err(unread(error)), None)),
            }
        }
    });
    let outgoing = sink::unfold(writer, |mut writer, message: Bytes| async move {
        let written = async {
            writer.write_all(&line(&message)).await?;
            writer.flush().await
        };
        let written = written.await;
        written.map_err(|error| Fault::gateway("write a message", error))?;
        Ok(writer)
    });
    Duplex {
        incoming: Box::pin(incoming),
        outgoing: Box::pin(outgoing),
    }
}

fn unread(error: LineError) -> Fault {
    let blame = match error {
        LineError::TooLong(_) => Blame::Client,
        LineError::Broken(_) => Blame::Gateway,
    };
    Fault::new(blame, Retry::Never, "read a message", error)
}

/// One message as a line. A line break in it can only be white space between tokens, and becomes a space (P-09).
fn line(message: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(message.len() + 1);
    line.extend_from_slice(message);
    if memchr::memchr2(b'\n', b'\r', &line).is_some() {
        for byte in line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn p_09_a_message_is_one_line_whatever_is_in_it() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut duplex = lines(tokio::io::empty(), near, 100);
        let pretty = Bytes::from_static(b"{\r\n  \"a\": \"x\\n\"\n}");
        duplex.outgoing.send(pretty).await.expect("written");
        duplex.outgoing.send("{}".into()).await.expect("written");
        drop(duplex);
        let mut text = String::new();
        far.read_to_string(&mut text).await.expect("text");
        assert_eq!(text, "{    \"a\": \"x\\n\" }\n{}\n");
    }

    #[tokio::test]
    async fn p_08_a_line_at_the_limit_and_one_past_it() {
        let input: &[u8] = b"12345\n\n\r\n123456\n1\n";
        let duplex = lines(input, tokio::io::sink(), 5);
        let heard: Vec<_> = duplex.incoming.collect().await;
        assert_eq!(heard.len(), 2, "after the long one nothing more is read");
        assert_eq!(heard[0].as_ref().ok(), Some(&Bytes::from_static(b"12345")));
        assert!(heard[1].as_ref().is_err_and(|fault| fault.blame == Blame::Client));
    }
}

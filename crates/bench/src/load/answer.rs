//! Reads one HTTP/1.1 response from a connection.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A response, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) session: Option<String>,
    pub(super) body: Vec<u8>,
}

enum Length {
    Known(usize),
    Chunked,
}

/// What follows on the connection, with what was read too far.
#[derive(Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> anyhow::Result<()> {
        if stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        Ok(())
    }

    /// The next response.
    pub(super) async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> anyhow::Result<Answer> {
        let (head, status, session, length) = loop {
            if let Some(found) = head(&self.buffer)? {
                break found;
            }
            self.more(stream).await?;
        };
        self.buffer.drain(..head);
        let body = match length {
            Length::Known(length) => {
                while self.buffer.len() < length {
                    self.more(stream).await?;
                }
                self.buffer.drain(..length).collect()
            }
            Length::Chunked => self.chunks(stream).await?,
        };
        Ok(Answer {
            status,
            session,
            body,
        })
    }

    async fn chunks<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        // Where the next chunk begins; what lies before it is dropped at once at the end.
        let mut at = 0;
        loop {
            let rest = self.buffer.get(at..).unwrap_or_default();
            match httparse::parse_chunk_size(rest)
                .ok()
                .context("a bad chunk size")?
            {
                httparse::Status::Partial => self.more(stream).await?,
                httparse::Status::Complete((line, size)) => {
                    let start = at + line;
                    let end = start + usize::try_from(size)?;
                    while self.buffer.len() < end + 2 {
                        self.more(stream).await?;
                    }
                    body.extend_from_slice(self.buffer.get(start..end).unwrap_or_default());
                    at = end + 2;
                    if size == 0 {
                        self.buffer.drain(..at);
                        return Ok(body);
                    }
                }
            }
        }
    }
}

type Head = (usize, u16, Option<String>, Length);

fn head(buffer: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(buffer)? else {
        return Ok(None);
    };
    let get = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let length = match get("content-length") {
        Some(length) => Length::Known(length.parse()?),
        None if get("transfer-encoding").is_some() => Length::Chunked,
        None => Length::Known(0),
    };
    let session = get("mcp-session-id").map(str::to_owned);
    Ok(Some((size, response.code.unwrap_or(0), session, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_after_each_other() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nMcp-Session-Id: s\r\n\r\nabcHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n2;x=y\r\ngh\r\n0\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n";
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut reader, mut stream) = (Reader::default(), &wire[..]);
            let first = reader.next(&mut stream).await.unwrap();
            assert_eq!(
                (first.status, first.session.as_deref(), &first.body[..]),
                (200, Some("s"), &b"abc"[..])
            );
            assert_eq!(reader.next(&mut stream).await.unwrap().body, b"defgh");
            assert_eq!(reader.next(&mut stream).await.unwrap().status, 202);
            assert!(reader.next(&mut stream).await.is_err());
        });
    }
}

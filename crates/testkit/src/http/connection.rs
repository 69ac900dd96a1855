//! A connection on which a test writes bytes and reads responses.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, Events, Head, Request, in_time};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// So many bytes to come.
    Length(usize),
    /// Chunks, until an empty one.
    Chunks,
    /// Until the connection ends.
    Close,
    /// Nothing more.
    Nothing,
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
    rest: Rest,
}

impl Connection {
    /// Connects to `address`; requests get the `Host` header `host`.
    ///
    /// # Errors
    /// When nobody listens.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's client, not the product's way out"
    )]
    pub async fn open(address: SocketAddr, host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            host: host.to_owned(),
            buffer: Vec::new(),
            rest: Rest::Nothing,
        })
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the other side has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Ends our side of the connection.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        self.write(&request.wire(&self.host)).await?;
        self.answer().await
    }

    /// Sends a request and reads the head of the response; the body can be read in pieces.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn begin(&mut self, request: &Request) -> anyhow::Result<Head> {
        self.write(&request.wire(&self.host)).await?;
        self.head().await
    }

    /// The next whole response.
    ///
    /// # Errors
    /// When the connection ends before it.
    pub async fn answer(&mut self) -> anyhow::Result<Answer> {
        let head = self.head().await?;
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Answer { head, body })
    }

    /// Reads events from the body that has begun.
    #[must_use]
    pub fn events(self) -> Events {
        Events::new(self)
    }

    /// Whether the other side closes now, having said nothing more.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn is_closed(&mut self) -> anyhow::Result<bool> {
        in_time("the end of the connection", async {
            // A reset is an end too.
            Ok(self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0)
        })
        .await
    }

    async fn more(&mut self) -> anyhow::Result<usize> {
        in_time("more of the response", async {
            Ok(self.stream.read_buf(&mut self.buffer).await?)
        })
        .await
    }

    async fn more_or_fail(&mut self) -> anyhow::Result<()> {
        if self.more().await? == 0 {
            bail!("the connection ended within a response");
        }
        Ok(())
    }

    async fn head(&mut self) -> anyhow::Result<Head> {
        loop {
            if let Some((size, head, rest)) = parse(&self.buffer)? {
                self.buffer.drain(..size);
                // 1xx: the real one follows (RFC 9110 §15.2).
                if head.status >= 200 {
                    self.rest = rest;
                    return Ok(head);
                }
                continue;
            }
            if self.more().await? == 0 {
                bail!(
                    "the connection ended without a response: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
            }
        }
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection ends before the body does.
    pub async fn piece(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        match self.rest {
            Rest::Nothing | Rest::Length(0) => Ok(None),
            Rest::Length(left) => {
                if self.buffer.is_empty() {
                    self.more_or_fail().await?;
                }
                let size = left.min(self.buffer.len());
                self.rest = Rest::Length(left - size);
                Ok(Some(self.buffer.drain(..size).collect()))
            }
            Rest::Close => {
                if self.buffer.is_empty() && self.more().await? == 0 {
                    self.rest = Rest::Nothing;
                    return Ok(None);
                }
                Ok(Some(std::mem::take(&mut self.buffer)))
            }
            Rest::Chunks => self.chunk().await,
        }
    }

    async fn chunk(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            if let httparse::Status::Complete((line, size)) = httparse::parse_chunk_size(&self.buffer)
                .ok()
                .context("a bad chunk size")?
            {
                let end = line + usize::try_from(size)?;
                while self.buffer.len() < end + 2 {
                    self.more_or_fail().await?;
                }
                let piece = self.buffer.drain(..end + 2).skip(line).take(end - line).collect();
                if size == 0 {
                    self.rest = Rest::Nothing;
                    return Ok(None);
                }
                return Ok(Some(piece));
            }
            self.more_or_fail().await?;
        }
    }
}

fn parse(buffer: &[u8]) -> anyhow::Result<Option<(usize, Head, Rest)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(buffer)? else {
        return Ok(None);
    };
    let text = |header: &httparse::Header<'_>| {
        (
            header.name.to_ascii_lowercase(),
            String::from_utf8_lossy(header.value).into_owned(),
        )
    };
    let head = Head {
        status: response.code.unwrap_or(0),
        headers: response.headers.iter().map(text).collect(),
    };
    let rest = if matches!(head.status, 204 | 304) {
        Rest::Nothing
    } else if head.header("transfer-encoding").is_some() {
        Rest::Chunks
    } else if let Some(length) = head.header("content-length") {
        Rest::Length(length.parse()?)
    } else {
        Rest::Close
    };
    Ok(Some((size, head, rest)))
}

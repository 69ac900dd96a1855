//! Something in front of a gateway that does to its traffic what proxies, tunnels and firewalls do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest head.
const HEAD: usize = 64 << 10;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Nothing,
    /// The request loses this header.
    Loses(&'static str),
    /// The answer loses this header.
    Forgets(&'static str),
    /// Requests to paths that begin so get this answer: status line and headers.
    Answers(&'static str, &'static str),
    /// Requests to exactly this path get a 404.
    Misses(&'static str),
    /// Bodies of answers have this replaced.
    Rewrites(&'static str, &'static str),
    /// Event streams are kept until they end.
    Keeps,
    /// Bodies above 1 MiB are refused.
    Cuts,
    /// Errors get a page of its own.
    Covers,
}

/// What stands in front, until dropped.
pub(super) struct Between {
    address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    task: JoinHandle<()>,
}

impl Between {
    /// In front of `server`.
    pub(super) async fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let fault = Arc::new(Mutex::new(Fault::Nothing));
        let shared = Arc::clone(&fault);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = *shared.lock().unwrap_or_else(PoisonError::into_inner);
                // Whichever side ends first ends both.
                tokio::spawn(async move { exchange(client, server, fault).await.ok() });
            }
        });
        Ok(Self { address, fault, task })
    }

    /// What goes wrong from now on.
    pub(super) fn does(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// The origin that clients use.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request and its answer; then the connection ends.
#[expect(clippy::disallowed_methods, reason = "a server of the test's own on loopback")]
async fn exchange(mut client: TcpStream, server: SocketAddr, fault: Fault) -> anyhow::Result<()> {
    let (head, rest) = read_head(&mut client).await?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if let Some(answer) = instead(fault, &path, &head) {
        client.write_all(answer.as_bytes()).await?;
        return Ok(());
    }
    let head = match fault {
        Fault::Loses(name) => without(&head, name),
        _ => head,
    };
    let mut server = TcpStream::connect(server).await?;
    server
        .write_all(with(&head, "connection: close").as_bytes())
        .await?;
    server.write_all(&rest).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asked = async {
        copy(&mut from_client, &mut to_server).await?;
        // The client has gone; the answer may still be wanted.
        std::future::pending::<anyhow::Result<()>>().await
    };
    let answered = async {
        let (head, rest) = read_head(&mut from_server).await?;
        let is_stream = head.to_ascii_lowercase().contains("text/event-stream");
        if fault == Fault::Keeps && is_stream {
            let mut kept = Vec::new();
            from_server.read_to_end(&mut kept).await?;
        }
        let head = match fault {
            Fault::Forgets(name) => without(&head, name),
            Fault::Covers if !head.starts_with("HTTP/1.1 2") => {
                let line = head.lines().next().unwrap_or_default();
                format!(
                    "{line}\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>"
                )
            }
            Fault::Rewrites(from, to) => {
                let mut body = rest;
                from_server.read_to_end(&mut body).await?;
                let body = String::from_utf8_lossy(&body).replace(from, to);
                let head = without(&without(&head, "content-length"), "transfer-encoding");
                let head = with(&head, &format!("content-length: {}", body.len()));
                to_client.write_all(format!("{head}{body}").as_bytes()).await?;
                return Ok(());
            }
            _ => head,
        };
        to_client.write_all(head.as_bytes()).await?;
        if !head.ends_with("<html>") {
            to_client.write_all(&rest).await?;
            copy(&mut from_server, &mut to_client).await?;
        }
        Ok(())
    };
    tokio::select! {
        done = asked => done,
        done = answered => done,
    }
}

/// The answer that the gateway never hears of.
fn instead(fault: Fault, path: &str, head: &str) -> Option<String> {
    let end = "content-length: 0\r\nconnection: close\r\n\r\n";
    match fault {
        Fault::Answers(begin, answer) if path.starts_with(begin) => {
            Some(format!("HTTP/1.1 {answer}\r\n{end}"))
        }
        Fault::Misses(missing) if path == missing => Some(format!("HTTP/1.1 404 Not Found\r\n{end}")),
        Fault::Cuts => {
            let length = value(head, "content-length")?.parse::<u64>().ok()?;
            (length > 1 << 20).then(|| format!("HTTP/1.1 413 Content Too Large\r\n{end}"))
        }
        _ => None,
    }
}

async fn read_head(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> anyhow::Result<(String, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        if let Some(at) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = all.split_off(at + 4);
            return Ok((String::from_utf8(all)?, rest));
        }
        anyhow::ensure!(all.len() < HEAD, "the head is too long");
        anyhow::ensure!(from.read_buf(&mut all).await? > 0, "the head is cut off");
    }
}

fn is(line: &str, name: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let line = head.lines().find(|line| is(line, name))?;
    Some(line.split_once(':')?.1.trim())
}

fn without(head: &str, name: &str) -> String {
    let lines = head.split_inclusive("\r\n");
    lines.filter(|line| !is(line, name)).collect()
}

fn with(head: &str, line: &str) -> String {
    format!("{}\r\n{line}\r\n\r\n", head.trim_end())
}

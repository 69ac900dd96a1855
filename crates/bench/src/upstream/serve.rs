//! Sockets and threads: one thread accepts, each worker is a runtime of its own.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::body::Answer;
use super::message::{self, Lists, Outcome};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

struct Endpoints {
    ten: Lists,
    thousand: Lists,
    sessions: AtomicU64,
}

/// Listens on `address` with `threads` workers, prints the URL, and serves until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub fn run(address: &str, threads: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    writeln!(std::io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let endpoints = Arc::new(Endpoints {
        ten: Lists::new(10),
        thousand: Lists::new(1000),
        sessions: AtomicU64::new(0),
    });
    let workers: Vec<_> = (0..threads.max(1))
        .map(|_| worker(Arc::clone(&endpoints)))
        .collect();
    for (connection, worker) in listener.incoming().zip(workers.iter().cycle()) {
        let Ok(stream) = connection else { continue };
        // A worker that is gone has panicked; the process is of no use any more.
        worker.send(stream).context("a worker ended")?;
    }
    Ok(())
}

fn worker(endpoints: Arc<Endpoints>) -> mpsc::UnboundedSender<std::net::TcpStream> {
    let (sender, mut streams) = mpsc::unbounded_channel::<std::net::TcpStream>();
    std::thread::spawn(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async move {
            while let Some(stream) = streams.recv().await {
                tokio::spawn(connection(stream, Arc::clone(&endpoints)));
            }
        });
        Ok(())
    });
    sender
}

async fn connection(stream: std::net::TcpStream, endpoints: Arc<Endpoints>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let service = service_fn(move |request| {
        let endpoints = Arc::clone(&endpoints);
        async move { Ok::<_, Infallible>(respond(request, &endpoints).await) }
    });
    // A broken connection is the client's affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    Ok(())
}

fn status(code: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::empty());
    *response.status_mut() = code;
    response
}

fn json(text: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(text))));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn respond(request: Request<Incoming>, endpoints: &Endpoints) -> Response<Answer> {
    match *request.method() {
        Method::POST => {}
        Method::DELETE => return status(StatusCode::OK),
        _ => return status(StatusCode::METHOD_NOT_ALLOWED),
    }
    let path = request.uri().path();
    let other = path
        .strip_prefix("/other/")
        .and_then(|rest| rest.strip_suffix("/mcp"))
        .map(Lists::other);
    let lists = match &other {
        Some(lists) => lists,
        None if path.starts_with("/1000") => &endpoints.thousand,
        None => &endpoints.ten,
    };
    let version = request.headers().get("mcp-protocol-version");
    let modern = version.is_some_and(|version| version.as_bytes() == b"2026-07-28");
    let Ok(body) = request.into_body().collect().await else {
        return status(StatusCode::BAD_REQUEST);
    };
    match message::answer(&body.to_bytes(), modern, lists) {
        Outcome::Accepted => status(StatusCode::ACCEPTED),
        Outcome::Message(code, text) => {
            let mut response = json(text);
            *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
            response
        }
        Outcome::Session(text) => {
            let number = endpoints.sessions.fetch_add(1, Ordering::Relaxed);
            let mut response = json(text);
            if let Ok(id) = HeaderValue::from_str(&format!("bench-{number:016x}")) {
                response.headers_mut().insert(SESSION, id);
            }
            response
        }
        Outcome::Progress { token, events, last } => progress(token, events, last),
    }
}

fn progress(token: String, events: u32, last: String) -> Response<Answer> {
    let (sender, receiver) = mpsc::channel(32);
    tokio::spawn(async move {
        for done in 1..=events {
            let event = message::progress_event(&token, done, events);
            if sender.send(Bytes::from(event)).await.is_err() {
                return;
            }
        }
        let _ = sender
            .send(Bytes::from(format!("event: message\ndata: {last}\n\n")))
            .await;
    });
    let mut response = Response::new(Answer::Stream(receiver));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

//! HTTP+SSE of 2024-11-05: one endpoint that streams, one that takes messages.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::{Everything, Hub, Options, hub};
use super::converse::{self, Inbound, QUEUE};
use super::http::{Response, connection, plain};

/// The sessions of one server: where the messages of each go.
#[derive(Default)]
struct Sessions {
    open: Mutex<BTreeMap<String, mpsc::Sender<Inbound>>>,
    /// Makes ids that cannot be guessed from each other.
    ids: RandomState,
    opened: std::sync::atomic::AtomicU64,
}

/// Ends the session when its stream is no longer read.
struct Open {
    sessions: Arc<Sessions>,
    id: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        hub::lock(&self.sessions.open).remove(&self.id);
    }
}

/// Serves events at `/sse` and takes messages at `/messages`.
pub(super) async fn serve(listener: TcpListener, options: Options) {
    let sessions = Arc::new(Sessions::default());
    let (options, shared) = (Arc::new(options), Arc::new(Hub::default()));
    super::accept(listener, |stream| {
        let (sessions, options, shared) = (Arc::clone(&sessions), Arc::clone(&options), Arc::clone(&shared));
        connection(stream, move |request| {
            let sessions = Arc::clone(&sessions);
            let server = Everything::new(Arc::clone(&options), Arc::clone(&shared), None);
            async move {
                match (request.method(), request.uri().path()) {
                    (&Method::GET, "/sse") => open(&sessions, server),
                    (&Method::POST, "/messages") => deliver(&sessions, request).await,
                    (_, "/sse" | "/messages") => plain(StatusCode::METHOD_NOT_ALLOWED),
                    _ => plain(StatusCode::NOT_FOUND),
                }
            }
        })
    })
    .await;
}

fn event(name: &str, data: &[u8]) -> Bytes {
    [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"]
        .concat()
        .into()
}

/// A new session: its first event says where its messages go.
fn open(sessions: &Arc<Sessions>, server: Everything) -> Response {
    let number = sessions.opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = format!("{:016x}{number:04x}", sessions.ids.hash_one(number));
    let (to_server, from_client) = mpsc::channel(QUEUE);
    let (to_client, from_server) = mpsc::channel(QUEUE);
    hub::lock(&sessions.open).insert(id.clone(), to_server);
    tokio::spawn(converse::run(server, received(from_client), to_client));
    let first = event("endpoint", format!("/messages?sessionId={id}").as_bytes());
    let open = Open {
        sessions: Arc::clone(sessions),
        id,
    };
    let later = received(from_server).map(move |message: Bytes| {
        // The session lives as long as this closure.
        let _ = &open;
        event("message", &message)
    });
    let frames = stream::iter([first])
        .chain(later)
        .map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    let mut response = http::Response::new(BodyExt::boxed(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}

async fn deliver(sessions: &Sessions, request: http::Request<Incoming>) -> Response {
    let query: HashMap<_, _> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let id = query.get("sessionId").map(String::as_str).unwrap_or_default();
    let session = hub::lock(&sessions.open).get(id).cloned();
    let Some(session) = session else {
        return plain(StatusCode::NOT_FOUND);
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let inbound = Inbound {
        message: body.to_bytes(),
        parts: Some(parts),
    };
    match session.send(inbound).await {
        Ok(()) => plain(StatusCode::ACCEPTED),
        Err(_) => plain(StatusCode::NOT_FOUND),
    }
}

/// What a channel receives, as a stream.
pub(super) fn received<T: Send + 'static>(
    receiver: mpsc::Receiver<T>,
) -> impl Stream<Item = T> + Send + Sync {
    stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|item| (item, receiver))
    })
}

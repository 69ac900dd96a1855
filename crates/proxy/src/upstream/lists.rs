//! A server's lists, fetched whole: all pages, within bounds.

use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_mcp::catalogue::{CacheHint, Collector, Item, ListKind, Next, parse_page};
use sallyport_mcp::error::METHOD_NOT_FOUND;
use sallyport_mcp::json::quote_into;
use sallyport_mcp::method::Method;
use sallyport_net::Worker;

use super::ground::Ground;
use super::http::{HttpError, Modern, Refused};
use super::presented::Presented;
use super::reply::terminal;
use super::request::{RequestError, Requests, own, result_of};

/// A list as it was fetched.
pub(crate) struct Fetched {
    /// The items, in the server's order.
    pub(crate) items: Vec<Item>,
    /// How long and for whom they may be kept, if the server says so.
    pub(crate) hint: Option<CacheHint>,
    /// Whether the server has more.
    pub(crate) cut: bool,
}

impl Fetched {
    /// How long they may be kept, if the server says so.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        self.hint.map(|hint| Duration::from_millis(hint.ttl_ms))
    }
}

/// Fetches one list. A server that does not know the method has an empty one. With `mirrored`, tools whose annotations
/// are invalid are left out (P-87).
///
/// # Errors
/// A fault when a page cannot be had or read.
pub(crate) async fn fetch(
    server: &impl Requests,
    ground: &Ground,
    kind: ListKind,
    mirrored: bool,
) -> Result<Fetched, Fault> {
    let mut collector = Collector::new(kind);
    let mut cursor: Option<String> = None;
    let mut cut = false;
    loop {
        let result = match server.request(kind.method(), params(cursor.as_deref())).await {
            Ok(result) => result,
            Err(error) if error.code() == Some(METHOD_NOT_FOUND.into()) && cursor.is_none() => {
                return Ok(Fetched {
                    items: Vec::new(),
                    hint: None,
                    cut: false,
                });
            }
            Err(error) => return Err(error.into_fault("fetch a list")),
        };
        let page = parse_page(kind, &result).map_err(|error| Fault::upstream("read a list", error))?;
        let page = if mirrored {
            page.without_bad_annotations()
        } else {
            page
        };
        match collector.add(page) {
            Next::More(next) => cursor = Some(next),
            Next::Done => break,
            Next::Stopped(reason) => {
                tracing::warn!(server = %ground.spec.name, list = kind.member(), ?reason, "a list is cut");
                cut = true;
                break;
            }
        }
    }
    for dropped in collector.dropped.iter().take(20) {
        tracing::warn!(
            server = %ground.spec.name,
            list = kind.member(),
            item = dropped.key,
            reason = %dropped.reason,
            "an item of a list is left out"
        );
    }
    let hint = (!cut && collector.ttl_ms > 0 && collector.ttl_ms < u64::MAX).then_some(CacheHint {
        ttl_ms: collector.ttl_ms,
        scope: collector.scope,
    });
    Ok(Fetched {
        items: collector.finish(),
        hint,
        cut,
    })
}

fn params(cursor: Option<&str>) -> Bytes {
    let Some(cursor) = cursor else {
        return Bytes::from_static(b"{}");
    };
    let mut params = b"{\"cursor\":".to_vec();
    quote_into(&mut params, cursor);
    params.push(b'}');
    params.into()
}

/// The tools of a modern server over HTTP, fetched by whoever found the known ones out of date.
///
/// # Errors
/// A fault when the list cannot be had.
pub(crate) async fn tools(server: &Modern, worker: &Worker, ground: &Ground) -> Result<Vec<Item>, Fault> {
    let asking = Asking {
        server,
        worker,
        patience: ground.spec.limits.handshake,
    };
    let fetched = fetch(&asking, ground, ListKind::Tools, true).await?;
    Ok(fetched.items)
}

/// A modern server asked over one worker's connections.
pub(crate) struct Asking<'a> {
    pub(crate) server: &'a Modern,
    pub(crate) worker: &'a Worker,
    pub(crate) patience: Duration,
}

impl Requests for Asking<'_> {
    async fn request(&self, method: Method, params: Bytes) -> Result<Bytes, RequestError> {
        let outgoing = own(method.as_str(), Presented::gateway().modern_params(&params, None));
        let asked = async {
            let reply = self.server.ask(self.worker, &outgoing, self.patience).await?;
            Ok::<_, HttpError>(terminal(reply).await?)
        };
        let answered = tokio::time::timeout(self.patience, asked)
            .await
            .map_err(|_| Fault::upstream("wait for the answer", "the server took too long"))?;
        match answered {
            Ok(message) => result_of(&message),
            Err(HttpError::Refused(Refused {
                error: Some(error), ..
            })) => Err(RequestError::Refused(error)),
            Err(error) => Err(error.into_fault().into()),
        }
    }
}

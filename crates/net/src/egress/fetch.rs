//! Small documents over the guarded way: metadata, key sets, token requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use tokio::time::timeout;
use url::Url;

use super::{Egress, EgressError, Reach};
use crate::http1::{self, Headers, RequestHead, Timeouts, Trouble};
use crate::worker::Worker;

/// One request for a small document. Redirects are not followed: a 3xx is the answer (SR-05).
pub struct Fetch<'a> {
    /// Method and headers.
    pub head: RequestHead,
    /// What is called.
    pub url: &'a Url,
    /// How far it may reach.
    pub reach: Reach,
    /// The request's body; empty for a GET.
    pub body: &'a [u8],
    /// The longest answer that is taken, in bytes.
    pub limit: usize,
    /// How long everything together may take.
    pub time: Duration,
}

/// A small document.
#[derive(Debug)]
pub struct Fetched {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl Egress {
    /// Fetches a small document over a connection of its own.
    ///
    /// # Errors
    /// [`EgressError`]; a stranger is told [`EgressError::PUBLIC`].
    pub async fn fetch(self: &Arc<Self>, fetch: Fetch<'_>) -> Result<Fetched, EgressError> {
        let target = self.target(fetch.url, fetch.reach)?;
        let host = target.host_text();
        let (worker, limits) = (Worker::new(0), limits(fetch.time));
        let exchange = async {
            let body: &[&[u8]] = if fetch.body.is_empty() { &[] } else { &[fetch.body] };
            let answer = http1::send(&worker, &target, &fetch.head, body, limits).await?;
            let (status, headers) = (answer.status, answer.headers);
            let body = answer.body.whole(fetch.limit).await?;
            Ok::<_, Fault>(Fetched {
                status,
                headers,
                body,
            })
        };
        match timeout(fetch.time, Box::pin(exchange)).await {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(fault)) if !Trouble::of(&fault).is_some_and(Trouble::is_timeout) => {
                Err(EgressError::Fetch { host, source: fault })
            }
            Ok(Err(_)) | Err(_) => Err(EgressError::Timeout(host)),
        }
    }
}

fn limits(time: Duration) -> Timeouts {
    Timeouts {
        connect: time,
        first_byte: time,
        idle: time,
    }
}

//! An HTTP/1.1 client that sends exactly what it is told, wrong things too.

mod answer;
mod connection;
mod events;
mod request;

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;

pub use answer::{Answer, Head};
pub use connection::Connection;
pub use events::{Event, Events};
pub use request::{Request, encode};

/// How long any single answer may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// `future`, unless it takes longer than [`DEADLINE`].
///
/// # Errors
/// The future's, or that it took too long.
pub async fn in_time<T>(what: &str, future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(DEADLINE, future)
        .await
        .with_context(|| format!("{what} took longer than {DEADLINE:?}"))?
}

//! Servers that are reached over HTTP: Streamable HTTP in both eras, and HTTP+SSE.

mod answer;
mod apart;
mod endpoint;
mod events;
mod long;
mod modern;
mod relay;
mod resume;
mod session;
pub(crate) mod sse;

pub(crate) use answer::{HttpError, Refused};
pub(crate) use endpoint::Endpoint;
pub(crate) use modern::Modern;
pub(crate) use session::{Session, spoken};

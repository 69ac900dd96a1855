//! Servers that are reached over Streamable HTTP, in both eras.

mod answer;
mod endpoint;
mod events;
mod modern;
mod relay;
mod resume;
mod session;

pub(crate) use answer::{HttpError, Refused};
pub(crate) use endpoint::Endpoint;
pub(crate) use modern::Modern;
pub(crate) use session::{Session, spoken};

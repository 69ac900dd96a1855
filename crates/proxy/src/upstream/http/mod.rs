//! Servers that are reached over Streamable HTTP, in both eras.

mod answer;
mod endpoint;
mod events;
mod modern;
mod resume;
mod session;

pub(crate) use endpoint::Endpoint;
pub(crate) use modern::Modern;
pub(crate) use session::{Session, spoken};
pub(crate) use answer::{Got, HttpError, Refused};

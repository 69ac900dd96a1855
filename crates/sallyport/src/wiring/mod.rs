//! The parts, put together: only here does anybody know everybody.

mod accounts;
mod admin;
mod assemble;
mod banner;
mod endpoints;
mod fleet;
mod framed;
mod gateway;
mod issuers;
mod live;
mod local;
mod names;
mod offers;
mod people;
mod plan;
pub mod process;
mod rules;
mod service;
mod watch;
mod websocket;

pub use banner::Banner;
pub use gateway::{Gateway, Overrides, Source};
pub(crate) use issuers::examine;
pub use local::Local;
pub(crate) use offers::{Offer, offers};

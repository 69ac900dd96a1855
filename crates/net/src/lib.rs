//! The network: sockets in, sockets out, and the small pieces that every answer is made of.
//!
//! Inbound, one thread accepts and hands connections out in turn to workers ([`listen`]); each request becomes an
//! [`Inbound`] for a [`Service`]. Outbound, [`egress`] is the one way out of the process and [`http1`] the client that
//! speaks over it. Both speak HTTP/1.1 by themselves; others see `http` types and those of this crate.
#![forbid(unsafe_code)]

pub mod body;
pub mod carrier;
pub mod duplex;
pub mod egress;
pub mod framed;
pub mod http1;
pub mod inbound;
pub mod layers;
pub mod listen;
mod memo;
pub mod pull;
pub mod respond;
mod shared;
mod timer;
pub mod worker;
pub mod ws;

pub use body::{Body, Response};
pub use duplex::Duplex;
pub use egress::{Egress, Reach, Target};
pub use inbound::{BodyError, Inbound, Peer, RequestBody};
pub use listen::{ListenOptions, Listener, ServerHandle, Service};
pub use memo::Memo;
pub use shared::SharedBytes;
pub use worker::Worker;

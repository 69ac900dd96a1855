//! A connection that carries whole messages in both directions, whatever frames them: WebSocket, framed TCP, lines of text.
//!
//! Who speaks MCP over such a connection sees neither sockets nor frames. Limits on the size of a message are those of
//! the framing below; a stream that ends without an error was closed in good order by the peer.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use sallyport_core::fault::Fault;

/// Messages from the peer, one JSON-RPC message (or batch) each. After an error nothing follows.
pub type Incoming = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

/// Messages to the peer. Messages that were fed and not yet flushed may share one write; a sink that is not ready is a peer
/// that does not read. Closing it closes the connection in good order.
pub type Outgoing = Pin<Box<dyn Sink<Bytes, Error = Fault> + Send>>;

/// Both directions. Dropping both halves closes the connection at once.
pub struct Duplex {
    /// What the peer says.
    pub incoming: Incoming,
    /// What is said to it.
    pub outgoing: Outgoing,
}

//! The settings of a listener.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::Fixed;

/// How the work is spread over threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Threads {
    /// Each worker is a thread with a runtime and upstream connections of its own; a connection stays where it was dealt,
    /// unless all of its requests are drawn to another ([`crate::pull`]). A request costs least this way.
    #[default]
    PerCore,
    /// One runtime whose threads share all work: the way out where few busy connections would starve one core.
    Shared,
}

/// The settings of a listener. The defaults are those of the product.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The addresses to bind.
    pub addrs: Vec<SocketAddr>,
    /// The number of worker threads; the number of cores by default.
    pub workers: usize,
    /// How the work is spread over these threads.
    pub threads: Threads,
    /// The name of the threads in the operating system's lists, followed by the worker's number.
    pub name: &'static str,
    /// From a connection's start, or from a request's first byte, to the end of the request's head (HT-07).
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// How long a request's body may be silent, and how long it may take besides what [`Self::body_rate`] gives it.
    pub body_timeout: Duration,
    /// The least bytes per second of a request's body.
    pub body_rate: u32,
    /// How long a client may take nothing of an answer that waits to be written.
    pub write_timeout: Duration,
    /// The most header fields of a request; more are answered 431.
    pub max_headers: usize,
    /// The longest head of a request in bytes; longer ones are answered 431.
    pub max_header_bytes: usize,
    /// How many bytes of an answer are put together for one write, and so held back when the client is slow.
    pub buffer_bytes: usize,
    /// The most connections at once; more are closed at once.
    pub max_connections: usize,
    /// The most connections of one peer at once (one IPv4 address, one IPv6 /64); more are closed at once.
    pub max_per_peer: usize,
    /// Peers without a bound of their own: the proxies in front.
    pub unbounded_peers: Vec<IpNet>,
    /// What is read of a body that nobody wants before the early answer is sent; beyond it the connection is closed.
    pub drain_bytes: usize,
    /// How long is waited for such a body.
    pub drain_timeout: Duration,
    /// What every answer says.
    pub fixed: Fixed,
    /// After a shutdown began: how long running requests may take to end.
    pub shutdown_timeout: Duration,
}

impl ListenOptions {
    /// The defaults, for one address.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addrs: vec![addr],
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            threads: Threads::default(),
            name: "worker",
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(10),
            body_rate: 4 * 1024,
            write_timeout: Duration::from_secs(30),
            max_headers: 100,
            max_header_bytes: 32 * 1024,
            buffer_bytes: 64 * 1024,
            max_connections: 16 * 1024,
            max_per_peer: 4 * 1024,
            unbounded_peers: Vec::new(),
            drain_bytes: 1 << 20,
            drain_timeout: Duration::from_secs(2),
            fixed: Fixed::default(),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

//! The upstreams against real parts: HTTP servers on loopback and child processes.

mod fake;
mod http_apart;
mod http_attacks;
mod http_legacy;
mod http_modern;
mod manage;
mod news;
mod policy;
mod sse;
mod stdio_attacks;
mod stdio_calls;
mod support;
mod talker;
mod websocket;

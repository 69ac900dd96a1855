//! Sallyport, put together: configuration, command line, telemetry and the wiring of all parts.
#![forbid(unsafe_code)]

pub mod config;

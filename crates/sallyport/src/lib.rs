//! Sallyport, put together: configuration, command line, telemetry and the wiring of all parts.
#![forbid(unsafe_code)]

pub mod base;
pub mod child;
pub mod cli;
pub mod config;
mod doctor;
pub mod environment;
pub mod keys;
mod lock;
pub mod master;
pub mod telemetry;
mod wiring;

pub use wiring::{Banner, Gateway, Local, Overrides, Source, process};

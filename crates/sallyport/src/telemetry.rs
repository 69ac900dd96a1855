//! Logs: for people on a terminal, JSON otherwise, always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voice {
    /// The running gateway: everything from `info` on.
    Gateway,
    /// A command: only what went wrong, for people.
    Command,
}

/// Whether people read standard error.
#[must_use]
pub fn is_human() -> bool {
    std::io::stderr().is_terminal()
}

/// Starts logging. `filter` is that of `SALLYPORT_LOG`, in the syntax of `RUST_LOG`; a wrong one is left out of account.
pub fn start(voice: Voice, filter: Option<&str>) {
    let default = match voice {
        Voice::Gateway => "info",
        Voice::Command => "warn",
    };
    let filter = filter.and_then(|filter| EnvFilter::try_new(filter).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A subscriber that is already there (tests) stays.
    let _ = if is_human() || voice == Voice::Command {
        registry
            .with(layer.with_target(false).compact().with_ansi(is_human()))
            .try_init()
    } else {
        registry
            .with(
                layer
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false),
            )
            .try_init()
    };
}

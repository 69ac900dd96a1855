//! Logs: for people on a terminal, JSON otherwise, always on standard error.

mod queue;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use queue::Queue;

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

/// Writes what was logged last when the process ends.
#[must_use = "dropped, it waits for the last lines"]
pub struct Telemetry {
    queue: Option<Queue>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.flush();
        }
    }
}

/// Starts logging. `filter` is that of `SALLYPORT_LOG`, in the syntax of `RUST_LOG`; a wrong one is left out of account.
/// `sallyport::request=debug` adds a line for each MCP request that went well, `sallyport::request=warn` leaves out all.
pub fn start(voice: Voice, filter: Option<&str>) -> Telemetry {
    let default = match voice {
        Voice::Gateway => "info",
        Voice::Command => "warn",
    };
    let filter = filter.and_then(|filter| EnvFilter::try_new(filter).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer();
    let queue = match voice {
        Voice::Gateway => Queue::start(std::io::stderr()).ok(),
        Voice::Command => None,
    };
    // A subscriber that is already there (tests) stays.
    let _ = match &queue {
        Some(queue) if !is_human() => {
            let json = layer
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false);
            registry.with(json.with_writer(queue.clone())).try_init()
        }
        _ => registry
            .with(
                layer
                    .compact()
                    .with_target(false)
                    .with_ansi(is_human())
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    Telemetry { queue }
}

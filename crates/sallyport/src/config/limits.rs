//! `limits`: the bounds on what clients may use.

use sallyport_proxy::spec::{ProxyLimits, ReplayLimits, TaskLimits};

use super::read::section;
use super::value::{ByteSize, Period};

section! {
    /// The bounds on what clients may use.
    Limits {
        /// The largest request body.
        request_bytes: ByteSize = ByteSize::mib(4), within ByteSize::kib(4)..=ByteSize::mib(64);
        /// The deepest nesting of a message.
        depth: usize = 64, within 8..=256;
        /// Legacy sessions of one person and client; the oldest idle one makes room.
        sessions_per_principal: usize = 64, within 1..=65_536;
        /// How long a legacy session is good that nobody uses.
        session_idle: Period = Period::secs(3 * 86_400), within Period::secs(60)..=Period::secs(30 * 86_400);
        /// The age at which a legacy session ends whatever happens.
        session_absolute: Period = Period::secs(30 * 86_400), within Period::secs(60)..=Period::secs(366 * 86_400);
        /// Calls of one person and client in flight at once.
        calls_per_principal: usize = 128, within 1..=65_536;
        /// Open streams of one person and client.
        streams_per_principal: usize = 32, within 1..=65_536;
        /// Calls of one person and client that wait for an answer from the client.
        parked_per_principal: usize = 16, within 1..=65_536;
        /// How long such a call waits.
        parked_for: Period = Period::secs(600), within Period::secs(1)..=Period::secs(86_400);
        /// Tasks of one person and client that run; those that have ended make room.
        tasks_per_principal: usize = 64, within 1..=65_536;
        /// How long the id of a task is good at most.
        task_ttl: Period = Period::secs(86_400), within Period::secs(60)..=Period::secs(30 * 86_400);
        /// The shortest time between two looks at a task.
        task_poll: Period = Period::millis(500), within Period::millis(100)..=Period::secs(60);
        /// Items on one page of a list.
        page_items: usize = 1000, within 1..=100_000;
        /// Time between keep-alive comments on an idle stream.
        keep_alive: Period = Period::secs(15), within Period::secs(1)..=Period::secs(3600);
        /// Connections at once; more wait.
        connections: usize = 16_384, within 1..=1_048_576;
        /// How long a client may take to send the head of a request.
        header_timeout: Period = Period::secs(10), within Period::secs(1)..=Period::secs(300);
        /// How long running requests may go on when the gateway stops.
        drain: Period = Period::secs(30), within Period::secs(0)..=Period::secs(3600);
    }
}

impl From<&Limits> for ProxyLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            request_bytes: limits.request_bytes.0,
            depth: limits.depth,
            sessions_per_principal: limits.sessions_per_principal,
            session_idle: limits.session_idle.0,
            session_absolute: limits.session_absolute.0,
            calls_per_principal: limits.calls_per_principal,
            streams_per_principal: limits.streams_per_principal,
            parked_per_principal: limits.parked_per_principal,
            parked_for: limits.parked_for.0,
            page_items: limits.page_items,
            keep_alive: limits.keep_alive.0,
            replay: ReplayLimits::default(),
            tasks: TaskLimits {
                per_principal: limits.tasks_per_principal,
                ttl: limits.task_ttl.0,
                poll: limits.task_poll.0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_those_in_force() {
        assert_eq!(ProxyLimits::from(&Limits::default()), ProxyLimits::default());
    }
}

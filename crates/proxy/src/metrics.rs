//! What is counted: plain atomics, a set of them for each worker thread, added up when they are read.
//!
//! Every label comes from a closed set; nothing names a person, a client, a session or a tool (IS-13).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sallyport_mcp::revision::Era;

const SHARDS: usize = 16;

/// The upper bounds of the histogram of call times, in milliseconds.
const BOUNDS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000, 30_000, 120_000];

/// Why somebody was not let in.
pub const REASONS: [&str; 9] = [
    "missing",
    "malformed",
    "expired",
    "audience",
    "revoked",
    "scope",
    "user",
    "password",
    "other",
];

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// With a result.
    Ok,
    /// With a JSON-RPC error.
    Error,
    /// Refused by a rule or limit.
    Refused,
    /// Without an end: the client left or cancelled.
    Cancelled,
}

const ENDS: [(Ended, &str); 4] = [
    (Ended::Ok, "ok"),
    (Ended::Error, "error"),
    (Ended::Refused, "refused"),
    (Ended::Cancelled, "cancelled"),
];

/// One worker's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    requests: [AtomicU64; 2],
    calls: [AtomicU64; ENDS.len()],
    times: [AtomicU64; BOUNDS.len() + 1],
    time_sum_ms: AtomicU64,
    auth_failures: [AtomicU64; REASONS.len()],
}

/// The proxy's counters.
#[derive(Debug)]
pub struct Metrics {
    shards: Box<[Shard]>,
    sessions: AtomicI64,
    streams: AtomicI64,
    parked: AtomicI64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that is counted as long as it lives.
#[derive(Debug)]
pub(crate) enum Gauge {
    Sessions,
    Streams,
    Parked,
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            sessions: AtomicI64::new(0),
            streams: AtomicI64::new(0),
            parked: AtomicI64::new(0),
        }
    }

    /// Somebody was not let in; `reason` is one of [`REASONS`], anything else counts as `other`.
    pub fn auth_failure(&self, reason: &str) {
        let place = REASONS
            .iter()
            .position(|r| *r == reason)
            .unwrap_or(REASONS.len() - 1);
        self.add(0, |shard| shard.auth_failures.get(place));
    }

    pub(crate) fn request(&self, worker: usize, era: Era) {
        let place = usize::from(era == Era::Modern);
        self.add(worker, |shard| shard.requests.get(place));
    }

    pub(crate) fn call(&self, worker: usize, ended: Ended, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let end = ENDS.iter().position(|(e, _)| *e == ended).unwrap_or(0);
        let bucket = BOUNDS
            .iter()
            .position(|bound| ms <= *bound)
            .unwrap_or(BOUNDS.len());
        self.add(worker, |shard| shard.calls.get(end));
        self.add(worker, |shard| shard.times.get(bucket));
        if let Some(shard) = self.shards.get(worker % SHARDS) {
            shard.time_sum_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn gauge(&self, gauge: &Gauge, by: i64) {
        let cell = match gauge {
            Gauge::Sessions => &self.sessions,
            Gauge::Streams => &self.streams,
            Gauge::Parked => &self.parked,
        };
        cell.fetch_add(by, Ordering::Relaxed);
    }

    fn add<'a>(&'a self, worker: usize, pick: impl FnOnce(&'a Shard) -> Option<&'a AtomicU64>) {
        if let Some(cell) = self.shards.get(worker % SHARDS).and_then(pick) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sum<'a>(&'a self, pick: impl Fn(&'a Shard) -> Option<&'a AtomicU64>) -> u64 {
        let cells = self.shards.iter().filter_map(pick);
        cells.map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// Appends the Prometheus text form.
    pub fn render(&self, out: &mut String) {
        // Writing to a `String` cannot fail.
        let _ = self.write(out);
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# HELP mcp_gateway_requests_total MCP requests by protocol era."
        )?;
        writeln!(out, "# TYPE mcp_gateway_requests_total counter")?;
        for (place, era) in ["legacy", "modern"].into_iter().enumerate() {
            let n = self.sum(|s| s.requests.get(place));
            writeln!(out, "mcp_gateway_requests_total{{era=\"{era}\"}} {n}")?;
        }
        writeln!(
            out,
            "# HELP mcp_gateway_calls_total Calls of servers by how they ended."
        )?;
        writeln!(out, "# TYPE mcp_gateway_calls_total counter")?;
        for (place, (_, end)) in ENDS.iter().enumerate() {
            let n = self.sum(|s| s.calls.get(place));
            writeln!(out, "mcp_gateway_calls_total{{outcome=\"{end}\"}} {n}")?;
        }
        self.write_times(out)?;
        writeln!(
            out,
            "# HELP mcp_gateway_auth_failures_total Requests and logins that were not let in, by reason."
        )?;
        writeln!(out, "# TYPE mcp_gateway_auth_failures_total counter")?;
        for (place, reason) in REASONS.iter().enumerate() {
            let n = self.sum(|s| s.auth_failures.get(place));
            writeln!(out, "mcp_gateway_auth_failures_total{{reason=\"{reason}\"}} {n}")?;
        }
        let gauges = [
            ("sessions", "Legacy sessions in memory.", &self.sessions),
            ("streams", "Open GET and listen streams.", &self.streams),
            (
                "parked_calls",
                "Calls that wait for an answer from their client.",
                &self.parked,
            ),
        ];
        for (name, help, cell) in gauges {
            writeln!(out, "# HELP mcp_gateway_{name} {help}")?;
            writeln!(out, "# TYPE mcp_gateway_{name} gauge")?;
            writeln!(out, "mcp_gateway_{name} {}", cell.load(Ordering::Relaxed).max(0))?;
        }
        Ok(())
    }

    fn write_times(&self, out: &mut String) -> std::fmt::Result {
        let name = "mcp_gateway_call_duration_seconds";
        writeln!(out, "# HELP {name} Time from a call's start to its end.")?;
        writeln!(out, "# TYPE {name} histogram")?;
        let mut total = 0;
        for (place, bound) in BOUNDS.iter().enumerate() {
            total += self.sum(|s| s.times.get(place));
            let (whole, rest) = (bound / 1000, bound % 1000);
            writeln!(out, "{name}_bucket{{le=\"{whole}.{rest:03}\"}} {total}")?;
        }
        total += self.sum(|s| s.times.last());
        let ms = self.sum(|s| Some(&s.time_sum_ms));
        writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {total}")?;
        writeln!(out, "{name}_sum {}.{:03}", ms / 1000, ms % 1000)?;
        writeln!(out, "{name}_count {total}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_workers() {
        let metrics = Metrics::new();
        metrics.request(0, Era::Modern);
        metrics.request(5, Era::Modern);
        metrics.call(1, Ended::Ok, Duration::from_millis(3));
        metrics.call(2, Ended::Error, Duration::from_secs(600));
        metrics.auth_failure("expired");
        metrics.auth_failure("a reason nobody knows");
        metrics.gauge(&Gauge::Sessions, 1);
        let mut text = String::new();
        metrics.render(&mut text);
        for line in [
            "mcp_gateway_requests_total{era=\"modern\"} 2",
            "mcp_gateway_calls_total{outcome=\"ok\"} 1",
            "mcp_gateway_call_duration_seconds_bucket{le=\"0.005\"} 1",
            "mcp_gateway_call_duration_seconds_bucket{le=\"+Inf\"} 2",
            "mcp_gateway_call_duration_seconds_sum 600.003",
            "mcp_gateway_auth_failures_total{reason=\"expired\"} 1",
            "mcp_gateway_auth_failures_total{reason=\"other\"} 1",
            "mcp_gateway_sessions 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}

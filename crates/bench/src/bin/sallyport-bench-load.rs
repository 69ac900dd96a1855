//! `sallyport-bench-load URL SCENARIO IN_FLIGHT UNTIL [TOKEN_FILE]`: prints one line of JSON.
//! UNTIL is a number of seconds, or of requests on each connection with an `x` behind it.
#![forbid(unsafe_code)]

use std::io::Write as _;

use anyhow::Context as _;
use sallyport_bench::load::{Load, Target, run};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, scenario, in_flight, until, rest @ ..] = arguments.as_slice() else {
        anyhow::bail!("sallyport-bench-load URL SCENARIO IN_FLIGHT UNTIL [TOKEN_FILE]");
    };
    // A file, because arguments can be read by everybody on the machine.
    let token = match rest.first() {
        Some(file) => Some(
            std::fs::read_to_string(file)
                .with_context(|| file.clone())?
                .trim()
                .to_owned(),
        ),
        None => None,
    };
    let load = Load {
        target: Target::parse(url, token)?,
        scenario: scenario.parse()?,
        in_flight: in_flight.parse().context("IN_FLIGHT")?,
        until: until.parse().context("UNTIL")?,
    };
    let report = run(&load)?;
    let requests = report.latency.count();
    let line = serde_json::json!({
        "requests": requests,
        "errors": report.errors,
        "first_error": report.first_error,
        "seconds": report.elapsed.as_secs_f64(),
        "p50_us": report.latency.quantile(500),
        "p99_us": report.latency.quantile(990),
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

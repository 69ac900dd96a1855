//! One run of the load generator and what the measured process used meanwhile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{command, process};

/// What is measured: an endpoint and the processes behind it.
pub(super) struct Side {
    name: &'static str,
    url: String,
    processes: Vec<u32>,
    token: Option<PathBuf>,
}

/// The figures of a run.
#[derive(Clone, Default)]
pub(super) struct Measured {
    requests: f64,
    errors: f64,
    first_error: Option<String>,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_ms_per_1000: f64,
    rss_mib: f64,
}

impl Side {
    pub(super) fn new(name: &'static str, url: &str, processes: Vec<u32>) -> Self {
        Self {
            name,
            url: url.to_owned(),
            processes,
            token: None,
        }
    }

    /// The same with the bearer token in `file`.
    pub(super) fn with_token(mut self, file: &Path) -> Self {
        self.token = Some(file.to_owned());
        self
    }

    /// What it is called in the table.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    fn sum(&self, figure: fn(u32) -> anyhow::Result<u64>) -> anyhow::Result<u64> {
        self.processes.iter().map(|process| figure(*process)).sum()
    }

    /// Runs `scenario` for `seconds`, after a short run that is not counted.
    ///
    /// # Errors
    /// When the load generator fails.
    pub(super) fn measure(
        &self,
        load: &Path,
        scenario: &str,
        in_flight: u32,
        seconds: f64,
    ) -> anyhow::Result<Measured> {
        self.load(load, scenario, in_flight, 0.3)?;
        let before = self.sum(process::cpu_micros)?;
        let answer = self.load(load, scenario, in_flight, seconds)?;
        let used = self.sum(process::cpu_micros)?.saturating_sub(before);
        let number = |name: &str| {
            answer
                .get(name)
                .and_then(serde_json::Value::as_f64)
                .unwrap_or_default()
        };
        let requests = number("requests");
        Ok(Measured {
            requests,
            errors: number("errors"),
            first_error: answer
                .get("first_error")
                .and_then(serde_json::Value::as_str)
                .map(str::to_owned),
            per_second: requests / number("seconds").max(0.001),
            p50_us: number("p50_us"),
            p99_us: number("p99_us"),
            cpu_ms_per_1000: micros(used) / requests.max(1.0),
            rss_mib: micros(self.sum(process::resident_kib)?) / 1024.0,
        })
    }

    fn load(
        &self,
        load: &Path,
        scenario: &str,
        in_flight: u32,
        seconds: f64,
    ) -> anyhow::Result<serde_json::Value> {
        let mut run = Command::new(load);
        run.args([&self.url, scenario, &in_flight.to_string(), &seconds.to_string()])
            .args(&self.token);
        let line = command::quietly(&mut run)?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people, far below 2^52")]
fn micros(value: u64) -> f64 {
    value as f64
}

impl Measured {
    pub(super) const HEAD: &'static str = "| in flight | | CPU ms per 1000 | requests/s | ratio | p50 µs | p99 µs | RSS MiB | errors |\n|---|---|---|---|---|---|---|---|---|";

    /// Each figure's median over the rounds.
    pub(super) fn median(runs: Vec<Self>) -> Self {
        let middle = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = runs.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        Self {
            requests: middle(|run| run.requests),
            errors: runs.iter().map(|run| run.errors).sum(),
            first_error: runs.iter().find_map(|run| run.first_error.clone()),
            per_second: middle(|run| run.per_second),
            p50_us: middle(|run| run.p50_us),
            p99_us: middle(|run| run.p99_us),
            cpu_ms_per_1000: middle(|run| run.cpu_ms_per_1000),
            rss_mib: middle(|run| run.rss_mib),
        }
    }

    /// Requests without a right answer.
    pub(super) fn errors(&self) -> f64 {
        self.errors
    }

    /// A line of the table; `bare` is what the ratio is to.
    pub(super) fn row(&self, who: &str, in_flight: u32, bare: Option<&Self>) -> String {
        let ratio = bare.map_or_else(
            || "1".to_owned(),
            |bare| format!("{:.2}", self.per_second / bare.per_second.max(1.0)),
        );
        let errors = match &self.first_error {
            None => "0".to_owned(),
            Some(error) => format!("{} ({})", self.errors, error.replace(['|', '\n'], " ")),
        };
        format!(
            "| {in_flight} | {who} | {:.1} | {:.0} | {ratio} | {:.0} | {:.0} | {:.0} | {errors} |",
            self.cpu_ms_per_1000, self.per_second, self.p50_us, self.p99_us, self.rss_mib
        )
    }
}

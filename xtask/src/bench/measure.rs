//! One run of the load generator and what the measured process used meanwhile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::gateway::Gateway;
use crate::{command, process, say};

/// What is measured: an endpoint and the processes behind it.
pub(super) struct Side {
    name: String,
    url: String,
    processes: Vec<u32>,
    token: Option<PathBuf>,
}

/// The figures of a run.
#[derive(Default)]
pub(super) struct Measured {
    errors: f64,
    first_error: Option<String>,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_ms_per_1000: f64,
    rss_mib: f64,
}

impl Side {
    pub(super) fn new(name: &str, url: &str, processes: Vec<u32>) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            processes,
            token: None,
        }
    }

    /// The profile `slug` of `gateway`, with a token in `folder`.
    ///
    /// # Errors
    /// When it gives no token.
    pub(super) fn of(name: &str, gateway: &Gateway, folder: &Path, slug: &str) -> anyhow::Result<Self> {
        let token = folder.join(format!("{slug}.token"));
        std::fs::write(&token, gateway.token(slug)?)?;
        Ok(Self {
            token: Some(token),
            ..Self::new(name, &gateway.url(slug), vec![gateway.id()])
        })
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

/// The head of a table of [`Rounds::print`].
pub(super) const HEAD: &str = "| in flight | | CPU ms per 1000 | × first | goal | requests/s | p50 µs | p99 µs | RSS MiB | errors |\n|---|---|---|---|---|---|---|---|---|---|";

/// What all sides did under one load.
pub(super) struct Rounds<'a> {
    sides: &'a [Side],
    /// By round, then by side.
    runs: Vec<Vec<Measured>>,
}

impl<'a> Rounds<'a> {
    /// Measures the sides in turn, so that a slow minute of the machine falls on all.
    ///
    /// # Errors
    /// When the load generator fails.
    pub(super) fn of(
        sides: &'a [Side],
        rounds: u32,
        measure: impl Fn(&Side) -> anyhow::Result<Measured>,
    ) -> anyhow::Result<Self> {
        let runs = (0..rounds)
            .map(|_| sides.iter().map(&measure).collect())
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { sides, runs })
    }

    /// The CPU of a side as a multiple of the first side's in the same round: the median over the rounds.
    pub(super) fn ratio(&self, side: usize) -> Option<f64> {
        let ratios = self.runs.iter().filter_map(|round| {
            let (first, side) = (round.first()?, round.get(side)?);
            Some(side.cpu_ms_per_1000 / first.cpu_ms_per_1000.max(0.001))
        });
        median(ratios.collect())
    }

    /// The median CPU of a side, in milliseconds per 1000 requests.
    pub(super) fn cpu(&self, side: usize) -> Option<f64> {
        self.median(side, |run| run.cpu_ms_per_1000)
    }

    /// Requests without a right answer.
    pub(super) fn errors(&self) -> f64 {
        self.runs.iter().flatten().map(|run| run.errors).sum()
    }

    /// Prints a line for each side: each figure's median over the rounds.
    pub(super) fn print(&self, in_flight: u32, goal: Option<f64>) {
        for (place, side) in self.sides.iter().enumerate() {
            let is_gateway = side.token.is_some();
            let goal = goal
                .filter(|_| is_gateway)
                .map_or(String::new(), |goal| goal.to_string());
            let ratio = match self.ratio(place) {
                Some(ratio) if place > 0 => format!("{ratio:.2}"),
                _ => "1".to_owned(),
            };
            let figure = |figure| self.median(place, figure).unwrap_or_default();
            say::line(format_args!(
                "| {in_flight} | {} | {:.1} | {ratio} | {goal} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
                side.name,
                figure(|run| run.cpu_ms_per_1000),
                figure(|run| run.per_second),
                figure(|run| run.p50_us),
                figure(|run| run.p99_us),
                figure(|run| run.rss_mib),
                self.errors_of(place),
            ));
        }
    }

    fn errors_of(&self, side: usize) -> String {
        let mut runs = self.runs.iter().filter_map(|round| round.get(side));
        let errors: f64 = runs.clone().map(|run| run.errors).sum();
        match runs.find_map(|run| run.first_error.as_deref()) {
            None => errors.to_string(),
            Some(error) => format!("{errors} ({})", error.replace(['|', '\n'], " ")),
        }
    }

    fn median(&self, side: usize, figure: fn(&Measured) -> f64) -> Option<f64> {
        let runs = self.runs.iter().filter_map(|round| round.get(side));
        median(runs.map(figure).collect())
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_minute_of_the_machine_falls_on_both() {
        let sides = [Side::new("nginx", "", vec![]), Side::new("gateway", "", vec![])];
        let run = |cpu| Measured {
            cpu_ms_per_1000: cpu,
            ..Measured::default()
        };
        let runs = [(10.0, 12.0), (30.0, 39.0), (10.0, 15.0)];
        let runs = runs.map(|(nginx, gateway)| vec![run(nginx), run(gateway)]).into();
        let rounds = Rounds { sides: &sides, runs };
        assert_eq!(rounds.ratio(1), Some(1.3));
        assert_eq!(rounds.cpu(1), Some(15.0));
        assert_eq!(rounds.ratio(2), None);
    }
}

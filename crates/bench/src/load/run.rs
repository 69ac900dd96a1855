//! Connections that ask as fast as they are answered.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::answer::Reader;
use super::histogram::Histogram;
use super::request::{self, Scenario, Target};

/// One run.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub target: Target,
    /// What.
    pub scenario: Scenario,
    /// How many connections, each with one request in flight.
    pub in_flight: usize,
    /// For how long.
    pub until: Until,
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// After so many requests on each connection, or at the first error.
    Count(u64),
}

impl FromStr for Until {
    type Err = anyhow::Error;

    /// Seconds, or a number of requests and an `x`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.strip_suffix('x') {
            Some(count) => Ok(Self::Count(count.parse()?)),
            None => Ok(Self::Time(Duration::try_from_secs_f64(text.parse()?)?)),
        }
    }
}

/// What came of it.
#[derive(Default)]
pub struct Report {
    /// How long each answered request took.
    pub latency: Histogram,
    /// Requests without a right answer.
    pub errors: u64,
    /// The first of them in words.
    pub first_error: Option<String>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

/// Runs `load` on the current thread.
///
/// # Errors
/// When the runtime cannot be made; failed requests are counted in the report.
pub fn run(load: &Load) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut connections = tokio::task::JoinSet::new();
        let begin = Instant::now();
        for _ in 0..load.in_flight {
            connections.spawn(connection(load.clone(), begin));
        }
        let mut report = Report::default();
        while let Some(done) = connections.join_next().await {
            let one = done.context("a connection panicked")?;
            report.latency.add(&one.latency);
            report.errors += one.errors;
            report.first_error = report.first_error.or(one.first_error);
        }
        report.elapsed = begin.elapsed();
        Ok(report)
    })
}

async fn connection(load: Load, begin: Instant) -> Report {
    let mut report = Report::default();
    let done = |report: &Report| match load.until {
        Until::Time(time) => begin.elapsed() >= time,
        Until::Count(count) => report.latency.count() >= count || report.errors > 0,
    };
    while !done(&report) {
        // After an error the connection is made anew, a little later, so that a dead target is not stormed.
        if let Err(error) = requests(&load, done, &mut report).await {
            report.errors += 1;
            report.first_error.get_or_insert_with(|| format!("{error:#}"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    report
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load generator is a client of its own"
)]
async fn connect(target: &Target) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(&target.authority).await.context("connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn requests(load: &Load, done: impl Fn(&Report) -> bool, report: &mut Report) -> anyhow::Result<()> {
    let mut stream = connect(&load.target).await?;
    let mut reader = Reader::default();
    let mut session = String::new();
    if !load.scenario.modern() {
        stream.write_all(&request::initialize(&load.target)).await?;
        let answer = reader.next(&mut stream).await.context("initialize")?;
        if answer.status != 200 {
            bail!(
                "initialize: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        session = answer.session.unwrap_or_default();
        stream
            .write_all(&request::initialized(&load.target, &session))
            .await?;
        reader.next(&mut stream).await.context("initialized")?;
    }
    let mut id = 0;
    while !done(report) {
        id += 1;
        let question = request::question(&load.target, load.scenario, &session, id);
        let begin = Instant::now();
        stream.write_all(&question).await?;
        let answer = reader.next(&mut stream).await?;
        let took = begin.elapsed();
        if answer.status != 200 || !load.scenario.is_answer(id, &answer.body) {
            let body = &answer.body;
            let text = String::from_utf8_lossy(body.get(..300).unwrap_or(body));
            bail!("{} with {} bytes: {text}", answer.status, body.len());
        }
        report.latency.record(took);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_by_time_or_by_count() {
        assert!(matches!("0.5".parse(), Ok(Until::Time(time)) if time.as_millis() == 500));
        assert!(matches!("20x".parse(), Ok(Until::Count(20))));
        for wrong in ["", "x", "-1", "1.5x", "20y"] {
            assert!(wrong.parse::<Until>().is_err(), "{wrong}");
        }
    }
}

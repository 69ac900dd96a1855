//! `serve`.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use super::args::ServeArgs;
use super::output;
use super::verb::Run;
use crate::base::load;
use crate::config::Adjustments;
use crate::telemetry;
use crate::wiring::{Gateway, Overrides, Source, process};

/// After the drain, for programs, trail and store; then the process ends anyway.
const LAST_PATIENCE: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT. The first one drains, the second stops at once.
pub(super) async fn serve(run: &Run, args: &ServeArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    process::prepare();
    let mut signals = Signals::listen()?;
    let source = Source {
        location: run.location(),
        adjust: Adjustments {
            listen: args.listen,
            public_url: args.public_url.clone(),
            stdio: args.stdio,
            ..run.adjustments()
        },
    };
    let config = load(&source.location, &source.adjust).await?;
    let drain = config.root.limits.drain.0;
    let overrides = Overrides {
        environment: run.environment.clone(),
        source: Some(source),
        listens: !args.stdio || args.listen.is_some(),
        ..Overrides::default()
    };
    let listens = overrides.listens;
    let mut gateway = tokio::select! {
        started = Gateway::start(config, overrides) => started?,
        () = signals.stop() => return Ok(()),
    };
    let banner = gateway.banner();
    match listens {
        true if telemetry::is_human() => output::note(&banner.text(begun.elapsed(), true)),
        true => banner.log(),
        false => banner.log_notes(),
    }
    if args.stdio
        && let Err(error) = gateway.converse(&args.profile, tokio::io::stdin(), tokio::io::stdout())
    {
        gateway.shutdown().await;
        return Err(error.into());
    }
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                // What is wrong with the file was logged.
                Wish::Reload => drop(gateway.reload().await),
                Wish::Stop => break,
            },
            () = gateway.conversed() => break,
        }
    }
    tracing::info!(
        patience_s = drain.as_secs(),
        "stopping: running requests may end; a second signal stops at once"
    );
    tokio::select! {
        () = gateway.shutdown() => {
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.stop() => Err(Failure::failed("stopped at once")),
        () = tokio::time::sleep(drain + LAST_PATIENCE) => Err(Failure::failed("the stop did not come to its end")),
    }
}

/// What a signal asks for.
#[derive(PartialEq, Eq)]
enum Wish {
    Reload,
    Stop,
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.term.recv() => Wish::Stop,
            _ = self.int.recv() => Wish::Stop,
            _ = self.hup.recv() => Wish::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

//! The command line: what there is to type, and what each verb's exit code means.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 78 the
//! configuration is wrong (then every problem was printed and nothing was started).

mod accounts;
mod approve;
mod args;
mod audit;
mod clients;
mod configuration;
mod doctor;
mod failure;
mod keys;
mod logins;
mod output;
mod serve;
mod servers;
mod token;
mod tokens;
mod tools;
mod users;
mod vault;
mod verb;

use std::process::ExitCode;

use clap::Parser as _;

pub use args::{Cli, Format, Verb};
pub use failure::Failure;

use verb::Run;

use crate::environment::Environment;
use crate::telemetry::{self, Voice};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data; everything else is wrong usage. clap knows which.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Failure::USAGE } else { 0 });
        }
    };
    let environment = Environment::of_process();
    let voice = match cli.verb {
        Verb::Serve(_) => Voice::Gateway,
        _ => Voice::Command,
    };
    let _telemetry = telemetry::start(voice, environment.get("SALLYPORT_LOG"));
    let format = cli.output;
    match Run::new(cli.shared(), environment).verb(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}

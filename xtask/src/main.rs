//! Tasks of the workspace that Cargo has no word for: `cargo xtask test`, `release`, `bench` and `instructions`.
#![forbid(unsafe_code)]

mod bench;
mod command;
mod gateway;
mod instructions;
mod process;
mod provide;
mod release;
mod say;
mod step;
mod versions;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
cargo xtask test [--only STEP]…         runs all steps, or the named ones; the last line is the verdict
cargo xtask release                     builds the program as it is delivered, trained with the load of the benchmark; the
                                        last line is its path
cargo xtask bench [--quick] [--bare] [--profile PROFILE] [--against PROGRAM] [--only SCENARIO]…
                                        measures that program against nginx before the same server, with --bare that
                                        server alone, with --against another build of the gateway; PROFILE is one of
                                        Cargo's and measured in its place, `release` without training
cargo xtask instructions                counts instructions per request, and renews the record that `test` compares with";

/// What was asked for.
struct Options<'a> {
    /// The values of every `--only`.
    only: Vec<&'a str>,
    quick: bool,
    bare: bool,
    /// The profile of Cargo that is measured in place of the trained program.
    profile: Option<&'a str>,
    /// Another build of the gateway.
    against: Option<&'a str>,
}

fn options(arguments: &[String]) -> anyhow::Result<Options<'_>> {
    let mut options = Options {
        only: Vec::new(),
        quick: false,
        bare: false,
        profile: None,
        against: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut name = || {
            let name = rest.next().map(String::as_str);
            name.ok_or_else(|| anyhow::anyhow!("{argument} needs a name"))
        };
        match argument.as_str() {
            "--only" => options.only.push(name()?),
            "--profile" => options.profile = Some(name()?),
            "--against" => options.against = Some(name()?),
            "--quick" => options.quick = true,
            "--bare" => options.bare = true,
            other => anyhow::bail!("unknown argument {other}\n{USAGE}"),
        }
    }
    Ok(options)
}

fn run() -> anyhow::Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = arguments.split_first() else {
        anyhow::bail!("{USAGE}");
    };
    let options = options(rest)?;
    let workspace = Workspace::find()?;
    match verb.as_str() {
        "test" => step::run(&workspace, &options.only),
        "release" => release::run(&workspace).map(|()| true),
        "bench" => bench::run(&workspace, &options),
        "instructions" => instructions::renew(&workspace).map(|()| true),
        _ => anyhow::bail!("{USAGE}"),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::line(format_args!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

//! Tasks of the workspace that Cargo has no word for: `cargo xtask test` and `cargo xtask bench`.
#![forbid(unsafe_code)]

mod bench;
mod command;
mod gateway;
mod process;
mod provide;
mod say;
mod step;
mod versions;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
cargo xtask test [--only STEP]…         runs all steps, or the named ones; the last line is the verdict
cargo xtask bench [--quick] [--only SCENARIO]…
                                        measures the gateway against the bare server behind it";

/// The values of every `--only` and whether `--quick` was given.
fn options(arguments: &[String]) -> anyhow::Result<(Vec<&str>, bool)> {
    let (mut only, mut quick) = (Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--only" => only.push(
                rest.next()
                    .ok_or_else(|| anyhow::anyhow!("--only needs a name"))?
                    .as_str(),
            ),
            "--quick" => quick = true,
            other => anyhow::bail!("unknown argument {other}\n{USAGE}"),
        }
    }
    Ok((only, quick))
}

fn run() -> anyhow::Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = arguments.split_first() else {
        anyhow::bail!("{USAGE}");
    };
    let (only, quick) = options(rest)?;
    let workspace = Workspace::find()?;
    match verb.as_str() {
        "test" => step::run(&workspace, &only),
        "bench" => bench::run(&workspace, &only, quick).map(|()| true),
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

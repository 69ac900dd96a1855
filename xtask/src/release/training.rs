//! What the program is trained with: the benchmark's requests, in numbers that stay the same from run to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::PROFILE;
use crate::command;
use crate::gateway::Gateway;
use crate::process::Background;
use crate::workspace::Workspace;

/// The load's scenario, the profile that it goes to, and its requests. `modern` and `legacy` are servers of that era alone:
/// what they say is translated.
const LESSONS: [(&str, &str, u32); 18] = [
    ("call", "default", 16_000),
    ("call-modern", "default", 16_000),
    ("list", "default", 8_000),
    ("list-modern", "default", 8_000),
    ("list", "wide", 4_000),
    ("list-modern", "wide", 4_000),
    ("big", "default", 4_000),
    ("big-modern", "default", 4_000),
    ("progress", "default", 3_200),
    ("progress-modern", "default", 3_200),
    ("call", "stdio", 8_000),
    ("call-modern", "stdio", 8_000),
    ("progress", "stdio", 1_600),
    ("progress-modern", "stdio", 1_600),
    ("call", "modern", 4_000),
    ("progress", "modern", 800),
    ("call-modern", "legacy", 4_000),
    ("progress-modern", "legacy", 800),
];
const IN_FLIGHT: [u32; 2] = [1, 16];

/// Builds what makes and answers the load.
///
/// # Errors
/// When it does not compile.
pub(super) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    let mut build = workspace.cargo();
    build.args(["build", "--quiet", "--bins", "--profile", PROFILE]);
    command::run(build.args(["--package", "sallyport-bench"]))
}

/// Puts `program` under the load, and returns the file with its counts, which it writes when it ends.
///
/// # Errors
/// When something cannot be started, a request has no right answer, or no counts are written.
pub(super) fn run(workspace: &Workspace, program: &Path) -> anyhow::Result<PathBuf> {
    let bench = |name: &str| workspace.program(PROFILE, &format!("sallyport-bench-{name}"));
    let (_upstream, url) =
        Background::with_first_line(&mut Command::new(bench("upstream"))).context("the bare server")?;
    let folder = workspace.scratch("training")?;
    let mut serve = Command::new(program);
    serve.env("LLVM_PROFILE_FILE", folder.join("%p.profraw"));
    let config = config(url.trim_end_matches("/mcp"), &bench("stdio"));
    let gateway = Gateway::start_as(serve, program, &folder, &config, true)?;
    for (scenario, slug, requests) in LESSONS {
        let token = folder.join(format!("{slug}.token"));
        if !token.exists() {
            std::fs::write(&token, gateway.token(slug)?)?;
        }
        for in_flight in IN_FLIGHT {
            let each = requests / in_flight;
            let mut load = Command::new(bench("load"));
            load.args([&gateway.url(slug), scenario, &in_flight.to_string()]);
            load.arg(format!("{each}x")).arg(&token);
            let report = command::quietly(&mut load)?;
            if !is_complete(&report, u64::from(each * in_flight))? {
                bail!("{scenario} at {slug}, {in_flight} in flight: {report}");
            }
        }
    }
    let (counts, log) = (
        folder.join(format!("{}.profraw", gateway.id())),
        gateway.log().to_owned(),
    );
    // It writes them when it is asked to end.
    drop(gateway);
    ensure!(
        counts.is_file(),
        "{} has written no counts, see {}",
        program.display(),
        log.display()
    );
    Ok(counts)
}

/// Whether the load's report is that of so many requests, all with their right answer.
fn is_complete(report: &str, requests: u64) -> anyhow::Result<bool> {
    let report: serde_json::Value = serde_json::from_str(report).with_context(|| report.to_owned())?;
    let number = |name: &str| report.get(name).and_then(serde_json::Value::as_u64);
    Ok(number("requests") == Some(requests) && number("errors") == Some(0))
}

/// A profile for each kind of server.
fn config(origin: &str, program: &Path) -> String {
    format!(
        "servers:\n  bench: {{ url: \"{origin}/mcp\" }}\n  wide: {{ url: \"{origin}/1000/mcp\" }}\n  program: {{ command: \"{program}\" }}\n  old: {{ command: \"{program}\", args: [legacy] }}\n  new: {{ command: \"{program}\", args: [modern] }}\nprofiles:\n  default: {{ servers: [bench] }}\n  wide: {{ servers: [wide] }}\n  stdio: {{ servers: [program] }}\n  legacy: {{ servers: [old] }}\n  modern: {{ servers: [new] }}\n",
        program = program.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_whole_requests() {
        for (scenario, slug, requests) in LESSONS {
            for in_flight in IN_FLIGHT {
                assert_eq!(requests % in_flight, 0, "{scenario} at {slug}");
            }
        }
    }

    #[test]
    fn a_lesson_with_a_wrong_answer_is_none() -> anyhow::Result<()> {
        assert!(is_complete(r#"{"requests":16,"errors":0}"#, 16)?);
        assert!(!is_complete(r#"{"requests":16,"errors":1}"#, 16)?);
        assert!(!is_complete(r#"{"requests":15,"errors":0}"#, 16)?);
        assert!(is_complete("no report", 16).is_err());
        Ok(())
    }
}

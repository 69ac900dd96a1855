//! `cargo xtask release`: the program as it is delivered, laid out for what it does most.
//!
//! A first build counts how often each piece of it runs. It is put under the load of the benchmark, and the compiler
//! reads the counts when it builds the program a second time.

mod flags;
mod profdata;
mod profile;
mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;

use crate::workspace::Workspace;
use crate::{command, say};
use profdata::Profdata;
use profile::Profiles;

/// The profile of Cargo in all builds. It must be one: Cargo mixes it into the names of functions, by which counts are
/// found again.
const PROFILE: &str = "release";

/// What makes the counting program sooner ready. None of it changes which pieces there are to be counted: those are
/// chosen crate by crate, before anything is optimised across crates.
const SOONER: [&str; 3] = ["-Clto=off", "-Clinker-plugin-lto=no", "-Cdebuginfo=0"];

/// Builds the program and prints its path as the last line.
///
/// # Errors
/// As [`build`].
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let program = build(workspace)?;
    say::line(format_args!("{}", program.display()));
    Ok(())
}

/// Builds the program, as far as Cargo finds it out of date, and returns its path.
///
/// # Errors
/// When something cannot be installed, built or started, or when a request of the training has no right answer.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let folder = workspace.trained();
    let host = host()?;
    let tool = Profdata::find(&host)?;
    let aside = folder.join("aside");
    let mut own = vec![format!("-Cprofile-generate={}", aside.display())];
    own.extend(SOONER.map(str::to_owned));
    let (collect, used) = (folder.join("collect"), folder.join("use"));
    let counting = timed("the program that counts", || {
        compile(workspace, &collect, &host, &own)
    })?;
    let profiles = Profiles::of(&folder.join("profile"));
    let profile = match profiles.current()? {
        Some((profile, made)) if is_newer(made, modified(&counting)?) => profile,
        _ => {
            timed("the programs of the benchmark", || training::build(workspace))?;
            let counts = timed("training", || training::run(workspace, &counting))?;
            // What the program said apart from its training: while accounts and tokens were made.
            remove(&aside)?;
            let merged = tool.merge(&counts, &folder)?;
            let (profile, is_new) = profiles.keep(&merged)?;
            if is_new {
                // Nothing in it fits any more, and Cargo would leave it lying beside the new.
                remove(&used)?;
            }
            profile
        }
    };
    let own = [
        format!("-Cprofile-use={}", profile.display()),
        // A function that was not trained, or differs in this build, is compiled as without a profile.
        "-Cllvm-args=-no-pgo-warn-mismatch".to_owned(),
    ];
    let built = timed("the trained program", || compile(workspace, &used, &host, &own))?;
    let program = folder.join("sallyport");
    place(&built, &program)?;
    let lines = built.with_extension("dwp");
    if lines.is_file() {
        place(&lines, &program.with_extension("dwp"))?;
    }
    Ok(program)
}

/// Builds the program in a target folder of its own. The platform is named so that Cargo leaves what only the build runs
/// (build scripts, derives) without these flags.
fn compile(workspace: &Workspace, target: &Path, host: &str, own: &[String]) -> anyhow::Result<PathBuf> {
    let mut build = workspace.cargo();
    build
        .args(["build", "--quiet", "--profile", PROFILE, "--target", host])
        .args(["--package", "sallyport", "--bin", "sallyport"])
        .arg("--target-dir")
        .arg(target)
        .env(flags::ENCODED, flags::with(own));
    command::run(&mut build)?;
    Ok(target.join(host).join(PROFILE).join("sallyport"))
}

/// Whether a profile that was `made` then is one of the program that was `built` then.
fn is_newer(made: SystemTime, built: SystemTime) -> bool {
    made > built
}

fn modified(file: &Path) -> anyhow::Result<SystemTime> {
    let about = fs::metadata(file).with_context(|| file.display().to_string())?;
    Ok(about.modified()?)
}

/// Puts `file` at `place` without taking its room twice where that is possible.
fn place(file: &Path, place: &Path) -> anyhow::Result<()> {
    if place.exists() {
        fs::remove_file(place)?;
    }
    if fs::hard_link(file, place).is_err() {
        fs::copy(file, place).with_context(|| format!("copy {}", file.display()))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

/// The compiler's own platform.
fn host() -> anyhow::Result<String> {
    let about = command::quietly(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// Does `work`, which may take minutes, and says how many it took.
fn timed<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    say::line(format_args!("  {what} …"));
    let begin = Instant::now();
    let done = work()?;
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    say::line(format_args!("  {what}: {minutes:.1} minutes"));
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_profile_made_before_its_program_is_made_again() {
        let built = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert!(is_newer(built + Duration::from_nanos(1), built));
        assert!(!is_newer(built, built));
        assert!(!is_newer(built - Duration::from_secs(1), built));
    }
}

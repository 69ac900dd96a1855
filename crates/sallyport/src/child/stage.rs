//! The last stage: this process becomes the program.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::process::{
    Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};

use super::{CANNOT_START, Request, complain};

/// The soft limit of open files that programs expect; the gateway's own is higher. A program may raise it again.
const OPEN_FILES: u64 = 4096;

/// Asks to be killed with the guard, and becomes the program. Returns only if that fails.
pub(super) fn become_program(request: &Request) -> ExitCode {
    // The guard has one thread only, so the signal follows the guard itself. It survives exec.
    let asked = set_parent_process_death_signal(Some(Signal::KILL));
    // The guard may have ended before it was asked for.
    if asked.is_err() || getppid() != request.parent {
        return ExitCode::from(CANNOT_START);
    }
    let limit = getrlimit(Resource::Nofile);
    let lower = Rlimit {
        current: limit.current.map(|now| now.min(OPEN_FILES)),
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, lower);
    let error = Command::new(&request.command)
        .args(&request.args)
        .current_dir(&request.cwd)
        .exec();
    complain(&format!("cannot start `{}`: {error}", request.command.display()));
    ExitCode::from(CANNOT_START)
}

//! Servers that are child processes and speak over their standard streams.

mod child;
mod env;
mod group;
mod launch;
pub(crate) mod lines;
mod processes;
mod stderr;

use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::fault::Fault;
use tokio::process::Child;

pub(crate) use child::start;
pub(crate) use processes::Processes;

use super::ground::Ground;
use crate::spec::Transport;
use launch::{Program, launch};

/// Starts the configured program, recorded before and after: without a trail there is no new process.
fn spawn(ground: &Ground) -> Result<Child, Fault> {
    const OPERATION: &str = "start the process";
    let Transport::Stdio {
        command,
        args,
        env,
        cwd,
    } = &ground.spec.transport
    else {
        return Err(Fault::gateway(OPERATION, "the server is no process"));
    };
    let event = |outcome| {
        let mut event = Event::new(Action::ProcessSpawn, outcome).on(command);
        event.server = Some(ground.spec.name.clone());
        event
    };
    let unrecorded = |error| Fault::gateway(OPERATION, error);
    ground
        .deps
        .audit
        .record(&event(Outcome::Started))
        .map_err(unrecorded)?;
    let program = Program {
        command,
        args,
        env,
        cwd: cwd.as_deref().unwrap_or(&ground.deps.run_dir),
    };
    let launched = launch(&ground.deps.launcher, &ground.deps.environment, &program);
    let outcome = if launched.is_ok() {
        Outcome::Ok
    } else {
        Outcome::Failed
    };
    ground.deps.audit.record(&event(outcome)).map_err(unrecorded)?;
    let child = launched.map_err(|error| Fault::unreached(OPERATION, error))?;
    ground.counters.spawns.add();
    Ok(child)
}

//! How the program of a stdio server is started, so that nothing of it outlives the gateway.
//!
//! The gateway starts `sallyport __child --cwd DIR -- COMMAND ARGS…`. That process is the **guard**: it starts the
//! program, takes in whatever the program leaves behind (it is a subreaper), and watches the gateway through a pidfd. When
//! the gateway ends in any way, `kill -9` included, the guard ends every descendant, first with SIGTERM, then with
//! SIGKILL. A death signal on the guard itself would not do: it follows the *thread* that started the process.
//!
//! Between guard and program there is one more stage, which asks for a death signal of its own and becomes the program
//! by `exec`: even a guard that is killed leaves no server behind. Standard input, output and error pass straight
//! through; the guard lets go of them once the program runs.

mod descendants;
mod guard;
mod stage;

use std::ffi::OsString;
use std::process::ExitCode;

use rustix::process::Pid;

/// The hidden verb.
pub const VERB: &str = "__child";
/// Ourselves, even when the file has been replaced since.
const SELF: &str = "/proc/self/exe";
/// What a shell answers for a program that cannot be started.
const CANNOT_START: u8 = 127;

/// What to start.
struct Request {
    /// Whether this process is to become the program.
    last_stage: bool,
    /// The process whose end ends everything; the one that started us if not given.
    parent: Option<Pid>,
    cwd: OsString,
    command: OsString,
    args: Vec<OsString>,
}

/// The beginning of the command line by which the gateway starts a guard that ends with it.
#[must_use]
pub fn guard_command() -> Vec<OsString> {
    let pid = std::process::id().to_string();
    vec![SELF.into(), VERB.into(), "--parent".into(), pid.into()]
}

/// Runs the hidden verb with the arguments that follow it. Call it before any thread is started.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(request) = parse(args) else {
        complain("usage: sallyport __child --cwd DIR -- COMMAND ARG…");
        return ExitCode::from(2);
    };
    if request.last_stage {
        stage::become_program(&request)
    } else {
        guard::run(&request)
    }
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Request> {
    let (mut last_stage, mut parent, mut cwd) = (false, None, None);
    loop {
        let arg = args.next()?;
        match arg.to_str() {
            Some("--exec") => last_stage = true,
            Some("--parent") => parent = Pid::from_raw(args.next()?.to_str()?.parse().ok()?),
            Some("--cwd") => cwd = args.next(),
            Some("--") => break,
            _ => return None,
        }
    }
    Some(Request {
        last_stage,
        parent,
        cwd: cwd?,
        command: args.next()?,
        args: args.collect(),
    })
}

/// The one line that the gateway finds in the program's standard error when it cannot be started.
fn complain(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "sallyport: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Option<Request> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn everything_after_the_dashes_is_the_programs() {
        let request =
            parsed(&["--parent", "7", "--cwd", "/x", "--", "npx", "--exec", "--", "-y"]).expect("valid");
        assert!(!request.last_stage);
        assert_eq!(request.parent.map(|pid| pid.as_raw_nonzero().get()), Some(7));
        assert_eq!(request.command, "npx");
        assert_eq!(request.args, ["--exec", "--", "-y"]);
    }

    #[test]
    fn anything_else_is_refused() {
        for args in [
            &[][..],
            &["--cwd", "/x"],
            &["--cwd", "/x", "--"],
            &["--", "npx"],
            &["--cwd", "/x", "npx"],
            &["--parent", "x", "--cwd", "/x", "--", "npx"],
        ] {
            assert!(parsed(args).is_none(), "{args:?}");
        }
    }
}

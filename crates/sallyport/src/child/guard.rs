//! The guard: starts the program, and sees to it that nothing is left when the program or the gateway has ended.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process_group, pidfd_open,
    set_child_subreaper, setsid, wait,
};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::descendants::signal_all;
use super::{CANNOT_START, Request, SELF, VERB, complain};

/// After SIGTERM from the gateway. The gateway waits for longer than this and [`KILLING`] before it kills the guard, which
/// could then not end what has left the group.
const GRACE_STOP: Duration = Duration::from_secs(2);
/// After the gateway has gone: everything has ended within two seconds.
const GRACE_ORPHANED: Duration = Duration::from_secs(1);
/// For what the program left behind when it ended.
const GRACE_LEFTOVERS: Duration = Duration::from_millis(500);
/// How long killed processes may take to vanish before the guard goes too.
const KILLING: Duration = Duration::from_millis(800);
/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at the parent where the kernel has no pidfd.
const LOOK_AT_PARENT: Duration = Duration::from_millis(200);

/// Runs the program to its end, or to the gateway's.
pub(super) fn run(request: &Request) -> ExitCode {
    let parent = request.parent.or_else(getppid);
    close_inherited();
    // Fails where the gateway has already given us a process group: that is as good.
    let _ = setsid();
    let prepared = set_child_subreaper(Some(getpid()));
    // Not the gateway's name: who kills the gateway by name must not hit the guard first.
    let _ = rustix::thread::set_name(c"mcp-guard");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = prepared
        .map_err(io::Error::from)
        .and(runtime)
        .and_then(|runtime| runtime.block_on(supervise(request, parent)));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("the process guard failed: {error}"));
            ExitCode::from(CANNOT_START)
        }
    }
}

async fn supervise(request: &Request, parent: Option<Pid>) -> io::Result<u8> {
    // Before the program starts, so that its end is not missed.
    let mut ended = signal(SignalKind::child())?;
    let mut stop = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ]
    .map(signal);
    let gateway = Gateway::new(parent);
    let program = start(request)?;
    let_go_of_standard_streams()?;
    let mut code = None;
    let grace = loop {
        reap(program, &mut code);
        if code.is_some() {
            break GRACE_LEFTOVERS;
        }
        tokio::select! {
            _ = ended.recv() => {}
            () = gateway.gone() => break GRACE_ORPHANED,
            () = any(&mut stop) => break GRACE_STOP,
        }
    };
    let grace = cut_short(grace, &gateway);
    end_all(grace, &mut ended, program, &mut code).await;
    Ok(code.unwrap_or(CANNOT_START))
}

/// Starts the last stage, which becomes the program.
fn start(request: &Request) -> io::Result<u32> {
    let own = getpid().as_raw_nonzero().to_string();
    let options: [&OsStr; 7] = [
        VERB.as_ref(),
        "--exec".as_ref(),
        "--parent".as_ref(),
        own.as_ref(),
        "--cwd".as_ref(),
        &request.cwd,
        "--".as_ref(),
    ];
    let mut command = Command::new(SELF);
    let child = command
        .args(options)
        .arg(&request.command)
        .args(&request.args)
        .spawn()?;
    Ok(child.id())
}

/// Is over after `grace`, or [`GRACE_ORPHANED`] after the gateway's end if that is sooner.
async fn cut_short(grace: Duration, gateway: &Gateway) {
    let orphaned = async {
        gateway.gone().await;
        sleep(GRACE_ORPHANED).await;
    };
    tokio::select! {
        () = sleep(grace) => {}
        () = orphaned => {}
    }
}

/// Ends every descendant: asks, waits until `grace` is over, kills.
async fn end_all(
    grace: impl Future<Output = ()>,
    ended: &mut SignalStream,
    program: u32,
    code: &mut Option<u8>,
) {
    let mut left = signal_all(Signal::TERM);
    let mut grace = std::pin::pin!(grace);
    while left > 0 {
        tokio::select! {
            biased;
            () = &mut grace => break,
            _ = ended.recv() => {}
            () = sleep(LOOK) => {}
        }
        reap(program, code);
        // A stopped process sees SIGTERM only once it goes on.
        left = signal_all(Signal::CONT);
    }
    let patience = Instant::now() + KILLING;
    while left > 0 && Instant::now() < patience {
        left = signal_all(Signal::KILL);
        sleep(LOOK).await;
        reap(program, code);
    }
    // The last ones may have ended since the last look, the program among them.
    reap(program, code);
    if left > 0 {
        // Something starts processes faster than they are found: the whole group at once, the guard among it.
        let _ = kill_process_group(getpid(), Signal::KILL);
    }
}

/// Collects everything that has ended; keeps the program's exit code.
fn reap(program: u32, code: &mut Option<u8>) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if u32::try_from(pid.as_raw_nonzero().get()) == Ok(program) {
            *code = Some(exit_code(status));
        }
    }
}

/// As a shell says it: the code, or 128 and the signal.
fn exit_code(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(CANNOT_START)
}

async fn any(streams: &mut [io::Result<SignalStream>; 3]) {
    let [term, int, hup] = streams;
    let next = async |stream: &mut io::Result<SignalStream>| match stream {
        Ok(stream) => {
            stream.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = next(term) => {}
        () = next(int) => {}
        () = next(hup) => {}
    }
}

/// The process whose end ends everything.
struct Gateway {
    pid: Option<Pid>,
    handle: Option<AsyncFd<OwnedFd>>,
}

impl Gateway {
    #[expect(
        deprecated,
        reason = "sound for a handle that it owns; what replaces it is an unsafe function"
    )]
    fn new(pid: Option<Pid>) -> Self {
        let handle = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Self {
            pid,
            handle: handle.and_then(|handle| AsyncFd::new(handle).ok()),
        }
    }

    /// Returns when it has ended, at once if it already had when this process started.
    async fn gone(&self) {
        match &self.handle {
            // Another process may have got its number before the handle was opened.
            Some(handle) if getppid() == self.pid => drop(handle.readable().await),
            Some(_) => {}
            None => {
                while getppid() == self.pid {
                    sleep(LOOK_AT_PARENT).await;
                }
            }
        }
    }
}

/// Whatever the gateway was itself handed by whoever started it is not the program's (ST-05).
fn close_inherited() {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        let _ = nix::unistd::close(fd);
    }
}

/// The pipes belong to the program: when it closes them, the gateway has to see that.
fn let_go_of_standard_streams() -> io::Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    Ok(())
}

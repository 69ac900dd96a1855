//! The guard, through the real binary: nothing of a program's tree outlives the gateway, however either ends.

#[cfg(test)]
mod guard {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, ChildStdout, Command, Stdio};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Signal, kill_process, kill_process_group};

    const BINARY: &str = env!("CARGO_BIN_EXE_sallyport");

    /// A guard around a shell script, with pipes as the gateway makes them.
    fn guarded(script: &str) -> Child {
        let mut command = Command::new(BINARY);
        command.args(["__child", "--cwd", "/", "--", "/bin/sh", "-c", script]);
        piped(&mut command)
    }

    fn piped(command: &mut Command) -> Child {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("started")
    }

    fn pid(child: &Child) -> Pid {
        Pid::from_child(child)
    }

    /// Every process of the tree holds the pipe open: it ends when the last of them has.
    fn ends_within(mut stdout: BufReader<ChildStdout>, limit: Duration) -> String {
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = stdout.read_to_string(&mut rest);
            let _ = sender.send(rest);
        });
        let rest = receiver
            .recv_timeout(limit * 5)
            .expect("the pipe was never closed");
        assert!(start.elapsed() <= limit, "it took {:?}", start.elapsed());
        rest
    }

    fn first_line(child: &mut Child) -> (String, BufReader<ChildStdout>) {
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("read");
        (line.trim().to_owned(), stdout)
    }

    /// A program with children in its group and outside of it, some of which ignore SIGTERM.
    const STUBBORN: &str = "trap '' TERM; sleep 1000 & setsid sh -c 'trap \"\" TERM; sleep 1000' & (setsid sleep 1000 &) ; echo ready; wait";

    #[test]
    fn input_output_and_exit_code_pass_straight_through() {
        let mut child = guarded("read line; echo \"got $line\"; echo oops >&2; exit 7");
        let mut stdin = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut stdin, b"hello\n").expect("written");
        let output = child.wait_with_output().expect("ended");
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "got hello\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "oops\n");
    }

    #[test]
    fn a_program_that_ends_by_a_signal_is_told_as_shells_do() {
        let status = guarded("kill -9 $$").wait().expect("ended");
        assert_eq!(status.code(), Some(128 + 9));
    }

    #[test]
    fn a_program_that_is_not_there_is_said_once() {
        let mut command = Command::new(BINARY);
        command.args(["__child", "--cwd", "/", "--", "/nonexistent/program"]);
        let output = piped(&mut command).wait_with_output().expect("ended");
        assert_eq!(output.status.code(), Some(127));
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    }

    #[test]
    fn st_01_arguments_are_never_a_shells() {
        let mut command = Command::new(BINARY);
        command.args([
            "__child",
            "--cwd",
            "/tmp",
            "--",
            "/bin/echo",
            "$(id)",
            "`id`",
            ";id",
            "a\nb",
            "--exec",
        ]);
        let output = piped(&mut command).wait_with_output().expect("ended");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "$(id) `id` ;id a\nb --exec\n"
        );
    }

    #[test]
    fn st_05_nothing_but_the_standard_streams_is_inherited() {
        // The shell hands descriptor 7 on to the guard.
        let mut command = Command::new("/bin/sh");
        let script = format!("exec 7</dev/null; exec {BINARY} __child --cwd / -- /bin/ls /proc/self/fd");
        let output = piped(command.args(["-c", &script]))
            .wait_with_output()
            .expect("ended");
        // `ls` itself opens the directory as 3.
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n3\n");
    }

    #[test]
    fn st_06_the_tree_ends_when_the_gateway_is_killed() {
        // A shell stands for the gateway: it starts the guard and is then killed with SIGKILL.
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            "\"$0\" __child --cwd / -- /bin/sh -c \"$1\" & wait",
            BINARY,
            STUBBORN,
        ]);
        let mut gateway = piped(&mut command);
        let (line, rest) = first_line(&mut gateway);
        assert_eq!(line, "ready");
        kill_process(pid(&gateway), Signal::KILL).expect("killed");
        ends_within(rest, Duration::from_secs(2));
        assert_eq!(gateway.wait().expect("ended").signal(), Some(9));
    }

    #[test]
    fn st_06_the_program_ends_when_the_guard_is_killed() {
        let mut guard = guarded("echo ready; sleep 1000 & wait");
        let (_, rest) = first_line(&mut guard);
        // As the gateway kills: the whole group.
        kill_process_group(pid(&guard), Signal::KILL).expect("killed");
        ends_within(rest, Duration::from_secs(2));
        guard.wait().expect("ended");
        // The guard alone.
        let mut guard = guarded("echo ready; exec sleep 1000");
        let (_, rest) = first_line(&mut guard);
        kill_process(pid(&guard), Signal::KILL).expect("killed");
        ends_within(rest, Duration::from_secs(2));
        guard.wait().expect("ended");
    }

    #[test]
    fn st_06_what_the_program_leaves_behind_is_ended() {
        let mut guard = guarded("(setsid sleep 1000 &); sleep 1000 & echo ready; exit 3");
        let (_, rest) = first_line(&mut guard);
        ends_within(rest, Duration::from_secs(2));
        assert_eq!(guard.wait().expect("ended").code(), Some(3));
    }

    #[test]
    fn st_09_sigterm_ends_a_tree_that_listens() {
        let mut guard = guarded("sleep 1000 & (setsid sleep 1000 &); echo ready; wait");
        let (_, rest) = first_line(&mut guard);
        kill_process(pid(&guard), Signal::TERM).expect("asked");
        ends_within(rest, Duration::from_secs(2));
        assert_eq!(guard.wait().expect("ended").code(), Some(128 + 15));
    }

    #[test]
    fn the_guard_is_small() {
        let mut guard = guarded("echo ready; exec sleep 1000");
        let (_, _rest) = first_line(&mut guard);
        let status = std::fs::read_to_string(format!("/proc/{}/status", guard.id())).expect("readable");
        let anonymous = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .expect("there");
        let kib: u64 = anonymous
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        assert!(kib < 8 * 1024, "{kib} KiB of its own");
        kill_process(pid(&guard), Signal::TERM).expect("asked");
        guard.wait().expect("ended");
    }
}

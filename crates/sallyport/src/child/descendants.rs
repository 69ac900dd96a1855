//! Every process below this one, whatever process group or session it moved to.

use std::collections::{HashMap, HashSet};
use std::fs;

use rustix::process::{Pid, Signal, getpid, kill_process};

/// Sends the signal to every descendant; says how many there were.
pub(super) fn signal_all(signal: Signal) -> usize {
    let below = find();
    for pid in &below {
        // It may have ended in the meantime.
        let _ = kill_process(*pid, signal);
    }
    below.len()
}

/// The descendants that still run. Those that ended and wait for their parent are left out.
fn find() -> Vec<Pid> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| pid_of(entry.file_name().to_str()?)) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        if let Some(parent) = parent_of(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut seen, mut next) = (Vec::new(), HashSet::new(), vec![getpid()]);
    while let Some(parent) = next.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(*child) {
                found.push(*child);
                next.push(*child);
            }
        }
    }
    found
}

fn pid_of(name: &str) -> Option<Pid> {
    Pid::from_raw(name.parse().ok()?)
}

/// The parent of a process that has not ended, from its `stat` line: `PID (NAME) STATE PARENT …`, the name being
/// anything at all.
fn parent_of(stat: &str) -> Option<Pid> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => pid_of(fields.next()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_confuse_the_line() {
        let parent = |line| parent_of(line).map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(parent("12 (sh) S 7 12 12"), Some(7));
        assert_eq!(parent("12 (a) Z 1) R 7 12"), Some(7));
        assert_eq!(parent("12 (sh) Z 7 12"), None);
        assert_eq!(parent(""), None);
    }
}

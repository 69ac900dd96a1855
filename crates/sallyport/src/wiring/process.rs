//! What the gateway asks of the operating system for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one (every connection needs one or two), and forbids core dumps, which
/// would hold keys and tokens.
pub fn prepare() {
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        let raised = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: files.maximum,
                ..files
            },
        );
        if let Err(error) = raised {
            tracing::warn!(%error, soft = ?files.current, "the limit of open files could not be raised");
        }
    }
    if let Err(error) = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    ) {
        tracing::warn!(%error, "core dumps could not be forbidden");
    }
}

/// Resident memory in bytes, if the kernel tells.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// How many files this process has open, if the kernel tells.
#[must_use]
pub fn open_files() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

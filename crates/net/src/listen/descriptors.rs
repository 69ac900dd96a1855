//! How many sockets the process may hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on file descriptors to the hard one, and tells what it is now; `None` is no limit. A relayed
/// stream holds two descriptors.
///
/// To be called once at start, before children are made that should not inherit it.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        let raised = Rlimit {
            current: limits.maximum,
            maximum: limits.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit on file descriptors could not be raised");
        }
    }
    getrlimit(Resource::Nofile).current
}

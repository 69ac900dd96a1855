//! The servers behind: how each is reached, started, watched and spoken to.
//!
//! [`Upstreams`] holds one [`Upstream`] for each configured server. A client's use of a server is a [`Link`]: a legacy
//! session, a child process, or a handle for stateless calls. Nothing of the client's request but the permitted call
//! itself crosses: heads and environments start empty.

mod link;
mod state;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use sallyport_core::audit::Audit;
use sallyport_core::{Clock, Random, ServerName};
use sallyport_net::egress::Egress;

pub use link::{Link, ListenFilter, Listening};
pub use state::{Fleet, ServerState, Speaks, Status};

/// What the upstreams need of the rest.
#[derive(Clone)]
pub struct UpstreamDeps {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance: jitter and identifiers.
    pub random: Arc<dyn Random>,
    /// Every start of a child process is recorded.
    pub audit: Arc<dyn Audit>,
    /// The one way out over the network.
    pub egress: Arc<Egress>,
    /// Where supervisors, children and event streams live: never a data thread.
    pub control: tokio::runtime::Handle,
    /// The working directory of children that configure none.
    pub run_dir: PathBuf,
    /// How children are started.
    pub launcher: Launcher,
    /// The gateway's own environment, read once at start; a child gets the few variables of it that any program needs.
    pub environment: Arc<BTreeMap<OsString, OsString>>,
}

/// How a child process is started.
#[derive(Clone, Debug)]
pub enum Launcher {
    /// Through a program that makes sure that the child's whole process group ends with the gateway. It is called with
    /// these arguments, then `--cwd DIR -- COMMAND ARGS…`.
    Guard(Vec<OsString>),
    /// Directly, in a process group of its own: for tests.
    Direct,
}

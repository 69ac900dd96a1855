//! What the operator configured, as the proxy needs it: servers, profiles, limits.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sallyport_core::policy::{Glob, Rules};
use sallyport_core::{ProfileSlug, Resource, Secret, ServerName};
pub use sallyport_mcp::{Era, Revision, Spoken};

use crate::upstream::ServerState;

/// How a server is reached.
#[derive(Clone)]
pub enum Transport {
    /// One of the two transports over HTTP.
    Http {
        /// The endpoint's URL: http or https.
        url: url::Url,
        /// Static headers, sent with every request; the values may be credentials.
        headers: Vec<(String, Secret<String>)>,
        /// Which of the two.
        form: HttpForm,
    },
    /// A WebSocket.
    WebSocket {
        /// The endpoint's URL: ws or wss.
        url: url::Url,
        /// Static headers of the opening handshake; the values may be credentials.
        headers: Vec<(String, Secret<String>)>,
    },
    /// The framed TCP protocol.
    Tcp {
        /// Host and port: tcp, or tls with TLS.
        url: url::Url,
        /// What the AUTH frame shows; empty where the server wants none.
        token: Secret<String>,
    },
    /// A child process that speaks over its standard input and output.
    Stdio {
        /// The program: a path, or a name that is looked up in `PATH` at start.
        command: String,
        /// Its arguments, passed as they are, never through a shell.
        args: Vec<String>,
        /// What is added to the minimal environment.
        env: BTreeMap<String, Secret<String>>,
        /// The working directory; the data directory's `run/` when absent.
        cwd: Option<PathBuf>,
    },
    /// The demo server in this process.
    Demo,
}

/// Which of the two transports over HTTP a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HttpForm {
    /// Found out by probing: Streamable HTTP first.
    #[default]
    Auto,
    /// Streamable HTTP, of 2025-03-26 and later.
    Streamable,
    /// HTTP+SSE, of 2024-11-05: a stream that is opened with GET, and a second URL to post to.
    Sse,
}

/// Which eras a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// Found out by probing.
    #[default]
    Auto,
    /// Only revisions with `initialize`.
    Legacy,
    /// Only 2026-07-28 and later.
    Modern,
}

/// Whether a server is called with people's accounts there. Only servers over HTTP are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Login {
    /// Never: with what is configured, if anything.
    #[default]
    Never,
    /// Once it has asked for a token.
    IfAsked,
    /// Always.
    Always,
}

/// One server behind the gateway.
#[derive(Clone)]
pub struct ServerSpec {
    /// The operator's name for it.
    pub name: ServerName,
    /// How it is reached.
    pub transport: Transport,
    /// Which eras it speaks.
    pub protocol: Protocol,
    /// Whether one session or process may serve every principal.
    pub shared: bool,
    /// Whether it is called with people's accounts.
    pub login: Login,
    /// How many processes it has, if it is one, and for how long.
    pub processes: Processes,
    /// Timeouts and bounds.
    pub limits: ServerLimits,
    /// Changes whenever anything above does; an unchanged server is left alone on reload.
    pub fingerprint: [u8; 32],
}

/// Which clients share a process of a server that is started here. [`ServerSpec::shared`] means all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProcessPer {
    /// By the server's era: one for each session of a legacy server, which knows its client from the handshake on; one
    /// for each principal of a modern server, which keeps nothing between calls.
    #[default]
    Auto,
    /// Those of one principal that can be asked the same things. Where a legacy server can ask anything, each call that
    /// runs has a process to itself, of at most four.
    Principal,
    /// None: each session has its own. Clients without sessions share as with [`Self::Auto`].
    Session,
}

/// How many processes a server has that is started here, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processes {
    /// Who shares one.
    pub per: ProcessPer,
    /// How long one stays that nobody uses: 15 min. Starting it anew costs a person that comes back a second or two.
    pub idle: Duration,
    /// At once, besides the gateway's own one: 64, which are some 4 GB of a common Node server. Where one more is
    /// needed, the one that has been idle longest ends.
    pub max: usize,
    /// Of one principal at once: 16, a quarter. That is three clients of a person with a call and its questions in each of
    /// five processes, and leaves room for three other people who do the same.
    pub per_principal: usize,
}

impl Processes {
    /// How long a process stays that nobody uses, unless the operator says otherwise.
    pub const IDLE: Duration = Duration::from_secs(15 * 60);
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            per: ProcessPer::default(),
            idle: Self::IDLE,
            max: 64,
            per_principal: 16,
        }
    }
}

/// The timeouts and bounds of one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerLimits {
    /// To connect or start: 10 s.
    pub connect: Duration,
    /// To answer `initialize`, `server/discover` and lists: 10 s. One server that is slower than this does not hold up
    /// the others.
    pub handshake: Duration,
    /// Silence on a running call before it is given up; each message starts it again: 60 s.
    pub idle: Duration,
    /// A running call in all, whatever progress it reports: 30 min.
    pub call: Duration,
    /// The largest message that is taken from the server: 16 MiB.
    pub message_bytes: usize,
    /// Calls in flight at once: 256.
    pub concurrency: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            call: Duration::from_secs(30 * 60),
            message_bytes: 16 << 20,
            concurrency: 256,
        }
    }
}

/// When names are prefixed with the server's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Naming {
    /// Only names that two servers of the profile share; then both are prefixed.
    #[default]
    OnCollision,
    /// All names.
    Always,
    /// None; a name that two servers claim is left out of both.
    Never,
}

/// One endpoint: a profile at `/mcp/{slug}`, or one server alone at `/servers/{name}/mcp`.
#[derive(Clone)]
pub struct EndpointSpec {
    /// What it is.
    pub kind: EndpointKind,
    /// The paths under which it is served, without trailing slash: `/mcp/{slug}`, and `/mcp` for `default`.
    pub paths: Vec<String>,
    /// The resources that name it, one for each path; a token for any of them is good here.
    pub resources: Vec<Resource>,
    /// The servers it shows, in the operator's order.
    pub servers: Vec<ServerName>,
    /// How colliding names are told apart.
    pub naming: Naming,
    /// Who may use what.
    pub rules: Rules,
    /// The tools, by the name that clients see, of which each call has to be approved by a person.
    pub asks: Vec<Glob>,
    /// What of the protocol is spoken there.
    pub spoken: Spoken,
}

/// What an endpoint is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndpointKind {
    /// A profile.
    Profile(ProfileSlug),
    /// One server alone; names are never changed.
    Server(ServerName),
}

/// The bounds on what clients may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyLimits {
    /// The largest request body: 4 MiB.
    pub request_bytes: usize,
    /// The deepest nesting of a message: 64.
    pub depth: usize,
    /// Legacy sessions of one principal: 64; the oldest idle one makes room.
    pub sessions_per_principal: usize,
    /// How long a legacy session is good that nobody uses: 3 days. What was left open on Friday evening goes on on Monday.
    /// It counts from the last use on, which is remembered over restarts to a quarter of an hour.
    pub session_idle: Duration,
    /// The age at which a legacy session ends whatever happens: 30 days.
    pub session_absolute: Duration,
    /// Calls of one principal in flight at once: 128.
    pub calls_per_principal: usize,
    /// Open GET and listen streams of one principal: 32.
    pub streams_per_principal: usize,
    /// Calls of one principal that wait for an answer from the client: 16.
    pub parked_per_principal: usize,
    /// How long such a call waits: 10 min.
    pub parked_for: Duration,
    /// Items on one page of a list: 1000.
    pub page_items: usize,
    /// Time between keep-alive comments on an idle stream: 15 s.
    pub keep_alive: Duration,
    /// What is kept of event streams, so that a legacy client can resume them.
    pub replay: ReplayLimits,
    /// How many tasks there are, and for how long.
    pub tasks: TaskLimits,
}

/// The bounds on tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskLimits {
    /// Tasks of one principal that are not known to have ended: 64, half of the calls that it may have in flight. Those
    /// that have ended make room. A client that has as many gets its further calls answered when they are done.
    pub per_principal: usize,
    /// How long a task's id is good, whatever its server says: 24 h, a night's work and the morning after. For so long a
    /// session or process may be kept open for it.
    pub ttl: Duration,
    /// The shortest time between two looks at a task, for clients to keep to and kept to by the gateway where it looks
    /// itself: 500 ms, quick for a person and no load for a server.
    pub poll: Duration,
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self {
            per_principal: 64,
            ttl: Duration::from_secs(24 * 3600),
            poll: Duration::from_millis(500),
        }
    }
}

/// How much of their event streams legacy clients find again. Modern streams are not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayLimits {
    /// Events of one stream: 256, the progress of a call that a client may miss while it reconnects. The oldest make
    /// room.
    pub events: usize,
    /// Bytes of one stream: 256 KiB, as much as waits for a slow reader. One larger message is kept alone.
    pub bytes: usize,
    /// Streams of one session that nobody reads or writes any more: 16, more than a client has open when its
    /// connection breaks. The longest idle make room.
    pub streams_per_session: usize,
    /// Bytes of all streams of one principal: 32 MiB, two of the largest answers. Beyond that only what is on its way
    /// to a reader is held.
    pub bytes_per_principal: usize,
    /// How long a stream is kept that nobody reads or writes any more: 5 min, a laptop's short sleep.
    pub keep: Duration,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self {
            events: 256,
            bytes: 256 << 10,
            streams_per_session: 16,
            bytes_per_principal: 32 << 20,
            keep: Duration::from_secs(300),
        }
    }
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            request_bytes: 4 << 20,
            depth: 64,
            sessions_per_principal: 64,
            session_idle: Duration::from_secs(3 * 24 * 3600),
            session_absolute: Duration::from_secs(30 * 24 * 3600),
            calls_per_principal: 128,
            streams_per_principal: 32,
            parked_per_principal: 16,
            parked_for: Duration::from_secs(600),
            page_items: 1000,
            keep_alive: Duration::from_secs(15),
            replay: ReplayLimits::default(),
            tasks: TaskLimits::default(),
        }
    }
}

/// Judges what servers offer before clients see it.
pub trait Curate: Send + Sync {
    /// The tools of a server, by their names there, that are held back. Asked when what is known of the server has changed,
    /// and after each [`Proxy::apply`](crate::Proxy::apply); never while a request waits.
    fn held(&self, server: &ServerSpec, state: &ServerState) -> Vec<Box<str>>;
}

/// Everything that a reload may change.
#[derive(Clone)]
pub struct ProxyConfig {
    /// The servers behind.
    pub servers: Vec<ServerSpec>,
    /// The endpoints in front.
    pub endpoints: Vec<EndpointSpec>,
    /// The bounds.
    pub limits: ProxyLimits,
    /// The URL of the protected resource metadata for each resource, as the challenge names it (RFC 9728 §5.1).
    pub public_url: String,
    /// Whether a bearer token is needed; `None` names the local user that everyone is (`auth.mode: none`).
    pub anonymous: Option<sallyport_core::UserId>,
    /// What people, and clients that act in their own name, are called: for whoever asks who calls.
    pub names: Arc<HashMap<sallyport_core::UserId, Box<str>>>,
    /// What holds tools back that nobody has approved; `None` holds back nothing.
    pub curator: Option<Arc<dyn Curate>>,
}

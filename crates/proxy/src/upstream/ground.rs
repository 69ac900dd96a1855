//! What everything about one server stands on: its configuration, the gateway's parts, its tasks and its counts.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sallyport_core::Secret;
use sallyport_core::fault::Fault;
use sallyport_net::{Reach, Target, Worker};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::UpstreamDeps;
use super::account::{Account, Door, Ticket};
use super::backoff::Breaker;
use super::changes::Changes;
use super::counters::Counters;
use super::form::Form;
use super::http::Endpoint;
use super::params::ParamHeaders;
use super::stdio::Processes;
use super::wire::Wire;
use crate::spec::{HttpForm, ServerSpec, Transport};

/// What every call writes to has the memory of two cache lines to itself, so that what lies beside it stays with all threads.
#[repr(align(128))]
struct Apart<T>(T);

/// One configured server.
pub(crate) struct Ground {
    pub(crate) spec: ServerSpec,
    pub(crate) deps: UpstreamDeps,
    pub(crate) counters: Arc<Counters>,
    /// Its tasks, on the control runtime but for those that serve the calls of another.
    pub(crate) tasks: Tasks,
    /// The connections of those tasks.
    pub(crate) worker: Arc<Worker>,
    /// What the supervisor is to look at again.
    pub(crate) changes: Changes,
    /// The server is being removed.
    pub(crate) closing: CancellationToken,
    /// The same, for every call to look at: the token would make the threads wait for each other.
    closed: AtomicBool,
    /// The gateway stops, and the server stays.
    stopping: AtomicBool,
    /// Whether it has asked something on a session's own stream.
    asks_apart: AtomicBool,
    /// Whether it is called with people's accounts.
    pub(crate) door: Arc<Door>,
    /// Where it is, if it speaks HTTP.
    endpoint: Option<Result<Arc<Endpoint>, String>>,
    /// Where it is, if it is connected to otherwise.
    target: Option<Result<Arc<Target>, String>>,
    /// Which of the two transports over HTTP it speaks, as far as that is known.
    pub(crate) form: Form,
    /// The processes that clients use.
    pub(crate) processes: Processes,
    /// Which arguments of its tools are mirrored in headers.
    pub(crate) param_headers: ParamHeaders,
    /// Starts that failed, whoever asked for them: a command that cannot start fails for everyone.
    pub(crate) starts: Mutex<Breaker>,
    /// The server promised to tell of changes of its lists, and cannot be heard.
    is_deaf: AtomicBool,
    /// How often the supervisor has made contact.
    contacts: AtomicU64,
    /// How many calls run.
    in_flight: Apart<AtomicUsize>,
    /// Every open session and process.
    wires: Mutex<Vec<Weak<Wire>>>,
}

impl Ground {
    pub(crate) fn new(spec: ServerSpec, deps: UpstreamDeps, worker: Arc<Worker>) -> Arc<Self> {
        let door = Door::new(&spec, Arc::clone(&deps.accounts));
        let endpoint = match &spec.transport {
            Transport::Http { url, headers, .. } => Some(
                Endpoint::new(&deps.egress, url, headers, &spec.limits)
                    .map(|endpoint| Arc::new(endpoint.behind(&door)))
                    .map_err(|error| error.to_string()),
            ),
            Transport::WebSocket { .. }
            | Transport::Tcp { .. }
            | Transport::Stdio { .. }
            | Transport::Demo => None,
        };
        let target = match &spec.transport {
            Transport::WebSocket { url, .. } | Transport::Tcp { url, .. } => Some(
                deps.egress
                    .target(url, Reach::Operator)
                    .map_err(|error| format!("its URL cannot be used: {error}")),
            ),
            Transport::Http { .. } | Transport::Stdio { .. } | Transport::Demo => None,
        };
        Arc::new(Self {
            in_flight: Apart(AtomicUsize::new(0)),
            tasks: Tasks::new(deps.control.clone()),
            form: Form::new(&spec.transport),
            processes: Processes::new(&spec.processes),
            spec,
            deps,
            counters: Arc::default(),
            worker,
            changes: Changes::default(),
            closing: CancellationToken::new(),
            closed: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            asks_apart: AtomicBool::new(false),
            door,
            endpoint,
            target,
            param_headers: ParamHeaders::default(),
            starts: Mutex::default(),
            is_deaf: AtomicBool::new(false),
            contacts: AtomicU64::new(0),
            wires: Mutex::default(),
        })
    }

    /// Notes whether the news of lists that the server promised can be heard. Where they cannot, lists are asked for again
    /// from time to time.
    pub(crate) fn hears(&self, hears: bool) {
        self.is_deaf.store(!hears, Ordering::Release);
    }

    /// Whether the news of lists that the server promised cannot be heard.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf.load(Ordering::Acquire)
    }

    /// Where the server is.
    ///
    /// # Errors
    /// A fault when the configured URL or a header cannot be used, or the server does not speak HTTP.
    fn endpoint(&self) -> Result<&Arc<Endpoint>, Fault> {
        configured(self.endpoint.as_ref())
    }

    /// Where the server is, with the account that it is to be called with, where it wants one.
    ///
    /// # Errors
    /// As for [`Self::endpoint`].
    pub(crate) fn endpoint_as(&self, account: Option<&Account>) -> Result<Arc<Endpoint>, Fault> {
        let endpoint = self.endpoint()?;
        if !self.door.asks() {
            return Ok(Arc::clone(endpoint));
        }
        let ticket = Ticket {
            door: Arc::clone(&self.door),
            account: account.cloned().unwrap_or_else(Account::gateway),
        };
        Ok(Arc::new(endpoint.with(ticket)))
    }

    /// Where the server is connected to.
    ///
    /// # Errors
    /// A fault when the configured URL cannot be used, or there is none to connect to.
    pub(crate) fn target(&self) -> Result<&Arc<Target>, Fault> {
        configured(self.target.as_ref())
    }

    /// Whether the server is spoken to in conversations, in which nothing says which call a question is about.
    pub(crate) fn converses(&self) -> bool {
        match self.spec.transport {
            Transport::Stdio { .. } | Transport::WebSocket { .. } | Transport::Tcp { .. } => true,
            Transport::Http { .. } => self.form.get() == HttpForm::Sse,
            Transport::Demo => false,
        }
    }

    /// Whether the server may ask something without saying which call it is about: always in conversations, over
    /// Streamable HTTP once it has.
    pub(crate) fn asks_apart(&self) -> bool {
        self.asks_apart.load(Ordering::Acquire) || self.converses()
    }

    /// The server has asked something on a session's own stream.
    pub(crate) fn has_asked_apart(&self) {
        if !self.asks_apart.swap(true, Ordering::AcqRel) {
            tracing::info!(
                server = %self.spec.name,
                "the server does not ask on the stream of its call: from now on each call of a client without sessions \
                 that can be asked has a session to itself"
            );
        }
    }

    /// The server is being removed: nothing new is opened.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.cancel();
    }

    /// The gateway stops: sessions that the next process can go on with are left open.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the gateway stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether the server is being removed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes a place among the calls that may run at once, to be left again.
    ///
    /// # Errors
    /// A fault of ours that is safe to repeat, when all places are taken.
    pub(crate) fn take_place(&self) -> Result<(), Fault> {
        let most = self.spec.limits.concurrency;
        let taken = self
            .in_flight
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then(|| n + 1));
        taken.map(drop).map_err(|_| {
            Fault::new(
                sallyport_core::fault::Blame::Gateway,
                sallyport_core::fault::Retry::Safe,
                "call the server",
                "too many calls are running at this server",
            )
        })
    }

    /// Leaves a place that was taken.
    pub(crate) fn leave_place(&self) {
        self.in_flight.0.fetch_sub(1, Ordering::AcqRel);
    }

    /// The secrets that the server was configured with.
    pub(crate) fn secrets(&self) -> Vec<Secret<String>> {
        match &self.spec.transport {
            Transport::Http { headers, .. } | Transport::WebSocket { headers, .. } => {
                headers.iter().map(|(_, value)| value.clone()).collect()
            }
            Transport::Tcp { token, .. } => vec![token.clone()],
            Transport::Stdio { env, .. } => env.values().cloned().collect(),
            Transport::Demo => Vec::new(),
        }
    }

    /// Remembers an open session or process, to be closed with the server.
    pub(crate) fn opened(&self, wire: &Arc<Wire>) {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        wires.retain(|known| known.strong_count() > 0);
        wires.push(Arc::downgrade(wire));
    }

    /// Closes all sessions and processes, whoever uses them.
    pub(crate) async fn close_wires(&self) {
        let wires = std::mem::take(&mut *self.wires.lock().unwrap_or_else(PoisonError::into_inner));
        let open: Vec<_> = wires.iter().filter_map(Weak::upgrade).collect();
        futures_util::future::join_all(open.iter().map(|wire| wire.close())).await;
    }

    /// The supervisor is in contact again: what failed before says nothing about the server any more.
    pub(crate) fn contact_made(&self) {
        self.contacts.fetch_add(1, Ordering::Relaxed);
        self.started(true);
    }

    /// A number that changes when the supervisor makes contact.
    pub(crate) fn contacts(&self) -> u64 {
        self.contacts.load(Ordering::Relaxed)
    }

    /// A start or handshake has failed or succeeded.
    pub(crate) fn started(&self, well: bool) {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        if well {
            starts.succeeded();
        } else {
            starts.failed(&*self.deps.random);
        }
    }
}

fn configured<T>(place: Option<&Result<Arc<T>, String>>) -> Result<&Arc<T>, Fault> {
    const OPERATION: &str = "read the server's configuration";
    match place {
        Some(Ok(place)) => Ok(place),
        Some(Err(reason)) => Err(Fault::gateway(OPERATION, reason.as_str())),
        None => Err(Fault::gateway(OPERATION, "it has no such URL")),
    }
}

/// Tasks that can be waited for together.
#[derive(Clone)]
pub(crate) struct Tasks {
    handle: tokio::runtime::Handle,
    tracker: TaskTracker,
}

impl Tasks {
    fn new(handle: tokio::runtime::Handle) -> Self {
        Self {
            handle,
            tracker: TaskTracker::new(),
        }
    }

    /// Runs a task on the control runtime.
    pub(crate) fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn_on(task, &self.handle)
    }

    /// Runs a task on another runtime.
    pub(crate) fn spawn_on<F>(&self, runtime: &tokio::runtime::Handle, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn_on(task, runtime);
    }

    /// Waits until all tasks have ended.
    pub(crate) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

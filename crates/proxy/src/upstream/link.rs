//! A client's use of a server.

use std::pin::Pin;
use std::sync::Arc;

use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_mcp::Era;
use sallyport_mcp::log::LogLevel;
use sallyport_net::Worker;

use super::account::Account;
use super::activity::Activity;
use super::changes::Changed;
use super::demo::DemoLink;
use super::ground::Ground;
use super::legacy::LegacyLink;
use super::listen::{ListenFilter, Listening};
use super::modern::ModernLink;
use crate::exchange::{Downstream, OutboundCall, Reply};
use crate::spec::ServerLimits;

/// A client's use of a server. Calls of one client go through one link; it is opened when it is needed and closes when
/// it is idle.
pub struct Link {
    ground: Arc<Ground>,
    kind: Kind,
    client: Era,
    account: Option<Account>,
    activity: Activity,
}

/// A reply on its way.
pub(crate) type Replying<'a> = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send + 'a>>;

pub(crate) enum Kind {
    Legacy(LegacyLink),
    Modern(ModernLink),
    Demo(DemoLink),
}

impl Link {
    pub(crate) fn new(ground: &Arc<Ground>, client: Era, kind: Kind, account: Option<Account>) -> Arc<Self> {
        Arc::new(Self {
            ground: Arc::clone(ground),
            kind,
            client,
            account,
            activity: Activity::new(),
        })
    }

    /// The era that is spoken to the server: the client's own where the server speaks it.
    #[must_use]
    pub fn era(&self) -> Era {
        match &self.kind {
            Kind::Legacy(_) => Era::Legacy,
            Kind::Modern(_) => Era::Modern,
            Kind::Demo(_) => self.client,
        }
    }

    /// Whether it is one with this account.
    pub(crate) fn is_with(&self, account: Option<&Account>) -> bool {
        self.account.as_ref() == account
    }

    /// How many calls run at once, where each has a session or process to itself.
    pub(crate) fn lanes(&self) -> Option<usize> {
        match &self.kind {
            Kind::Legacy(link) => link.lanes(),
            Kind::Modern(_) | Kind::Demo(_) => None,
        }
    }

    /// Whether its server is still configured as it was when the link was made.
    pub(crate) fn is_open(&self) -> bool {
        !self.ground.is_closed()
    }

    /// The bounds of its server.
    pub(crate) fn limits(&self) -> &ServerLimits {
        &self.ground.spec.limits
    }

    /// Keeps the link, and the session or process behind it, from being closed as idle, until the value is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        Hold {
            link: Arc::clone(self),
            _busy: self.enter(),
        }
    }

    /// One more user, until the value is dropped.
    fn enter(self: &Arc<Self>) -> Busy {
        self.activity.enter();
        Busy(Arc::clone(self))
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Sends a call; it ends with the reply. Dropping the future or the reply's stream before the end cancels the call
    /// at the server.
    ///
    /// # Errors
    /// A [`Fault`]. A call that may have been carried out is never sent again.
    pub async fn call(self: &Arc<Self>, worker: &Arc<Worker>, call: OutboundCall) -> Result<Reply, Fault> {
        debug_assert_eq!(call.server, self.ground.spec.name, "a permit is for one server");
        self.ground.take_place()?;
        let kept = Kept(Arc::new(Running(self.enter())));
        self.looked_after(self.dispatch(worker, call, kept).await)
    }

    /// In a box: some of these futures are large, and whoever waits for one would be as large, and be moved with it.
    fn dispatch<'a>(&'a self, worker: &'a Arc<Worker>, call: OutboundCall, kept: Kept) -> Replying<'a> {
        match &self.kind {
            Kind::Legacy(link) => Box::pin(link.call(worker, call, kept)),
            Kind::Modern(link) => link.call(worker, call, kept),
            Kind::Demo(link) => Box::pin(std::future::ready(link.call(call, kept))),
        }
    }

    /// A server that cannot be reached is looked at by its supervisor.
    fn looked_after(&self, reply: Result<Reply, Fault>) -> Result<Reply, Fault> {
        if let Err(fault) = &reply
            && fault.blame == Blame::Upstream
            && fault.retry == Retry::Safe
        {
            self.ground.changes.add(Changed::LISTS);
        }
        reply
    }

    /// Whether its client hears now what is said in the session that it has to itself.
    pub(crate) fn is_heard(&self) -> bool {
        match &self.kind {
            Kind::Legacy(link) => link.is_heard(),
            Kind::Modern(_) | Kind::Demo(_) => false,
        }
    }

    /// The level of the client's session has changed: where the server has a session of this client alone, it is told
    /// without waiting. Others learn of it with the next call.
    pub(crate) fn level_changed(&self, level: LogLevel) {
        if let Kind::Legacy(link) = &self.kind {
            link.level_changed(level);
        }
    }

    /// `notifications/roots/list_changed` of the client's session. Modern servers have no ear for it: they ask for roots
    /// anew with each call.
    ///
    /// # Errors
    /// A [`Fault`] when the server does not take it.
    pub(crate) async fn roots_changed(self: &Arc<Self>, worker: &Arc<Worker>) -> Result<(), Fault> {
        let _busy = self.enter();
        match &self.kind {
            Kind::Legacy(link) => link.roots_changed(worker).await,
            Kind::Modern(_) | Kind::Demo(_) => Ok(()),
        }
    }

    /// Tells `downstream` of updates of the resources in `filter`, until the value is dropped. Changes of lists show in
    /// the fleet, whoever asked.
    ///
    /// # Errors
    /// A [`Fault`] when the server cannot be listened to.
    pub async fn listen(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        filter: ListenFilter,
        downstream: Arc<dyn Downstream>,
    ) -> Result<Listening, Fault> {
        let busy = self.enter();
        let listening = match &self.kind {
            Kind::Legacy(link) => link.listen(worker, filter, downstream).await?,
            Kind::Modern(link) => link.listen(filter, downstream).await?,
            Kind::Demo(_) => Listening::new(filter, self.ground.closing.clone(), Box::new(())),
        };
        Ok(listening.with(busy))
    }
}

/// A link that is kept open.
pub(crate) struct Hold {
    link: Arc<Link>,
    _busy: Busy,
}

impl Hold {
    /// The link.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

/// One user of a link, until dropped.
pub(crate) struct Busy(Arc<Link>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.activity.leave();
    }
}

/// A running call: a user of its link, and a place among the calls that may run at the server at once.
struct Running(Busy);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.ground.leave_place();
    }
}

/// What a running call holds on to: its link, and with it the session or process behind that.
#[derive(Clone)]
pub(crate) struct Kept(#[expect(dead_code, reason = "held until the call ends")] Arc<Running>);

//! A task that a request is about: found by its id, judged by its tool, used at its server.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::audit::{Action, Entry, Outcome};
use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_core::policy::Denied;
use sallyport_core::random::token;
use sallyport_mcp::json;
use sallyport_mcp::meta::{MetaFor, rewrite};
use sallyport_mcp::revision::{Era, Revision};
use sallyport_mcp::session::TaskSeal;
use sallyport_mcp::tasks::{Bounds, Status};

use super::table::{Kept, New};
use super::{bounds, seal, unknown};
use crate::caller::{Caller, Client};
use crate::exchange::{CallParts, Reply};
use crate::record::{self, Record};
use crate::refusal::Refusal;
use crate::route::{Route, TaskOp};
use crate::upstream::Link;
use crate::upstream::reply::terminal;

/// A task that its client may use.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(super) caller: Arc<Caller>,
    pub(super) client: Client,
    /// The tool that it carries out.
    pub(super) route: Route,
    /// As the client knows it.
    pub(super) id: Box<str>,
    pub(super) task: TaskSeal,
}

impl Subject {
    /// Finds a task by the id that a client sent. It belongs to a tool that this principal may at least look at, or it is
    /// unknown.
    ///
    /// # Errors
    /// One and the same for every id that is no good here (P-116). No server is asked.
    pub(crate) fn find(caller: &Arc<Caller>, client: &Client, id: &str) -> Result<Self, Refusal> {
        let task = seal::open(caller, id).ok_or_else(unknown)?;
        let route = Route::of_tool(&caller.endpoint, &task.server, &task.tool).ok_or_else(unknown)?;
        let allowed = route.decide_task(TaskOp::Get, &task.task, caller);
        // Only whether: each request to its server takes a permit of its own.
        let _allowed = allowed.map_err(|_| unknown())?;
        Ok(Self {
            caller: Arc::clone(caller),
            client: client.clone(),
            route,
            id: id.into(),
            task,
        })
    }

    /// The form of tasks that its server speaks.
    pub(crate) fn era(&self) -> Era {
        self.task.era
    }

    /// The server's own id of it.
    pub(crate) fn remote(&self) -> &str {
        &self.task.task
    }

    /// The tool that it carries out.
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// As its client knows it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bounds(&self) -> Bounds {
        bounds(&self.caller.limits.tasks)
    }

    /// What is kept of it; nothing after a restart.
    pub(super) fn known(&self) -> Option<Arc<Kept>> {
        let kept = self.caller.proxy.tasks.get(&self.task.server, &self.task.task)?;
        (kept.owner == self.caller.key).then_some(kept)
    }

    /// Makes sure that something is kept of it.
    ///
    /// # Errors
    /// As for [`Self::kept`].
    pub(crate) async fn keep(&self) -> Result<(), Refusal> {
        self.kept().await.map(drop)
    }

    /// What is kept of it, from now on if nothing was.
    ///
    /// # Errors
    /// Its server cannot be reached, or there is no room.
    pub(super) async fn kept(&self) -> Result<Arc<Kept>, Refusal> {
        if let Some(kept) = self.known() {
            return Ok(kept);
        }
        let link = self.link().await.map_err(|fault| self.failed(&fault))?;
        let new = self.new_kept(&link, Bytes::new(), true);
        let limit = self.caller.limits.tasks.per_principal;
        let entered = self.caller.proxy.tasks.enter(new, limit);
        entered.map_err(|_| Refusal::too_many("tasks"))
    }

    pub(super) fn new_kept(&self, link: &Arc<Link>, state: Bytes, told: bool) -> New {
        let end = Entry {
            server: Some(&self.task.server),
            target: Some(&self.route.visible),
            ..self.caller.entry(Action::TaskEnd, Outcome::Ok)
        };
        New {
            id: self.id.clone(),
            owner: self.caller.key.clone(),
            endpoint: Arc::clone(&self.caller.endpoint.key),
            task: self.task.clone(),
            hold: link.hold(),
            session: match &self.client {
                Client::Legacy(session) => Some(Arc::downgrade(&session.ears)),
                Client::Modern(_) => None,
            },
            progress_token: None,
            told,
            state,
            end: end.to_event(),
            bounds: self.bounds(),
        }
    }

    /// Notes a state that its server told: a raw object with its members, as its client is to see it.
    pub(super) fn saw(&self, status: Status, shown: &[u8]) {
        if let Some(kept) = self.known() {
            let tasks = &self.caller.proxy.tasks;
            tasks.saw(&kept, Bytes::copy_from_slice(shown), status);
        }
    }

    async fn link(&self) -> Result<Arc<Link>, Fault> {
        if let Some(kept) = self.known().filter(|kept| kept.hold.link().is_open()) {
            return Ok(Arc::clone(kept.hold.link()));
        }
        let upstream = self.caller.proxy.upstreams.get(&self.task.server);
        let gone = || Fault::unreached("find the server", "it is not configured any more");
        let ears = self.client.ears(&self.caller, &self.route);
        let link = upstream
            .ok_or_else(gone)?
            .link(&self.caller.worker, self.client.view(), ears)
            .await?;
        if link.era() == self.task.era {
            return Ok(link);
        }
        Err(Fault::upstream(
            "use a task",
            "the server speaks another form of tasks now",
        ))
    }

    /// Asks its server, with these raw parameters, in which the task bears the server's id, under this raw id. The permit
    /// is asked for anew each time.
    ///
    /// # Errors
    /// A fault, also when the permit is gone.
    pub(super) async fn send(&self, op: TaskOp, params: Bytes, id: Bytes) -> Result<Reply, Fault> {
        let allowed = self.route.decide_task(op, &self.task.task, &self.caller);
        let refused = |_| {
            Fault::new(
                Blame::Client,
                Retry::Never,
                "use a task",
                "it is not allowed any more",
            )
        };
        let link = self.link().await?;
        let call = allowed.map_err(refused)?.into_call(CallParts {
            params,
            id,
            progress_token: None,
            log_level: None,
            is_of_task: true,
            flows: false,
        });
        link.call(&self.caller.worker, call).await
    }

    /// Asks its server on the gateway's own behalf, and waits for the whole response.
    ///
    /// # Errors
    /// A fault when there is none.
    pub(super) async fn ask(&self, op: TaskOp, params: Bytes) -> Result<Bytes, Fault> {
        let id = json::quote(&token::<16>(&*self.caller.proxy.random));
        terminal(self.send(op, params, id.into()).await?).await
    }

    /// Parameters of the gateway's own: the task's id at its server, and raw members besides.
    pub(super) fn params(&self, more: &[(&str, &[u8])]) -> Bytes {
        let mut params = br#"{"taskId":"#.to_vec();
        params.extend_from_slice(&json::quote(&self.task.task));
        for (key, raw) in more {
            params.push(b',');
            params.extend_from_slice(&json::quote(key));
            params.push(b':');
            params.extend_from_slice(raw);
        }
        params.push(b'}');
        if self.task.era == Era::Legacy {
            return params.into();
        }
        let view = self.client.view();
        let to = MetaFor::Modern {
            version: Revision::NEWEST_MODERN,
            client_info: view.info.as_deref(),
            capabilities: &self.client.can().for_server(Era::Modern, Era::Legacy),
            log_level: None,
        };
        rewrite(&params, to).into()
    }

    /// Whether the token allows an operation on a task that it may be looked at with.
    ///
    /// # Errors
    /// The scopes that it takes; the refusal is recorded.
    pub(super) fn allow(&self, op: TaskOp) -> Result<(), Refusal> {
        match self.route.decide_task(op, &self.task.task, &self.caller) {
            Ok(_) => Ok(()),
            Err(Denied::Scope(level)) => {
                let action = action_of(op).unwrap_or(Action::Denied);
                self.caller.denied(action, &self.route.visible, "scope");
                Err(Refusal::scope(
                    &self.caller.principal.scopes,
                    &self.task.server,
                    level,
                ))
            }
            Err(_) => Err(unknown()),
        }
    }

    /// Opens the record of an operation that changes the task.
    ///
    /// # Errors
    /// The trail cannot be written.
    pub(super) fn record(&self, op: TaskOp) -> Result<Record, Refusal> {
        let subject = action_of(op).map(|action| record::Subject {
            action,
            server: self.task.server.clone(),
            target: self.route.visible.clone(),
        });
        Record::open(&self.caller, subject).map_err(|_| Refusal::unrecorded())
    }

    /// Logs a failure, once, and makes the client's error of it.
    pub(super) fn failed(&self, fault: &Fault) -> Refusal {
        tracing::warn!(
            server = %self.task.server,
            request = %self.caller.request,
            blame = ?fault.blame,
            "a task cannot be used: {fault}"
        );
        Refusal::fault(fault)
    }
}

/// What an operation is in the trail, if it changes the task.
fn action_of(op: TaskOp) -> Option<Action> {
    match op {
        TaskOp::Update => Some(Action::TaskUpdate),
        TaskOp::Cancel => Some(Action::TaskCancel),
        TaskOp::Get | TaskOp::Result => None,
    }
}

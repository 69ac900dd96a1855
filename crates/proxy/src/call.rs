//! One request on its way through the gateway. Read this first: it is the list of the steps.
//!
//! | step | from → to | where |
//! | --- | --- | --- |
//! | receive | a request's head, its body bounded | [`serve`], [`crate::front`] |
//! | authenticate | bearer token → [`Caller`] | [`crate::door`] |
//! | parse | bytes → envelope, borrowed | [`crate::front`] |
//! | route | the client's name → [`Route`], within what the endpoint shows | [`prepare`] |
//! | decide | → a permit, or a refusal that looks like an unknown name | [`prepare`], [`Call::send`] |
//! | open | the audit record's start | [`prepare`] |
//! | credential | → the link of this principal to the server | [`Call::send`] |
//! | build | permit by value, names the server's own → `OutboundCall` | [`Call::send`] |
//! | send | by value, once → a whole answer or a stream | [`Call::send`] |
//! | answer | → the client's era, bounded | [`crate::relay`], [`crate::deliver`] |
//! | close | the record's end, also on drop | [`crate::record`] |

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::fault::Fault;
use sallyport_core::policy::{Broken, Denied};
use sallyport_core::{Level, SmolStr};
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::revision::Era;
use sallyport_net::{Inbound, Response, Worker};

use crate::Proxy;
use crate::caller::{Caller, Client, unknown};
use crate::exchange::{CallParts, Reply};
use crate::limits::{Kind, Slot};
use crate::record::{Record, Subject};
use crate::refusal::Refusal;
use crate::route::{Allowed, Route, What};
use crate::running::RunningCall;
use crate::standing::{Kept, Standing};
use crate::tasks::{self, Wish};
use crate::upstream::{Link, connect_first};
use crate::{cors, door, front, proof, stream_get, translate, visit};

/// Serves one HTTP request to an MCP endpoint.
pub(crate) async fn serve(proxy: &Arc<Proxy>, worker: &Arc<Worker>, inbound: Inbound) -> Response {
    let origin = cors::origin(&inbound.parts);
    let caller = match enter(proxy, worker, &inbound) {
        Err(response) => return cors::expose(*response, origin.as_ref()),
        Ok(entered) => entered,
    };
    let nonce = caller.nonce.clone();
    let mut response = match caller.half {
        Some(half) => Box::pin(front::sse::serve(caller, half, inbound)).await,
        None => match inbound.parts.method {
            // In a box: it is large, and would be moved at each step of the way up to the connection.
            http::Method::POST => Box::pin(front::post(caller, inbound)).await,
            http::Method::GET => Box::pin(stream_get::get(&caller, &inbound.parts)).await,
            http::Method::DELETE => Box::pin(front::delete(&caller, &inbound.parts)).await,
            _ => door::method_not_allowed(),
        },
    };
    if let Some(nonce) = nonce {
        response.headers_mut().insert(proof::NONCE, nonce);
    }
    cors::expose(response, origin.as_ref())
}

/// Finds the endpoint, and which half of HTTP+SSE is spoken to if it is that, and lets the caller in; or answers.
fn enter(proxy: &Arc<Proxy>, worker: &Arc<Worker>, inbound: &Inbound) -> Result<Arc<Caller>, Box<Response>> {
    let world = proxy.world.load();
    let calls = proxy.turnout.calls();
    let arrived = proxy.books.clock.now();
    if let Some(standing) = Kept::recall(&world, worker, inbound, arrived) {
        return Ok(Arc::new(Caller {
            standing,
            request: inbound.id,
            arrived,
            nonce: None,
            calls,
        }));
    }
    let path = door::path_of(&inbound.parts);
    let below = || {
        let (base, half) = front::sse::half(path)?;
        let place = world.at(base)?;
        place
            .endpoint
            .spoken()
            .has_http_sse()
            .then_some((place, Some(half)))
    };
    // A profile may be called `sse`.
    let found = world.at(path).map(|place| (place, None)).or_else(below);
    let (place, half) = found.ok_or_else(|| Box::new(door::no_such_place()))?;
    if cors::is_preflight(&inbound.parts) {
        return Err(Box::new(cors::preflight(&inbound.parts)));
    }
    let admitted = door::admit(&world, (place, half), (proxy, worker), inbound);
    admitted.map_err(|turned| {
        let mut response = turned.answer(place.metadata);
        if let Some(nonce) = proof::nonce(proxy, &inbound.parts) {
            response.headers_mut().insert(proof::NONCE, nonce);
        }
        Box::new(response)
    })
}

/// One permitted request, ready to be sent, and sent again when the server asked for more.
pub(crate) struct Call {
    pub(crate) caller: Arc<Caller>,
    pub(crate) client: Client,
    pub(crate) route: Route,
    /// The raw `params`, names the server's own.
    pub(crate) params: Bytes,
    /// The raw id that the client waits for.
    pub(crate) id: Bytes,
    /// The raw progress token, if the client wants progress.
    pub(crate) progress_token: Option<Bytes>,
    /// The modern `logLevel`, or the level of the session.
    pub(crate) log_level: Option<LogLevel>,
    /// The raw arguments, which sealed state is bound to.
    pub(crate) arguments: Bytes,
    pub(crate) record: Record,
    /// What allows the first round.
    permit: Option<Allowed>,
    /// The principal's place for a running call; given back while the call is parked.
    pub(crate) slot: Option<Slot>,
    /// Its place among the running requests of a legacy session.
    pub(crate) running: Option<RunningCall>,
    /// Who wishes that it becomes a task.
    pub(crate) wish: Wish,
    /// The link that it went through, where it may have become a task.
    pub(crate) link: Option<Arc<Link>>,
    /// Whether its response may be passed on while it comes, as far as the call is concerned: it is the first round, and
    /// nothing of it has to be changed for what was said before.
    pub(crate) flows: bool,
    /// How many calls can wait at the server at once, where each holds a conversation of its own.
    pub(crate) lanes: Option<usize>,
}

/// What a front has understood of a request.
pub(crate) struct Asked {
    pub(crate) what: What,
    pub(crate) visible: SmolStr,
    pub(crate) params: Bytes,
    pub(crate) id: Bytes,
    pub(crate) progress_token: Option<Bytes>,
    pub(crate) log_level: Option<LogLevel>,
    /// The raw arguments, which sealed state is bound to.
    pub(crate) arguments: Bytes,
    /// The raw `task` of a legacy request, taken out of the parameters.
    pub(crate) task: Option<Bytes>,
}

/// Routes, decides for the first time, and opens the record.
///
/// # Errors
/// The answer for an unknown or forbidden name, one and the same; for too many calls; for a trail that cannot be written.
pub(crate) fn prepare(caller: Arc<Caller>, client: Client, asked: Asked) -> Result<Call, Refusal> {
    let era = client.era();
    let Some(route) = Route::find(&caller.endpoint, asked.what, &asked.visible) else {
        return Err(refuse(&caller, asked.what, &asked.visible, "not shown", era));
    };
    // Which extensions its servers have is no secret: the endpoint says so itself.
    if !caller.endpoint.extends_to(&route.server, route.what.method()) {
        return Err(Refusal::method(era));
    }
    let permit = route.decide(&caller, &asked.arguments);
    let permit = permit.map_err(|denied| turned_away(&caller, &route, &asked.visible, era, denied))?;
    let limit = caller.limits.calls_per_principal;
    let slot = caller.account.take(Kind::Calls, limit);
    let slot = slot.ok_or_else(|| Refusal::too_many("calls"))?;
    let subject = action_of(route.what).map(|action| Subject {
        action,
        server: route.server.clone(),
        target: route.visible.clone(),
    });
    let mut record = Record::open(&caller, subject).map_err(|_| Refusal::unrecorded())?;
    let params = route.rename(&asked.visible, asked.params);
    let (wish, params) = match tasks::wish(&caller, &client, &route, params, asked.task.as_deref()) {
        Ok(wished) => wished,
        Err(refusal) => {
            record.close(Outcome::Denied, Some("task"));
            return Err(refusal);
        }
    };
    Ok(Call {
        params,
        arguments: asked.arguments,
        id: asked.id,
        progress_token: asked.progress_token,
        log_level: asked.log_level.or_else(|| client.level()),
        client,
        route,
        record,
        permit: Some(permit),
        slot: Some(slot),
        running: None,
        wish,
        link: None,
        flows: false,
        lanes: None,
        caller,
    })
}

/// A call that has been sent before and whose result is waited for: that of a task. It has no record of its own.
///
/// # Errors
/// Too many calls, or a trail that cannot be written.
pub(crate) fn waiting(caller: Arc<Caller>, client: Client, route: Route, id: Bytes) -> Result<Call, Refusal> {
    let limit = caller.limits.calls_per_principal;
    let slot = caller.account.take(Kind::Calls, limit);
    let slot = slot.ok_or_else(|| Refusal::too_many("calls"))?;
    let record = Record::open(&caller, None).map_err(|_| Refusal::unrecorded())?;
    Ok(Call {
        params: Bytes::from_static(b"{}"),
        arguments: Bytes::new(),
        id,
        progress_token: None,
        log_level: None,
        client,
        route,
        record,
        permit: None,
        slot: Some(slot),
        running: None,
        wish: Wish::Nobody,
        link: None,
        flows: false,
        lanes: None,
        caller,
    })
}

impl Call {
    /// Sends the call with these parameters, under this id: takes the permit, or decides anew for another round, takes
    /// the principal's link, builds, sends.
    ///
    /// # Errors
    /// A refusal for the client; its cause is in the log.
    pub(crate) async fn send(&mut self, params: Bytes, id: Bytes) -> Result<(Reply, Era), Refusal> {
        let allowed = match self.permit.take() {
            Some(allowed) => Ok(allowed),
            None => self.route.decide(&self.caller, &self.arguments),
        };
        let caller = &*self.caller;
        let gone = || unknown(self.route.what, &self.route.visible, self.client.era());
        let allowed = allowed.map_err(|denied| match denied {
            Denied::Call(broken) => broken_by(caller, self.route.what, self.client.era(), &broken),
            _ => gone(),
        })?;
        let upstreams = &caller.proxy.upstreams;
        let (server, view) = (&self.route.server, self.client.view());
        let mut is_asked_for_account = false;
        let link = match upstreams.ready(server, view) {
            Some(link) => link,
            None => {
                let upstream = upstreams.get(server).ok_or_else(gone)?;
                let ears = self.client.ears(caller, &self.route);
                // In a box, as whatever is seldom needed: the future of every call has room for it otherwise.
                match Box::pin(upstream.link(&caller.worker, view, ears)).await {
                    Ok(link) => {
                        is_asked_for_account = upstream.asks_for_accounts();
                        link
                    }
                    Err(fault) => return self.not_sent(&fault, &id),
                }
            }
        };
        // Only where accounts are asked for the call may still come to nothing for want of one.
        let asked_under = is_asked_for_account.then(|| id.clone());
        let era = link.era();
        self.lanes = link.lanes();
        if let Client::Legacy(session) = &self.client {
            session.note_link(&self.route.server);
        }
        let flows = std::mem::take(&mut self.flows) && translate::passes(self, era);
        let outbound = allowed.into_call(CallParts {
            params,
            id,
            progress_token: self.progress_token.clone(),
            log_level: self.log_level,
            is_of_task: self.wish != Wish::Nobody,
            flows,
        });
        if self.route.what == What::Tool
            && caller
                .endpoint
                .task_form(&self.route.server, self.client.era())
                .is_some()
        {
            self.link = Some(Arc::clone(&link));
        }
        let reply = link.call(&caller.worker, outbound).await;
        match reply {
            Ok(reply) => Ok((reply, era)),
            Err(fault) => match asked_under {
                Some(id) => self.not_sent(&fault, &id),
                // The first call that the server wanted an account for: whether this person has one is not known yet.
                None if connect_first(&fault).is_some() => {
                    let own = match upstreams.get(server) {
                        Some(upstream) => Box::pin(upstream.wants_account(&caller.key)).await,
                        None => None,
                    };
                    self.not_sent(own.as_ref().unwrap_or(&fault), &self.id)
                }
                None => Err(self.failed(&fault)),
            },
        }
    }

    /// A call that failed: the person is told where to go where that is why, in the words of a server that wants a URL
    /// visited first; otherwise it is an error.
    ///
    /// # Errors
    /// A refusal.
    fn not_sent(&self, fault: &Fault, id: &[u8]) -> Result<(Reply, Era), Refusal> {
        match connect_first(fault) {
            Some(first) => Ok((Reply::Whole(visit::connect(self, id, first)), Era::Legacy)),
            None => Err(self.failed(fault)),
        }
    }

    /// What sealed state is good for: this endpoint, this method, this name, these arguments, for this principal.
    pub(crate) fn binding(&self) -> String {
        let Route { what, visible, .. } = &self.route;
        let Standing { endpoint, key, .. } = &**self.caller;
        let arguments = String::from_utf8_lossy(&self.arguments);
        format!("{} {key} {what:?} {visible}\n{arguments}", endpoint.key)
    }

    /// Closes the record of a call that is refused before it was sent.
    pub(crate) fn refused(&mut self, reason: &'static str) {
        self.record.close(Outcome::Denied, Some(reason));
    }

    /// Logs a failure, once, and makes the client's error of it.
    pub(crate) fn failed(&self, fault: &Fault) -> Refusal {
        tracing::warn!(
            server = %self.route.server,
            request = %self.caller.request,
            blame = ?fault.blame,
            "a call failed: {fault}"
        );
        Refusal::fault(fault)
    }
}

/// What a request gets that the policy refuses, which is recorded. `named` is the name that the client used.
fn turned_away(caller: &Caller, route: &Route, named: &str, era: Era, denied: Denied) -> Refusal {
    let refuse = |reason: &str| refuse(caller, route.what, named, reason, era);
    match denied {
        Denied::Scope(level) => short(caller, route, level),
        Denied::User => refuse("user"),
        Denied::Rule => refuse("rule"),
        Denied::Standing(broken) => refuse(&broken.to_string()),
        Denied::Call(broken) => {
            let action = action_of(route.what).unwrap_or(Action::Denied);
            caller.denied(action, &route.visible, &broken.to_string());
            broken_by(caller, route.what, era, &broken)
        }
    }
}

/// A call that a rule does not allow as it is: the model of a tool reads why (2026-07-28, Tools, Error Handling).
fn broken_by(caller: &Caller, what: What, era: Era, broken: &Broken) -> Refusal {
    const PLAIN: &str = "A rule of the gateway does not allow this call.";
    let text = broken.message.as_deref().unwrap_or(PLAIN);
    let refusal = Refusal::params(text.to_owned());
    match what {
        What::Tool => refusal.read_as(visit::read_by_model(era, caller.endpoint.server_info(), text)),
        _ => refusal,
    }
}

fn refuse(caller: &Caller, what: What, visible: &str, reason: &str, era: Era) -> Refusal {
    caller.denied(action_of(what).unwrap_or(Action::Denied), visible, reason);
    unknown(what, visible, era)
}

/// The token does not allow what everything else allows.
fn short(caller: &Caller, route: &Route, level: Level) -> Refusal {
    caller.denied(
        action_of(route.what).unwrap_or(Action::Denied),
        &route.visible,
        "scope",
    );
    Refusal::scope(&caller.principal.scopes, &route.server, level)
}

fn action_of(what: What) -> Option<Action> {
    match what {
        What::Tool => Some(Action::ToolCall),
        What::Prompt => Some(Action::PromptGet),
        What::Resource | What::Skill | What::Directory => Some(Action::ResourceRead),
        What::PromptArgument | What::TemplateVariable => None,
    }
}

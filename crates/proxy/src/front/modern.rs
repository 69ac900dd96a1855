//! The modern era: every request stands for itself, and its headers say what its body says.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use http::request::Parts;
use sallyport_mcp::answer;
use sallyport_mcp::capabilities::ClientCapabilities;
use sallyport_mcp::catalogue::ListKind;
use sallyport_mcp::error;
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Envelope, Key, Kind, MetaKey, Params};
use sallyport_mcp::merge::Entry;
use sallyport_mcp::meta::ModernMeta;
use sallyport_mcp::method::Method;
use sallyport_mcp::mirror::{self, MirrorError};
use sallyport_mcp::revision::{Era, Revision};
use sallyport_mcp::session::Resume;
use sallyport_mcp::splice::ObjectEdit;
use sallyport_mcp::tasks::EXTENSION;
use sallyport_net::Response;

use super::{listen, lists, notifications, refuse_to, share};
use crate::approve;
use crate::asked;
use crate::call::{Call, prepare};
use crate::caller::{Caller, Client, Modern};
use crate::deliver::{self, Said};
use crate::door;
use crate::exchange::ClientView;
use crate::park::{self, Resumed, unreadable};
use crate::refusal::Refusal;
use crate::relay::Out;
use crate::route::What;
use crate::visit::{self, Visits};
use crate::{relay, state, tasks};

/// So much of what clients say of themselves is remembered for each connection, in bytes: real ones say some hundred.
const DESCRIPTION: usize = 4096;

/// Answers one message.
pub(super) async fn post(
    caller: Arc<Caller>,
    parts: &Parts,
    envelope: &Envelope<'_>,
    body: &Bytes,
) -> Response {
    let Some(id) = envelope.id_raw().filter(|_| envelope.kind == Kind::Request) else {
        return notifications::taken(notifications::modern(envelope));
    };
    let meta = match mirror::admit(
        |name| caller.field(&parts.headers, name),
        envelope,
        caller.endpoint.spoken(),
    ) {
        Ok(meta) => meta,
        Err(error) => return refuse_to(id, &mismatch(&error)),
    };
    let id = share(body, id);
    if envelope.called() == Method::Listen {
        return listen::listen(&caller, parts, envelope, &meta, id).await;
    }
    let called_tool = || {
        let params = envelope.params.as_ref();
        params.filter(|_| envelope.called() == Method::ToolsCall)?.name()
    };
    // The annotations of a tool are known once its server is.
    let caller = if caller.endpoint.settles.is_some()
        && let Some(tool) = called_tool()
    {
        Box::pin(caller.settled_with(What::Tool, &tool.value)).await
    } else {
        caller
    };
    if let Err(error) = mirrored(&caller, parts, envelope) {
        return refuse_to(&id, &mismatch(&error));
    }
    let said = request(&caller, envelope, &meta, body, &id).await;
    deliver::say(&caller, None, said).await
}

/// Carries out one request whose head, if it has one, says what its body says.
pub(super) async fn request(
    caller: &Arc<Caller>,
    envelope: &Envelope<'_>,
    meta: &ModernMeta<'_>,
    body: &Bytes,
    id: &Bytes,
) -> Said {
    let said = match envelope.called() {
        called if called.is_for_one_server() => call(caller, envelope, meta, body, id).await,
        called @ (Method::TasksGet | Method::TasksUpdate | Method::TasksCancel) => {
            task(&caller.settled().await, called, envelope, meta, id)
        }
        Method::Discover => {
            let caller = caller.settled().await;
            Ok(Said::message(error::result(id, &caller.endpoint.discover())))
        }
        listing => match ListKind::of(listing) {
            Some(kind) => {
                let caller = caller.settled().await;
                lists::list(&caller, id, kind, Era::Modern, envelope.params.as_ref())
            }
            None => Err(Refusal::method(Era::Modern)),
        },
    };
    said.unwrap_or_else(|refusal| Said::refusal(id, &refusal))
}

/// Why a request is refused before its method is looked at.
pub(super) fn mismatch(error: &MirrorError) -> Refusal {
    let refusal = Refusal::new(error.status(), error.code(), error.to_string());
    match error.data() {
        Some(data) => refusal.with(data),
        None => refusal,
    }
}

/// Compares the headers of a tool's mirrored arguments with the body (2026-07-28, Custom Parameter Headers).
fn mirrored(caller: &Caller, parts: &Parts, envelope: &Envelope<'_>) -> Result<(), MirrorError> {
    if envelope.called() != Method::ToolsCall || !caller.endpoint.has_mirrors() {
        return Ok(());
    }
    let params = envelope.params.as_ref();
    let Some(name) = params.and_then(Params::name) else {
        return Ok(());
    };
    // Of what rules hide from the caller, no header tells.
    let shown = |entry: &Entry| lists::is_shown(caller, ListKind::Tools, entry);
    let headers = caller.endpoint.mirrored(&name.value, &shown);
    let arguments = params.and_then(Params::arguments);
    mirror::check_params(|name| door::field(&parts.headers, name), arguments, headers)
}

/// The client as this request describes it, which is nearly always as the one before did.
pub(super) fn client(caller: &Caller, meta: &ModernMeta<'_>) -> Client {
    let same = |known: &Arc<Modern>| {
        let ClientView {
            info, capabilities, ..
        } = &known.view;
        *capabilities == meta.capabilities && info.as_deref() == meta.client_info
    };
    let known = caller.described().filter(same);
    Client::Modern(known.unwrap_or_else(|| {
        let new = described(caller, meta, meta.capabilities);
        if is_short(meta) {
            caller.describe(&new);
        }
        new
    }))
}

/// Whether what the client says of itself is remembered.
fn is_short(meta: &ModernMeta<'_>) -> bool {
    meta.capabilities.len() + meta.client_info.map_or(0, <[u8]>::len) <= DESCRIPTION
}

fn described(caller: &Caller, meta: &ModernMeta<'_>, capabilities: &[u8]) -> Arc<Modern> {
    Arc::new(Modern {
        view: ClientView {
            principal: caller.key.clone(),
            session: None,
            lasting: None,
            revision: Revision::NEWEST_MODERN,
            info: crate::caller::own(meta.client_info),
            capabilities: Bytes::copy_from_slice(capabilities),
        },
        can: ClientCapabilities::parse(capabilities),
    })
}

/// An operation on a task, for clients that have declared the extension on this request.
fn task(
    caller: &Arc<Caller>,
    called: Method,
    envelope: &Envelope<'_>,
    meta: &ModernMeta<'_>,
    id: &Bytes,
) -> Result<Said, Refusal> {
    if !caller.endpoint.capabilities().extensions.contains_key(EXTENSION) {
        return Err(Refusal::method(Era::Modern));
    }
    let client = client(caller, meta);
    if !client.can().tasks() {
        return Err(tasks::undeclared());
    }
    let params = tasks::own_params(envelope.params.as_ref());
    tasks::allow(caller, &client, called, &params)?;
    let (caller, id) = (Arc::clone(caller), id.clone());
    Ok(Said::Running(Box::pin(futures_util::stream::once(async move {
        let done = tasks::modern(caller, client, called, params, id.clone()).await;
        let (status, message) = done.unwrap_or_else(|refusal| (refusal.status, refusal.message(Some(&id))));
        Out::Last { status, message }
    }))))
}

async fn call(
    caller: &Arc<Caller>,
    envelope: &Envelope<'_>,
    meta: &ModernMeta<'_>,
    body: &Bytes,
    id: &Bytes,
) -> Result<Said, Refusal> {
    let mut asked = asked::read(envelope, body, id.clone())?;
    asked.log_level = meta.log_level;
    let caller = caller.settled_for(&asked).await;
    let mut client = client(&caller, meta);
    if client.can().tasks() && !tasks::has_room(&caller) {
        // One task more than it may have: to the server, the client of this call knows nothing of tasks.
        let capabilities = client.can().without_tasks();
        asked.params = with_capabilities(&asked.params, &capabilities);
        client = Client::Modern(described(&caller, meta, &capabilities));
    }
    let mut call = prepare(Arc::clone(&caller), client, asked)?;
    let retry = envelope.params.as_ref().filter(|params| params.is_retry());
    // A state is made after a call was let pass, for that call alone.
    let is_first = || retry.is_none_or(|retry| retry.get(Key::RequestState).is_none());
    if approve::is_needed(&call) && is_first() {
        let responses = retry.and_then(|retry| retry.get(Key::InputResponses));
        if let Some(said) = approve::ask(&mut call, responses) {
            return Ok(said);
        }
        // They were for the gateway, and no server.
        call.params = Bytes::from(answer::without_input(&call.params).into_owned());
    }
    let Some(retry) = retry else {
        return Ok(Said::Running(Box::pin(relay::start(call))));
    };
    resume(call, retry)
}

/// The second round of a call: it bears the state that the first one ended with.
fn resume(mut call: Call, retry: &Params<'_>) -> Result<Said, Refusal> {
    let Some(raw) = retry.get(Key::RequestState) else {
        // Answers without a state: a server that gave none knows what to make of them.
        return Ok(running(relay::start(call)));
    };
    let state = json::decode(raw).ok_or_else(state::expired)?;
    let resume = match state::open(&call, &state) {
        Ok(resume) => resume,
        Err(refusal) => {
            call.refused("requestState");
            return Err(refusal);
        }
    };
    let responses = retry.get(Key::InputResponses);
    match resume {
        Resume::Relayed { state, .. } => {
            call.params = with_state(&call.params, state.as_deref()).ok_or_else(state::expired)?;
            Ok(running(relay::start(call)))
        }
        Resume::Visited { ids, .. } => {
            let answers = answer::input_responses(responses.unwrap_or(b"{}")).map_err(|_| unreadable())?;
            if answers.iter().any(|answer| !visit::is_agreed(answer.result)) {
                return Ok(running(futures_util::stream::iter([visit::declined(call)])));
            }
            call.params = Bytes::from(answer::without_input(&call.params).into_owned());
            Ok(running(relay::start_after(call, Visits::announced(ids))))
        }
        parked @ Resume::Parked { .. } => match park::resume(call, &parked, responses)? {
            Resumed::Running(relay) => Ok(running(relay::run(relay))),
            Resumed::Again(out) => Ok(running(futures_util::stream::iter([out]))),
        },
    }
}

/// The parameters of a client with other capabilities.
fn with_capabilities(params: &Bytes, capabilities: &[u8]) -> Bytes {
    let edited = || {
        let mut outer = ObjectEdit::new(params).ok()?;
        let mut meta = ObjectEdit::new(outer.object().get(Key::Meta.as_str())?).ok()?;
        meta.set(MetaKey::ClientCapabilities.as_str(), capabilities);
        outer.set(Key::Meta.as_str(), meta.finish());
        Some(Bytes::from(outer.finish()))
    };
    edited().unwrap_or_else(|| params.clone())
}

fn running(outgoing: impl Stream<Item = Out> + Send + 'static) -> Said {
    Said::Running(Box::pin(outgoing))
}

/// The parameters with the server's own state in the place of the sealed one (P-50).
fn with_state(params: &[u8], state: Option<&str>) -> Option<Bytes> {
    let mut edit = ObjectEdit::new(params).ok()?;
    match state {
        Some(state) => edit.set("requestState", json::quote(state)),
        None => edit.remove("requestState"),
    };
    Some(edit.finish().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_at_the_limit_and_one_past_it() {
        let text = [b' '; DESCRIPTION + 1];
        let is_short = |capabilities: usize, info: Option<usize>| {
            is_short(&ModernMeta {
                version: "2026-07-28".into(),
                capabilities: &text[..capabilities],
                client_info: info.map(|length| &text[..length]),
                log_level: None,
                progress_token: None,
            })
        };
        assert!(is_short(DESCRIPTION, None) && !is_short(DESCRIPTION + 1, None));
        assert!(is_short(2, Some(DESCRIPTION - 2)) && !is_short(2, Some(DESCRIPTION - 1)));
    }
}

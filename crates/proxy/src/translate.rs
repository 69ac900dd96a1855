//! What a server says, as the client of a call may hear it. Where both speak one era and nothing is renamed, bytes pass
//! as they came.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use sallyport_core::ServerName;
use sallyport_mcp::answer::{self, InputRequired};
use sallyport_mcp::error::INTERNAL_ERROR;
use sallyport_mcp::json::{self, Object};
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::{Era, Revision};
use sallyport_mcp::session::Resume;
use sallyport_mcp::splice::{Edits, ObjectEdit};

use crate::call::Call;
use crate::caller::{Client, unknown};
use crate::exchange::Question;
use crate::refusal::Refusal;
use crate::tasks::Wish;
use crate::{notice, state};

/// The end of a server's answer.
pub(crate) enum Terminal {
    /// The response for the client.
    Done {
        /// The HTTP status, as long as nothing has been sent.
        status: u16,
        /// The message, still with the id under which the server was asked.
        message: Bytes,
        /// Whether it is a result.
        ok: bool,
    },
    /// A modern server asks, and a legacy client is to be asked: the message.
    Asks(Bytes),
    /// A legacy server wants a modern client's person to visit URLs first: the message.
    Visits(Bytes),
}

/// A response.
pub(crate) fn terminal(message: Bytes, from: Era, call: &Call) -> Terminal {
    let method = call.route.what.method();
    let to = call.client.era();
    let kind = (from == Era::Modern)
        .then(|| answer::result_type(&message))
        .flatten();
    if kind == Some(answer::INPUT_REQUIRED) && method.may_ask() {
        return match &call.client {
            Client::Legacy(_) => Terminal::Asks(message),
            Client::Modern(_) => sealed(&message, call),
        };
    }
    // The usual answer of a modern server passes as it is.
    let is_plain = kind == Some(answer::COMPLETE) && !method.is_cacheable();
    let error = if is_plain { None } else { error_of(&message) };
    if to == Era::Modern && from == Era::Legacy {
        if error.is_none() && says_nothing(&message, method) {
            let gone = unknown(call.route.what, &call.route.visible, to);
            return failed(&gone, &message);
        }
        if error.is_some() && method.may_ask() && answer::visits(&message).is_some() {
            return Terminal::Visits(message);
        }
    }
    let ok = error.is_none();
    let message = renamed(message, method, call);
    let info = call.caller.endpoint.server_info();
    let message = match to {
        Era::Legacy => older(message, from, method, call),
        Era::Modern if is_plain => message,
        Era::Modern => kept(answer::to_modern(&message, method, from, info), &message),
    };
    let message = match method {
        Method::ResourcesRead if ok && to == Era::Modern => uncached(message, call),
        _ => message,
    };
    // The code that the client sees decides, not the one that the server sent.
    let status = match to {
        Era::Modern if is_plain => 200,
        Era::Modern => error_of(&message).map_or(200, status_of),
        Era::Legacy => 200,
    };
    Terminal::Done { status, message, ok }
}

/// Whether every result of a server of this era passes as it came, whatever it holds, unless it is a question or a task:
/// nobody has to look at it before the client does.
pub(crate) fn passes(call: &Call, from: Era) -> bool {
    let view = call.client.view();
    let method = call.route.what.method();
    let knows_all = view.revision >= Revision::V2025_06_18;
    call.client.era() == from
        && knows_all
        && matches!(method, Method::ToolsCall | Method::PromptsGet)
        && call.wish == Wish::Nobody
        && call.caller.endpoint.is_of_one()
}

/// For a legacy client: without what only modern clients know, nor what its revision does not.
fn older(message: Bytes, from: Era, method: Method, call: &Call) -> Bytes {
    let message = match from {
        Era::Legacy => message,
        Era::Modern => kept(answer::to_legacy(&message, method), &message),
    };
    let revision = call.client.view().revision;
    kept(answer::to_older(&message, method, from, revision), &message)
}

/// Whether a read came back without contents: so old servers say that there is no such resource (P-43).
fn says_nothing(message: &[u8], method: Method) -> bool {
    let contents = || json::find(json::find(message, "result")?, "contents");
    method == Method::ResourcesRead
        && contents().is_some_and(|raw| json::elements(raw).is_ok_and(|list| list.is_empty()))
}

/// The result of a read that brought answers to questions holds for this once (P-39).
fn uncached(message: Bytes, call: &Call) -> Bytes {
    let has = |key| json::find(&call.params, key).is_some();
    if !has("inputResponses") && !has("requestState") {
        return message;
    }
    let result = json::find(&message, "result").and_then(|raw| ObjectEdit::new(raw).ok());
    let Some(mut result) = result else {
        return message;
    };
    result.set("ttlMs", "0");
    notice::with_member(&message, "result", &result.finish())
}

/// An error of the gateway's own in the place of a server's answer.
fn failed(refusal: &Refusal, message: &[u8]) -> Terminal {
    Terminal::Done {
        status: refusal.status,
        message: refusal.message(json::find(message, "id")),
        ok: false,
    }
}

/// The owned form without a copy where nothing has changed.
fn kept(changed: Cow<'_, [u8]>, message: &Bytes) -> Bytes {
    match changed {
        Cow::Borrowed(_) => message.clone(),
        Cow::Owned(changed) => changed.into(),
    }
}

/// From this size on, a message is not searched as a whole where its begin or its end can tell.
const LONG: usize = 4 << 10;

/// Prepared once: for a short message the preparation costs more than the search.
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""error""#));

/// The raw code, if the message is an error. Nearly none is: short ones are told by one search, long ones by how they
/// begin.
pub(crate) fn error_of(message: &[u8]) -> Option<&[u8]> {
    if message.len() > LONG && json::leading(message, &["result", "error"]) == Some("result") {
        return None;
    }
    ERROR.find(message)?;
    let error = json::find(message, "error")?;
    Some(json::find(error, "code").unwrap_or(b"0"))
}

/// The status of a modern answer with this error (2026-07-28, Transports).
pub(crate) fn status_of(code: &[u8]) -> u16 {
    match code {
        b"-32021" => 400,
        b"-32601" => 404,
        _ => 200,
    }
}

/// With the URIs of the server's own resources as this endpoint's clients know them (P-108).
fn renamed(message: Bytes, method: Method, call: &Call) -> Bytes {
    let endpoint = &call.caller.endpoint;
    if endpoint.is_of_one() {
        return message;
    }
    let Ok(object) = Object::read(&message) else {
        return message;
    };
    let Some(member) = object.members().iter().find(|m| m.is("result")) else {
        return message;
    };
    let visible = |uri: &str| match endpoint.merged.visible_uri(&call.route.server, uri) {
        Cow::Owned(visible) => Some(visible),
        Cow::Borrowed(_) => None,
    };
    let Some(result) = answer::rewrite_uris(member.value, method, visible) else {
        return message;
    };
    let mut edits = Edits::new();
    edits.replace(member.value_span, result);
    edits.apply(&message).into()
}

/// A modern server's question for a modern client, with its state sealed: only this principal, for this call, brings it
/// back, and only to this server.
fn sealed(message: &Bytes, call: &Call) -> Terminal {
    let result = json::find(message, "result").unwrap_or(b"{}");
    let (Ok(asks), Ok(mut edit)) = (InputRequired::parse(result), ObjectEdit::new(result)) else {
        let text = "The server's question cannot be understood";
        return failed(&Refusal::new(200, INTERNAL_ERROR, text), message);
    };
    let can = call.client.can();
    if let Some(ask) = asks
        .requests
        .iter()
        .find(|ask| !can.allow(ask.method, ask.params))
    {
        return failed(&Refusal::incapable(ask.method, ask.params), message);
    }
    let mut nonce = [0; 16];
    call.caller.proxy.random.fill(&mut nonce);
    let resume = Resume::Relayed {
        nonce,
        state: asks.state.map(Cow::into_owned),
    };
    let state = state::seal(call, resume);
    let labelled: Vec<_> = asks
        .requests
        .iter()
        .map(|ask| (&*ask.key, ask.method, labelled(call, ask.method, ask.params)))
        .collect();
    edit.set("requestState", json::quote(&state));
    // What is not complete is not for keeping (2026-07-28, Caching; P-39).
    edit.remove("ttlMs").remove("cacheScope");
    if labelled
        .iter()
        .any(|(_, _, params)| matches!(params, Some(Cow::Owned(_))))
    {
        let requests: Vec<_> = labelled
            .iter()
            .map(|(key, method, params)| (*key, method.as_str(), params.as_deref()))
            .collect();
        let again = answer::input_required_result(&requests, None);
        if let Some(requests) = json::find(&again, "inputRequests") {
            edit.set("inputRequests", requests);
        }
    }
    Terminal::Done {
        status: 200,
        message: notice::with_member(message, "result", &edit.finish()),
        ok: true,
    }
}

/// A notification about the call. `None` if it is not for this client, or has gone another way.
pub(crate) fn notification(message: Bytes, to: Era, call: &Call) -> Option<Bytes> {
    let method = json::find(&message, "method").and_then(json::decode);
    match Method::parse(method.as_deref().unwrap_or_default()) {
        Method::Progress => Some(message),
        Method::LogMessage if to == Era::Legacy || call.log_level.is_some() => Some(message),
        Method::ElicitationComplete if to == Era::Legacy => Some(message),
        // Not about the call: it belongs where the client listens for such things.
        Method::ResourceUpdated => {
            let ears = call.client.ears(&call.caller, &call.route);
            ears.notify(&call.route.server, message);
            None
        }
        _ => None,
    }
}

/// Whether a notification is progress.
pub(crate) fn is_progress(message: &[u8]) -> bool {
    json::find(message, "method") == Some(br#""notifications/progress""#)
}

/// A legacy server's question, fit for the client.
pub(crate) fn question(mut question: Question, call: &Call) -> Question {
    let method = Method::parse(&question.method);
    let mut params = question.params.take();
    if call.client.era() == Era::Modern
        && let Some(mut edit) = params.as_deref().and_then(|raw| ObjectEdit::new(raw).ok())
    {
        // Only legacy revisions have it.
        edit.remove("elicitationId");
        params = Some(edit.finish().into());
    }
    question.params = match labelled(call, method, params.as_deref()) {
        Some(Cow::Owned(labelled)) => Some(labelled.into()),
        _ => params,
    };
    question
}

/// The parameters of a question, with the server's name before an elicitation's message where several servers could
/// have asked: the person sees who wants to know.
pub(crate) fn labelled<'p>(call: &Call, method: Method, params: Option<&'p [u8]>) -> Option<Cow<'p, [u8]>> {
    if call.caller.endpoint.is_of_one() {
        return params.map(Cow::Borrowed);
    }
    named(&call.route.server, method, params)
}

/// The parameters of a question with its server's name before an elicitation's message.
pub(crate) fn named<'p>(
    server: &ServerName,
    method: Method,
    params: Option<&'p [u8]>,
) -> Option<Cow<'p, [u8]>> {
    let params = params?;
    if method != Method::ElicitationCreate {
        return Some(Cow::Borrowed(params));
    }
    let Ok(mut edit) = ObjectEdit::new(params) else {
        return Some(Cow::Borrowed(params));
    };
    let Some(text) = edit.object().text("message") else {
        return Some(Cow::Borrowed(params));
    };
    let text = format!("[{server}] {text}");
    edit.set("message", json::quote(&text));
    Some(Cow::Owned(edit.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_results() {
        let error = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"m"}}"#;
        assert_eq!(error_of(error), Some(b"-32021".as_slice()));
        let result = br#"{"jsonrpc":"2.0","id":1,"result":{"error":{"code":1}}}"#;
        assert_eq!(error_of(result), None);
        let late = format!(
            r#"{{"jsonrpc":"2.0","x":"{}","error":{{"code":-32021}}}}"#,
            "\u{e9}".repeat(3000)
        );
        assert_eq!(error_of(late.as_bytes()), Some(b"-32021".as_slice()));
        assert_eq!(
            (status_of(b"-32021"), status_of(b"-32601"), status_of(b"-32602")),
            (400, 404, 200)
        );
    }

    #[test]
    fn progress_is_recognised() {
        assert!(is_progress(br#"{"method":"notifications/progress","params":{}}"#));
        assert!(!is_progress(br#"{"method":"notifications/message"}"#));
    }
}

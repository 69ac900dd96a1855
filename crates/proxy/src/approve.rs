//! Calls that a person has to approve, outside of the client: the client is sent to a page, and calls again.

use sallyport_core::approval::{Wanted, Word};
use sallyport_mcp::answer;
use sallyport_mcp::error::{self, LEGACY_URL_ELICITATION_REQUIRED};
use sallyport_mcp::json;
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;

use crate::call::Call;
use crate::deliver::Said;
use crate::refusal::Refusal;
use crate::route::What;
use crate::visit;

/// What the person reads before the page.
const MESSAGE: &str =
    "This call has to be approved by you. Open the page, look at what is to be done, and answer there.";

/// What a call is answered with of which nobody can be asked.
const IMPOSSIBLE: &str = "This call has to be approved by a person, and cannot be: too many wait already, or its arguments \
                          are too long to be read.";

/// Whether a person has to approve it.
pub(crate) fn is_needed(call: &Call) -> bool {
    call.route.what == What::Tool && call.caller.endpoint.asks(&call.route.visible)
}

/// Asks the person of a call that needs it, unless the answer is there: then the call may go on. `responses` are the
/// client's answers to a question that was asked before.
pub(crate) fn ask(call: &mut Call, responses: Option<&[u8]>) -> Option<Said> {
    let answers = responses.map(|responses| answer::input_responses(responses).unwrap_or_default());
    if answers.is_some_and(|answers| answers.iter().any(|one| !visit::is_agreed(one.result))) {
        return Some(refused(
            call,
            "The person did not open the page where this call is approved.",
        ));
    }
    let caller = &call.caller;
    let wanted = Wanted {
        user: &caller.principal.user,
        client: &caller.principal.client,
        endpoint: &caller.endpoint.key,
        server: &call.route.server,
        tool: &call.route.visible,
        arguments: &call.arguments,
    };
    match caller.proxy.approvals.ask(wanted, caller.proxy.books.clock.now()) {
        Word::Yes => None,
        Word::Ask(id) => {
            let url = format!("{}/approve/{id}", caller.endpoint.origin());
            let said = question(call, &id, &url);
            call.refused("a person is asked");
            Some(said)
        }
        Word::No => Some(refused(call, "The person did not approve this call.")),
        Word::Impossible => Some(refused(call, IMPOSSIBLE)),
    }
}

fn refused(call: &mut Call, text: &str) -> Said {
    let said = Said::message(visit::told(call, &call.id, text));
    call.refused("not approved");
    said
}

/// Asks the client to have its person go to the page, in the form that it knows.
fn question(call: &Call, id: &str, url: &str) -> Said {
    if !visit::can_visit(call) {
        let text = format!("{MESSAGE} Then make the same call again, with the same arguments.\n{url}");
        return Said::message(visit::told(call, &call.id, &text));
    }
    let mut params = b"{\"mode\":\"url\",\"url\":".to_vec();
    json::quote_into(&mut params, url);
    params.extend_from_slice(b",\"message\":");
    json::quote_into(&mut params, MESSAGE);
    if call.client.era() == Era::Legacy {
        params.extend_from_slice(b",\"elicitationId\":");
        json::quote_into(&mut params, id);
        params.push(b'}');
        let data = format!("{{\"elicitations\":[{}]}}", String::from_utf8_lossy(&params));
        let refusal = Refusal::new(200, LEGACY_URL_ELICITATION_REQUIRED, MESSAGE).with(data);
        return Said::refusal(&call.id, &refusal);
    }
    params.push(b'}');
    // Without a state: one would let the next round pass.
    let asks = [("approval", Method::ElicitationCreate.as_str(), Some(&*params))];
    let result = answer::input_required_result(&asks, None);
    Said::message(error::result(&call.id, &result))
}

//! The multi round-trip fixtures (2026-07-28, SEP-2322): a result that asks, and the answers in the next request.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, InputRequest, InputRequests, InputRequiredResult, InputResponses,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Everything, answer, catalogue};

/// A value of the library from its JSON.
///
/// # Errors
/// -32603: the fixture is wrong.
pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// A question with the form `schema` of `fixtures.json`.
pub(super) fn elicit(message: &str, schema: &str) -> Result<InputRequest, ErrorData> {
    let schema = catalogue::get().elicitation(schema);
    typed(json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": message, "requestedSchema": schema },
    }))
}

/// The parameters of `sampling/createMessage` with one user message.
pub(super) fn message(prompt: &str, tokens: u32) -> Value {
    json!({
        "messages": [{ "role": "user", "content": { "type": "text", "text": prompt } }],
        "maxTokens": tokens,
    })
}

pub(super) fn sample(prompt: &str, tokens: u32) -> Result<InputRequest, ErrorData> {
    typed(json!({ "method": "sampling/createMessage", "params": message(prompt, tokens) }))
}

pub(super) fn roots() -> Result<InputRequest, ErrorData> {
    typed(json!({ "method": "roots/list", "params": {} }))
}

/// The field `field` of an accepted elicitation `key`.
pub(super) fn content(answers: &InputResponses, key: &str, field: &str) -> Option<String> {
    let answer = answers.get(key)?;
    if answer.get("action")?.as_str()? != "accept" {
        return None;
    }
    match answer.get("content")?.get(field)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The text of a sampling answer, whose content is a block or a list of blocks.
pub(super) fn sampled(answer: &Value) -> Option<String> {
    let content = answer.get("content")?;
    let block = content
        .as_array()
        .and_then(|blocks| blocks.first())
        .unwrap_or(content);
    Some(block.get("text")?.as_str()?.to_owned())
}

fn again(requests: InputRequests, state: Option<String>) -> Result<CallToolResponse, ErrorData> {
    Ok(InputRequiredResult::new(Some(requests), state).into())
}

fn one(key: &str, request: InputRequest) -> InputRequests {
    [(key.to_owned(), request)].into()
}

/// The tools `test_input_required_result_*`.
///
/// # Errors
/// -32602 for an unknown tool, and for a state that was not made here.
pub(super) fn call(
    server: &Everything,
    params: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let none = InputResponses::new();
    let answers = params.input_responses.as_ref().unwrap_or(&none);
    // A state that comes back is checked whatever the tool.
    let state = params.request_state.as_deref();
    let state = match state.map(|state| server.hub.open(state)) {
        Some(None) => {
            return Err(ErrorData::invalid_params(
                "the request state was not made by this server",
                None,
            ));
        }
        Some(Some(state)) => Some(state),
        None => None,
    };
    match params.name.as_ref() {
        "test_input_required_result_elicitation" => match content(answers, "user_name", "name") {
            Some(name) => answer::text(format!("Hello, {name}!")),
            None => again(one("user_name", elicit("What is your name?", "name")?), None),
        },
        "test_input_required_result_sampling" => match answers.get("capital_question").and_then(sampled) {
            Some(text) => answer::text(text),
            None => again(
                one("capital_question", sample("What is the capital of France?", 100)?),
                None,
            ),
        },
        "test_input_required_result_list_roots" => {
            match answers.get("client_roots").and_then(|answer| answer.get("roots")) {
                Some(roots) => answer::text(format!("Client roots: {roots}")),
                None => again(one("client_roots", self::roots()?), None),
            }
        }
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            match (content(answers, "confirm", "ok"), state) {
                (Some(_), Some(_)) => answer::text("state-ok"),
                _ => {
                    let state = server.hub.seal("confirm");
                    again(one("confirm", elicit("Please confirm", "confirm")?), Some(state))
                }
            }
        }
        "test_input_required_result_multiple_inputs" => multiple(server, answers, state),
        "test_input_required_result_multi_round" => rounds(server, answers, state),
        "test_input_required_result_capabilities" => capabilities(context, answers),
        other => Err(ErrorData::invalid_params(format!("unknown tool {other}"), None)),
    }
}

fn multiple(
    server: &Everything,
    answers: &InputResponses,
    state: Option<&str>,
) -> Result<CallToolResponse, ErrorData> {
    let name = content(answers, "user_name", "name");
    let greeting = answers.get("greeting").and_then(sampled);
    let roots = answers.get("client_roots").and_then(|answer| answer.get("roots"));
    if let (Some(name), Some(greeting), Some(roots), Some(_)) = (name, greeting, roots, state) {
        return answer::text(format!("{greeting}, {name}: {roots}"));
    }
    let requests = [
        ("user_name".to_owned(), elicit("What is your name?", "name")?),
        ("greeting".to_owned(), sample("Generate a greeting", 50)?),
        ("client_roots".to_owned(), self::roots()?),
    ];
    again(requests.into(), Some(server.hub.seal("three")))
}

fn rounds(
    server: &Everything,
    answers: &InputResponses,
    state: Option<&str>,
) -> Result<CallToolResponse, ErrorData> {
    let step1 = content(answers, "step1", "name");
    let step2 = content(answers, "step2", "color");
    match (state, step1, step2) {
        (Some("round-1"), Some(name), _) => {
            let question = elicit("Step 2: What is your favorite color?", "color")?;
            again(
                one("step2", question),
                Some(server.hub.seal(&format!("round-2:{name}"))),
            )
        }
        (Some(state), _, Some(color)) if state.starts_with("round-2:") => {
            let name = state.trim_start_matches("round-2:");
            answer::text(format!("{name} likes {color}."))
        }
        _ => {
            let question = elicit("Step 1: What is your name?", "name")?;
            again(one("step1", question), Some(server.hub.seal("round-1")))
        }
    }
}

fn capabilities(
    context: &RequestContext<RoleServer>,
    answers: &InputResponses,
) -> Result<CallToolResponse, ErrorData> {
    if !answers.is_empty() {
        return answer::text(format!("{} answers", answers.len()));
    }
    let declared = context.client_capabilities().unwrap_or_default();
    let mut requests = InputRequests::new();
    if declared.sampling.is_some() {
        requests.insert("sample".to_owned(), sample("Say something", 50)?);
    }
    if declared.elicitation.is_some() {
        requests.insert("name".to_owned(), elicit("What is your name?", "name")?);
    }
    if declared.roots.is_some() {
        requests.insert("roots".to_owned(), self::roots()?);
    }
    if requests.is_empty() {
        return answer::text("The client can answer nothing.");
    }
    again(requests, None)
}

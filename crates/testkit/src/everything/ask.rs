//! Questions to the client: as requests of the server in the legacy era, as a result in the modern one.

use rmcp::model::{
    CallToolResponse, CreateMessageRequestParams, ElicitRequestParams, InputRequiredResult, LoggingLevel,
    LoggingMessageNotificationParam, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use super::{Everything, answer, catalogue, hub, input};

/// Whether the request is one of the modern era.
pub(super) fn modern(context: &RequestContext<RoleServer>) -> bool {
    context
        .protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

fn failed_by_peer(error: impl std::fmt::Display) -> Result<CallToolResponse, ErrorData> {
    answer::failed(format!("the client did not answer: {error}"))
}

/// Logs `text` if the client wants messages of this level.
pub(super) async fn log(server: &Everything, context: &RequestContext<RoleServer>, text: &str) {
    let wanted = if modern(context) {
        context.meta.log_level()
    } else {
        hub::lock(&server.level).or(Some(LoggingLevel::Debug))
    };
    if wanted.is_some_and(|level| severity(level) <= severity(LoggingLevel::Info)) {
        let message =
            LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(text)).with_logger("everything");
        let _ = context.peer.notify_logging_message(message).await;
    }
}

/// RFC 5424 turned around: a greater number is more severe.
fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

/// Reports progress if the client gave a token.
pub(super) async fn progress(context: &RequestContext<RoleServer>, done: u32, total: u32) {
    if let Some(token) = context.meta.get_progress_token() {
        let note = ProgressNotificationParam::new(token, f64::from(done)).with_total(f64::from(total));
        let _ = context.peer.notify_progress(note).await;
    }
}

/// Reports progress with a message if the client gave a token.
pub(super) async fn progress_with(
    context: &RequestContext<RoleServer>,
    done: u32,
    total: u32,
    message: &str,
) {
    if let Some(token) = context.meta.get_progress_token() {
        let note = ProgressNotificationParam::new(token, f64::from(done)).with_total(f64::from(total));
        let _ = context.peer.notify_progress(note.with_message(message)).await;
    }
}

/// `test_elicitation` and its kin: a legacy client is asked in the middle of the call, a modern one by a result.
pub(super) async fn elicitation(
    context: &RequestContext<RoleServer>,
    answers: Option<&rmcp::model::InputResponses>,
    message: &str,
    schema: &str,
    before: &str,
) -> Result<CallToolResponse, ErrorData> {
    let given = if modern(context) {
        match answers.and_then(|answers| answers.get("answer")) {
            Some(answer) => answer.clone(),
            None => {
                let requests = [("answer".to_owned(), input::elicit(message, schema)?)].into();
                return Ok(InputRequiredResult::from_input_requests(requests).into());
            }
        }
    } else {
        let question = json!({ "message": message, "requestedSchema": catalogue::get().elicitation(schema) });
        let question: ElicitRequestParams = input::typed(question)?;
        match context.peer.create_elicitation(question).await {
            Ok(result) => serde_json::to_value(result).unwrap_or_default(),
            Err(error) => return failed_by_peer(error),
        }
    };
    let action = given.get("action").and_then(Value::as_str).unwrap_or("none");
    let content = given.get("content").unwrap_or(&Value::Null);
    answer::text(format!("{before} action={action}, content={content}"))
}

/// `test_sampling`.
pub(super) async fn sampling(
    context: &RequestContext<RoleServer>,
    answers: Option<&rmcp::model::InputResponses>,
    prompt: &str,
) -> Result<CallToolResponse, ErrorData> {
    let given = if modern(context) {
        match answers.and_then(|answers| answers.get("answer")) {
            Some(answer) => answer.clone(),
            None => {
                let requests = [("answer".to_owned(), input::sample(prompt, 100)?)].into();
                return Ok(InputRequiredResult::from_input_requests(requests).into());
            }
        }
    } else {
        let question: CreateMessageRequestParams = input::typed(input::message(prompt, 100))?;
        match context.peer.create_message(question).await {
            Ok(result) => serde_json::to_value(result).unwrap_or_default(),
            Err(error) => return failed_by_peer(error),
        }
    };
    answer::text(format!(
        "LLM response: {}",
        input::sampled(&given).unwrap_or_default()
    ))
}

/// `test_list_roots`.
pub(super) async fn roots(
    context: &RequestContext<RoleServer>,
    answers: Option<&rmcp::model::InputResponses>,
) -> Result<CallToolResponse, ErrorData> {
    let given = if modern(context) {
        match answers.and_then(|answers| answers.get("answer")) {
            Some(answer) => answer.clone(),
            None => {
                let requests = [("answer".to_owned(), input::roots()?)].into();
                return Ok(InputRequiredResult::from_input_requests(requests).into());
            }
        }
    } else {
        match context.peer.list_roots().await {
            Ok(result) => serde_json::to_value(result).unwrap_or_default(),
            Err(error) => return failed_by_peer(error),
        }
    };
    answer::text(format!("Roots: {}", given.get("roots").unwrap_or(&Value::Null)))
}

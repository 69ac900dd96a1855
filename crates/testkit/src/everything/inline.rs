//! What a result asks in the modern era, asked in the legacy era: as requests in the middle of the call.

use futures_util::future::join_all;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, GetPromptRequestParams, GetPromptResponse, InputRequest,
    InputRequiredResult, InputResponses,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;

use super::{Everything, answer, input, prompt};

/// Rounds before a fixture is given up.
const ROUNDS: usize = 4;

/// The tools `test_input_required_result_*` for a legacy client.
///
/// # Errors
/// As [`input::call`].
pub(super) async fn call(
    server: &Everything,
    params: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let mut params = params.clone();
    (params.input_responses, params.request_state) = (None, None);
    for _ in 0..ROUNDS {
        let asks = match input::call(server, &params, context)? {
            CallToolResponse::InputRequired(asks) => asks,
            done => return Ok(done),
        };
        params.request_state = asks.request_state.clone();
        params.input_responses = match ask(context, &asks).await {
            Ok(answers) => Some(answers),
            Err(error) => return answer::failed(format!("the client did not answer: {error}")),
        };
    }
    answer::failed("the client answers something else")
}

/// The prompt that asks, for a legacy client.
///
/// # Errors
/// As [`prompt::get`]; -32603 when the client does not answer.
pub(super) async fn get(
    params: &GetPromptRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<GetPromptResponse, ErrorData> {
    let mut params = params.clone();
    (params.input_responses, params.request_state) = (None, None);
    for _ in 0..ROUNDS {
        let asks = match prompt::get(&params)? {
            GetPromptResponse::InputRequired(asks) => asks,
            done => return Ok(done),
        };
        let answers = ask(context, &asks).await;
        params.input_responses =
            Some(answers.map_err(|error| ErrorData::internal_error(error.to_string(), None))?);
    }
    Err(ErrorData::internal_error(
        "the client answers something else",
        None,
    ))
}

/// All questions at once, as a server does that waits for none of them before it asks the next.
async fn ask(
    context: &RequestContext<RoleServer>,
    asks: &InputRequiredResult,
) -> Result<InputResponses, rmcp::ServiceError> {
    let asked = asks.input_requests.iter().flatten().map(|(key, request)| async {
        let given = one(context, request.clone()).await?;
        Ok((key.clone(), given))
    });
    join_all(asked).await.into_iter().collect()
}

async fn one(
    context: &RequestContext<RoleServer>,
    request: InputRequest,
) -> Result<Value, rmcp::ServiceError> {
    let peer = &context.peer;
    let given = match request {
        InputRequest::Elicitation(request) => {
            serde_json::to_value(peer.create_elicitation(request.params).await?)
        }
        InputRequest::CreateMessage(request) => {
            serde_json::to_value(peer.create_message(request.params).await?)
        }
        _ => serde_json::to_value(peer.list_roots().await?),
    };
    Ok(given.unwrap_or_default())
}

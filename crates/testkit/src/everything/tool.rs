//! `tools/call`.

use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse, ClientCapabilities, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use super::hub::Change;
use super::{Everything, answer, ask, inline, input, task};

/// Time between two notifications of a fixture.
const PACE: Duration = Duration::from_millis(50);
/// How soon a client shall ask again for a stream that was closed on it.
const RETRY: Duration = Duration::from_millis(500);

pub(super) fn string<'a>(arguments: &'a JsonObject, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Calls the tool `params.name`.
///
/// # Errors
/// -32602 for an unknown tool; other codes where the fixture is about one.
pub(super) async fn call(
    server: &Everything,
    params: CallToolRequestParams,
    context: RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let arguments = params.arguments.clone().unwrap_or_default();
    let answers = params.input_responses.as_ref();
    match params.name.as_ref() {
        "test_sampling" => ask::sampling(&context, answers, string(&arguments, "prompt")).await,
        "test_list_roots" => ask::roots(&context, answers).await,
        "test_elicitation" => {
            let message = string(&arguments, "message");
            ask::elicitation(&context, answers, message, "account", "User response:").await
        }
        "test_elicitation_sep1034_defaults" => {
            let before = "Elicitation completed:";
            ask::elicitation(
                &context,
                answers,
                "Please review the defaults",
                "defaults",
                before,
            )
            .await
        }
        "test_elicitation_sep1330_enums" => {
            let before = "Elicitation completed:";
            ask::elicitation(&context, answers, "Please choose", "enums", before).await
        }
        "test_streaming_elicitation" => {
            ask::progress(&context, 1, 2).await;
            ask::elicitation(&context, answers, "Please confirm", "confirm", "Confirmed:").await
        }
        name if task::has(name) => task::call(server, &params, &context).await,
        name if name.starts_with("test_input_required_result_") && ask::modern(&context) => {
            input::call(server, &params, &context)
        }
        name if name.starts_with("test_input_required_result_") => {
            inline::call(server, &params, &context).await
        }
        name if name.starts_with("test_trigger_") => trigger(server, name),
        name if name.starts_with("test_") => conformance(server, name, &context).await,
        name => own(server, name, &arguments, &context).await,
    }
}

fn trigger(server: &Everything, name: &str) -> Result<CallToolResponse, ErrorData> {
    match name {
        "test_trigger_tool_change" => server.hub.announce(Change::Tools),
        "test_trigger_prompt_change" => server.hub.announce(Change::Prompts),
        _ => {
            server.hub.announce(Change::Resources);
            server
                .hub
                .announce(Change::Resource("test://watched-resource".to_owned()));
        }
    }
    answer::text("announced")
}

/// The fixtures without questions that the conformance suite calls.
async fn conformance(
    server: &Everything,
    name: &str,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    match name {
        "test_simple_text" => answer::text("This is a simple text response for testing."),
        "test_image_content" => answer::blocks(vec![answer::image()]),
        "test_audio_content" => answer::blocks(vec![answer::audio()]),
        "test_embedded_resource" => {
            let text = "This is an embedded resource content.";
            answer::blocks(vec![answer::resource(
                "test://embedded-resource",
                "text/plain",
                text,
            )])
        }
        "test_multiple_content_types" => {
            let json = json!({ "test": "data", "value": 123 }).to_string();
            answer::blocks(vec![
                rmcp::model::ContentBlock::text("Multiple content types test:"),
                answer::image(),
                answer::resource("test://mixed-content-resource", "application/json", &json),
            ])
        }
        "test_tool_with_logging" => {
            ask::log(server, context, "Tool execution started").await;
            tokio::time::sleep(PACE).await;
            ask::log(server, context, "Tool processing data").await;
            tokio::time::sleep(PACE).await;
            ask::log(server, context, "Tool execution completed").await;
            answer::text("Logged three messages.")
        }
        "test_logging_tool" => {
            ask::log(server, context, "one message").await;
            answer::text("Logged, if that was asked for.")
        }
        "test_error_handling" => answer::failed("This tool intentionally returns an error for testing"),
        "test_tool_with_progress" => {
            for done in [0, 50, 100] {
                ask::progress(context, done, 100).await;
                tokio::time::sleep(PACE).await;
            }
            answer::text("Progressed to the end.")
        }
        "test_reconnection" => reconnection(server, context).await,
        "test_missing_capability" => {
            if context
                .client_capabilities()
                .is_some_and(|declared| declared.sampling.is_some())
            {
                return answer::text("The client can sample.");
            }
            let required: ClientCapabilities = input::typed(json!({ "sampling": {} }))?;
            Err(ErrorData::missing_required_client_capability(required))
        }
        "test_x_mcp_header" => answer::text("The headers matched."),
        other => Err(ErrorData::invalid_params(format!("unknown tool {other}"), None)),
    }
}

/// Closes the event stream of this call before its answer (SEP-1699).
async fn reconnection(
    server: &Everything,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let session = context
        .extensions
        .get::<http::request::Parts>()
        .and_then(|parts| parts.headers.get("mcp-session-id")?.to_str().ok());
    if let (Some(sessions), Some(session)) = (&server.sessions, session) {
        let handle = sessions.sessions.read().await.get(session).cloned();
        if let Some(handle) = handle {
            // The library does not tell a tool which stream it answers on, so every open one of the session is
            // closed; their numbers count up from zero.
            for stream in 0..64 {
                let _ = handle.close_sse_stream(stream, Some(RETRY)).await;
            }
        }
    }
    // The library forgets a stream with its answer: the client has to be back before that.
    tokio::time::sleep(3 * RETRY).await;
    answer::text("Reconnection test completed successfully.")
}

/// The tools that only our own tests call.
async fn own(
    server: &Everything,
    name: &str,
    arguments: &JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    match name {
        "json_schema_2020_12_tool" | "arguments" => {
            answer::text(Value::Object(arguments.clone()).to_string())
        }
        "echo" => answer::text(string(arguments, "text")),
        "echo_progress" => {
            let text = string(arguments, "text");
            ask::progress_with(context, 1, 2, text).await;
            answer::text(text)
        }
        "add" => {
            let number = |name| arguments.get(name).and_then(Value::as_f64).unwrap_or_default();
            answer::structured(json!({ "sum": number("a") + number("b") }))
        }
        "big" => {
            let kib = arguments
                .get("kib")
                .and_then(Value::as_u64)
                .unwrap_or(1)
                .min(65_536);
            let line = "All work and no play makes a dull gateway; line 0123456789.....\n";
            answer::text(line.repeat(usize::try_from(kib * 16).unwrap_or_default()))
        }
        "wait" => {
            let ms = arguments.get("ms").and_then(Value::as_u64).unwrap_or(60_000);
            tokio::select! {
                () = context.ct.cancelled() => {
                    server.hub.count("cancelled");
                    answer::failed("cancelled")
                }
                () = tokio::time::sleep(Duration::from_millis(ms)) => answer::text("waited"),
            }
        }
        "counters" => {
            let mut counts = server.hub.counts();
            if let Some(sessions) = &server.sessions {
                let open = sessions.sessions.read().await.len();
                counts.insert(
                    "open sessions".to_owned(),
                    u64::try_from(open).unwrap_or(u64::MAX),
                );
            }
            answer::text(json!(counts).to_string())
        }
        "request_headers" => {
            let headers = context.extensions.get::<http::request::Parts>().map(|parts| {
                let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                let headers = parts
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), text(value)));
                headers.collect::<std::collections::BTreeMap<_, _>>()
            });
            answer::text(json!(headers).to_string())
        }
        "links" => {
            let link = |uri, name| answer::link(json!({ "uri": uri, "name": name }));
            answer::blocks(vec![
                link("test://static-text", "static-text")?,
                link("https://example.com/page", "page")?,
                answer::resource(
                    "test://watched-resource",
                    "text/plain",
                    "Watched resource content",
                ),
            ])
        }
        "clock" => answer::text("The app shows the time."),
        "environment" => {
            let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
            answer::text(json!(names.collect::<Vec<_>>()).to_string())
        }
        "die" if server.options.mortal => std::process::exit(3),
        name if name.starts_with("tool_") => answer::text(format!("{name} called")),
        other => Err(ErrorData::invalid_params(format!("unknown tool {other}"), None)),
    }
}

//! The tools that become tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663) for clients that declare it.

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    CreateTaskResult, InputRequiredResult, JsonObject,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;

use super::{Everything, answer, ask, input};

/// How often a client shall ask for the state of a task.
const POLL_MS: u64 = 100;
/// How long the jobs that fail run before they do.
const JOB: Duration = Duration::from_millis(300);

/// Whether this module has the tool `name`.
pub(super) fn has(name: &str) -> bool {
    matches!(
        name,
        "greet"
            | "slow_compute"
            | "failing_job"
            | "protocol_error_job"
            | "confirm_delete"
            | "multi_input"
            | "test_tool_with_task"
    )
}

/// Calls a tool of [`has`].
///
/// # Errors
/// -32021 where only a task will do and the client has not declared the extension.
pub(super) async fn call(
    server: &Everything,
    params: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let arguments = params.arguments.clone().unwrap_or_default();
    let declared = ask::modern(context)
        && context
            .client_capabilities()
            .is_some_and(|capabilities| capabilities.supports_tasks());
    let answers = params.input_responses.as_ref();
    let tasks = server.hub.tasks();
    match params.name.as_ref() {
        "greet" => answer::text(format!("Hello, {}!", super::tool::string(&arguments, "name"))),
        "slow_compute" => {
            let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or(1.0);
            let time = Duration::from_secs_f64(seconds.clamp(0.0, 3600.0));
            if declared && !time.is_zero() {
                return Ok(compute(tasks, time, &arguments));
            }
            tokio::select! {
                () = context.ct.cancelled() => answer::failed("cancelled"),
                () = tokio::time::sleep(time) => Ok(computed(&arguments).into()),
            }
        }
        "confirm_delete" => {
            let message = format!("Delete {}?", super::tool::string(&arguments, "filename"));
            if !declared {
                return ask::elicitation(context, answers, &message, "confirm", "Deletion:").await;
            }
            let question = input::elicit(&message, "confirm")?;
            Ok(spawn(tasks, async |task| {
                let given = task.request_input("confirm", question).await?;
                Ok(said(format!("Deletion: {given}")))
            }))
        }
        _ if !declared && ask::modern(context) => {
            let required = ClientCapabilities::builder().enable_tasks().build();
            Err(ErrorData::missing_required_client_capability(required))
        }
        name if !declared => answer::failed(format!("{name} needs the tasks of revision 2026-07-28")),
        "failing_job" => Ok(spawn(tasks, async |_| {
            tokio::time::sleep(JOB).await;
            Ok(CallToolResult::error(vec![ContentBlock::text(
                "the job failed, as it should",
            )]))
        })),
        "protocol_error_job" => Ok(spawn(tasks, async |_| {
            tokio::time::sleep(JOB).await;
            Err(ErrorData::internal_error("the job broke, as it should", None).into())
        })),
        "multi_input" => {
            let (first, second) = (
                input::elicit("What is your name?", "name")?,
                input::elicit("Please confirm", "confirm")?,
            );
            Ok(spawn(tasks, async |task| {
                let (name, confirmed) = tokio::join!(
                    task.request_input("name", first),
                    task.request_input("confirm", second)
                );
                Ok(said(format!("{} {}", name?, confirmed?)))
            }))
        }
        _ => {
            let name = answers.and_then(|answers| input::content(answers, "user_name", "name"));
            let Some(name) = name else {
                let requests = [(
                    "user_name".to_owned(),
                    input::elicit("What is your name?", "name")?,
                )]
                .into();
                return Ok(InputRequiredResult::from_input_requests(requests).into());
            };
            Ok(spawn(tasks, async move |_| {
                tokio::time::sleep(JOB).await;
                Ok(said(format!("A task for {name}.")))
            }))
        }
    }
}

fn said(text: String) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn computed(arguments: &JsonObject) -> CallToolResult {
    said(format!("Computed {}.", super::tool::string(arguments, "label")))
}

fn compute(tasks: &TaskManager, time: Duration, arguments: &JsonObject) -> CallToolResponse {
    let result = computed(arguments);
    spawn(tasks, async move |task| {
        tokio::select! {
            () = task.cancelled() => Err(TaskExit::Cancelled),
            () = tokio::time::sleep(time) => Ok(result),
        }
    })
}

/// A task that runs `work`.
fn spawn<F, W>(tasks: &TaskManager, work: F) -> CallToolResponse
where
    F: FnOnce(TaskContext) -> W,
    W: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
{
    let options = TaskOptions::new().with_poll_interval_ms(POLL_MS);
    let task = tasks.spawn(options, |context| Box::pin(work(context)));
    CallToolResponse::Task(CreateTaskResult::new(task))
}

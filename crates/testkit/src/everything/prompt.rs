//! `prompts/get`.

use rmcp::ErrorData;
use rmcp::model::{
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, InputRequiredResult, PromptMessage, Role,
};

use super::{answer, input};

fn argument<'a>(params: &'a GetPromptRequestParams, name: &str) -> Result<&'a str, ErrorData> {
    params
        .arguments
        .as_ref()
        .and_then(|arguments| arguments.get(name)?.as_str())
        .ok_or_else(|| ErrorData::invalid_params(format!("the argument {name} is missing"), None))
}

/// The prompt, or a question to the person first.
///
/// # Errors
/// -32602 for an unknown prompt or a missing argument.
pub(super) fn get(params: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let user = |text: String| PromptMessage::new_text(Role::User, text);
    let messages = match params.name.as_str() {
        "test_simple_prompt" => vec![user("This is a simple prompt for testing.".to_owned())],
        "test_prompt_with_arguments" => {
            let (arg1, arg2) = (argument(params, "arg1")?, argument(params, "arg2")?);
            vec![user(format!(
                "Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"
            ))]
        }
        "test_prompt_with_embedded_resource" => {
            let uri = argument(params, "resourceUri")?;
            let text = "Embedded resource content for testing.";
            vec![
                PromptMessage::new(Role::User, answer::resource(uri, "text/plain", text)),
                user("Please process the embedded resource above.".to_owned()),
            ]
        }
        "test_prompt_with_image" => vec![
            PromptMessage::new(Role::User, answer::image()),
            user("Please analyze the image above.".to_owned()),
        ],
        "test_input_required_result_prompt" => {
            let answers = params.input_responses.as_ref();
            match answers.and_then(|answers| input::content(answers, "user_context", "context")) {
                Some(context) => vec![user(format!("Prompt in the context of {context}."))],
                None => {
                    let question = input::elicit("What context should the prompt use?", "context")?;
                    let requests = [("user_context".to_owned(), question)].into();
                    return Ok(InputRequiredResult::from_input_requests(requests).into());
                }
            }
        }
        other => return Err(ErrorData::invalid_params(format!("unknown prompt {other}"), None)),
    };
    Ok(GetPromptResult::new(messages).into())
}

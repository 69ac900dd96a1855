//! From the envelope of a request to what is asked for.

use bytes::Bytes;
use sallyport_mcp::json::is_object;
use sallyport_mcp::jsonrpc::{Envelope, Key, Params, Reference, Text};
use sallyport_mcp::method::Method;
use sallyport_mcp::splice::ObjectEdit;

use crate::call::Asked;
use crate::refusal::Refusal;
use crate::route::What;

/// Reads a request that one server is to carry out.
///
/// # Errors
/// Parameters that say not what, or not with a name.
pub(crate) fn read(envelope: &Envelope<'_>, body: &Bytes, id: Bytes) -> Result<Asked, Refusal> {
    let params = envelope
        .params
        .as_ref()
        .ok_or_else(|| Refusal::params("params are missing"))?;
    let (what, name) = target(envelope.called(), params)?;
    let arguments = params.get(Key::Arguments);
    if arguments.is_some_and(|raw| !is_object(raw) && raw != b"null") {
        return Err(Refusal::params("arguments must be an object"));
    }
    Ok(Asked {
        what,
        visible: name.value.into(),
        params: without_task(params, body),
        task: params
            .get(Key::Task)
            .filter(|raw| is_object(raw))
            .map(|raw| body.slice_ref(raw)),
        id,
        progress_token: params.progress_token().map(|raw| body.slice_ref(raw)),
        log_level: None,
        arguments: arguments.map_or_else(Bytes::new, |raw| body.slice_ref(raw)),
    })
}

fn target<'a>(method: Method, params: &Params<'a>) -> Result<(What, Text<'a>), Refusal> {
    let (what, name) = match method {
        Method::ToolsCall => (What::Tool, params.name()),
        Method::PromptsGet => (What::Prompt, params.name()),
        Method::ResourcesRead => (What::Resource, params.uri()),
        Method::SkillsGet => (What::Skill, params.uri()),
        Method::DirectoryRead => (What::Directory, params.uri()),
        _ => match params.reference() {
            Some(Reference::Prompt(name)) => (What::PromptArgument, Some(name)),
            Some(Reference::Resource(uri)) => (What::TemplateVariable, Some(uri)),
            None => return Err(Refusal::params("ref must name a prompt or a resource template")),
        },
    };
    let missing = match what {
        What::Resource | What::Skill | What::Directory => "uri must be a string",
        _ => "name must be a string",
    };
    Ok((what, name.ok_or_else(|| Refusal::params(missing))?))
}

/// A request for a task of 2025-11-25 is a plain request where the server takes none.
fn without_task(params: &Params<'_>, body: &Bytes) -> Bytes {
    let raw = params.raw();
    if params.get(Key::Task).is_some()
        && let Ok(mut edit) = ObjectEdit::new(raw)
    {
        edit.remove("task");
        return edit.finish().into();
    }
    body.slice_ref(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_mcp::jsonrpc::{Limits, scan};

    fn asked(message: &'static str) -> Result<Asked, Refusal> {
        let body = Bytes::from_static(message.as_bytes());
        let envelope = scan(&body, &Limits::CLIENT).expect("a message");
        read(&envelope, &body, Bytes::from_static(b"1"))
    }

    #[test]
    fn requests_say_what_and_with_which_name() {
        for (message, what, name) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{}}}"#,
                What::Tool,
                "a",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x:y"}}"#,
                What::Resource,
                "x:y",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"}}}"#,
                What::PromptArgument,
                "p",
            ),
        ] {
            let asked = asked(message).expect("a request");
            assert_eq!((asked.what, &*asked.visible), (what, name));
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for message in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\ud800"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":[1]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"name":"a"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"x","name":"p"}}}"#,
        ] {
            let code = asked(message).map(|_| ()).map_err(|refusal| refusal.code);
            assert_eq!(code, Err(-32602), "{message}");
        }
    }

    #[test]
    fn a_wish_for_a_task_is_kept_apart() {
        let asked = asked(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","task":{"ttl":1},"arguments":{"task":1}}}"#,
        );
        let asked = asked.expect("a request");
        assert_eq!(asked.params, br#"{"name":"a","arguments":{"task":1}}"#.as_slice());
        assert_eq!(asked.task.as_deref(), Some(br#"{"ttl":1}"#.as_slice()));
    }
}

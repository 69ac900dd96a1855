//! The built-in demo server: in this process, in both eras, so that a first call works before anything is configured.

mod offers;
mod tools;

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::Timestamp;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use sallyport_mcp::capabilities::{ResourcesCapability, ServerCapabilities};
use sallyport_mcp::error::{self, INVALID_PARAMS, LEGACY_RESOURCE_NOT_FOUND, METHOD_NOT_FOUND};
use sallyport_mcp::method::Method;
use sallyport_mcp::render::implementation;
use serde_json::{Value, json};

use super::control::Control;
use super::detect::Contact;
use super::ground::Ground;
use super::link::Kept;
use super::request::RequestError;
use super::state::Speaks;
use crate::exchange::{OutboundCall, Reply};

/// Why the demo server does not do what was asked.
enum Refusal {
    /// There is no such tool, prompt or argument.
    Params(String),
    /// There is no such resource.
    Resource(String),
    /// There is no such method.
    Method,
}

/// A client's use of the demo server.
pub(crate) struct DemoLink {
    ground: Arc<Ground>,
    era: Era,
}

impl DemoLink {
    pub(crate) fn new(ground: &Arc<Ground>, era: Era) -> Self {
        Self {
            ground: Arc::clone(ground),
            era,
        }
    }

    /// Answers a call. `kept` lives as long as the call.
    ///
    /// # Errors
    /// A fault of ours: parameters were checked when they came in.
    pub(crate) fn call(&self, call: OutboundCall, kept: Kept) -> Result<Reply, Fault> {
        let params: Value = serde_json::from_slice(&call.params)
            .map_err(|error| Fault::gateway("read the parameters", error))?;
        let now = self.ground.deps.clock.now();
        let method = Method::parse(call.method);
        if method == Method::ToolsCall
            && let Some(steps) = tools::countdown(&params)
        {
            let token = call.progress_token;
            return Ok(tools::count_down(self.era, call.id, token, steps, kept));
        }
        Ok(Reply::Whole(match answer(method, &params, now) {
            Ok(result) => self.result(&call.id, method, result),
            Err(refusal) => self.refusal(&call.id, &refusal),
        }))
    }

    fn result(&self, id: &[u8], method: Method, mut result: Value) -> Bytes {
        complete(self.era, method, &mut result);
        error::result(id, result.to_string().as_bytes())
    }

    fn refusal(&self, id: &[u8], refusal: &Refusal) -> Bytes {
        let (code, text) = match refusal {
            Refusal::Params(text) => (INVALID_PARAMS, text.as_str()),
            Refusal::Resource(uri) => {
                let data = json!({ "uri": uri }).to_string();
                let code = match self.era {
                    Era::Legacy => LEGACY_RESOURCE_NOT_FOUND,
                    Era::Modern => INVALID_PARAMS,
                };
                return error::message(Some(id), code, "there is no such resource", Some(&data));
            }
            Refusal::Method => (METHOD_NOT_FOUND, "the demo server has no such method"),
        };
        error::message(Some(id), code, text, None)
    }
}

/// Makes a result one of its era.
fn complete(era: Era, method: Method, result: &mut Value) {
    let (Era::Modern, Some(members)) = (era, result.as_object_mut()) else {
        return;
    };
    members.insert("resultType".to_owned(), json!("complete"));
    if method.is_cacheable() {
        members.insert("ttlMs".to_owned(), json!(60_000));
        members.insert("cacheScope".to_owned(), json!("public"));
    }
}

fn answer(method: Method, params: &Value, now: Timestamp) -> Result<Value, Refusal> {
    let text = |key: &str| params.get(key).and_then(Value::as_str).unwrap_or_default();
    let arguments = params.get("arguments").unwrap_or(&Value::Null);
    match method {
        Method::ToolsList => Ok(json!({ "tools": tools::list() })),
        Method::ToolsCall => tools::call(text("name"), arguments, now),
        Method::PromptsList => Ok(json!({ "prompts": offers::prompts() })),
        Method::PromptsGet => offers::prompt(text("name"), arguments),
        Method::ResourcesList => Ok(json!({ "resources": offers::resources() })),
        Method::TemplatesList => Ok(json!({ "resourceTemplates": offers::templates() })),
        Method::ResourcesRead => offers::read(text("uri")),
        Method::Complete => Ok(offers::complete(params)),
        _ => Err(Refusal::Method),
    }
}

/// What the supervisor asks.
///
/// # Errors
/// [`RequestError::Refused`] for what the demo server does not have.
pub(crate) fn request(method: Method, params: &[u8]) -> Result<Bytes, RequestError> {
    let params = serde_json::from_slice(params).unwrap_or(Value::Null);
    answer(method, &params, Timestamp::EPOCH)
        .map(|result| result.to_string().into())
        .map_err(|_| RequestError::Refused(error::object(METHOD_NOT_FOUND, "not found", None).into()))
}

/// First contact: it is always there.
pub(crate) fn contact() -> Contact {
    Contact {
        speaks: Speaks {
            legacy: true,
            modern: true,
        },
        capabilities: ServerCapabilities {
            tools: Some(false),
            prompts: Some(false),
            resources: Some(ResourcesCapability::default()),
            completions: true,
            ..ServerCapabilities::default()
        },
        instructions: Some(offers::INSTRUCTIONS.to_owned()),
        info: Some(
            implementation(
                "sallyport-demo",
                Some("Sallyport demo"),
                env!("CARGO_PKG_VERSION"),
            )
            .into(),
        ),
        control: Control::Demo,
    }
}

#[cfg(test)]
mod tests {
    use sallyport_mcp::catalogue::{ListKind, parse_page};

    use super::*;

    #[test]
    fn every_list_is_fit_to_be_offered() {
        for kind in [
            ListKind::Tools,
            ListKind::Prompts,
            ListKind::Resources,
            ListKind::Templates,
        ] {
            let raw = request(kind.method(), b"{}").expect("the demo server has this list");
            let page = parse_page(kind, &raw).expect("a page");
            assert!(page.dropped.is_empty(), "{:?}", page.dropped);
            assert!(!page.items.is_empty(), "{kind:?}");
            assert!(page.items.iter().all(|item| item.headers.is_ok()));
        }
    }

    #[test]
    fn results_are_of_their_era() {
        let read = json!({ "uri": offers::WELCOME });
        for (era, bears) in [(Era::Legacy, false), (Era::Modern, true)] {
            let mut result = answer(Method::ResourcesRead, &read, Timestamp::EPOCH)
                .ok()
                .expect("there");
            complete(era, Method::ResourcesRead, &mut result);
            for member in ["resultType", "ttlMs", "cacheScope"] {
                assert_eq!(result.get(member).is_some(), bears, "{era:?} {member}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for (method, params) in [
            (Method::ToolsCall, json!({ "name": "nothing" })),
            (Method::PromptsGet, json!({ "name": "nothing" })),
            (Method::ResourcesRead, json!({ "uri": "demo://nothing" })),
            (Method::Ping, json!({})),
        ] {
            assert!(answer(method, &params, Timestamp::EPOCH).is_err(), "{method:?}");
        }
    }
}

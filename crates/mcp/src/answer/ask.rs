//! `input_required`: a modern server asks back by answering (2026-07-28, Multi Round-Trip Requests).

use std::borrow::Cow;

use thiserror::Error;

use crate::capabilities::Members;
use crate::error::INTERNAL_ERROR;
use crate::json::{JsonError, Object, is_object};
use crate::method::Method;
use crate::splice::ObjectEdit;

/// The raw `resultType` of a result that asks.
pub const INPUT_REQUIRED: &[u8] = br#""input_required""#;

/// The most questions in one result.
const MAX_REQUESTS: usize = 64;

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputRequest<'a> {
    /// What its answer is to be called.
    pub key: Cow<'a, str>,
    /// `sampling/createMessage`, `elicitation/create` or `roots/list`.
    pub method: Method,
    /// The raw parameters.
    pub params: Option<&'a [u8]>,
}

/// An `input_required` result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputRequired<'a> {
    /// The questions; none when the server only wants to be asked again.
    pub requests: Vec<InputRequest<'a>>,
    /// What to give back with the answers.
    pub state: Option<Cow<'a, str>>,
}

/// Why an `input_required` result cannot be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum InvalidAsk {
    /// Neither questions nor state, or members of the wrong type.
    #[error("an `input_required` result that is malformed")]
    Malformed,
    /// A method that cannot be asked of a client.
    #[error("an `input_required` result that asks for an unknown method")]
    Method,
}

impl InvalidAsk {
    /// The JSON-RPC code for the client.
    pub const CODE: i32 = INTERNAL_ERROR;
}

impl From<JsonError> for InvalidAsk {
    fn from(_: JsonError) -> Self {
        Self::Malformed
    }
}

impl<'a> InputRequired<'a> {
    /// Reads the raw `result` of a response whose type is [`INPUT_REQUIRED`].
    ///
    /// # Errors
    /// [`InvalidAsk`] if it is not what such a result must be.
    pub fn parse(result: &'a [u8]) -> Result<Self, InvalidAsk> {
        let object = Object::read(result)?;
        let state = match object.get("requestState") {
            None => None,
            Some(raw) => Some(crate::json::decode(raw).ok_or(InvalidAsk::Malformed)?),
        };
        let mut requests = Vec::new();
        if let Some(raw) = object.get("inputRequests") {
            let questions = Object::read(raw)?;
            if questions.members().len() > MAX_REQUESTS || questions.repeated_key().is_some() {
                return Err(InvalidAsk::Malformed);
            }
            for member in questions.members() {
                let key = member.key.clone().ok_or(InvalidAsk::Malformed)?;
                requests.push(request(key, member.value)?);
            }
        }
        if requests.is_empty() && state.is_none() {
            return Err(InvalidAsk::Malformed);
        }
        Ok(Self { requests, state })
    }
}

fn request<'a>(key: Cow<'a, str>, raw: &'a [u8]) -> Result<InputRequest<'a>, InvalidAsk> {
    let object = Object::read(raw)?;
    let method = Method::parse(&object.text("method").ok_or(InvalidAsk::Malformed)?);
    if !matches!(
        method,
        Method::SamplingCreate | Method::ElicitationCreate | Method::RootsList
    ) {
        return Err(InvalidAsk::Method);
    }
    let params = object.get("params");
    if params.is_some_and(|raw| !is_object(raw)) {
        return Err(InvalidAsk::Malformed);
    }
    Ok(InputRequest { key, method, params })
}

/// An `input_required` result: questions by key, with their method and raw parameters, and the state to come back with.
#[must_use]
pub fn input_required_result(requests: &[(&str, &str, Option<&[u8]>)], state: Option<&str>) -> Vec<u8> {
    let mut questions = Members::new();
    for (key, method, params) in requests {
        let mut question = Members::new();
        question.add_text("method", method);
        if let Some(params) = params {
            question.add("params", params);
        }
        questions.add(key, &question.finish());
    }
    let mut out = Members::new();
    out.add_text("resultType", "input_required");
    if !requests.is_empty() {
        out.add("inputRequests", &questions.finish());
    }
    if let Some(state) = state {
        out.add_text("requestState", state);
    }
    out.finish()
}

/// The raw parameters of a request without what a client adds when it asks again: nothing that a legacy server knows.
/// Borrowed if they have none of it.
#[must_use]
pub fn without_input(params: &[u8]) -> Cow<'_, [u8]> {
    const KEYS: [&str; 2] = ["inputResponses", "requestState"];
    if !KEYS
        .iter()
        .any(|key| memchr::memmem::find(params, key.as_bytes()).is_some())
    {
        return Cow::Borrowed(params);
    }
    let Ok(mut edit) = ObjectEdit::new(params) else {
        return Cow::Borrowed(params);
    };
    if KEYS.iter().all(|key| edit.object().get(key).is_none()) {
        return Cow::Borrowed(params);
    }
    for key in KEYS {
        edit.remove(key);
    }
    Cow::Owned(edit.finish())
}

/// One answer of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputResponse<'a> {
    /// The question's key.
    pub key: Cow<'a, str>,
    /// The raw result.
    pub result: &'a [u8],
}

/// The answers in a raw `inputResponses` object.
///
/// # Errors
/// [`InvalidAsk::Malformed`] if it is no object, or a key stands twice.
pub fn input_responses(raw: &[u8]) -> Result<Vec<InputResponse<'_>>, InvalidAsk> {
    let object = Object::read(raw)?;
    if object.repeated_key().is_some() || object.members().len() > MAX_REQUESTS {
        return Err(InvalidAsk::Malformed);
    }
    object
        .members()
        .iter()
        .map(|m| {
            let key = m.key.clone().ok_or(InvalidAsk::Malformed)?;
            Ok(InputResponse { key, result: m.value })
        })
        .collect()
}

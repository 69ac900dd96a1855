//! A legacy client on a modern server that asks: `input_required` becomes requests of the gateway, and the answers a new
//! request with the server's own state.

use bytes::Bytes;
use sallyport_core::Random;
use sallyport_core::random::token;
use sallyport_mcp::answer::InputRequired;
use sallyport_mcp::error::INTERNAL_ERROR;
use sallyport_mcp::json;
use sallyport_mcp::method::Method;
use sallyport_mcp::splice::ObjectEdit;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::call::Call;
use crate::caller::Client;
use crate::exchange::{Answered, Question};
use crate::refusal::Refusal;
use crate::relay::{Label, MAX_ROUNDS, Out, Relay, Stage};
use crate::translate;

/// How long a server that gives only a state is left alone, times the rounds so far.
const PAUSE: Duration = Duration::from_millis(250);

/// One round of questions.
pub(crate) struct Round {
    answers: Vec<(String, Method, oneshot::Receiver<Answered>)>,
    state: Option<String>,
    pause: Duration,
}

impl Round {
    /// No questions: what stands in its place while it is worked on.
    pub(crate) fn nothing() -> Self {
        Self {
            answers: Vec::new(),
            state: None,
            pause: Duration::ZERO,
        }
    }
}

/// Puts the server's questions to the client.
///
/// # Errors
/// The client cannot be asked this, or the server asks without end.
pub(crate) fn ask(relay: &mut Relay, message: &[u8]) -> Result<(), Refusal> {
    relay.rounds = relay.rounds.saturating_add(1);
    if relay.rounds > MAX_ROUNDS {
        return Err(failed("The server asks without end"));
    }
    let result = json::find(message, "result").unwrap_or(b"{}");
    let asks =
        InputRequired::parse(result).map_err(|_| failed("The server's question cannot be understood"))?;
    let Client::Legacy(session) = relay.call.client.clone() else {
        return Err(failed("The client cannot be asked"));
    };
    let mut answers = Vec::with_capacity(asks.requests.len());
    for request in &asks.requests {
        if !session.ears.can.allow(request.method, request.params) || !relay.can_ask() {
            return Err(failed("The server asks what the client cannot answer"));
        }
        let (answer, answered) = oneshot::channel();
        let params = translate::labelled(&relay.call, request.method, request.params);
        let question = Question {
            method: request.method.as_str().into(),
            params: legacy_params(
                &*relay.call.caller.proxy.random,
                request.method,
                params.as_deref(),
            ),
            answer,
        };
        let random = &*relay.call.caller.proxy.random;
        let (asked, message) = session
            .ears
            .questions
            .ask(random, question)
            .ok_or_else(|| Refusal::too_many("questions"))?;
        relay.asked.push(asked);
        relay.queue.push_back(Out::Request(message));
        answers.push((request.key.to_string(), request.method, answered));
    }
    let pause = if answers.is_empty() {
        PAUSE * u32::from(relay.rounds)
    } else {
        Duration::ZERO
    };
    relay.stage = Stage::Waiting(Round {
        answers,
        state: asks.state.map(std::borrow::Cow::into_owned),
        pause,
    });
    relay.relabel = Some(Label {
        id: relay.call.id.clone(),
        progress_token: relay.call.progress_token.clone(),
    });
    Ok(())
}

/// A URL elicitation has an id in the legacy revision that knows it.
pub(crate) fn legacy_params(random: &dyn Random, method: Method, params: Option<&[u8]>) -> Option<Bytes> {
    let params = params?;
    if method == Method::ElicitationCreate
        && let Ok(mut edit) = ObjectEdit::new(params)
        && edit.object().text("mode").as_deref() == Some("url")
        && edit.object().get("elicitationId").is_none()
    {
        let id = token::<16>(random);
        edit.set("elicitationId", json::quote(&id));
        return Some(edit.finish().into());
    }
    Some(Bytes::copy_from_slice(params))
}

/// Waits for the answers. What comes back are the parameters and the new id of the next request.
///
/// # Errors
/// The client did not answer, or refused what has no form for a refusal.
pub(crate) async fn answered(call: &mut Call, round: Round) -> Result<(Bytes, Bytes), Refusal> {
    let until = Instant::now() + call.caller.limits.parked_for;
    sleep(round.pause).await;
    let mut given = ObjectEdit::new(b"{}").map_err(|_| failed("The gateway failed"))?;
    for (key, method, answer) in round.answers {
        let answered = timeout_at(until, answer).await;
        let result = match (answered, method) {
            (Ok(Ok(Answered::Result(result))), _) => result,
            // The one question whose answer may be "no".
            (_, Method::ElicitationCreate) => Bytes::from_static(br#"{"action":"cancel"}"#),
            _ => return Err(failed("The client did not answer the server's question")),
        };
        given.set(&key, result);
    }
    let mut params = ObjectEdit::new(&call.params).map_err(|_| failed("The gateway failed"))?;
    let given = given.finish();
    if given == b"{}" {
        params.remove("inputResponses");
    } else {
        params.set("inputResponses", given);
    }
    match &round.state {
        Some(state) => params.set("requestState", json::quote(state)),
        None => params.remove("requestState"),
    };
    let id = json::quote(&token::<16>(&*call.caller.proxy.random));
    Ok((params.finish().into(), id.into()))
}

fn failed(text: &'static str) -> Refusal {
    Refusal::new(200, INTERNAL_ERROR, text)
}

//! A legacy client on a modern server that asks: `input_required` becomes requests of the gateway, and the answers a new
//! request with the server's own state.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::Random;
use sallyport_core::random::token;
use sallyport_mcp::answer::{InputRequest, InputRequired};
use sallyport_mcp::error::INTERNAL_ERROR;
use sallyport_mcp::json;
use sallyport_mcp::method::Method;
use sallyport_mcp::splice::ObjectEdit;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::ask::Questions;
use crate::call::Call;
use crate::caller::Client;
use crate::exchange::{Answered, Question};
use crate::refusal::Refusal;
use crate::relay::{Label, MAX_ROUNDS, Out, Relay, Stage};
use crate::route::What;
use crate::translate;
use crate::visit::{self, Begun};

/// How long a server that gives only a state is left alone, times the rounds so far.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a person who visits a URL is left alone before the server is asked whether that is over.
const VISIT: Duration = Duration::from_secs(2);

/// One round of questions.
pub(crate) struct Round {
    answers: Vec<Awaited>,
    state: Option<String>,
    pause: Duration,
}

/// One question.
struct Awaited {
    key: String,
    method: Method,
    /// The visit that the client begins by agreeing to it.
    visit: Option<Begun>,
    answer: oneshot::Receiver<Answered>,
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

/// Puts the server's questions to the client. What comes back is the end of the call: the client cannot be asked this, or
/// the server asks without end.
pub(crate) fn ask(relay: &mut Relay, message: &[u8]) -> Option<Out> {
    let result = json::find(message, "result").unwrap_or(b"{}");
    let asked = InputRequired::parse(result)
        .map_err(|_| failed("The server's question cannot be understood"))
        .and_then(|asks| put(relay, &asks));
    asked.unwrap_or_else(|refusal| Some(relay.refuse(&refusal)))
}

fn put(relay: &mut Relay, asks: &InputRequired<'_>) -> Result<Option<Out>, Refusal> {
    let Client::Legacy(session) = relay.call.client.clone() else {
        return Err(failed("The client cannot be asked"));
    };
    let over = relay.visits.over(Some(asks));
    relay.queue.extend(over.into_iter().map(Out::Notification));
    let allowed = |ask: &&InputRequest<'_>| session.ears.can.allow(ask.method, ask.params);
    let elsewhere: Vec<_> = asks.requests.iter().filter(|ask| !allowed(ask)).collect();
    if let Some(wanted) = elsewhere
        .iter()
        .map(|ask| wanted(ask))
        .collect::<Option<Vec<_>>>()
        && !wanted.is_empty()
    {
        let wanted: Vec<_> = wanted.iter().map(|(message, url)| (&**message, &**url)).collect();
        return Ok(Some(visit::in_words(relay, &wanted)));
    }
    if !elsewhere.is_empty() || !(asks.requests.is_empty() || relay.can_ask()) {
        return Err(failed("The server asks what the client cannot answer"));
    }
    let is_again = |ask: &&InputRequest<'_>| {
        let url = visit::url_of(ask);
        url.is_some_and(|url| relay.visits.underway(&url).is_some())
    };
    let again = asks.requests.iter().filter(is_again).count();
    let only_again = again > 0 && again == asks.requests.len();
    if !only_again {
        relay.rounds = relay.rounds.saturating_add(1);
    }
    if relay.rounds > MAX_ROUNDS {
        return Err(failed("The server asks without end"));
    }
    let mut answers = Vec::with_capacity(asks.requests.len());
    for request in &asks.requests {
        let awaited = match underway(relay, request)? {
            Some(awaited) => awaited,
            None => put_one(relay, &session.ears.questions, request)?,
        };
        answers.push(awaited);
    }
    relay.stage = Stage::Waiting(Round {
        pause: match (only_again, answers.is_empty()) {
            (true, _) => VISIT,
            (false, true) => PAUSE * u32::from(relay.rounds),
            (false, false) => Duration::ZERO,
        },
        answers,
        state: asks.state.as_deref().map(str::to_owned),
    });
    relay.relabel = Some(Label {
        id: relay.call.id.clone(),
        progress_token: relay.call.progress_token.clone(),
    });
    Ok(None)
}

/// Why and where a person is to go, if that is what a question is about.
fn wanted(ask: &InputRequest<'_>) -> Option<(String, String)> {
    let url = visit::url_of(ask)?;
    let message = json::find(ask.params?, "message").and_then(json::decode);
    Some((message.unwrap_or_default().into_owned(), url.into_owned()))
}

/// A question that the client has agreed to, and that the server repeats because the person is not done: it gets the
/// same answer.
fn underway(relay: &Relay, request: &InputRequest<'_>) -> Result<Option<Awaited>, Refusal> {
    let Some(begun) = visit::url_of(request).and_then(|url| relay.visits.underway(&url)) else {
        return Ok(None);
    };
    if begun.until <= Instant::now() {
        return Err(to_be_read(&relay.call, "The person did not come back in time"));
    }
    let (answer, answered) = oneshot::channel();
    // The receiver is right here.
    let _ = answer.send(Answered::Result(Bytes::from_static(br#"{"action":"accept"}"#)));
    Ok(Some(Awaited {
        key: request.key.to_string(),
        method: request.method,
        visit: None,
        answer: answered,
    }))
}

fn put_one(
    relay: &mut Relay,
    questions: &Arc<Questions>,
    request: &InputRequest<'_>,
) -> Result<Awaited, Refusal> {
    let (answer, answered) = oneshot::channel();
    let params = translate::labelled(&relay.call, request.method, request.params);
    let random = &*relay.call.caller.proxy.random;
    let visit = visit::url_of(request).map(|url| Begun {
        url: (*url).into(),
        id: token::<16>(random),
        until: Instant::now() + relay.call.caller.limits.parked_for,
    });
    let question = Question {
        method: request.method.as_str().into(),
        params: with_id(params.as_deref(), visit.as_ref().map(|visit| &*visit.id)),
        answer,
    };
    let (asked, message) = questions
        .ask(random, question)
        .ok_or_else(|| Refusal::too_many("questions"))?;
    relay.asked.push(asked);
    relay.queue.push_back(Out::Request(message));
    Ok(Awaited {
        key: request.key.to_string(),
        method: request.method,
        visit,
        answer: answered,
    })
}

/// A URL elicitation has an id in the legacy revision that knows it.
pub(crate) fn legacy_params(random: &dyn Random, method: Method, params: Option<&[u8]>) -> Option<Bytes> {
    let request = InputRequest {
        key: std::borrow::Cow::Borrowed(""),
        method,
        params,
    };
    let id = visit::url_of(&request).map(|_| token::<16>(random));
    with_id(params, id.as_deref())
}

fn with_id(params: Option<&[u8]>, id: Option<&str>) -> Option<Bytes> {
    let params = params?;
    if let Some(id) = id
        && let Ok(mut edit) = ObjectEdit::new(params)
    {
        edit.set("elicitationId", json::quote(id));
        return Some(edit.finish().into());
    }
    Some(Bytes::copy_from_slice(params))
}

/// Waits for the answers. What comes back are the parameters and the new id of the next request.
///
/// # Errors
/// The client did not answer, or refused what has no form for a refusal.
pub(crate) async fn answered(relay: &mut Relay, round: Round) -> Result<(Bytes, Bytes), Refusal> {
    let call = &relay.call;
    let until = Instant::now() + call.caller.limits.parked_for;
    sleep(round.pause).await;
    let mut given = ObjectEdit::new(b"{}").map_err(|_| failed("The gateway failed"))?;
    let mut begun = Vec::new();
    for awaited in round.answers {
        let answered = timeout_at(until, awaited.answer).await;
        let result = match (answered, awaited.method) {
            (Ok(Ok(Answered::Result(result))), _) => result,
            // The one question whose answer may be "no".
            (_, Method::ElicitationCreate) => Bytes::from_static(br#"{"action":"cancel"}"#),
            _ => {
                let text = "The client did not answer the server's question";
                return Err(to_be_read(call, text));
            }
        };
        if visit::is_agreed(&result) {
            begun.extend(awaited.visit);
        }
        given.set(&awaited.key, result);
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
    let params = params.finish().into();
    relay.visits.begin(begun);
    Ok((params, id.into()))
}

/// A failure for which the client is to blame, or its person: the model of a tool reads it.
fn to_be_read(call: &Call, text: &'static str) -> Refusal {
    let refusal = failed(text);
    if call.route.what != What::Tool {
        return refusal;
    }
    let info = call.caller.endpoint.server_info();
    refusal.read_as(visit::read_by_model(call.client.era(), info, text))
}

fn failed(text: &'static str) -> Refusal {
    Refusal::new(200, INTERNAL_ERROR, text)
}

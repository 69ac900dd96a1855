//! What an answer is, judged by its status and content type alone (SS-02).

use bytes::{Bytes, BytesMut};
use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Limits, scan};
use sallyport_net::http1::{Answer, AnswerBody, Media};

use super::events::Events;
use super::long;
use crate::upstream::request::code_of;

const OPERATION: &str = "read the answer";

/// The longest body of a refusal that is looked at, in bytes.
const REFUSAL: usize = 64 << 10;

/// A usable answer.
pub(crate) enum Got {
    /// One JSON text.
    Json(BytesMut),
    /// What a long JSON text begins with, and the rest of it.
    Begun(BytesMut, Box<AnswerBody>),
    /// A stream of events.
    Events(Box<Events>),
    /// Taken note of, with nothing to say.
    Accepted,
}

/// Another answer than the one that was hoped for.
pub(crate) enum HttpError {
    /// It is a failure whatever was asked.
    Fault(Fault),
    /// The request was refused: what that means depends on the request.
    Refused(Refused),
}

impl From<Fault> for HttpError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl HttpError {
    /// As a failure, for those who have no use for the reason.
    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Refused(refused) => refused.into_fault(),
        }
    }
}

/// A request that the server refused with a status of 400 to 499.
pub(crate) struct Refused {
    /// The status.
    pub(crate) status: u16,
    /// The raw error object of the JSON-RPC response, if the body was one.
    pub(crate) error: Option<Bytes>,
}

impl Refused {
    /// The JSON-RPC code.
    pub(crate) fn code(&self) -> Option<i64> {
        code_of(self.error.as_ref()?)
    }

    /// The JSON-RPC message.
    pub(crate) fn message(&self) -> String {
        let message = self.error.as_ref().and_then(|raw| json::find(raw, "message"));
        message
            .and_then(json::decode)
            .map(String::from)
            .unwrap_or_default()
    }

    /// As a failure. A refused request was not carried out.
    pub(crate) fn into_fault(self) -> Fault {
        let text = format!("the server refused the request with status {}", self.status);
        Fault::new(Blame::Upstream, Retry::Safe, OPERATION, text)
    }
}

/// The JSON text of an answer that has come with its head: most have.
pub(super) fn json_here(answer: &mut Answer, message_bytes: usize) -> Option<BytesMut> {
    let is_json = answer.status == 200 && answer.headers.media() == Media::Json && answer.headers.is_plain();
    if is_json {
        answer.body.here(message_bytes)
    } else {
        None
    }
}

/// Judges an answer. Where it `flows`, a long JSON text is not waited for.
///
/// # Errors
/// [`HttpError`] for everything but 200 with one of the two content types, and 202 and 204.
pub(super) async fn judge(answer: Answer, message_bytes: usize, flows: bool) -> Result<Got, HttpError> {
    match answer.status {
        200 => {}
        202 | 204 => {
            // Read to its end, the connection can be used again; a body here means nothing.
            let _nothing = answer.body.whole(REFUSAL).await;
            return Ok(Got::Accepted);
        }
        300..=399 => {
            let text = "the server redirects, which is not followed; configure the final URL";
            return Err(Fault::upstream(OPERATION, text).into());
        }
        401 | 403 => {
            let text = format!(
                "the server refuses the gateway's credentials (status {}); look at its `headers`",
                answer.status
            );
            return Err(Fault::new(Blame::Upstream, Retry::Safe, OPERATION, text).into());
        }
        400..=499 => return Err(Box::pin(refusal(answer)).await),
        status => {
            let text = format!("the server answered with status {status}");
            return Err(Fault::upstream(OPERATION, text).into());
        }
    }
    if !answer.headers.is_plain() {
        return Err(Fault::upstream(OPERATION, "the answer is compressed, which was not asked for").into());
    }
    match answer.headers.media() {
        Media::Json if flows => Ok(match answer.body.begin(long::BEGIN, message_bytes).await? {
            (begin, Some(rest)) => Got::Begun(begin, Box::new(rest)),
            (whole, None) => Got::Json(whole),
        }),
        Media::Json => Ok(Got::Json(answer.body.whole_mut(message_bytes).await?)),
        Media::Events => Ok(Got::Events(Box::new(Events::new(answer.body, message_bytes)))),
        Media::Other => {
            Err(Fault::upstream(OPERATION, "the answer is neither JSON nor an event stream").into())
        }
    }
}

/// Judges the answer to a message that asks nothing: any success will do, whatever it says.
///
/// # Errors
/// [`HttpError`] for everything else.
pub(super) async fn judge_taken(answer: Answer) -> Result<(), HttpError> {
    if (200..300).contains(&answer.status) {
        let _nothing = answer.body.whole(REFUSAL).await;
        return Ok(());
    }
    judge(answer, REFUSAL, false).await.map(drop)
}

async fn refusal(answer: Answer) -> HttpError {
    let status = answer.status;
    let readable = answer.headers.is_plain() && answer.headers.media() == Media::Json;
    let body = answer.body.whole(REFUSAL).await.ok().filter(|_| readable);
    let error = body.and_then(|body| {
        let envelope = scan(&body, &Limits::SERVER).ok()?;
        envelope.error_raw().map(|raw| body.slice_ref(raw))
    });
    HttpError::Refused(Refused { status, error })
}

/// Whether a GET was answered with a stream of events.
///
/// # Errors
/// [`HttpError`] otherwise.
pub(super) fn judge_stream(answer: Answer, message_bytes: usize) -> Result<Events, HttpError> {
    let events = answer.status == 200 && answer.headers.media() == Media::Events && answer.headers.is_plain();
    if events {
        return Ok(Events::new(answer.body, message_bytes));
    }
    let status = answer.status;
    Err(HttpError::Refused(Refused { status, error: None }))
}

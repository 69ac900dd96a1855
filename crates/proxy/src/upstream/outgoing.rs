//! A request on its way to a server.

use bytes::Bytes;
use sallyport_core::SmolStr;
use sallyport_core::fault::Fault;
use sallyport_mcp::error;
use sallyport_mcp::json::Span;
use sallyport_mcp::jsonrpc::{Envelope, Limits, MetaKey, Params, scan_params};
use sallyport_mcp::log::LogLevel;

/// A request in the server's era: the parameters are what is sent, but for the progress token.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// The tool, prompt or resource; empty for methods that name none.
    pub(crate) target: SmolStr,
    /// The raw parameters, an object.
    pub(crate) params: Bytes,
    /// The raw id that the answer is to bear.
    pub(crate) id: Bytes,
    /// The raw token that progress is to bear.
    pub(crate) token: Option<Bytes>,
    /// Which log messages are about it.
    pub(crate) logs: Logs,
    /// A long result may be passed on while it comes.
    pub(crate) flows: bool,
}

/// Which log messages a call takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Logs {
    /// None: a modern client that did not ask.
    None,
    /// From this level on: a modern client that asked.
    From(LogLevel),
    /// As the session's level has it: a legacy client.
    Session,
    /// None, but news of lists and resources: a listen stream.
    Listen,
}

impl Logs {
    /// Whether a message of `level` is wanted.
    pub(crate) fn take(self, level: Option<LogLevel>) -> bool {
        match self {
            Self::None | Self::Listen => false,
            Self::From(least) => level.is_some_and(|level| level >= least),
            Self::Session => true,
        }
    }
}

impl Outgoing<'_> {
    /// Where the progress token is in the parameters, if there is one to restore.
    ///
    /// # Errors
    /// A fault of ours: the parameters were checked when they came in.
    pub(crate) fn token_span(&self) -> Result<Option<Span>, Fault> {
        if self.token.is_none() {
            return Ok(None);
        }
        let params = scan_params(&self.params, &Limits::SERVER)
            .map_err(|error| Fault::gateway("build the request", error))?;
        Ok(token_in(&params))
    }
}

fn token_in(params: &Params<'_>) -> Option<Span> {
    params.meta.as_ref()?.span_of(MetaKey::ProgressToken)
}

/// A response with `id` in the place of its own. Of one with members that JSON-RPC does not know those that it knows pass: who
/// looks for its result then finds no other object.
pub(crate) fn answer(envelope: &Envelope<'_>, id: &[u8]) -> Bytes {
    match (envelope.result_raw(), envelope.error_raw(), envelope.id) {
        (Some(result), ..) if envelope.has_others => error::result(id, result),
        (_, Some(raw), _) if envelope.has_others => error::relay(Some(id), raw),
        (.., Some(span)) => replaced(envelope.bytes, span, id),
        (.., None) => Bytes::copy_from_slice(envelope.bytes),
    }
}

/// `bytes` with something else at `span`.
pub(crate) fn replaced(bytes: &[u8], span: Span, with: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + with.len());
    out.extend_from_slice(bytes.get(..span.start()).unwrap_or_default());
    out.extend_from_slice(with);
    out.extend_from_slice(bytes.get(span.end()..).unwrap_or_default());
    out.into()
}

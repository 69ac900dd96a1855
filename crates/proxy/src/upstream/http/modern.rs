//! Calls to a modern server: each stands for itself, with headers made anew from the body that is sent (P-85).

use std::sync::Arc;
use std::time::Duration;

use sallyport_core::fault::Fault;
use sallyport_mcp::Revision;
use sallyport_mcp::error::{self, HEADER_MISMATCH};
use sallyport_mcp::method::Method as Called;
use sallyport_mcp::mirror::{self, ParamHeader, encode};
use sallyport_net::Worker;
use sallyport_net::http1::RequestHead;

use super::answer::{Got, HttpError, Refused, json_here, judge};
use super::endpoint::{Endpoint, METHOD, VERSION, put};
use super::relay::{Call, Home};
use crate::exchange::Reply;
use crate::upstream::account::Account;
use crate::upstream::changes::Changed;
use crate::upstream::ground::Ground;
use crate::upstream::outgoing::Outgoing;

/// A stateless use of a modern server.
pub(crate) struct Modern {
    home: Arc<Home>,
    endpoint: Arc<Endpoint>,
}

impl Modern {
    /// A use of the server at the configured URL, with this account where the server wants one.
    ///
    /// # Errors
    /// A fault when the configuration cannot be used.
    pub(crate) fn new(ground: &Arc<Ground>, account: Option<&Account>) -> Result<Self, Fault> {
        Ok(Self {
            home: Home::new(ground),
            endpoint: ground.endpoint_as(account)?,
        })
    }

    /// Sends a call and waits for its answer, or the first message of it. `kept` lives as long as the call.
    ///
    /// A server that finds that headers and body differ has not looked at the request: once the tools' current
    /// annotations are known it is sent again, once (2026-07-28, Custom Parameter Headers; P-86).
    ///
    /// # Errors
    /// A fault; a tool call that may have been carried out is never repeated.
    pub(crate) async fn call<K: Send + 'static>(
        &self,
        worker: &Worker,
        outgoing: &Outgoing<'_>,
        kept: K,
    ) -> Result<Reply, Fault> {
        let annotated = self.home.ground.param_headers.of(&outgoing.target);
        let refused = match self.exchange(worker, outgoing, &annotated, None).await {
            Ok((call, Got::Json(body))) => return call.whole_reply(body),
            Ok((call, got)) => return Box::pin(call.reply(got, kept)).await,
            Err(HttpError::Fault(fault)) => return Err(fault),
            Err(HttpError::Refused(refused)) => refused,
        };
        let stale =
            refused.code() == Some(HEADER_MISMATCH.into()) && outgoing.method == Called::ToolsCall.as_str();
        if !stale {
            return self.refused(refused, outgoing);
        }
        Box::pin(self.repeat(worker, outgoing, kept)).await
    }

    /// Learns the tools' annotations and sends the call that was refused for them again.
    async fn repeat<K: Send + 'static>(
        &self,
        worker: &Worker,
        outgoing: &Outgoing<'_>,
        kept: K,
    ) -> Result<Reply, Fault> {
        let tools = crate::upstream::lists::tools(self, worker, &self.home.ground).await?;
        self.home.ground.param_headers.learn(&tools);
        self.home.ground.changes.add(Changed::TOOLS);
        let annotated = self.home.ground.param_headers.of(&outgoing.target);
        match self.exchange(worker, outgoing, &annotated, None).await {
            Ok((call, got)) => call.reply(got, kept).await,
            Err(HttpError::Fault(fault)) => Err(fault),
            Err(HttpError::Refused(refused)) => self.refused(refused, outgoing),
        }
    }

    /// Opens a stream of notifications.
    ///
    /// # Errors
    /// A fault when the server does not open it.
    pub(crate) async fn listen(&self, worker: &Worker, outgoing: &Outgoing<'_>) -> Result<Reply, Fault> {
        match self.exchange(worker, outgoing, &[], None).await {
            Ok((call, got)) => call.without_deadline().reply(got, ()).await,
            Err(error) => Err(error.into_fault()),
        }
    }

    /// One request, waiting at most `patience` for its answer; a refusal is told apart.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn ask(
        &self,
        worker: &Worker,
        outgoing: &Outgoing<'_>,
        patience: Duration,
    ) -> Result<Reply, HttpError> {
        let (call, got) = self.exchange(worker, outgoing, &[], Some(patience)).await?;
        Ok(call.reply(got, ()).await?)
    }

    async fn exchange(
        &self,
        worker: &Worker,
        outgoing: &Outgoing<'_>,
        annotated: &[ParamHeader],
        patience: Option<Duration>,
    ) -> Result<(Call, Got), HttpError> {
        let head = self.head(outgoing, annotated)?;
        let call = Call::new(&self.home, outgoing, None);
        let body = body(call.sent_id(), outgoing);
        let message_bytes = self.endpoint.message_bytes;
        let mut answer = match patience {
            Some(patience) => Box::pin(self.endpoint.send_within(worker, &head, &body, patience)).await?,
            None => self.endpoint.send(worker, &head, &body).await?,
        };
        if let Some(body) = json_here(&mut answer, message_bytes) {
            return Ok((call, Got::Json(body)));
        }
        let mut judging = Box::pin(judge(answer, message_bytes, outgoing.flows));
        let got = call.within(judging.as_mut()).await??;
        Ok((call, got))
    }

    fn head(&self, outgoing: &Outgoing<'_>, annotated: &[ParamHeader]) -> Result<RequestHead, Fault> {
        let mut head = self.endpoint.post();
        if annotated.is_empty() {
            // What nearly every call needs, without a walk through the body.
            put(&mut head, &VERSION, Revision::NEWEST_MODERN.as_str())?;
            put(&mut head, &METHOD, outgoing.method)?;
            if !outgoing.target.is_empty() {
                put(&mut head, &super::endpoint::NAME, &encode(&outgoing.target))?;
            }
            return Ok(head);
        }
        let method = Called::parse(outgoing.method);
        for (name, value) in mirror::headers_for(method, outgoing.method, &outgoing.params, annotated) {
            head.put(&name, value)
                .map_err(|error| Fault::gateway("build the request", error))?;
        }
        Ok(head)
    }

    /// A refusal with a JSON-RPC error is the answer; others say that the server is not what it was taken for.
    fn refused(&self, refused: Refused, outgoing: &Outgoing<'_>) -> Result<Reply, Fault> {
        let code = refused.code();
        let contradicts = code.is_none_or(error::is_of_a_handshake);
        if contradicts {
            self.home.ground.changes.add(Changed::EVERYTHING);
        }
        match &refused.error {
            Some(raw) if !contradicts => Ok(Reply::Whole(error::relay(Some(&outgoing.id), raw))),
            _ => Err(refused.into_fault()),
        }
    }
}

/// A request in pieces.
pub(super) fn body<'a>(id: &'a [u8], outgoing: &'a Outgoing<'_>) -> [&'a [u8]; 7] {
    [
        b"{\"jsonrpc\":\"2.0\",\"id\":",
        id,
        b",\"method\":\"",
        outgoing.method.as_bytes(),
        b"\",\"params\":",
        &outgoing.params,
        b"}",
    ]
}

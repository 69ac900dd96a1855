//! Following single resources: `resources/subscribe` of a legacy session, and what a listen stream needs of it.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_core::policy::Denied;
use sallyport_mcp::jsonrpc::{Envelope, Params};
use sallyport_mcp::render;
use sallyport_mcp::revision::Era;

use crate::caller::{Caller, Client, unknown};
use crate::refusal::Refusal;
use crate::route::{Route, What};
use crate::session::Session;
use crate::sync::lock;
use crate::upstream::{ListenFilter, Listening};

/// How many resources one session follows.
const MAX_FOLLOWED: usize = 256;

/// Asks a server to tell the client of something. What it says goes to the client's ears.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub(crate) async fn listen(
    caller: &Caller,
    client: &Client,
    route: &Route,
    filter: ListenFilter,
) -> Result<Listening, Fault> {
    let upstream = caller
        .proxy
        .upstreams
        .get(&route.server)
        .ok_or_else(|| Fault::unreached("find the server", "it is not configured any more"))?;
    let ears = client.ears(caller, route);
    let link = upstream
        .link(&caller.worker, client.view(), Arc::clone(&ears))
        .await?;
    link.listen(&caller.worker, filter, ears).await
}

/// `resources/subscribe`.
///
/// # Errors
/// The resource is not there for this principal, or its server does not tell of changes.
pub(crate) async fn subscribe(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    envelope: &Envelope<'_>,
) -> Result<Bytes, Refusal> {
    let uri = uri(envelope)?;
    let route = found(caller, &uri)?;
    let remote = (route.server.clone(), route.remote.clone());
    {
        let mut follows = lock(&session.ears.follows);
        if follows.len() >= MAX_FOLLOWED && !follows.contains_key(&remote) {
            return Err(Refusal::too_many("subscriptions"));
        }
        follows.insert(remote.clone(), uri.clone());
    }
    let filter = ListenFilter {
        uris: vec![route.remote.to_string()],
        ..ListenFilter::default()
    };
    let client = Client::Legacy(Arc::clone(session));
    match listen(caller, &client, &route, filter).await {
        Ok(listening) => {
            session.note_link(&route.server);
            lock(&session.followed).insert(uri, listening);
            Ok(Bytes::from_static(render::empty_result(Era::Legacy)))
        }
        Err(fault) => {
            lock(&session.ears.follows).remove(&remote);
            tracing::warn!(server = %route.server, request = %caller.request, "a subscription failed: {fault}");
            Err(Refusal::fault(&fault))
        }
    }
}

/// `resources/unsubscribe`. Who does not follow is not told so: the end is the same.
///
/// # Errors
/// Parameters without a URI.
pub(crate) fn unsubscribe(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    envelope: &Envelope<'_>,
) -> Result<Bytes, Refusal> {
    let uri = uri(envelope)?;
    if let Ok(route) = found(caller, &uri) {
        lock(&session.ears.follows).remove(&(route.server, route.remote));
    }
    let listening = lock(&session.followed).remove(&uri);
    drop(listening);
    Ok(Bytes::from_static(render::empty_result(Era::Legacy)))
}

fn uri(envelope: &Envelope<'_>) -> Result<Box<str>, Refusal> {
    let uri = envelope.params.as_ref().and_then(Params::uri);
    let uri = uri.ok_or_else(|| Refusal::params("uri must be a string"))?;
    Ok(uri.value.into())
}

fn found(caller: &Caller, uri: &str) -> Result<Route, Refusal> {
    let unknown = || unknown(What::Resource, uri, Era::Legacy);
    let route = Route::find(&caller.endpoint, What::Resource, uri).ok_or_else(unknown)?;
    match route.decide(caller, &[]) {
        Ok(_) => Ok(route),
        Err(Denied::Scope(level)) => Err(Refusal::scope(&caller.principal.scopes, &route.server, level)),
        Err(_) => Err(unknown()),
    }
}

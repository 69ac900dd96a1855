//! Following single resources: `resources/subscribe` of a legacy session, and what a listen stream needs of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_core::policy::Denied;
use sallyport_mcp::error::{self, LEGACY_RESOURCE_NOT_FOUND};
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Envelope, Params};
use sallyport_mcp::method::Method;
use sallyport_mcp::render;
use sallyport_mcp::revision::Era;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::caller::{Caller, Client, unknown};
use crate::refusal::Refusal;
use crate::route::{Route, What};
use crate::session::Session;
use crate::sync::lock;
use crate::upstream::{ListenFilter, Listening};

/// How many resources one session follows.
const MAX_FOLLOWED: usize = 256;

/// How long a resource whose server was replaced is waited for before it is asked for again, while nothing is heard of any
/// server.
const PATIENCE: Duration = Duration::from_secs(30);

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
/// The resource is not there for this principal, or its server does not tell of changes. What was followed before goes on.
pub(crate) async fn subscribe(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    envelope: &Envelope<'_>,
) -> Result<Bytes, Refusal> {
    let uri = uri(envelope)?;
    let route = found(caller, &uri)?;
    let remote = (route.server.clone(), route.remote.clone());
    let before = {
        let mut follows = lock(&session.ears.follows);
        if follows.len() >= MAX_FOLLOWED && !follows.contains_key(&remote) {
            return Err(Refusal::too_many("subscriptions"));
        }
        // Before the server is asked: it may tell of a change before it answers.
        follows.insert(remote.clone(), uri.as_ref().into())
    };
    match ask(caller, session, &route).await {
        Ok(listening) => {
            session.note_link(&route.server);
            let staying = stay(caller, session, &uri, Some(listening));
            lock(&session.followed).insert(uri, staying);
            session.wishes_change();
            Ok(Bytes::from_static(render::empty_result(Era::Legacy)))
        }
        Err(refusal) => {
            let mut follows = lock(&session.ears.follows);
            match before {
                Some(before) => follows.insert(remote, before),
                None => follows.remove(&remote),
            };
            Err(refusal)
        }
    }
}

/// Follows a resource that the session followed before it came back.
pub(crate) fn resume(caller: &Arc<Caller>, session: &Arc<Session>, uri: Box<str>) {
    let staying = stay(caller, session, &uri, None);
    lock(&session.followed).insert(uri, staying);
}

/// Asks the server of a resource to tell the session of its changes.
///
/// # Errors
/// The server cannot be reached, or does not tell of this resource: in its own words, if it has any.
async fn ask(caller: &Caller, session: &Arc<Session>, route: &Route) -> Result<Listening, Refusal> {
    let filter = ListenFilter {
        uris: vec![route.remote.to_string()],
        ..ListenFilter::default()
    };
    let client = Client::Legacy(Arc::clone(session));
    let listening = listen(caller, &client, route, filter).await.map_err(|fault| {
        tracing::warn!(server = %route.server, request = %caller.request, "a subscription failed: {fault}");
        Refusal::fault(&fault)
    })?;
    if listening.accepted.uris.iter().any(|uri| **uri == *route.remote) {
        return Ok(listening);
    }
    Err(refused(route, listening.refused.as_deref()))
}

/// The error for a resource that its server does not tell of; `error` is the server's own.
fn refused(route: &Route, error: Option<&[u8]>) -> Refusal {
    let code = error.and_then(|error| std::str::from_utf8(json::find(error, "code")?).ok()?.parse().ok());
    match code {
        Some(LEGACY_RESOURCE_NOT_FOUND) => unknown(What::Resource, &route.visible, Era::Legacy),
        Some(code) => {
            let text = error.and_then(|error| json::decode(json::find(error, "message")?));
            Refusal::new(200, code, text.map_or_else(String::new, String::from))
        }
        None => Refusal::params("The server of this resource does not tell of its changes"),
    }
}

/// Follows on when the server is replaced: the client has subscribed to a resource, whichever way its server is configured.
/// Without a listening, begins with that. Ends when the value is dropped.
fn stay(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    uri: &str,
    mut listening: Option<Listening>,
) -> AbortOnDropHandle<()> {
    let (caller, session, uri) = (Arc::clone(caller), Arc::downgrade(session), Box::<str>::from(uri));
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if let Some(listening) = &mut listening {
                listening.ended().await;
            }
            listening = again(&caller, &session, &uri).await;
            if listening.is_none() {
                return;
            }
        }
    }))
}

/// Subscribes to a resource again at whichever server has it now; waits until one has. What may have changed in between is
/// told as a change. `None` when the session or its endpoint is not there any more.
async fn again(caller: &Arc<Caller>, session: &Weak<Session>, uri: &str) -> Option<Listening> {
    let mut fleet = caller.proxy.upstreams.watch();
    loop {
        fleet.mark_unchanged();
        {
            let session = session.upgrade()?;
            let endpoint = caller
                .proxy
                .world
                .load()
                .endpoint(&caller.endpoint.key)
                .cloned()?;
            let caller = caller.at(endpoint).settled().await;
            if let Ok(route) = found(&caller, uri) {
                {
                    let mut follows = lock(&session.ears.follows);
                    follows.retain(|_, visible| **visible != *uri);
                    follows.insert((route.server.clone(), route.remote.clone()), uri.into());
                }
                if let Ok(listening) = ask(&caller, &session, &route).await {
                    session.note_link(&route.server);
                    session.ears.outbox.send(updated(uri));
                    return Some(listening);
                }
            }
        }
        tokio::select! {
            changed = fleet.changed() => changed.ok()?,
            () = sleep(PATIENCE) => {}
        }
    }
}

fn updated(uri: &str) -> Bytes {
    let params = [b"{\"uri\":", &*json::quote(uri), b"}"].concat();
    error::notification(Method::ResourceUpdated.as_str(), Some(&params))
}

/// `resources/unsubscribe`. Who does not follow is not told so: the end is the same.
///
/// # Errors
/// Parameters without a URI.
pub(crate) fn unsubscribe(session: &Arc<Session>, envelope: &Envelope<'_>) -> Result<Bytes, Refusal> {
    let uri = uri(envelope)?;
    lock(&session.ears.follows).retain(|_, visible| **visible != *uri);
    let listening = lock(&session.followed).remove(&uri);
    drop(listening);
    session.wishes_change();
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

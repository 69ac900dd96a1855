//! `subscriptions/listen` (2026-07-28, Subscriptions): one stream of list changes and resource updates.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use sallyport_core::{ServerName, SmolStr};
use sallyport_mcp::error::{self, INVALID_REQUEST};
use sallyport_mcp::json::{self, Object};
use sallyport_mcp::jsonrpc::{Envelope, Key};
use sallyport_mcp::meta::ModernMeta;
use sallyport_mcp::method::Method;
use sallyport_mcp::sse;
use sallyport_net::Response;
use tokio_util::sync::CancellationToken;

use super::{modern, refuse_to};
use crate::caller::{Caller, Client};
use crate::deliver;
use crate::hub::{Listen, Place, Remote};
use crate::notice::{self, Changes};
use crate::refusal::Refusal;
use crate::route::{Route, What};
use crate::stream::{self, Events};
use crate::stream_get::{self, Source};
use crate::tasks::{self, Subject};
use crate::upstream::{ListenFilter, Listening};

/// How many resources one stream follows.
const MAX_RESOURCES: usize = 256;

/// How many tasks one stream follows: as many as a principal may have that run.
const MAX_TASKS: usize = 64;

/// How long servers are waited for before the stream is acknowledged without them.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);

/// Opens a stream. Its first message says what it will bear.
pub(super) async fn listen(
    caller: &Arc<Caller>,
    parts: &Parts,
    envelope: &Envelope<'_>,
    meta: &ModernMeta<'_>,
    id: Bytes,
) -> Response {
    if !caller.accept.events {
        let refusal = Refusal::new(406, INVALID_REQUEST, "This stream is text/event-stream");
        return refuse_to(&id, &refusal);
    }
    let caller = caller.settled().await;
    let opening = wanted(&caller, envelope, meta).and_then(|wanted| {
        let open = stream_get::open(&caller, parts, None)?;
        Ok((wanted, open))
    });
    let (wanted, open) = match opening {
        Ok(opening) => opening,
        Err(refusal) => return refuse_to(&id, &refusal),
    };
    let Stream {
        first,
        last,
        events,
        ends,
        kept,
    } = start(&caller, wanted, id).await;
    let first = Some(sse::frame(&first));
    let open = open.until(ends);
    deliver::events(open.body(Source::Feed(events), first, Some(last), kept))
}

/// What a request asks to hear of, as far as its principal may.
pub(super) struct Wanted {
    client: Client,
    changes: Changes,
    routes: Vec<Route>,
    tasks: Vec<Arc<Subject>>,
}

/// Reads what a request asks to hear of.
///
/// # Errors
/// It does not say so, or asks for too much.
pub(super) fn wanted(
    caller: &Arc<Caller>,
    envelope: &Envelope<'_>,
    meta: &ModernMeta<'_>,
) -> Result<Wanted, Refusal> {
    let wanted = envelope
        .params
        .as_ref()
        .and_then(|params| params.get(Key::Notifications));
    let raw = wanted.ok_or_else(malformed)?;
    let (changes, routes) = read(caller, raw)?;
    let client = modern::client(caller, meta);
    let tasks = read_tasks(caller, &client, raw)?;
    Ok(Wanted {
        client,
        changes,
        routes,
        tasks,
    })
}

/// An open stream, whatever carries it.
pub(super) struct Stream {
    /// The acknowledgement, which is said before anything else.
    pub(super) first: Bytes,
    /// The response, with which the gateway ends the stream in good order (P-60).
    pub(super) last: Bytes,
    /// What is said in between.
    pub(super) events: Events,
    /// With any of these it is over: a server that it is about was replaced, and the client is to ask the new one.
    pub(super) ends: Vec<CancellationToken>,
    /// What holds the stream open at the hub and at the servers.
    pub(super) kept: (Place, Vec<Listening>),
}

/// Opens a stream.
pub(super) async fn start(caller: &Arc<Caller>, wanted: Wanted, id: Bytes) -> Stream {
    let Wanted {
        client,
        changes: wants,
        routes,
        tasks,
    } = wanted;
    let (feed, events) = stream::channel();
    // Its own bytes: a part of the request would keep the whole request in memory for as long as the stream lives.
    let id = Bytes::copy_from_slice(&id);
    // Entered before the servers are asked: what they say from then on waits behind the acknowledgement.
    let place = caller.proxy.hub.enter(Listen {
        owner: caller.key.clone(),
        endpoint: Arc::clone(&caller.endpoint.key),
        wants,
        follows: follows(&routes),
        tasks: tasks.clone(),
        id: id.clone(),
        feed,
    });
    let (resources, of_tasks) = tokio::join!(
        follow(caller, &client, routes),
        follow_tasks(caller, &client, tasks)
    );
    let ((accepted, mut listening), (accepted_tasks, more)) = (resources, of_tasks);
    listening.extend(more);
    Stream {
        first: acknowledgement(wants, &accepted, &accepted_tasks, &id),
        last: error::result(&id, &ended(&id)),
        events,
        ends: listening.iter().map(Listening::end).collect(),
        kept: (place, listening),
    }
}

fn malformed() -> Refusal {
    Refusal::params("notifications must be an object that says what to listen for")
}

/// What is asked for, as far as this principal may know of it.
fn read(caller: &Caller, raw: &[u8]) -> Result<(Changes, Vec<Route>), Refusal> {
    let object = Object::read(raw).map_err(|_| malformed())?;
    let can = caller.endpoint.capabilities();
    let wants = Changes {
        tools: object.is_true("toolsListChanged") && can.tools.is_some(),
        prompts: object.is_true("promptsListChanged") && can.prompts.is_some(),
        resources: object.is_true("resourcesListChanged") && can.resources.is_some(),
    };
    let Some(uris) = object.get("resourceSubscriptions") else {
        return Ok((wants, Vec::new()));
    };
    let uris = json::elements(uris).map_err(|_| malformed())?;
    if uris.len() > MAX_RESOURCES {
        return Err(Refusal::params("Too many resourceSubscriptions"));
    }
    let mut routes: Vec<Route> = Vec::with_capacity(uris.len());
    for uri in uris {
        let uri = json::decode(uri.value).ok_or_else(malformed)?;
        let route = Route::find(&caller.endpoint, What::Resource, &uri);
        let allowed = |route: &Route| route.decide(caller, &[]).is_ok();
        if let Some(route) = route.filter(allowed)
            && !routes.contains(&route)
        {
            routes.push(route);
        }
    }
    Ok((wants, routes))
}

/// The tasks that are asked for: each this principal's, by a client that has declared the extension (P-116).
fn read_tasks(caller: &Arc<Caller>, client: &Client, raw: &[u8]) -> Result<Vec<Arc<Subject>>, Refusal> {
    let Some(ids) = json::find(raw, "taskIds") else {
        return Ok(Vec::new());
    };
    if !client.can().tasks() {
        return Err(tasks::undeclared());
    }
    let ids = json::elements(ids).map_err(|_| malformed())?;
    if ids.len() > MAX_TASKS {
        return Err(Refusal::params("Too many taskIds"));
    }
    let mut found: Vec<Arc<Subject>> = Vec::with_capacity(ids.len());
    for id in ids {
        let id = json::decode(id.value).ok_or_else(malformed)?;
        if !found.iter().any(|subject| subject.id() == id) {
            found.push(Arc::new(Subject::find(caller, client, &id)?));
        }
    }
    Ok(found)
}

fn follows(routes: &[Route]) -> HashMap<Remote, SmolStr> {
    let remote = |route: &Route| (route.server.clone(), route.remote.clone());
    routes
        .iter()
        .map(|route| (remote(route), route.visible.clone()))
        .collect()
}

/// Asks each owner to tell of its resources; those that do not agree in time are left out.
async fn follow(caller: &Arc<Caller>, client: &Client, routes: Vec<Route>) -> (Vec<Route>, Vec<Listening>) {
    let mut owners: BTreeMap<ServerName, Vec<Route>> = BTreeMap::new();
    for route in routes {
        owners.entry(route.server.clone()).or_default().push(route);
    }
    let asked = owners.into_values().map(|routes| async {
        let uris = routes.iter().map(|route| route.remote.to_string()).collect();
        let route = routes.first()?;
        let asking = crate::follow::listen(
            caller,
            client,
            route,
            ListenFilter {
                uris,
                ..ListenFilter::default()
            },
        );
        let listening = tokio::time::timeout(ACKNOWLEDGE, asking).await.ok()?.ok()?;
        let agreed = |route: &Route| listening.accepted.uris.iter().any(|uri| **uri == *route.remote);
        let routes: Vec<Route> = routes.into_iter().filter(agreed).collect();
        Some((routes, listening))
    });
    let agreed = join_all(asked).await.into_iter().flatten();
    let (routes, listening): (Vec<Vec<Route>>, Vec<Listening>) = agreed.unzip();
    (routes.into_iter().flatten().collect(), listening)
}

/// Asks the server of each task to tell of it; those that do not agree in time are left out.
async fn follow_tasks(
    caller: &Arc<Caller>,
    client: &Client,
    tasks: Vec<Arc<Subject>>,
) -> (Vec<Arc<Subject>>, Vec<Listening>) {
    let mut owners: BTreeMap<ServerName, Vec<Arc<Subject>>> = BTreeMap::new();
    for subject in tasks {
        let server = subject.route().server.clone();
        owners.entry(server).or_default().push(subject);
    }
    let asked = owners.into_values().map(|tasks| async move {
        let filter = ListenFilter {
            tasks: tasks.iter().map(|subject| subject.remote().to_owned()).collect(),
            ..ListenFilter::default()
        };
        let route = tasks.first()?.route();
        let asking = async {
            // What the server says finds its way by what is kept of the tasks.
            for subject in &tasks {
                subject.keep().await.ok()?;
            }
            crate::follow::listen(caller, client, route, filter).await.ok()
        };
        let listening = tokio::time::timeout(ACKNOWLEDGE, asking).await.ok()??;
        let agreed =
            |subject: &Arc<Subject>| listening.accepted.tasks.iter().any(|id| *id == *subject.remote());
        let tasks: Vec<_> = tasks.iter().filter(|subject| agreed(subject)).cloned().collect();
        Some((tasks, listening))
    });
    let agreed = join_all(asked).await.into_iter().flatten();
    let (tasks, listening): (Vec<Vec<_>>, Vec<_>) = agreed.unzip();
    (tasks.into_iter().flatten().collect(), listening)
}

fn acknowledgement(wants: Changes, accepted: &[Route], tasks: &[Arc<Subject>], id: &[u8]) -> Bytes {
    let mut members = Vec::new();
    for (wanted, name) in [
        (wants.tools, "toolsListChanged"),
        (wants.prompts, "promptsListChanged"),
        (wants.resources, "resourcesListChanged"),
    ] {
        if wanted {
            members.push(format!("\"{name}\":true").into_bytes());
        }
    }
    let uris: Vec<_> = accepted.iter().map(|route| json::quote(&route.visible)).collect();
    let ids: Vec<_> = tasks.iter().map(|subject| json::quote(subject.id())).collect();
    for (name, values) in [("resourceSubscriptions", uris), ("taskIds", ids)] {
        if !values.is_empty() {
            let mut member = format!("\"{name}\":[").into_bytes();
            member.extend_from_slice(&values.join(&b','));
            member.push(b']');
            members.push(member);
        }
    }
    let mut params = b"{\"notifications\":{".to_vec();
    params.extend_from_slice(&members.join(&b','));
    params.extend_from_slice(b"}}");
    let message = error::notification(Method::SubscriptionsAcknowledged.as_str(), Some(&params));
    notice::tagged(&message, id)
}

/// The result that ends the stream in good order (P-60).
fn ended(id: &[u8]) -> Vec<u8> {
    let mut out = br#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"#.to_vec();
    out.extend_from_slice(id);
    out.extend_from_slice(b"}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_56_the_acknowledgement_names_what_was_accepted() {
        let wants = Changes {
            tools: true,
            ..Changes::default()
        };
        let route = Route {
            what: What::Resource,
            visible: "a:\"b\"".into(),
            server: ServerName::parse("s").expect("a name"),
            remote: "b".into(),
        };
        let message: serde_json::Value =
            serde_json::from_slice(&acknowledgement(wants, &[route], &[], b"9")).expect("JSON");
        assert_eq!(message["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(
            message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
            9
        );
        assert_eq!(
            message["params"]["notifications"],
            serde_json::json!({"toolsListChanged": true, "resourceSubscriptions": ["a:\"b\""]})
        );
    }

    #[test]
    fn p_60_the_end_bears_the_id() {
        let result: serde_json::Value = serde_json::from_slice(&ended(b"\"x\"")).expect("JSON");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/subscriptionId"], "x");
    }
}

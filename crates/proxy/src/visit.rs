//! URLs that a person visits before a call can go on (2025-11-25, Elicitation, URL mode), between the eras: a legacy server
//! refuses the call and tells when the visit is over, a modern one asks again until it is.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::account::ConnectFirst;
use sallyport_core::audit::Outcome;
use sallyport_core::random::token;
use sallyport_core::{PrincipalKey, ServerName, Timestamp};
use sallyport_mcp::answer::{self, InputRequest, InputRequired, Visit};
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use sallyport_mcp::session::Resume;
use sallyport_mcp::{error, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::Call;
use crate::refusal::Refusal;
use crate::relay::{Label, Out, Relay, Stage};
use crate::route::What;
use crate::sync::lock;
use crate::{state, translate};

/// How long a legacy server that still refuses is given to tell that the visit is over, before the client is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many visits are remembered of which the server has not told yet. Of those beyond nothing is lost but the news.
const MAX_EXPECTED: usize = 4096;

/// The longest id of a visit that is remembered, in bytes.
const MAX_ID: usize = 256;

/// What one call knows of visits.
#[derive(Default)]
pub(crate) struct Visits {
    /// Those that a legacy client has begun for a modern server.
    begun: Vec<Begun>,
    /// Those that a modern client has begun for a legacy server, by the server's ids; waited for once.
    announced: Vec<String>,
}

/// A visit of a legacy client's person.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) url: Box<str>,
    /// By which the client knows it.
    pub(crate) id: String,
    /// When it has to be over.
    pub(crate) until: Instant,
}

impl Visits {
    /// Those that the client brings with a call that is made again.
    pub(crate) fn announced(ids: Vec<String>) -> Self {
        Self {
            begun: Vec::new(),
            announced: ids,
        }
    }

    /// Notes visits that the client has agreed to.
    pub(crate) fn begin(&mut self, begun: Vec<Begun>) {
        self.begun.extend(begun);
    }

    /// The visit of this URL, if the person is there.
    pub(crate) fn underway(&self, url: &str) -> Option<&Begun> {
        self.begun.iter().find(|begun| *begun.url == *url)
    }

    /// What tells the client of the visits that are over: those that the server does not ask for any more.
    pub(crate) fn over(&mut self, asks: Option<&InputRequired<'_>>) -> Vec<Bytes> {
        let requests = asks.map_or(&[][..], |asks| &asks.requests);
        let is_over = |begun: &mut Begun| !requests.iter().any(|r| url_of(r).as_deref() == Some(&*begun.url));
        let over = self.begun.extract_if(.., is_over);
        over.map(|begun| {
            let mut params = b"{\"elicitationId\":".to_vec();
            json::quote_into(&mut params, &begun.id);
            params.push(b'}');
            error::notification(Method::ElicitationComplete.as_str(), Some(&params))
        })
        .collect()
    }
}

/// The URL of a question that wants one to be visited.
pub(crate) fn url_of<'a>(request: &InputRequest<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let params = request
        .params
        .filter(|_| request.method == Method::ElicitationCreate)?;
    let params = json::Object::read(params).ok()?;
    (params.text("mode").as_deref() == Some("url")).then(|| params.text("url"))?
}

/// Whether the client can be sent to a URL.
pub(crate) fn can_visit(call: &Call) -> bool {
    let url = Some(br#"{"mode":"url"}"#.as_slice());
    call.client.can().allow(Method::ElicitationCreate, url)
}

/// A legacy server refuses a modern client's call until its person has visited URLs: the client is asked to, and calls
/// again. `None` when it has said so already, and the server is waited for.
pub(crate) fn ask(relay: &mut Relay, message: &[u8]) -> Option<Out> {
    let visits = answer::visits(message).unwrap_or_default();
    let announced = std::mem::take(&mut relay.visits.announced);
    let is_announced = |visit: &Visit<'_>| announced.iter().any(|id| *id == visit.id);
    if !visits.is_empty() && visits.iter().all(is_announced) {
        relay.stage = Stage::Away(announced);
        return None;
    }
    let call = &relay.call;
    if !can_visit(call) {
        let wanted: Vec<_> = visits.iter().map(|v| (&*v.message, &*v.url)).collect();
        return Some(in_words(relay, &wanted));
    }
    let (proxy, limits) = (&call.caller.proxy, &call.caller.limits);
    let now = proxy.books.clock.now();
    for visit in &visits {
        let place = (call.caller.key.clone(), call.route.server.clone(), &*visit.id);
        proxy.hub.expected.add(place, now.plus(limits.parked_for), now);
    }
    let mut nonce = [0; 16];
    proxy.random.fill(&mut nonce);
    let ids = visits.iter().map(|visit| visit.id.to_string()).collect();
    let state = state::seal(call, Resume::Visited { nonce, ids });
    let asks: Vec<_> = visits.iter().map(|visit| question(call, visit)).collect();
    let keys: Vec<_> = (1..=asks.len()).map(|n| format!("u{n}")).collect();
    let asks: Vec<_> = keys.iter().zip(&asks).collect();
    let asks: Vec<_> = asks
        .into_iter()
        .map(|(key, params)| (key.as_str(), Method::ElicitationCreate.as_str(), Some(&**params)))
        .collect();
    let result = answer::input_required_result(&asks, Some(&state));
    let message = error::result(relay.waiting_for(), &result);
    relay.call.record.close(Outcome::Ok, None);
    Some(Out::Last { status: 200, message })
}

/// The raw parameters of the question for a modern client, which knows no ids of visits.
fn question(call: &Call, visit: &Visit<'_>) -> Vec<u8> {
    let mut params = b"{\"mode\":\"url\",\"url\":".to_vec();
    json::quote_into(&mut params, &visit.url);
    params.extend_from_slice(b",\"message\":");
    json::quote_into(&mut params, &visit.message);
    params.push(b'}');
    let labelled = translate::labelled(call, Method::ElicitationCreate, Some(&params));
    labelled.map_or_else(Vec::new, std::borrow::Cow::into_owned)
}

/// Ends a call of a client that cannot be sent anywhere: its person reads where to go.
pub(crate) fn in_words(relay: &mut Relay, wanted: &[(&str, &str)]) -> Out {
    let lines = wanted.iter().map(|(message, url)| {
        let gap = if message.is_empty() { "" } else { " " };
        format!("{message}{gap}{url}")
    });
    let lines: Vec<String> = lines.collect();
    let text = format!("Open this first, then try again:\n{}", lines.join("\n"));
    let message = told(&relay.call, relay.waiting_for(), &text);
    relay
        .call
        .record
        .close(Outcome::Failed, Some("a URL is to be visited first"));
    Out::Last { status: 200, message }
}

/// The words of a server that wants its account connected first (2025-11-25, URL Elicitation Required). A legacy client that
/// cannot be sent to a URL gets them to read; for a modern one they are translated like any server's.
pub(crate) fn connect(call: &Call, id: &[u8], first: &ConnectFirst) -> Bytes {
    tracing::info!(server = %call.route.server, request = %call.caller.request, "a call needs an account to be connected");
    if call.client.era() == Era::Legacy && !can_visit(call) {
        let text = format!("{} Open this, then try again:\n{}", first.message, first.url);
        return told(call, id, &text);
    }
    let mut data = b"{\"elicitations\":[{\"mode\":\"url\",\"elicitationId\":".to_vec();
    json::quote_into(&mut data, &first.id);
    data.extend_from_slice(b",\"url\":");
    json::quote_into(&mut data, &first.url);
    data.extend_from_slice(b",\"message\":");
    json::quote_into(&mut data, &first.message);
    data.extend_from_slice(b"}]}");
    let data = String::from_utf8(data).unwrap_or_default();
    error::message(
        Some(id),
        error::LEGACY_URL_ELICITATION_REQUIRED,
        &first.message,
        Some(&data),
    )
}

/// Whether a client's answer says that its person has gone.
pub(crate) fn is_agreed(answer: &[u8]) -> bool {
    json::find(answer, "action") == Some(b"\"accept\"")
}

/// The end of a call whose person would not go.
pub(crate) fn declined(mut call: Call) -> Out {
    let text = "The person did not open the page that the server asks for.";
    let message = told(&call, &call.id, text);
    call.record.close(Outcome::Failed, Some("a visit was declined"));
    Out::Last { status: 200, message }
}

/// What the model can read of a tool, and the client of everything else.
pub(crate) fn told(call: &Call, id: &[u8], text: &str) -> Bytes {
    if call.route.what != What::Tool {
        return Refusal::new(200, error::INTERNAL_ERROR, text.to_owned()).message(Some(id));
    }
    let info = call.caller.endpoint.server_info();
    error::result(id, &read_by_model(call.client.era(), info, text))
}

/// The raw result of a tool that failed, for clients of this era, with a text that the model reads.
pub(crate) fn read_by_model(era: Era, server_info: &[u8], text: &str) -> Bytes {
    let mut result = b"{\"content\":[{\"type\":\"text\",\"text\":".to_vec();
    json::quote_into(&mut result, text);
    result.extend_from_slice(b"}],\"isError\":true}");
    if era == Era::Legacy {
        return result.into();
    }
    let message = error::result(b"0", &result);
    let modern = answer::to_modern(&message, Method::ToolsCall, Era::Legacy, server_info);
    json::find(&modern, "result").map_or_else(|| result.into(), Bytes::copy_from_slice)
}

/// Waits until the server tells that the visits are over, for a while. What comes back are the parameters and the id of
/// the call that is made again.
pub(crate) async fn back(relay: &mut Relay, ids: &[String]) -> (Bytes, Bytes) {
    let call = &relay.call;
    let over = call
        .caller
        .proxy
        .hub
        .expected
        .over(&call.caller.key, &call.route.server, ids);
    // Told or not, the server knows best.
    let _ = tokio::time::timeout(PATIENCE, over).await;
    let id = json::quote(&token::<16>(&*call.caller.proxy.random));
    let params = call.params.clone();
    relay.relabel.get_or_insert_with(|| Label {
        id: relay.call.id.clone(),
        progress_token: relay.call.progress_token.clone(),
    });
    (params, id.into())
}

/// Visits that legacy servers wait for, until they tell that one is over.
#[derive(Debug, Default)]
pub(crate) struct Expected(Mutex<HashMap<PrincipalKey, Vec<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    server: ServerName,
    id: Box<str>,
    until: Timestamp,
    over: watch::Sender<bool>,
}

impl Expected {
    /// From now on the end of this visit is noticed.
    pub(crate) fn add(&self, place: (PrincipalKey, ServerName, &str), until: Timestamp, now: Timestamp) {
        let (owner, server, id) = place;
        let mut all = lock(&self.0);
        let is_full = |all: &HashMap<_, Vec<_>>| all.values().map(Vec::len).sum::<usize>() >= MAX_EXPECTED;
        if is_full(&all) {
            drop_late(&mut all, now);
        }
        if id.len() > MAX_ID || is_full(&all) {
            return;
        }
        let own = all.entry(owner).or_default();
        own.retain(|waiting| waiting.server != server || *waiting.id != *id);
        own.push(Waiting {
            server,
            id: id.into(),
            until,
            over: watch::Sender::new(false),
        });
    }

    /// A server tells that a visit is over.
    pub(crate) fn tell(&self, owner: &PrincipalKey, server: &ServerName, id: &str) {
        for waiting in lock(&self.0).get(owner).into_iter().flatten() {
            if waiting.server == *server && *waiting.id == *id {
                waiting.over.send_replace(true);
            }
        }
    }

    /// Waits until all of these are over; those that are not known are.
    async fn over(&self, owner: &PrincipalKey, server: &ServerName, ids: &[String]) {
        let waiting: Vec<_> = {
            let all = lock(&self.0);
            let own = all.get(owner).into_iter().flatten();
            let those = own.filter(|w| w.server == *server && ids.iter().any(|id| **id == *w.id));
            those.map(|waiting| waiting.over.subscribe()).collect()
        };
        for mut over in waiting {
            // Forgotten meanwhile is as good as over.
            let _ = over.wait_for(|over| *over).await;
        }
    }

    /// Forgets those of which nothing was heard in time.
    pub(crate) fn sweep(&self, now: Timestamp) {
        drop_late(&mut lock(&self.0), now);
    }
}

fn drop_late(all: &mut HashMap<PrincipalKey, Vec<Waiting>>, now: Timestamp) {
    all.retain(|_, own| {
        own.retain(|waiting| waiting.until > now);
        !own.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ClientId, GrantId, Principal, Resource, ScopeSet, TokenId, UserId};

    use super::*;

    fn server() -> ServerName {
        ServerName::parse("s").expect("a name")
    }

    fn principal(user: &str) -> Principal {
        Principal {
            user: UserId::new(user),
            client: ClientId::new("c"),
            grant: GrantId::new("g"),
            token: TokenId::new("t"),
            scopes: ScopeSet::parse(""),
            audience: Resource::parse("https://g.test/mcp").expect("a URL"),
            expires: Timestamp::EPOCH,
        }
    }

    fn held(expected: &Expected) -> usize {
        lock(&expected.0).values().map(Vec::len).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_visit_is_over_when_its_server_says_so() {
        let (expected, owner) = (Expected::default(), PrincipalKey::gateway());
        let (now, later) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        expected.add((owner.clone(), server(), "e1"), later, now);
        let ids = ["e1".to_owned(), "unknown".to_owned()];
        let here = server();
        let mut waiting = Box::pin(expected.over(&owner, &here, &ids));
        let moment = Duration::from_millis(1);
        assert!(tokio::time::timeout(moment, &mut waiting).await.is_err());
        expected.tell(&owner, &ServerName::parse("other").expect("a name"), "e1");
        assert!(
            tokio::time::timeout(moment, &mut waiting).await.is_err(),
            "another server's word"
        );
        expected.tell(&owner, &server(), "e1");
        waiting.await;
        expected.over(&owner, &server(), &ids).await;
        expected.sweep(later);
        assert_eq!(held(&expected), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn uc_10_nobody_elses_server_link_ends_a_visit() {
        let (expected, owner) = (Expected::default(), PrincipalKey::gateway());
        let (now, later) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        let other = principal("bob").key();
        for who in [&owner, &other] {
            expected.add((who.clone(), server(), "e1"), later, now);
        }
        let (ids, here, moment) = (["e1".to_owned()], server(), Duration::from_millis(1));
        let mut waiting = Box::pin(expected.over(&owner, &here, &ids));
        expected.tell(&other, &server(), "e1");
        assert!(tokio::time::timeout(moment, &mut waiting).await.is_err());
        expected.tell(&owner, &server(), "e1");
        waiting.await;
    }

    #[test]
    fn visits_remembered_at_the_limit_and_one_past_it() {
        let (expected, owner) = (Expected::default(), PrincipalKey::gateway());
        let (now, later) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        for n in 0..MAX_EXPECTED {
            expected.add((owner.clone(), server(), &n.to_string()), later, now);
        }
        assert_eq!(held(&expected), MAX_EXPECTED);
        expected.add((owner.clone(), server(), "one more"), later, now);
        assert_eq!(held(&expected), MAX_EXPECTED);
        expected.add((owner.clone(), server(), "late"), later, later);
        assert_eq!(held(&expected), 1, "what is late makes room");
        expected.add((owner.clone(), server(), &"x".repeat(MAX_ID)), later, now);
        expected.add((owner, server(), &"x".repeat(MAX_ID + 1)), later, now);
        assert_eq!(held(&expected), 2);
    }
}

//! Which eras a server speaks, found by asking (2026-07-28, Version Negotiation; P-88, P-89). Nothing with an effect is
//! ever asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_mcp::capabilities::{DiscoverResult, InitializeResult, ServerCapabilities};
use sallyport_mcp::method::Method;
use sallyport_mcp::{Era, Revision, error, json};
use sallyport_net::http1::Trouble;

use super::account::connect_first;
use super::control::Control;
use super::conversation::{self, Conversation};
use super::demo;
use super::ground::Ground;
use super::http::{HttpError, Modern, Refused};
use super::presented::Presented;
use super::reply::terminal;
use super::request::{RequestError, own, result, result_of};
use super::slot::Slot;
use super::state::Speaks;
use super::wire::Wire;
use crate::spec::{HttpForm, Protocol, Transport};

/// The longest time that a server may take to answer the probe of a conversation; silence means that it is a legacy one.
const PROBE: Duration = Duration::from_secs(10);

/// First contact with a server.
pub(crate) struct Contact {
    pub(crate) speaks: Speaks,
    pub(crate) capabilities: ServerCapabilities,
    pub(crate) instructions: Option<String>,
    pub(crate) info: Option<Bytes>,
    pub(crate) control: Control,
}

/// Where the gateway's own sessions and processes are kept.
pub(crate) trait OwnSlots: Sync {
    /// The one of this era.
    fn own_slot(&self, era: Era) -> Arc<Slot>;
}

/// Makes contact. What is `known` of the server's eras is not asked again.
///
/// # Errors
/// A fault when the server is out of reach or speaks nothing that is spoken here.
pub(crate) async fn contact(
    ground: &Arc<Ground>,
    slots: &impl OwnSlots,
    known: Speaks,
) -> Result<Contact, Fault> {
    ground.door.remember().await;
    let protocol = match (ground.spec.protocol, known.legacy, known.modern) {
        (Protocol::Auto, true, false) => Protocol::Legacy,
        (Protocol::Auto, false, true) => Protocol::Modern,
        (configured, _, _) => configured,
    };
    match (&ground.spec.transport, protocol) {
        (Transport::Demo, _) => Ok(demo::contact()),
        (_, Protocol::Legacy) => legacy(slots).await,
        // Only revisions with `initialize` are spoken over it.
        (Transport::Http { .. }, _) if ground.form.get() == HttpForm::Sse => legacy(slots).await,
        (Transport::Http { .. }, _) => match discover(ground).await {
            Ok(Verdict::Modern(contact)) => Ok(*contact),
            Ok(Verdict::Legacy) if protocol == Protocol::Auto => legacy(slots).await,
            Ok(Verdict::Legacy | Verdict::Foreign) => Err(nothing_in_common()),
            // An outage says nothing about eras; an odd answer may be a legacy server's.
            Err(fault) if protocol == Protocol::Modern || Trouble::of(&fault).is_some() => Err(fault),
            // It has not looked at the question yet.
            Err(fault) if connect_first(&fault).is_some() => Err(fault),
            Err(_) => legacy(slots).await,
        },
        (Transport::Stdio { .. } | Transport::WebSocket { .. } | Transport::Tcp { .. }, _) => {
            converse(ground, slots, protocol).await
        }
    }
}

enum Verdict {
    Modern(Box<Contact>),
    Legacy,
    /// A modern one that speaks no revision of ours: it is not introduced to (P-88).
    Foreign,
}

async fn legacy(slots: &impl OwnSlots) -> Result<Contact, Fault> {
    let slot = slots.own_slot(Era::Legacy);
    slot.wire().await?;
    let hello = slot.hello().ok_or_else(nothing_in_common)?;
    Ok(legacy_contact(slot, (*hello).clone()))
}

fn legacy_contact(slot: Arc<Slot>, hello: InitializeResult) -> Contact {
    Contact {
        speaks: Speaks {
            legacy: true,
            modern: false,
        },
        capabilities: hello.capabilities,
        instructions: hello.instructions,
        info: hello.server_info,
        control: Control::Slot(slot),
    }
}

fn modern_contact(found: DiscoverResult, control: Control) -> Contact {
    let legacy = speaks_legacy(found.supported_versions.iter().map(String::as_str));
    Contact {
        speaks: Speaks { legacy, modern: true },
        capabilities: found.capabilities,
        instructions: found.instructions,
        info: found.server_info,
        control,
    }
}

fn speaks_legacy<'a>(versions: impl Iterator<Item = &'a str>) -> bool {
    versions
        .filter_map(Revision::parse)
        .any(|revision| revision.era() == Era::Legacy)
}

async fn discover(ground: &Arc<Ground>) -> Result<Verdict, Fault> {
    let modern = Arc::new(Modern::new(ground, None)?);
    let outgoing = own(
        Method::Discover.as_str(),
        Presented::gateway().modern_params(b"{}", None),
    );
    let patience = ground.spec.limits.handshake;
    let asked = async {
        let reply = modern.ask(&ground.worker, &outgoing, patience).await?;
        Ok::<_, HttpError>(terminal(reply).await?)
    };
    let answered = tokio::time::timeout(patience, asked).await;
    let answered =
        answered.map_err(|_| Fault::unreached("discover the server", Trouble::Timeout("answer")))?;
    let found = match answered {
        Ok(message) => result_of(&message),
        Err(HttpError::Refused(Refused { error: Some(raw), .. })) => Err(RequestError::Refused(raw)),
        Err(HttpError::Refused(_)) => return Ok(Verdict::Legacy),
        Err(HttpError::Fault(fault)) => return Err(fault),
    };
    let control = Control::Http(Arc::clone(ground), modern);
    verdict(found, |found| modern_contact(found, control))
}

/// What the answer to `server/discover` proves.
fn verdict(
    found: Result<Bytes, RequestError>,
    contact: impl FnOnce(DiscoverResult) -> Contact,
) -> Result<Verdict, Fault> {
    let raw = match found {
        Ok(raw) => raw,
        Err(RequestError::Fault(fault)) => return Err(fault),
        Err(RequestError::Refused(raw)) => return Ok(refusal(&raw)),
    };
    let Ok(found) = DiscoverResult::parse(&raw) else {
        return Ok(Verdict::Legacy);
    };
    let mut versions = found.supported_versions.iter().map(String::as_str);
    if versions.any(|version| Revision::parse(version).is_some_and(|r| r.era() == Era::Modern)) {
        return Ok(Verdict::Modern(Box::new(contact(found))));
    }
    if speaks_legacy(found.supported_versions.iter().map(String::as_str)) {
        return Ok(Verdict::Legacy);
    }
    Ok(Verdict::Foreign)
}

/// A modern error proves a modern server, with which nothing may be in common; any other error is a legacy server's. One
/// that names revisions with `initialize` says itself that it may be introduced to.
fn refusal(raw: &[u8]) -> Verdict {
    let code = super::request::code_of(raw).unwrap_or_default();
    if !error::is_modern_code(code) {
        return Verdict::Legacy;
    }
    let supported = json::find(raw, "data").and_then(|data| json::find(data, "supported"));
    let versions: Vec<_> = supported
        .and_then(|raw| json::elements(raw).ok())
        .unwrap_or_default()
        .iter()
        .filter_map(|element| json::decode(element.value).map(String::from))
        .collect();
    if speaks_legacy(versions.iter().map(String::as_str)) {
        return Verdict::Legacy;
    }
    Verdict::Foreign
}

fn nothing_in_common() -> Fault {
    Fault::upstream(
        "discover the server",
        "it speaks no protocol revision that is spoken here",
    )
}

/// A server is asked first and introduced to next. If that confuses it, it gets a successor that is only introduced to:
/// some servers take the first message for the era of the whole conversation.
async fn converse(ground: &Arc<Ground>, slots: &impl OwnSlots, protocol: Protocol) -> Result<Contact, Fault> {
    let modern = slots.own_slot(Era::Modern);
    if let Some(wire) = modern.alive() {
        // It may be in use; one that answers is kept.
        if let Ok(contact) = still_modern(&modern).await {
            return Ok(contact);
        }
        wire.close().await;
    }
    let opened = conversation::open(ground, Era::Modern, Arc::clone(&modern.inbox), None).await;
    let conversation = opened.inspect_err(|_| ground.started(false))?;
    conversation.examine();
    let params = Presented::gateway().modern_params(b"{}", None);
    let outgoing = own(Method::Discover.as_str(), params);
    let asked = async { conversation.call(&outgoing)?.reply(()).await };
    let answered = result(asked, PROBE.min(ground.spec.limits.handshake)).await;
    let silent = matches!(answered, Err(RequestError::Fault(_)));
    let control = Control::Slot(Arc::clone(&modern));
    let verdict = match answered {
        Err(RequestError::Fault(_)) => Ok(Verdict::Legacy),
        answered => verdict(answered, |found| modern_contact(found, control)),
    };
    match verdict {
        Ok(Verdict::Modern(contact)) => {
            ground.started(true);
            modern.fill(Wire::Conversation(conversation), None);
            Ok(*contact)
        }
        Ok(Verdict::Legacy) if protocol == Protocol::Auto => {
            introduce(ground, slots, conversation, silent).await
        }
        other => {
            conversation.stop();
            ground.started(false);
            Err(other.err().unwrap_or_else(nothing_in_common))
        }
    }
}

async fn still_modern(slot: &Arc<Slot>) -> Result<Contact, Fault> {
    let asked = slot.request(&slot.ground.worker, Method::Discover, Bytes::from_static(b"{}"));
    let control = Control::Slot(Arc::clone(slot));
    match verdict(asked.await, |found| modern_contact(found, control))? {
        Verdict::Modern(contact) => Ok(*contact),
        Verdict::Legacy | Verdict::Foreign => Err(nothing_in_common()),
    }
}

async fn introduce(
    ground: &Arc<Ground>,
    slots: &impl OwnSlots,
    conversation: Arc<Conversation>,
    silent: bool,
) -> Result<Contact, Fault> {
    let slot = slots.own_slot(Era::Legacy);
    // A connection costs little: a new one knows nothing of the probe.
    let costly = matches!(ground.spec.transport, Transport::Stdio { .. });
    if costly && conversation.is_alive() {
        conversation.speak_legacy();
        if let Ok(hello) = conversation::introduce(&conversation, &slot.presented).await {
            ground.started(true);
            slot.fill(Wire::Conversation(conversation), Some(hello.clone()));
            return Ok(legacy_contact(slot, hello));
        }
    }
    tracing::debug!(server = %ground.spec.name, silent, "the probe did not suit the server; it is opened anew");
    conversation.stop();
    conversation.wait_ended().await;
    legacy(slots).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is taken for a modern server, `None` for one that is spoken to in no era.
    fn probe(found: Result<&'static str, &'static str>) -> Option<bool> {
        let found = found
            .map(|raw| Bytes::from_static(raw.as_bytes()))
            .map_err(|raw| RequestError::Refused(Bytes::from_static(raw.as_bytes())));
        match verdict(found, |found| modern_contact(found, Control::Demo)).expect("an answer") {
            Verdict::Modern(_) => Some(true),
            Verdict::Legacy => Some(false),
            Verdict::Foreign => None,
        }
    }

    #[test]
    fn p_88_only_a_modern_answer_proves_a_modern_server() {
        let modern = r#"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#;
        assert_eq!(probe(Ok(modern)), Some(true));
        for legacy in [
            Ok(r#"{"supportedVersions":["2025-11-25"],"capabilities":{}}"#),
            Ok("{}"),
            Err(r#"{"code":-32601,"message":"no"}"#),
            Err(r#"{"code":-32602,"message":"no"}"#),
            Err(r#"{"code":-32000,"message":"no"}"#),
            Err(r#"{"code":-32022,"message":"no","data":{"supported":["2025-06-18"]}}"#),
            Err("{}"),
        ] {
            assert_eq!(probe(legacy), Some(false), "{legacy:?}");
        }
        for unusable in [
            Ok(r#"{"supportedVersions":["2031-01-01"],"capabilities":{}}"#),
            Err(r#"{"code":-32022,"message":"no","data":{"supported":["2031-01-01"]}}"#),
            Err(r#"{"code":-32020,"message":"no"}"#),
        ] {
            assert_eq!(probe(unusable), None, "{unusable:?}");
        }
    }

    #[test]
    fn a_server_of_both_eras_is_known_as_such() {
        let raw = br#"{"supportedVersions":["2026-07-28","2025-11-25"],"capabilities":{"tools":{}}}"#;
        let found = DiscoverResult::parse(raw).expect("well formed");
        let contact = modern_contact(found, Control::Demo);
        assert!(contact.speaks.legacy && contact.speaks.modern);
    }
}

//! Notifications that the gateway writes, or passes on with a change.

use bytes::Bytes;
use sallyport_mcp::json::{self, Object, Span};
use sallyport_mcp::jsonrpc::MetaKey;
use sallyport_mcp::splice::{Edits, ObjectEdit};

/// Which lists have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
}

impl Changes {
    /// Whether there is any.
    pub(crate) fn any(self) -> bool {
        self.tools || self.prompts || self.resources
    }

    /// Those that `wanted` has too.
    pub(crate) fn only(self, wanted: Self) -> Self {
        Self {
            tools: self.tools && wanted.tools,
            prompts: self.prompts && wanted.prompts,
            resources: self.resources && wanted.resources,
        }
    }

    /// One notification for each.
    pub(crate) fn messages(self) -> impl Iterator<Item = Bytes> {
        const TOOLS: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        const PROMPTS: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#;
        const RESOURCES: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}"#;
        let all = [
            (self.tools, TOOLS),
            (self.prompts, PROMPTS),
            (self.resources, RESOURCES),
        ];
        let told = all.into_iter().filter(|(changed, _)| *changed);
        told.map(|(_, message)| Bytes::from_static(message))
    }
}

/// The notification with `subscriptionId` in `params._meta`, as every message on a listen stream bears it
/// (2026-07-28, Subscriptions). `id` is the raw id of the listen request.
pub(crate) fn tagged(message: &[u8], id: &[u8]) -> Bytes {
    with_params(message, |params| {
        let meta = params.object().get("_meta").filter(|raw| json::is_object(raw));
        let Ok(mut meta) = ObjectEdit::new(meta.unwrap_or(b"{}")) else {
            return;
        };
        meta.set(MetaKey::SubscriptionId.as_str(), id);
        params.set("_meta", meta.finish());
    })
}

/// The notification with another `params.uri`.
pub(crate) fn with_uri(message: &[u8], uri: &str) -> Bytes {
    with_params(message, |params| {
        params.set("uri", json::quote(uri));
    })
}

fn with_params(message: &[u8], change: impl FnOnce(&mut ObjectEdit<'_>)) -> Bytes {
    let unchanged = || Bytes::copy_from_slice(message);
    let Ok(mut outer) = ObjectEdit::new(message) else {
        return unchanged();
    };
    let params = outer.object().get("params").filter(|raw| json::is_object(raw));
    let Ok(mut params) = ObjectEdit::new(params.unwrap_or(b"{}")) else {
        return unchanged();
    };
    change(&mut params);
    outer.set("params", params.finish());
    outer.finish().into()
}

/// A response or notification in which a member of the outermost object has another raw value.
pub(crate) fn with_member(message: &Bytes, key: &str, value: &[u8]) -> Bytes {
    let Some(span) = member(message, key) else {
        return message.clone();
    };
    if span.of(message) == value {
        return message.clone();
    }
    let mut edits = Edits::new();
    edits.replace(span, value);
    edits.apply(message).into()
}

/// A progress notification that bears another token.
pub(crate) fn with_progress_token(message: &[u8], token: &[u8]) -> Bytes {
    with_params(message, |params| {
        params.set("progressToken", token);
    })
}

fn member(message: &[u8], key: &str) -> Option<Span> {
    let object = Object::read(message).ok()?;
    object.members().iter().find(|m| m.is(key)).map(|m| m.value_span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_told() {
        let all = Changes {
            tools: true,
            prompts: true,
            resources: true,
        };
        let tools = Changes {
            tools: true,
            ..Changes::default()
        };
        assert_eq!(all.messages().count(), 3);
        assert_eq!(all.only(tools), tools);
        assert!(!Changes::default().any());
    }

    #[test]
    fn p_57_a_listen_message_bears_the_id_in_its_own_type() {
        let message = br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        let seven = tagged(message, b"7");
        let text = tagged(message, br#""7""#);
        let read = |message: &[u8]| -> serde_json::Value {
            let value: serde_json::Value = serde_json::from_slice(message).expect("JSON");
            value["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone()
        };
        assert_eq!(read(&seven), serde_json::json!(7));
        assert_eq!(read(&text), serde_json::json!("7"));
        let kept = br#"{"jsonrpc":"2.0","method":"m","params":{"uri":"a","_meta":{"x/y":1.0}}}"#;
        let kept = tagged(kept, b"7");
        assert!(kept.windows(9).any(|w| w == br#""x/y":1.0"#));
    }

    #[test]
    fn a_member_is_replaced_in_its_place() {
        let message = Bytes::from_static(br#"{"jsonrpc": "2.0", "id": 1, "result": {"id": 1}}"#);
        assert_eq!(
            with_member(&message, "id", b"\"a\""),
            br#"{"jsonrpc": "2.0", "id": "a", "result": {"id": 1}}"#.as_slice()
        );
        assert_eq!(
            with_uri(br#"{"method":"m","params":{"uri":"a","n":1}}"#, "b"),
            br#"{"method":"m","params":{"uri":"b","n":1}}"#.as_slice()
        );
    }
}

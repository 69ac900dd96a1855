//! Writing events.

use bytes::Bytes;

const MESSAGE: &[u8] = b"event: message\ndata: ";

/// One message as an event. A line break in the JSON text, which can only be white space there, becomes a space: no
/// message can end its event or begin another.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(MESSAGE.len() + message.len() + 2);
    frame_into(&mut out, message);
    out.into()
}

/// Appends what [`frame`] makes.
pub fn frame_into(out: &mut Vec<u8>, message: &[u8]) {
    out.extend_from_slice(MESSAGE);
    data(out, message);
}

/// One message as an event that a legacy client can resume after.
#[must_use]
pub fn frame_with_id(message: &[u8], id: &str) -> Bytes {
    let mut out = Vec::with_capacity(id.len() + MESSAGE.len() + message.len() + 8);
    frame_with_id_into(&mut out, message, id);
    out.into()
}

/// Appends what [`frame_with_id`] makes.
pub fn frame_with_id_into(out: &mut Vec<u8>, message: &[u8], id: &str) {
    id_line(out, id);
    frame_into(out, message);
}

/// The first event of a stream that its server may leave and its client resume (revision 2025-11-25): an id, the time
/// in milliseconds after which to come back, and no data.
#[must_use]
pub fn priming(id: &str, retry_ms: u64) -> Bytes {
    let mut out = Vec::new();
    id_line(&mut out, id);
    out.extend_from_slice(format!("retry: {retry_ms}\ndata:\n\n").as_bytes());
    out.into()
}

/// The first event of a 2024-11-05 stream: where to post.
#[must_use]
pub fn endpoint(uri: &str) -> Bytes {
    let mut out = b"event: endpoint\ndata: ".to_vec();
    data(&mut out, uri.as_bytes());
    out.into()
}

/// A line that keeps the connection alive and means nothing.
#[must_use]
pub fn comment() -> Bytes {
    Bytes::from_static(b": keep-alive\n\n")
}

/// Ids are made here and hold no line breaks; should one come from elsewhere, it cannot add fields.
fn id_line(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b"id: ");
    if id.bytes().fold(true, |plain, b| plain & (b > b' ') & (b < 0x7f)) {
        out.extend_from_slice(id.as_bytes());
    } else {
        let id: String = id.chars().filter(|c| !c.is_control()).collect();
        out.extend_from_slice(id.as_bytes());
    }
    out.push(b'\n');
}

/// Appends the data and ends the event.
fn data(out: &mut Vec<u8>, data: &[u8]) {
    let mut rest = data;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let (line, more) = rest.split_at(at);
        out.extend_from_slice(line);
        out.push(b' ');
        rest = more.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_framed() {
        assert_eq!(frame(b"{}"), "event: message\ndata: {}\n\n");
        assert_eq!(
            frame_with_id(b"{}", "s1-2"),
            "id: s1-2\nevent: message\ndata: {}\n\n"
        );
        assert_eq!(priming("s1-0", 3000), "id: s1-0\nretry: 3000\ndata:\n\n");
        assert_eq!(endpoint("/m?x=1"), "event: endpoint\ndata: /m?x=1\n\n");
    }

    #[test]
    fn ss_08_no_message_can_add_an_event() {
        assert_eq!(
            frame(b"{\r\n\n\"a\":\n1}"),
            "event: message\ndata: {   \"a\": 1}\n\n"
        );
        assert_eq!(
            frame_with_id(b"{}", "a\n\ndata: x"),
            "id: adata: x\nevent: message\ndata: {}\n\n"
        );
    }
}

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const SMALL: SseLimits = SseLimits {
    event_bytes: 64,
    field_bytes: 8,
};

/// All events of a stream that comes in these pieces.
fn parsed(limits: SseLimits, pieces: &[&[u8]]) -> Result<Vec<Event>, SseError> {
    let mut parser = Parser::new(limits);
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(&Bytes::copy_from_slice(piece));
        while let Some(event) = parser.next_event()? {
            events.push(event);
        }
    }
    Ok(events)
}

fn all(stream: &str) -> Vec<Event> {
    parsed(SseLimits::default(), &[stream.as_bytes()]).unwrap()
}

fn data(stream: &str) -> Vec<String> {
    all(stream)
        .iter()
        .map(|e| String::from_utf8(e.data.to_vec()).unwrap())
        .collect()
}

#[test]
fn streams_are_taken_apart() {
    for (stream, expected) in [
        ("data: a\n\n", vec!["a"]),
        ("data:a\n\ndata: b\n\n", vec!["a", "b"]),
        ("data:  a\n\n", vec![" a"]),
        ("data: a\ndata: b\n\n", vec!["a\nb"]),
        ("data\ndata\n\n", vec!["\n"]),
        ("data\ndata: x\n\n", vec!["\nx"]),
        ("data: x\ndata\n\n", vec!["x\n"]),
        ("data: a:b: c\n\n", vec!["a:b: c"]),
        (": comment\n\n:\n\ndata: a\n\n", vec!["a"]),
        ("data: a", vec![]),
        ("data: a\n", vec![]),
        ("dat: a\nfoo\nevent: x\n\n", vec![]),
        ("\n\n\ndata: a\n\n\n", vec!["a"]),
        ("data: a\nother: b\n\n", vec!["a"]),
    ] {
        assert_eq!(data(stream), expected, "{stream:?}");
    }
}

#[test]
fn ss_03_every_line_end_and_the_bom() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = ["data: a", "data: b", "", "id: 7", "data: c", "", ""].join(end);
        assert_eq!(data(&stream), ["a\nb", "c"], "{end:?}");
    }
    assert_eq!(data("\u{feff}data: a\n\n"), ["a"]);
    assert_eq!(data("\u{feff}\u{feff}data: a\n\ndata: b\n\n"), ["b"]);
    assert_eq!(data("data: \u{feff}\n\n"), ["\u{feff}"]);
}

#[test]
fn other_fields_are_kept() {
    let events = all("id: 1\nevent: message\nretry: 3000\ndata: {}\n\n");
    let [event] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(event.id.as_deref(), Some("1"));
    assert_eq!(event.event, None);
    assert_eq!(event.retry_ms, Some(3000));
    assert!(event.is_message());
    for (stream, is_message) in [
        ("data: {}\n\n", true),
        ("event: endpoint\ndata: /x\n\n", false),
        ("id: 1\ndata:\n\n", false),
        ("id: 1\n\n", false),
    ] {
        assert_eq!(
            all(stream).first().map(Event::is_message),
            Some(is_message),
            "{stream:?}"
        );
    }
    for ignored in [
        "retry: -1\n\n",
        "retry: 1s\n\n",
        "retry:\n\n",
        "id: a\0b\n\n",
        "event: x\n\n",
    ] {
        assert_eq!(all(ignored), [], "{ignored:?}");
    }
    assert_eq!(
        all("retry: 5\nretry: 99999999999999999999\ndata: x\n\n")[0].retry_ms,
        Some(5)
    );
}

#[test]
fn what_is_framed_is_parsed() {
    for message in [r#"{"a":"\n"}"#, "{}", "{\n\"a\":\r\n1}"] {
        let events = parsed(
            SseLimits::default(),
            &[&frame_with_id(message.as_bytes(), "s-1"), &frame(b"{}")],
        )
        .unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].id.as_deref(), Some("s-1"));
        let (mine, theirs): (serde_json::Value, serde_json::Value) = (
            serde_json::from_slice(&events[0].data).unwrap(),
            serde_json::from_str(message).unwrap(),
        );
        assert_eq!(mine, theirs);
    }
    let primed = parsed(SseLimits::default(), &[&priming("s-0", 10), &comment()]).unwrap();
    assert_eq!(
        (primed.len(), primed[0].retry_ms, primed[0].data.len()),
        (1, Some(10), 0)
    );
    assert_eq!(
        all(std::str::from_utf8(&endpoint("/m?s=1")).unwrap())[0]
            .event
            .as_deref(),
        Some("endpoint")
    );
}

#[test]
fn ss_03_events_at_the_limit_and_past_it() {
    let of = |n: usize| format!("data: {}\n\n", "x".repeat(n));
    assert_eq!(parsed(SMALL, &[of(64).as_bytes()]).unwrap()[0].data.len(), 64);
    assert_eq!(parsed(SMALL, &[of(65).as_bytes()]), Err(SseError::TooLong));
    let two = |a: usize, b: usize| format!("data: {}\ndata: {}\n\n", "x".repeat(a), "y".repeat(b));
    assert_eq!(
        parsed(SMALL, &[two(32, 31).as_bytes()]).unwrap()[0].data.len(),
        64
    );
    assert_eq!(parsed(SMALL, &[two(32, 32).as_bytes()]), Err(SseError::TooLong));
    assert_eq!(
        parsed(SMALL, &["data\n".repeat(100).as_bytes()]),
        Err(SseError::TooLong)
    );
    assert!(parsed(SMALL, &[b"id: 12345678\n\n"]).is_ok());
    assert_eq!(parsed(SMALL, &[b"id: 123456789\n\n"]), Err(SseError::TooLong));
}

#[test]
fn ss_03_endless_input_is_cut_off_without_being_kept() {
    for piece in ["x", "data: x", ":", "data: x\r"] {
        let mut parser = Parser::new(SMALL);
        let pieces = (0..10_000).map(|_| piece.as_bytes());
        let refused = pieces.take_while(|piece| {
            parser.push(&Bytes::copy_from_slice(piece));
            loop {
                match parser.next_event() {
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(SseError::TooLong) => return false,
                }
            }
        });
        assert!(refused.count() < 100, "{piece:?}");
        assert_eq!(
            parser.next_event(),
            Err(SseError::TooLong),
            "there is no way back"
        );
    }
    let mut parser = Parser::new(SMALL);
    for n in 0..100_000 {
        parser.push(&format!("retry: {n}\nid: {}\n:\n", n % 1000).into());
        assert_eq!(parser.next_event(), Ok(None));
    }
    parser.push(&"\n".into());
    assert_eq!(
        parser.next_event().unwrap().and_then(|e| e.retry_ms),
        Some(99_999)
    );
}

#[test]
fn what_is_pushed_before_the_last_piece_is_taken_out_is_not_lost() {
    let mut parser = Parser::new(SMALL);
    parser.push(&"data: a\n\ndata: b\n\nda".into());
    assert_eq!(parser.next_event().unwrap().map(|e| e.data), Some("a".into()));
    parser.push(&"ta: c\n\n".into());
    for expected in [Some("b".into()), Some("c".into()), None] {
        assert_eq!(parser.next_event().unwrap().map(|e| e.data), expected);
    }
}

#[test]
fn ss_01_junk_before_a_message_does_not_hide_it() {
    let stream = b"data: \xff\xfe\n\njunk\ndata: {\"result\":1}\n\n";
    let events = parsed(SseLimits::default(), &[stream]).unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].data, r#"{"result":1}"#);
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(
        stream in "(\u{feff})?((data|id|event|retry|x)?:? ?[a-c\u{e9}0-9:]{0,6}(\n|\r\n|\r|\n\n|\r\n\r\n)){0,12}",
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let whole = parsed(SseLimits::default(), &[stream.as_bytes()]);
        let mut places: Vec<usize> = cuts.iter().map(|i| i.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|w| &stream.as_bytes()[w[0]..w[1]]).collect();
        prop_assert_eq!(parsed(SseLimits::default(), &pieces), whole);
    }

    #[test]
    fn no_bytes_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let _ = parsed(SMALL, &pieces);
    }
}

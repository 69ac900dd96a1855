use proptest::prelude::*;

use super::*;

fn offence(text: &str) -> Option<usize> {
    Guard::new(1024)
        .inspect(text.as_bytes())
        .err()
        .map(|offence| offence.at)
}

fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

#[test]
fn ht_01_a_body_with_two_readings_is_an_offence() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
    ] {
        assert!(offence(&post(fields)).is_some(), "{fields:?}");
    }
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "TRANSFER-ENCODING:\t Chunked \r\n",
        "Content-Length: 0\r\n",
        "",
    ] {
        assert_eq!(offence(&post(fields)), None, "{fields:?}");
    }
}

#[test]
fn ht_02_a_length_is_one_number() {
    for value in [
        "+5",
        "0x5",
        "5, 5",
        "5 5",
        "-1",
        "",
        "5.0",
        "18446744073709551616",
        "٥",
    ] {
        assert!(
            offence(&post(&format!("Content-Length: {value}\r\n"))).is_some(),
            "{value:?}"
        );
    }
    assert!(offence(&post("Content-Length: 5\r\nContent-Length: 5\r\n")).is_some());
    assert!(offence(&post("Content-Length: 5\r\ncontent-length: 6\r\n")).is_some());
    assert_eq!(offence(&post("Content-Length: 18446744073709551615\r\n")), None);
}

#[test]
fn ht_05_a_bare_line_feed_ends_no_line() {
    let at = "GET / HTTP/1.1".len();
    assert_eq!(offence("GET / HTTP/1.1\nHost: h\r\n\r\n"), Some(at));
    assert!(offence("GET / HTTP/1.1\r\nHost: h\n\r\n").is_some());
    assert!(offence("GET / HTTP/1.1\r\nHost: h\r\n\n").is_some());
    assert!(offence("\nGET / HTTP/1.1\r\n\r\n").is_some());
    assert_eq!(offence("\r\nGET / HTTP/1.1\r\n\r\n"), None);
}

#[test]
fn ht_08_chunks_are_read_strictly_and_within_bounds() {
    let chunked = |body: &str| {
        offence(
            &post(&format!("Transfer-Encoding: chunked\r\n\r\n{body}")).replace("\r\n\r\n\r\n", "\r\n\r\n"),
        )
    };
    let body = |body: &str| {
        offence(&format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ))
    };
    assert_eq!(chunked("0\r\n\r\n"), None);
    assert_eq!(body("5\r\nhello\r\n0\r\n\r\n"), None);
    assert_eq!(body("5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"), None);
    for bad in [
        "5\nhello\r\n",
        "5 \r\nhello\r\n",
        "0x5\r\n",
        "+5\r\n",
        "\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n0\r\n",
        "fffffffffffffffff\r\n",
        "5;a\rb\r\n",
        "g\r\n",
        "0\r\nX: y\n\r\n",
    ] {
        assert!(body(bad).is_some(), "{bad:?}");
    }
    let extension = |length: usize| body(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length)));
    assert_eq!(extension(1000), None);
    assert!(extension(MAX_OVERHEAD).is_some());
    let trailers = |count: usize| body(&format!("0\r\n{}\r\n", "X-Y: zzzzzz\r\n".repeat(count)));
    assert_eq!(trailers(MAX_OVERHEAD / 11), None);
    assert!(trailers(MAX_OVERHEAD / 11 + 1).is_some());
}

#[test]
fn ht_06_a_line_in_parts_is_kept_up_to_the_bound() {
    let mut guard = Guard::new(100);
    assert!(guard.inspect(&[b'x'; 100]).is_ok());
    assert_eq!(guard.inspect(b"y"), Err(Offence { at: 0 }));
}

#[test]
fn phases_follow_the_request() {
    let mut guard = Guard::new(1024);
    assert_eq!(guard.phase(), Phase::Between);
    for (bytes, phase) in [
        (&b"P"[..], Phase::Head),
        (b"OST / HTTP/1.1\r\n", Phase::Head),
        (b"Content-Length: 2\r\n\r\n", Phase::Body),
        (b"a", Phase::Body),
        (b"b", Phase::Between),
        (b"GET / HTTP/1.1\r\n\r\n", Phase::Between),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
            Phase::Body,
        ),
        (b"\r\n", Phase::Between),
    ] {
        assert_eq!(guard.inspect(bytes), Ok(()));
        assert_eq!(guard.phase(), phase, "after {:?}", String::from_utf8_lossy(bytes));
    }
}

/// Pieces of requests, good and bad: enough for every state to meet every other.
fn fragment() -> impl Strategy<Value = String> {
    let fixed = [
        "GET / HTTP/1.1\r\n",
        "POST /x HTTP/1.1\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: h\r\n",
        "\r\n",
        "\n",
        "abc",
        "3\r\n",
        "3\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\n",
        ";x=y\r\n",
        "X: y\r\n",
        "\r",
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ]
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_are_split(
        fragments in proptest::collection::vec(fragment(), 0..14),
        cuts in proptest::collection::vec(1usize..7, 1..20),
    ) {
        let text = fragments.concat();
        let mut whole = Guard::new(4096);
        let expected = whole.inspect(text.as_bytes()).map_err(|offence| offence.at);
        let mut guard = Guard::new(4096);
        let mut found = Ok(());
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            if at >= text.len() || found.is_err() {
                break;
            }
            let end = (at + cut).min(text.len());
            found = guard.inspect(&text.as_bytes()[at..end]).map_err(|offence| at + offence.at);
            at = end;
        }
        prop_assert_eq!(found, expected);
        if expected.is_ok() {
            prop_assert_eq!(guard.phase(), whole.phase());
        }
    }
}

use proptest::prelude::*;

use super::*;

/// Reads the head at the front as the connection does; `None` if it is not complete.
fn head_of(bytes: &[u8], limit: usize) -> Option<Result<Head, Refusal>> {
    let bytes = bytes.get(blank(bytes)..)?;
    let mut end = HeadEnd::default();
    match end.find(bytes, limit) {
        Ok(None) => None,
        Ok(Some(length)) => Some(read(&Bytes::copy_from_slice(&bytes[..length]), 100)),
        Err(refusal) => Some(Err(refusal)),
    }
}

fn refused(text: &str) -> Option<Refusal> {
    head_of(text.as_bytes(), 1024).expect("a complete head").err()
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
        assert_eq!(refused(&post(fields)), Some(Refusal::Broken), "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), Some(Refusal::Broken));
    for (fields, length) in [
        ("Transfer-Encoding: chunked\r\n", Length::Chunked),
        ("TRANSFER-ENCODING:\t Chunked \r\n", Length::Chunked),
        ("Content-Length: 0\r\n", Length::Known(0)),
        ("Content-Length:\t17 \r\n", Length::Known(17)),
        ("", Length::Known(0)),
    ] {
        let head = head_of(post(fields).as_bytes(), 1024).unwrap().unwrap();
        assert_eq!(head.length, length, "{fields:?}");
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
            refused(&post(&format!("Content-Length: {value}\r\n"))).is_some(),
            "{value:?}"
        );
    }
    assert!(refused(&post("Content-Length: 5\r\nContent-Length: 5\r\n")).is_some());
    assert!(refused(&post("Content-Length: 5\r\ncontent-length: 6\r\n")).is_some());
    assert_eq!(refused(&post("Content-Length: 18446744073709551615\r\n")), None);
}

#[test]
fn ht_05_a_bare_line_feed_ends_no_line() {
    for text in [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        assert_eq!(refused(text), Some(Refusal::Broken), "{text:?}");
    }
    assert_eq!(refused("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), None);
}

#[test]
fn ht_05_fields_have_a_token_a_colon_and_a_value_without_controls() {
    for field in [
        "X: a\rb",
        "X: a\0b",
        "X: a\x7fb",
        "X: a\x1bb",
        "X : y",
        "X\t: y",
        " folded: y",
        "\tfolded",
        ": no name",
        "no colon",
        "X(: y",
        "Ü: y",
        "Host: another",
    ] {
        assert_eq!(
            refused(&post(&format!("{field}\r\n"))),
            Some(Refusal::Broken),
            "{field:?}"
        );
    }
    let head = head_of(post("X: \t a\tb ü \t\r\nx:\r\nY:  \r\n").as_bytes(), 1024);
    let head = head.unwrap().unwrap();
    let headers = &head.parts.headers;
    let values: Vec<&[u8]> = headers.get_all("x").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(values, ["a\tb ü".as_bytes(), b""]);
    assert_eq!(headers.get("y").unwrap(), "");
}

#[test]
fn ht_05_a_request_line_has_three_parts_and_its_target_a_form() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET /",
        "GET /a b HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET  HTTP/1.1",
        "GET a HTTP/1.1",
        "GET h:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://h/ HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "G(T / HTTP/1.1",
        " / HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let text = format!("{line}\r\nHost: h\r\n\r\n");
        assert_eq!(refused(&text), Some(Refusal::Broken), "{line:?}");
    }
    for line in [
        "GET / HTTP/1.1",
        "GET //x?y=z HTTP/1.1",
        "get /a%20b HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://h:80/a HTTP/1.1",
        "GET / HTTP/1.0",
    ] {
        assert_eq!(refused(&format!("{line}\r\nHost: h\r\n\r\n")), None, "{line:?}");
    }
    let tunnel = "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n";
    assert_eq!(refused(tunnel), Some(Refusal::Tunnel));
}

#[test]
fn a_request_names_one_host() {
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Some(Refusal::Broken));
    assert_eq!(
        refused("GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n"),
        Some(Refusal::Broken)
    );
    assert_eq!(refused("GET / HTTP/1.0\r\n\r\n"), None);
}

#[test]
fn what_matters_for_the_connection_is_noted() {
    let facts = |version: &str, fields: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
        head_of(text.as_bytes(), 1024).unwrap().unwrap().facts
    };
    assert!(!facts("1.1", "").closes);
    assert!(facts("1.1", "Connection: x, Close\r\n").closes);
    assert!(facts("1.0", "Connection: keep-alive\r\n").closes);
    assert!(facts("1.1", "Expect: 100-Continue\r\n").expects);
    assert!(!facts("1.0", "Expect: 100-continue\r\n").expects);
    assert_eq!(refused(&post("Expect: tea\r\n")), Some(Refusal::Expectation));
    assert!(facts("1.1", "Content-Encoding: gzip\r\n").encoded);
    assert!(!facts("1.1", "Content-Encoding: Identity\r\n").encoded);
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    assert!(facts("1.1", upgrade).upgrades && facts("1.1", upgrade).protocol);
    assert!(!facts("1.0", upgrade).upgrades);
}

#[test]
fn ht_06_a_line_in_parts_is_kept_up_to_the_bound() {
    let mut end = HeadEnd::default();
    assert_eq!(end.find(&[b'x'; 100], 100), Ok(None));
    assert_eq!(end.find(&[b'x'; 101], 100), Err(Refusal::TooLarge));
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(head_of(request, request.len()).unwrap().is_ok());
    assert_eq!(
        head_of(request, request.len() - 1).unwrap().err(),
        Some(Refusal::TooLarge)
    );
}

/// Pieces of heads, good and bad: enough for every rule to meet every other.
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
        "X: y\r\n",
        " z\r\n",
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
        first in "(GET / HTTP/1.1\r\nHost: h\r\n)?",
        fragments in proptest::collection::vec(fragment(), 0..10),
        cuts in proptest::collection::vec(1usize..7, 1..20),
    ) {
        let text = first + &fragments.concat();
        let verdict = |found: Result<Option<usize>, Refusal>| match found {
            Ok(Some(end)) => Some(read(&Bytes::copy_from_slice(&text.as_bytes()[..end]), 5).map_err(drop).map(
                |head| (end, head.length, head.parts.uri.clone(), head.parts.headers.clone()),
            )),
            Ok(None) => None,
            Err(_) => Some(Err(())),
        };
        let whole = HeadEnd::default().find(text.as_bytes(), 100);
        let mut end = HeadEnd::default();
        let mut found = Ok(None);
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            if at >= text.len() || found != Ok(None) {
                break;
            }
            at = (at + cut).min(text.len());
            found = end.find(&text.as_bytes()[..at], 100);
        }
        prop_assert_eq!(verdict(found), verdict(whole));
    }
}

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::http1::chunked::Chunked;

/// Reads a whole answer, as it would be read from a connection that closes after it.
fn read(answer: &[u8], method: &Method) -> Result<(Head, Vec<u8>, usize), &'static str> {
    let mut buffer = BytesMut::from(answer);
    let mut interim = 0;
    let head = loop {
        let end = HeadEnd::default().find(&buffer)?.ok_or("no head")?;
        let head = take_head(&mut buffer, end, method)?;
        match head.status {
            101 => return Err("switched"),
            100..=199 => interim += 1,
            _ => break head,
        }
        if interim > 16 {
            return Err("interim");
        }
    };
    let mut body = Vec::new();
    match head.length {
        Length::UntilClose => body.extend_from_slice(&buffer.split()),
        Length::Known(length) => {
            let length = usize::try_from(length).map_err(|_| "long")?;
            if buffer.len() < length {
                return Err("closed");
            }
            body.extend_from_slice(&buffer.split_to(length));
        }
        Length::Chunked => {
            let mut chunked = Chunked::new();
            while !chunked.is_done() {
                let piece = chunked.take(&mut buffer)?;
                if piece.is_empty() && !chunked.is_done() {
                    return Err("closed");
                }
                body.extend_from_slice(&piece);
            }
        }
    }
    Ok((head, body, buffer.len()))
}

fn get(answer: &str) -> Result<(Head, Vec<u8>, usize), &'static str> {
    read(answer.as_bytes(), &Method::GET)
}

#[test]
fn headers_are_found_in_any_case_and_only_if_there_is_one() {
    let (head, _, _) =
        get("HTTP/1.1 200 OK\r\nContent-TYPE: a/b \r\nX: 1\r\nx: 2\r\nEmpty:\r\nB: \u{e9}\r\n\r\n").unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers.get("content-type"), Some("a/b"));
    assert_eq!(head.headers.get("x"), None);
    assert_eq!(head.headers.all("X").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.headers.get("empty"), Some(""));
    assert_eq!(head.headers.get("b"), Some("é"));
    assert_eq!(head.headers.get("missing"), None);
    assert_eq!(head.headers.iter().count(), 5);
}

#[test]
fn ht_01_ht_02_answers_with_two_readings_are_refused() {
    for fields in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: +2",
        "Content-Length: 0x2",
        "Content-Length: 2, 2",
        "Content-Length: 18446744073709551616",
        "Content-Length:",
        "X: y\n",
        "X : y",
        "X: a\0b",
        "X: a\rb",
        " X: y",
        ": y",
        "no colon",
    ] {
        assert!(
            get(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhi")).is_err(),
            "{fields:?}"
        );
    }
    assert!(get("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").is_err());
    for line in [
        "HTTP/2 200 OK",
        "HTTP/1.1 99 X",
        "HTTP/1.1 600 X",
        "HTTP/1.1 20 X",
        "HTTP/1.1  200 OK",
        "ICY 200 OK",
        "",
    ] {
        assert!(get(&format!("{line}\r\n\r\n")).is_err(), "{line:?}");
    }
}

#[test]
fn ht_14_some_answers_have_no_body_whatever_they_say() {
    for (status, method) in [(200, Method::HEAD), (304, Method::GET), (204, Method::GET)] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nhi");
        let (head, body, stray) = read(answer.as_bytes(), &method).unwrap();
        assert_eq!((body.len(), stray), (0, 2), "{status}");
        // A 204 that tells a length is not to be trusted with another request.
        assert_eq!(head.reusable, status != 204);
    }
    assert!(get("HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
}

#[test]
fn a_connection_is_reused_only_where_the_end_of_the_answer_is_known() {
    for (answer, reusable) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, CLOSE\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
    ] {
        assert_eq!(get(answer).unwrap().0.reusable, reusable, "{answer:?}");
    }
}

#[test]
fn ht_06_heads_at_the_limits_and_past_them() {
    let count = |n: usize| {
        let fields: String = (0..n).map(|i| format!("x{i}: y\r\n")).collect();
        get(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
    };
    assert!(count(MAX_HEADERS).is_ok());
    assert!(count(MAX_HEADERS + 1).is_err());
    let sized = |n: usize| get(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(n)));
    let frame = "HTTP/1.1 200 OK\r\nx: \r\n\r\n".len();
    assert!(sized(MAX_HEAD - 1 - frame).is_ok());
    assert!(sized(MAX_HEAD + 1 - frame).is_err());
    assert!(HeadEnd::default().find(&vec![b'x'; MAX_HEAD]).is_err());
}

#[test]
fn ht_08_chunked_bodies_are_read_strictly_and_within_bounds() {
    let chunked = |body: &str| {
        get(&format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ))
    };
    for (body, text) in [
        ("0\r\n\r\n", ""),
        ("2\r\nhi\r\n0\r\n\r\n", "hi"),
        ("1\r\nh\r\n01;a=b\r\ni\r\n000\r\nTrailer: x\r\n\r\n", "hi"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    ] {
        assert_eq!(chunked(body).unwrap().1, text.as_bytes(), "{body:?}");
    }
    for body in [
        "2\nhi\r\n0\r\n\r\n",
        "2\r\nhi\n0\r\n\r\n",
        "2\r\nhiX\r\n0\r\n\r\n",
        "3\r\nhi\r\n0\r\n\r\n",
        "+2\r\nhi\r\n0\r\n\r\n",
        "0x2\r\nhi\r\n",
        "\r\nhi\r\n",
        "11111111111111111\r\nhi",
        "2;a\rb\r\nhi\r\n0\r\n\r\n",
        "2 x\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi\r\n",
        "2\r\nhi\r\n0\r\nX: y\n\r\n",
    ] {
        assert!(chunked(body).is_err(), "{body:?}");
    }
    assert!(chunked(&format!("2;{}\r\nhi\r\n0\r\n\r\n", "e".repeat(1 << 20))).is_err());
    assert!(
        chunked(&format!(
            "0\r\n{}\r\n",
            "X: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(10_000)
        ))
        .is_err()
    );
}

/// What hyper's client makes of the same bytes.
fn hyper_reads(answer: &[u8], method: &Method) -> Option<(u16, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = http::Request::builder()
            .method(method)
            .uri("/")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answered = tokio::spawn(async move {
            let answer = sender.send_request(request).await.ok()?;
            let status = answer.status().as_u16();
            Some((
                status,
                answer.into_body().collect().await.ok()?.to_bytes().to_vec(),
            ))
        });
        let mut request = vec![0; 1024];
        assert!(theirs.read(&mut request).await.unwrap() > 0);
        // hyper may hang up before it has read everything.
        let _ = theirs.write_all(answer).await;
        drop(theirs);
        answered.await.unwrap()
    })
}

/// Mostly one of the pieces, sometimes anything.
fn piece(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        30 => proptest::sample::select(pieces).prop_map(str::to_owned),
        1 => "[ -~\r\n]{0,4}",
    ]
}

/// Answers that are nearly right: enough of them are, and the others are wrong in every place.
fn answer() -> impl Strategy<Value = String> {
    let line = piece(&[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    ]);
    let field = piece(&[
        "Content-Length: 3\r\n",
        "content-length:  12 \r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Connection: close\r\n",
        "X: y\r\n",
        "X:\r\n",
        "Content-Length: 0\r\n",
        "Connection: upgrade\r\n",
    ]);
    let body = piece(&[
        "abc",
        "3\r\nabc\r\n",
        "1\r\nx\r\n",
        "0\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "2;a=b\r\nhi\r\n",
    ]);
    let fields = proptest::collection::vec(field, 0..3);
    let body = proptest::collection::vec(body, 0..6);
    (line, fields, body)
        .prop_map(|(line, fields, body)| format!("{line}{}\r\n{}", fields.concat(), body.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// We may refuse what hyper takes, never the other way round, and never read it differently.
    #[test]
    fn what_we_read_hyper_reads_alike(answer in answer(), head in any::<bool>()) {
        let method = if head { Method::HEAD } else { Method::GET };
        if let Ok((ours, body, _)) = read(answer.as_bytes(), &method) {
            prop_assert_eq!(hyper_reads(answer.as_bytes(), &method), Some((ours.status, body)));
        }
    }

    #[test]
    fn heads_are_those_of_httparse(names in proptest::collection::vec("[a-zA-Z0-9-]{1,12}", 0..20), value in "[!-~]([ -~]{0,20}[!-~])?") {
        let fields: String = names.iter().map(|name| format!("x-{name}: {value}\r\n")).collect();
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut reference = Response::new(&mut slots);
        prop_assert!(reference.parse(text.as_bytes()).unwrap().is_complete());
        let (head, _, _) = get(&text).unwrap();
        let ours: Vec<_> = head.headers.iter().collect();
        let theirs: Vec<_> = reference.headers.iter().map(|header| (header.name, header.value)).collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn chunks_in_any_split_give_the_body_back(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..6000), 0..5),
        cuts in proptest::collection::vec(1usize..5000, 1..20),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\nstray");
        let (mut chunked, mut buffer, mut body) = (Chunked::new(), BytesMut::new(), Vec::new());
        let mut rest = wire.as_slice();
        for cut in cuts.iter().cycle() {
            loop {
                let piece = chunked.take(&mut buffer).unwrap();
                if piece.is_empty() {
                    break;
                }
                body.extend_from_slice(&piece);
            }
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
        }
        prop_assert!(chunked.is_done());
        prop_assert_eq!(body, chunks.concat());
        prop_assert_eq!(&buffer[..], b"stray");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, &Method::GET);
        let mut with_head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        with_head.extend_from_slice(&bytes);
        let _ = read(&with_head, &Method::GET);
    }
}

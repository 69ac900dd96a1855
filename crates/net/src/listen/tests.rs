//! The listener as a client, or an attacker, meets it: raw sockets.

use std::io::{Read as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::harness::{LIMIT, Server, read_all, read_until, statuses};
use super::*;

#[test]
fn one_connection_serves_requests_one_after_the_other() {
    for threads in [Threads::PerCore, Threads::Shared] {
        in_order(&Server::start(|options| options.threads = threads));
    }
}

fn in_order(server: &Server) {
    let answers = server.statuses(
        b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\
          GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answers, [200, 200, 200]);
    assert_eq!(server.recorder.paths(), ["GET /a", "POST /echo", "GET /b"]);
}

#[test]
fn however_many_requests_come_at_once_all_are_answered_and_so_is_what_comes_after_them() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    // A turn of the connection's task ends after 128 reads and writes, wherever it is then.
    for count in 1..=300 {
        let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(count);
        stream.write_all(requests.as_bytes()).unwrap();
        for _ in 0..count {
            let head = read_until(&mut stream, "\r\n\r\n");
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            stream.read_exact(&mut [0; 2]).unwrap();
        }
    }
}

#[test]
fn what_many_are_answered_with_comes_whole_however_slowly_it_is_read() {
    let server = Server::start(|_| ());
    let expected = |head: &str| [head.as_bytes(), server.recorder.shared()].concat();
    let clients: Vec<_> = ["", "one", "another"]
        .map(|head| {
            let (mut stream, expected) = (server.connect(), expected(head));
            std::thread::spawn(move || {
                let request = format!("GET /shared HTTP/1.1\r\nHost: h\r\nX-Head: {head}\r\n\r\n");
                let last = format!("{request}HEAD /shared HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).unwrap();
                stream.write_all(last.as_bytes()).unwrap();
                for _ in 0..2 {
                    let answer = read_until(&mut stream, "\r\n\r\n");
                    assert!(answer.contains(&format!("content-length: {}\r\n", expected.len())));
                    let mut body = vec![0; expected.len()];
                    for part in body.chunks_mut(100_000) {
                        std::thread::yield_now();
                        stream.read_exact(part).unwrap();
                    }
                    assert!(body == expected);
                }
                let answer = read_all(&mut stream);
                assert!(answer.ends_with("\r\n\r\n"), "a body behind HEAD");
            })
        })
        .into();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn ht_04_requests_with_the_same_head_have_each_their_own_body() {
    let server = Server::start(|_| ());
    let post = |length: usize, body: &str, more: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{more}\r\n{body}")
    };
    let requests = [
        post(3, "one", ""),
        post(3, "two", ""),
        post(5, "three", ""),
        post(5, "GET /", ""),
        post(3, "six", ""),
        post(3, "end", "Connection: close\r\n"),
    ];
    let answers = server.talk(requests.concat().as_bytes());
    let bodies: Vec<&str> = answers
        .split("HTTP/1.1 200 OK")
        .skip(1)
        .map(|answer| answer.split_once("\r\n\r\n").unwrap().1)
        .collect();
    assert_eq!(bodies, ["one", "two", "three", "GET /", "six", "end"]);
    assert_eq!(server.recorder.paths(), ["POST /echo"; 6]);
}

#[test]
fn ht_01_ht_02_ht_05_ambiguous_requests_are_400_and_closed_and_nothing_behind_them_is_read() {
    let server = Server::start(|_| ());
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "X: y\n",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X : y\r\n",
        " folded: y\r\n",
        ": empty name\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        "no colon\r\n",
    ] {
        let request = format!(
            "POST /victim HTTP/1.1\r\nHost: h\r\n{fields}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
        );
        assert_eq!(server.statuses(request.as_bytes()), [400], "{fields:?}");
    }
    let old = "POST /victim HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(server.statuses(old.as_bytes()), [400]);
    for line in [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(server.statuses(line.as_bytes()), [400], "{line:?}");
    }
    assert!(
        server.recorder.paths().is_empty(),
        "{:?}",
        server.recorder.paths()
    );
}

#[test]
fn ht_01_a_bad_request_behind_a_good_one_does_not_harm_it() {
    let server = Server::start(|_| ());
    let both = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\
                 POST /bad HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(server.statuses(both), [200, 400]);
    assert_eq!(server.recorder.paths(), ["POST /echo"]);
}

#[test]
fn ht_03_an_upgrade_is_not_taken_and_what_follows_is_another_request() {
    let server = Server::start(|_| ());
    let answers = server.statuses(
        b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n\
          GET /admin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    assert!(answers == [200, 200] || answers == [200], "{answers:?}");
    assert!(!answers.contains(&101));
}

#[test]
fn ht_04_an_unread_body_is_never_the_next_request() {
    let server = Server::start(|_| ());
    let inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let after = "GET /after HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for length in [inner.len(), 1 << 20, 4 << 20] {
        let body = inner.repeat(length / inner.len());
        let request = format!(
            "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}{after}",
            body.len()
        );
        let mut stream = server.connect();
        let _ = stream.write_all(request.as_bytes());
        let answers = statuses(&read_all(&mut stream));
        // Beyond the bound the connection is closed, and the client may see that before the answer.
        let drained = body.len() <= 1 << 20;
        assert!(
            answers == [401, 200] || (!drained && (answers == [401] || answers.is_empty())),
            "{length}: {answers:?}"
        );
    }
    assert!(!server.recorder.paths().contains(&"GET /smuggled".to_owned()));
}

#[test]
fn ht_04_a_client_that_waits_for_100_continue_gets_its_401_at_once() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    let head = b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).unwrap();
    assert!(read_all(&mut stream).starts_with("HTTP/1.1 401"));
    let mut stream = server.connect();
    let head = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head).unwrap();
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"hi").unwrap();
    assert!(read_all(&mut stream).ends_with("hi"));
}

#[test]
fn ht_06_heads_are_bounded_in_number_and_size() {
    let server = Server::start(|_| ());
    let request = |fields: String| format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
    let count = |n: usize| (0..n).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    assert_eq!(server.statuses(request(count(98)).as_bytes()), [200]);
    assert_eq!(server.statuses(request(count(99)).as_bytes()), [431]);
    let sized = |n: usize| request(format!("X: {}\r\n", "y".repeat(n)));
    let frame = sized(0).len();
    assert_eq!(server.statuses(sized(32 * 1024 - frame).as_bytes()), [200]);
    for size in [32 * 1024 - frame + 1, 64 * 1024, 1 << 20] {
        let answers = server.statuses(sized(size).as_bytes());
        // A client that is still writing may miss the answer.
        assert!(
            matches!(answers.as_slice(), [400 | 431] | []),
            "{size}: {answers:?}"
        );
    }
    assert_eq!(server.recorder.paths().len(), 2);
}

#[test]
fn ht_08_broken_chunks_end_the_request() {
    let server = Server::start(|_| ());
    let request = |body: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        )
    };
    assert_eq!(
        server.statuses(request("2\r\nhi\r\n0\r\nX: y\r\n\r\n").as_bytes()),
        [200]
    );
    let extension = format!("2;{}\r\nhi\r\n0\r\n\r\n", "e".repeat(1 << 20));
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let overflow = "fffffffffffffffff\r\nhi".to_owned();
    for body in [
        extension,
        trailers,
        overflow,
        "2\nhi\r\n0\r\n\r\n".into(),
        "2\r\nhello\r\n0\r\n\r\n".into(),
    ] {
        let answers = server.statuses(request(&body).as_bytes());
        assert!(
            matches!(answers.as_slice(), [400 | 413] | []),
            "{:.20}: {answers:?}",
            body
        );
    }
}

#[test]
fn ht_09_bodies_at_the_limit_and_past_it() {
    let server = Server::start(|_| ());
    let sized = |n: usize| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {n}\r\n\r\n{}",
            "x".repeat(n)
        )
    };
    let chunked = |n: usize| {
        let chunk = format!("{n:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(n));
        format!(
            "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
        )
    };
    for request in [sized(LIMIT), chunked(LIMIT)] {
        assert_eq!(server.statuses(request.as_bytes()), [200]);
    }
    for request in [sized(LIMIT + 1), chunked(LIMIT + 1)] {
        assert_eq!(server.statuses(request.as_bytes()), [413]);
    }
    let coded = b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(server.statuses(coded), [415]);
}

#[test]
fn ht_10_connect_opens_no_tunnel() {
    let server = Server::start(|_| ());
    let answers = server.talk(
        b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    // Whatever the service answers, no byte goes anywhere.
    assert!(!answers.contains("101"), "{answers}");
}

#[test]
fn ht_13_connections_beyond_the_limits_are_closed_and_others_go_on() {
    let server = Server::start(|options| options.max_per_peer = 3);
    let mut held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut held {
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        read_until(stream, "ok");
    }
    assert_eq!(read_all(&mut server.connect()), "");
    assert_eq!(server.handle.as_ref().unwrap().connections(), 3);
    held[0]
        .write_all(b"GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(read_all(&mut held[0]).starts_with("HTTP/1.1 200"));
    while server.handle.as_ref().unwrap().connections() == 3 {
        std::thread::yield_now();
    }
    assert_eq!(
        server.statuses(b"GET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
        [200]
    );
}

#[test]
fn a_panic_in_one_request_harms_no_other() {
    let server = Server::start(|options| options.workers = 1);
    let mut other = server.connect();
    other.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    read_until(&mut other, "ok");
    assert_eq!(server.talk(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n"), "");
    other
        .write_all(b"GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(read_all(&mut other).ends_with("ok"));
}

#[test]
fn a_client_that_leaves_cancels_its_request() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    while server.recorder.paths().is_empty() {
        std::thread::yield_now();
    }
    drop(stream);
    while server.recorder.dropped.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_drain_closes_idle_connections_and_cuts_off_what_does_not_end() {
    let mut server = Server::start(|options| options.shutdown_timeout = Duration::from_millis(50));
    let mut idle = server.connect();
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    read_until(&mut idle, "ok");
    let mut silent = server.connect();
    let mut running = server.connect();
    running
        .write_all(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    while server.recorder.paths().len() < 2 || server.handle.as_ref().unwrap().connections() < 3 {
        std::thread::yield_now();
    }
    server.handle.take().unwrap().stop();
    for stream in [&mut idle, &mut silent, &mut running] {
        assert_eq!(read_all(stream), "");
    }
    assert_eq!(server.recorder.dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn an_address_in_use_is_named() {
    let server = Server::start(|_| ());
    let error = Listener::bind(ListenOptions::new(server.addr)).err().unwrap();
    assert!(error.to_string().contains(&server.addr.to_string()), "{error}");
}

#[tokio::test]
async fn a_connection_has_little_room_of_its_own() {
    let (_client, stream) = tokio::io::duplex(64);
    let peer = "192.0.2.1:1".parse().unwrap();
    let shared = Arc::new(super::connection::Shared {
        service: Arc::new(super::harness::Recorder::default()),
        worker: Worker::new(0),
        options: Arc::new(ListenOptions::new(peer)),
        draining: Arc::default(),
        neighbours: Arc::default(),
    });
    let arrived = Arrived {
        stream,
        peer,
        ahead: None,
    };
    let connection = super::connection::serve(shared, arrived);
    let size = std::mem::size_of_val(&connection);
    assert!(size <= 1536, "{size} bytes for each of ten thousand streams");
}

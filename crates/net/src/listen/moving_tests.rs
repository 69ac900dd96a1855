//! Connections that move between two workers, as their clients see it: not at all, but for who answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::harness::{Server, read_all, read_until, statuses};
use super::moving::{AFTER, AGAIN_AFTER};
use super::*;

fn request(path: &str, drawn: &str) -> String {
    format!("GET {path}?{drawn} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// The number of the worker that answers a request that is drawn to another, or to none.
fn ask(stream: &mut TcpStream, drawn: &str) -> usize {
    stream.write_all(request("/", drawn).as_bytes()).unwrap();
    answered(stream)
}

fn answered(stream: &mut TcpStream) -> usize {
    read_until(stream, "\r\n\r\nat ");
    let mut number = [0];
    stream.read_exact(&mut number).unwrap();
    usize::from(number[0] - b'0')
}

/// A connection to each worker, whose places are known from then on.
fn pair(server: &Server) -> [TcpStream; 2] {
    let mut pair = [server.connect(), server.connect()];
    assert_eq!(pair.each_mut().map(|stream| ask(stream, "-")), [0, 1]);
    pair
}

fn moved(stream: &mut TcpStream, from: usize, to: usize) {
    for _ in 0..AFTER {
        assert_eq!(ask(stream, &to.to_string()), from);
    }
}

#[test]
fn a_connection_moves_after_so_many_requests_in_a_row_and_not_one_before() {
    let server = Server::start(|_| ());
    let [mut one, mut two] = pair(&server);
    moved(&mut one, 0, 1);
    assert_eq!(ask(&mut one, "-"), 1);
    for _ in 1..AFTER {
        assert_eq!(ask(&mut two, "0"), 1);
    }
    assert_eq!(ask(&mut two, "-"), 1, "from here on it counts anew");
    moved(&mut two, 1, 0);
    assert_eq!(ask(&mut two, "-"), 0);
    for _ in 0..AGAIN_AFTER {
        assert_eq!(ask(&mut one, "0"), 1, "it has only just come");
    }
    assert_eq!(ask(&mut one, "-"), 0);
}

#[test]
fn where_all_work_is_shared_nobody_moves() {
    let server = Server::start(|options| options.threads = Threads::Shared);
    let mut stream = server.connect();
    assert_eq!(ask(&mut stream, "-"), 0);
    for _ in 0..=AFTER {
        assert_eq!(ask(&mut stream, "0"), 0);
    }
}

#[test]
fn what_was_sent_ahead_is_read_where_the_connection_goes() {
    let server = Server::start(|_| ());
    let [mut one, _two] = pair(&server);
    let (before, after) = (AFTER as usize, 100);
    let paths: Vec<String> = (0..before + after).map(|number| format!("/{number}")).collect();
    let requests: String = paths.iter().map(|path| request(path, "1")).collect();
    // The last one comes in two halves.
    let (now, later) = requests.split_at(requests.len() - 7);
    one.write_all(now.as_bytes()).unwrap();
    for _ in 0..before {
        assert_eq!(answered(&mut one), 0);
    }
    for _ in 1..after {
        assert_eq!(answered(&mut one), 1);
    }
    one.write_all(later.as_bytes()).unwrap();
    assert_eq!(answered(&mut one), 1);
    let expected = paths.iter().map(|path| format!("GET {path}"));
    assert!(server.recorder.paths().into_iter().skip(2).eq(expected));
}

#[test]
fn ht_04_a_body_that_nobody_reads_does_not_move_along() {
    let server = Server::start(|_| ());
    let inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    for length in [100_000, 4 << 20] {
        let [mut one, _two] = pair(&server);
        for _ in 1..AFTER {
            assert_eq!(ask(&mut one, "1"), 0);
        }
        let body = inner.repeat(length / inner.len());
        let (now, later) = body.split_at(body.len() / 2);
        let head = format!(
            "POST /?1 HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        one.write_all(head.as_bytes()).unwrap();
        // The server may close while we still write.
        let _ = one.write_all(now.as_bytes());
        let _ = one.write_all(later.as_bytes());
        if length == 100_000 {
            assert_eq!(answered(&mut one), 0, "drained where it came");
            assert_eq!(ask(&mut one, "-"), 1);
        } else {
            let _ = one.write_all(request("/after", "-").as_bytes());
            let answers = statuses(&read_all(&mut one));
            assert!(answers == [200] || answers.is_empty(), "{answers:?}");
        }
    }
    let paths = server.recorder.paths();
    assert!(!paths.contains(&"GET /smuggled".to_owned()) && !paths.contains(&"GET /after".to_owned()));
}

#[test]
fn ht_13_a_connection_that_moves_keeps_its_place_and_gives_it_back() {
    let server = Server::start(|options| options.max_per_peer = 2);
    let connections = || server.handle.as_ref().unwrap().connections();
    for end in ["GET /panic HTTP/1.1\r\nHost: h\r\n\r\n", ""] {
        let [mut one, two] = pair(&server);
        moved(&mut one, 0, 1);
        assert_eq!(ask(&mut one, "-"), 1);
        assert_eq!(connections(), 2);
        assert_eq!(read_all(&mut server.connect()), "", "a third");
        one.write_all(end.as_bytes()).unwrap();
        one.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut one), "");
        while connections() == 2 {
            std::thread::yield_now();
        }
        drop(two);
        while connections() > 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_drain_ends_what_has_moved() {
    let mut server = Server::start(|_| ());
    let [mut one, mut two] = pair(&server);
    moved(&mut one, 0, 1);
    assert_eq!(ask(&mut one, "-"), 1);
    // This one is told to move only when the drain has begun, or has just gone.
    moved(&mut two, 1, 0);
    let began = Instant::now();
    server.handle.take().unwrap().stop();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(read_all(&mut one), "");
    assert_eq!(read_all(&mut two), "");
}

#[test]
fn a_drain_among_moves_ends_in_time_and_cuts_no_answer() {
    for _ in 0..10 {
        let mut server = Server::start(|_| ());
        let _pair = pair(&server);
        let (addr, answers, over) = (server.addr, AtomicUsize::new(0), AtomicBool::new(false));
        // Each answer is whole, or there is none.
        let client = || {
            while !over.load(Ordering::Acquire) {
                #[expect(clippy::disallowed_methods, reason = "the test is the client")]
                let Ok(mut stream) = TcpStream::connect(addr) else {
                    return;
                };
                let drawn = ["0", "1"].into_iter().cycle();
                for drawn in drawn.flat_map(|drawn| [drawn; AFTER as usize + 1]).take(100) {
                    let _ = stream.write_all(request("/", drawn).as_bytes());
                    let mut answer = [0; 1024];
                    let length = stream.read(&mut answer).unwrap_or_default();
                    if length == 0 {
                        return;
                    }
                    assert!(answer[..length].ends_with(b"at 0") || answer[..length].ends_with(b"at 1"));
                    answers.fetch_add(1, Ordering::AcqRel);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(client);
            }
            while answers.load(Ordering::Acquire) < 2000 {
                std::thread::yield_now();
            }
            let began = Instant::now();
            server.handle.take().unwrap().stop();
            over.store(true, Ordering::Release);
            assert!(began.elapsed() < Duration::from_secs(10));
        });
    }
}

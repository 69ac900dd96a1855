//! Slow clients (HT-07), in paused time: hours pass at once.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::connection::{Shared, serve};
use super::harness::{Recorder, statuses};
use super::*;

struct Client {
    stream: DuplexStream,
    recorder: Arc<Recorder>,
    started: Instant,
}

fn connect(room: usize) -> Client {
    arrive(room, None)
}

fn arrive(room: usize, ahead: Option<BytesMut>) -> Client {
    let (stream, theirs) = duplex(room);
    let recorder = Arc::new(Recorder::default());
    let peer = "192.0.2.1:1".parse().unwrap();
    let shared = Arc::new(Shared {
        service: Arc::clone(&recorder),
        worker: Worker::new(0),
        options: Arc::new(ListenOptions::new(peer)),
        draining: Arc::default(),
        neighbours: Arc::default(),
    });
    let arrived = Arrived {
        stream: theirs,
        peer,
        ahead,
    };
    tokio::spawn(serve(shared, arrived));
    Client {
        stream,
        recorder,
        started: Instant::now(),
    }
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn read_answer(&mut self, end: &str) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            answer.push(self.stream.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    }

    /// Reads until the server closes, and tells after how many seconds.
    async fn closed(&mut self) -> (String, u64) {
        let mut answer = Vec::new();
        // A cut connection is an end as well.
        let _ = self.stream.read_to_end(&mut answer).await;
        (
            String::from_utf8_lossy(&answer).into_owned(),
            self.started.elapsed().as_secs(),
        )
    }
}

#[tokio::test(start_paused = true)]
async fn ht_07_a_client_that_says_nothing_is_closed_at_the_header_deadline() {
    let mut client = connect(1024);
    assert_eq!(client.closed().await, (String::new(), 10));
}

#[tokio::test(start_paused = true)]
async fn ht_07_a_head_in_drops_is_closed_at_the_header_deadline() {
    let mut client = connect(1024);
    sleep(Duration::from_secs(3)).await;
    for byte in "GET / HTTP/1.1\r\nHost: h\r\n\r\n".chars() {
        if client
            .stream
            .write_all(byte.to_string().as_bytes())
            .await
            .is_err()
        {
            break;
        }
        sleep(Duration::from_secs(5)).await;
    }
    let (answer, _) = client.closed().await;
    assert_eq!(statuses(&answer), [0u16; 0]);
    assert!(client.recorder.paths().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ht_07_an_idle_connection_is_kept_for_a_while_and_then_closed() {
    let mut client = connect(1024);
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.read_answer("ok").await;
        sleep(Duration::from_secs(70)).await;
    }
    client.started = Instant::now();
    assert_eq!(client.closed().await, (String::new(), 5));
}

#[tokio::test(start_paused = true)]
async fn ht_07_the_second_request_has_the_header_deadline_from_its_first_byte() {
    let mut client = connect(1024);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.read_answer("ok").await;
    sleep(Duration::from_secs(60)).await;
    client.started = Instant::now();
    client.send("G").await;
    assert_eq!(client.closed().await.1, 10);
}

#[tokio::test(start_paused = true)]
async fn ht_07_a_silent_body_is_given_up() {
    let mut client = connect(1024);
    client
        .send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx")
        .await;
    let (answer, seconds) = client.closed().await;
    assert!(matches!(statuses(&answer).as_slice(), [400] | []), "{answer}");
    assert_eq!(seconds, 10);
}

#[tokio::test(start_paused = true)]
async fn ht_07_a_body_below_the_rate_is_given_up_and_one_above_it_is_not() {
    for (piece, accepted) in [(1, false), (64, true)] {
        let mut client = connect(1024);
        client
            .send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 960\r\n\r\n")
            .await;
        for _ in 0..15 {
            if client
                .stream
                .write_all("x".repeat(piece).as_bytes())
                .await
                .is_err()
            {
                break;
            }
            sleep(Duration::from_millis(if accepted { 600 } else { 6000 })).await;
        }
        if accepted {
            assert!(client.read_answer("xxx").await.starts_with("HTTP/1.1 200"));
        } else {
            let (answer, seconds) = client.closed().await;
            assert!(matches!(statuses(&answer).as_slice(), [400] | []), "{answer}");
            assert!(seconds <= 90, "{seconds}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ht_07_a_reader_that_takes_nothing_is_cut_off() {
    let mut client = connect(1024);
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n").await;
    sleep(Duration::from_secs(31)).await;
    let (answer, _) = client.closed().await;
    assert!(answer.len() < 64 * 1024, "{}", answer.len());
}

#[tokio::test(start_paused = true)]
async fn ht_07_a_slow_reader_that_takes_something_is_served() {
    let mut client = connect(64 * 1024);
    client
        .send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let mut taken = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = client.stream.read(&mut buffer).await.unwrap();
        if n == 0 {
            break;
        }
        taken += n;
        sleep(Duration::from_secs(20)).await;
    }
    assert!(taken > 8 << 20, "{taken}");
}

#[tokio::test(start_paused = true)]
async fn a_running_request_is_not_idle_however_long_it_takes() {
    let mut client = connect(1024);
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
    sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(
        client.recorder.dropped.load(std::sync::atomic::Ordering::SeqCst),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_from_its_last_answer_on_even_if_the_first_request_came_at_once() {
    let mut client = connect(1024);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.read_answer("ok").await;
    assert_eq!(client.closed().await, (String::new(), 75));
}

#[tokio::test(start_paused = true)]
async fn ht_07_a_connection_that_has_moved_is_idle_and_not_new() {
    let mut client = arrive(1024, Some(BytesMut::new()));
    assert_eq!(client.closed().await, (String::new(), 75));
    let mut client = arrive(1024, Some("GET /a HTTP/1.1\r\n".into()));
    assert_eq!(client.closed().await.1, 10, "a request has begun");
    let mut client = arrive(1024, Some("GET /a HTTP/1.1\r\n".into()));
    client.send("Host: h\r\n\r\n").await;
    assert!(client.read_answer("ok").await.starts_with("HTTP/1.1 200"));
    assert_eq!(client.recorder.paths(), ["GET /a"]);
}

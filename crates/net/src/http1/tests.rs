//! The client against servers that do as they are told: raw sockets, good and bad manners.

use std::sync::Arc;

use bytes::BytesMut;
use http::Method;
use sallyport_core::fault::{Fault, Retry};
use tokio::net::TcpListener;
use url::Url;

use super::mock::Server;
use super::mock::Step::{self, Read, ReadHead, UntilClosed, Wait, Write};
use super::*;
use crate::egress::{Egress, EgressPolicy, Resolve, Resolving};
use crate::{Reach, Target, Worker};

fn post() -> RequestHead {
    let mut head = RequestHead::new(Method::POST);
    head.put("accept", "*/*").unwrap();
    head
}

fn quick() -> Timeouts {
    let short = Duration::from_millis(60);
    Timeouts {
        connect: Duration::from_secs(5),
        first_byte: short,
        idle: short,
    }
}

async fn call(worker: &Worker, target: &Arc<Target>) -> Result<(u16, String), Fault> {
    let answer = send(worker, target, &post(), &[b"{", b"}"], Timeouts::default()).await?;
    let body = answer.body.whole(1 << 20).await?;
    Ok((answer.status, String::from_utf8(body.to_vec()).unwrap()))
}

/// A resolver that never answers.
struct Mute;

impl Resolve for Mute {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

const OK: Step = Write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = Server::start(vec![vec![
        Read,
        OK,
        Read,
        Write("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
        Read,
        Write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        Read,
        OK,
    ]])
    .await;
    let (worker, target) = (Worker::new(0), server.target());
    for expected in [(200, "hi"), (202, ""), (200, "hi"), (200, "hi")] {
        let (status, body) = call(&worker, &target).await.unwrap();
        assert_eq!((status, body.as_str()), expected);
    }
    assert_eq!(server.accepted(), 1);
    assert_eq!(worker.pool().idle(), 1);
    let port = server.url.port().unwrap();
    assert_eq!(
        server.requests()[0],
        format!(
            "POST /mcp?x=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: */*\r\ncontent-length: 2\r\n\r\n{{}}"
        )
    );
}

#[tokio::test]
async fn a_head_that_comes_again_means_what_it_meant_and_another_what_it_says() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let server = Server::start(vec![vec![
        Read,
        OK,
        Read,
        Write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho"),
        // In two pieces.
        Read,
        Write("HTTP/1.1 200 OK\r\nContent-Le"),
        Write("ngth: 2\r\n\r\nhu"),
        // It begins like the last, and goes on.
        Read,
        Write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nhe"),
        // After an interim answer.
        Read,
        Write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nha"),
        // The same length, other digits.
        Read,
        Write("HTTP/1.1 404 No\r\nContent-Length: 3\r\nX: y\r\n\r\nhow"),
    ]])
    .await;
    let (worker, target) = (Worker::new(0), server.target());
    for expected in ["hi", "ho", "hu", "he", "ha"] {
        assert_eq!(call(&worker, &target).await.unwrap(), (200, expected.to_owned()));
    }
    assert_eq!(call(&worker, &target).await.unwrap(), (404, "how".to_owned()));
    assert_eq!(server.accepted(), 1);
    let post = &Method::POST;
    let mut buffer = BytesMut::from(head);
    let first = parse::take_head(&mut buffer, head.len(), post).unwrap();
    let mut familiar = parse::Familiar::default();
    familiar.remember(&first, &Method::HEAD);
    assert!(
        familiar.take(&mut BytesMut::from(head), post).is_none(),
        "HEAD has no body"
    );
    familiar.remember(&first, post);
    assert!(familiar.take(&mut BytesMut::from(head), &Method::HEAD).is_none());
    assert!(
        familiar
            .take(&mut BytesMut::from(&head[..head.len() - 1]), post)
            .is_none()
    );
    let mut more = BytesMut::from(head);
    more.extend_from_slice(b"{}");
    assert_eq!(
        familiar.take(&mut more, post).map(|head| head.length),
        Some(first.length)
    );
    assert_eq!(more, "{}", "the body is left");
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(parse::REMEMBERED));
    let (past, at) = (long.len() - parse::REMEMBERED, long.as_str());
    for (text, known) in [
        (at.to_owned(), false),
        (at.replace(&"y".repeat(past + 1), "z"), true),
    ] {
        let mut buffer = BytesMut::from(text.as_str());
        let head = parse::take_head(&mut buffer, text.len(), post).unwrap();
        familiar.remember(&head, post);
        assert_eq!(
            familiar.take(&mut BytesMut::from(text.as_str()), post).is_some(),
            known,
            "{}",
            text.len()
        );
    }
}

#[tokio::test]
async fn a_large_request_arrives_whole() {
    let server = Server::start(vec![vec![Read, OK]]).await;
    let large = "x".repeat(3 << 20);
    let pieces: [&[u8]; 3] = [b"<", large.as_bytes(), b">"];
    let answer = send(
        &Worker::new(0),
        &server.target(),
        &post(),
        &pieces,
        Timeouts::default(),
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 200);
    assert!(server.requests()[0].ends_with(&format!("\r\n\r\n<{large}>")));
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    let server = Server::start(vec![vec![Read, Write("HTTP/1.1 200 OK\r\n\r\nhi")]]).await;
    let (worker, target) = (Worker::new(0), server.target());
    for _ in 0..2 {
        assert_eq!(call(&worker, &target).await.unwrap(), (200, "hi".into()));
    }
    assert_eq!((server.accepted(), worker.pool().idle()), (2, 0));
}

#[tokio::test]
async fn interim_answers_are_skipped_up_to_a_bound() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let server = Server::start(vec![vec![Read, Write(early), OK]]).await;
    assert_eq!(
        call(&Worker::new(0), &server.target()).await.unwrap(),
        (200, "hi".into())
    );
    let flood = vec![Write("HTTP/1.1 100 Continue\r\n\r\n"); 20];
    let server = Server::start(vec![[vec![Read], flood, vec![OK]].concat()]).await;
    assert!(call(&Worker::new(0), &server.target()).await.is_err());
}

#[tokio::test]
async fn ht_01_ht_02_ht_14_ambiguous_answers_are_faults_and_their_connections_are_closed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        "nonsense\r\n\r\n",
    ] {
        let server = Server::start(vec![vec![Read, Write(answer), UntilClosed]]).await;
        let worker = Worker::new(0);
        let fault = call(&worker, &server.target()).await.unwrap_err();
        assert_eq!(fault.retry, Retry::Never, "{answer:?}");
        assert!(
            matches!(Trouble::of(&fault), Some(Trouble::Framing(_))),
            "{fault}"
        );
        server.closed.notified().await;
        assert_eq!((worker.pool().idle(), server.requests().len()), (0, 1));
    }
}

#[tokio::test]
async fn ht_14_bytes_that_belong_to_no_answer_end_the_connection() {
    for (answer, status) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            200,
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            204,
        ),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", 304),
    ] {
        let server = Server::start(vec![vec![Read, Write(answer), UntilClosed], vec![Read, OK]]).await;
        let (worker, target) = (Worker::new(0), server.target());
        assert_eq!(call(&worker, &target).await.unwrap().0, status);
        assert_eq!(call(&worker, &target).await.unwrap(), (200, "hi".into()));
        assert_eq!(server.accepted(), 2);
    }
}

#[tokio::test]
async fn ht_14_a_body_shorter_than_its_length_is_a_fault() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\nConte",
        "",
    ] {
        let server = Server::start(vec![vec![Read, Write(answer)]]).await;
        let fault = call(&Worker::new(0), &server.target()).await.unwrap_err();
        assert!(
            matches!(Trouble::of(&fault), Some(Trouble::Closed)),
            "{answer:?}: {fault}"
        );
        assert_eq!(
            (fault.retry, server.requests().len()),
            (Retry::Never, 1),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_found_before_it_is_used() {
    let server = Server::start(vec![vec![Read, OK], vec![Read, OK]]).await;
    let (worker, target) = (Worker::new(0), server.target());
    for _ in 0..20 {
        assert_eq!(call(&worker, &target).await.unwrap(), (200, "hi".into()));
        // The end of the connection is in the kernel's hands: the reactor gets to see it.
        while let Some(mut idle) = worker.pool().take(target.id()) {
            if !std::future::poll_fn(|cx| std::task::Poll::Ready(idle.is_quiet(cx))).await {
                break;
            }
            worker.pool().put(target.id(), idle, IDLE);
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(server.accepted(), 20);
}

#[tokio::test]
async fn stray_bytes_on_an_idle_connection_are_not_taken_for_an_answer() {
    let evil = Write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    let server = Server::start(vec![vec![Read, OK, Wait, evil, Read], vec![Read, OK]]).await;
    let (worker, target) = (Worker::new(0), server.target());
    assert_eq!(call(&worker, &target).await.unwrap(), (200, "hi".into()));
    server.go.notify_one();
    loop {
        let mut idle = worker.pool().take(target.id()).unwrap();
        let quiet = std::future::poll_fn(|cx| std::task::Poll::Ready(idle.is_quiet(cx))).await;
        if !quiet {
            break;
        }
        worker.pool().put(target.id(), idle, IDLE);
        tokio::task::yield_now().await;
    }
    assert_eq!(call(&worker, &target).await.unwrap(), (200, "hi".into()));
}

#[tokio::test]
async fn rl_08_a_request_that_was_written_is_never_sent_again() {
    // The second request meets a server that reads it and hangs up: it may have had its effect.
    let server = Server::start(vec![vec![Read, OK, Read], vec![Read, OK]]).await;
    let (worker, target) = (Worker::new(0), server.target());
    call(&worker, &target).await.unwrap();
    let fault = call(&worker, &target).await.unwrap_err();
    assert_eq!(fault.retry, Retry::Never);
    assert_eq!((server.requests().len(), server.accepted()), (2, 1));
}

#[tokio::test]
async fn a_server_that_is_not_there_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let target = Egress::new(EgressPolicy::default())
        .target(&url, Reach::Operator)
        .unwrap();
    let fault = call(&Worker::new(0), &target).await.unwrap_err();
    assert_eq!(fault.retry, Retry::Safe);
    assert!(matches!(Trouble::of(&fault), Some(Trouble::Egress(_))), "{fault}");
}

#[tokio::test]
async fn every_stage_has_its_time() {
    let server = Server::start(vec![vec![Read, Wait]]).await;
    let fault = send(&Worker::new(0), &server.target(), &post(), &[], quick())
        .await
        .err()
        .unwrap();
    assert!(Trouble::of(&fault).is_some_and(Trouble::is_timeout), "{fault}");
    assert_eq!(fault.retry, Retry::Never);

    let server = Server::start(vec![vec![
        Read,
        Write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"),
        Wait,
    ]])
    .await;
    let mut answer = send(&Worker::new(0), &server.target(), &post(), &[], quick())
        .await
        .unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "hi");
    let fault = answer.body.next().await.unwrap().unwrap_err();
    assert!(Trouble::of(&fault).is_some_and(Trouble::is_timeout), "{fault}");
    assert!(answer.body.next().await.is_none());

    // Nobody reads: the request is stuck half way.
    let server = Server::start(vec![vec![Wait]]).await;
    let large = vec![0; 32 << 20];
    let fault = send(&Worker::new(0), &server.target(), &post(), &[&large], quick())
        .await
        .err()
        .unwrap();
    assert!(Trouble::of(&fault).is_some_and(Trouble::is_timeout), "{fault}");

    let target = Egress::with_resolver(EgressPolicy::default(), Arc::new(Mute));
    let target = target
        .target(&Url::parse("http://mute.test/").unwrap(), Reach::Operator)
        .unwrap();
    let soon = Timeouts {
        connect: Duration::from_millis(20),
        ..quick()
    };
    let fault = send(&Worker::new(0), &target, &post(), &[], soon)
        .await
        .err()
        .unwrap();
    assert!(Trouble::of(&fault).is_some_and(Trouble::is_timeout), "{fault}");
    assert_eq!(fault.retry, Retry::Safe);
}

#[tokio::test]
async fn an_answer_before_the_request_is_written_counts() {
    let refuse = Write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    let server = Server::start(vec![vec![ReadHead, refuse, Wait]]).await;
    let worker = Worker::new(0);
    let large = vec![b'x'; 32 << 20];
    let answer = send(&worker, &server.target(), &post(), &[&large], Timeouts::default())
        .await
        .unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body.whole(10).await.unwrap(), "no");
    assert_eq!(worker.pool().idle(), 0);
}

#[tokio::test]
async fn ht_09_answers_at_the_limit_and_past_it() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n4\r\n3456\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n123456",
    ] {
        let server = Server::start(vec![vec![Read, Write(answer)]]).await;
        let (worker, target) = (Worker::new(0), server.target());
        for (limit, fits) in [(6, true), (5, false)] {
            let answer = send(&worker, &target, &post(), &[], Timeouts::default())
                .await
                .unwrap();
            match answer.body.whole(limit).await {
                Ok(body) => assert!(fits && body == "123456"),
                Err(fault) => assert!(
                    !fits && matches!(Trouble::of(&fault), Some(Trouble::TooLarge(5))),
                    "{fault}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn who_stops_listening_closes_the_connection() {
    let head = Write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    let server = Server::start(vec![vec![Read, head, UntilClosed]]).await;
    let worker = Worker::new(0);
    let mut answer = send(&worker, &server.target(), &post(), &[], Timeouts::default())
        .await
        .unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "hi");
    drop(answer);
    server.closed.notified().await;

    let server = Server::start(vec![vec![Read, UntilClosed]]).await;
    let target = server.target();
    let (head, timeouts) = (post(), Timeouts::default());
    tokio::select! {
        _ = send(&worker, &target, &head, &[], timeouts) => panic!("there is no answer"),
        () = async { while server.requests().is_empty() { tokio::task::yield_now().await } } => {}
    }
    server.closed.notified().await;
    assert_eq!(worker.pool().idle(), 0);
}

#[tokio::test]
async fn a_stream_is_passed_on_as_it_is_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let burst = "3\r\none\r\n3\r\ntwo\r\n5\r\nth";
    let server = Server::start(vec![vec![
        Read,
        Write(head),
        Wait,
        Write(burst),
        Wait,
        Write("ree\r\n0\r\n\r\n"),
        Wait,
    ]])
    .await;
    let worker = Worker::new(0);
    let mut answer = send(&worker, &server.target(), &post(), &[], Timeouts::default())
        .await
        .unwrap();
    assert_eq!(answer.headers.get("content-type"), Some("text/event-stream"));
    server.go.notify_one();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "onetwoth");
    server.go.notify_one();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "ree");
    assert!(answer.body.next().await.is_none());
    assert_eq!(worker.pool().idle(), 1);
}

#[tokio::test]
async fn a_server_that_keeps_connections_for_a_second_only_is_believed() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=9, timeout=1\r\n\r\n";
    let server = Server::start(vec![vec![Read, Write(answer), Read]]).await;
    let worker = Worker::new(0);
    call(&worker, &server.target()).await.unwrap();
    assert_eq!(worker.pool().idle(), 0);
}

#[tokio::test]
async fn idle_connections_belong_to_their_target_and_are_closed_in_time() {
    let server = Server::start(vec![vec![Read, OK, UntilClosed]]).await;
    let worker = Worker::new(0);
    let (one, other) = (server.target(), server.target());
    call(&worker, &one).await.unwrap();
    assert!(worker.pool().take(other.id()).is_none());
    call(&worker, &other).await.unwrap();
    assert_eq!((worker.pool().idle(), server.accepted()), (2, 2));
    tokio::time::pause();
    tokio::time::advance(IDLE * 2).await;
    while worker.pool().idle() > 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    server.closed.notified().await;
}

#[test]
fn futures_can_move_between_threads() {
    fn check(_: impl Send) {}
    let server_url = Url::parse("http://127.0.0.1:1/").unwrap();
    let target = Egress::new(EgressPolicy::default())
        .target(&server_url, Reach::Operator)
        .unwrap();
    let (worker, head) = (Worker::new(0), post());
    check(send(&worker, &target, &head, &[], Timeouts::default()));
}

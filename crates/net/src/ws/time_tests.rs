//! Peers that are silent, slow or gone, in paused time.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Options;
use super::peer::*;

#[tokio::test(start_paused = true)]
async fn wt_05_a_silent_peer_is_asked_and_closed_after_sixty_seconds() {
    let began = Instant::now();
    let (mut server, mut client) = pair(Role::Server, Options::default(), 1 << 16).await;
    let user = tokio::spawn(async move { server.incoming.next().await.unwrap().unwrap_err().to_string() });
    for nth in 1..=2 {
        assert_eq!(read(&mut client).await, Some((PING, Vec::new())));
        assert_eq!(began.elapsed(), Duration::from_secs(25 * nth));
    }
    assert_eq!(closed(&mut client).await, Some(1008));
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    let told = user.await.unwrap();
    assert!(told.contains("nothing was heard for 60 s"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn wt_05_a_peer_that_is_stopped_is_given_up_even_if_it_takes_no_last_word() {
    let began = Instant::now();
    // Room for nothing: not even the pings go out.
    let (mut server, _client) = pair(Role::Server, Options::default(), 1).await;
    assert!(server.incoming.next().await.unwrap().is_err());
    let took = began.elapsed();
    assert!((60..=62).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn any_sign_of_life_keeps_it_open() {
    let (mut server, mut client) = pair(Role::Server, Options::default(), 1 << 16).await;
    let user = tokio::spawn(async move { server.incoming.next().await.unwrap().unwrap() });
    // A message of which one byte comes every 59 s.
    for byte in masked(TEXT, b"{\"slow\":1}") {
        sleep(Duration::from_secs(59)).await;
        client.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(user.await.unwrap(), "{\"slow\":1}");
}

#[tokio::test(start_paused = true)]
async fn wt_05_answered_pings_keep_it_open_for_hours() {
    let (mut server, mut client) = pair(Role::Server, Options::default(), 1 << 16).await;
    let mut user = tokio::spawn(async move { server.incoming.next().await });
    for _ in 0..1000 {
        let (first, payload) = read(&mut client).await.unwrap();
        assert_eq!(first, PING);
        client.write_all(&masked(PONG, &payload)).await.unwrap();
    }
    assert!(
        timeout(Duration::from_secs(1), &mut user).await.is_err(),
        "still open"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_given_up_after_thirty_seconds() {
    let (server, _client) = pair(Role::Server, Options::default(), 1024).await;
    let (mut incoming, mut outgoing) = (server.incoming, server.outgoing);
    let reader = tokio::spawn(async move { incoming.next().await.unwrap().is_err() });
    let began = Instant::now();
    let refused = outgoing.send(Bytes::from(vec![b'x'; 100_000])).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    assert!(
        refused.to_string().contains("takes nothing for 30 s"),
        "{refused}"
    );
    assert!(reader.await.unwrap(), "the other half ends too");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_gets_everything() {
    let (mut server, mut client) = pair(Role::Server, Options::default(), 1024).await;
    let sent = tokio::spawn(async move {
        server
            .outgoing
            .send(Bytes::from(vec![b'x'; 8 * 1024]))
            .await
            .unwrap();
        server
    });
    let mut slow = Vec::new();
    let mut buffer = [0; 1024];
    while slow.len() < 8 * 1024 + 4 {
        sleep(Duration::from_secs(29)).await;
        let read = tokio::io::AsyncReadExt::read(&mut client, &mut buffer)
            .await
            .unwrap();
        slow.extend_from_slice(&buffer[..read]);
    }
    sent.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_written_does_not_wait_for_what_is_read_and_pings_go_between() {
    let (server, mut client) = pair(Role::Server, Options::default(), 64).await;
    let (mut incoming, mut outgoing) = (server.incoming, server.outgoing);
    let reader = tokio::spawn(async move { incoming.next().await.unwrap().unwrap() });
    let writer = tokio::spawn(async move { outgoing.send(Bytes::from(vec![b'x'; 60_000])).await });
    // A ping while the large message is stuck: its answer comes after that, and the reader hears us all the time.
    tokio::task::yield_now().await;
    client.write_all(&masked(PING, b"now")).await.unwrap();
    assert_eq!(read(&mut client).await.unwrap().1.len(), 60_000);
    assert_eq!(read(&mut client).await, Some((PONG, b"now".to_vec())));
    client.write_all(&masked(TEXT, b"{}")).await.unwrap();
    assert_eq!(reader.await.unwrap(), "{}");
    writer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_takes_two_seconds_at_most() {
    let (mut server, mut client) = pair(Role::Server, Options::default(), 1 << 16).await;
    let began = Instant::now();
    // The peer reads the Close and never ends its own direction.
    server.outgoing.close().await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert_eq!(read(&mut client).await.unwrap().0, CLOSE);
}

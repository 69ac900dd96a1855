//! Frames that break the rules, and messages at the limits.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Options;
use super::peer::*;
use crate::carrier::{CarrierError, Farewell};

fn small() -> Options {
    Options {
        message_bytes: 1000,
        ..Options::default()
    }
}

/// Sends bytes to a server and tells with which code it closes, and what its user is told.
async fn offend(bytes: &[u8]) -> (Option<u16>, String) {
    let (mut server, mut client) = pair(Role::Server, small(), 1 << 20).await;
    let user = tokio::spawn(async move {
        let told = server
            .incoming
            .next()
            .await
            .expect("an error")
            .expect_err("an error");
        assert!(server.incoming.next().await.is_none(), "nothing follows an error");
        assert!(server.outgoing.send(Bytes::from_static(b"late")).await.is_err());
        told.to_string()
    });
    client.write_all(bytes).await.unwrap();
    let code = closed(&mut client).await;
    (code, user.await.unwrap())
}

#[tokio::test]
async fn messages_go_both_ways_in_text_frames() {
    let (mut server, mut client) = pair(Role::Server, small(), 1 << 16).await;
    client.write_all(&masked(TEXT, b"{\"a\":1}")).await.unwrap();
    assert_eq!(server.incoming.next().await.unwrap().unwrap(), "{\"a\":1}");
    server
        .outgoing
        .feed(Bytes::from_static(b"{\"b\":2}"))
        .await
        .unwrap();
    server
        .outgoing
        .feed(Bytes::from_static(b"{\"c\":3}"))
        .await
        .unwrap();
    server.outgoing.flush().await.unwrap();
    assert_eq!(read(&mut client).await, Some((TEXT, b"{\"b\":2}".to_vec())));
    assert_eq!(read(&mut client).await, Some((TEXT, b"{\"c\":3}".to_vec())));
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_is_one_message() {
    let (mut server, mut client) = pair(Role::Server, small(), 1 << 16).await;
    for frame in [
        masked(0x01, b"{\"a\""),
        masked(PING, b"x"),
        masked(0x00, b":"),
        masked(0x80, b"1}"),
    ] {
        client.write_all(&frame).await.unwrap();
    }
    assert_eq!(server.incoming.next().await.unwrap().unwrap(), "{\"a\":1}");
    assert_eq!(read(&mut client).await, Some((PONG, b"x".to_vec())));
}

#[tokio::test]
async fn wt_03_frames_that_break_the_rules_end_the_connection_with_their_code() {
    let long_ping = masked(PING, &[b'x'; 126]);
    let table: [(&str, Vec<u8>, u16); 13] = [
        ("unmasked", bare(TEXT, b"{}"), 1002),
        ("first reserved bit", masked(0xc1, b"{}"), 1002),
        ("second reserved bit", masked(0xa1, b"{}"), 1002),
        ("third reserved bit", masked(0x91, b"{}"), 1002),
        ("reserved data opcode", masked(0x83, b"{}"), 1002),
        ("reserved control opcode", masked(0x8b, b""), 1002),
        ("fragmented ping", masked(0x09, b"x"), 1002),
        ("ping of 126 bytes", long_ping, 1002),
        ("continuation of nothing", masked(0x80, b"{}"), 1002),
        (
            "message within a message",
            [masked(0x01, b"{"), masked(TEXT, b"{}")].concat(),
            1002,
        ),
        ("close with one byte", masked(CLOSE, b"\x03"), 1002),
        ("text that is not UTF-8", masked(TEXT, b"\"\xff\""), 1007),
        ("binary", masked(BINARY, b"{}"), 1003),
    ];
    for (what, bytes, expected) in table {
        let (code, told) = offend(&bytes).await;
        assert_eq!(code, Some(expected), "{what}");
        assert!(told.contains("broke the framing"), "{what}: {told}");
    }
}

#[tokio::test]
async fn wt_03_utf_8_is_judged_across_fragments() {
    let (mut server, mut client) = pair(Role::Server, small(), 1 << 16).await;
    // One letter of two bytes, in two frames.
    client.write_all(&masked(0x01, b"\"\xc3")).await.unwrap();
    client.write_all(&masked(0x80, b"\xa4\"")).await.unwrap();
    assert_eq!(server.incoming.next().await.unwrap().unwrap(), "\"ä\"");
    let halved = [masked(0x01, b"\"\xc3"), masked(0x80, b"\"")].concat();
    assert_eq!(offend(&halved).await.0, Some(1007));
}

#[tokio::test]
async fn wt_01_a_message_may_be_as_long_as_the_limit_and_no_byte_more() {
    let at = vec![b'x'; 1000];
    let (mut server, mut client) = pair(Role::Server, small(), 1 << 16).await;
    client.write_all(&masked(TEXT, &at)).await.unwrap();
    assert_eq!(server.incoming.next().await.unwrap().unwrap(), at);
    client.write_all(&masked(0x01, &at[..600])).await.unwrap();
    client.write_all(&masked(0x80, &at[..400])).await.unwrap();
    assert_eq!(server.incoming.next().await.unwrap().unwrap(), at);
    let past = [
        masked(TEXT, &[b'x'; 1001]),
        [masked(0x01, &at[..600]), masked(0x80, &at[..401])].concat(),
    ];
    for bytes in past {
        assert_eq!(offend(&bytes).await.0, Some(1009));
    }
}

#[tokio::test]
async fn wt_01_a_length_that_lies_is_refused_before_anything_of_it_is_there() {
    for length in [1001, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
        // The head alone: nobody waits for the rest.
        let head = [head(TEXT, length, 0x80), vec![0; 4]].concat();
        let (code, told) = offend(&head).await;
        // With the highest bit set it is no length at all (RFC 6455 §5.2); it is too much either way.
        assert_eq!(code, Some(1009), "{length}: {told}");
    }
}

#[tokio::test]
async fn wt_03_a_server_that_masks_is_no_server() {
    let (mut client, mut server) = pair(Role::Client, small(), 1 << 16).await;
    server.write_all(&masked(TEXT, b"{}")).await.unwrap();
    assert!(client.incoming.next().await.unwrap().is_err());
}

#[tokio::test]
async fn wt_05_a_flood_of_pings_ends_the_connection() {
    let (mut server, mut client) = pair(Role::Server, Options::default(), 1 << 20).await;
    let user = tokio::spawn(async move { server.incoming.next().await });
    let burst = Options::default().pace.control_burst as usize;
    client.write_all(&masked(PING, b"x").repeat(burst)).await.unwrap();
    assert_eq!(
        read(&mut client).await,
        Some((PONG, b"x".to_vec())),
        "so many are answered"
    );
    client
        .write_all(&masked(PING, b"x").repeat(10_000))
        .await
        .unwrap();
    assert_eq!(closed(&mut client).await, Some(1008));
    let fault = user.await.unwrap().unwrap().unwrap_err();
    let source = std::error::Error::source(&fault).unwrap();
    assert!(
        matches!(source.downcast_ref(), Some(CarrierError::Flood)),
        "{fault}"
    );
}

#[tokio::test]
async fn a_close_of_the_peer_is_an_end_in_good_order() {
    let (mut server, mut client) = pair(Role::Server, small(), 1 << 16).await;
    client
        .write_all(&masked(CLOSE, &1000u16.to_be_bytes()))
        .await
        .unwrap();
    let user = tokio::spawn(async move { server.incoming.next().await.is_none() });
    assert_eq!(read(&mut client).await.unwrap().0, CLOSE);
    assert_eq!(read(&mut client).await, None);
    drop(client);
    assert!(user.await.unwrap());
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_error() {
    let (mut server, client) = pair(Role::Server, small(), 1 << 16).await;
    drop(client);
    let fault = server.incoming.next().await.unwrap().unwrap_err();
    assert!(fault.to_string().contains("ended early"), "{fault}");
}

#[tokio::test]
async fn closing_says_why_and_ends_the_other_half_too() {
    for (why, code) in [
        (None, 1000),
        (Some(Farewell::Away), 1001),
        (Some(Farewell::Policy), 1008),
    ] {
        let options = Options {
            reason: why.map(|why| Arc::new(move || why) as crate::carrier::Reason),
            ..small()
        };
        let (server, mut client) = pair(Role::Server, options, 1 << 16).await;
        let (mut incoming, mut outgoing) = (server.incoming, server.outgoing);
        // Reading in a task of its own, asleep when the other half closes.
        let reader = tokio::spawn(async move { incoming.next().await.is_none() });
        tokio::task::yield_now().await;
        let writer = tokio::spawn(async move {
            outgoing.feed(Bytes::from_static(b"last")).await.unwrap();
            outgoing.close().await.unwrap();
        });
        assert_eq!(
            read(&mut client).await,
            Some((TEXT, b"last".to_vec())),
            "nothing is lost"
        );
        assert_eq!(closed(&mut client).await, Some(code));
        writer.await.unwrap();
        assert!(reader.await.unwrap());
    }
}

#[tokio::test]
async fn an_end_that_is_given_up_lets_the_reader_go() {
    let (server, _client) = pair(Role::Server, small(), 1 << 16).await;
    let (mut incoming, mut outgoing) = (server.incoming, server.outgoing);
    let reader = tokio::spawn(async move { incoming.next().await.is_none() });
    // The peer never answers the Close; whoever waits for it leaves.
    tokio::select! {
        biased;
        _ = outgoing.close() => panic!("the peer has not ended its direction"),
        () = tokio::task::yield_now() => {}
    }
    drop(outgoing);
    assert!(reader.await.unwrap());
}

#[tokio::test]
async fn what_we_say_is_text() {
    let (mut server, _client) = pair(Role::Server, small(), 1 << 16).await;
    assert!(server.outgoing.feed(Bytes::from_static(b"\xff")).await.is_err());
}

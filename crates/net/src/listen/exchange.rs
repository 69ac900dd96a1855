//! One request and its answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Poll, ready};

use http::{HeaderMap, StatusCode};
use tokio::runtime::Id;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Service;
use super::answer::{AnswerHead, Asked, Framing};
use super::connection::{Shared, number};
use super::feed::receive;
use super::request::{Head, Refusal};
use super::socket::Socket;
use super::upgrade::Upgraded;
use super::wire::Wire;
use crate::{Body, Inbound, Memo, Response, pull};

/// What becomes of the connection.
pub(super) enum After {
    /// The next request may come. This one was drawn there.
    Next(Option<Id>),
    /// It ends in good order.
    Close,
    /// It ends, and the client may not have sent all that it wants to send.
    Linger,
    /// It ends at once.
    Cut(&'static str),
    /// It goes on as something else.
    Switch(oneshot::Sender<Upgraded>),
}

/// What the service says, and what it means for the connection.
struct Said {
    response: Response,
    /// Bytes of the request are left that nobody read.
    unread: bool,
    upgrade: Option<oneshot::Sender<Upgraded>>,
    /// Where the request was drawn.
    drawn: Option<Id>,
}

/// Has a request answered, and writes the answer.
pub(super) async fn exchange<S, T>(
    shared: &Shared<S>,
    wire: &mut Wire<T>,
    head: (Head, Memo),
    peer: SocketAddr,
) -> After
where
    S: Service,
    T: Socket,
{
    let asked = Asked::of(&head.0.parts.method, head.0.parts.version);
    let closes = head.0.facts.closes;
    let Some(said) = ask(shared, wire, head, peer).await else {
        return After::Cut("the client left before its answer");
    };
    let closes = closes || said.unread || shared.draining.has_begun();
    let (parts, body) = said.response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return switch(wire, &parts.headers, said.upgrade).await;
    }
    let framing = asked.framing(parts.status, &body);
    let closes = closes || framing == Framing::UntilClose;
    let head = AnswerHead {
        status: parts.status,
        headers: &parts.headers,
        framing,
        unsent: http_body::Body::size_hint(&body).exact(),
        closes,
        fixed: &wire.options.fixed,
        now: Instant::now(),
    };
    head.write(&mut wire.out);
    drop(parts);
    match send(wire, body, framing).await {
        Err(why) => After::Cut(why),
        Ok(()) if said.unread => After::Linger,
        Ok(()) if closes => After::Close,
        Ok(()) => After::Next(said.drawn),
    }
}

/// Asks the service, and feeds it the body meanwhile. `None` when the client leaves: nobody wants the answer then.
async fn ask<S, T>(
    shared: &Shared<S>,
    wire: &mut Wire<T>,
    head: (Head, Memo),
    peer: SocketAddr,
) -> Option<Said>
where
    S: Service,
    T: Socket,
{
    let (Head { parts, length, facts }, memo) = head;
    let (mut body, mut feed) = receive(wire, length, facts);
    let mut upgrade = None;
    if facts.upgrades && facts.protocol {
        let (sender, receiver) = oneshot::channel();
        body.offer(receiver);
        upgrade = Some(sender);
    }
    let inbound = Inbound {
        parts,
        body,
        peer,
        id: number(),
        memo,
    };
    // In a box, which lives as long as the request: a connection that is idle, or that streams, has no room for it.
    let mut call = Box::pin(shared.service.call(&shared.worker, inbound));
    let mut drawn = None;
    let response = poll_fn(|cx| {
        loop {
            let polled = pull::listen(&mut drawn, || call.as_mut().poll(cx));
            if let Poll::Ready(response) = polled {
                return Poll::Ready(Some(response));
            }
            match &mut feed {
                Some(feed) if !feed.is_done() => ready!(feed.poll(wire, cx)),
                _ if wire.has_left(cx) => return Poll::Ready(None),
                _ => return Poll::Pending,
            }
        }
    })
    .await?;
    drop(call);
    let unread = match &mut feed {
        Some(feed) => !feed.settle(wire).await,
        None => false,
    };
    Some(Said {
        response,
        unread,
        upgrade,
        drawn,
    })
}

/// Writes the answer 101, after which the connection is no longer ours. A service that was not asked for it has a fault.
async fn switch<T>(
    wire: &mut Wire<T>,
    headers: &HeaderMap,
    upgrade: Option<oneshot::Sender<Upgraded>>,
) -> After
where
    T: Socket,
{
    let Some(upgrade) = upgrade else {
        tracing::error!("a handler switches protocols unasked");
        return plain(wire, StatusCode::INTERNAL_SERVER_ERROR).await;
    };
    let head = AnswerHead {
        status: StatusCode::SWITCHING_PROTOCOLS,
        headers,
        framing: Framing::Bodyless,
        unsent: None,
        closes: false,
        fixed: &wire.options.fixed,
        now: Instant::now(),
    };
    head.write(&mut wire.out);
    match send(wire, Body::empty(), Framing::Bodyless).await {
        Ok(()) => After::Switch(upgrade),
        Err(why) => After::Cut(why),
    }
}

/// Answers a request that cannot be read. Nothing behind it is read either.
pub(super) async fn refuse<T>(wire: &mut Wire<T>, refusal: Refusal) -> After
where
    T: Socket,
{
    plain(wire, refusal.status()).await
}

/// An answer of a status alone, and the end.
async fn plain<T>(wire: &mut Wire<T>, status: StatusCode) -> After
where
    T: Socket,
{
    let head = AnswerHead {
        status,
        headers: &HeaderMap::new(),
        framing: Framing::Length(0),
        unsent: None,
        closes: true,
        fixed: &wire.options.fixed,
        now: Instant::now(),
    };
    head.write(&mut wire.out);
    match send(wire, Body::empty(), Framing::Length(0)).await {
        Ok(()) => After::Linger,
        Err(why) => After::Cut(why),
    }
}

/// Writes what waits, and the body as it comes: what is ready at once leaves in one write. A client that leaves ends it.
async fn send<T>(wire: &mut Wire<T>, mut body: Body, mut framing: Framing) -> Result<(), &'static str>
where
    T: Socket,
{
    let mut open = framing != Framing::Bodyless;
    let mut failed = None;
    poll_fn(|cx| {
        loop {
            let mut waits = false;
            while open && !waits && wire.out.waiting() < wire.options.buffer_bytes {
                match body.poll_piece(cx) {
                    Poll::Pending => waits = true,
                    Poll::Ready(Some(Ok(piece))) => {
                        if !framing.push(piece, &mut wire.out) {
                            (open, failed) = (false, Some("an answer is longer than it says"));
                        }
                    }
                    // What came before the fault is sent; that the rest is missing shows in the framing.
                    Poll::Ready(Some(Err(_))) => {
                        (open, failed) = (false, Some("an answer was not completed"))
                    }
                    Poll::Ready(None) => {
                        open = false;
                        if !framing.end(&mut wire.out) {
                            failed = Some("an answer is shorter than it says");
                        }
                    }
                }
            }
            if ready!(wire.poll_flush(cx)).is_err() {
                return Poll::Ready(Err("the client does not take its answer"));
            }
            if let Some(why) = failed {
                return Poll::Ready(Err(why));
            }
            if !open {
                return Poll::Ready(Ok(()));
            }
            if waits {
                if wire.has_left(cx) {
                    return Poll::Ready(Err("the client left"));
                }
                return Poll::Pending;
            }
        }
    })
    .await
}

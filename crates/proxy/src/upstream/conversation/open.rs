//! How conversations begin.

use std::sync::Arc;

use sallyport_core::PrincipalKey;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use sallyport_net::framed::{self, AuthFrame};
use sallyport_net::ws;

use super::talk::Conversation;
use crate::spec::Transport;
use crate::upstream::ground::Ground;
use crate::upstream::inbox::Inbox;
use crate::upstream::stdio;

/// What the gateway calls itself in AUTH frames: its name, and nothing that tells one gateway from another.
const CLIENT_ID: [u8; 16] = *b"sallyport\0\0\0\0\0\0\0";

/// Starts the server's process or connects to it. Nothing is said yet. A process of a client has an `owner`;
/// of those there are only so many.
///
/// # Errors
/// A fault that is safe to repeat: nothing was sent to anyone.
pub(crate) async fn open(
    ground: &Arc<Ground>,
    era: Era,
    inbox: Arc<Inbox>,
    owner: Option<&PrincipalKey>,
) -> Result<Arc<Conversation>, Fault> {
    match &ground.spec.transport {
        Transport::Stdio { .. } => {
            let place = match owner {
                Some(owner) => Some(ground.processes.place(owner, ground.spec.limits.connect).await?),
                None => None,
            };
            stdio::start(ground, era, inbox, place)
        }
        Transport::WebSocket { headers, .. } => {
            let options = ws::Options {
                message_bytes: ground.spec.limits.message_bytes,
                handshake: ground.spec.limits.connect,
                ..ws::Options::default()
            };
            let duplex = ws::connect(ground.target()?, headers, options).await?;
            Ok(Conversation::over(ground, era, inbox, duplex))
        }
        Transport::Tcp { token, .. } => {
            let auth = AuthFrame {
                token: token.clone(),
                client_id: CLIENT_ID,
                timestamp: ground.deps.clock.now().as_secs().try_into().unwrap_or_default(),
            };
            let options = framed::Options {
                message_bytes: ground.spec.limits.message_bytes,
                hello: ground.spec.limits.connect,
                ..framed::Options::default()
            };
            let duplex = framed::connect(ground.target()?, Some(&auth), options).await?;
            Ok(Conversation::over(ground, era, inbox, duplex))
        }
        Transport::Http { .. } | Transport::Demo => {
            Err(Fault::gateway("open a connection", "this server has none"))
        }
    }
}

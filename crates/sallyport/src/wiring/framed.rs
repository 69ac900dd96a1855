//! MCP over framed TCP, on `tcp_listen`. There is no path: the token's audience says which endpoint the conversation is
//! for.

use std::net::SocketAddr;
use std::sync::Arc;

use sallyport_core::RequestId;
use sallyport_core::capability::VerifyToken as _;
use sallyport_net::carrier::Farewell;
use sallyport_net::framed::{AuthFrame, Gate, Refused};
use sallyport_net::{Duplex, Worker};
use sallyport_proxy::{Conversation, Credential, Entrance, Manner};

use super::endpoints::DEFAULT_PATH;
use super::live::Live;

/// Lets clients in on `tcp_listen`.
pub(super) struct TcpGate {
    pub(super) live: Arc<Live>,
}

impl TcpGate {
    /// The endpoint that the token is for. Who has none that is good is turned away at the default one, and counted there.
    fn endpoint(&self, auth: &AuthFrame) -> String {
        let settings = self.live.settings.load();
        let audiences: Vec<_> = settings
            .resources
            .iter()
            .map(|info| info.resource.clone())
            .collect();
        let now = self.live.base.clock.now();
        let principal = self.live.issuers.verify(auth.token.expose(), &audiences, now);
        let named = principal.ok().and_then(|principal| {
            let mut known = settings.resources.iter();
            known.find(|info| info.resource == principal.audience)
        });
        named.map_or_else(|| DEFAULT_PATH.to_owned(), |info| info.path.clone())
    }

    fn check_time(&self, auth: &AuthFrame) -> Result<(), Refused> {
        auth.check_time(self.live.base.clock.now()).map_err(refused)
    }
}

fn refused(reason: impl std::fmt::Display) -> Refused {
    Refused(reason.to_string())
}

impl Gate for TcpGate {
    type Admitted = Conversation;

    async fn prepare(&self, auth: &AuthFrame, peer: SocketAddr) {
        self.live
            .issuers
            .learn_token(auth.token.expose(), peer.ip())
            .await;
    }

    fn admit(
        &self,
        worker: &Arc<Worker>,
        auth: &AuthFrame,
        peer: SocketAddr,
        request: RequestId,
    ) -> Result<Conversation, Refused> {
        self.check_time(auth)?;
        let entrance = Entrance {
            path: self.endpoint(auth),
            credential: Credential::token(auth.token.clone()),
            manner: Manner::EachMessage,
            peer: peer.ip(),
            request,
        };
        self.live.proxy.enter_duplex(worker, entrance).map_err(refused)
    }

    async fn renew(
        &self,
        conversation: &Conversation,
        auth: &AuthFrame,
        peer: SocketAddr,
    ) -> Result<(), Refused> {
        self.check_time(auth)?;
        self.prepare(auth, peer).await;
        conversation.renew(&auth.token).map_err(refused)
    }

    fn farewell(&self, conversation: &Conversation) -> Farewell {
        conversation.farewell()
    }

    async fn converse(&self, conversation: Conversation, duplex: Duplex) {
        Box::pin(conversation.run(duplex)).await;
    }
}

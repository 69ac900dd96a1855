//! MCP over WebSocket: `/mcp/{profile}/ws`, and `/mcp/ws` for the default profile. `Host`, `Origin` and the token are
//! checked on the request that opens it, as on every other; browsers cannot send the token, so that a page of another
//! site has nothing to ride on.

use std::sync::Arc;

use http::HeaderMap;
use http::header::UPGRADE;
use sallyport_net::{Inbound, Response, Worker, ws};
use sallyport_proxy::{Credential, Entrance, Manner};

use super::live::Live;

/// The path of the endpoint that a WebSocket is opened for, if that is what the path names. A profile may be called `ws`:
/// whether `/mcp/ws` is its endpoint says the request.
pub(super) fn endpoint<'p>(path: &'p str, headers: &HeaderMap) -> Option<&'p str> {
    let endpoint = path.strip_suffix('/').unwrap_or(path).strip_suffix("/ws")?;
    match endpoint.strip_prefix("/mcp")? {
        "" => headers.contains_key(UPGRADE).then_some(endpoint),
        rest => {
            let slug = rest.strip_prefix('/')?;
            (!slug.is_empty() && !slug.contains('/')).then_some(endpoint)
        }
    }
}

/// Lets the client in and opens the WebSocket; the conversation goes on by itself, on the worker that took it in.
pub(super) fn open(live: &Live, worker: &Arc<Worker>, inbound: Inbound, endpoint: String) -> Response {
    let entrance = Entrance {
        path: endpoint,
        credential: Credential::of_request(&inbound.parts),
        manner: Manner::EachMessage,
        peer: inbound.peer.ip(),
        request: inbound.id,
    };
    let conversation = match live.proxy.enter_duplex(worker, entrance) {
        Ok(conversation) => conversation,
        Err(turned) => return turned.response(),
    };
    let ending = conversation.clone();
    let options = ws::Options {
        message_bytes: live.config.load().root.limits.request_bytes.0,
        reason: Some(Arc::new(move || ending.farewell())),
        ..ws::Options::default()
    };
    let (response, opened) = match ws::accept(inbound, options) {
        Ok(accepted) => accepted,
        Err(error) => return error.answer(),
    };
    tokio::spawn(async move {
        match opened.await {
            Ok(duplex) => {
                let _ended = Box::pin(conversation.run(duplex)).await;
            }
            Err(fault) => tracing::debug!("a client left before its WebSocket was open: {fault}"),
        }
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_paths_that_open_a_websocket() {
        let mut asking = HeaderMap::new();
        asking.insert(UPGRADE, HeaderValue::from_static("websocket"));
        for (path, plain, upgrade) in [
            ("/mcp/team/ws", Some("/mcp/team"), Some("/mcp/team")),
            ("/mcp/team/ws/", Some("/mcp/team"), Some("/mcp/team")),
            ("/mcp/ws", None, Some("/mcp")),
            ("/mcp/ws/ws", Some("/mcp/ws"), Some("/mcp/ws")),
            ("/mcp/a/b/ws", None, None),
            ("/mcp//ws", None, None),
            ("/mcpx/ws", None, None),
            ("/mcp", None, None),
            ("/ws", None, None),
        ] {
            assert_eq!(endpoint(path, &HeaderMap::new()), plain, "{path}");
            assert_eq!(endpoint(path, &asking), upgrade, "{path} with an upgrade");
        }
    }
}

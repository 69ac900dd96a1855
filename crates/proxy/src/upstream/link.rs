//! A client's use of a server.

/// What a listener wants to be told of (`subscriptions/listen`, revision 2026-07-28).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListenFilter {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
    /// `resourceSubscriptions`: the server's own URIs.
    pub uris: Vec<String>,
}

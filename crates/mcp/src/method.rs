//! The methods of the protocol.

use crate::jsonrpc::Key;
use crate::revision::Era;

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident = $name:literal,)*) => {
        /// A method, request or notification, of either era.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Method {
            $($(#[$doc])* $method,)*
            /// None of the above; it may belong to an extension.
            Unknown,
        }

        impl Method {
            /// Reads a method's name, byte for byte.
            #[must_use]
            pub fn parse(name: &str) -> Self {
                Self::of_bytes(name.as_bytes())
            }

            /// As [`Method::parse`], of what need not be text.
            pub(crate) fn of_bytes(name: &[u8]) -> Self {
                $(if name == $name.as_bytes() { return Self::$method; })*
                Self::Unknown
            }

            /// The name on the wire; empty for [`Method::Unknown`].
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$method => $name,)* Self::Unknown => "" }
            }
        }
    };
}

methods! {
    /// Opens a legacy session.
    Initialize = "initialize",
    /// Asks for an empty answer; legacy, both ways.
    Ping = "ping",
    /// Lists tools.
    ToolsList = "tools/list",
    /// Calls a tool.
    ToolsCall = "tools/call",
    /// Lists prompts.
    PromptsList = "prompts/list",
    /// Fetches a prompt.
    PromptsGet = "prompts/get",
    /// Lists resources.
    ResourcesList = "resources/list",
    /// Lists resource templates.
    TemplatesList = "resources/templates/list",
    /// Reads a resource.
    ResourcesRead = "resources/read",
    /// Asks for updates of a resource; legacy.
    ResourcesSubscribe = "resources/subscribe",
    /// Ends that; legacy.
    ResourcesUnsubscribe = "resources/unsubscribe",
    /// Lists skills; the skills extension.
    SkillsList = "skills/list",
    /// Fetches the manifest of one skill; the skills extension.
    SkillsGet = "skills/get",
    /// Lists what a directory holds; the skills extension.
    DirectoryRead = "resources/directory/read",
    /// Completes an argument.
    Complete = "completion/complete",
    /// Sets the session's log level; legacy.
    SetLevel = "logging/setLevel",
    /// Tells what the server can do; modern.
    Discover = "server/discover",
    /// Opens a stream of notifications; modern.
    Listen = "subscriptions/listen",
    /// Asks for a task's state.
    TasksGet = "tasks/get",
    /// Gives a task its inputs; the modern extension.
    TasksUpdate = "tasks/update",
    /// Ends a task.
    TasksCancel = "tasks/cancel",
    /// Waits for a task's result; 2025-11-25.
    TasksResult = "tasks/result",
    /// Lists tasks; 2025-11-25.
    TasksList = "tasks/list",
    /// Asks the client's model; from a legacy server.
    SamplingCreate = "sampling/createMessage",
    /// Asks the client's user; from a legacy server.
    ElicitationCreate = "elicitation/create",
    /// Asks for the client's roots; from a legacy server.
    RootsList = "roots/list",
    /// The session is open; legacy.
    Initialized = "notifications/initialized",
    /// A request is not wanted any more.
    Cancelled = "notifications/cancelled",
    /// How far a request has come.
    Progress = "notifications/progress",
    /// A log message.
    LogMessage = "notifications/message",
    /// A resource has changed.
    ResourceUpdated = "notifications/resources/updated",
    /// The list of resources has changed.
    ResourcesChanged = "notifications/resources/list_changed",
    /// The list of tools has changed.
    ToolsChanged = "notifications/tools/list_changed",
    /// The list of prompts has changed.
    PromptsChanged = "notifications/prompts/list_changed",
    /// The client's roots have changed; legacy.
    RootsChanged = "notifications/roots/list_changed",
    /// What a listen stream will bear; modern.
    SubscriptionsAcknowledged = "notifications/subscriptions/acknowledged",
    /// A URL elicitation is done; 2025-11-25.
    ElicitationComplete = "notifications/elicitation/complete",
    /// A task's state has changed; 2025-11-25.
    TaskStatus = "notifications/tasks/status",
    /// A task's state has changed; the modern extension.
    Tasks = "notifications/tasks",
}

impl Method {
    /// Whether it is a notification by its name.
    #[must_use]
    pub fn is_notification(self) -> bool {
        self.as_str().starts_with("notifications/")
    }

    /// Whether a client may send it in this era. What only servers send, and what the other era has, it may not.
    #[must_use]
    pub fn from_client(self, era: Era) -> bool {
        match self {
            Self::ToolsList
            | Self::ToolsCall
            | Self::PromptsList
            | Self::PromptsGet
            | Self::ResourcesList
            | Self::TemplatesList
            | Self::ResourcesRead
            | Self::SkillsList
            | Self::SkillsGet
            | Self::DirectoryRead
            | Self::Complete
            | Self::TasksGet
            | Self::TasksCancel
            | Self::Cancelled => true,
            Self::Initialize
            | Self::Ping
            | Self::ResourcesSubscribe
            | Self::ResourcesUnsubscribe
            | Self::SetLevel
            | Self::TasksResult
            | Self::TasksList
            | Self::Initialized
            | Self::Progress
            | Self::RootsChanged
            | Self::TaskStatus => era == Era::Legacy,
            Self::Discover | Self::Listen | Self::TasksUpdate => era == Era::Modern,
            _ => false,
        }
    }

    /// Whether a server may send it in this era.
    #[must_use]
    pub fn from_server(self, era: Era) -> bool {
        match self {
            Self::Cancelled
            | Self::Progress
            | Self::LogMessage
            | Self::ResourceUpdated
            | Self::ResourcesChanged
            | Self::ToolsChanged
            | Self::PromptsChanged => true,
            Self::Ping
            | Self::SamplingCreate
            | Self::ElicitationCreate
            | Self::RootsList
            | Self::ElicitationComplete
            | Self::TaskStatus
            | Self::TasksGet
            | Self::TasksResult
            | Self::TasksList
            | Self::TasksCancel => era == Era::Legacy,
            Self::SubscriptionsAcknowledged | Self::Tasks => era == Era::Modern,
            _ => false,
        }
    }

    /// The member of `params` that `Mcp-Name` mirrors (2026-07-28, Transports, Standard Headers).
    #[must_use]
    pub fn name_source(self) -> Option<Key> {
        match self {
            Self::ToolsCall | Self::PromptsGet => Some(Key::Name),
            Self::ResourcesRead => Some(Key::Uri),
            Self::TasksGet | Self::TasksUpdate | Self::TasksCancel => Some(Key::TaskId),
            _ => None,
        }
    }

    /// Whether a complete modern result of it bears `ttlMs` and `cacheScope` (2026-07-28, Caching).
    #[must_use]
    pub fn is_cacheable(self) -> bool {
        matches!(
            self,
            Self::Discover
                | Self::ToolsList
                | Self::PromptsList
                | Self::ResourcesList
                | Self::TemplatesList
                | Self::ResourcesRead
                | Self::SkillsList
                | Self::SkillsGet
        )
    }

    /// Whether it is a request that one server carries out: the one that owns what it names.
    #[must_use]
    pub fn is_for_one_server(self) -> bool {
        matches!(
            self,
            Self::ToolsCall
                | Self::PromptsGet
                | Self::ResourcesRead
                | Self::SkillsGet
                | Self::DirectoryRead
                | Self::Complete
        )
    }

    /// Whether its result may be `input_required`.
    #[must_use]
    pub fn may_ask(self) -> bool {
        matches!(self, Self::ToolsCall | Self::PromptsGet | Self::ResourcesRead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jr_10_only_exact_names_are_methods() {
        assert_eq!(Method::parse("tools/call"), Method::ToolsCall);
        for other in [
            "",
            "Tools/call",
            "tools/call ",
            "tools/call\u{200b}",
            "rpc.discover",
            "tools",
        ] {
            assert_eq!(Method::parse(other), Method::Unknown, "{other:?}");
        }
    }

    #[test]
    fn jr_09_server_methods_are_not_for_clients() {
        for server_only in [
            Method::ToolsChanged,
            Method::LogMessage,
            Method::SamplingCreate,
            Method::SubscriptionsAcknowledged,
            Method::Unknown,
        ] {
            assert!(!server_only.from_client(Era::Legacy) && !server_only.from_client(Era::Modern));
        }
    }

    #[test]
    fn removed_methods_are_gone_in_the_modern_era() {
        for removed in [
            Method::Initialize,
            Method::Initialized,
            Method::Ping,
            Method::SetLevel,
            Method::ResourcesSubscribe,
            Method::ResourcesUnsubscribe,
            Method::RootsChanged,
            Method::TasksResult,
            Method::TasksList,
        ] {
            assert!(removed.from_client(Era::Legacy), "{removed:?}");
            assert!(!removed.from_client(Era::Modern), "{removed:?}");
        }
    }
}

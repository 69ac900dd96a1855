//! The members that are looked at, level by level.

/// The names of one level.
pub(super) trait Names: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The member of exactly this name.
    fn exactly(name: &[u8]) -> Option<Self>;

    /// The name.
    fn name(self) -> &'static str;

    /// Its place in [`Names::ALL`].
    fn index(self) -> usize;
}

macro_rules! names {
    ($(#[$doc:meta])* $vis:vis enum $set:ident { $($(#[$key_doc:meta])* $key:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        $vis enum $set { $($(#[$key_doc])* $key,)* }

        impl $set {
            /// How many there are.
            pub(super) const COUNT: usize = [$($name),*].len();

            /// The name on the wire.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$key => $name,)* }
            }
        }

        impl Names for $set {
            const ALL: &'static [Self] = &[$(Self::$key),*];

            #[inline]
            fn exactly(name: &[u8]) -> Option<Self> {
                $(if name == $name.as_bytes() { return Some(Self::$key); })*
                None
            }

            fn name(self) -> &'static str {
                self.as_str()
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

names! {
    /// The message itself.
    pub(super) enum EnvelopeKey {
        Jsonrpc = "jsonrpc",
        Id = "id",
        Method = "method",
        Params = "params",
        Result = "result",
        Error = "error",
    }
}

names! {
    /// The members of `params` that are looked at, of whatever method.
    pub enum Key {
        /// The tool or prompt.
        Name = "name",
        /// The resource.
        Uri = "uri",
        /// The arguments of a tool or prompt.
        Arguments = "arguments",
        /// The metadata.
        Meta = "_meta",
        /// Where a list goes on.
        Cursor = "cursor",
        /// What is completed.
        Ref = "ref",
        /// The argument being completed.
        Argument = "argument",
        /// The context of a completion.
        Context = "context",
        /// The level of `logging/setLevel` and of log messages.
        Level = "level",
        /// The version that `initialize` asks for.
        ProtocolVersion = "protocolVersion",
        /// The client's capabilities in `initialize`.
        Capabilities = "capabilities",
        /// The client, in `initialize`.
        ClientInfo = "clientInfo",
        /// The request that `notifications/cancelled` means.
        RequestId = "requestId",
        /// Why it was cancelled.
        Reason = "reason",
        /// The token of `notifications/progress`.
        ProgressToken = "progressToken",
        /// How far it has come.
        Progress = "progress",
        /// The filter of `subscriptions/listen`.
        Notifications = "notifications",
        /// The answers to an earlier `input_required`.
        InputResponses = "inputResponses",
        /// The state that came with it.
        RequestState = "requestState",
        /// A task.
        TaskId = "taskId",
        /// The task parameters of a 2025-11-25 request.
        Task = "task",
    }
}

names! {
    /// The members of `params._meta` (and of a result's) that are looked at.
    pub enum MetaKey {
        /// What progress about this request bears.
        ProgressToken = "progressToken",
        /// The modern request's version.
        ProtocolVersion = "io.modelcontextprotocol/protocolVersion",
        /// The modern client's name and version; unverified.
        ClientInfo = "io.modelcontextprotocol/clientInfo",
        /// The modern client's capabilities.
        ClientCapabilities = "io.modelcontextprotocol/clientCapabilities",
        /// The level from which log messages are wanted.
        LogLevel = "io.modelcontextprotocol/logLevel",
        /// The listen request that a notification belongs to.
        SubscriptionId = "io.modelcontextprotocol/subscriptionId",
        /// The server's name and version; unverified.
        ServerInfo = "io.modelcontextprotocol/serverInfo",
        /// The legacy task that a message belongs to.
        RelatedTask = "io.modelcontextprotocol/related-task",
        /// W3C Trace Context.
        TraceParent = "traceparent",
        /// W3C Trace Context.
        TraceState = "tracestate",
        /// W3C Baggage.
        Baggage = "baggage",
    }
}

names! {
    /// The members of `params.ref`.
    pub(super) enum RefKey {
        Type = "type",
        Name = "name",
        Uri = "uri",
    }
}

//! The members that are looked at, level by level.

/// The names of one level.
pub(super) trait Names: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The member of exactly this name. `word` is the name as [`word`] has it, or zero.
    fn exactly(name: &[u8], word: u64) -> Option<Self>;

    /// The name.
    fn name(self) -> &'static str;

    /// Its place in [`Names::ALL`].
    fn index(self) -> usize;
}

/// A name of up to eight bytes, the first one lowest and zeros behind the last; zero if it is longer.
const fn word(name: &[u8]) -> u64 {
    let (mut word, mut rest, mut shift) = (0, name, 0);
    while let [byte, more @ ..] = rest {
        if shift == u64::BITS {
            return 0;
        }
        word |= (*byte as u64) << shift;
        (rest, shift) = (more, shift + 8);
    }
    word
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
            fn exactly(name: &[u8], word: u64) -> Option<Self> {
                if word != 0 {
                    $(if const { self::word($name.as_bytes()) } == word { return Some(Self::$key); })*
                    return None;
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn each_is_found<K: Names + std::fmt::Debug>() {
        for key in K::ALL {
            let name = key.name().as_bytes();
            let short = word(name);
            assert_eq!(short == 0, name.len() > 8, "{key:?}");
            assert!(
                K::exactly(name, 0) == Some(*key) && K::exactly(name, short) == Some(*key),
                "{key:?}"
            );
            // Its begin alone, and what goes on, are no names that it could be taken for.
            for other in [&name[..name.len() - 1], &[name, b"x"].concat()] {
                let found = [0, word(other)].map(|word| K::exactly(other, word));
                assert!(found.iter().all(|found| *found != Some(*key)), "{key:?}");
            }
        }
    }

    #[test]
    fn names_are_found_by_their_bytes_and_by_their_words() {
        each_is_found::<EnvelopeKey>();
        each_is_found::<Key>();
        each_is_found::<MetaKey>();
        each_is_found::<RefKey>();
    }
}

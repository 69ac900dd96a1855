//! The proof, as a value, that a policy allowed one call.

use crate::{Level, ServerName, SmolStr};

/// Something that needs a permit.
pub trait Action: Send {
    /// The MCP method that carries it out.
    const METHOD: &'static str;

    /// How much a token has to allow at the server.
    const NEEDS: Level;

    /// Whether it is a call of its own, which every condition is about. What belongs to a call that was judged already, or only
    /// prepares one, is judged by those that look neither at arguments nor at the time.
    const IS_CALL: bool;

    /// The server that receives it.
    fn server(&self) -> &ServerName;

    /// The tool, prompt, resource or task, as the server knows it.
    fn target(&self) -> &SmolStr;
}

macro_rules! action {
    ($(#[$doc:meta])* $name:ident, $method:literal, $needs:ident, $is_call:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name {
            /// The server that receives it.
            pub server: ServerName,
            /// The tool, prompt, resource or task, as the server knows it.
            pub target: SmolStr,
        }

        impl Action for $name {
            const METHOD: &'static str = $method;
            const NEEDS: Level = Level::$needs;
            const IS_CALL: bool = $is_call;

            fn server(&self) -> &ServerName {
                &self.server
            }

            fn target(&self) -> &SmolStr {
                &self.target
            }
        }
    };
}

action!(
    /// Calling one tool of one server.
    CallTool, "tools/call", Write, true
);
action!(
    /// Reading, subscribing to or unsubscribing from one resource of one server.
    ReadResource, "resources/read", Read, true
);
action!(
    /// Fetching one prompt of one server.
    GetPrompt, "prompts/get", Read, true
);
action!(
    /// Fetching the manifest of one skill of one server.
    GetSkill, "skills/get", Read, true
);
action!(
    /// Listing what one directory of one server holds.
    ReadDirectory, "resources/directory/read", Read, true
);
action!(
    /// Completing an argument of one prompt or resource template of one server.
    Complete, "completion/complete", Read, false
);
action!(
    /// Asking for the state of one task of one server. A task is judged by the tool that it carries out.
    GetTask, "tasks/get", Read, false
);
action!(
    /// Giving one task of one server its inputs; the modern extension.
    UpdateTask, "tasks/update", Write, false
);
action!(
    /// Ending one task of one server.
    CancelTask, "tasks/cancel", Write, false
);
action!(
    /// Waiting for the result of one task of one server; 2025-11-25.
    AwaitTask, "tasks/result", Read, false
);

/// The proof that the policy allowed one action. Only [`super::check`] makes one; it is used up by sending.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a permit is for sending one call"]
pub struct Permit<A> {
    action: A,
}

impl<A: Action> Permit<A> {
    pub(super) fn new(action: A) -> Self {
        Self { action }
    }

    /// What was allowed.
    pub fn action(&self) -> &A {
        &self.action
    }

    /// Uses the permit up.
    pub fn into_action(self) -> A {
        self.action
    }
}

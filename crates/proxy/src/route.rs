//! From the name that a client uses to the server that owns it, within what the endpoint shows (P-106, P-107).

use bytes::Bytes;
use sallyport_core::policy::{
    self, Access, Asked, AwaitTask, CallTool, CancelTask, Complete, Denied, GetPrompt, GetSkill, GetTask,
    Permit, ReadDirectory, ReadResource, UpdateTask,
};
use sallyport_core::{ServerName, SmolStr};
use sallyport_mcp::catalogue::ListKind;
use sallyport_mcp::json;
use sallyport_mcp::method::Method;
use sallyport_mcp::splice::ObjectEdit;

use crate::caller::Caller;
use crate::exchange::{CallParts, OutboundCall};
use crate::world::Endpoint;

/// What a client asks for, by the name that it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A tool to call.
    Tool,
    /// A prompt to fetch.
    Prompt,
    /// A resource to read, or to follow.
    Resource,
    /// A skill whose manifest is to be fetched.
    Skill,
    /// A directory to look into.
    Directory,
    /// An argument of a prompt to complete.
    PromptArgument,
    /// A variable of a resource template to complete.
    TemplateVariable,
}

impl What {
    /// The method that carries a request for it out.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Tool => Method::ToolsCall,
            Self::Prompt => Method::PromptsGet,
            Self::Resource => Method::ResourcesRead,
            Self::Skill => Method::SkillsGet,
            Self::Directory => Method::DirectoryRead,
            Self::PromptArgument | Self::TemplateVariable => Method::Complete,
        }
    }
}

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// What is asked for.
    pub(crate) what: What,
    /// The name or URI that the client knows.
    pub(crate) visible: SmolStr,
    /// The server that owns it.
    pub(crate) server: ServerName,
    /// Its name or URI there.
    pub(crate) remote: SmolStr,
}

/// The permit for one request, of the kind that it needs.
#[must_use = "a permit is for sending one call"]
pub(crate) enum Allowed {
    Tool(Permit<CallTool>),
    Prompt(Permit<GetPrompt>),
    Resource(Permit<ReadResource>),
    Skill(Permit<GetSkill>),
    Directory(Permit<ReadDirectory>),
    Completion(Permit<Complete>),
    TaskGet(Permit<GetTask>),
    TaskUpdate(Permit<UpdateTask>),
    TaskCancel(Permit<CancelTask>),
    TaskResult(Permit<AwaitTask>),
}

/// What is done to a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TaskOp {
    /// Its state is asked for.
    Get,
    /// It is given inputs.
    Update,
    /// It is ended.
    Cancel,
    /// Its result is waited for.
    Result,
}

impl Allowed {
    /// Uses the permit up for the one call that it allows.
    pub(crate) fn into_call(self, parts: CallParts) -> OutboundCall {
        match self {
            Self::Tool(permit) => OutboundCall::new(permit, parts),
            Self::Prompt(permit) => OutboundCall::new(permit, parts),
            Self::Resource(permit) => OutboundCall::new(permit, parts),
            Self::Skill(permit) => OutboundCall::new(permit, parts),
            Self::Directory(permit) => OutboundCall::new(permit, parts),
            Self::Completion(permit) => OutboundCall::new(permit, parts),
            Self::TaskGet(permit) => OutboundCall::new(permit, parts),
            Self::TaskUpdate(permit) => OutboundCall::new(permit, parts),
            Self::TaskCancel(permit) => OutboundCall::new(permit, parts),
            Self::TaskResult(permit) => OutboundCall::new(permit, parts),
        }
    }
}

impl Route {
    /// Finds the owner of `visible`. What the endpoint does not show has none.
    pub(crate) fn find(endpoint: &Endpoint, what: What, visible: &str) -> Option<Self> {
        let found = match what {
            What::Tool => named(endpoint, ListKind::Tools, visible),
            What::Prompt | What::PromptArgument => named(endpoint, ListKind::Prompts, visible),
            What::Resource | What::Skill | What::Directory | What::TemplateVariable => {
                located(endpoint, visible)
            }
        }?;
        Some(Self {
            what,
            visible: found.visible,
            server: found.server,
            remote: found.remote,
        })
    }

    /// Judges the request with these raw arguments by the endpoint's rules. No rule means no.
    ///
    /// # Errors
    /// [`Denied`] says which rule was missing, for the trail; the client is told nothing of it.
    pub(crate) fn decide(&self, caller: &Caller, arguments: &[u8]) -> Result<Allowed, Denied> {
        let (rules, principal) = (&caller.endpoint.rules, &*caller.principal);
        let facts = caller.facts(arguments);
        let name = &*self.visible;
        let is_resource = !matches!(self.what, What::Tool | What::Prompt | What::PromptArgument);
        // A resource that is denied under its own URI is denied under a name with a prefix too.
        if is_resource && rules.resources.deny.iter().any(|glob| glob.matches(&self.remote)) {
            return Err(Denied::Rule);
        }
        let asked = |access| Asked {
            access,
            own: &self.remote,
            facts,
        };
        let (server, target) = (self.server.clone(), self.remote.clone());
        match self.what {
            What::Tool => {
                let action = CallTool { server, target };
                policy::check(rules, principal, &asked(Access::Tool(name)), action).map(Allowed::Tool)
            }
            What::Prompt => {
                let action = GetPrompt { server, target };
                policy::check(rules, principal, &asked(Access::Prompt(name)), action).map(Allowed::Prompt)
            }
            What::Resource => {
                let action = ReadResource { server, target };
                policy::check(rules, principal, &asked(Access::Resource(name)), action).map(Allowed::Resource)
            }
            What::Skill => {
                let action = GetSkill { server, target };
                policy::check(rules, principal, &asked(Access::Resource(name)), action).map(Allowed::Skill)
            }
            What::Directory => {
                let action = ReadDirectory { server, target };
                policy::check(rules, principal, &asked(Access::Resource(name)), action)
                    .map(Allowed::Directory)
            }
            What::PromptArgument => {
                let action = Complete { server, target };
                policy::check(rules, principal, &asked(Access::Prompt(name)), action).map(Allowed::Completion)
            }
            What::TemplateVariable => {
                let action = Complete { server, target };
                policy::check(rules, principal, &asked(Access::Template(name)), action)
                    .map(Allowed::Completion)
            }
        }
    }

    /// Finds a tool by its server and the server's own name for it; its visible name may have changed.
    pub(crate) fn of_tool(endpoint: &Endpoint, server: &ServerName, remote: &str) -> Option<Self> {
        let tools = endpoint.merged.list(ListKind::Tools);
        let entry = tools
            .iter()
            .find(|e| e.server == *server && *e.remote == *remote)?;
        Some(Self {
            what: What::Tool,
            visible: SmolStr::new(&entry.visible),
            server: entry.server.clone(),
            remote: SmolStr::new(&entry.remote),
        })
    }

    /// Judges what is done to a task of this tool, by the rules for the tool. `task` is the server's own id.
    ///
    /// # Errors
    /// [`Denied`], as for a call of the tool.
    pub(crate) fn decide_task(&self, op: TaskOp, task: &str, caller: &Caller) -> Result<Allowed, Denied> {
        let (rules, principal) = (&caller.endpoint.rules, &*caller.principal);
        let asked = Asked {
            access: Access::Tool(&self.visible),
            own: &self.remote,
            facts: caller.facts(&[]),
        };
        let (server, target) = (self.server.clone(), SmolStr::new(task));
        match op {
            TaskOp::Get => {
                policy::check(rules, principal, &asked, GetTask { server, target }).map(Allowed::TaskGet)
            }
            TaskOp::Update => policy::check(rules, principal, &asked, UpdateTask { server, target })
                .map(Allowed::TaskUpdate),
            TaskOp::Cancel => policy::check(rules, principal, &asked, CancelTask { server, target })
                .map(Allowed::TaskCancel),
            TaskOp::Result => {
                policy::check(rules, principal, &asked, AwaitTask { server, target }).map(Allowed::TaskResult)
            }
        }
    }

    /// The parameters with the server's own name in the place of `named`, the one that the client used.
    pub(crate) fn rename(&self, named: &str, params: Bytes) -> Bytes {
        if *self.remote == *named {
            return params;
        }
        let Ok(mut edit) = ObjectEdit::new(&params) else {
            return params;
        };
        let remote = json::quote(&self.remote);
        match self.what {
            What::Tool | What::Prompt => edit.set("name", remote),
            What::Resource | What::Skill | What::Directory => edit.set("uri", remote),
            What::PromptArgument | What::TemplateVariable => {
                let member = if self.what == What::PromptArgument {
                    "name"
                } else {
                    "uri"
                };
                let reference = edit.object().get("ref").map(ObjectEdit::new);
                let Some(Ok(mut reference)) = reference else {
                    return params;
                };
                reference.set(member, remote);
                edit.set("ref", reference.finish())
            }
        };
        edit.finish().into()
    }
}

struct Found {
    server: ServerName,
    remote: SmolStr,
    visible: SmolStr,
}

fn named(endpoint: &Endpoint, kind: ListKind, visible: &str) -> Option<Found> {
    let entry = endpoint.merged.owner(kind, visible)?;
    Some(Found {
        server: entry.server.clone(),
        remote: SmolStr::new(&entry.remote),
        visible: visible.into(),
    })
}

/// A resource is found by its URI in the lists, by the label before it, or by a template that it fits. It is judged
/// under the one name that clients see it under: another spelling is no way around a rule. What no list names is judged
/// by its text alone, so nothing in that text may climb out of the path that a rule allows.
fn located(endpoint: &Endpoint, uri: &str) -> Option<Found> {
    let listed = |kind| endpoint.merged.owner(kind, uri).is_some();
    let lists = [ListKind::Resources, ListKind::Templates, ListKind::Skills];
    if !lists.into_iter().any(listed) && climbs(uri) {
        return None;
    }
    let route = endpoint.merged.route_uri(uri)?;
    let visible = endpoint.merged.visible_uri(route.server, &route.remote);
    Some(Found {
        server: route.server.clone(),
        visible: visible.into(),
        remote: route.remote.into(),
    })
}

fn climbs(uri: &str) -> bool {
    let plain = uri
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace(['\\', '?', '#'], "/");
    plain.split('/').any(|segment| segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlisted_uris_cannot_climb() {
        for bad in [
            "file:///pub/../etc",
            "file:///pub/%2E%2e/etc",
            "file:///a/..%2fb",
            "file:///a/..",
            "x:..\\\\y/..",
            "f:///a/..?q",
        ] {
            assert!(climbs(bad), "{bad}");
        }
        for good in ["file:///a/..b/c", "file:///a/...", "urn:x..y", "a://b/./c"] {
            assert!(!climbs(good), "{good}");
        }
    }
}

//! Client capabilities.

use std::fmt;

use super::server::UI_EXTENSION;
use crate::json::{Object, is_object};
use crate::method::Method;
use crate::revision::Era;
use crate::splice::ObjectEdit;
use crate::tasks::EXTENSION;

/// What a client can do for a server, as far as it decides anything, and in its own words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCapabilities {
    raw: Vec<u8>,
    profile: Profile,
    tasks: bool,
}

/// The capabilities that a legacy server is told once and for all in `initialize`. Clients with the same profile can
/// follow one another on one session; others cannot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Profile(u8);

impl Profile {
    /// `roots`.
    pub const ROOTS: Self = Self(1);
    /// `sampling`.
    pub const SAMPLING: Self = Self(1 << 1);
    /// `sampling.tools`.
    pub const SAMPLING_TOOLS: Self = Self(1 << 2);
    /// `sampling.context`.
    pub const SAMPLING_CONTEXT: Self = Self(1 << 3);
    /// `elicitation.form`, or `elicitation` without a mode.
    pub const FORM: Self = Self(1 << 4);
    /// `elicitation.url`.
    pub const URL: Self = Self(1 << 5);
    /// The MCP Apps extension.
    pub const UI: Self = Self(1 << 6);

    /// Whether all of `other` is in here.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is nothing in here: then a server has nothing to ask of the client.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// A number for keys of pools.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Profile, &str); 7] = [
            (Profile::ROOTS, "roots"),
            (Profile::SAMPLING, "sampling"),
            (Profile::SAMPLING_TOOLS, "sampling.tools"),
            (Profile::SAMPLING_CONTEXT, "sampling.context"),
            (Profile::FORM, "elicitation.form"),
            (Profile::URL, "elicitation.url"),
            (Profile::UI, "ui"),
        ];
        f.debug_set()
            .entries(
                NAMES
                    .iter()
                    .filter(|(bit, _)| self.has(*bit))
                    .map(|(_, name)| name),
            )
            .finish()
    }
}

impl ClientCapabilities {
    /// Reads a raw `capabilities` object; what is no object has none.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Self {
        let Ok(object) = Object::read(raw) else {
            return Self {
                raw: b"{}".to_vec(),
                profile: Profile::default(),
                tasks: false,
            };
        };
        let part = |key: &str| object.get(key).filter(|raw| is_object(raw));
        let inner =
            |raw: &[u8], key: &str| Object::read(raw).is_ok_and(|o| o.get(key).is_some_and(is_object));
        let mut profile = Profile::default();
        let mut add = |there: bool, bit: Profile| {
            if there {
                profile = profile.with(bit);
            }
        };
        add(part("roots").is_some(), Profile::ROOTS);
        if let Some(sampling) = part("sampling") {
            add(true, Profile::SAMPLING);
            add(inner(sampling, "tools"), Profile::SAMPLING_TOOLS);
            add(inner(sampling, "context"), Profile::SAMPLING_CONTEXT);
        }
        if let Some(elicitation) = part("elicitation") {
            let url = inner(elicitation, "url");
            // `{}` means forms (2025-11-25, Elicitation); `{"url":{}}` means URLs only.
            add(!url || inner(elicitation, "form"), Profile::FORM);
            add(url, Profile::URL);
        }
        add(
            part("extensions").is_some_and(|raw| inner(raw, UI_EXTENSION)),
            Profile::UI,
        );
        Self {
            raw: raw.to_vec(),
            profile,
            tasks: part("extensions").is_some_and(|raw| inner(raw, EXTENSION)),
        }
    }

    /// The raw object.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What decides.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Whether it declared the tasks extension. It is no part of the profile: no legacy server is told of it.
    #[must_use]
    pub fn tasks(&self) -> bool {
        self.tasks
    }

    /// The raw object without the tasks extension.
    #[must_use]
    pub fn without_tasks(&self) -> Vec<u8> {
        self.with_extension(false)
    }

    /// What a server of the era `server` is told for a client of the era `client`: the client's own words without what
    /// the gateway does not carry between the two. Tasks of 2025-11-25 that a client carries out are not among it. A
    /// modern server is told of the tasks extension where the client declared it, and for every legacy client, whose
    /// tasks the gateway sees to the end itself.
    #[must_use]
    pub fn for_server(&self, server: Era, client: Era) -> Vec<u8> {
        let raw = self.with_extension(server == Era::Modern && (self.tasks || client == Era::Legacy));
        let Ok(mut edit) = ObjectEdit::new(&raw) else {
            return raw;
        };
        edit.remove("tasks");
        edit.finish()
    }

    fn with_extension(&self, tasks: bool) -> Vec<u8> {
        let Ok(mut edit) = ObjectEdit::new(&self.raw) else {
            return b"{}".to_vec();
        };
        let extensions = edit.object().get("extensions");
        if self.tasks == tasks && (tasks || extensions.is_none()) {
            return edit.finish();
        }
        let Ok(mut extensions) = ObjectEdit::new(extensions.filter(|raw| is_object(raw)).unwrap_or(b"{}"))
        else {
            return edit.finish();
        };
        if tasks {
            extensions.set(EXTENSION, *b"{}");
        } else {
            extensions.remove(EXTENSION);
        }
        edit.set("extensions", extensions.finish());
        edit.finish()
    }

    /// Whether a server may ask this of the client, given the raw `params` of its request (2025-11-25, Capability
    /// Negotiation; 2026-07-28, Multi Round-Trip Requests).
    #[must_use]
    pub fn allow(&self, method: Method, params: Option<&[u8]>) -> bool {
        let object = Object::read(params.unwrap_or(b"{}")).ok();
        let has = |key: &str| object.as_ref().is_some_and(|o| o.get(key).is_some());
        match method {
            Method::RootsList => self.profile.has(Profile::ROOTS),
            Method::SamplingCreate if has("tools") || has("toolChoice") => {
                self.profile.has(Profile::SAMPLING.with(Profile::SAMPLING_TOOLS))
            }
            Method::SamplingCreate => self.profile.has(Profile::SAMPLING),
            Method::ElicitationCreate => match object.as_ref().and_then(|o| o.text("mode")).as_deref() {
                Some("url") => self.profile.has(Profile::URL),
                Some("form") => self.profile.has(Profile::FORM),
                None if !has("mode") => self.profile.has(Profile::FORM),
                _ => false,
            },
            _ => false,
        }
    }
}

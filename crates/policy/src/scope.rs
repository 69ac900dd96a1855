//! The variables of expressions.

use std::collections::HashMap;
use std::sync::OnceLock;

use cel::common::types::{CelBool, CelList, CelMap, CelMapKey, CelString, CelTimestamp};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use chrono::DateTime;
use sallyport_core::Timestamp;
use sallyport_core::policy::{Access, Case};

use crate::json::Boxed;
use crate::people::{Kind, People};

/// What an expression may name.
pub(crate) const VARIABLES: [&str; 10] = [
    "principal",
    "profile",
    "server",
    "method",
    "tool",
    "prompt",
    "resource",
    "target",
    "args",
    "now",
];

/// The fields of `principal`.
pub(crate) const PRINCIPAL: [&str; 7] = ["id", "name", "kind", "groups", "admin", "client", "scopes"];

/// The values of the variables for one call, made when they are asked for.
pub(crate) struct Scope<'a> {
    case: &'a Case<'a>,
    profile: &'a str,
    people: &'a People,
    principal: OnceLock<Boxed<'a>>,
    /// The arguments, where they are read.
    pub(crate) args: Option<Boxed<'a>>,
    /// The time, where it is read.
    pub(crate) now: Option<Timestamp>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(case: &'a Case<'a>, profile: &'a str, people: &'a People) -> Self {
        Self {
            case,
            profile,
            people,
            principal: OnceLock::new(),
            args: None,
            now: None,
        }
    }

    fn principal(&self) -> Boxed<'a> {
        let principal = self.case.principal;
        let (id, person) = (principal.user.as_str(), self.people.get(&principal.user));
        let groups = person.map_or(&[][..], |person| &person.groups);
        let mut scopes = principal.scopes.iter().map(|scope| scope.as_str());
        let texts = |texts: &mut dyn Iterator<Item = &'a str>| -> Boxed<'a> {
            Box::new(CelList::from(texts.map(text).collect::<Vec<_>>()))
        };
        let fields: [(&'static str, Boxed<'a>); 7] = [
            ("id", text(id)),
            ("name", text(person.map_or(id, |person| &person.name))),
            (
                "kind",
                text(person.map_or(Kind::Foreign, |person| person.kind).as_str()),
            ),
            ("groups", texts(&mut groups.iter().map(|group| &**group))),
            (
                "admin",
                Box::new(CelBool::from(person.is_some_and(|person| person.admin))),
            ),
            ("client", text(principal.client.as_str())),
            ("scopes", texts(&mut scopes)),
        ];
        let fields = fields
            .into_iter()
            .map(|(name, value)| (CelMapKey::from(name), value));
        Box::new(CelMap::from(fields.collect::<HashMap<_, _>>()))
    }
}

fn text(text: &str) -> Boxed<'_> {
    Box::new(CelString::from(text))
}

/// A point of time as CEL has it; none beyond what a calendar reaches.
fn time(at: Timestamp) -> Option<CelTimestamp> {
    let at = DateTime::from_timestamp_millis(at.as_millis())?;
    Some(CelTimestamp::from(at.fixed_offset()))
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let case = self.case;
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        match variable {
            "principal" => Some(CowVal::Borrowed(
                &**self.principal.get_or_init(|| self.principal()),
            )),
            "profile" => text(self.profile),
            "server" => text(case.server.as_str()),
            "method" => text(case.method),
            "tool" => text(if let Access::Tool(name) = case.access {
                name
            } else {
                ""
            }),
            "prompt" => text(if let Access::Prompt(name) = case.access {
                name
            } else {
                ""
            }),
            "resource" => text(match case.access {
                Access::Resource(name) | Access::Template(name) => name,
                Access::Tool(_) | Access::Prompt(_) => "",
            }),
            "target" => text(case.own),
            "args" => self.args.as_deref().map(CowVal::Borrowed),
            "now" => self.now.and_then(time).map(CowVal::owned),
            _ => None,
        }
    }
}

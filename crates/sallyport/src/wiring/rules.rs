//! The rules of profiles, and what they know of people.

use std::collections::HashMap;
use std::sync::Arc;

use sallyport_core::UserId;
use sallyport_core::policy::Conditions;
use sallyport_oauth::provider::admission::GITHUB;
use sallyport_oauth::{display, own_name};
use sallyport_policy::{Kind, People, Person, RuleSet};

use super::plan::{LOCAL_USER, OPERATOR, Sources};
use crate::config::profiles::Profile;

/// The rules of a profile; `None` where it has none. `people` are told once for all of them.
pub(super) fn conditions(
    slug: &str,
    profile: &Profile,
    people: &mut Option<Arc<People>>,
    sources: &Sources<'_>,
) -> Option<Arc<dyn Conditions>> {
    if profile.rules.is_empty() {
        return None;
    }
    let people = people.get_or_insert_with(|| Arc::new(everybody(sources)));
    let rules = profile.rules.iter().filter_map(|text| text.rule());
    Some(Arc::new(RuleSet::new(slug, rules.collect(), Arc::clone(people))))
}

/// Everybody of whom more is known than the id.
fn everybody(sources: &Sources<'_>) -> People {
    let mut groups: HashMap<&UserId, Vec<Box<str>>> = HashMap::new();
    for (id, of) in sources.groups {
        groups.insert(id, of.iter().map(|group| group.as_str().into()).collect());
    }
    for (id, identity) in sources.identities {
        let fold = |group: &String| match identity.provider.as_str() {
            // There case is without meaning.
            GITHUB => group.to_lowercase().into(),
            _ => group.as_str().into(),
        };
        groups.insert(id, identity.groups.iter().map(fold).collect());
    }
    let people = sources.users.iter().map(|user| {
        let groups = groups.remove(&user.id).unwrap_or_default();
        (
            user.id.clone(),
            person(&user.name, Kind::Person, groups, user.admin),
        )
    });
    let mut people: People = people.collect();
    let clients = sources.clients.iter().filter_map(|client| {
        // As lists of users have it: a client may call itself what a person is called.
        let name = format!("client:{}", display::client_name(client)?);
        Some((
            own_name::user(&client.id),
            person(&name, Kind::Client, Vec::new(), false),
        ))
    });
    people.extend(clients);
    let alone = [OPERATOR, LOCAL_USER];
    people.extend(alone.map(|id| (UserId::new(id), person(id, Kind::Operator, Vec::new(), false))));
    people
}

fn person(name: &str, kind: Kind, groups: Vec<Box<str>>, admin: bool) -> Person {
    Person {
        name: name.into(),
        kind,
        groups: groups.into(),
        admin,
    }
}

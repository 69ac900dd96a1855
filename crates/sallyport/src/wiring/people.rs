//! People of identity providers: who of them is let in, and which profiles they may use.

use std::collections::BTreeMap;

use sallyport_authserver::People;
use sallyport_core::UserId;
use sallyport_oauth::model::User;
use sallyport_oauth::provider::Identity;
use sallyport_oauth::provider::admission::GITHUB;

use super::plan::Sources;
use crate::config::people::admission;
use crate::config::profiles::Names;

/// What begins the name of a group in the lists of profiles.
const GROUP: &str = "group:";

/// What begins the name of a group of local people.
const LOCAL: &str = "local:";

/// What the lists of profiles call administrators, whoever says that they are.
const ADMINS: &str = "role:admin";

/// What the authorization server is told.
pub(super) fn people(sources: &Sources<'_>) -> People {
    let auth = &sources.config.root.auth;
    let (admits, admins) = (admission(&auth.allow_users), admission(&auth.admins));
    let entries = admits.entries().iter().chain(admins.entries());
    let profiles = sources.config.root.profiles.iter();
    let mut listed = profiles.flat_map(|row| row.value.value.users.patterns());
    let organisations =
        entries.into_iter().any(|entry| entry.needs_organisations()) || listed.any(is_of_organisations);
    let oidc = auth
        .oidc
        .iter()
        .filter_map(|row| row.value.value.provider(&row.key));
    People {
        github: auth.github.as_ref().and_then(|app| app.github(organisations)),
        oidc: oidc.collect(),
        admission: admits,
        admins,
        barred: barred(sources).into_iter().collect(),
    }
}

fn is_of_organisations(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix("github:").unwrap_or(pattern);
    let pattern = pattern.strip_prefix(GROUP).unwrap_or(pattern);
    pattern.starts_with("org:") || pattern.starts_with("team:")
}

/// Those who came through a provider once and would not be let in now: the list has changed, or a group, or the provider
/// is no longer there.
pub(super) fn barred(sources: &Sources<'_>) -> Vec<UserId> {
    let auth = &sources.config.root.auth;
    let admits = admission(&auth.allow_users);
    let names = names(sources);
    let is_there = |identity: &Identity| match identity.provider.as_str() {
        GITHUB => auth.github.is_some(),
        name => auth.oidc.get(name).is_some(),
    };
    let let_in = |id: &UserId, identity: &Identity| {
        is_there(identity) && names.get(id).is_none_or(|name| admits.admits(identity, name))
    };
    let all = sources.identities.iter();
    all.filter(|(id, identity)| !let_in(id, identity))
        .map(|(id, _)| id.clone())
        .collect()
}

/// Who is on the list of a profile, by name or by group; who is denied by either is not.
pub(super) fn admitted(names: &Names, sources: &Sources<'_>) -> Vec<UserId> {
    let (exact, folded) = (names.selection(), names.folded());
    let barred = barred(sources);
    let identities: BTreeMap<&UserId, &Identity> =
        sources.identities.iter().map(|(id, who)| (id, who)).collect();
    let local: BTreeMap<&UserId, &Vec<String>> = sources.groups.iter().map(|(id, of)| (id, of)).collect();
    let is_listed = |user: &User| {
        let name = user.name.to_lowercase();
        let mut groups = match (identities.get(&user.id), local.get(&user.id)) {
            (Some(identity), _) => spellings(identity),
            (None, Some(groups)) => local_spellings(groups),
            (None, None) => Vec::new(),
        };
        groups.extend(user.admin.then(|| (ADMINS.to_owned(), true)));
        let matches = |one: &dyn Fn(&str, bool) -> bool| {
            one(&name, true) || groups.iter().any(|(group, folds)| one(group, *folds))
        };
        let list = |folds: bool| if folds { &folded } else { &exact };
        let denied = matches(&|text, folds| list(folds).deny.iter().any(|glob| glob.matches(text)));
        !denied && matches(&|text, folds| list(folds).allow.iter().any(|glob| glob.matches(text)))
    };
    let users = sources.users.iter();
    let listed = users.filter(|user| !barred.contains(&user.id) && is_listed(user));
    listed.map(|user| user.id.clone()).collect()
}

/// How the lists may name a person's groups, and whether case is without meaning: at GitHub it is.
fn spellings(identity: &Identity) -> Vec<(String, bool)> {
    let github = identity.provider == GITHUB;
    let mut all = Vec::new();
    for group in &identity.groups {
        let group = if github {
            group.to_lowercase()
        } else {
            group.clone()
        };
        all.push((format!("{GROUP}{group}"), github));
        all.push((format!("{}:{GROUP}{group}", identity.provider), github));
        if github {
            all.push((group, true));
        }
    }
    all
}

/// The same of the groups of somebody local, which are the operator's own words.
fn local_spellings(groups: &[String]) -> Vec<(String, bool)> {
    let spelled = |group: &String| [format!("{GROUP}{group}"), format!("{LOCAL}{GROUP}{group}")];
    groups
        .iter()
        .flat_map(spelled)
        .map(|group| (group, false))
        .collect()
}

fn names<'a>(sources: &Sources<'a>) -> BTreeMap<&'a UserId, &'a str> {
    let users = sources.users.iter();
    users.map(|user| (&user.id, user.name.as_str())).collect()
}

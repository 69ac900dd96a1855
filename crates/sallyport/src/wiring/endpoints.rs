//! The endpoints in front: profiles, and servers alone.

use std::collections::BTreeMap;

use sallyport_core::policy::{Glob, Rules, Selection};
use sallyport_core::{ProfileSlug, Resource, ServerName, UserId};
use sallyport_oauth::{display, own_name};
use sallyport_proxy::spec::{EndpointKind, EndpointSpec, Naming, ServerSpec, Spoken, Transport};

use super::plan::{OPERATOR, Sources, resource};
use super::{people, rules};
use crate::base::StartError;
use crate::config::profiles::{Names, Pattern, Profile};

/// The profile that is also `/mcp`.
pub(super) const DEFAULT: &str = "default";

/// Its path.
pub(super) const DEFAULT_PATH: &str = "/mcp";

/// A profile for each of the file's, or `default` with everything; and each server alone that a profile shows whole.
pub(super) fn endpoints(
    sources: &Sources<'_>,
    servers: &[ServerSpec],
    notes: &mut Vec<String>,
) -> Result<Vec<EndpointSpec>, StartError> {
    let general = &sources.config.root.protocol;
    let mut endpoints = Vec::new();
    let mut alone: BTreeMap<ServerName, Selection> = BTreeMap::new();
    let mut people = None;
    for (slug, profile) in profiles(sources) {
        let shown = shown(&slug, &profile, servers, notes);
        let rules = Rules {
            conditions: rules::conditions(slug.as_str(), &profile, &mut people, sources),
            ..names(&profile, sources)
        };
        // Names are never changed there, so rules over changed names could not be judged.
        if profile.is_open() {
            for name in &shown {
                join(alone.entry(name.clone()).or_default(), &rules.users);
            }
        }
        let mut paths = vec![format!("/mcp/{slug}")];
        if slug.as_str() == DEFAULT {
            paths.insert(0, DEFAULT_PATH.to_owned());
        }
        endpoints.push(EndpointSpec {
            resources: resources(sources.origin, &paths)?,
            kind: EndpointKind::Profile(slug),
            paths,
            servers: shown,
            naming: Naming::from(profile.naming),
            rules,
            asks: profile.tools.asks(),
            spoken: Spoken::from(profile.protocol.as_ref().unwrap_or(general)),
        });
    }
    for (name, users) in alone {
        let paths = vec![format!("/servers/{name}/mcp")];
        endpoints.push(EndpointSpec {
            resources: resources(sources.origin, &paths)?,
            kind: EndpointKind::Server(name.clone()),
            paths,
            servers: vec![name],
            naming: Naming::OnCollision,
            rules: Rules {
                users,
                ..Rules::open()
            },
            asks: Vec::new(),
            spoken: Spoken::from(general),
        });
    }
    Ok(endpoints)
}

fn profiles(sources: &Sources<'_>) -> Vec<(ProfileSlug, Profile)> {
    let configured = &sources.config.root.profiles;
    if configured.0.is_empty() {
        let slug = ProfileSlug::parse(DEFAULT).ok();
        return slug
            .map(|slug| (slug, Profile::everything()))
            .into_iter()
            .collect();
    }
    configured
        .iter()
        .map(|row| (row.key.clone(), row.value.value.clone()))
        .collect()
}

fn resources(origin: &str, paths: &[String]) -> Result<Vec<Resource>, StartError> {
    paths.iter().map(|path| resource(origin, path)).collect()
}

/// The servers of a profile in its order, each once. The demo is for `default` only.
fn shown(
    slug: &ProfileSlug,
    profile: &Profile,
    servers: &[ServerSpec],
    notes: &mut Vec<String>,
) -> Vec<ServerName> {
    let is_default = slug.as_str() == DEFAULT;
    let all = servers
        .iter()
        .filter(|server| is_default || !matches!(server.transport, Transport::Demo));
    let all: Vec<&ServerName> = all.map(|server| &server.name).collect();
    let mut shown: Vec<ServerName> = Vec::new();
    for wanted in &profile.servers {
        let found: Vec<&ServerName> = all
            .iter()
            .copied()
            .filter(|name| wanted.value == Profile::ALL || name.as_str() == wanted.value)
            .collect();
        if found.is_empty() && wanted.value != Profile::ALL {
            notes.push(format!(
                "profile `{slug}` names the server `{}`, which is not there any more",
                wanted.value
            ));
        }
        for name in found {
            if !shown.contains(name) {
                shown.push(name.clone());
            }
        }
    }
    shown
}

fn names(profile: &Profile, sources: &Sources<'_>) -> Rules {
    let mut users = admitted(&profile.users, sources);
    if sources.config.stdio {
        // Who can start the gateway can read every key; the lists of names hold all the same.
        users.allow.extend(Glob::parse(OPERATOR).ok());
    }
    Rules {
        users,
        tools: profile.tools.selection(),
        prompts: profile.prompts.selection(),
        resources: profile.resources.selection(),
        conditions: None,
    }
}

/// The file names people by their names and groups, and clients in their own name as `client:NAME`; the policy knows both by their
/// ids, which are never used again.
fn admitted(names: &Names, sources: &Sources<'_>) -> Selection {
    if names.is_open() {
        return Selection {
            deny: ids(people::barred(sources)),
            ..Selection::all()
        };
    }
    let users = people::admitted(names, sources);
    let others = foreign(names, sources);
    let names = names.folded();
    let clients = sources.clients.iter().filter_map(|client| {
        let name = display::client_name(client)?.to_lowercase();
        Some((format!("client:{name}"), own_name::user(&client.id)))
    });
    let clients = clients.filter(|(name, _)| names.admits(name)).map(|(_, id)| id);
    let mut allow = ids(users.into_iter().chain(clients));
    allow.extend(others.allow);
    Selection {
        allow,
        deny: others.deny,
    }
}

/// People of other issuers are known by what their tokens say, so that patterns are judged when they come: `NAME:ada@*`.
fn foreign(names: &Names, sources: &Sources<'_>) -> Selection {
    let issuers = &sources.config.root.auth.issuers;
    let of_all = |pattern: &str| {
        let prefixes = issuers.iter().map(|row| format!("{}:", row.key));
        let fitting = prefixes.filter_map(|prefix| match pattern {
            "*" => Some(format!("{prefix}*")),
            _ => pattern.starts_with(&prefix).then(|| pattern.to_owned()),
        });
        fitting
            .filter_map(|glob| Glob::parse(&glob).ok())
            .collect::<Vec<_>>()
    };
    let globs = |patterns: &[Pattern]| patterns.iter().flat_map(|p| of_all(p.as_str())).collect();
    Selection {
        allow: globs(&names.allow),
        deny: globs(&names.deny),
    }
}

fn ids(ids: impl IntoIterator<Item = UserId>) -> Vec<Glob> {
    let ids = ids.into_iter();
    ids.filter_map(|id| Glob::parse(id.as_str()).ok()).collect()
}

fn join(all: &mut Selection, more: &Selection) {
    all.allow.extend(more.allow.iter().cloned());
    for denied in &more.deny {
        if !all.deny.contains(denied) {
            all.deny.push(denied.clone());
        }
    }
}

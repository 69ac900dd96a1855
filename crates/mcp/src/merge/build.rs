//! Making the table: who claims what, and what it is called.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sallyport_core::ServerName;
use sallyport_core::map::Map;
use thiserror::Error;

use super::names::{imitates_prefix, prefixed_name};
use super::table::{Entry, Merged, Owner};
use super::uris::{labels, prefixed_uri, split_label};
use crate::catalogue::{Catalogue, Item, ListKind, SkillFiles, skill_root};
use crate::json::{Object, elements, quote};
use crate::splice::{Edits, ObjectEdit};

/// When names are prefixed with the server's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Naming {
    /// Only names that two servers share; then both are prefixed.
    #[default]
    OnCollision,
    /// All names.
    Always,
    /// None; a collision is an error.
    Never,
}

/// Two servers claim one name, and names are not to be changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the servers `{first}` and `{second}` both have `{key}` in {}", .kind.method().as_str())]
pub struct CollisionError {
    /// In which list.
    pub kind: ListKind,
    /// What both claim.
    pub key: String,
    /// The server that comes first.
    pub first: ServerName,
    /// The other.
    pub second: ServerName,
}

/// Merges what servers offer, in the order given. `admit` is asked with the visible name; what it does not admit is not
/// in the lists, and changes no other name.
///
/// # Errors
/// [`CollisionError`] under [`Naming::Never`].
pub fn merge(
    servers: &[(ServerName, &Catalogue)],
    naming: Naming,
    admit: impl Fn(ListKind, &str) -> bool,
) -> Result<Merged, CollisionError> {
    let names: Vec<ServerName> = servers.iter().map(|(name, _)| name.clone()).collect();
    let mut merged = Merged {
        labels: labels(&names),
        servers: names,
        ..Merged::default()
    };
    claim_uris(&mut merged, servers);
    for kind in ListKind::ALL {
        let entries = entries(&merged, servers, (kind, naming), &admit)?;
        let index = entries
            .iter()
            .enumerate()
            .map(|(i, e)| (e.visible.clone(), i))
            .collect();
        if let Some(slot) = merged.index.get_mut(kind as usize) {
            *slot = index;
        }
        match kind {
            ListKind::Tools => merged.tools = entries,
            ListKind::Prompts => merged.prompts = entries,
            ListKind::Resources => merged.resources = entries,
            ListKind::Templates => merged.templates = entries,
            ListKind::Skills => merged.skills = entries,
        }
    }
    Ok(merged)
}

/// Notes whose each URI is, before anything is renamed.
fn claim_uris(merged: &mut Merged, servers: &[(ServerName, &Catalogue)]) {
    for (place, (_, catalogue)) in servers.iter().enumerate() {
        for item in &catalogue.resources {
            claim(&mut merged.owners, &item.key, place);
        }
        for item in &catalogue.skills {
            claim_skill(merged, item, place);
        }
    }
    let mut templates = Map::default();
    for (place, (_, catalogue)) in servers.iter().enumerate() {
        for item in &catalogue.templates {
            claim(&mut templates, &item.key, place);
        }
    }
    merged.owned_templates = templates.into_iter().collect();
}

/// A skill's files are its server's, and so is everything in its directory.
fn claim_skill(merged: &mut Merged, skill: &Item, place: usize) {
    claim(&mut merged.owners, &skill.key, place);
    if let Some(root) = skill_root(&skill.key) {
        claim(&mut merged.owned_roots, root, place);
    }
    let files = crate::json::find(&skill.raw, "resources").and_then(SkillFiles::read);
    if let Some(SkillFiles::Listed(files)) = files {
        for file in files {
            claim(&mut merged.owners, &file, place);
        }
    }
}

fn claim(owners: &mut Map<Box<str>, Owner>, key: &str, place: usize) {
    let owner = owners.entry(key.into()).or_insert(Owner::One(place));
    if *owner != Owner::One(place) {
        *owner = Owner::Several;
    }
}

fn entries(
    merged: &Merged,
    servers: &[(ServerName, &Catalogue)],
    (kind, naming): (ListKind, Naming),
    admit: &impl Fn(ListKind, &str) -> bool,
) -> Result<Vec<Entry>, CollisionError> {
    let mut claims: HashMap<&str, (usize, bool)> = HashMap::new();
    for (place, (server, catalogue)) in servers.iter().enumerate() {
        for item in catalogue.list(kind) {
            let (first, shared) = claims.entry(&item.key).or_insert((place, false));
            if *first != place {
                *shared = true;
                if naming == Naming::Never {
                    return Err(CollisionError {
                        kind,
                        key: item.key.to_string(),
                        first: servers
                            .get(*first)
                            .map_or_else(|| server.clone(), |(name, _)| name.clone()),
                        second: server.clone(),
                    });
                }
            }
        }
    }
    let mut taken: HashSet<Box<str>> = HashSet::new();
    let mut out = Vec::new();
    for (place, (server, catalogue)) in servers.iter().enumerate() {
        for item in catalogue.list(kind) {
            let shared = claims.get(&*item.key).is_some_and(|(_, shared)| *shared);
            let visible = visible_key(merged, (kind, naming), place, &item.key, shared);
            // Two that come out alike, after cutting, are the same server's: the first stays.
            if taken.insert(visible.as_ref().into()) && admit(kind, &visible) {
                out.push(entry(merged, (kind, admit), server, item, &visible));
            }
        }
    }
    Ok(out)
}

fn visible_key<'i>(
    merged: &Merged,
    (kind, naming): (ListKind, Naming),
    place: usize,
    key: &'i str,
    shared: bool,
) -> Cow<'i, str> {
    let (Some(server), Some(label)) = (merged.servers.get(place), merged.labels.get(place)) else {
        return Cow::Borrowed(key);
    };
    let alone = merged.servers.len() < 2;
    match kind {
        _ if naming == Naming::Never => Cow::Borrowed(key),
        ListKind::Tools | ListKind::Prompts => {
            let imitates = !alone && imitates_prefix(key, &merged.servers);
            if naming == Naming::Always || shared || imitates {
                Cow::Owned(prefixed_name(server, key))
            } else {
                Cow::Borrowed(key)
            }
        }
        // Whether a skill is shared shows at its directory, which two of them may have with other files in it.
        ListKind::Skills => {
            let own = |uri| match merged.route_uri(uri) {
                Some(route) => route.server == server && route.remote == *uri,
                None => false,
            };
            if alone || own(key) {
                Cow::Borrowed(key)
            } else {
                Cow::Owned(prefixed_uri(label, key))
            }
        }
        ListKind::Resources | ListKind::Templates => {
            if shared || (!alone && split_label(key, &merged.labels).is_some()) {
                Cow::Owned(prefixed_uri(label, key))
            } else {
                Cow::Borrowed(key)
            }
        }
    }
}

fn entry(
    merged: &Merged,
    (kind, admit): (ListKind, &impl Fn(ListKind, &str) -> bool),
    server: &ServerName,
    item: &Item,
    visible: &str,
) -> Entry {
    let mut edits = Edits::new();
    if let Ok(object) = Object::read(&item.raw) {
        if visible != &*item.key {
            let member = object.members().iter().find(|m| m.is(kind.key()));
            if let Some(member) = member {
                edits.replace(member.value_span, quote(visible));
            }
        }
        match kind {
            ListKind::Tools => ui_uri(merged, server, admit, &object, &mut edits),
            ListKind::Skills => manifest(merged, server, &object, &mut edits),
            _ => {}
        }
    }
    let raw = if edits.is_empty() {
        item.raw.clone()
    } else {
        edits.apply(&item.raw).into()
    };
    Entry {
        visible: visible.into(),
        server: server.clone(),
        remote: item.key.clone(),
        raw,
        headers: item.headers.clone().unwrap_or_default(),
    }
}

/// The resource that shows a tool (MCP Apps): `_meta.ui.resourceUri`, and flat `_meta["ui/resourceUri"]`. One that may not
/// be read is left out; what else `_meta.ui` says, such as who may see the tool, stays.
fn ui_uri(
    merged: &Merged,
    server: &ServerName,
    admit: &impl Fn(ListKind, &str) -> bool,
    tool: &Object<'_>,
    edits: &mut Edits,
) {
    let Some(meta_member) = tool.members().iter().find(|m| m.is("_meta")) else {
        return;
    };
    let Ok(meta) = Object::read(meta_member.value) else {
        return;
    };
    let change = |object: &mut ObjectEdit<'_>, key: &str| -> bool {
        let Some(uri) = object.object().get(key).and_then(crate::json::decode) else {
            return false;
        };
        let visible = merged.visible_uri(server, &uri);
        if !admit(ListKind::Resources, &visible) {
            object.remove(key);
            return true;
        }
        match visible {
            Cow::Owned(visible) => object.set(key, quote(&visible)),
            Cow::Borrowed(_) => return false,
        };
        true
    };
    let mut edit = ObjectEdit::of(meta.clone());
    let mut any = change(&mut edit, "ui/resourceUri");
    if let Some(mut ui) = meta.get("ui").and_then(|raw| ObjectEdit::new(raw).ok())
        && change(&mut ui, "resourceUri")
    {
        edit.set("ui", ui.finish());
        any = true;
    }
    if any {
        edits.replace(meta_member.value_span, edit.finish());
    }
}

/// The files of a skill, as clients see them: all of them with the label that the skill bears, or none.
fn manifest(merged: &Merged, server: &ServerName, skill: &Object<'_>, edits: &mut Edits) {
    let Some(files) = skill.members().iter().find(|m| m.is("resources")) else {
        return;
    };
    for element in elements(files.value).unwrap_or_default() {
        let Ok(file) = Object::read(element.value) else {
            continue;
        };
        let Some(member) = file.members().iter().find(|m| m.is("uri")) else {
            continue;
        };
        let uri = crate::json::decode(member.value).unwrap_or_default();
        if let Cow::Owned(visible) = merged.visible_uri(server, &uri) {
            let base = files.value_span.start() + element.span.start();
            edits.replace(member.value_span.at_base(base), quote(&visible));
        }
    }
}

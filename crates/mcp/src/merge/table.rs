//! The table of what clients see, and where each entry leads.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use sallyport_core::ServerName;
use thiserror::Error;

use super::names::{fnv, imitates_prefix, prefixed_name};
use super::template::template_matches;
use super::uris::{UriRoute, labels, prefixed_uri, split_label};
use crate::catalogue::{Catalogue, Item, ListKind};
use crate::json::{Object, quote};
use crate::mirror::ParamHeader;
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

/// One tool, prompt, resource or template as clients see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What clients call it.
    pub visible: Box<str>,
    /// Whose it is.
    pub server: ServerName,
    /// What its server calls it.
    pub remote: Box<str>,
    /// The raw object, with the visible name in it.
    pub raw: Bytes,
    /// Of a tool: the arguments that headers mirror. None where the annotations are invalid.
    pub headers: Box<[ParamHeader]>,
}

/// What several servers offer together, as far as it is admitted.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// The tools.
    pub tools: Vec<Entry>,
    /// The prompts.
    pub prompts: Vec<Entry>,
    /// The resources.
    pub resources: Vec<Entry>,
    /// The resource templates.
    pub templates: Vec<Entry>,
    servers: Vec<ServerName>,
    labels: Vec<String>,
    index: [HashMap<Box<str>, usize>; 4],
    /// Of every resource and template, admitted or not: whose it is under its own URI, if only one server has it.
    owners: HashMap<Box<str>, Owner>,
    owned_templates: Vec<(Box<str>, Owner)>,
}

/// By the server's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    One(usize),
    Several,
}

impl Merged {
    /// One of the lists.
    #[must_use]
    pub fn list(&self, kind: ListKind) -> &[Entry] {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::Templates => &self.templates,
        }
    }

    /// The entry that clients see under this name, URI or template.
    #[must_use]
    pub fn owner(&self, kind: ListKind, visible: &str) -> Option<&Entry> {
        let place = self.index.get(kind as usize)?.get(visible)?;
        self.list(kind).get(*place)
    }

    /// Where a URI that a client names leads: to the one server that lists it, or whose label it bears, or whose template
    /// it fits; on an endpoint of one server always to that one. `None` where it might be two servers' or is nobody's.
    #[must_use]
    pub fn route_uri<'s>(&'s self, uri: &'s str) -> Option<UriRoute<'s>> {
        let to = |place: usize, remote: Cow<'s, str>| {
            let server = self.servers.get(place)?;
            Some(UriRoute { server, remote })
        };
        if let [_only] = self.servers.as_slice() {
            return to(0, Cow::Borrowed(uri));
        }
        if let Some((place, remote)) = split_label(uri, &self.labels) {
            return to(place, remote);
        }
        match self.owners.get(uri) {
            Some(Owner::One(place)) => return to(*place, Cow::Borrowed(uri)),
            Some(Owner::Several) => return None,
            None => {}
        }
        let mut fitting = self
            .owned_templates
            .iter()
            .filter(|(t, _)| template_matches(t, uri))
            .map(|(_, o)| *o);
        let first = fitting.next()?;
        match first {
            Owner::One(place) if fitting.all(|other| other == first) => to(place, Cow::Borrowed(uri)),
            _ => None,
        }
    }

    /// How clients see a URI of this server: as it is where that leads back to the server, else with the server's label.
    /// An `http` or `https` URI that nobody lists is the client's to fetch and stays as it is.
    #[must_use]
    pub fn visible_uri<'u>(&self, server: &ServerName, uri: &'u str) -> Cow<'u, str> {
        let leads_back = self
            .route_uri(uri)
            .is_some_and(|r| r.server == server && r.remote == uri);
        let web = uri.starts_with("https://") || uri.starts_with("http://");
        if leads_back || (web && !self.owners.contains_key(uri)) {
            return Cow::Borrowed(uri);
        }
        match self.place_of(server).and_then(|place| self.labels.get(place)) {
            Some(label) => Cow::Owned(prefixed_uri(label, uri)),
            None => Cow::Borrowed(uri),
        }
    }

    /// A number that changes when the list does: for cursors, and to know whether to tell of a change.
    #[must_use]
    pub fn fingerprint(&self, kind: ListKind) -> u64 {
        let fold = |sum: u64, entry: &Entry| {
            (sum.rotate_left(5) ^ fnv(&entry.raw) ^ fnv(entry.server.as_str().as_bytes()))
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        };
        self.list(kind).iter().fold(0x5A, fold)
    }

    fn place_of(&self, server: &ServerName) -> Option<usize> {
        self.servers.iter().position(|s| s == server)
    }
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
    }
    let mut templates = HashMap::new();
    for (place, (_, catalogue)) in servers.iter().enumerate() {
        for item in &catalogue.templates {
            claim(&mut templates, &item.key, place);
        }
    }
    merged.owned_templates = templates.into_iter().collect();
}

fn claim(owners: &mut HashMap<Box<str>, Owner>, key: &str, place: usize) {
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
                out.push(entry(merged, kind, server, item, &visible));
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
        ListKind::Resources | ListKind::Templates => {
            if shared || (!alone && split_label(key, &merged.labels).is_some()) {
                Cow::Owned(prefixed_uri(label, key))
            } else {
                Cow::Borrowed(key)
            }
        }
    }
}

fn entry(merged: &Merged, kind: ListKind, server: &ServerName, item: &Item, visible: &str) -> Entry {
    let mut edits = Edits::new();
    if let Ok(object) = Object::read(&item.raw) {
        if visible != &*item.key {
            let member = object.members().iter().find(|m| m.is(kind.key()));
            if let Some(member) = member {
                edits.replace(member.value_span, quote(visible));
            }
        }
        if kind == ListKind::Tools {
            ui_uri(merged, server, &object, &mut edits);
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

/// The resource that shows a tool (MCP Apps): `_meta.ui.resourceUri`, and flat `_meta["ui/resourceUri"]`.
fn ui_uri(merged: &Merged, server: &ServerName, tool: &Object<'_>, edits: &mut Edits) {
    let Some(meta_member) = tool.members().iter().find(|m| m.is("_meta")) else {
        return;
    };
    let Ok(meta) = Object::read(meta_member.value) else {
        return;
    };
    let changed = |raw: &[u8]| -> Option<Vec<u8>> {
        let uri = crate::json::decode(raw)?;
        match merged.visible_uri(server, &uri) {
            Cow::Owned(visible) => Some(quote(&visible)),
            Cow::Borrowed(_) => None,
        }
    };
    let mut edit = ObjectEdit::of(meta.clone());
    let mut any = false;
    if let Some(flat) = meta.get("ui/resourceUri").and_then(changed) {
        edit.set("ui/resourceUri", flat);
        any = true;
    }
    if let Some(mut ui) = meta.get("ui").and_then(|raw| ObjectEdit::new(raw).ok())
        && let Some(uri) = ui.object().get("resourceUri").and_then(changed)
    {
        ui.set("resourceUri", uri);
        edit.set("ui", ui.finish());
        any = true;
    }
    if any {
        edits.replace(meta_member.value_span, edit.finish());
    }
}

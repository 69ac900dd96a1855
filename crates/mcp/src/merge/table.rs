//! The table of what clients see, and where each entry leads.

use std::borrow::Cow;

use bytes::Bytes;
use sallyport_core::ServerName;
use sallyport_core::map::Map;

use super::names::fnv;
use super::template::template_matches;
use super::uris::{UriRoute, prefixed_uri, split_label};
use crate::catalogue::ListKind;
use crate::mirror::ParamHeader;

/// One tool, prompt, resource, template or skill as clients see it.
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
    /// The skills.
    pub skills: Vec<Entry>,
    pub(super) servers: Vec<ServerName>,
    pub(super) labels: Vec<String>,
    pub(super) index: [Map<Box<str>, usize>; ListKind::COUNT],
    /// Of every resource, template and file of a skill, admitted or not: whose it is under its own URI, if only one
    /// server has it.
    pub(super) owners: Map<Box<str>, Owner>,
    pub(super) owned_templates: Vec<(Box<str>, Owner)>,
    /// Of the directory of every skill, with its slash.
    pub(super) owned_roots: Map<Box<str>, Owner>,
}

/// By the server's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
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
            ListKind::Skills => &self.skills,
        }
    }

    /// The entry that clients see under this name, URI or template.
    #[must_use]
    pub fn owner(&self, kind: ListKind, visible: &str) -> Option<&Entry> {
        let place = self.index.get(kind as usize)?.get(visible)?;
        self.list(kind).get(*place)
    }

    /// Where a URI that a client names leads: to the one server that lists it, or whose label it bears, or in whose skill
    /// it lies, or whose template it fits; on an endpoint of one server always to that one. `None` where it might be two servers' or is nobody's.
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
        // A skill is whole: where two servers have one of the same name, no file of it is anyone's.
        match self.root_owner(uri).or_else(|| self.owners.get(uri).copied()) {
            Some(Owner::One(place)) => return to(place, Cow::Borrowed(uri)),
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

    /// Whose skill a URI lies in, or names the directory of.
    fn root_owner(&self, uri: &str) -> Option<Owner> {
        if self.owned_roots.is_empty() {
            return None;
        }
        let directories = uri.match_indices('/').filter_map(|(at, _)| uri.get(..=at));
        let mut found = directories.filter_map(|directory| self.owned_roots.get(directory));
        let own = || self.owned_roots.get(&*format!("{uri}/"));
        found.next().or_else(own).copied()
    }

    fn place_of(&self, server: &ServerName) -> Option<usize> {
        self.servers.iter().position(|s| s == server)
    }
}

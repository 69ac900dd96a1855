//! `_meta` for the next hop. Every call passes here, so that it is written in one go instead of edited.

use super::{is_reserved, is_trace_parent, is_trace_state};
use crate::json::{Member, Object, decode, find_span, is_object, quote_into};
use crate::jsonrpc::MetaKey;
use crate::log::LogLevel;
use crate::revision::Revision;

/// What a request is to say of itself on its next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetaFor<'a> {
    /// To a modern server.
    Modern {
        /// The version spoken on the hop.
        version: Revision,
        /// A raw object.
        client_info: Option<&'a [u8]>,
        /// A raw object.
        capabilities: &'a [u8],
        /// The level from which log messages are wanted.
        log_level: Option<LogLevel>,
    },
    /// To a legacy server, which was told in `initialize`.
    Legacy,
}

/// Makes `_meta` of a raw `params` object right for the next hop. Protocol members are overwritten or taken out; a
/// member under a reserved prefix that is none of them passes only between hops of one revision; invalid trace members
/// and `baggage` are taken out. Everything else, the progress token included, stays byte for byte.
#[must_use]
pub fn rewrite(params: &[u8], to: MetaFor<'_>) -> Vec<u8> {
    let Some(place) = find_span(params, "_meta") else {
        return inserted(params, to);
    };
    let old = place.of(params);
    let meta = Object::read(old).ok();
    if meta.is_none() && to == MetaFor::Legacy {
        // What is no object says nothing; the server may complain.
        return params.to_vec();
    }
    let members = meta.as_ref().map(Object::members).unwrap_or_default();
    let keeps = Keeps::of(members, to);
    if to == MetaFor::Legacy && members.iter().all(|m| keeps.keeps(m)) {
        return params.to_vec();
    }
    let mut out = Vec::with_capacity(params.len() + 256);
    out.extend_from_slice(params.get(..place.start()).unwrap_or_default());
    write(
        &mut out,
        to,
        members
            .iter()
            .filter(|m| keeps.keeps(m))
            .map(|m| m.span().of(old)),
    );
    out.extend_from_slice(params.get(place.end()..).unwrap_or_default());
    out
}

/// The parameters with a `_meta` that they did not have.
fn inserted(params: &[u8], to: MetaFor<'_>) -> Vec<u8> {
    // No scanned message has parameters that are no object; what is none is not passed on.
    let open = params.iter().position(|b| !b.is_ascii_whitespace());
    let inside = open
        .filter(|at| params.get(*at) == Some(&b'{'))
        .and_then(|at| params.get(at + 1..))
        .unwrap_or(b"}");
    if to == MetaFor::Legacy && is_object(params) {
        return params.to_vec();
    }
    let mut out = Vec::with_capacity(params.len() + 256);
    out.push(b'{');
    if to != MetaFor::Legacy {
        out.extend_from_slice(b"\"_meta\":");
        write(&mut out, to, std::iter::empty());
        if !inside.trim_ascii_start().starts_with(b"}") {
            out.push(b',');
        }
    }
    out.extend_from_slice(inside);
    out
}

/// Writes a `_meta` object: the hop's own members first.
fn write<'m>(out: &mut Vec<u8>, to: MetaFor<'_>, kept: impl Iterator<Item = &'m [u8]>) {
    out.push(b'{');
    if let MetaFor::Modern {
        version,
        client_info,
        capabilities,
        log_level,
    } = to
    {
        key(out, MetaKey::ProtocolVersion);
        quote_into(out, version.as_str());
        out.push(b',');
        if let Some(info) = client_info {
            key(out, MetaKey::ClientInfo);
            out.extend_from_slice(info);
            out.push(b',');
        }
        if let Some(level) = log_level {
            key(out, MetaKey::LogLevel);
            quote_into(out, level.as_str());
            out.push(b',');
        }
        key(out, MetaKey::ClientCapabilities);
        out.extend_from_slice(capabilities);
    }
    for member in kept {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(member);
    }
    out.push(b'}');
}

fn key(out: &mut Vec<u8>, key: MetaKey) {
    out.push(b'"');
    out.extend_from_slice(key.as_str().as_bytes());
    out.extend_from_slice(b"\":");
}

/// What is kept of a `_meta`.
struct Keeps {
    same_revision: bool,
    parent: bool,
    state: bool,
}

impl Keeps {
    fn of(members: &[Member<'_>], to: MetaFor<'_>) -> Self {
        let text = |key: MetaKey| {
            let member = members.iter().find(|m| m.is(key.as_str()))?;
            decode(member.value)
        };
        let came_as = text(MetaKey::ProtocolVersion);
        let parent = text(MetaKey::TraceParent).is_some_and(|p| is_trace_parent(&p));
        Self {
            same_revision: match to {
                MetaFor::Modern { version, .. } => came_as.as_deref() == Some(version.as_str()),
                MetaFor::Legacy => came_as.is_none(),
            },
            parent,
            state: parent && text(MetaKey::TraceState).is_some_and(|s| is_trace_state(&s)),
        }
    }

    fn keeps(&self, member: &Member<'_>) -> bool {
        match member.key.as_deref() {
            Some("traceparent") => self.parent,
            Some("tracestate") => self.state,
            Some("baggage") => false,
            Some(key) => !is_protocol_key(key) && (self.same_revision || !is_reserved(key)),
            None => true,
        }
    }
}

/// The members that belong to one hop.
fn is_protocol_key(key: &str) -> bool {
    [
        MetaKey::ProtocolVersion,
        MetaKey::ClientInfo,
        MetaKey::ClientCapabilities,
        MetaKey::LogLevel,
    ]
    .iter()
    .any(|k| k.as_str() == key)
}

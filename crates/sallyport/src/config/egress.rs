//! `egress`: how far connections of the gateway go.

use std::path::PathBuf;

use sallyport_net::egress::{EgressPolicy, authorities};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::read::{Context, Read, section};
use super::root::Network;
use super::tree::Node;

section! {
    /// How far connections of the gateway go. Metadata services of clouds are out of reach whatever stands here.
    Egress {
        /// Networks in which nothing is called, not even servers that are configured.
        denied: Vec<Network> = Vec::new();
        /// Networks that are not public and may be called all the same where a client names the address: for its metadata
        /// document, or for its keys.
        allowed: Vec<Network> = Vec::new();
        /// The ports that a client may name besides 443 and 8443.
        ports: Vec<usize> = Vec::new();
        /// Files (PEM) with the certificates of authorities that are trusted besides those of the system.
        authorities: Vec<Authority> = Vec::new();
    }
}

impl From<&Egress> for EgressPolicy {
    fn from(egress: &Egress) -> Self {
        let networks = |of: &[Network]| of.iter().map(|network| network.0).collect();
        Self {
            denied: networks(&egress.denied),
            allowed: networks(&egress.allowed),
            // What is no port is in no URL either.
            ports: egress
                .ports
                .iter()
                .filter_map(|port| u16::try_from(*port).ok())
                .collect(),
            authorities: egress
                .authorities
                .iter()
                .flat_map(|authority| authority.certificates.iter().cloned())
                .collect(),
        }
    }
}

/// A file of certificates, as it was when the configuration was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    path: PathBuf,
    certificates: Vec<Vec<u8>>,
}

impl Read for Authority {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let written = String::read(node, cx)?;
        let pem = match cx.sources.file(&written) {
            Ok(pem) => pem,
            Err(wrong) => return cx.refuse(node, wrong),
        };
        match authorities(pem.as_bytes()) {
            Some(certificates) => Some(Self {
                path: cx.sources.path(&written),
                certificates,
            }),
            None => cx.refuse(
                node,
                format!("`{written}` holds no usable certificate; name a PEM file of certificates"),
            ),
        }
    }
}

impl Serialize for Authority {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.path.display())
    }
}

impl JsonSchema for Authority {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Authority".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_opened_by_default() {
        let policy = EgressPolicy::from(&Egress::default());
        assert!(policy.allowed.is_empty() && policy.denied.is_empty());
        assert!(policy.ports.is_empty() && policy.authorities.is_empty());
    }
}

//! The results of `initialize` and `server/discover`, as servers give them.

use bytes::Bytes;
use thiserror::Error;

use super::ServerCapabilities;
use crate::json::{Object, decode, elements, is_object};
use crate::jsonrpc::MetaKey;

/// The longest `instructions` that are kept, in bytes.
const MAX_INSTRUCTIONS: usize = 16 << 10;

/// Why a server's introduction cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HandshakeError {
    /// Not an object, or without its required members.
    #[error("the server's introduction lacks `{0}`, or has it in the wrong type")]
    Shape(&'static str),
}

/// The result of `initialize`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitializeResult {
    /// The version that the server chose; to be checked by whoever asked.
    pub protocol_version: String,
    /// What it can do.
    pub capabilities: ServerCapabilities,
    /// Raw `serverInfo`; unverified.
    pub server_info: Option<Bytes>,
    /// How to use it, cut to 16 KiB.
    pub instructions: Option<String>,
}

impl InitializeResult {
    /// Reads the raw result.
    ///
    /// # Errors
    /// [`HandshakeError`] if it lacks version or capabilities.
    pub fn parse(result: &[u8]) -> Result<Self, HandshakeError> {
        let object = Object::read(result).map_err(|_| HandshakeError::Shape("result"))?;
        Ok(Self {
            protocol_version: object
                .text("protocolVersion")
                .ok_or(HandshakeError::Shape("protocolVersion"))?
                .into_owned(),
            capabilities: capabilities(&object)?,
            server_info: info(object.get("serverInfo")),
            instructions: instructions(&object),
        })
    }
}

/// The result of `server/discover`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoverResult {
    /// The versions that the server speaks.
    pub supported_versions: Vec<String>,
    /// What it can do.
    pub capabilities: ServerCapabilities,
    /// Raw `serverInfo` of `_meta`; unverified.
    pub server_info: Option<Bytes>,
    /// How to use it, cut to 16 KiB.
    pub instructions: Option<String>,
    /// For how many milliseconds this holds.
    pub ttl_ms: u64,
}

impl DiscoverResult {
    /// Reads the raw result.
    ///
    /// # Errors
    /// [`HandshakeError`] if it lacks versions or capabilities.
    pub fn parse(result: &[u8]) -> Result<Self, HandshakeError> {
        let object = Object::read(result).map_err(|_| HandshakeError::Shape("result"))?;
        let versions = object.get("supportedVersions").and_then(|raw| elements(raw).ok());
        let versions = versions.ok_or(HandshakeError::Shape("supportedVersions"))?;
        let meta = object.get("_meta").and_then(|raw| Object::read(raw).ok());
        Ok(Self {
            supported_versions: versions
                .iter()
                .filter_map(|element| decode(element.value).map(|v| v.into_owned()))
                .collect(),
            capabilities: capabilities(&object)?,
            server_info: info(meta.as_ref().and_then(|m| m.get(MetaKey::ServerInfo.as_str()))),
            instructions: instructions(&object),
            ttl_ms: object
                .get("ttlMs")
                .and_then(|raw| std::str::from_utf8(raw).ok()?.parse().ok())
                .unwrap_or(0),
        })
    }
}

fn capabilities(object: &Object<'_>) -> Result<ServerCapabilities, HandshakeError> {
    let raw = object.get("capabilities").filter(|raw| is_object(raw));
    raw.map(ServerCapabilities::parse)
        .ok_or(HandshakeError::Shape("capabilities"))
}

fn info(raw: Option<&[u8]>) -> Option<Bytes> {
    raw.filter(|raw| is_object(raw)).map(Bytes::copy_from_slice)
}

fn instructions(object: &Object<'_>) -> Option<String> {
    let text = object.text("instructions")?;
    let end = text.floor_char_boundary(MAX_INSTRUCTIONS);
    text.get(..end).filter(|t| !t.is_empty()).map(str::to_owned)
}

//! The contents that several fixtures return.

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

/// A red pixel.
pub(super) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

/// One sample of silence, 16 bit at 8 kHz.
const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA==";

/// A finished call with these blocks.
pub(super) fn blocks(blocks: Vec<ContentBlock>) -> Result<CallToolResponse, ErrorData> {
    Ok(CallToolResult::success(blocks).into())
}

/// A finished call with one text.
pub(super) fn text(text: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    blocks(vec![ContentBlock::text(text)])
}

/// A call that failed in a way that a model can read.
pub(super) fn failed(text: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    Ok(CallToolResult::error(vec![ContentBlock::text(text)]).into())
}

/// A finished call with structured content.
pub(super) fn structured(value: Value) -> Result<CallToolResponse, ErrorData> {
    Ok(CallToolResult::structured(value).into())
}

pub(super) fn image() -> ContentBlock {
    ContentBlock::image(PNG, "image/png")
}

pub(super) fn audio() -> ContentBlock {
    ContentBlock::audio(WAV, "audio/wav")
}

pub(super) fn resource(uri: &str, mime: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(mime))
}

/// A link to a resource.
pub(super) fn link(mut resource: Value) -> Result<ContentBlock, ErrorData> {
    if let Some(members) = resource.as_object_mut() {
        members.insert("type".to_owned(), "resource_link".into());
    }
    super::input::typed(resource)
}

//! `resources/read`.

use rmcp::ErrorData;
use rmcp::model::{ReadResourceResult, ResourceContents};
use serde_json::json;

use super::{answer, input, skill};

/// The type of a page that a host may show as an app.
pub(super) const APP: &str = "text/html;profile=mcp-app";

/// The contents of `uri`.
///
/// # Errors
/// Resource not found (the library gives it the code of the revision).
pub(super) fn read(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let contents = match uri {
        "test://static-text" => {
            ResourceContents::text("This is the content of the static text resource.", uri)
                .with_mime_type("text/plain")
        }
        "test://static-binary" => ResourceContents::blob(answer::PNG, uri).with_mime_type("image/png"),
        "test://watched-resource" => {
            ResourceContents::text("Watched resource content", uri).with_mime_type("text/plain")
        }
        // The second one stands in no list, as apps need not.
        "ui://everything/clock.html" | "ui://everything/hidden.html" => app(uri)?,
        other => {
            if let Some(contents) = skill::read(other) {
                return Ok(ReadResourceResult::new(vec![contents]));
            }
            let id = other
                .strip_prefix("test://template/")
                .and_then(|rest| rest.strip_suffix("/data"))
                .filter(|id| !id.is_empty() && !id.contains('/'))
                .ok_or_else(|| {
                    ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri })))
                })?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
        }
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

/// A page with what a host has to know about it.
fn app(uri: &str) -> Result<ResourceContents, ErrorData> {
    let html = "<!doctype html><title>Clock</title><p id=time></p>";
    let ui = json!({ "csp": { "connectDomains": ["https://time.example"] }, "prefersBorder": true });
    input::typed(json!({ "uri": uri, "mimeType": APP, "text": html, "_meta": { "ui": ui } }))
}

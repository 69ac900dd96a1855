//! The fixed lists of the server, read once from `fixtures.json`.

use std::sync::OnceLock;

use rmcp::ErrorData;
use rmcp::model::{JsonObject, PaginatedRequestParams, Prompt, Resource, ResourceTemplate, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

/// Everything that the server lists.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Catalogue {
    tools: Vec<Tool>,
    prompts: Vec<Prompt>,
    resources: Vec<Resource>,
    #[serde(rename = "resourceTemplates")]
    pub(super) templates: Vec<ResourceTemplate>,
    elicitations: JsonObject,
}

/// The one catalogue.
pub(super) fn get() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| serde_json::from_str(include_str!("fixtures.json")).unwrap_or_default())
}

/// What a server without fixtures lists.
pub(super) fn none() -> &'static Catalogue {
    static NONE: OnceLock<Catalogue> = OnceLock::new();
    NONE.get_or_init(Catalogue::default)
}

impl Catalogue {
    pub(super) fn tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    /// The prompts, and one more if the list is `longer`.
    pub(super) fn prompts(&self, longer: bool) -> Vec<Prompt> {
        let more = longer.then(|| Prompt::new("test_dynamic_prompt", Some("Comes and goes."), None));
        self.prompts.iter().cloned().chain(more).collect()
    }

    /// The resources, and one more if the list is `longer`.
    pub(super) fn resources(&self, longer: bool) -> Vec<Resource> {
        let more = longer.then(|| Resource::new("test://dynamic-resource", "dynamic-resource"));
        let manuals = super::skill::manuals().filter(|_| !self.resources.is_empty());
        let fixed = self.resources.iter().cloned();
        fixed.chain(manuals).chain(more).collect()
    }

    /// The fixtures, one more if the list is `longer`, and `extra` tools `tool_NNNN`.
    pub(super) fn tools(&self, longer: bool, extra: usize) -> Vec<Tool> {
        let schema = JsonObject::from_iter([("type".to_owned(), json!("object"))]);
        let dynamic = longer.then(|| Tool::new("test_dynamic_tool", "Comes and goes.", schema));
        let more = (0..extra).filter_map(|number| {
            serde_json::from_value(json!({
                "name": format!("tool_{number:04}"),
                "title": format!("Tool number {number}"),
                "description": format!("Looks up records of kind {number}, newest first."),
                "inputSchema": {
                    "type": "object",
                    "properties": {
                        "query": { "type": "string", "description": "what to search for" },
                        "limit": { "type": "integer", "minimum": 1, "maximum": 100 },
                    },
                    "required": ["query"],
                },
            }))
            .ok()
        });
        self.tools.iter().cloned().chain(dynamic).chain(more).collect()
    }

    /// The schema of a question by its name in `fixtures.json`.
    pub(super) fn elicitation(&self, name: &str) -> Value {
        self.elicitations.get(name).cloned().unwrap_or(Value::Null)
    }
}

/// One page of `items` and the cursor of the next one.
///
/// # Errors
/// -32602 for a cursor that this server did not make.
pub(super) fn page<T: Clone>(
    items: &[T],
    params: Option<PaginatedRequestParams>,
    size: Option<usize>,
) -> Result<(Vec<T>, Option<String>), ErrorData> {
    let start = match params.and_then(|params| params.cursor) {
        None => 0,
        Some(cursor) => cursor
            .strip_prefix("from-")
            .and_then(|at| at.parse::<usize>().ok())
            .filter(|at| *at < items.len())
            .ok_or_else(|| ErrorData::invalid_params("unknown cursor", None))?,
    };
    let end = size.map_or(items.len(), |size| items.len().min(start.saturating_add(size)));
    let next = (end < items.len()).then(|| format!("from-{end}"));
    Ok((items.get(start..end).unwrap_or_default().to_vec(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixtures_can_be_read() {
        assert!(get().tools.len() > 30);
        assert_eq!(get().tools(true, 2).len(), get().tools.len() + 3);
        assert!(get().elicitation("enums").is_object());
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let items = [1, 2, 3];
        let (first, next) = page(&items, None, Some(2)).unwrap();
        assert_eq!((first, next.as_deref()), (vec![1, 2], Some("from-2")));
        let params = PaginatedRequestParams::default().with_cursor(next);
        assert_eq!(page(&items, Some(params), Some(2)).unwrap(), (vec![3], None));
        let foreign = PaginatedRequestParams::default().with_cursor(Some("from-9".to_owned()));
        assert!(page(&items, Some(foreign), Some(2)).is_err());
    }
}

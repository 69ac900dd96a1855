//! Which arguments of a server's tools are mirrored in headers, as its latest list says.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sallyport_core::map::Map;
use sallyport_mcp::catalogue::Item;
use sallyport_mcp::mirror::ParamHeader;

/// The annotated arguments by tool; tools without any are not in it.
#[derive(Debug, Default)]
pub(crate) struct ParamHeaders(ArcSwap<Map<Box<str>, Box<[ParamHeader]>>>);

impl ParamHeaders {
    /// Learns from a list of tools.
    pub(crate) fn learn(&self, tools: &[Item]) {
        let annotated = tools.iter().filter_map(|tool| {
            let headers = tool.headers.as_ref().ok().filter(|headers| !headers.is_empty())?;
            Some((tool.key.clone(), headers.clone()))
        });
        self.0.store(Arc::new(annotated.collect()));
    }

    /// The annotated arguments of a tool.
    pub(crate) fn of(&self, tool: &str) -> Box<[ParamHeader]> {
        let table = self.0.load();
        if table.is_empty() {
            return Box::default();
        }
        table.get(tool).cloned().unwrap_or_default()
    }
}

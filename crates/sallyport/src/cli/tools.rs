//! `tools list`, `tools call`.

use serde_json::{Map, Value, json};

use super::Failure;
use super::approve;
use super::args::ToolsVerb;
use super::output;
use super::verb::Run;
use crate::wiring::Local;

/// The most pages of a list that are asked for.
const MAX_PAGES: usize = 1000;

pub(super) async fn run(run: &Run, verb: &ToolsVerb) -> Result<(), Failure> {
    let (profile, wanted) = match verb {
        ToolsVerb::Diff { server } => return approve::diff(run, server.as_ref()).await,
        ToolsVerb::Approve { server, tools } => return approve::approve(run, server, tools).await,
        ToolsVerb::List { profile } => (profile, None),
        ToolsVerb::Call {
            profile,
            tool,
            arguments,
        } => (profile, Some((tool, arguments))),
    };
    // Before anything is started for it.
    let wanted = match wanted {
        Some((tool, arguments)) => Some((tool, object(arguments)?)),
        None => None,
    };
    let base = run.base().await?;
    let mut local = Local::connect(&base, &run.environment, profile).await?;
    for trouble in local.trouble() {
        output::note(&format!("note: {trouble}"));
    }
    let done = async {
        local.open().await.map_err(Failure::failed)?;
        match wanted {
            None => list(run, &mut local).await,
            Some((tool, arguments)) => call(run, &mut local, tool, arguments).await,
        }
    };
    let done = done.await;
    local.close().await;
    base.store.close().await;
    done
}

fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::Usage(
            "the arguments are not a JSON object; write `{\"name\": \"value\"}`".to_owned(),
        )),
        Err(error) => Err(Failure::Usage(format!("the arguments are not JSON: {error}"))),
    }
}

async fn list(run: &Run, local: &mut Local) -> Result<(), Failure> {
    let mut tools: Vec<Value> = Vec::new();
    let mut params = json!({});
    for _ in 0..MAX_PAGES {
        let page = local.ask("tools/list", params).await.map_err(Failure::failed)?;
        tools.extend(
            page.get("tools")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .cloned(),
        );
        match page.get("nextCursor") {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => break,
        }
    }
    if run.is_json() {
        return Ok(output::json(&tools)?);
    }
    let text = |tool: &Value, key: &str| {
        tool.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let rows: Vec<Vec<String>> = tools
        .iter()
        .map(|tool| vec![text(tool, "name"), first_line(&text(tool, "description"))])
        .collect();
    Ok(output::text(&output::table(&["TOOL", "DESCRIPTION"], &rows))?)
}

/// The first line, cut, and without anything that a terminal would obey.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut line: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
    if text.len() > line.len() {
        line.push('…');
    }
    line
}

async fn call(
    run: &Run,
    local: &mut Local,
    tool: &str,
    arguments: Map<String, Value>,
) -> Result<(), Failure> {
    let params = json!({ "name": tool, "arguments": arguments });
    let result = local.ask("tools/call", params).await.map_err(Failure::failed)?;
    let failed = result.get("isError") == Some(&Value::Bool(true));
    if run.is_json() {
        output::json(&result)?;
    } else {
        for block in result
            .get("content")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            output::text(&block_text(block))?;
        }
    }
    if failed { Err(Failure::Negative) } else { Ok(()) }
}

fn block_text(block: &Value) -> String {
    let text = |key: &str| block.get(key).and_then(Value::as_str);
    match text("type") {
        Some("text") => text("text")
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
            .collect(),
        Some(kind @ ("image" | "audio")) => {
            let size = text("data").map_or(0, |data| data.len() / 4 * 3);
            format!(
                "[{kind} {}, about {size} bytes; `-o json` prints it]",
                first_line(text("mimeType").unwrap_or_default())
            )
        }
        _ => block.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_does_not_reach_the_terminal_as_commands() {
        assert_eq!(first_line("a\x1b[31mb\nc"), "a[31mb…");
        let block = json!({ "type": "text", "text": "a\x1b]0;x\x07\nb" });
        assert_eq!(block_text(&block), "a]0;x\nb");
    }
}

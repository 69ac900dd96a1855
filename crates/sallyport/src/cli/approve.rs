//! `tools diff`, `tools approve`.

use sallyport_core::ServerName;
use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use serde_json::json;

use super::Failure;
use super::output;
use super::verb::Run;
use crate::base::Base;
use crate::lock;
use crate::lock::definition::Identity;
use crate::lock::diff::{Change, Difference, compare, definitions};
use crate::lock::file::{Entry, LockFile};
use crate::wiring::{Offer, offers};

/// Says how what servers offer differs from what is approved: exit 1 if it does.
pub(super) async fn diff(run: &Run, only: Option<&ServerName>) -> Result<(), Failure> {
    let base = run.base().await?;
    let done = differences(run, &base, only).await;
    base.store.close().await;
    let differences = done?;
    if run.is_json() {
        output::json(&differences)?;
    } else {
        for difference in &differences {
            output::text(&difference.words())?;
        }
    }
    if differences.is_empty() {
        output::note("every tool is as it was approved");
        return Ok(());
    }
    output::note("`sallyport tools approve SERVER [TOOL…]` approves what a server says now");
    Err(Failure::Negative)
}

async fn differences(run: &Run, base: &Base, only: Option<&ServerName>) -> Result<Vec<Difference>, Failure> {
    let file = LockFile::read(&lock::path(&base.config)).map_err(broken)?;
    let mut all = Vec::new();
    let mut away = Vec::new();
    for Offer { spec, state } in offers(base, &run.environment, only).await? {
        let name = spec.name.as_str();
        match state {
            Ok(state) => {
                let offered = definitions(&state.catalogue.tools);
                let entry = file.servers.get(name);
                all.extend(compare(name, entry, &Identity::of(&spec), &offered));
            }
            Err(reason) => away.push(format!("server `{name}`: {reason}")),
        }
    }
    // What is not known is not the same.
    if away.is_empty() {
        Ok(all)
    } else {
        Err(Failure::failed(away.join("\n       ")))
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}

/// Approves what a server says now: all of it, or these tools.
pub(super) async fn approve(run: &Run, server: &ServerName, tools: &[String]) -> Result<(), Failure> {
    let base = run.base().await?;
    let done = approve_with(run, &base, server, tools).await;
    base.store.close().await;
    let approved = done?;
    if run.is_json() {
        return Ok(output::json(&json!({ "server": server, "approved": approved }))?);
    }
    for difference in &approved {
        output::text(&difference.words())?;
    }
    output::note(&format!(
        "approved {} of `{server}` in {}",
        if tools.is_empty() {
            "all tools".to_owned()
        } else {
            tools.join(", ")
        },
        lock::path(&base.config).display()
    ));
    Ok(())
}

async fn approve_with(
    run: &Run,
    base: &Base,
    server: &ServerName,
    tools: &[String],
) -> Result<Vec<Difference>, Failure> {
    let mut found = offers(base, &run.environment, Some(server)).await?;
    let offer = found
        .pop()
        .ok_or_else(|| Failure::failed(format!("there is no server `{server}`")))?;
    let state = offer
        .state
        .map_err(|reason| Failure::failed(format!("server `{server}`: {reason}")))?;
    let identity = Identity::of(&offer.spec);
    let offered = definitions(&state.catalogue.tools);
    let path = lock::path(&base.config);
    let known = LockFile::read(&path).map_err(broken)?;
    let mut wanted = compare(
        server.as_str(),
        known.servers.get(server.as_str()),
        &identity,
        &offered,
    );
    if !tools.is_empty() {
        if wanted.iter().any(|difference| difference.change == Change::Moved) {
            return Err(Failure::failed(format!(
                "`{server}` is somewhere else than it was when it was approved; approve the server: `sallyport tools approve \
                 {server}`"
            )));
        }
        let is_known = |tool: &String| {
            let approved = known.servers.get(server.as_str());
            offered.contains_key(tool) || approved.is_some_and(|entry| entry.tools.contains_key(tool))
        };
        if let Some(tool) = tools.iter().find(|tool| !is_known(tool)) {
            return Err(Failure::failed(format!("`{server}` has no tool `{tool}`")));
        }
        wanted.retain(|difference| difference.tool.as_ref().is_some_and(|tool| tools.contains(tool)));
    }
    record(base, server, &wanted).await?;
    let changed = LockFile::update(&path, &base.config.data_dir, |file| {
        let entry = file.servers.entry(server.to_string()).or_insert_with(|| Entry {
            approval: 0,
            identity: identity.clone(),
            tools: std::collections::BTreeMap::new(),
        });
        entry.approval = entry.approval.saturating_add(1);
        entry.identity = identity.clone();
        for tool in wanted.iter().filter_map(|difference| difference.tool.as_ref()) {
            match offered.get(tool) {
                Some(definition) => entry.tools.insert(tool.clone(), definition.clone().into()),
                None => entry.tools.remove(tool),
            };
        }
        Some(())
    });
    changed.map_err(broken)?;
    Ok(wanted)
}

/// The records come first: nothing is approved that cannot be recorded.
async fn record(base: &Base, server: &ServerName, approved: &[Difference]) -> Result<(), Failure> {
    let trail = base.trail().await?;
    let mut recorded = Ok(());
    for difference in approved {
        let event = Event {
            server: Some(server.clone()),
            ..Event::new(Action::ToolApprove, Outcome::Ok)
        };
        let event = match &difference.tool {
            Some(tool) => event.on(tool),
            None => event,
        };
        let hash = difference.offered.as_ref().map(|side| side.sha256.as_str());
        let why = hash.map_or_else(
            || "not offered any more".to_owned(),
            |hash| format!("sha256 {hash}"),
        );
        recorded = recorded.and(trail.record_durably(event.because(why)).await);
    }
    trail.shutdown().await;
    recorded.map_err(|error| Failure::Failed(error.into()))
}

//! `vault list`, `vault rotate`.

use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_store::AuditTrail;
use sallyport_vault::source::load_existing;
use sallyport_vault::{KeyId, MasterKey};
use serde_json::json;

use super::Failure;
use super::args::VaultVerb;
use super::output;
use super::verb::Run;
use crate::base::{Base, StartError};
use crate::master::rotate::{self, Rotated, Step};

/// After how many records it is said again how far it is.
const SAY: u64 = 1000;

pub(super) async fn run(run: &Run, verb: &VaultVerb) -> Result<(), Failure> {
    match verb {
        VaultVerb::List => list(run).await,
        VaultVerb::Rotate => rotate(run).await,
    }
}

async fn list(run: &Run) -> Result<(), Failure> {
    let base = run.base().await?;
    let keys = load_existing(&base.keys).map_err(StartError::from)?;
    let keys = keys.ok_or_else(|| Failure::failed("there is no master key"))?;
    let counts = base.store.sealed_by().await?;
    base.store.close().await;
    let mut rows = Vec::new();
    let mut row = |state: &'static str, key: &MasterKey| {
        let id = key.id().map_err(StartError::from)?;
        let under = counts.iter().find(|(under, _)| *under == id.0);
        rows.push((state, id, under.map_or(0, |(_, records)| *records)));
        Ok::<_, Failure>(())
    };
    keys.next.iter().try_for_each(|key| row("next", key))?;
    row("current", &keys.active)?;
    keys.retired.iter().try_for_each(|key| row("retired", key))?;
    if run.is_json() {
        let value = rows
            .iter()
            .map(|(state, id, records)| json!({ "state": state, "key": id.to_string(), "records": records }));
        return Ok(output::json(&value.collect::<Vec<_>>())?);
    }
    let rows = rows
        .iter()
        .map(|(state, id, records)| vec![(*state).to_owned(), id.to_string(), records.to_string()]);
    let table = output::table(&["STATE", "KEY", "RECORDS"], &rows.collect::<Vec<_>>());
    Ok(output::text(&table)?)
}

async fn rotate(run: &Run) -> Result<(), Failure> {
    let base = run.base().await?;
    let trail = base.trail().await?;
    let done = recorded(&base, &trail).await;
    trail.shutdown().await;
    base.store.close().await;
    print(run, &done?)
}

/// Rotates between two records of it.
async fn recorded(base: &Base, trail: &AuditTrail) -> Result<Rotated, Failure> {
    let record = async |outcome, key: KeyId, why: String| {
        let event = Event::new(Action::VaultRotate, outcome).on(&key.to_string());
        let recorded = trail.record_durably(event.because(why)).await;
        recorded.map_err(|error| Failure::Failed(error.into()))
    };
    let before = base.vault.ring().active();
    record(Outcome::Started, before, "by command".to_owned()).await?;
    match rotate::rotate(base, async |step| follow(step).await).await {
        Ok(rotated) => {
            let (anew, left) = (rotated.resealed, rotated.remaining());
            let why = format!("{anew} records sealed anew, {left} remain under retired keys");
            record(Outcome::Ok, rotated.active, why).await?;
            Ok(rotated)
        }
        Err(error) => {
            record(Outcome::Failed, before, error.to_string()).await?;
            Err(error.into())
        }
    }
}

/// Says where it is, and waits until running gateways have followed.
async fn follow(step: &Step) -> Result<(), StartError> {
    match step {
        Step::Admitted => output::note("waiting until every running gateway opens with the new key"),
        Step::Promoted | Step::Resumed => {
            output::note("waiting until every running gateway seals with the new key");
        }
        Step::Resealed(records) if records % SAY == 0 => output::note(&format!("{records} records")),
        _ => {}
    }
    if let Some(time) = step.wait() {
        tokio::time::sleep(time).await;
    }
    Ok(())
}

fn print(run: &Run, rotated: &Rotated) -> Result<(), Failure> {
    let is_whole = rotated.remaining() == 0 && rotated.unreadable.is_empty();
    if run.is_json() {
        let retired = rotated
            .retired
            .iter()
            .map(|(id, left)| json!({ "key": id.to_string(), "records": left, "dropped": *left == 0 }));
        output::json(&json!({
            "current": rotated.active.to_string(),
            "resumed": rotated.resumed,
            "resealed": rotated.resealed,
            "remaining": rotated.remaining(),
            "retired": retired.collect::<Vec<_>>(),
            "unreadable": rotated.unreadable,
            "take_away_by_hand": rotated.by_hand,
        }))?;
    } else {
        output::text(&rotated.active.to_string())?;
    }
    let note = |text: String| output::note(&text);
    note(format!(
        "{} records sealed anew, {} remain under retired keys",
        rotated.resealed,
        rotated.remaining()
    ));
    for (id, left) in &rotated.retired {
        note(match (left, rotated.by_hand) {
            (0, false) => format!("{id} was dropped"),
            (0, true) => {
                format!("nothing is sealed under {id} any more: take it away from where it is given")
            }
            _ => format!(
                "{id} is kept: {left} records are sealed under it; see that every gateway on this store knows the current key, \
                 mend or remove what is named below, and run the command again"
            ),
        });
    }
    for place in &rotated.unreadable {
        note(format!(
            "{place} opens with no key: restore it, or remove what it belongs to"
        ));
    }
    if is_whole { Ok(()) } else { Err(Failure::Negative) }
}

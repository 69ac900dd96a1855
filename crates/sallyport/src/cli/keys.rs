//! `key list`, `key rotate`.

use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use serde_json::json;

use super::Failure;
use super::args::KeyVerb;
use super::output;
use super::verb::Run;
use crate::base::Base;
use crate::keys::{self, Held, Keys, Rotated, SKEW};

pub(super) async fn run(run: &Run, verb: &KeyVerb) -> Result<(), Failure> {
    match verb {
        KeyVerb::List => list(run).await,
        KeyVerb::Rotate => rotate(run).await,
    }
}

/// Every key with its place in the ring, in the order in which they come: next, current, retiring.
fn places(keys: &Keys) -> impl Iterator<Item = (&'static str, &Held)> {
    let next = keys.next.iter().map(|held| ("next", held));
    let retiring = keys.retiring.iter().map(|held| ("retiring", held));
    next.chain([("current", &keys.active)]).chain(retiring)
}

async fn list(run: &Run) -> Result<(), Failure> {
    let base = run.base().await?;
    let keys = keys::load(&base).await?;
    base.store.close().await;
    let gone = |held: &Held| {
        let retired = held.stored.retired;
        retired.map(|_| output::when(held.stored.until.plus(SKEW)))
    };
    if run.is_json() {
        let value = places(&keys).map(|(state, held)| {
            json!({
                "kid": held.key.kid(),
                "alg": held.key.alg().as_str(),
                "state": state,
                "created": output::when(held.stored.created),
                "signs_since": held.stored.signs.map(output::when),
                "retired": held.stored.retired.map(output::when),
                "published_until": gone(held),
            })
        });
        return Ok(output::json(&value.collect::<Vec<_>>())?);
    }
    let rows = places(&keys).map(|(state, held)| {
        vec![
            state.to_owned(),
            held.key.alg().as_str().to_owned(),
            output::when(held.stored.created),
            gone(held).unwrap_or_default(),
            held.key.kid().to_owned(),
        ]
    });
    let headings = ["STATE", "ALGORITHM", "CREATED", "PUBLISHED UNTIL", "KEY"];
    Ok(output::text(&output::table(
        &headings,
        &rows.collect::<Vec<_>>(),
    ))?)
}

async fn rotate(run: &Run) -> Result<(), Failure> {
    let base = run.base().await?;
    let policy = keys::policy(&base);
    let kid = loop {
        match keys::rotate(&base, &policy).await? {
            Rotated::Done(kid) => break kid,
            Rotated::Wait(time) => {
                output::note("waiting until every running gateway knows the next key");
                tokio::time::sleep(time).await;
            }
        }
    };
    let recorded = record(&base, &kid).await;
    base.store.close().await;
    recorded?;
    if run.is_json() {
        return Ok(output::json(&json!({ "current": kid }))?);
    }
    Ok(output::text(&kid)?)
}

async fn record(base: &Base, kid: &str) -> Result<(), Failure> {
    let trail = base.trail().await?;
    let event = Event::new(Action::KeyRotate, Outcome::Ok).on(kid);
    let recorded = trail.record_durably(event.because("by command")).await;
    trail.shutdown().await;
    recorded.map_err(|error| Failure::Failed(error.into()))
}

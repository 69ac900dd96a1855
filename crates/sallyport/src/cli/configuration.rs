//! `config check`, `config schema`, `config show`.

use super::Failure;
use super::args::ConfigVerb;
use super::output;
use super::verb::Run;
use crate::config::{schema, yaml};

pub(super) async fn run(run: &Run, verb: &ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Check => check(run).await,
        ConfigVerb::Schema => Ok(output::json(&schema())?),
        ConfigVerb::Show => {
            let shown = run.config().await?.shown().map_err(anyhow::Error::from)?;
            if run.is_json() {
                let value: &serde_json::value::RawValue =
                    serde_json::from_str(&shown).map_err(anyhow::Error::from)?;
                return Ok(output::json(&value)?);
            }
            Ok(output::text(&yaml(&shown))?)
        }
    }
}

async fn check(run: &Run) -> Result<(), Failure> {
    let config = run.config().await?;
    for note in &config.notes {
        output::note(&format!("note: {note}"));
    }
    let file = config.file.as_ref().map(|file| file.display().to_string());
    if run.is_json() {
        return Ok(output::json(
            &serde_json::json!({ "valid": true, "file": file, "problems": [] }),
        )?);
    }
    Ok(output::text(&match file {
        Some(file) => format!("{file}: no problems"),
        None => "no configuration file: built-in defaults".to_owned(),
    })?)
}

//! `audit tail`, `audit export`, `audit verify`.

use std::fs::OpenOptions;
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use sallyport_core::capability::DeriveKeyed;
use sallyport_core::clock::SystemClock;
use sallyport_core::{Clock as _, Random};
use sallyport_store::audit::{AuditError, AuditLog, ExportError, Record, Verified, verify_export};
use sallyport_store::{Store, StoreOptions};
use sallyport_vault::{SystemRandom, Vault};
use serde_json::{Value, json};

use super::Failure;
use super::args::AuditVerb;
use super::output;
use super::verb::Run;
use crate::master;

pub(super) async fn run(run: &Run, verb: &AuditVerb) -> Result<(), Failure> {
    match verb {
        AuditVerb::Tail { lines, follow } => tail(run, *lines, *follow).await,
        AuditVerb::Export { file } => export(run, file.as_deref()).await,
        AuditVerb::Verify { file: None } => verify_store(run).await,
        AuditVerb::Verify { file: Some(file) } => verify_file(run, file).await,
    }
}

async fn log(run: &Run) -> Result<AuditLog, Failure> {
    let base = run.base().await?;
    Ok(AuditLog::new(base.store.clone(), base.vault))
}

async fn tail(run: &Run, lines: u32, follow: bool) -> Result<(), Failure> {
    let log = log(run).await?;
    let records = log.tail(lines).await?;
    let last = match records.last() {
        Some(record) => record.seq,
        None => log.tail(1).await?.last().map_or(0, |record| record.seq),
    };
    print(run, &records)?;
    if !follow {
        return Ok(());
    }
    let mut next = log.follow(last);
    loop {
        print(run, &next.next().await?)?;
    }
}

fn print(run: &Run, records: &[Record]) -> Result<(), Failure> {
    for record in records {
        let body: Value = serde_json::from_str(&record.body).unwrap_or_default();
        if run.is_json() {
            output::json_line(&json!({ "seq": record.seq, "at": output::when(record.at), "event": body }))?;
        } else {
            output::text(&line(record, &body))?;
        }
    }
    Ok(())
}

/// `2026-11-20T09:00:00Z  #12  tool_call  ok  server=docs target=search`
fn line(record: &Record, body: &Value) -> String {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let mut line = format!(
        "{}  #{}  {}  {}",
        output::when(record.at),
        record.seq,
        text("action"),
        text("outcome")
    );
    let rest = ["user", "client", "profile", "server", "target", "reason", "peer"];
    for (key, value) in rest
        .iter()
        .filter_map(|key| Some((key, body.get(key)?.as_str()?)))
    {
        // Names come from outside; a record stays one line and writes nothing to the terminal but text.
        let value: String = value.chars().flat_map(char::escape_debug).collect();
        line.push_str(&if value.contains(' ') {
            format!("  {key}=\"{value}\"")
        } else {
            format!("  {key}={value}")
        });
    }
    line
}

async fn export(run: &Run, file: Option<&Path>) -> Result<(), Failure> {
    let log = log(run).await?;
    let count = match file {
        None => log.export(&mut io::stdout()).await,
        Some(path) => {
            let mut out = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path);
            let out = out
                .as_mut()
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
            let mut out = io::BufWriter::new(out);
            log.export(&mut out).await
        }
    };
    let count = count.map_err(anyhow::Error::from)?;
    output::note(&format!("{count} records"));
    Ok(())
}

async fn verify_store(run: &Run) -> Result<(), Failure> {
    match log(run).await?.verify().await {
        Ok(verified) => whole(run, &verified, true),
        Err(AuditError::Broken(chain)) => broken(run, &chain.to_string()),
        Err(error) => Err(Failure::Failed(error.into())),
    }
}

async fn verify_file(run: &Run, file: &Path) -> Result<(), Failure> {
    let keys = existing_vault(run).await;
    let keys: Option<&dyn DeriveKeyed> = keys.as_ref().map(|vault| vault as &dyn DeriveKeyed);
    let result = if file == Path::new("-") {
        verify_export(io::stdin().lock(), keys)
    } else {
        let input = std::fs::File::open(file)
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
        verify_export(BufReader::new(input), keys)
    };
    match result {
        Ok(verified) => whole(run, &verified, keys.is_some()),
        Err(ExportError::Io(error)) => Err(Failure::Failed(error.into())),
        Err(error) => broken(run, &error.to_string()),
    }
}

/// The keys of this machine, if there is a store with them: an exported file is also checked elsewhere, without them.
async fn existing_vault(run: &Run) -> Option<Vault> {
    let data_dir = run.location().read(&run.adjustments()).data_dir().to_owned();
    let source = run.environment.master_key(&data_dir).ok()?;
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    Store::schema(&data_dir).await.ok()?;
    let store = Store::open(&data_dir, StoreOptions::default()).await.ok()?;
    let vault = master::open_existing(&store, &source, SystemClock.now(), &random).await;
    store.close().await;
    vault.ok()
}

fn whole(run: &Run, verified: &Verified, keyed: bool) -> Result<(), Failure> {
    let head: String = verified.head.iter().map(|byte| format!("{byte:02x}")).collect();
    if run.is_json() {
        let value = json!({ "valid": true, "records": verified.count, "head": head, "keys_checked": keyed, "doubts": verified.doubts });
        return Ok(output::json(&value)?);
    }
    output::text(&format!("{} records, unbroken; head {head}", verified.count))?;
    if !keyed {
        output::note(
            "note: without the master key only damage is found, not a forger who computed every hash anew",
        );
    }
    for seq in &verified.doubts {
        output::note(&format!(
            "note: record {seq} says that the trail was interrupted or lost its checkpoint"
        ));
    }
    Ok(())
}

fn broken(run: &Run, what: &str) -> Result<(), Failure> {
    if run.is_json() {
        output::json(&json!({ "valid": false, "reason": what }))?;
    } else {
        output::note(&format!("the trail is broken: {what}"));
    }
    Err(Failure::Negative)
}

//! `doctor`: what would keep a client from working.

use serde_json::json;

use super::Failure;
use super::args::DoctorArgs;
use super::output;
use super::verb::Run;
use crate::base::load;
use crate::config::Adjustments;
use crate::doctor::{Doctor, Mark, Report};

pub(super) async fn run(run: &Run, args: &DoctorArgs) -> Result<(), Failure> {
    let adjustments = Adjustments {
        public_url: args.public_url.clone(),
        ..run.adjustments()
    };
    let config = load(&run.location(), &adjustments).await?;
    let doctor = Doctor::new(config, run.environment.clone(), args.profile.clone());
    let doctor = doctor.map_err(Failure::Usage)?;
    let report = match args.client {
        Some(client) => Box::pin(doctor.walk(client)).await,
        None => Box::pin(doctor.examine()).await,
    };
    if run.is_json() {
        output::json(&json!({
            "good": report.is_good(),
            "client": args.client,
            "url": doctor.endpoint(),
            "ok": report.count(Mark::Ok),
            "warnings": report.count(Mark::Warning),
            "failures": report.count(Mark::Fails),
            "steps": report.findings,
        }))?;
    } else {
        output::text(&written(&report, args.client, &doctor.endpoint()))?;
    }
    if report.is_good() {
        Ok(())
    } else {
        Err(Failure::Negative)
    }
}

fn written(report: &Report, client: Option<&str>, url: &str) -> String {
    let who = client.map_or("Sallyport", Doctor::label);
    let end = match (client, report.is_good()) {
        (Some(_), true) => format!("nothing here keeps {who} from logging in"),
        (Some(_), false) => format!("{who} cannot log in"),
        (None, true) => "nothing here keeps clients from working".to_owned(),
        (None, false) => "something keeps clients from working".to_owned(),
    };
    format!(
        "{who} at {url}\n\n{}\n{}: {end}\n",
        report.text(),
        report.summary()
    )
}

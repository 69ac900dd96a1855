//! Names that two servers claim.

use super::live::Live;
use crate::base::StartError;
use crate::config::problem::Collector;
use crate::config::profiles::Naming;

/// Where no name is to be changed, one that two servers claim is an error at the start. Later it is left out of both.
///
/// # Errors
/// [`StartError::Config`], with the place of each profile.
pub(super) async fn unambiguous(live: &Live) -> Result<(), StartError> {
    let config = live.config.load_full();
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let mut problems = Collector::new(file.as_deref().unwrap_or_default());
    let profiles = config.root.profiles.0.iter();
    for row in profiles.filter(|row| row.value.value.naming == Naming::Never) {
        for collision in live.proxy.collisions(&row.key).await {
            let mend = "write `naming: on-collision`, or take one of them out";
            problems.add(row.place, format!("profile `{}`: {collision}; {mend}", row.key));
        }
    }
    let problems = problems.finish();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(StartError::Config(problems))
    }
}

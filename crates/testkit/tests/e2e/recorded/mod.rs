//! Real clients as data: each is played through the front door as it is and with each thing done wrong, and the flight
//! recorder has to name what became of it.

#[cfg(test)]
mod documented;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod play;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod returning;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sallyport_core::{Clock as _, Timestamp};

    use super::documented::Documented;
    use super::fixture::{self, Fixture};
    use super::mutation::{self, MUTATIONS, Mutation};
    use super::play::{Plan, Player};
    use crate::support::within;

    /// Between two log-ins, so that nothing of one is taken for the other's; for an hour, an attempt of a client that is known
    /// already may be the second try of the one before.
    const PAUSE: Duration = Duration::from_secs(61 * 60);

    /// How long after the last step everything has been written.
    const WRITTEN: Duration = Duration::from_secs(4);

    /// Plays a client with every mutation; says what got another verdict than it has to.
    async fn wrong(name: &str, fixture: &Fixture) -> anyhow::Result<Vec<String>> {
        let documented = Documented::start("").await?;
        let gateway = &documented.gateway;
        let mut browser = gateway.browser()?;
        let mut played: Vec<(&Mutation, Timestamp, Option<String>)> = Vec::new();
        for (attempt, mutation) in MUTATIONS.iter().enumerate() {
            gateway.advance(PAUSE);
            let mut plan = Plan::of(fixture);
            (mutation.change)(&mut plan);
            let player = Player {
                gateway,
                site: &documented.site,
                fixture,
                plan,
                attempt,
            };
            let begin = gateway.clock().now();
            let failed = player.play(&mut browser).await.err();
            played.push((mutation, begin, failed.map(|error| format!("{error:#}"))));
        }
        let store = gateway.store().await?;
        let mut wrong = Vec::new();
        let _ = within(WRITTEN, async || {
            let traces = store.logins(Timestamp::EPOCH).await?;
            wrong.clear();
            for (mutation, begin, failed) in &played {
                let of = traces
                    .iter()
                    .filter(|trace| trace.begun.since(*begin) < PAUSE && trace.begun >= *begin);
                let mut names: Vec<_> = of
                    .map(|trace| trace.verdict(gateway.clock().now()).name)
                    .collect();
                names.sort();
                let general = mutation::verdict(mutation, fixture);
                let expected = fixture.expects.get(mutation.name).map_or(general, String::as_str);
                // Another client's name is another log-in to whoever does not know that it is the same program.
                let is_right = names.iter().any(|name| name == expected) && names.len() <= 2;
                if !is_right || failed.is_some() {
                    wrong.push(format!(
                        "{name}, {}: {names:?} and not {expected}; {failed:?}",
                        mutation.name
                    ));
                }
            }
            Ok(wrong.is_empty())
        })
        .await;
        store.close().await;
        documented.gateway.shutdown().await;
        Ok(wrong)
    }

    #[tokio::test]
    async fn every_client_with_every_mutation_gets_the_verdict_that_it_has_to() {
        let mut all = Vec::new();
        let mut played = 0;
        for (name, fixture) in fixture::all().unwrap() {
            played += 1;
            let found = wrong(&name, &fixture).await;
            all.extend(found.unwrap_or_else(|error| vec![format!("{}: {error:#}", fixture.client)]));
        }
        assert!(all.is_empty(), "{}", all.join("\n"));
        assert!(played >= 46, "{played} clients");
    }
}

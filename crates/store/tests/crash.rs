//! A process that is killed with SIGKILL at any moment loses nothing that it has acknowledged (CR-01, CR-02).
//!
//! The killed process is this test binary itself: it runs `the_victim`, which is ignored otherwise.

#[cfg(test)]
mod crash {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
    use sallyport_core::capability::DeriveKeyed;
    use sallyport_core::clock::SystemClock;
    use sallyport_core::{ClientId, GrantId, Resource, ScopeSet, Timestamp, UserId};
    use sallyport_oauth::model::{AuthorizationCode, Digest, Grant, RefreshToken, TakenCode};
    use sallyport_store::audit::AuditLog;
    use sallyport_store::{AuditTrail, Rotation, Store, StoreOptions};

    const DIRECTORY: &str = "SALLYPORT_CRASH_TEST_DIRECTORY";
    const ROUND: &str = "SALLYPORT_CRASH_TEST_ROUND";
    const ROUNDS: usize = 12;

    struct Keys;

    impl DeriveKeyed for Keys {
        fn derive(&self, label: &'static str, input: &[u8]) -> [u8; 32] {
            let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
            context.update(label.as_bytes());
            context.update(input);
            context.finish().as_ref().try_into().unwrap()
        }
    }

    fn digest(kind: u8, n: u64) -> Digest {
        let mut digest = [kind; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        digest
    }

    fn grant(n: u64) -> Grant {
        Grant {
            id: GrantId::new(format!("{n}")),
            user: UserId::new("ann"),
            client: ClientId::new("c"),
            resource: Resource::parse("https://g.example/mcp").unwrap(),
            scopes: ScopeSet::parse("mcp"),
            created: Timestamp::from_secs(1),
            expires: Timestamp::from_secs(1_000_000),
            revoked: None,
        }
    }

    fn code(n: u64) -> AuthorizationCode {
        AuthorizationCode {
            digest: digest(1, n),
            grant: grant(n).id,
            redirect_uri: "http://localhost/cb".into(),
            challenge: "c".into(),
            key: None,
            expires: Timestamp::from_secs(60),
        }
    }

    fn refresh(kind: u8, n: u64) -> RefreshToken {
        RefreshToken {
            digest: digest(kind, n),
            grant: grant(n).id,
            key: None,
            issued: Timestamp::from_secs(2),
            expires: Timestamp::from_secs(900_000),
        }
    }

    /// Does the work of one login after the other and says what is done, until it is killed.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "it is run, and killed, by the other test"]
    async fn the_victim() {
        let (Some(directory), Some(round)) = (std::env::var_os(DIRECTORY), std::env::var_os(ROUND)) else {
            return;
        };
        let store = Store::open(Path::new(&directory), StoreOptions::default())
            .await
            .unwrap();
        let trail = AuditTrail::start(&store, Arc::new(Keys), Arc::new(SystemClock))
            .await
            .unwrap();
        let first = round.to_string_lossy().parse::<u64>().unwrap() * 1_000_000;
        let say = |what: &str, n: u64| {
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nack {what} {n}").unwrap();
            out.flush().unwrap();
        };
        let now = Timestamp::from_secs(3);
        for n in first.. {
            store.insert_grant_with_code(&grant(n), &code(n)).await.unwrap();
            say("grant", n);
            assert!(matches!(
                store.take_code(&digest(1, n)).await.unwrap(),
                TakenCode::Fresh(..)
            ));
            say("taken", n);
            store.begin_refresh_family(&refresh(2, n)).await.unwrap();
            say("family", n);
            let rotation = store
                .rotate_refresh(&digest(2, n), &refresh(3, n), now)
                .await
                .unwrap();
            assert_eq!(rotation, Rotation::Rotated);
            say("rotated", n);
            if n % 3 == 0 {
                store.revoke_grant(&grant(n).id, now).await.unwrap();
                say("revoked", n);
            }
            trail.record(&Event::new(Action::ToolCall, Outcome::Ok)).unwrap();
            let event = Event::new(Action::TokenIssue, Outcome::Ok).on(&n.to_string());
            trail.record_durably(event).await.unwrap();
            say("audit", n);
        }
    }

    /// Runs the victim until it has acknowledged some things, later in each round, kills it, and returns what it
    /// acknowledged.
    fn run_and_kill(directory: &Path, round: usize) -> Vec<(String, u64)> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_victim", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let count = 1 + round * 7;
        let mut acknowledged = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut read = |until: usize| {
            for line in lines.by_ref() {
                let mut words = line.split(' ');
                if let (Some("ack"), Some(what), Some(n)) = (words.next(), words.next(), words.next()) {
                    acknowledged.push((what.to_owned(), n.parse().unwrap()));
                }
                if acknowledged.len() >= until {
                    return;
                }
            }
        };
        read(count);
        child.kill().unwrap();
        read(usize::MAX);
        child.wait().unwrap();
        assert!(acknowledged.len() >= count, "the victim ended by itself");
        acknowledged
    }

    async fn check(store: &Store, log: &AuditLog, acknowledged: &[(String, u64)]) {
        let records = log.after(0, u32::MAX).await.unwrap();
        let recorded: Vec<String> = records
            .iter()
            .filter_map(sallyport_store::audit::Record::event)
            .filter(|event| event.action == Action::TokenIssue)
            .filter_map(|event| event.target.map(String::from))
            .collect();
        for (what, n) in acknowledged {
            let n = *n;
            match what.as_str() {
                "grant" => assert!(store.grant(&grant(n).id).await.unwrap().is_some(), "grant {n}"),
                "taken" => {
                    let again = store.take_code(&digest(1, n)).await.unwrap();
                    assert_eq!(again, TakenCode::Replayed(grant(n).id), "code {n}");
                }
                "family" => assert!(
                    store.refresh_state(&digest(2, n)).await.unwrap().is_some(),
                    "family {n}"
                ),
                "rotated" => {
                    let state = store.refresh_state(&digest(2, n)).await.unwrap().unwrap();
                    assert_eq!(state.rotated.map(|(_, successor)| successor), Some(digest(3, n)));
                    assert!(
                        store.refresh_state(&digest(3, n)).await.unwrap().is_some(),
                        "successor {n}"
                    );
                }
                "revoked" => {
                    assert!(
                        store
                            .grant(&grant(n).id)
                            .await
                            .unwrap()
                            .unwrap()
                            .revoked
                            .is_some(),
                        "revocation {n}"
                    );
                }
                "audit" => assert!(recorded.contains(&n.to_string()), "record {n}"),
                other => panic!("{other}"),
            }
        }
    }

    #[tokio::test]
    async fn cr_02_what_was_acknowledged_survives_kill_9() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("data");
        let mut acknowledged = Vec::new();
        for round in 0..ROUNDS {
            acknowledged.extend(run_and_kill(&directory, round));
            let store = Store::open(&directory, StoreOptions::default()).await.unwrap();
            let log = AuditLog::new(store.clone(), Arc::new(Keys));
            let verified = log.verify().await.unwrap();
            assert!(verified.doubts.is_empty());
            check(&store, &log, &acknowledged).await;
            store.close().await;
        }
    }
}

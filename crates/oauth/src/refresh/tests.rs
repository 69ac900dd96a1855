use proptest::prelude::*;
use sallyport_core::{ClientId, GrantId, Resource, Secret, UserId};
use serde_json::json;

use super::*;
use crate::client_auth;
use crate::model::{AuthMethod, Client, Grant, RefreshToken};

const ISSUED: Timestamp = Timestamp::from_secs(1_000_000);
const GRACE: Duration = Duration::from_secs(30);
const DAY: u64 = 24 * 3600 * 1000;

#[derive(Clone, Copy)]
struct Case {
    client: &'static str,
    form: &'static str,
    /// Milliseconds after the token was issued.
    now: u64,
    rotated: Option<u64>,
    revoked: bool,
    may_refresh: bool,
    bound: Option<&'static str>,
    proved: Option<&'static str>,
}

const FRESH: Case = Case {
    client: "c1",
    form: "",
    now: 1000,
    rotated: None,
    revoked: false,
    may_refresh: true,
    bound: None,
    proved: None,
};

#[test]
fn au_10_a_bound_token_is_for_the_holder_of_the_key() {
    let key = |bound, proved, rotated| {
        run(Case {
            bound,
            proved,
            rotated,
            now: DAY,
            ..FRESH
        })
    };
    assert!(matches!(key(Some("k"), Some("k"), None), Ok(Decision::Rotate(_))));
    assert!(matches!(key(None, Some("k"), None), Ok(Decision::Rotate(_))));
    // Who has stolen it can neither use it nor end anything with it.
    for rotated in [None, Some(0)] {
        assert_eq!(key(Some("k"), Some("other"), rotated), Err(RefreshError::Key));
        assert_eq!(key(Some("k"), None, rotated), Err(RefreshError::Key));
    }
    assert_eq!(key(Some("k"), Some("k"), Some(0)), Ok(Decision::Reuse));
}

impl Case {
    fn of_client(self, client: &'static str) -> Self {
        Self { client, ..self }
    }

    fn with(self, form: &'static str) -> Self {
        Self { form, ..self }
    }

    fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }
}

fn after(millis: u64) -> Timestamp {
    ISSUED.plus(Duration::from_millis(millis))
}

fn run(case: Case) -> Result<Decision, RefreshError> {
    let state = RefreshState {
        token: RefreshToken {
            digest: [1; 32],
            grant: GrantId::new("g"),
            key: case.bound.map(Thumbprint::new),
            issued: ISSUED,
            expires: after(30 * DAY),
        },
        rotated: case.rotated.map(|at| (after(at), [2; 32])),
        grant: Grant {
            id: GrantId::new("g"),
            user: UserId::new("u"),
            client: ClientId::new("c1"),
            resource: Resource::parse("http://h/mcp").unwrap(),
            scopes: ScopeSet::parse("mcp read"),
            created: ISSUED,
            expires: after(20 * DAY),
            revoked: case.revoked.then_some(ISSUED),
        },
    };
    let types = if case.may_refresh {
        json!(["refresh_token"])
    } else {
        json!(["authorization_code"])
    };
    let client = Client {
        id: ClientId::new(case.client),
        auth_method: AuthMethod::None,
        secret: None,
        redirect_uris: vec![],
        scopes: ScopeSet::default(),
        metadata: serde_json::Map::from_iter([("grant_types".to_owned(), types)]),
        registered: ISSUED,
        last_used: None,
    };
    let presented = client_auth::read(
        None,
        &Params::parse(format!("client_id={}", case.client).as_bytes()).unwrap(),
    )
    .unwrap();
    let authenticated = client_auth::verify(&presented, Some(&client), |_| [0; 32]).unwrap();
    let params = Params::parse(case.form.as_bytes()).unwrap();
    let scope = params.one("scope").unwrap().map(ToOwned::to_owned);
    let request = RefreshRequest {
        token: Secret::from("r1"),
        scope,
    };
    let key = case.proved.map(Thumbprint::new);
    decide(
        &state,
        authenticated,
        &request,
        &params,
        key.as_ref(),
        (after(case.now), GRACE),
    )
}

fn all() -> ScopeSet {
    ScopeSet::parse("mcp read")
}

#[test]
fn rf_01_rf_02_rotation_grace_and_reuse() {
    let rotated = Case {
        rotated: Some(1000),
        ..FRESH
    };
    assert_eq!(run(FRESH), Ok(Decision::Rotate(all())));
    assert_eq!(run(Case { now: 1000, ..rotated }), Ok(Decision::Repeat(all())));
    assert_eq!(
        run(Case {
            now: 31_000,
            ..rotated
        }),
        Ok(Decision::Repeat(all()))
    );
    assert_eq!(
        run(Case {
            now: 31_001,
            ..rotated
        }),
        Ok(Decision::Reuse)
    );
    assert_eq!(
        run(Case {
            now: 25 * DAY,
            ..rotated
        }),
        Ok(Decision::Reuse)
    );
}

#[test]
fn rf_03_rf_04_rf_05_rf_07_rf_08_what_is_refused() {
    let stale = |case| Case {
        rotated: Some(1000),
        now: DAY,
        ..case
    };
    let recent = |case| Case {
        rotated: Some(1000),
        now: 2000,
        ..case
    };
    let cases = [
        (FRESH.of_client("c2"), RefreshError::WrongClient),
        (recent(FRESH.of_client("c2")), RefreshError::WrongClient),
        (stale(FRESH.of_client("c2")), RefreshError::WrongClient),
        (FRESH.with("scope=mcp+read+admin"), RefreshError::Scope),
        (recent(FRESH.with("scope=admin")), RefreshError::Scope),
        (
            FRESH.with("resource=http://h/mcp/b"),
            RefreshError::Target(InvalidTarget),
        ),
        (
            recent(FRESH.with("resource=http://h/mcp/b")),
            RefreshError::Target(InvalidTarget),
        ),
        (FRESH.at(20 * DAY), RefreshError::Expired),
        (
            Case {
                revoked: true,
                ..FRESH
            },
            RefreshError::Revoked,
        ),
        (
            stale(Case {
                revoked: true,
                ..FRESH
            }),
            RefreshError::Revoked,
        ),
        (
            Case {
                may_refresh: false,
                ..FRESH
            },
            RefreshError::GrantType,
        ),
    ];
    for (case, error) in cases {
        assert_eq!(run(case), Err(error));
    }
    assert!(run(FRESH.at(20 * DAY - 1)).is_ok());
}

#[test]
fn rf_04_narrower_is_fine_and_openid_scopes_mean_nothing() {
    let narrowed = run(Case {
        form: "scope=mcp",
        ..FRESH
    });
    assert_eq!(narrowed, Ok(Decision::Rotate(ScopeSet::parse("mcp"))));
    let with_openid = run(Case {
        form: "scope=mcp+read+offline_access+openid",
        ..FRESH
    });
    assert_eq!(with_openid, Ok(Decision::Rotate(all())));
    assert_eq!(
        run(Case {
            form: "scope=openid+email+profile",
            ..FRESH
        }),
        Ok(Decision::Rotate(all()))
    );
}

proptest! {
    #[test]
    fn no_decision_ever_widens(scope in "(mcp|mcp:read|mcp:a:write|read|admin|openid|x| ){0,4}") {
        if let Some(scopes) = narrowed(Some(&scope), &all()) {
            prop_assert!(all().covers(&scopes) && !scopes.is_empty());
        }
    }
}

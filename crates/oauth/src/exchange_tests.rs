use std::sync::Arc;

use sallyport_core::{ClientId, GrantId, Principal, Timestamp, TokenId, UserId};
use serde_json::json;

use super::*;
use crate::client_auth;
use crate::model::Client;

fn resource(path: &str) -> Resource {
    Resource::parse(&format!("http://h{path}")).unwrap()
}

fn client(auth_method: AuthMethod, scopes: &str) -> Client {
    let metadata = json!({ "grant_types": [GRANT_TYPE], own_name::RESOURCES: ["/mcp/a", "/mcp/b"] });
    Client {
        id: ClientId::new("agent"),
        auth_method,
        secret: Some([0; 32]),
        redirect_uris: vec![],
        scopes: ScopeSet::parse(scopes),
        metadata: metadata.as_object().cloned().unwrap(),
        registered: Timestamp::EPOCH,
        last_used: None,
    }
}

fn shown(user: &str, client: &str, path: &str, scopes: &str) -> Shown {
    let principal = Arc::new(Principal {
        user: UserId::new(user),
        client: ClientId::new(client),
        grant: GrantId::new("g"),
        token: TokenId::new("t"),
        scopes: ScopeSet::parse(scopes),
        audience: resource(path),
        expires: Timestamp::EPOCH,
    });
    Shown {
        verified: Verified { principal, key: None },
        actor: None,
    }
}

/// Runs an exchange with these parameters besides.
fn run(
    client: &Client,
    form: &str,
    subject: &Shown,
    actor: Option<&Shown>,
    key: Option<&Thumbprint>,
) -> Result<Exchanged, ExchangeError> {
    let named = match client.auth_method {
        AuthMethod::None => "client_id=agent",
        _ => "client_id=agent&client_secret=x",
    };
    let presented = client_auth::read(None, &Params::parse(named.as_bytes()).unwrap()).unwrap();
    let proved = client_auth::verify(&presented, Some(client), |_| [0; 32]).unwrap();
    let params = Params::parse(form.as_bytes()).unwrap();
    let request = ExchangeRequest {
        subject: Secret::from("s"),
        actor: None,
        scope: params.one("scope").unwrap().map(str::to_owned),
    };
    let all = ["/mcp", "/mcp/a", "/mcp/b"].map(|path| (path, resource(path)));
    let (everybody, bob) = (Selection::all(), only("bob"));
    let places: Vec<Place<'_>> = all
        .iter()
        .map(|(path, resource)| Place {
            path,
            resource,
            users: if *path == "/mcp/b" { &bob } else { &everybody },
        })
        .collect();
    decide(proved, (&request, &params), (subject, actor), key, &places)
}

fn only(name: &str) -> Selection {
    Selection {
        allow: vec![sallyport_core::policy::Glob::parse(name).unwrap()],
        deny: Vec::new(),
    }
}

#[test]
fn tk_13_an_exchange_narrows_and_never_widens() {
    let agent = client(AuthMethod::ClientSecretPost, "mcp");
    let reader = client(AuthMethod::ClientSecretPost, "mcp:read");
    let given = |client: &Client, had: &str, form: &str| {
        let subject = shown("ada", "app", "/mcp/a", had);
        run(client, form, &subject, None, None).map(|given| given.scopes.to_string())
    };
    assert_eq!(given(&agent, "mcp", ""), Ok("mcp".into()));
    assert_eq!(
        given(&agent, "mcp", "scope=mcp:docs:read"),
        Ok("mcp:docs:read".into())
    );
    assert_eq!(given(&agent, "mcp:read", ""), Ok("mcp:read".into()));
    assert_eq!(given(&agent, "mcp:read", "scope=mcp"), Err(ExchangeError::Scope));
    assert_eq!(
        given(&agent, "mcp:read", "scope=mcp:docs:write"),
        Err(ExchangeError::Scope)
    );
    assert_eq!(
        given(&agent, "mcp:docs:read", "scope=mcp:mail:read"),
        Err(ExchangeError::Scope)
    );
    assert_eq!(given(&agent, "mcp", "scope=admin"), Err(ExchangeError::Scope));
    // Neither what the client is registered for.
    assert_eq!(given(&reader, "mcp", ""), Ok("mcp:read".into()));
    assert_eq!(
        given(&reader, "mcp", "scope=mcp:write"),
        Err(ExchangeError::Scope)
    );
    assert_eq!(given(&agent, "openid", ""), Err(ExchangeError::Scope));
}

#[test]
fn tk_13_only_where_the_operator_says_and_the_person_is_admitted() {
    let agent = client(AuthMethod::ClientSecretPost, "mcp");
    let at = |user: &str, from: &str, form: &str| {
        let subject = shown(user, "app", from, "mcp");
        run(&agent, form, &subject, None, None).map(|given| given.resource.to_string())
    };
    let target = Err(ExchangeError::Target(InvalidTarget));
    assert_eq!(at("ada", "/mcp/a", ""), Ok("http://h/mcp/a".into()));
    assert_eq!(
        at("bob", "/mcp/a", "resource=http://h/mcp/b"),
        Ok("http://h/mcp/b".into())
    );
    assert_eq!(
        at("bob", "/mcp/a", "audience=http://h/mcp/b"),
        Ok("http://h/mcp/b".into())
    );
    assert_eq!(at("ada", "/mcp/a", "resource=http://h/mcp/b"), target);
    assert_eq!(at("ada", "/mcp/b", ""), target);
    assert_eq!(at("ada", "/mcp/a", "resource=http://h/mcp"), target);
    assert_eq!(at("ada", "/mcp/a", "audience=somewhere"), target);
    assert_eq!(
        at("bob", "/mcp/a", "resource=http://h/mcp/a&audience=http://h/mcp/b"),
        target
    );
    // A token for what was not named to the client is none of its business.
    assert_eq!(at("ada", "/mcp", ""), Err(ExchangeError::Subject));
    let subject = shown("ada", "app", "/mcp/a", "mcp");
    let public = client(AuthMethod::None, "mcp");
    assert_eq!(
        run(&public, "", &subject, None, None),
        Err(ExchangeError::GrantType)
    );
    let mut other = client(AuthMethod::ClientSecretPost, "mcp");
    other
        .metadata
        .insert("grant_types".into(), json!(["authorization_code"]));
    assert_eq!(
        run(&other, "", &subject, None, None),
        Err(ExchangeError::GrantType)
    );
    let mut nowhere = client(AuthMethod::ClientSecretPost, "mcp");
    nowhere.metadata.remove(own_name::RESOURCES);
    assert_eq!(
        run(&nowhere, "", &subject, None, None),
        Err(ExchangeError::Subject)
    );
}

#[test]
fn tk_13_who_acts_is_the_client_and_whoever_acted_before() {
    let agent = client(AuthMethod::ClientSecretPost, "mcp");
    let mut subject = shown("ada", "app", "/mcp/a", "mcp");
    let own = shown("client:agent", "agent", "/mcp/a", "mcp");
    let given = run(&agent, "", &subject, Some(&own), None).unwrap();
    assert_eq!(given.actor.sub.as_str(), "client:agent");
    assert_eq!(given.actor.act, None);
    assert_eq!(run(&agent, "", &subject, None, None).unwrap().actor, given.actor);
    for foreign in [
        shown("ada", "agent", "/mcp/a", "mcp"),
        shown("client:other", "other", "/mcp/a", "mcp"),
        shown("client:agent", "other", "/mcp/a", "mcp"),
    ] {
        let refused = run(&agent, "", &subject, Some(&foreign), None);
        assert_eq!(refused, Err(ExchangeError::Actor));
    }
    for depth in 1..=MAX_ACTORS {
        let given = run(&agent, "", &subject, None, None).unwrap();
        assert_eq!(given.actor.depth(), depth);
        subject.actor = Some(given.actor);
    }
    assert_eq!(run(&agent, "", &subject, None, None), Err(ExchangeError::Depth));
}

#[test]
fn au_10_tk_13_a_bound_token_is_exchanged_by_the_holder_of_its_key() {
    let agent = client(AuthMethod::ClientSecretPost, "mcp");
    let (mine, other) = (Thumbprint::new("mine"), Thumbprint::new("other"));
    let mut subject = shown("ada", "app", "/mcp/a", "mcp");
    subject.verified.key = Some(mine.clone());
    assert_eq!(run(&agent, "", &subject, None, None), Err(ExchangeError::Key));
    assert_eq!(
        run(&agent, "", &subject, None, Some(&other)),
        Err(ExchangeError::Key)
    );
    assert!(run(&agent, "", &subject, None, Some(&mine)).is_ok());
    let plain = shown("ada", "app", "/mcp/a", "mcp");
    let mut own = shown("client:agent", "agent", "/mcp/a", "mcp");
    own.verified.key = Some(other);
    assert_eq!(
        run(&agent, "", &plain, Some(&own), Some(&mine)),
        Err(ExchangeError::Key)
    );
}

#[test]
fn who_acts_is_read_from_tokens_of_ours_alone() {
    let token = |claims: serde_json::Value| format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let nested = json!({ "iss": "i", "act": { "sub": "a", "act": { "sub": "b" } } });
    let actor = actor_of(&token(nested), "i").unwrap().unwrap();
    assert_eq!((actor.sub.as_str(), actor.depth()), ("a", 2));
    assert_eq!(actor_of(&token(json!({ "iss": "i" })), "i"), Some(None));
    assert_eq!(actor_of(&token(json!({ "iss": "other" })), "i"), None);
    assert_eq!(actor_of("sp_key", "i"), None);
    assert_eq!(actor_of("", "i"), None);
}

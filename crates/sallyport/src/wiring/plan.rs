//! From the configuration, the store's servers and the users to what the proxy and the authorization server need.

use std::collections::HashMap;
use std::sync::Arc;

use sallyport_authserver::{ResourceInfo, Settings};
use sallyport_core::capability::DeriveKeyed;
use sallyport_core::{Resource, ServerName, UserId};
use sallyport_oauth::model::{Client, User};
use sallyport_oauth::provider::Identity;
use sallyport_oauth::{display, own_name};
use sallyport_proxy::spec::{EndpointKind, EndpointSpec, ProxyConfig, ProxyLimits};

use crate::base::StartError;
use crate::config::Config;
use crate::config::auth::Mode;
use crate::config::servers::Server;

use super::endpoints::endpoints;
use super::fleet::{self, servers};
use super::{accounts, people};

/// Who runs commands, and speaks over standard input and output. No user's id is as short as that.
pub(super) const OPERATOR: &str = "operator";

/// Who everyone is with `auth.mode: none`.
pub(super) const LOCAL_USER: &str = "local";

/// What is planned from.
pub(super) struct Sources<'a> {
    pub(super) config: &'a Config,
    /// Servers that were added by command.
    pub(super) stored: &'a [(ServerName, Server)],
    pub(super) users: &'a [User],
    /// Who of them came through which provider.
    pub(super) identities: &'a [(UserId, Identity)],
    /// The groups of the others.
    pub(super) groups: &'a [(UserId, Vec<String>)],
    /// The clients that may act in their own name.
    pub(super) clients: &'a [Client],
    /// The origin that clients use, without a slash at the end.
    pub(super) origin: &'a str,
    pub(super) derive: &'a dyn DeriveKeyed,
}

/// What follows.
pub(super) struct Plan {
    pub(super) proxy: ProxyConfig,
    pub(super) settings: Settings,
    pub(super) accounts: sallyport_accounts::Settings,
    /// What the operator should know of.
    pub(super) notes: Vec<String>,
}

/// Plans everything that a reload may change.
///
/// # Errors
/// [`StartError::Other`] if the origin cannot be part of a resource's URL.
pub(super) fn plan(sources: &Sources<'_>) -> Result<Plan, StartError> {
    let mut notes = sources.config.notes.clone();
    let servers = servers(sources, &mut notes);
    let endpoints = endpoints(sources, &servers, &mut notes)?;
    let settings = settings(sources, &endpoints)?;
    let accounts = accounts::settings(sources, &fleet::logins(sources), &endpoints);
    let anonymous = sources.config.root.auth.mode.value == Mode::None;
    let proxy = ProxyConfig {
        servers,
        endpoints,
        limits: ProxyLimits::from(&sources.config.root.limits),
        public_url: sources.origin.to_owned(),
        anonymous: anonymous.then(|| UserId::new(LOCAL_USER)),
        names: Arc::new(names(sources)),
        curator: None,
    };
    Ok(Plan {
        proxy,
        settings,
        accounts,
        notes,
    })
}

/// What everyone is called who may get a token.
fn names(sources: &Sources<'_>) -> HashMap<UserId, Box<str>> {
    let users = sources.users.iter();
    let users = users.map(|user| (user.id.clone(), user.name.as_str().into()));
    let clients = sources.clients.iter().filter_map(|client| {
        let name = display::client_name(client)?;
        Some((own_name::user(&client.id), name.into()))
    });
    users.chain(clients).collect()
}

/// What the authorization server is told; tokens are issued for profiles and for servers alone alike.
fn settings(sources: &Sources<'_>, endpoints: &[EndpointSpec]) -> Result<Settings, StartError> {
    let auth = &sources.config.root.auth;
    let people = people::people(sources);
    let infos = endpoints.iter().flat_map(|endpoint| {
        let label = match &endpoint.kind {
            EndpointKind::Profile(slug) => slug.to_string(),
            EndpointKind::Server(name) => name.to_string(),
        };
        let pairs = endpoint.resources.iter().zip(&endpoint.paths);
        pairs.map(move |(resource, path)| ResourceInfo {
            resource: resource.clone(),
            path: path.clone(),
            label: label.clone(),
            users: endpoint.rules.users.clone(),
        })
    });
    let resources: Vec<ResourceInfo> = infos.collect();
    // What a token request without `resource` is for: `/mcp`, or the first profile where there is no `default`.
    let default = resources
        .iter()
        .find(|info| info.path == "/mcp")
        .or(resources.first());
    let default = match default {
        Some(info) => info.resource.clone(),
        None => resource(sources.origin, "/mcp")?,
    };
    let mut settings = Settings::new(sources.origin, resources, default);
    settings.access_ttl = auth.tokens.access_ttl.0;
    settings.refresh_ttl = auth.tokens.refresh_ttl.0;
    settings.refresh_absolute = auth.tokens.refresh_absolute.0;
    settings.dynamic_registration = auth.dynamic_registration;
    settings.client_documents = auth.client_metadata_documents;
    let hosts = auth.client_metadata_hosts.as_ref();
    settings.document_hosts = hosts.map(|hosts| hosts.iter().map(|host| host.as_str().to_owned()).collect());
    settings.client_lifetime = Some(auth.client_lifetime.0).filter(|lifetime| !lifetime.is_zero());
    settings.people = Arc::new(people);
    if let Some(schemes) = &auth.private_schemes {
        settings.private_schemes = schemes.iter().map(|scheme| scheme.to_ascii_lowercase()).collect();
    }
    Ok(settings)
}

/// The resource of a path.
///
/// # Errors
/// [`StartError::Other`] if the origin is none.
pub(super) fn resource(origin: &str, path: &str) -> Result<Resource, StartError> {
    Resource::parse(&format!("{origin}{path}"))
        .map_err(|error| StartError::Other(format!("`public_url` cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sallyport_core::policy::{self, Access, Selection};
    use sallyport_core::{ClientId, GrantId, Principal, ScopeSet, Secret, TokenId};
    use sallyport_oauth::model::{AuthMethod, Client};
    use sallyport_proxy::spec::Transport;

    use super::*;
    use crate::config::{Adjustments, Location, parse_server};

    /// No secret is in it: it only has to tell different inputs apart.
    struct Plain;
    impl DeriveKeyed for Plain {
        fn derive(&self, _: &'static str, input: &[u8]) -> [u8; 32] {
            let mut out = [0u8; 32];
            for (i, byte) in input.iter().enumerate() {
                let cell = &mut out[i % 32];
                *cell = cell.wrapping_mul(31).wrapping_add(*byte);
            }
            out
        }
    }

    fn config(text: &str, stored: &[&str]) -> Config {
        let location = Location {
            file: None,
            env: [("HOME".to_owned(), "/h".to_owned())].into(),
        };
        let stored: BTreeSet<String> = stored.iter().map(|name| (*name).to_owned()).collect();
        location
            .parse(text, "f.yaml", &Adjustments::default())
            .finish(&stored)
            .expect(text)
    }

    fn planned(text: &str, stored: &[(&str, &str)], users: &[User]) -> Plan {
        let names: Vec<&str> = stored.iter().map(|(name, _)| *name).collect();
        let stored: Vec<_> = stored
            .iter()
            .map(|(name, json)| {
                (
                    ServerName::parse(name).expect("a name"),
                    parse_server(name, json).expect("good"),
                )
            })
            .collect();
        let config = config(text, &names);
        let sources = Sources {
            config: &config,
            stored: &stored,
            users,
            identities: &[],
            groups: &[],
            clients: &[],
            origin: "http://h:1",
            derive: &Plain,
        };
        plan(&sources).expect("a plan")
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.proxy
            .servers
            .iter()
            .map(|server| server.name.as_str())
            .collect()
    }

    fn endpoint<'p>(plan: &'p Plan, path: &str) -> Option<&'p EndpointSpec> {
        plan.proxy
            .endpoints
            .iter()
            .find(|endpoint| endpoint.paths.iter().any(|p| p == path))
    }

    #[test]
    fn without_a_server_there_is_the_demo_in_the_default_profile() {
        let plan = planned("", &[], &[]);
        assert_eq!(names(&plan), ["demo"]);
        assert!(matches!(plan.proxy.servers[0].transport, Transport::Demo));
        let default = endpoint(&plan, "/mcp").expect("there");
        assert_eq!(default.paths, ["/mcp", "/mcp/default"]);
        assert_eq!(default.resources[0].as_str(), "http://h:1/mcp");
        assert_eq!(default.servers.len(), 1);
        assert_eq!(plan.settings.default_resource.as_str(), "http://h:1/mcp");
        assert_eq!(plan.settings.resources.len(), 3);
    }

    #[test]
    fn any_server_ends_the_demo() {
        assert_eq!(names(&planned("servers: { a: { command: x } }", &[], &[])), ["a"]);
        assert_eq!(names(&planned("", &[("b", r#"{"url":"http://h"}"#)], &[])), ["b"]);
    }

    #[test]
    fn the_file_wins_over_a_command_and_says_so() {
        let plan = planned(
            "servers: { a: { command: x } }",
            &[("a", r#"{"url":"http://h"}"#), ("b", r#"{"url":"http://h"}"#)],
            &[],
        );
        assert_eq!(names(&plan), ["a", "b"]);
        assert!(matches!(plan.proxy.servers[0].transport, Transport::Stdio { .. }));
        assert!(
            plan.notes
                .iter()
                .any(|note| note.contains("`a` was also added by command")),
            "{:?}",
            plan.notes
        );
    }

    #[test]
    fn profiles_that_are_named_are_all_there_are() {
        let text = "servers: { a: { command: x }, b: { command: y } }\nprofiles: { p: { servers: [b, a] } }";
        let plan = planned(text, &[], &[]);
        assert!(endpoint(&plan, "/mcp").is_none());
        let shown: Vec<_> = endpoint(&plan, "/mcp/p")
            .expect("there")
            .servers
            .iter()
            .map(|s| s.as_str())
            .collect();
        assert_eq!(shown, ["b", "a"]);
        assert_eq!(plan.settings.default_resource.as_str(), "http://h:1/mcp/p");
    }

    #[test]
    fn a_server_alone_needs_a_profile_that_shows_it_whole() {
        let text = "servers: { a: { command: x }, b: { command: y } }\n\
                    profiles: { p: { servers: [a] }, q: { servers: [b], tools: { allow: [x] } } }";
        let plan = planned(text, &[], &[]);
        assert!(endpoint(&plan, "/servers/a/mcp").is_some());
        assert!(endpoint(&plan, "/servers/b/mcp").is_none());
    }

    #[test]
    fn a_profile_with_rules_opens_no_server_alone() {
        let text = "servers: { a: { command: x }, b: { command: y } }\n\
                    profiles: { p: { servers: [a], rules: [{ deny: args.x > 1 }] }, q: { servers: [b], rules: [] } }";
        let plan = planned(text, &[], &[]);
        assert!(endpoint(&plan, "/servers/a/mcp").is_none());
        assert!(endpoint(&plan, "/servers/b/mcp").is_some());
        let has_conditions = |path| endpoint(&plan, path).expect("there").rules.conditions.is_some();
        assert!(has_conditions("/mcp/p") && !has_conditions("/mcp/q"));
    }

    #[test]
    fn people_are_admitted_by_name_and_an_unknown_name_admits_nobody() {
        let user = |name: &str| User {
            id: UserId::new(format!("id-{name}")),
            name: name.to_owned(),
            admin: false,
            password: Secret::from("x"),
            created: sallyport_core::Timestamp::EPOCH,
        };
        let text = "profiles: { p: { servers: [\"*\"], users: { allow: [ada, b*], deny: [bob] } } }";
        let plan = planned(text, &[], &[user("Ada"), user("bob"), user("bea"), user("eve")]);
        let users: &Selection = &endpoint(&plan, "/mcp/p").expect("there").rules.users;
        let admitted = |name: &str| users.admits(&format!("id-{name}"));
        assert!(admitted("Ada") && admitted("bea"));
        assert!(!admitted("bob") && !admitted("eve") && !admitted("ada"));
    }

    #[test]
    fn local_people_are_admitted_by_group_and_administrators_by_their_role() {
        let user = |name: &str, admin: bool| User {
            id: UserId::new(format!("id-{name}")),
            name: name.to_owned(),
            admin,
            password: Secret::from("x"),
            created: sallyport_core::Timestamp::EPOCH,
        };
        let text = "profiles:\n  p: { servers: [\"*\"], users: { allow: [\"group:ops\"], deny: [\"local:group:away\"] } }\n  \
                    a: { servers: [\"*\"], users: { allow: [\"role:admin\"] } }";
        let config = config(text, &[]);
        let groups = |name: &str, groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            (UserId::new(format!("id-{name}")), groups)
        };
        let sources = Sources {
            config: &config,
            stored: &[],
            users: &[
                user("ada", true),
                user("bob", false),
                user("eve", false),
                user("max", false),
            ],
            identities: &[],
            groups: &[
                groups("bob", &["dev", "ops"]),
                groups("eve", &["ops", "away"]),
                groups("max", &["Ops", "admin", "role:admin"]),
            ],
            clients: &[],
            origin: "http://h:1",
            derive: &Plain,
        };
        let plan = plan(&sources).expect("a plan");
        let admitted = |path: &str| {
            let users = &endpoint(&plan, path).expect("there").rules.users;
            ["ada", "bob", "eve", "max"].map(|name| users.admits(&format!("id-{name}")))
        };
        assert_eq!(admitted("/mcp/p"), [false, true, false, false]);
        assert_eq!(admitted("/mcp/a"), [true, false, false, false]);
    }

    #[test]
    fn rules_know_people_by_name_group_and_role() {
        let user = |name: &str, admin: bool| User {
            id: UserId::new(format!("id-{name}")),
            name: name.to_owned(),
            admin,
            password: Secret::from("x"),
            created: sallyport_core::Timestamp::EPOCH,
        };
        let text = "profiles:\n  p:\n    servers: [\"*\"]\n    rules:\n\
                    \x20     - { tools: [named], require: \"principal.name in ['ada', 'client:bot']\" }\n\
                    \x20     - { tools: [grouped], require: \"'ops' in principal.groups\" }\n\
                    \x20     - { tools: [led], require: principal.admin }\n\
                    \x20     - { tools: [run], require: principal.kind == 'operator' }\n";
        let client = |id: &str, name: &str| Client {
            id: ClientId::new(id),
            auth_method: AuthMethod::None,
            secret: None,
            redirect_uris: Vec::new(),
            scopes: ScopeSet::default(),
            metadata: serde_json::Map::from_iter([("client_name".to_owned(), name.into())]),
            registered: sallyport_core::Timestamp::EPOCH,
            last_used: None,
        };
        let config = config(text, &[]);
        let sources = Sources {
            config: &config,
            stored: &[],
            users: &[user("ada", true), user("bob", false)],
            identities: &[],
            groups: &[(UserId::new("id-bob"), vec!["ops".to_owned()])],
            clients: &[client("1", "bot"), client("2", "ada")],
            origin: "http://h:1",
            derive: &Plain,
        };
        let plan = plan(&sources).expect("a plan");
        let rules = &endpoint(&plan, "/mcp/p").expect("there").rules;
        let server = ServerName::parse("demo").expect("a name");
        let sees = |id: &str| {
            let principal = Principal {
                user: UserId::new(id),
                client: ClientId::new("c"),
                grant: GrantId::new("g"),
                token: TokenId::new("t"),
                scopes: ScopeSet::parse("mcp"),
                audience: Resource::parse("http://h:1/mcp/p").expect("a resource"),
                expires: sallyport_core::Timestamp::EPOCH,
            };
            ["named", "grouped", "led", "run"].map(|tool| {
                let kind = (Access::Tool(tool), "tools/call");
                policy::shows(rules, &principal, kind, &server, tool)
            })
        };
        assert_eq!(sees("id-ada"), [true, false, true, false]);
        assert_eq!(sees("id-bob"), [false, true, false, false]);
        assert_eq!(sees("issuer:ada"), [false; 4]);
        assert_eq!(sees("client:1"), [true, false, false, false]);
        assert_eq!(
            sees("client:2"),
            [false; 4],
            "a client that calls itself ada is not ada"
        );
        assert_eq!(sees(OPERATOR), [false, false, false, true]);
        assert_eq!(sees(LOCAL_USER), [false, false, false, true]);
    }

    #[test]
    fn a_fingerprint_changes_with_every_part() {
        let base = r#"{"command":"x","args":["a","b"],"env":{"K":"v"}}"#;
        let print = |json: &str| planned("", &[("s", json)], &[]).proxy.servers[0].fingerprint;
        for other in [
            r#"{"command":"y","args":["a","b"],"env":{"K":"v"}}"#,
            r#"{"command":"x","args":["ab"],"env":{"K":"v"}}"#,
            r#"{"command":"x","args":["a","b","K","v"]}"#,
            r#"{"command":"x","args":["a","b"],"env":{"K":"w"}}"#,
            r#"{"command":"x","args":["a","b"],"env":{"K":"v"},"shared":true}"#,
            r#"{"command":"x","args":["a","b"],"env":{"K":"v"},"process":"session"}"#,
            r#"{"command":"x","args":["a","b"],"env":{"K":"v"},"max_processes":3}"#,
            r#"{"command":"x","args":["a","b"],"env":{"K":"v"},"limits":{"connect":"3s"}}"#,
        ] {
            assert_ne!(print(base), print(other), "{other}");
        }
        assert_eq!(print(base), print(base));
        let [http, sse] = ["http", "sse"]
            .map(|transport| print(&format!(r#"{{"url":"http://h/","transport":"{transport}"}}"#)));
        assert_ne!(http, sse);
    }
}

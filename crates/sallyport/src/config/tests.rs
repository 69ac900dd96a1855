//! Whole files: what is read from good ones, and the exact words about bad ones.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sallyport_proxy::spec::{HttpForm, Transport};

use super::*;

fn location() -> Location {
    let env = [("HOME", "/home/h"), ("TOKEN", "t0p"), ("PORT", "9000")];
    Location {
        file: None,
        env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}

pub(super) fn read(text: &str) -> Result<Config, Problems> {
    location()
        .parse(text, "f.yaml", &Adjustments::default())
        .finish(&BTreeSet::new())
}

pub(super) fn refused(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

#[test]
fn no_file_means_defaults() {
    let config = read("").expect("defaults");
    assert_eq!(config.root, root::Root::default());
    assert_eq!(config.data_dir.to_str(), Some("/home/h/.local/share/sallyport"));
    assert_eq!(config.root.listen.value.to_string(), "127.0.0.1:8717");
    assert_eq!(config.root.admin_listen.value.to_string(), "127.0.0.1:8718");
}

#[test]
fn a_whole_file_is_read() {
    let config = read(
        r#"
public_url: https://mcp.example.com
listen: 0.0.0.0:${env:PORT}
data_dir: ~/data
trusted_proxies: [10.0.0.0/8, "::1"]
allowed_origins: [https://app.example.com, "vscode-webview://abc"]
workers: 2
servers:
  everything: { command: npx, args: [-y, "@modelcontextprotocol/server-everything", 1.10], env: { A: yes, B: 08 }, cwd: null }
  docs:
    url: "https://mcp.example.com/mcp"
    transport: auto
    headers: { Authorization: "Bearer ${env:TOKEN}" }
    protocol: legacy
    limits: { connect: 3s }
profiles:
  default: { servers: [everything, docs], naming: on-collision, tools: { allow: ["*"], deny: [delete_*] } }
auth:
  mode: oauth
  tokens: { access_ttl: 15m, refresh_ttl: 30d, alg: ES256 }
limits: { request_bytes: 1MiB }
"#,
    )
    .expect("a good file");
    assert_eq!(config.root.listen.value.0.port(), 9000);
    assert_eq!(config.data_dir.to_str(), Some("/home/h/data"));
    let server = |name| config.root.servers.get(name).expect("defined").value.reached();
    let Some(Transport::Stdio {
        command,
        args,
        env,
        cwd,
    }) = server("everything")
    else {
        panic!("a program")
    };
    assert_eq!((command.as_str(), cwd), ("npx", None));
    assert_eq!(args, ["-y", "@modelcontextprotocol/server-everything", "1.10"]);
    let env: Vec<_> = env.iter().map(|(k, v)| format!("{k}={}", v.expose())).collect();
    assert_eq!(env, ["A=yes", "B=08"]);
    let Some(Transport::Http { headers, .. }) = server("docs") else {
        panic!("an endpoint")
    };
    assert_eq!(headers[0].1.expose(), "Bearer t0p");
}

/// Bad files, and what is said about them.
const BAD: &[(&str, &str)] = &[
    (
        "servrs: {}",
        "f.yaml:1:1: unknown key `servrs`; did you mean `servers`?",
    ),
    (
        "servers:\n  a: { comand: npx }",
        "f.yaml:2:6: a server needs a `command` or a `url`; give it a program or an endpoint\n\
             f.yaml:2:8: unknown key `comand`; did you mean `command`?",
    ),
    (
        "listen: 8717",
        "f.yaml:1:9: `8717` is not an address to listen on; write an IP address and a port: `127.0.0.1:8717`, `[::]:8717`",
    ),
    (
        "limits: { request_bytes: 5MB }",
        "f.yaml:1:26: `5MB` is not a size; write a number of bytes: `64KiB`, `4MiB`, `1048576`",
    ),
    (
        "limits:\n  depth: 257",
        "f.yaml:2:10: `depth` is 257; it must be between 8 and 256",
    ),
    (
        "limits:\n  depth: \"64\"",
        "f.yaml:2:10: `\"64\"` is text; write the number without quotes",
    ),
    (
        "limits:\n  depth: many",
        "f.yaml:2:10: `many` is not a whole number; write digits only",
    ),
    (
        "auth: { tokens: { access_ttl: 15 } }",
        "f.yaml:1:31: `15` is not a length of time; write a number and a unit: `500ms`, `90s`, `15m`, `1h`, `30d`",
    ),
    (
        "servers: { a: { command: x, shared: yes } }",
        "f.yaml:1:37: `yes` is neither true nor false; write `true`",
    ),
    (
        "servers:\n  - npx",
        "f.yaml:2:3: found a list; write a mapping from each server to its settings",
    ),
    (
        "servers:\n  a: { command: x, args: -y }",
        "f.yaml:2:26: found a single value; write a list: `[…]`, or one `- …` a line",
    ),
    (
        "servers:\n  a: { command: x }\n  a: { url: http://h }",
        "f.yaml:3:3: `a` is here twice, first in line 2; remove one",
    ),
    (
        "servers:\n  a: { command: x, url: http://h }",
        "f.yaml:2:6: a server has `command` or `url`, not both; remove one of them",
    ),
    (
        "servers:\n  a: { command: npx -y foo }",
        "f.yaml:2:17: `npx -y foo` is not the name of a program; write its name alone and put the rest into `args`",
    ),
    (
        "servers:\n  a: { command: x, shared: true, process: session }\n  b: { url: http://h, process: shared, max_processes: 0 }",
        "f.yaml:2:43: `shared: true` means one process for all; remove it, or this\n\
             f.yaml:3:32: `process` has no meaning for an endpoint; remove it\n\
             f.yaml:3:55: `max_processes` has no meaning for an endpoint; remove it\n\
             f.yaml:3:55: `max_processes` is 0; it must be between 1 and 10000",
    ),
    (
        "servers:\n  a: { url: http://h, transport: sse, protocol: modern }\n  b: { command: x, transport: sse }",
        "f.yaml:2:49: HTTP+SSE is spoken in revisions with `initialize` only; write `auto` or `legacy`, or another `transport`\n\
             f.yaml:3:31: `transport` has no meaning for a program; remove it",
    ),
    (
        "servers:\n  a: { url: http://h, transport: ws }\n  b: { url: wss://h, transport: sse }\n  c: { url: tcp://h }\n  d: { url: \"tls://h:1\", headers: { X-Key: y } }",
        "f.yaml:2:34: `ws` is spoken at URLs that begin with ws or wss, not with http; change one of them, or write `auto`\n\
             f.yaml:3:33: `sse` is spoken at URLs that begin with http or https, not with wss; change one of them, or write `auto`\n\
             f.yaml:4:13: framed TCP is spoken at a host and a port; write `tcp://host:port`\n\
             f.yaml:5:37: framed TCP has no headers; write `Authorization: Bearer …` for its AUTH frame, or remove this",
    ),
    (
        "servers:\n  a/b: { command: x }",
        "f.yaml:2:3: `a/b` is not a valid server name: use 1 to 32 letters, digits, `-`, `_` or `.`, \
             starting with a letter or digit, without `__`",
    ),
    (
        "servers:\n  a: { url: ftp://h }\n  b: { url: http://u:p@h }",
        "f.yaml:2:13: a server's URL begins with http, https, ws, wss, tcp or tls; write `https://host/path`\n\
             f.yaml:3:13: the URL holds a user name or password; put credentials into `headers`",
    ),
    (
        "servers:\n  a: { command: x, env: { LD_PRELOAD: /x.so } }",
        "f.yaml:2:27: `LD_PRELOAD` makes a program load other code; start that program as `command` instead",
    ),
    (
        "servers: { docs: { command: x } }\nprofiles:\n  p: { servers: [dcos] }\n  q: {}",
        "f.yaml:3:18: there is no server `dcos`; did you mean `docs`?\n\
             f.yaml:4:3: profile `q` names no servers; write `servers: [\"*\"]` for all",
    ),
    (
        "listen: 0.0.0.0:1\nauth: { mode: none }",
        "f.yaml:1:9: clients cannot know 0.0.0.0:1; set `public_url` to the URL that they use\n\
             f.yaml:2:15: `none` would let in everyone who reaches 0.0.0.0:1; listen on 127.0.0.1, or use `oauth`",
    ),
    (
        "auth: { mode: open, tokens: { alg: HS512 } }",
        "f.yaml:1:15: `open` is not known here; write `oauth`, `none`\n\
             f.yaml:1:36: `HS512` is not known here; write `ES256`, `EdDSA`, `RS256`, `HS256`",
    ),
    (
        "auth: { tokens: { rotate_every: 1m } }",
        "f.yaml:1:33: 1m is too short; write `1h` or more, or `0s` for never",
    ),
    (
        "public_url: https://h/mcp?x=1\nadmin_listen: 127.0.0.1:8717",
        "f.yaml:1:13: `public_url` is an origin; write `https://h`\n\
             f.yaml:2:15: 127.0.0.1:8717 is also the address of `listen`; choose another port",
    ),
    (
        "servers:\n  a: { url: http://h, headers: { X: \"${env:NOPE}\", Host: x, Y: \"${secrets:a}\" } }",
        "f.yaml:2:37: the environment variable `NOPE` is not set; set it before starting\n\
             f.yaml:2:52: the header `Host` is set by the gateway; remove it\n\
             f.yaml:2:64: unknown kind of reference `secrets`; there are `${env:NAME}`, `${file:PATH}` and `${secret:NAME}`",
    ),
    (
        "servers: {}\nmcpServers: {}",
        "f.yaml:2:1: `mcpServers` is the same key as `servers` in line 1; keep one of them",
    ),
    (
        "trusted_proxies: [0.0.0.0/0, x]\nallowed_origins: [\"*\", https://h/path]",
        "f.yaml:1:19: this is every address; name the networks that are meant\n\
             f.yaml:1:30: `x` is not a network; write `10.0.0.0/8` or `192.0.2.7`\n\
             f.yaml:2:19: `*` is not a web origin; write scheme, host and port only: `https://app.example.com`\n\
             f.yaml:2:24: `https://h/path` is not a web origin; write scheme, host and port only: `https://app.example.com`",
    ),
    (
        "egress: { allowed: [\"::/0\"], authorities: [nowhere.pem], ports: [https] }",
        "f.yaml:1:21: this is every address; name the networks that are meant\n\
             f.yaml:1:44: `nowhere.pem` cannot be read: there is no such file; name a readable text file\n\
             f.yaml:1:66: `https` is not a whole number; write digits only",
    ),
    (
        "auth: { client_metadata_hosts: [claude.ai, \"h.test:8443\", https://h, \"h.test:443\", \"*\"] }",
        "f.yaml:1:59: `https://h` is not the host of a site; write `claude.ai`, or `app.example.com:8443`\n\
             f.yaml:1:70: `h.test:443` is not the host of a site; write `claude.ai`, or `app.example.com:8443`\n\
             f.yaml:1:84: `*` is not the host of a site; write `claude.ai`, or `app.example.com:8443`",
    ),
    (
        "auth:\n  issuers:\n    client: { issuer: \"http://idp.test\" }\n    b: { audiences: [x], profiles: [nope], introspection: { url: \"https://h/\" } }",
        "f.yaml:3:5: `client` is taken or cannot begin names of people; use another one of a to z, 0 to 9 and `-`\n\
             f.yaml:3:23: the identifier of an issuer is an https URL (http on this machine only)\n\
             f.yaml:4:5: `introspection` needs `url`, `client_id` and `client_secret`\n\
             f.yaml:4:5: an issuer needs its identifier; write `issuer: https://…`, as `iss` in its tokens has it\n\
             f.yaml:4:37: there is no profile `nope`; name one of `profiles`",
    ),
    (
        "auth: { client_lifetime: 3661d }",
        "f.yaml:1:26: `client_lifetime` is 3661d; it must be between 0ms and 3660d",
    ),
    (
        "servers",
        "f.yaml:1:1: found a single value; write a mapping with `public_url`, `allow_insecure_public_url`, `listen`, `admin_listen`, \
            `tcp_listen`, `data_dir`, `store`, `trusted_proxies`, `allowed_origins`, `workers`, `servers`, `profiles`, `auth`, `lock`, `protocol`, `egress`, `limits`",
    ),
    (
        "listen: ${env:NOPE}",
        "f.yaml:1:9: the environment variable `NOPE` is not set; set it before starting",
    ),
    (
        "tcp_listen: 127.0.0.1:8717",
        "f.yaml:1:13: 127.0.0.1:8717 is also the address of `listen`; choose another port",
    ),
    (
        "tcp_listen: 0.0.0.0:8719\nauth: { mode: none }",
        "f.yaml:1:13: with `auth.mode: none`, 0.0.0.0:8719 would let in everyone who reaches it; listen on 127.0.0.1",
    ),
    (
        "store: postgres://h/db",
        "f.yaml:1:8: `postgres://h/db` is not known here; write `sqlite`",
    ),
];

#[test]
fn cf_01_bad_files_get_exact_messages() {
    for (text, messages) in BAD {
        assert_eq!(refused(text), *messages, "{text}");
    }
}

#[test]
fn cf_01_what_is_no_yaml_is_one_problem_at_its_place() {
    for text in ["servers: [", "a: b: c", "\"open", "a: *nothing", "a:\n\tx: 1"] {
        let problems = read(text).expect_err(text);
        assert_eq!(problems.len(), 1, "{problems}");
        assert!(problems.to_string().contains("this is not YAML: "), "{problems}");
    }
}

#[test]
fn a_shared_secret_for_tokens_is_allowed_with_a_word() {
    let config = read("auth: { tokens: { alg: HS256 } }").expect("allowed");
    let [note] = config.notes.as_slice() else {
        panic!("{:?}", config.notes)
    };
    assert!(
        note.starts_with("auth.tokens.alg is HS256: no public key"),
        "{note}"
    );
    assert!(
        read("auth: { tokens: { alg: RS256 } }")
            .expect("allowed")
            .notes
            .is_empty()
    );
}

#[test]
fn secrets_are_in_no_message() {
    let text = "servers:\n  a: { url: \"http://u:hunter2@h/\", headers: { A: \"hunter2\\n\" } }\n  b: { url: \"hunter2-not-a-url ${env:TOKEN}\" }";
    let problems = refused(text);
    assert!(!problems.contains("t0p"), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn a_bare_client_file_works() {
    let text = r#"{
	"mcpServers": {
		"Framelink Figma MCP": { "command": "npx", "args": ["-y", "figma"], "env": { "KEY": "${TOKEN}" }, "alwaysAllow": [] },
		"off": { "command": "x", "disabled": true },
		"remote": { "type": "http", "url": "https://h/mcp", "headers": { "A": "${MISSING:-d}" }, "timeout": 60 },
		"gemini": { "httpUrl": "https://h/mcp" }
	}
}"#;
    let config = read(text).expect("a client's file");
    let names: Vec<_> = config.root.servers.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(names, ["Framelink-Figma-MCP", "remote", "gemini"]);
    assert_eq!(
        config.notes,
        [
            "server `off` is disabled in the file",
            "server `Framelink Figma MCP` is called `Framelink-Figma-MCP` here"
        ]
    );
    let figma = config
        .root
        .servers
        .get("Framelink-Figma-MCP")
        .expect("there")
        .value
        .reached();
    assert!(
        matches!(figma, Some(Transport::Stdio { env, .. }) if env.get("KEY").is_some_and(|v| v.expose() == "t0p"))
    );
}

#[test]
fn unknown_client_keys_are_tolerated_in_that_form_only() {
    let server = r#"{"a": {"command": "x", "alwaysAllow": []}}"#;
    assert!(read(&format!("{{\"mcpServers\": {server}}}")).is_ok());
    assert!(read(&format!("mcpServers: {server}\nworkers: 1")).is_err());
    assert_eq!(
        refused(r#"{"mcpServers": {"a": {"type": "smoke", "url": "http://h/sse"}}}"#),
        "f.yaml:1:31: `smoke` is not supported here; write `stdio`, `http`, `sse`"
    );
    let config = read(
        r#"{"mcpServers": {"a": {"type": "sse", "transport": "sse", "url": "http://h/sse"}, "b": {"type": "http", "url": "http://h"}}}"#,
    );
    let config = config.expect("a client's file");
    let form = |name| match config.root.servers.get(name).expect("there").value.reached() {
        Some(Transport::Http { form, .. }) => form,
        _ => panic!("an endpoint"),
    };
    assert_eq!([form("a"), form("b")], [HttpForm::Sse, HttpForm::Auto]);
}

#[test]
fn servers_that_were_added_by_command_resolve() {
    let text = "profiles: { p: { servers: [added] } }";
    let draft = || location().parse(text, "f.yaml", &Adjustments::default());
    assert!(draft().needs_stored());
    assert!(draft().finish(&BTreeSet::from(["added".to_owned()])).is_ok());
    assert!(draft().finish(&BTreeSet::new()).is_err());
}

#[test]
fn what_is_shown_hides_secrets_and_is_yaml_again() {
    let config = read(
        "servers:\n  a: { command: x, args: [\"--key=${env:TOKEN}\"], env: { A: plain-secret, B: \"${env:TOKEN}\" } }\n  b: { url: \"https://h/mcp?key=plain-secret\" }",
    )
    .expect("good");
    let shown = yaml(&config.shown().expect("JSON"));
    assert!(
        !shown.contains("t0p") && !shown.contains("plain-secret"),
        "{shown}"
    );
    assert!(
        shown.contains("${env:TOKEN}") && shown.contains(value::HIDDEN),
        "{shown}"
    );
    assert!(tree::Node::parse(&shown).is_ok());
    let defaults = yaml(&read("").expect("good").shown().expect("JSON"));
    assert!(read(&defaults).is_ok(), "{defaults}");
}

#[test]
fn the_schema_knows_the_keys_and_their_defaults() {
    let schema = schema();
    assert_eq!(schema["properties"]["workers"]["default"], 0);
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["$defs"]["Tokens"]["properties"]["access_ttl"]["default"],
        "15m"
    );
    assert!(schema["properties"]["mcpServers"].is_object());
}

#[test]
fn limits_at_the_bound_and_past_it() {
    for (key, at, past) in [
        ("request_bytes", "64MiB", "67108865"),
        ("request_bytes", "4KiB", "4095"),
        ("depth", "256", "257"),
        ("depth", "8", "7"),
        ("parked_for", "1d", "86401s"),
        ("tasks_per_principal", "1", "0"),
        ("task_ttl", "30d", "2592001s"),
        ("task_poll", "100ms", "99ms"),
        ("connections", "1048576", "1048577"),
    ] {
        assert!(read(&format!("limits: {{ {key}: {at} }}")).is_ok(), "{key}: {at}");
        assert!(
            read(&format!("limits: {{ {key}: {past} }}")).is_err(),
            "{key}: {past}"
        );
    }
}

/// Lines that are wrong each for itself, whatever the others are.
const WRONG: &[&str] = &[
    "servrs: {}",
    "listen: nowhere",
    "workers: many",
    "store: oracle",
    "trusted_proxies: [x]",
    "allowed_origins: [x]",
    "limits: { depth: 0 }",
    "auth: { mode: open }",
    "servers: { a: {} }",
    "profiles: { p: {} }",
];

proptest! {
    #[test]
    fn any_set_of_problems_is_reported_whole(chosen in proptest::sample::subsequence(WRONG, 0..=WRONG.len())) {
        let text = chosen.join("\n");
        let lines: BTreeSet<usize> = match read(&text) {
            Ok(_) => BTreeSet::new(),
            Err(problems) => problems.iter().map(|p| p.line).collect(),
        };
        prop_assert_eq!(lines, (1..=chosen.len()).collect::<BTreeSet<_>>());
    }

    #[test]
    fn no_text_stops_the_reader(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_yaml_like_text_stops_the_reader(text in "[a-z:{}\\[\\]\"'&*!|>%@`#, \n\t-]{0,120}") {
        let _ = read(&text);
    }
}

#[test]
fn identity_providers_are_read_with_their_presets() {
    let config = read(
        r#"
auth:
  allow_users: [octocat, "github:id:1", "team:acme/ops", "corp:group:/mcp users", "google:ada@example.com"]
  admins: ["org:acme"]
  github: { client_id: app, client_secret: "${env:TOKEN}", base_url: "https://github.example.com" }
  oidc:
    google: { preset: google, client_id: g, client_secret: s }
    corp: { preset: okta, issuer: "https://acme.okta.com/oauth2/default", client_id: c, label: Acme, scopes: [email] }
"#,
    );
    let auth = config.expect("good").root.auth;
    let github = auth.github.expect("there").github(true).expect("complete");
    assert_eq!(
        github.user_endpoint().as_str(),
        "https://github.example.com/api/v3/user"
    );
    assert_eq!(github.client_secret.expose(), "t0p");
    let providers = auth.oidc.iter();
    let providers: Vec<_> = providers
        .map(|row| row.value.value.provider(&row.key).expect("complete"))
        .collect();
    assert_eq!(
        (providers[0].issuer.as_str(), providers[0].label.as_str()),
        ("https://accounts.google.com", "Google")
    );
    assert_eq!(providers[0].groups_claim, "hd");
    assert_eq!(
        (providers[1].label.as_str(), providers[1].scopes.join(" ")),
        ("Acme", "openid email".to_owned())
    );
    let warned = check::warnings(
        &read("auth: { github: { client_id: a, client_secret: b } }")
            .expect("good")
            .root,
    );
    assert!(warned[0].contains("allow_users is empty"), "{warned:?}");
    let shown = read("auth: { github: { client_id: a, client_secret: hidden-one } }")
        .expect("good")
        .shown();
    assert!(!shown.expect("JSON").contains("hidden-one"));
}

#[test]
fn what_is_wrong_with_identity_providers_is_said_with_the_mend() {
    for (text, mend) in [
        ("github: {}", "write both, the secret as `${env:NAME}`"),
        (
            "github: { client_id: a, client_secret: b, base_url: \"http://ghe.test\" }",
            "is not https",
        ),
        ("oidc: { corp: { client_id: c } }", "a provider has an `issuer`"),
        (
            "oidc: { corp: { issuer: \"https://i.test\" } }",
            "knows us by a `client_id`",
        ),
        (
            "oidc: { corp: { issuer: \"http://i.test\", client_id: c } }",
            "only on loopback",
        ),
        (
            "oidc: { corp: { issuer: nonsense, client_id: c } }",
            "an issuer is a URL",
        ),
        (
            "oidc: { github: { issuer: \"https://i.test\", client_id: c } }",
            "cannot be the name of a provider",
        ),
        (
            "oidc: { e: { preset: entra, issuer: \"https://login.microsoftonline.com/common/v2.0\", client_id: c } }",
            "YOUR-TENANT-ID",
        ),
        (
            "allow_users: [octocat]",
            "there is no provider `github`; configure `auth.github`",
        ),
        ("admins: [\"corp:ada\"]", "configure `auth.oidc.corp`"),
        ("allow_users: [583231]", "write `github:id:583231` for the id"),
        ("allow_users: [\"a b\"]", "write a GitHub login"),
    ] {
        let said = refused(&format!("auth: {{ {text} }}"));
        assert!(said.contains(mend), "{text}: {said}");
    }
}

#[test]
fn a_public_url_without_https_is_refused_unless_it_is_allowed() {
    for (url, is) in [
        ("http://gate.example", true),
        ("http://10.0.0.1:8717", true),
        ("http://localhost.example", true),
        ("https://gate.example", false),
        ("http://localhost:8717", false),
        ("http://127.0.0.1:8717", false),
        ("http://[::1]:8717", false),
    ] {
        let text = format!("public_url: \"{url}\"");
        let mend = "in the clear; put a proxy with a certificate in front and write its https address, or allow it with \
                    `allow_insecure_public_url: true`";
        assert_eq!(read(&text).is_err(), is, "{url}");
        if is {
            let problems = refused(&text);
            assert!(
                problems.starts_with("f.yaml:1:13: ") && problems.contains(mend),
                "{problems}"
            );
        }
        let allowed = read(&format!("{text}\nallow_insecure_public_url: true")).expect("allowed");
        let warned = check::warnings(&allowed.root);
        let clear = warned.iter().any(|text| text.contains("public_url is not https"));
        assert_eq!(clear, is, "{url} {warned:?}");
    }
}

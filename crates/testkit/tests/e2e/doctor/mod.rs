//! `sallyport doctor` against gateways that are well, and behind fronts that are not.

#[cfg(test)]
mod between;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use sallyport_testkit::everything::Era;
    use sallyport_testkit::process::GatewayProcess;
    use sallyport_testkit::provider::Issuer;
    use serde_json::Value;

    use super::between::{Between, Fault};
    use crate::support::{self, Scene};

    /// Documents of clients would be fetched from the open network.
    const NO_DOCUMENTS: &str = "auth: { client_metadata_documents: false }\n";
    const CLOUD: [&str; 2] = ["claude-ai", "chatgpt"];
    const MACHINE: [&str; 11] = [
        "claude-code",
        "codex",
        "cursor",
        "vscode",
        "gemini",
        "copilot-cli",
        "opencode",
        "cline",
        "mcp-remote",
        "inspector",
        "fastmcp",
    ];

    const SERVER: &str = "/.well-known/oauth-authorization-server";
    /// What goes wrong in front, the verdict, and what the mend names.
    const BROKEN: [(Fault, &str, &str); 14] = [
        (
            Fault::Loses("authorization"),
            "authorization-dropped",
            "pass `Authorization` on",
        ),
        (
            Fault::Forgets("www-authenticate"),
            "challenge-missing",
            "pass `WWW-Authenticate` on",
        ),
        (
            Fault::Answers("/mcp", "301 Moved Permanently\r\nlocation: /mcp/"),
            "redirected",
            "no redirect",
        ),
        (
            Fault::Answers("/.well-known", "302 Found\r\nlocation: https://sso.test/"),
            "redirected",
            "no redirect",
        ),
        (
            Fault::Answers(
                "/.well-known",
                "401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"",
            ),
            "document-behind-login",
            "`/.well-known/`",
        ),
        (
            Fault::Answers("/mcp", "401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\""),
            "challenge-foreign",
            "log-in of its own",
        ),
        (
            Fault::Answers("/mcp", "403 Forbidden\r\nserver: cloudflare"),
            "blocked",
            "exception",
        ),
        (
            Fault::Answers("/", "502 Bad Gateway"),
            "gateway-not-behind",
            "`listen`",
        ),
        (
            Fault::Answers("/register", "403 Forbidden"),
            "blocked",
            "exception",
        ),
        (
            Fault::Answers("/login", "404 Not Found"),
            "page-missing",
            "pages too",
        ),
        (Fault::Covers, "challenge-missing", "pass `WWW-Authenticate` on"),
        (
            Fault::Answers("/token", "400 Bad Request"),
            "error-has-wrong-form",
            "`/token`",
        ),
        (
            Fault::Rewrites("\"issuer\":\"http://", "\"issuer\":\"https://"),
            "issuer-differs",
            "`public_url`",
        ),
        (
            Fault::Rewrites("/mcp\"", "/mcp/\""),
            "resource-differs",
            "`public_url`",
        ),
    ];

    /// What the doctor says: its exit code, and everything as data.
    struct Said {
        code: Option<i32>,
        all: Value,
    }

    impl Said {
        /// Verdicts of what is not as it should be, with step and mend.
        fn wrong(&self) -> Vec<(&str, &str, &str)> {
            let steps = self.all["steps"].as_array().unwrap();
            let text =
                |step: &Value, name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default().len();
            let wrong = steps
                .iter()
                .filter(|step| step["mark"] == "fails" || step["mark"] == "warning");
            wrong
                .map(|step| {
                    assert!(text(step, "text") > 0, "{step}");
                    (
                        step["verdict"].as_str().unwrap(),
                        step["step"].as_str().unwrap(),
                        step["mend"].as_str().unwrap_or_default(),
                    )
                })
                .collect()
        }

        fn verdicts(&self) -> Vec<&str> {
            let mut verdicts: Vec<&str> = self.wrong().into_iter().map(|(verdict, ..)| verdict).collect();
            verdicts.dedup();
            verdicts
        }
    }

    async fn doctor(gateway: &GatewayProcess, line: &[&str]) -> Said {
        let output = gateway
            .command()
            .unwrap()
            .args(["-o", "json", "doctor"])
            .args(line)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let all = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line:?}: {text}{error}"));
        Said {
            code: output.status.code(),
            all,
        }
    }

    /// A gateway that is known by the address of what stands in front of it.
    async fn behind(more: &str) -> (GatewayProcess, Between) {
        let mut gateway = GatewayProcess::prepare(more).unwrap();
        let between = Between::new(gateway.address()).await.unwrap();
        let text = std::fs::read_to_string(gateway.config()).unwrap();
        let text = text.replace(&gateway.origin(), &between.origin());
        std::fs::write(gateway.config(), text).unwrap();
        gateway.add_user("ada", true).await.unwrap();
        gateway.serve().await.unwrap();
        (gateway, between)
    }

    async fn is_as_before(gateway: &GatewayProcess) -> bool {
        let clients = gateway.run(&["-o", "json", "client", "list"], "").await.unwrap();
        let logins = gateway
            .run(&["-o", "json", "client", "logins"], "")
            .await
            .unwrap();
        let tokens = gateway.run(&["-o", "json", "token", "list"], "").await.unwrap();
        [&clients, &logins, &tokens]
            .iter()
            .all(|list| list.trim() == "[]")
    }

    #[tokio::test]
    async fn the_way_of_every_client_is_walked_and_leaves_nothing_behind() {
        let (gateway, _between) = behind(NO_DOCUMENTS).await;
        for client in MACHINE {
            let said = doctor(&gateway, &["--client", client]).await;
            assert_eq!(
                (said.code, said.wrong()),
                (Some(0), vec![]),
                "{client}: {}",
                said.all
            );
            assert!(said.all["ok"].as_u64().unwrap() >= 9, "{}", said.all);
        }
        for client in CLOUD {
            // All of the way is good but its begin: its maker's servers cannot come here.
            let said = doctor(&gateway, &["--client", client]).await;
            assert_eq!(
                said.verdicts(),
                ["not-on-the-open-network"],
                "{client}: {}",
                said.all
            );
            assert_eq!(said.code, Some(1));
        }
        assert!(is_as_before(&gateway).await);
    }

    #[tokio::test]
    async fn a_gateway_that_is_well_is_said_to_be() {
        let server = support::server(Era::Dual).await.unwrap();
        let servers = support::servers(&[("everything", &server)]);
        let (gateway, _between) = behind(&servers).await;
        let said = doctor(&gateway, &[]).await;
        assert_eq!((said.code, said.wrong()), (Some(0), vec![]), "{}", said.all);
        for step in [
            "Mcp-Session-Id",
            "event stream",
            "large messages",
            "Authorization header",
            "everything",
        ] {
            let steps = said.all["steps"].as_array().unwrap();
            let found = steps
                .iter()
                .find(|found| found["step"] == step)
                .unwrap_or_else(|| panic!("{step}"));
            assert_eq!(found["mark"], "ok", "{found}");
        }
        assert!(is_as_before(&gateway).await);
    }

    #[tokio::test]
    async fn nothing_secret_is_said() {
        let (gateway, _between) = behind(NO_DOCUMENTS).await;
        for line in [
            &["doctor"][..],
            &["doctor", "--client", "codex"],
            &["-o", "json", "doctor"],
        ] {
            let said = gateway.run(line, "").await.unwrap();
            // Codes, tokens and secrets have 43 characters or more.
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let longest = said.split(|c| !is_word(c)).map(str::len).max();
            assert!(longest < Some(40), "{said}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_in_front_is_named_with_its_mend() {
        let (gateway, between) = behind(NO_DOCUMENTS).await;
        for (fault, verdict, mend) in BROKEN {
            between.does(fault);
            let said = doctor(&gateway, &["--client", "claude-code"]).await;
            let wrong = said.wrong();
            let found = wrong.iter().find(|(found, ..)| *found == verdict);
            let (_, _, told) = found.unwrap_or_else(|| panic!("{fault:?}: {}", said.all));
            assert!(told.contains(mend), "{fault:?}: {told}");
            assert_eq!(said.code, Some(1), "{fault:?}");
        }
        // A spelling that this client does not try first is no loss to it, and one that it needs is.
        between.does(Fault::Misses(SERVER));
        assert_eq!(doctor(&gateway, &["--client", "claude-code"]).await.code, Some(0));
        between.does(Fault::Answers(SERVER, "404 Not Found"));
        let said = doctor(&gateway, &[]).await;
        let steps: Vec<_> = said
            .wrong()
            .iter()
            .map(|(verdict, step, _)| (*verdict, (*step).to_owned()))
            .collect();
        let missing = "document-missing";
        assert_eq!(
            steps,
            [(missing, SERVER.to_owned()), (missing, format!("{SERVER}/mcp"))]
        );
        between.does(Fault::Nothing);
        assert_eq!(doctor(&gateway, &["--client", "claude-code"]).await.code, Some(0));
        assert!(is_as_before(&gateway).await);
    }

    #[tokio::test]
    async fn what_breaks_later_is_named_too() {
        let (gateway, between) = behind(NO_DOCUMENTS).await;
        for (fault, verdict, mend, code) in [
            (Fault::Keeps, "stream-buffered", "proxy_buffering off", 0),
            (
                Fault::Forgets("mcp-session-id"),
                "session-dropped",
                "`Mcp-Session-Id`",
                1,
            ),
            (Fault::Cuts, "bodies-cut", "client_max_body_size", 0),
            (
                Fault::Forgets("access-control-allow-origin"),
                "preflight-refused",
                "Access-Control",
                0,
            ),
            (
                Fault::Answers("/token", "502 Bad Gateway"),
                "gateway-not-behind",
                "`listen`",
                1,
            ),
        ] {
            between.does(fault);
            let said = doctor(&gateway, &[]).await;
            let wrong = said.wrong();
            let found = wrong.iter().find(|(found, ..)| *found == verdict);
            let (_, _, told) = found.unwrap_or_else(|| panic!("{fault:?}: {}", said.all));
            assert!(told.contains(mend), "{fault:?}: {told}");
            assert_eq!(said.code, Some(code), "{fault:?}: {}", said.all);
        }
        between.does(Fault::Nothing);
        assert!(is_as_before(&gateway).await);
    }

    #[tokio::test]
    async fn what_the_configuration_closes_is_named() {
        for (more, client, verdict, mend) in [
            (
                "auth: { dynamic_registration: false, client_metadata_documents: false }\n",
                "claude-code",
                "no-way-to-become-known",
                "auth.dynamic_registration: true",
            ),
            (
                "auth: { dynamic_registration: false }\n",
                "gemini",
                "no-way-to-become-known",
                "sallyport client create",
            ),
            // The gateway's own record says which rule it was.
            (
                "auth: { client_metadata_hosts: [claude.ai] }\n",
                "codex",
                "authorization-refused",
                "auth.client_metadata_hosts",
            ),
            (
                "auth: { private_schemes: [vscode], client_metadata_documents: false }\n",
                "cursor",
                "registration-refused",
                "auth.private_schemes",
            ),
            (
                "auth: { tokens: { access_ttl: 5m }, client_metadata_documents: false }\n",
                "gemini",
                "tokens-too-short",
                "auth.tokens.access_ttl",
            ),
        ] {
            let gateway = GatewayProcess::start(more).await.unwrap();
            let said = doctor(&gateway, &["--client", client]).await;
            let wrong = said.wrong();
            assert_eq!(wrong.len(), 1, "{}", said.all);
            assert!(wrong[0].0 == verdict && wrong[0].2.contains(mend), "{wrong:?}");
            assert_eq!(said.code, Some(i32::from(verdict != "tokens-too-short")));
            assert!(is_as_before(&gateway).await);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_on_the_machine_is_named() {
        let mut gateway = GatewayProcess::prepare("").unwrap();
        let said = doctor(&gateway, &[]).await;
        assert_eq!(said.code, Some(1));
        assert!(
            said.verdicts().starts_with(&["no-data-yet", "not-running"]),
            "{}",
            said.all
        );
        // Looking makes nothing.
        assert!(!gateway.data_dir().exists());
        gateway.serve().await.unwrap();
        assert_eq!(doctor(&gateway, &[]).await.verdicts(), ["nobody-can-log-in"]);
        let key = gateway.data_dir().join("master.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let said = doctor(&gateway, &[]).await;
        assert_eq!(said.verdicts(), ["data-folder"], "{}", said.all);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        gateway.stop().await.unwrap();
        let said = doctor(&gateway, &[]).await;
        assert!(said.verdicts().contains(&"not-running"), "{}", said.all);
        assert_eq!(
            doctor(&gateway, &["--client", "codex"]).await.verdicts(),
            ["unreachable"]
        );
    }

    #[tokio::test]
    async fn servers_and_providers_that_are_away_are_named() {
        let server = support::server(Era::Dual).await.unwrap();
        let issuer = Issuer::start(serde_json::json!({ "sub": "1" })).await.unwrap();
        let away = sallyport_testkit::process::free_address().unwrap();
        let more = format!(
            "{}  away: {{ url: \"http://{away}/mcp\", limits: {{ connect: 1s, handshake: 1s }} }}\n\
             auth:\n  allow_users: [\"idp:ada\"]\n  oidc:\n    idp: {{ issuer: \"{url}\", client_id: c }}\n    \
             other: {{ issuer: \"{url}/\", client_id: c }}\n    gone: {{ issuer: \"http://{away}\", client_id: c }}\n  \
             issuers:\n    keys: {{ issuer: \"{url}\", scopes: mcp }}\n    \
             elsewhere: {{ issuer: \"http://{away}\" }}\n    \
             unusable: {{ issuer: \"{url}/x\", jwks_uri: \"{url}/nothing\" }}\n",
            support::servers(&[("everything", &server)]),
            url = issuer.url()
        );
        let scene = Scene::with(&more, Vec::new()).await.unwrap();
        let said = doctor(&scene.gateway, &[]).await;
        let wrong = said.wrong();
        let of = |name: &str| {
            wrong
                .iter()
                .find(|(_, step, _)| *step == name)
                .map(|(verdict, ..)| *verdict)
        };
        assert_eq!(of("away"), Some("server-away"), "{}", said.all);
        assert_eq!(of("other"), Some("provider-wrong"), "{}", said.all);
        assert_eq!(of("gone"), Some("provider-away"), "{}", said.all);
        assert_eq!(
            (of("elsewhere"), of("unusable")),
            (Some("issuer-unusable"), Some("issuer-unusable")),
            "{}",
            said.all
        );
        assert_eq!(
            (of("everything"), of("idp"), of("keys"), wrong.len()),
            (None, None, None, 5),
            "{}",
            said.all
        );
    }

    #[tokio::test]
    async fn a_name_that_is_not_known_is_wrong_usage_and_the_known_ones_are_told() {
        let gateway = GatewayProcess::prepare("").unwrap();
        for line in [
            &["doctor", "--client", "netscape"][..],
            &["doctor", "--profile", "nowhere"],
        ] {
            let output = gateway.command().unwrap().args(line).output().await.unwrap();
            assert_eq!(output.status.code(), Some(2), "{line:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let names = MACHINE.iter().chain(&CLOUD);
            assert!(
                line[1] == "--profile" || names.into_iter().all(|name| said.contains(name)),
                "{said}"
            );
        }
        let wrong = GatewayProcess::prepare("colour: red\n").unwrap();
        let output = wrong.command().unwrap().arg("doctor").output().await.unwrap();
        assert_eq!(output.status.code(), Some(78));
    }

    #[tokio::test]
    async fn without_log_ins_the_rest_is_looked_at() {
        let gateway = GatewayProcess::start("auth: { mode: none }\n").await.unwrap();
        let said = doctor(&gateway, &[]).await;
        assert_eq!(
            (said.code, said.verdicts()),
            (Some(0), vec!["configuration"]),
            "{}",
            said.all
        );
        let steps = said.all["steps"].as_array().unwrap();
        assert!(
            steps
                .iter()
                .any(|step| step["step"] == "event stream" && step["mark"] == "ok"),
            "{}",
            said.all
        );
        let said = doctor(&gateway, &["--client", "codex"]).await;
        assert_eq!((said.code, said.wrong()), (Some(0), vec![]), "{}", said.all);
    }
}

//! The verbs, through the real binary: data on standard output, the rest on standard error, exit codes 0, 1, 2 and 78.

#[cfg(test)]
mod cli {
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    struct Ran {
        code: Option<i32>,
        out: String,
        err: String,
    }

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn run(&self, line: &[&str]) -> Ran {
            self.run_with(line, "")
        }

        fn run_with(&self, line: &[&str], input: &str) -> Ran {
            let mut child = Command::new(env!("CARGO_BIN_EXE_sallyport"))
                .args(line)
                .current_dir(self.0.path())
                .env_clear()
                .env("HOME", self.0.path())
                .env("PATH", "/usr/bin:/bin")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("started");
            // A verb that reads nothing may have ended already.
            let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
            let output = child.wait_with_output().expect("ended");
            Ran {
                code: output.status.code(),
                out: String::from_utf8(output.stdout).expect("text"),
                err: String::from_utf8(output.stderr).expect("text"),
            }
        }

        fn done(&self, line: &[&str]) -> String {
            let ran = self.run(line);
            assert_eq!(ran.code, Some(0), "{line:?}: {}", ran.err);
            ran.out
        }
    }

    fn json(text: &str) -> serde_json::Value {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn config_check_says_everything_and_78() {
        let home = Home::new();
        assert_eq!(
            home.done(&["config", "check"]),
            "no configuration file: built-in defaults\n"
        );
        std::fs::write(home.path("sallyport.yaml"), "servrs: {}\nworkers: 999\n").expect("written");
        let ran = home.run(&["config", "check"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(78), ""));
        assert_eq!(
            ran.err,
            "sallyport.yaml:1:1: unknown key `servrs`; did you mean `servers`?\n\
             sallyport.yaml:2:10: `workers` is 999; it must be between 0 and 256\n"
        );
        let ran = home.run(&["-o", "json", "config", "check"]);
        assert_eq!(ran.code, Some(78));
        assert_eq!(json(&ran.out)["problems"][1]["line"], 2);
        for line in [
            &["list"][..],
            &["serve"],
            &["user", "list"],
            &["token", "issue", "--user", "x"],
        ] {
            assert_eq!(home.run(line).code, Some(78), "{line:?}");
        }
        assert!(!home.path(".local").exists(), "nothing was made");
        // Another file, by option and by environment, is what counts.
        std::fs::write(home.path("other.yaml"), "workers: 1\n").expect("written");
        assert_eq!(
            home.done(&["-c", "other.yaml", "config", "check"]),
            "other.yaml: no problems\n"
        );
        assert_eq!(home.run(&["-c", "none.yaml", "config", "check"]).code, Some(78));
    }

    #[test]
    fn a_file_that_everyone_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::new();
        let file = home.path("sallyport.yaml");
        std::fs::write(&file, "workers: 1\n").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("set");
        let ran = home.run(&["config", "check"]);
        assert_eq!(ran.code, Some(78));
        assert!(ran.err.contains("chmod o-w"), "{}", ran.err);
    }

    #[test]
    fn wrong_usage_is_2_and_help_is_data() {
        let home = Home::new();
        for line in [
            &["nothing"][..],
            &["add", "x"],
            &["add", "x", "--", ""],
            &["add", "x", "ftp://h"],
            &["tools", "call", "t", "[]"],
        ] {
            let ran = home.run(line);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (Some(2), ""),
                "{line:?}: {}",
                ran.err
            );
        }
        assert!(home.done(&["--help"]).contains("serve"));
        assert!(home.done(&["--version"]).starts_with("sallyport "));
    }

    #[test]
    fn servers_come_and_go_and_their_secrets_are_never_shown() {
        let home = Home::new();
        home.done(&[
            "add",
            "docs",
            "https://h.example/mcp?key=hunter2",
            "--header",
            "Authorization: Bearer hunter2",
        ]);
        home.done(&[
            "add",
            "local",
            "-e",
            "TOKEN=hunter2",
            "--",
            "npx",
            "-y",
            "server",
            "-o",
            "json",
        ]);
        let list = json(&home.done(&["list", "-o", "json"]));
        assert_eq!(list[0]["name"], "docs");
        assert_eq!(list[1]["args"], serde_json::json!(["-y", "server", "-o", "json"]));
        for shown in [
            home.done(&["list"]),
            list.to_string(),
            home.done(&["get", "docs"]),
            home.done(&["get", "local"]),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let database = std::fs::read(home.path(".local/share/sallyport/sallyport.db")).expect("there");
        assert!(
            !database.windows(7).any(|window| window == b"hunter2"),
            "the store holds it in the clear"
        );
        assert_eq!(home.run(&["add", "docs", "https://h"]).code, Some(1));
        home.done(&["remove", "docs"]);
        assert_eq!(home.run(&["remove", "docs"]).code, Some(1));
        assert_eq!(home.run(&["get", "docs"]).code, Some(1));
        std::fs::write(
            home.path("sallyport.yaml"),
            "servers: { local: { command: other } }\n",
        )
        .expect("written");
        let ran = home.run(&["get", "local"]);
        assert!(
            ran.out.contains("command: other") && ran.err.contains("wins"),
            "{} {}",
            ran.out,
            ran.err
        );
        assert_eq!(home.run(&["add", "local", "https://h"]).code, Some(1));
    }

    #[test]
    fn token_issue_prints_the_token_and_nothing_else() {
        let home = Home::new();
        let add = home.run_with(
            &["user", "add", "ada", "--admin", "--password-stdin"],
            "correct horse\n",
        );
        assert_eq!((add.code, add.out.as_str()), (Some(0), ""));
        let token = home.done(&["token", "issue", "--user", "ADA"]);
        assert_eq!(token.trim_end().split('.').count(), 3);
        assert_eq!(token.lines().count(), 1);
        let claims = json(&home.done(&["-o", "json", "token", "issue", "--user", "ada", "--ttl", "90s"]));
        assert_eq!(
            (&claims["expires_in"], &claims["resource"]),
            (&90.into(), &"http://127.0.0.1:8717/mcp".into())
        );
        for line in [
            &["token", "issue", "--user", "eve"][..],
            &["token", "issue", "--user", "ada", "--profile", "nope"],
        ] {
            let ran = home.run(line);
            assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{line:?}");
        }
        // At the limit of the time, and past it.
        assert_eq!(
            home.run(&["token", "issue", "--user", "ada", "--ttl", "30d"])
                .code,
            Some(0)
        );
        assert_eq!(
            home.run(&["token", "issue", "--user", "ada", "--ttl", "721h"])
                .code,
            Some(2)
        );
    }

    #[test]
    fn users_are_added_listed_and_removed() {
        let home = Home::new();
        let add = |name: &str, password: &str| {
            home.run_with(&["user", "add", name, "--password-stdin"], password)
                .code
        };
        assert_eq!(add("ada", "correct horse\n"), Some(0));
        assert_eq!(add("Ada", "correct horse\n"), Some(1));
        assert_eq!(add("bob", "short\n"), Some(2));
        assert_eq!(add("bob", "\n"), Some(2));
        assert_eq!(add("b b", "correct horse\n"), Some(2));
        assert_eq!(add("max", &"x".repeat(1024)), Some(0));
        assert_eq!(add("over", &"x".repeat(1025)), Some(2));
        let users = json(&home.done(&["user", "list", "-o", "json"]));
        assert_eq!(users[0]["name"], "ada");
        assert!(!users.to_string().contains("argon2"));
        home.done(&["token", "issue", "--user", "ada"]);
        let removed = json(&home.done(&["-o", "json", "user", "remove", "ada"]));
        assert_eq!(removed["grants_revoked"], 1);
        assert_eq!(home.run(&["user", "remove", "ada"]).code, Some(1));
    }

    #[test]
    fn al_02_the_trail_of_commands_verifies_and_a_changed_export_does_not() {
        let home = Home::new();
        home.run_with(&["user", "add", "ada", "--password-stdin"], "correct horse\n");
        home.done(&["token", "issue", "--user", "ada"]);
        let tail = home.done(&["audit", "tail"]);
        assert!(
            tail.contains("user_create") && tail.contains("token_issue"),
            "{tail}"
        );
        assert!(!tail.contains("correct horse") && !tail.contains("eyJ"), "{tail}");
        assert!(home.done(&["audit", "verify"]).contains("2 records, unbroken"));
        home.done(&["audit", "export", "trail.jsonl"]);
        assert!(
            home.done(&["audit", "verify", "trail.jsonl"])
                .contains("2 records, unbroken")
        );
        assert_eq!(
            home.run(&["audit", "export", "trail.jsonl"]).code,
            Some(1),
            "an export is not written over"
        );
        let text = std::fs::read_to_string(home.path("trail.jsonl")).expect("there");
        std::fs::write(home.path("changed.jsonl"), text.replace("ada", "eve")).expect("written");
        let ran = home.run(&["-o", "json", "audit", "verify", "changed.jsonl"]);
        assert_eq!((ran.code, &json(&ran.out)["valid"]), (Some(1), &false.into()));
        // Elsewhere, without the keys, the hashes still tell.
        let elsewhere = Home::new();
        std::fs::copy(home.path("trail.jsonl"), elsewhere.path("trail.jsonl")).expect("copied");
        let ran = elsewhere.run(&["audit", "verify", "trail.jsonl"]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.err.contains("without the master key"), "{}", ran.err);
        assert!(!elsewhere.path(".local").exists(), "nothing was made");
    }

    #[test]
    fn tools_are_listed_and_called_through_the_rules_of_the_profile() {
        let home = Home::new();
        assert!(home.done(&["tools", "list"]).contains("echo"));
        assert_eq!(
            home.done(&["tools", "call", "echo", r#"{"text":"hello"}"#]),
            "hello\n"
        );
        let ran = home.run(&["tools", "call", "echo", "{}"]);
        assert_eq!(ran.code, Some(1), "a tool that fails");
        let text = "profiles: { default: { servers: ['*'], tools: { allow: [add] } } }\n";
        std::fs::write(home.path("sallyport.yaml"), text).expect("written");
        let tools = json(&home.done(&["-o", "json", "tools", "list"]));
        assert_eq!(tools.as_array().map(Vec::len), Some(1));
        let ran = home.run(&["tools", "call", "echo", r#"{"text":"hello"}"#]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        assert_eq!(home.run(&["tools", "list", "--profile", "nope"]).code, Some(1));
    }
}

//! A whole gateway in this process: what it answers, and how it takes changes.

#[cfg(test)]
mod gateway {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use sallyport::base::{Base, StartError, load};
    use sallyport::config::{Adjustments, Location};
    use sallyport::environment::Environment;
    use sallyport::{Gateway, Overrides, Source};
    use sallyport_core::ServerName;
    use sallyport_core::clock::SystemClock;
    use sallyport_vault::SystemRandom;

    const PORTS: &str = "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n";

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new(more: &str) -> Self {
            let place = Self {
                folder: tempfile::tempdir().expect("a folder"),
            };
            place.write(&format!("{PORTS}{more}"));
            place
        }

        fn write(&self, text: &str) {
            let next = self.folder.path().join("next");
            std::fs::write(&next, text).expect("written");
            std::fs::rename(next, self.file()).expect("renamed");
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("sallyport.yaml")
        }

        fn data(&self) -> PathBuf {
            self.folder.path().join("data")
        }

        fn source(&self) -> Source {
            let env = [("HOME".to_owned(), self.folder.path().display().to_string())].into();
            let adjust = Adjustments {
                data_dir: Some(self.data()),
                ..Adjustments::default()
            };
            Source {
                location: Location {
                    file: Some(self.file()),
                    env,
                },
                adjust,
            }
        }

        async fn start(&self) -> Result<Gateway, StartError> {
            let source = self.source();
            let config = load(&source.location, &source.adjust).await?;
            Gateway::start(
                config,
                Overrides {
                    source: Some(source),
                    ..Overrides::default()
                },
            )
            .await
        }

        async fn base(&self) -> Base {
            let source = self.source();
            let config = load(&source.location, &source.adjust).await.expect("good");
            let parts = (Arc::new(SystemClock), Arc::new(SystemRandom));
            Base::open(config, &Environment::default(), parts.0, parts.1)
                .await
                .expect("opened")
        }
    }

    /// One request on a connection of its own: the whole answer.
    #[expect(clippy::disallowed_methods, reason = "the tests' own client, to this machine")]
    fn ask(addr: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(addr).expect("connected");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("set");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        answer
    }

    fn get(addr: SocketAddr, path: &str) -> String {
        ask(
            addr,
            &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"),
        )
    }

    fn initialize(addr: SocketAddr) -> String {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
        ask(
            addr,
            &format!(
                "POST /mcp HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
    }

    fn eventually(what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < deadline, "it never happened: {what}");
            std::thread::yield_now();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_starts_with_nothing_answers_and_stops() {
        let place = Place::new("");
        let gateway = place.start().await.expect("started");
        let (addr, admin) = (gateway.addr(), gateway.admin_addr());
        assert!(
            gateway
                .setup_link()
                .is_some_and(|link| link.expose().starts_with(&format!("http://{addr}/setup?link=")))
        );
        assert!(get(admin, "/healthz").starts_with("HTTP/1.1 200"));
        assert!(get(admin, "/readyz").contains("\"ready\":true"));
        assert!(get(admin, "/metrics").contains("\nmcp_gateway_build_info{version="));
        assert!(get(admin, "/nothing").starts_with("HTTP/1.1 404"));
        let challenge = initialize(addr);
        assert!(challenge.starts_with("HTTP/1.1 401"), "{challenge}");
        assert!(
            challenge.contains(&format!("http://{addr}/.well-known/oauth-protected-resource/mcp")),
            "{challenge}"
        );
        assert!(get(addr, "/.well-known/oauth-authorization-server").starts_with("HTTP/1.1 200"));
        let page = get(addr, "/nothing");
        assert!(page.starts_with("HTTP/1.1 404"), "{page}");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&place.data()), 0o700);
        assert_eq!(mode(&place.data().join("master.key")), 0o600);
        assert_eq!(mode(&place.data().join("sallyport.db")), 0o600);
        gateway.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn oh_foreign_hosts_and_origins_stop_at_the_door_of_every_route() {
        let place = Place::new("");
        let gateway = place.start().await.expect("started");
        let addr = gateway.addr();
        for path in ["/mcp", "/authorize", "/.well-known/jwks.json", "/", "/nothing"] {
            let foreign = ask(
                addr,
                &format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
            );
            assert!(foreign.starts_with("HTTP/1.1 421"), "{path}: {foreign}");
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: {addr}\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n"
            );
            let foreign = ask(addr, &head);
            assert!(foreign.starts_with("HTTP/1.1 403"), "{path}: {foreign}");
        }
        let admin = gateway.admin_addr();
        let foreign = ask(
            admin,
            "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        );
        assert!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");
        gateway.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn cf_04_mode_none_serves_without_tokens_on_loopback_and_says_so() {
        let place = Place::new("auth: { mode: none }\n");
        let gateway = place.start().await.expect("started");
        let answer = initialize(gateway.addr());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(get(gateway.addr(), "/.well-known/oauth-authorization-server").starts_with("HTTP/1.1 404"));
        assert!(get(gateway.admin_addr(), "/readyz").contains("auth.mode is none"));
        assert!(gateway.setup_link().is_none());
        gateway.shutdown().await;
        let open = Place::new("");
        open.write("listen: 0.0.0.0:0\npublic_url: http://h\nauth: { mode: none }\n");
        assert!(matches!(open.start().await, Err(StartError::Config(_))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn va_09_a_data_directory_that_is_open_to_others_is_refused() {
        let place = Place::new("");
        std::fs::create_dir(place.data()).expect("made");
        std::fs::set_permissions(place.data(), std::fs::Permissions::from_mode(0o755)).expect("set");
        let error = place.start().await.err().expect("refused").to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_port_in_use_is_named() {
        let place = Place::new("");
        let taken = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("bound")
            .local_addr();
        let first = place.start().await.expect("started");
        let other = Place::new("");
        other.write(&format!("listen: {}\nadmin_listen: 127.0.0.1:0\n", first.addr()));
        let error = other.start().await.err().expect("refused").to_string();
        assert!(error.contains("is in use"), "{error}");
        assert!(!other.data().exists(), "nothing was made");
        drop(taken);
        first.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_added_by_command_is_taken_up_within_a_second() {
        let place = Place::new("");
        let gateway = place.start().await.expect("started");
        let admin = gateway.admin_addr();
        assert!(get(admin, "/readyz").contains("\"demo\""));
        let base = place.base().await;
        let name = ServerName::parse("added").expect("a name");
        base.put_server(&name, r#"{"url":"http://127.0.0.1:9/mcp"}"#)
            .await
            .expect("kept");
        let since = Instant::now();
        eventually("the server is taken up", || {
            get(admin, "/readyz").contains("\"added\"")
        });
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        assert!(!get(admin, "/readyz").contains("\"demo\""));
        base.store.remove_server(&name).await.expect("removed");
        eventually("the demo is back", || get(admin, "/readyz").contains("\"demo\""));
        gateway.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_saved_file_takes_effect_and_what_needs_a_restart_stays() {
        let place = Place::new("");
        let gateway = place.start().await.expect("started");
        let (addr, admin) = (gateway.addr(), gateway.admin_addr());
        place.write(&format!(
            "{PORTS}workers: 3\nservers: {{ one: {{ url: \"http://127.0.0.1:9/mcp\" }} }}\n"
        ));
        eventually("the file is taken over", || {
            get(admin, "/readyz").contains("\"one\"")
        });
        // In place, as some editors write.
        std::fs::write(
            place.file(),
            format!("{PORTS}servers: {{ two: {{ url: \"http://127.0.0.1:9/mcp\" }} }}\n"),
        )
        .expect("written");
        eventually("the file is taken over again", || {
            get(admin, "/readyz").contains("\"two\"")
        });
        assert_eq!(gateway.addr(), addr);
        gateway.shutdown().await;
    }

    /// Files that must change nothing.
    const BROKEN: [&str; 20] = [
        "",
        "   \n",
        "# only a comment: {",
        "servers: [",
        "\u{0}",
        "servrs: {}",
        "servers: { a: {} }",
        "servers: { a: { command: 'npx -y x' } }",
        "servers: { a: { url: 'ftp://h' } }",
        "servers: { a: { command: x }, a: { command: y } }",
        "servers: { a: { command: x, env: { K: '${env:NOT_THERE}' } } }",
        "servers: { a: { command: x, env: { K: '${file:/not/there}' } } }",
        "servers: { a: { command: x, env: { K: '${secret:none}' } } }",
        "profiles: { p: { servers: [nobody] } }",
        "profiles: { p: {} }",
        "profiles: { p: { servers: ['*'], tools: { allow: [''] } } }",
        "listen: nowhere",
        "auth: { tokens: { access_ttl: never } }",
        "limits: { request_bytes: 1 }",
        "allowed_origins: ['*']",
    ];

    #[tokio::test(flavor = "multi_thread")]
    async fn cf_01_twenty_broken_files_change_nothing_and_are_told_with_their_line() {
        let place = Place::new("profiles: { p: { servers: ['*'], tools: { allow: [echo] } } }\n");
        let gateway = place.start().await.expect("started");
        let admin = gateway.admin_addr();
        for text in BROKEN {
            std::fs::write(place.file(), text).expect("written");
            // A comment alone is a file of defaults; it is refused for being as good as empty only when it is empty.
            if text.starts_with('#') {
                continue;
            }
            let problems = gateway.reload().await.expect_err(text);
            assert!(!problems.is_empty());
            let told = get(admin, "/readyz");
            assert!(told.contains("sallyport.yaml:1:"), "{text}: {told}");
            assert!(get(admin, "/metrics").contains("mcp_gateway_config_last_reload_successful 0"));
            assert!(told.contains("\"ready\":true"));
        }
        // The profile with its one tool is still what there is: `/mcp` belongs to no profile.
        assert!(initialize(gateway.addr()).starts_with("HTTP/1.1 404"));
        place.write(PORTS);
        gateway.reload().await.expect("good again");
        assert!(get(admin, "/metrics").contains("mcp_gateway_config_last_reload_successful 1"));
        assert!(initialize(gateway.addr()).starts_with("HTTP/1.1 401"));
        gateway.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn cf_02_reloads_under_load_fail_no_request() {
        let place = Place::new("auth: { mode: none }\n");
        let gateway = place.start().await.expect("started");
        let addr = gateway.addr();
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let load = {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let answer = initialize(addr);
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    served.fetch_add(1, Ordering::AcqRel);
                }
            })
        };
        for turn in 0..200 {
            let pages = 100 + turn % 2;
            place.write(&format!(
                "{PORTS}auth: {{ mode: none }}\nlimits: {{ page_items: {pages} }}\n"
            ));
            gateway.reload().await.expect("good");
        }
        eventually("requests were served", || served.load(Ordering::Acquire) >= 20);
        stop.store(true, Ordering::Release);
        load.join().expect("no request failed");
        gateway.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_stops_by_signal_and_says_78_for_a_wrong_file() {
        let binary = env!("CARGO_BIN_EXE_sallyport");
        let place = Place::new("");
        let mut command = std::process::Command::new(binary);
        command
            .arg("-c")
            .arg(place.file())
            .arg("--data-dir")
            .arg(place.data())
            .arg("serve");
        let mut child = command
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("started");
        let stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
        let mut lines = std::io::BufRead::lines(stderr);
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("\"message\":\"ready\""));
        assert!(ready.is_some_and(|line| line.contains("claude mcp add")));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("asked");
        assert_eq!(child.wait().expect("ended").code(), Some(0));
        let last = lines.map_while(Result::ok).last().unwrap_or_default();
        assert!(last.contains("\"message\":\"stopped\""), "{last}");

        let wrong = Place::new("servrs: {}\nworkers: 1000\n");
        let output = std::process::Command::new(binary)
            .arg("-c")
            .arg(wrong.file())
            .arg("--data-dir")
            .arg(wrong.data())
            .arg("serve")
            .output()
            .expect("ran");
        assert_eq!(output.status.code(), Some(78));
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 2);
        assert!(output.stdout.is_empty());
        assert!(!wrong.data().exists(), "nothing was started");
    }
}

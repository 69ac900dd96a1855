//! nginx and Caddy as they come from Debian, in front of a backend that believes the headers it gets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use sallyport_testkit::http::{Connection, Request};
use sallyport_testkit::process::free_address;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::{FORGED, id_of};
use crate::support::{PATIENCE, Scene, within};

/// The headers that a backend is to believe.
const NAMES: [&str; 4] = ["x-user-id", "x-user-name", "x-client-id", "x-scope"];

/// A backend that tells what it was told of its caller.
struct Backend {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Backend {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream));
            }
        });
        Ok(Self { address, asked })
    }
}

/// Answers one request with what its head says of the caller.
async fn answer(stream: TcpStream) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut told, mut length) = (BTreeMap::<&str, Vec<String>>::new(), 0);
    for name in NAMES {
        told.insert(name, Vec::new());
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            // The request line has no colon before a blank; the empty line ends the head.
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        let name = name.to_ascii_lowercase();
        if name == "content-length" {
            length = value.parse()?;
        }
        if let Some(values) = told.get_mut(&*name) {
            values.push(value.to_owned());
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = serde_json::to_string(&told)?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// A proxy in front of the backend.
struct Installed {
    address: SocketAddr,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Installed {
    /// Starts `program`, given by the environment variable `variable`, as `command` says.
    async fn start(
        variable: &str,
        write: impl FnOnce(&Path, SocketAddr) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Self> {
        let program: PathBuf = std::env::var_os(variable).context(variable.to_owned())?.into();
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let arguments = write(folder.path(), address)?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let child = Command::new(program)
            .args(arguments)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let listens = async || Ok(Connection::open(address, "localhost").await.is_ok());
        within(PATIENCE, listens)
            .await
            .with_context(|| std::fs::read_to_string(folder.path().join("log")).unwrap_or_default())?;
        Ok(Self {
            address,
            _child: child,
            _folder: folder,
        })
    }

    async fn nginx(gateway: SocketAddr, backend: SocketAddr) -> anyhow::Result<Self> {
        let write = |folder: &Path, address: SocketAddr| {
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .iter()
                .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", folder.display()))
                .collect();
            let text = format!(
                r#"daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{}}
http {{
{temporary}  access_log off;
  server {{
    listen {address};
    location / {{
      auth_request /_sallyport;
      auth_request_set $user_id $upstream_http_x_user_id;
      auth_request_set $user_name $upstream_http_x_user_name;
      auth_request_set $client_id $upstream_http_x_client_id;
      auth_request_set $scope $upstream_http_x_scope;
      proxy_set_header X-User-Id $user_id;
      proxy_set_header X-User-Name $user_name;
      proxy_set_header X-Client-Id $client_id;
      proxy_set_header X-Scope $scope;
      proxy_pass http://{backend};
    }}
    location = /_sallyport {{
      internal;
      proxy_pass http://{gateway}/verify;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-URI $request_uri;
    }}
  }}
}}
"#,
                folder = folder.display()
            );
            let file = folder.join("nginx.conf");
            std::fs::write(&file, text)?;
            let folder = folder.display();
            Ok([
                "-p",
                &folder.to_string(),
                "-c",
                &file.display().to_string(),
                "-e",
                &format!("{folder}/error.log"),
            ]
            .map(str::to_owned)
            .into())
        };
        Self::start("NGINX", write).await
    }

    async fn caddy(gateway: SocketAddr, backend: SocketAddr) -> anyhow::Result<Self> {
        let write = |folder: &Path, address: SocketAddr| {
            let text = format!(
                "{{\n\tadmin off\n\tauto_https off\n}}\n\
                 http://:{} {{\n\tbind {}\n\tforward_auth {gateway} {{\n\t\turi /verify\n\t\t\
                 copy_headers X-User-Id X-User-Name X-Client-Id X-Scope\n\t}}\n\treverse_proxy {backend}\n}}\n",
                address.port(),
                address.ip()
            );
            let file = folder.join("Caddyfile");
            std::fs::write(&file, text)?;
            let file = file.display().to_string();
            Ok(["run", "--adapter", "caddyfile", "--config", &file]
                .map(str::to_owned)
                .into())
        };
        Self::start("CADDY", write).await
    }

    async fn ask(&self, request: &Request) -> anyhow::Result<sallyport_testkit::http::Answer> {
        let mut connection = Connection::open(self.address, "app.example.com").await?;
        connection.ask(request).await
    }
}

/// What holds behind every proxy.
async fn stranger_and_forger(proxy: &Installed, backend: &Backend, scene: &Scene) -> anyhow::Result<()> {
    let forged = |mut request: Request| {
        for (name, value) in FORGED {
            request = request.header(name, value);
        }
        request
    };
    for stranger in [
        Request::get("/app"),
        Request::get("/app").bearer("x"),
        Request::post("/app").body("x"),
    ] {
        let answer = proxy.ask(&forged(stranger)).await?;
        anyhow::ensure!(answer.status() == 401, "{answer:?}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        let metadata = format!("resource_metadata=\"{}", scene.gateway.origin());
        anyhow::ensure!(challenge.contains(&metadata), "{challenge}");
    }
    anyhow::ensure!(
        backend.asked.load(Ordering::SeqCst) == 0,
        "a stranger came through"
    );
    let known = json!({
        "x-user-id": [id_of(scene, "ada").await?],
        "x-user-name": ["ada"],
        "x-client-id": ["sallyport-cli"],
        "x-scope": ["mcp"],
    });
    for request in [
        Request::get("/app?q=1"),
        Request::post("/app/%2e%2e/x").body("a body"),
    ] {
        for request in [request.clone(), forged(request)] {
            let answer = proxy.ask(&request.bearer(&scene.token)).await?.expect(200)?;
            let told = answer.json()?;
            anyhow::ensure!(told == known, "{told}");
        }
    }
    // Where another profile's address is asked for, its tokens are needed.
    let other = proxy.ask(&Request::get("/mcp/team").bearer(&scene.token)).await?;
    anyhow::ensure!(other.status() == 401, "{other:?}");
    let odd = proxy
        .ask(&Request::get("/mcp/%74eam").bearer(&scene.token))
        .await?;
    anyhow::ensure!(matches!(odd.status(), 401 | 403), "{odd:?}");
    Ok(())
}

async fn scene() -> anyhow::Result<(Scene, Backend)> {
    let more = format!("trusted_proxies: [127.0.0.1]\n{}", super::PROFILES);
    Ok((Scene::with(&more, Vec::new()).await?, Backend::start().await?))
}

#[tokio::test]
#[ignore = "needs nginx: `cargo xtask test --only proxies`"]
async fn ad_06_behind_nginx_nobody_is_who_they_say() {
    let (scene, backend) = scene().await.unwrap();
    let nginx = Installed::nginx(scene.gateway.address(), backend.address)
        .await
        .unwrap();
    stranger_and_forger(&nginx, &backend, &scene).await.unwrap();
}

#[tokio::test]
#[ignore = "needs Caddy: `cargo xtask test --only proxies`"]
async fn ad_06_behind_caddy_nobody_is_who_they_say() {
    let (scene, backend) = scene().await.unwrap();
    let caddy = Installed::caddy(scene.gateway.address(), backend.address)
        .await
        .unwrap();
    stranger_and_forger(&caddy, &backend, &scene).await.unwrap();
}

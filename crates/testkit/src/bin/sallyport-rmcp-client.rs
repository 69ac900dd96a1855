//! The official Rust client with its own OAuth: `sallyport-rmcp-client URL TOOL ARGUMENTS_JSON`.
//!
//! `BROWSER` opens a URL. `CLIENT_DOCUMENT` is the URL of a document that describes it. With `FIRST` and `SECOND` it makes
//! that file after the first call, and a second call when this one is there.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationManager, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::{StreamableHttpClient, StreamableHttpClientTransportConfig};
use rmcp::{RoleClient, ServiceExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

type Client = RunningService<RoleClient, ()>;

async fn connect<C: StreamableHttpClient + Send + 'static>(
    http: C,
    url: &str,
) -> Result<Client, rmcp::service::ClientInitializeError> {
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    ().serve(StreamableHttpClientTransport::with_client(http, config))
        .await
}

/// Waits for the redirect and returns its whole URL.
async fn redirected(listener: &TcpListener, origin: &str) -> anyhow::Result<String> {
    loop {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let body = "You can close this window.";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        let target = line.split(' ').nth(1).unwrap_or_default();
        if target.starts_with("/callback?") {
            return Ok(format!("{origin}{target}"));
        }
    }
}

/// Logs in by the challenge of a refused request.
async fn log_in(url: &str, challenge: &str) -> anyhow::Result<AuthorizationManager> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let mut request = AuthorizationRequest::new(format!("{origin}/callback"))
        .with_client_name("Sallyport test client")
        .with_challenge(challenge);
    let document = std::env::var_os("CLIENT_DOCUMENT").and_then(|url| url.into_string().ok());
    if let Some(document) = document {
        request = request.with_client_metadata_url(document);
    }
    let mut state = OAuthState::new(url, None).await?;
    state.start_authorization(request).await?;
    let browser = std::env::var_os("BROWSER").context("BROWSER opens a URL")?;
    let mut opened = tokio::process::Command::new(browser)
        .arg(state.get_authorization_url().await?)
        .spawn()?;
    let came = tokio::time::timeout(Duration::from_secs(60), redirected(&listener, &origin));
    let came = came.await.context("no redirect came")??;
    opened.wait().await?;
    state.handle_callback_url(&came).await?;
    state
        .into_authorization_manager()
        .context("the log-in is not over")
}

async fn call(client: &Client, tool: &str, arguments: &str) -> anyhow::Result<()> {
    let arguments: serde_json::Map<_, _> = serde_json::from_str(arguments)?;
    let asked = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    let result = client.call_tool(asked).await?;
    writeln!(std::io::stdout(), "result {}", serde_json::to_string(&result)?)?;
    ensure!(result.is_error != Some(true), "the call failed");
    Ok(())
}

/// Says that the first call is over, and waits for the word to make a second one. Whether there is to be one.
async fn second() -> anyhow::Result<bool> {
    let gate = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(first), Some(second)) = (gate("FIRST"), gate("SECOND")) else {
        return Ok(false);
    };
    std::fs::write(first, "")?;
    let mut look = tokio::time::interval(Duration::from_millis(100));
    while !second.exists() {
        look.tick().await;
    }
    Ok(true)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let mut word = || {
        words
            .next()
            .context("usage: sallyport-rmcp-client URL TOOL ARGUMENTS_JSON")
    };
    let (url, tool, arguments) = (word()?, word()?, word()?);
    // Another provider may have come first, and is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let refused = connect(reqwest::Client::default(), &url).await;
    let refused = refused.err().context("it was let in without a token")?;
    let challenge = refused.auth_challenge().context("there is no challenge")?;
    let manager = log_in(&url, challenge).await?;
    let client = connect(AuthClient::new(reqwest::Client::default(), manager), &url).await?;
    let tools = client.list_all_tools().await?;
    ensure!(
        tools.iter().any(|known| known.name == tool),
        "the tool is not listed"
    );
    call(&client, &tool, &arguments).await?;
    if second().await? {
        call(&client, &tool, &arguments).await?;
    }
    client.cancel().await?;
    writeln!(std::io::stdout(), "DONE")?;
    Ok(())
}

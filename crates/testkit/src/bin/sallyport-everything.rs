//! `sallyport-everything (--listen ADDR | --listen-sse ADDR | --listen-ws ADDR | --listen-tcp ADDR | --stdio)
//! [--era legacy|modern|dual] [--page N] [--label NAME] [--tools N] [--bare] [--token TOKEN]`, or `sallyport-everything
//! --legacy-tasks` for the server with the tasks of 2025-11-25 over stdio
#![forbid(unsafe_code)]

use std::io::Write as _;

use anyhow::{Context as _, bail};
use sallyport_testkit::everything::Options;
use sallyport_testkit::everything::serve::{self, Server};
use sallyport_testkit::legacy_tasks;

enum Transport {
    Http(String),
    Sse(String),
    WebSocket(String),
    Tcp(String),
    Stdio,
    LegacyTasks,
}

fn arguments() -> anyhow::Result<(Transport, Options)> {
    let mut transport = None;
    let mut options = Options {
        mortal: true,
        ..Options::default()
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--stdio" => {
                transport = Some(Transport::Stdio);
                continue;
            }
            "--legacy-tasks" => {
                transport = Some(Transport::LegacyTasks);
                continue;
            }
            "--bare" => {
                options.bare = true;
                continue;
            }
            _ => {}
        }
        let value = arguments
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--listen" => transport = Some(Transport::Http(value)),
            "--listen-sse" => transport = Some(Transport::Sse(value)),
            "--listen-ws" => transport = Some(Transport::WebSocket(value)),
            "--listen-tcp" => transport = Some(Transport::Tcp(value)),
            "--era" => options.era = value.parse().map_err(anyhow::Error::msg)?,
            "--page" => options.page = Some(value.parse().context("--page")?),
            "--label" => options.label = Some(value),
            "--tools" => options.extra_tools = value.parse().context("--tools")?,
            "--token" => options.token = Some(value),
            other => bail!("unknown argument {other}"),
        }
    }
    let transport = transport.context("--listen ADDR, --listen-sse, --listen-ws, --listen-tcp or --stdio")?;
    Ok((transport, options))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (transport, options) = arguments()?;
    let server = match transport {
        Transport::Stdio => return serve::stdio(options).await,
        Transport::LegacyTasks => return legacy_tasks::stdio().await,
        Transport::Http(address) => Server::start(&address, options).await?,
        Transport::Sse(address) => Server::start_sse(&address, options).await?,
        Transport::WebSocket(address) => Server::start_ws(&address, options).await?,
        Transport::Tcp(address) => Server::start_tcp(&address, options).await?,
    };
    writeln!(std::io::stdout(), "{}", server.url())?;
    server.serve_forever().await;
    Ok(())
}

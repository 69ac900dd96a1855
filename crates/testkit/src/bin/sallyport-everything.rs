//! `sallyport-everything (--listen ADDR | --stdio) [--era legacy|modern|dual] [--page N] [--label NAME] [--tools N]`
#![forbid(unsafe_code)]

use std::io::Write as _;

use anyhow::{Context as _, bail};
use sallyport_testkit::everything::{Options, serve};

enum Transport {
    Listen(String),
    Stdio,
}

fn arguments() -> anyhow::Result<(Transport, Options)> {
    let mut transport = None;
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--stdio" {
            transport = Some(Transport::Stdio);
            continue;
        }
        let value = arguments
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--listen" => transport = Some(Transport::Listen(value)),
            "--era" => options.era = value.parse().map_err(anyhow::Error::msg)?,
            "--page" => options.page = Some(value.parse().context("--page")?),
            "--label" => options.label = Some(value),
            "--tools" => options.extra_tools = value.parse().context("--tools")?,
            other => bail!("unknown argument {other}"),
        }
    }
    Ok((transport.context("--listen ADDR or --stdio")?, options))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match arguments()? {
        (Transport::Stdio, options) => serve::stdio(options).await,
        (Transport::Listen(address), options) => {
            let server = serve::HttpServer::start(&address, options).await?;
            writeln!(std::io::stdout(), "{}", server.url())?;
            server.serve_forever().await;
            Ok(())
        }
    }
}

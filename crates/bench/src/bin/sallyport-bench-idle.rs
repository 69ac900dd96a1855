//! `sallyport-bench-idle URL COUNT TOKEN_FILE`: opens so many streams, prints a line when all are open, and leaves when
//! its standard input ends.
#![forbid(unsafe_code)]

use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use sallyport_bench::idle;
use sallyport_bench::load::Target;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, count, file] = arguments.as_slice() else {
        anyhow::bail!("sallyport-bench-idle URL COUNT TOKEN_FILE");
    };
    let token = std::fs::read_to_string(file).with_context(|| file.clone())?;
    let target = Target::parse(url, Some(token.trim().to_owned()))?;
    let count = count.parse().context("COUNT")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let open = runtime.block_on(idle::open(&target, count))?;
    writeln!(std::io::stdout(), "{}", open.len())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

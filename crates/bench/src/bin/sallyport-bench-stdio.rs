//! `sallyport-bench-stdio [legacy|modern]`: an MCP server on standard input and output, of both eras or of one.
#![forbid(unsafe_code)]

use std::io;

use sallyport_bench::stdio::{Eras, run};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> io::Result<()> {
    let word = std::env::args().nth(1);
    let eras =
        Eras::named(word.as_deref()).ok_or_else(|| io::Error::other("say legacy, modern, or nothing"))?;
    run(io::stdin().lock(), io::stdout().lock(), eras)
}

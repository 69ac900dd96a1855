//! `sallyport-bench-upstream [ADDRESS [THREADS]]`
#![forbid(unsafe_code)]

use anyhow::Context as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let threads = arguments
        .next()
        .map_or(Ok(1), |threads| threads.parse())
        .context("THREADS")?;
    sallyport_bench::upstream::run(&address, threads)
}

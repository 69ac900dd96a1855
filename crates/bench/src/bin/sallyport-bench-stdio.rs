//! `sallyport-bench-stdio`: an MCP server on standard input and output.
#![forbid(unsafe_code)]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::io::Result<()> {
    sallyport_bench::stdio::run(std::io::stdin().lock(), std::io::stdout().lock())
}

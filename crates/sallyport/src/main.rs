//! The binary: one file with everything inside.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Steady under many threads that allocate and free across each other.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == sallyport::child::VERB) {
        return sallyport::child::run(args);
    }
    sallyport::cli::main()
}

//! The command `tokenrouter`: settings, start-up, and the small tools of daily work.

// They panic when nobody reads any more; `cli::output` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod config;

/// A fifth of a request's processor time went into the system's allocator (docs/concepts/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}

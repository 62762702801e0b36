//! The command `tokenrouter`: settings, start-up, and the small tools of daily work.

mod cli;
mod config;

/// A fifth of a request's processor time went into the system's allocator (docs/concepts/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}

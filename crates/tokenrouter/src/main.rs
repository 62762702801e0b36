//! The command `tokenrouter`: settings, start-up, and the small tools of daily work.

mod cli;
mod config;

fn main() -> std::process::ExitCode {
    cli::main()
}

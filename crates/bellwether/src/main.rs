//! The `bellwether` binary: the only reader of arguments, environment and configuration files, and the
//! place where the parts are wired together.
//!
//! **Absent on purpose:** no governance. What a breaker, a ring or a ledger is, the packages below know.

use std::process::ExitCode;

use clap::Parser;

mod channel;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod log;
mod output;
mod run;

/// A registration makes and drops some hundred small pieces of memory, on one thread and on another; the C
/// library's allocator takes longer for that, and more memory for the instances that stay.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // clap answers --help and --version, and what cannot be read, by itself: the latter with code 2.
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            output::problem(&problem);
            ExitCode::from(problem.exit() as u8)
        }
    }
}

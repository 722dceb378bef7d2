//! Project tasks: `cargo xtask test | ci | bench | codegen`.
//!
//! A task is a list of steps, and all of them run even after one has failed, because a list of everything that is
//! wrong is worth more than the first complaint. The step that is running is named before it begins; only a failing
//! step shows its output. Nothing here is linked into what users run.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks on its standard streams"
)]

mod arrows;
mod browser;
mod checks;
mod clock;
mod command;
mod console;
mod context;
mod counts;
mod demo;
mod generated_requests;
mod process_tree;
mod step;
mod suite;
mod tools;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use context::Context;
use step::Step;

const USAGE: &str = "\
usage: cargo xtask TASK

  test [STEP…]            the whole test suite, or only the steps named
  ci [--no-test] [STEP…]  everything that a change has to pass: the test suite, format, lints, the arrows
                          between packages, documentation, dependencies, spelling, generated files
  bench NAME [ARG…]       one benchmark, in release mode: `cargo xtask bench NAME --json FILE`
  codegen [--check]       write the generated files, or with --check only prove that they are fresh
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first().map(|(task, rest)| (task.as_str(), rest)) {
        Some(("test", names)) => steps(suite::STEPS.to_vec(), names),
        Some(("ci", [first, names @ ..])) if first == "--no-test" => steps(checks::STEPS.to_vec(), names),
        Some(("ci", names)) => steps([checks::STEPS, suite::STEPS].concat(), names),
        Some(("bench", [name, rest @ ..])) if !name.starts_with('-') => bench(name, rest),
        Some(("codegen", rest)) => package("codegen", rest, &[]),
        Some(("help" | "--help" | "-h", _)) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs all steps, or those named.
fn steps(mut steps: Vec<Step>, names: &[String]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| steps.iter().all(|step| step.name != name.as_str())) {
        let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
        eprintln!("xtask: this task has no step {unknown:?}; its steps are {}", known.join(", "));
        return ExitCode::from(2);
    }
    if !names.is_empty() {
        steps.retain(|step| names.iter().any(|name| name == step.name));
    }
    match Context::new() {
        Ok(mut context) => step::run(&steps, &mut context),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Benchmarks link heavy peers, so they are built only when one is asked for.
fn bench(name: &str, rest: &[String]) -> ExitCode {
    let arguments: Vec<String> = std::iter::once(name.to_owned()).chain(rest.iter().cloned()).collect();
    package("bench", &arguments, &["--release"])
}

/// Runs another package of the project in the foreground.
fn package(name: &str, arguments: &[String], options: &[&str]) -> ExitCode {
    let mut command = Command::new(cargo());
    command.args(["run", "--quiet"]).args(options).args(["--package", name, "--"]).args(arguments);
    match command.status() {
        Ok(status) => {
            status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            eprintln!("xtask: cannot start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The cargo that runs us.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

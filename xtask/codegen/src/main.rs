//! Writes the checked-in generated code, or with `--check` proves that it is fresh.
//!
//! Generated code is checked in, so that a build needs neither these generators nor `protoc`, and a reader finds
//! what the compiler sees. The price is that it can go stale; `cargo xtask ci` asks for `--check`, which generates
//! everything anew and names each file that differs.
//!
//! This is a package of its own because its dependencies take longer to build than all other project tasks
//! together; `cargo xtask codegen` runs it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks on its standard streams"
)]

mod folder;
mod protobuf;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use folder::{Difference, Files};

/// What can go wrong in a generator, already in words for the person who ran it.
type Error = Box<dyn std::error::Error>;

/// One source of generated code. It owns its output folder: files in there that it does not make are stale.
struct Generator {
    name: &'static str,
    /// Below the repository's root.
    output: &'static str,
    generate: fn(root: &Path) -> Result<Files, Error>,
}

/// Everything that is generated and checked in.
const GENERATORS: &[Generator] =
    &[Generator { name: "protobuf", output: "crates/wire/src/generated", generate: protobuf::generate }];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => {
            eprintln!("usage: cargo xtask codegen [--check]");
            return ExitCode::from(2);
        }
    };
    let mut differences = 0;
    for generator in GENERATORS {
        match run(generator, &root(), check) {
            Ok(found) => differences += found,
            Err(error) => {
                eprintln!("codegen: {}: {error}", generator.name);
                return ExitCode::FAILURE;
            }
        }
    }
    if check && differences > 0 {
        eprintln!(
            "codegen: {differences} files are not fresh; run `cargo xtask codegen` and commit what it writes"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Returns the number of files that differed from what the generator makes now.
fn run(generator: &Generator, root: &Path, check: bool) -> Result<usize, Error> {
    let files = (generator.generate)(root)?;
    let output = root.join(generator.output);
    let differences = folder::compare(&output, &files)?;
    for difference in &differences {
        let (what, file) = match difference {
            Difference::Missing(file) if check => ("missing", file),
            Difference::Changed(file) if check => ("not fresh", file),
            Difference::Stale(file) if check => ("no longer generated", file),
            Difference::Missing(file) | Difference::Changed(file) => ("wrote", file),
            Difference::Stale(file) => ("removed", file),
        };
        println!("codegen: {}: {what} {}/{file}", generator.name, generator.output);
    }
    if !check {
        folder::write(&output, &files, &differences)?;
    }
    if differences.is_empty() {
        println!("codegen: {}: {} files are fresh", generator.name, files.len());
    }
    Ok(differences.len())
}

/// The repository's root, wherever the command was typed.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

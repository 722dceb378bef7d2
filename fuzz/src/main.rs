//! Runs targets on mutated bytes for as long as wanted: `cargo run -p fuzz -- NAME|all [RUNS] [SEED]`.

#![expect(clippy::print_stderr, reason = "it is a command, and what it says is for who runs it")]

use std::{env, process::ExitCode};

use fuzz::{
    TARGETS,
    mutation::{Random, mutate},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, otherwise| match arguments.get(at) {
        Some(text) => text.parse::<u64>().ok(),
        None => Some(otherwise),
    };
    let name = arguments.first().map_or("", String::as_str);
    let chosen: Vec<_> = TARGETS.iter().filter(|target| name == "all" || name == target.name).collect();
    let (Some(runs), Some(seed), false) = (number(1, 1_000_000), number(2, 1), chosen.is_empty()) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("usage: fuzz NAME|all [RUNS] [SEED], where NAME is one of {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    for target in chosen {
        let (seeds, runs) = ((target.seeds)(), runs / u64::from(target.cost));
        eprintln!("{}: {runs} runs from seed {seed}", target.name);
        for run in 0..runs {
            let bytes = mutate(&seeds, &mut Random::new(seed.wrapping_add(run)));
            // What panics says for itself where; this says with what.
            let ended = std::panic::catch_unwind(|| (target.check)(&bytes));
            if ended.is_err() {
                eprintln!(
                    "{} fails with seed {}: {:?}",
                    target.name,
                    seed.wrapping_add(run),
                    String::from_utf8_lossy(&bytes)
                );
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

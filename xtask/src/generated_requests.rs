//! Requests that Schemathesis generates from the description of the API, the sound and the broken, against the demo:
//! whatever is asked, the answer is never that the server failed (5xx).
//!
//! The demo has services, calls and traces, so that what is asked by chance finds something. The seed is fixed: a
//! change that passes on one machine does not fail on the next by another draw. How many requests there are is bounded
//! by examples and not by time, for the same reason.

use std::time::Duration;

use crate::command;
use crate::context::Context;
use crate::counts::Counts;
use crate::demo::{self, Demo};
use crate::step::{Result as StepResult, Verdict};
use crate::tools;

const DESCRIPTION: &str = "bellwether/v1/openapi.json";

/// Tells Schemathesis how bodies of lines of JSON are written; without it, it refuses to ask what takes them.
const SERIALIZERS: &str = "xtask/src/generated_requests/serializers.py";

/// Draws the same requests every time.
const SEED: &str = "1";

/// Where an answer goes on for ever, so that each sound request costs the whole time-out.
const STREAMS: &str = "/(watch|stream|tap)$";

/// A run takes some 20 s on two cores that do nothing else.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// A part of the API, and how much of it is asked.
struct Part {
    filter: &'static str,
    phases: &'static str,
    examples: &'static str,
    /// In seconds.
    timeout: &'static str,
}

const PARTS: [Part; 2] = [
    Part {
        filter: "--exclude-path-regex",
        phases: "examples,coverage,fuzzing,stateful",
        examples: "8",
        // A drain waits for half a minute where nothing else is said.
        timeout: "60",
    },
    Part { filter: "--include-path-regex", phases: "examples,fuzzing", examples: "4", timeout: "1" },
];

/// The step.
pub(crate) fn step(context: &mut Context) -> Verdict {
    match context.tools.need(&tools::SCHEMATHESIS) {
        Ok(_) => demo::with(context, "requests", ask),
        Err(reason) => Verdict::skipped(reason),
    }
}

/// Asks one part after the other.
fn ask(context: &mut Context, demo: &Demo) -> Verdict {
    let mut notes = Vec::new();
    for part in &PARTS {
        match run(context, demo, part) {
            Verdict { result: StepResult::Passed(note), .. } => notes.push(note),
            failed => return failed,
        }
    }
    let counts = Counts { passed: PARTS.len(), ..Counts::default() };
    let mut verdict = Verdict::passed("").with_tests(counts, Vec::new());
    verdict.result = StepResult::Passed(notes.join("; "));
    verdict
}

fn run(context: &mut Context, demo: &Demo, part: &Part) -> Verdict {
    let mut command = match context.tools.command_of(&tools::SCHEMATHESIS) {
        Ok(command) => command,
        Err(reason) => return Verdict::skipped(reason),
    };
    command.arg("run").arg(format!("{}{DESCRIPTION}", demo.url)).args(["--checks", "not_a_server_error"]);
    command.args([part.filter, STREAMS, "--phases", part.phases, "--max-examples", part.examples]);
    command.args(["--seed", SEED, "--generation-database", "none", "--request-timeout", part.timeout]);
    command.args(["--warnings", "off", "--no-color"]);
    command.env("SCHEMATHESIS_HOOKS", context.root.join(SERIALIZERS));
    // Where it would leave its caches.
    command.current_dir(context.target.join("tmp"));
    let finished = command::run(command, LIMIT);
    match (finished.failure, cases(&finished.text)) {
        (Some(failure), _) => Verdict::failed(failure.to_string(), finished.text),
        (None, None) => Verdict::failed("Schemathesis asked nothing", finished.text),
        (None, Some(cases)) => Verdict::passed(cases),
    }
}

/// What it says of how many requests it made, if it made any.
fn cases(output: &str) -> Option<String> {
    let line = output.lines().map(str::trim).find(|line| line.contains(" generated, "))?;
    (!line.starts_with("0 ")).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_what_is_really_printed() {
        let output = "Test cases:\n  687 generated, 687 passed\n\nSeed: 1\n";
        assert_eq!(cases(output).as_deref(), Some("687 generated, 687 passed"));
    }

    #[test]
    fn a_run_that_asked_nothing_does_not_pass() {
        assert_eq!(cases("Operations:       0 selected / 25 total\n"), None);
        assert_eq!(cases("  0 generated, 0 passed\n"), None);
    }
}

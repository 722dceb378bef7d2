//! What a change has to pass beside the test suite: the further steps of `cargo xtask ci`.

use std::time::Duration;

use crate::command::{self, Failure};
use crate::context::Context;
use crate::counts::Skip;
use crate::step::{Result as StepResult, Step, Verdict};
use crate::{arrows, tools};

/// Quick ones first, so that a slip is seen early.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "format", needs: None, run: format },
    Step { name: "arrows", needs: None, run: arrows::step },
    Step { name: "typos", needs: None, run: typos },
    Step { name: "dependencies", needs: None, run: dependencies },
    Step { name: "lints", needs: None, run: lints },
    Step { name: "docs", needs: None, run: docs },
    Step { name: "generated", needs: None, run: generated },
];

/// A clean build on two slow cores stays well below this.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The database is a download, which may hang where there is no network.
const ADVISORIES_LIMIT: Duration = Duration::from_secs(120);

/// What cargo-deny says where there is no network.
const UNREACHABLE: &str = "failed to fetch advisory database";

fn format(context: &mut Context) -> Verdict {
    Verdict::of(context.cargo(&["fmt", "--all", "--check"]), LIMIT)
}

fn typos(context: &mut Context) -> Verdict {
    match context.tools.need(&tools::TYPOS) {
        Ok(program) => Verdict::of(context.command(program), LIMIT),
        Err(reason) => Verdict::skipped(reason),
    }
}

/// Licences, bans and sources of all crates that we depend on; and known vulnerabilities, where the database of
/// advisories can be reached.
fn dependencies(context: &mut Context) -> Verdict {
    let program = match context.tools.need(&tools::DENY) {
        Ok(program) => program,
        Err(reason) => return Verdict::skipped(reason),
    };
    let mut policy = context.command(&program);
    policy.args(["--workspace", "--all-features", "check", "bans", "licenses", "sources"]);
    let mut verdict = Verdict::of(policy, LIMIT);
    if !matches!(verdict.result, StepResult::Passed(_)) {
        return verdict;
    }
    let mut advisories = context.command(&program);
    advisories.args(["--workspace", "--all-features", "check", "advisories"]);
    let finished = command::run(advisories, ADVISORIES_LIMIT);
    match finished.failure {
        None => {}
        Some(failure)
            if failure == Failure::Time(ADVISORIES_LIMIT) || finished.text.contains(UNREACHABLE) =>
        {
            let reason = "their database cannot be reached".to_owned();
            verdict.skips.push(Skip { test: "advisories".to_owned(), reason });
        }
        Some(failure) => return Verdict::failed(failure.to_string(), finished.text),
    }
    verdict
}

fn lints(context: &mut Context) -> Verdict {
    Verdict::of(context.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]), LIMIT)
}

fn docs(context: &mut Context) -> Verdict {
    let mut command = context.cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    Verdict::of(command, LIMIT)
}

fn generated(context: &mut Context) -> Verdict {
    Verdict::of(context.cargo(&["run", "--quiet", "--package", "codegen", "--", "--check"]), LIMIT)
}

//! The test suite: the steps of `cargo xtask test`.

use std::process::Command;
use std::time::Duration;

use crate::context::Context;
use crate::step::{Step, Verdict};
use crate::{browser, command, console, counts, generated_requests, tools};

/// The whole suite, in order.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "tools", needs: None, run: find_tools },
    Step { name: "build", needs: None, run: build },
    Step { name: "rust", needs: Some("build"), run: rust },
    Step { name: "interleavings", needs: None, run: interleavings },
    Step { name: "requests", needs: Some("build"), run: generated_requests::step },
    Step { name: "console", needs: None, run: console::step },
    Step { name: "browser", needs: Some("build"), run: browser::step },
];

/// A clean build on two slow cores stays well below this.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// A test that hangs must leave time to say so.
const TEST_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Finds or installs everything at once, so that it is known at the beginning what will be skipped.
fn find_tools(context: &mut Context) -> Verdict {
    let wanted = [
        tools::SCHEMATHESIS,
        tools::GRPC_HEALTH,
        tools::GRPC_TOOLS,
        tools::DUCKDB,
        tools::PROMETHEUS,
        tools::NODE_EXPORTER,
        tools::NODE,
        tools::NPM,
        tools::PYTHON_SENDERS,
        tools::NODE_SENDERS,
        tools::CHROMIUM,
    ];
    let missing: Vec<String> = wanted.iter().filter_map(|tool| context.tools.need(tool).err()).collect();
    // The steps that need them will be skipped by name.
    Verdict::passed(missing.join("; "))
}

/// Builds apart from running, so that the time of each is known and a compiler's error stands alone.
fn build(context: &mut Context) -> Verdict {
    Verdict::of(context.cargo(&["test", "--workspace", "--no-run"]), BUILD_LIMIT)
}

/// Unit, integration and documentation tests of all packages.
fn rust(context: &mut Context) -> Verdict {
    // A test that lacks a tool says so on its output, which is shown only on request.
    tests(context.cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"]))
}

/// The lock-free parts of `resilience` under loom. Its word for the compiler would have everything else built
/// anew, so it builds to a folder of its own.
fn interleavings(context: &mut Context) -> Verdict {
    let target = context.target.join("interleavings");
    let arguments = ["test", "--release", "--package", "resilience", "--test", "interleavings"];
    let mut command = context.cargo(&arguments);
    command.env("RUSTFLAGS", "--cfg interleavings").env("CARGO_TARGET_DIR", target);
    tests(command)
}

/// Runs tests, and counts them as their runner does.
fn tests(command: Command) -> Verdict {
    let finished = command::run(command, TEST_LIMIT);
    let skips = counts::skips(&finished.text);
    let mut counts = counts::counts(&finished.text);
    // To its runner, a test that was skipped has passed.
    counts.passed = counts.passed.saturating_sub(skips.len());
    counts.skipped += skips.len();
    let verdict = match finished.failure {
        None if counts.passed == 0 => Verdict::failed("no test ran", finished.text),
        None => Verdict::passed(""),
        Some(failure) => Verdict::failed(failure.to_string(), finished.text),
    };
    verdict.with_tests(counts, skips)
}

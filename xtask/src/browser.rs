//! The console in a real browser, in front of the demo: the whole product as a person meets it.

use std::time::Duration;

use crate::context::Context;
use crate::counts::counts;
use crate::step::Verdict;
use crate::{command, console, demo, tools};

/// Takes the address of a running console and prints a closing line.
const SCRIPT: &str = "crates/console/web/test/browser.mjs";

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The step.
pub(crate) fn step(context: &mut Context) -> Verdict {
    if !context.root.join(SCRIPT).exists() {
        return Verdict::skipped(format!("there is no {SCRIPT}"));
    }
    if let Err(reason) =
        console::prepare(context).and_then(|()| context.tools.need(&tools::CHROMIUM).map(drop))
    {
        return Verdict::skipped(reason);
    }
    demo::with(context, "browser", |context, demo| {
        let mut script = context.command("node");
        script.args([SCRIPT, &demo.url]);
        let finished = command::run(script, LIMIT);
        let counts = counts(&finished.text);
        let verdict = match finished.failure {
            Some(failure) => Verdict::failed(failure.to_string(), finished.text),
            None => Verdict::passed(""),
        };
        verdict.with_tests(counts, Vec::new())
    })
}

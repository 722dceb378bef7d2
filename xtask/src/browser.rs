//! The console in a real browser, in front of the demo: the whole product as a person meets it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use crate::context::Context;
use crate::counts::counts;
use crate::step::Verdict;
use crate::{command, console, process_tree, tools};

/// Takes the address of a running console and prints a closing line.
const SCRIPT: &str = "crates/console/web/test/browser.mjs";

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Starting takes well under a second, on a machine that does nothing else.
const START_LIMIT: Duration = Duration::from_secs(60);

const STOP_LIMIT: Duration = Duration::from_secs(30);

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
    let built = command::run(context.cargo(&["build", "--workspace", "--bins"]), LIMIT);
    if let Some(failure) = built.failure {
        return Verdict::failed(failure.to_string(), built.text);
    }
    let demo = match Demo::start(context) {
        Ok(demo) => demo,
        Err(error) => return Verdict::failed(error, ""),
    };
    let mut script = context.command("node");
    script.args([SCRIPT, &demo.url]);
    let finished = command::run(script, LIMIT);
    let verdict = match (finished.failure, demo.stop()) {
        (Some(failure), _) => Verdict::failed(failure.to_string(), finished.text.clone()),
        (None, Err(reason)) => Verdict::failed(reason, finished.text.clone()),
        (None, Ok(())) => Verdict::passed(""),
    };
    verdict.with_tests(counts(&finished.text), Vec::new())
}

/// `bellwether demo`, running.
struct Demo {
    child: Child,
    url: String,
    /// Further lines that it prints; closed when it has ended.
    output: Receiver<String>,
}

impl Demo {
    /// Starts it on any free port and a fresh data folder, and waits for the line that says where it listens.
    fn start(context: &Context) -> Result<Demo, String> {
        let data = context.target.join("tmp/browser");
        match std::fs::remove_dir_all(&data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("cannot remove {}: {error}", data.display()));
            }
            _ => {}
        }
        let mut command = context.command(context.target.join("debug/bellwether"));
        command.args(["demo", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "-o", "json", "--data"]);
        command.arg(&data).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start bellwether demo: {error}"))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            // The thread ends with the demo, and until then keeps its pipe from filling.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let mut demo = Demo { child, url: String::new(), output: lines };
        let line = demo
            .output
            .recv_timeout(START_LIMIT)
            .map_err(|_| "bellwether demo did not say where it listens".to_owned())?;
        demo.url = address(&line)?;
        Ok(demo)
    }

    /// Asks it to end, which has to succeed.
    fn stop(mut self) -> Result<(), String> {
        process_tree::terminate(self.child.id());
        let begin = crate::clock::now();
        loop {
            match self.output.recv_timeout(STOP_LIMIT.saturating_sub(begin.elapsed())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "bellwether demo, asked to end, did not within {} s",
                        STOP_LIMIT.as_secs()
                    ));
                }
            }
        }
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("bellwether demo, asked to end, ended with {status}")),
            Err(error) => Err(format!("cannot wait for bellwether demo: {error}")),
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            process_tree::kill(self.child.id());
            let _ = self.child.wait();
        }
    }
}

/// Reads the console's address from the JSON line that says what was bound.
fn address(line: &str) -> Result<String, String> {
    let bound: Value = serde_json::from_str(line).map_err(|error| {
        format!("bellwether demo should print its addresses as JSON, not {line:?}: {error}")
    })?;
    let listen =
        bound["listen"].as_str().ok_or_else(|| format!("there is no address in \"listen\": {line}"))?;
    Ok(format!("http://{listen}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_says_what_was_bound() {
        let line = r#"{"listen":"127.0.0.1:40001","gateway":"127.0.0.1:40002"}"#;
        assert_eq!(address(line), Ok("http://127.0.0.1:40001/".to_owned()));
    }

    #[test]
    fn a_line_that_says_nothing_useful_is_quoted() {
        assert!(address("hello").unwrap_err().contains("hello"));
        assert!(address("{}").unwrap_err().contains("listen"));
    }
}

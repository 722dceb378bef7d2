//! `bellwether demo` as the steps use it that look at the whole product from outside.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use crate::command;
use crate::context::Context;
use crate::process_tree;
use crate::step::Verdict;

/// A clean build on two slow cores stays well below this; after the suite's own build there is little left to do.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Starting takes well under a second, on a machine that does nothing else.
const START_LIMIT: Duration = Duration::from_secs(60);

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Builds the demo, starts it for this step, and stops it after the step's work, which has to leave it able to stop
/// well. Whatever fails is shown with the demo's log.
pub(crate) fn with(
    context: &mut Context,
    step: &'static str,
    work: impl FnOnce(&mut Context, &Demo) -> Verdict,
) -> Verdict {
    let built = command::run(context.cargo(&["build", "--workspace", "--bins"]), BUILD_LIMIT);
    if let Some(failure) = built.failure {
        return Verdict::failed(failure.to_string(), built.text);
    }
    let demo = match prepare(context, step).and_then(Demo::start) {
        Ok(demo) => demo,
        Err(error) => return Verdict::failed(error, log(context, step)),
    };
    let verdict = work(context, &demo);
    let stopped = demo.stop();
    verdict.and(stopped).with_output(|| format!("Log of bellwether demo:\n{}", log(context, step)))
}

/// The demo on any free port and a fresh data folder.
fn prepare(context: &Context, step: &str) -> Result<Command, String> {
    let data = context.target.join("tmp").join(step);
    if data.exists() {
        std::fs::remove_dir_all(&data)
            .map_err(|error| format!("cannot remove {}: {error}", data.display()))?;
    }
    let log = log_file(context, step);
    let log = std::fs::create_dir_all(context.target.join("tmp"))
        .and_then(|()| File::create(&log))
        .map_err(|error| format!("cannot create {}: {error}", log.display()))?;
    let mut command = context.command(context.target.join("debug/bellwether"));
    command.args(["demo", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "-o", "json", "--data"]);
    command.arg(data).stderr(log);
    Ok(command)
}

fn log_file(context: &Context, step: &str) -> PathBuf {
    context.target.join("tmp").join(format!("{step}.log"))
}

/// What the demo said on standard error.
fn log(context: &Context, step: &str) -> String {
    std::fs::read(log_file(context, step))
        .map_or_else(|error| error.to_string(), |log| String::from_utf8_lossy(&log).into())
}

/// `bellwether demo`, running.
pub(crate) struct Demo {
    child: Child,
    /// Where its control plane listens; ends in `/`.
    pub(crate) url: String,
    /// Further lines that it prints; closed when it has ended.
    output: Receiver<String>,
}

impl Demo {
    /// Starts it and waits for the line that says where it listens.
    fn start(mut command: Command) -> Result<Demo, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
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

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_demo_that_ends_well_when_asked_to_passes() {
        let script = r#"trap 'exit 0' TERM; echo '{"listen":"127.0.0.1:1"}'; while :; do sleep 0.05; done"#;
        let demo = Demo::start(shell(script)).unwrap();
        assert_eq!(demo.url, "http://127.0.0.1:1/");
        assert_eq!(demo.stop(), Ok(()));
    }

    #[test]
    fn a_demo_that_is_killed_by_the_signal_fails() {
        let demo = Demo::start(shell(r#"echo '{"listen":"127.0.0.1:1"}'; exec sleep 60"#)).unwrap();
        assert!(demo.stop().unwrap_err().contains("signal"));
    }

    #[test]
    fn a_demo_that_ends_at_once_does_not_say_where_it_listens() {
        let error = Demo::start(shell("exit 1")).err().unwrap();
        assert!(error.contains("did not say"), "{error}");
    }

    #[test]
    fn a_line_that_says_nothing_useful_is_quoted() {
        assert!(address("hello").unwrap_err().contains("hello"));
        assert!(address("{}").unwrap_err().contains("listen"));
    }
}

//! Runs a command and keeps what it prints, within a limit of time and size.
//!
//! Output is kept rather than passed on, so that a run that goes well stays short. On a terminal the latest line is
//! shown and overwritten, so that a long build is seen to move.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::{clock, process_tree};

/// More output than this is a test gone wild; the command is ended then. All of it is held in memory.
const MOST_OUTPUT: usize = 64 << 20;

/// How long output is still read after the command has ended, in case it left a process behind that holds the pipe.
const LINGER: Duration = Duration::from_secs(2);

/// A command that has ended.
pub(crate) struct Finished {
    /// Both standard streams, in the order in which the lines arrived.
    pub(crate) text: String,
    /// Why it failed, if it did.
    pub(crate) failure: Option<Failure>,
}

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not be started, or waited for.
    System(String),
    /// It ended with anything but success.
    Status { program: String, status: ExitStatus },
    /// We ended it after its time limit.
    Time(Duration),
    /// We ended it because it printed without end.
    Output,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::System(error) => f.write_str(error),
            Failure::Status { program, status } => write!(f, "{program} ended with {status}"),
            Failure::Time(limit) => write!(f, "ended after {} s, its time limit", limit.as_secs()),
            Failure::Output => write!(f, "ended after {} MiB of output", MOST_OUTPUT >> 20),
        }
    }
}

/// Runs a command to its end, or ends it after `limit`.
pub(crate) fn run(mut command: Command, limit: Duration) -> Finished {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Finished {
                text: String::new(),
                failure: Some(Failure::System(format!("cannot start {program}: {error}"))),
            };
        }
    };
    let (sender, lines) = sync_channel(1024);
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, sender);
    }
    let mut text = String::new();
    let mut failure = collect(&lines, limit, &mut text, || matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
    if failure.is_some() {
        process_tree::kill(child.id());
    }
    match child.wait() {
        Ok(status) if !status.success() => {
            failure.get_or_insert(Failure::Status { program, status });
        }
        Ok(_) => {}
        Err(error) => {
            failure.get_or_insert(Failure::System(format!("cannot wait for {program}: {error}")));
        }
    }
    Finished { text, failure }
}

/// Reads lines on a thread of its own until the stream ends.
fn forward(stream: impl Read + Send + 'static, lines: SyncSender<String>) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        // A line without an end must not be held whole either.
        while let Ok(1..) = (&mut stream).take(MOST_OUTPUT as u64).read_until(b'\n', &mut line) {
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// Collects lines until both streams have ended. Returns why the command has to be killed, if it has to.
fn collect(
    lines: &Receiver<String>,
    limit: Duration,
    text: &mut String,
    mut ended: impl FnMut() -> bool,
) -> Option<Failure> {
    let begin = clock::now();
    let mut last = None;
    let live = std::io::stderr().is_terminal();
    let failure = loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                text.push_str(&line);
                if live {
                    show(&line);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) if ended() => {
                let last = *last.get_or_insert_with(clock::now);
                if last.elapsed() > LINGER {
                    break None;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if begin.elapsed() > limit {
            break Some(Failure::Time(limit));
        }
        if text.len() > MOST_OUTPUT {
            break Some(Failure::Output);
        }
    };
    if live {
        show("");
    }
    failure
}

/// Overwrites the terminal's line with this one, cut so that it does not wrap.
fn show(line: &str) {
    let line: String = line.chars().filter(|c| !c.is_control()).take(78).collect();
    let mut stderr = std::io::stderr().lock();
    // A terminal that has gone away is no reason to stop.
    let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Finished {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, limit)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn both_streams_are_kept() {
        let finished = shell("echo one; echo two >&2", LONG);
        assert!(finished.text.contains("one\n") && finished.text.contains("two\n"));
        assert_eq!(finished.failure, None);
    }

    #[test]
    fn a_failing_command_says_its_exit_code() {
        let failure = shell("exit 3", LONG).failure.unwrap().to_string();
        assert!(failure.contains('3'), "{failure}");
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let finished = shell("echo $$; sleep 1000 & sleep 1000; true", Duration::from_millis(300));
        assert_eq!(finished.failure, Some(Failure::Time(Duration::from_millis(300))));
        let shell_pid = finished.text.trim();
        assert!(!Path::new("/proc").join(shell_pid).exists());
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_step() {
        let begin = clock::now();
        let finished = shell("sleep 60 & echo done", LONG);
        assert!(finished.text.contains("done"));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = run(Command::new("/nowhere/no-such-program"), LONG).failure.unwrap().to_string();
        assert!(failure.contains("no-such-program"), "{failure}");
    }
}

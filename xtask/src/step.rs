//! Steps, how they are run, and the summary at the end.

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::context::Context;
use crate::counts::{Counts, Skip};
use crate::{clock, command};

/// One thing that is checked.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// The step without whose success this one cannot say anything new.
    pub(crate) needs: Option<&'static str>,
    pub(crate) run: fn(&mut Context) -> Verdict,
}

/// How a step went.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) result: Result,
    /// The tests that ran in it; a step that runs no tests has none.
    pub(crate) counts: Option<Counts>,
    /// Parts of it that did not run.
    pub(crate) skips: Vec<Skip>,
}

/// How a step ended, with a few words for the summary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Result {
    Passed(String),
    /// `output` is shown in full.
    Failed {
        reason: String,
        output: String,
    },
    Skipped(String),
}

impl Verdict {
    pub(crate) fn passed(note: impl Into<String>) -> Verdict {
        Verdict { result: Result::Passed(note.into()), counts: None, skips: Vec::new() }
    }

    pub(crate) fn failed(reason: impl Into<String>, output: impl Into<String>) -> Verdict {
        let result = Result::Failed { reason: reason.into(), output: output.into() };
        Verdict { result, counts: None, skips: Vec::new() }
    }

    pub(crate) fn skipped(reason: impl Into<String>) -> Verdict {
        Verdict { result: Result::Skipped(reason.into()), counts: None, skips: Vec::new() }
    }

    /// The verdict on a command that only has to succeed.
    pub(crate) fn of(command: Command, limit: Duration) -> Verdict {
        let finished = command::run(command, limit);
        match finished.failure {
            None => Verdict::passed(""),
            Some(failure) => Verdict::failed(failure.to_string(), finished.text),
        }
    }

    /// Adds the tests that ran in the step, and those that did not.
    pub(crate) fn with_tests(mut self, counts: Counts, skips: Vec<Skip>) -> Verdict {
        self.counts = Some(counts);
        self.skips = skips;
        if let Result::Passed(note) = &mut self.result {
            *note = counts.to_string();
        }
        self
    }

    /// The same, unless something failed after it as well.
    pub(crate) fn and(mut self, after: std::result::Result<(), String>) -> Verdict {
        if let (Result::Passed(_), Err(reason)) = (&self.result, after) {
            self.result = Result::Failed { reason, output: String::new() };
        }
        self
    }

    /// Adds to what is shown of a failure.
    pub(crate) fn with_output(mut self, more: impl FnOnce() -> String) -> Verdict {
        if let Result::Failed { output, .. } = &mut self.result {
            *output = format!("{}\n{}", output.trim_end(), more());
        }
        self
    }

    /// The tests of a step for the closing line, which must not say `0 failed` when a step failed before it could
    /// count, nor hide a step that was left out.
    fn tests(&self) -> Counts {
        let mut counts = self.counts.unwrap_or_default();
        match self.result {
            Result::Failed { .. } if counts.failed == 0 => counts.failed = 1,
            Result::Skipped(_) if counts.skipped == 0 => counts.skipped = 1,
            _ => {}
        }
        counts
    }
}

/// Runs the steps in order and prints the summary.
pub(crate) fn run(steps: &[Step], context: &mut Context) -> ExitCode {
    let mut rows = Vec::new();
    for step in steps {
        show(&format!("{} …\n", step.name));
        let begin = clock::now();
        let broken = step.needs.filter(|needed| {
            rows.iter()
                .any(|row: &Row| row.name == *needed && !matches!(row.verdict.result, Result::Passed(_)))
        });
        let verdict = match broken {
            Some(needed) => Verdict::skipped(format!("the step {needed} did not pass")),
            None => (step.run)(context),
        };
        let row = Row { name: step.name, seconds: begin.elapsed().as_secs_f64(), verdict };
        if let Result::Failed { output, .. } = &row.verdict.result {
            show(&format!("{}\n", output.trim_end()));
        }
        show(&format!("{}\n", row.line()));
        rows.push(row);
    }
    show(&format!("\n{}", summary(&rows)));
    let failed = rows.iter().any(|row| matches!(row.verdict.result, Result::Failed { .. }));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints without a panic where the reader has gone away (`| head`): the steps and the exit code still count.
fn show(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A step that has run.
struct Row {
    name: &'static str,
    seconds: f64,
    verdict: Verdict,
}

impl Row {
    fn line(&self) -> String {
        let (word, note) = match &self.verdict.result {
            Result::Passed(note) => ("passed", note),
            Result::Failed { reason, .. } => ("FAILED", reason),
            Result::Skipped(reason) => ("skipped", reason),
        };
        format!("{:<14} {word:<8} {:>7.1} s  {note}", self.name, self.seconds).trim_end().to_owned()
    }
}

/// The table of all steps, what was skipped and why, and, where tests were to run, the closing line that counts them.
fn summary(rows: &[Row]) -> String {
    let mut text = format!("{:<14} {:<8} {:>9}\n", "step", "result", "time");
    for row in rows {
        text += &format!("{}\n", row.line());
    }
    for row in rows {
        if let Result::Skipped(reason) = &row.verdict.result {
            text += &format!("skipped: {} because {reason}\n", row.name);
        }
        for Skip { test, reason } in &row.verdict.skips {
            text += &format!("skipped: {test} because {reason}\n");
        }
    }
    if rows.iter().any(|row| row.verdict.counts.is_some()) {
        let mut sum = Counts::default();
        rows.iter().for_each(|row| sum += row.verdict.tests());
        text += &format!("{sum}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, verdict: Verdict) -> Row {
        Row { name, seconds: 1.0, verdict }
    }

    fn closing_line(rows: &[Row]) -> String {
        summary(rows).lines().last().unwrap_or_default().to_owned()
    }

    fn counted(passed: usize, failed: usize, skipped: usize) -> Counts {
        Counts { passed, failed, skipped }
    }

    #[test]
    fn the_last_line_counts_the_tests_of_all_steps() {
        let rows = [
            row("rust", Verdict::passed("").with_tests(counted(7, 0, 1), Vec::new())),
            row("console", Verdict::passed("").with_tests(counted(3, 0, 0), Vec::new())),
        ];
        assert_eq!(closing_line(&rows), "10 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_step_that_fails_before_it_counts_is_one_failure() {
        let rows = [
            row("build", Verdict::failed("cargo ended with 101", "error")),
            row("rust", Verdict::passed("").with_tests(counted(7, 0, 0), Vec::new())),
        ];
        assert_eq!(closing_line(&rows), "7 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn failed_tests_are_not_counted_twice() {
        let rows = [row("rust", Verdict::failed("101", "").with_tests(counted(7, 2, 0), Vec::new()))];
        assert_eq!(closing_line(&rows), "7 passed, 2 failed, 0 skipped");
    }

    #[test]
    fn a_skipped_step_and_a_skipped_test_are_named() {
        let skip = Skip { test: "etcd_conformance".into(), reason: "etcd is not installed".into() };
        let rows = [
            row("rust", Verdict::passed("").with_tests(counted(7, 0, 1), vec![skip])),
            row("browser", Verdict::skipped("chromium is not installed")),
        ];
        let text = summary(&rows);
        assert!(text.contains("skipped: etcd_conformance because etcd is not installed\n"), "{text}");
        assert!(text.contains("skipped: browser because chromium is not installed\n"), "{text}");
        assert_eq!(closing_line(&rows), "7 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn a_run_without_tests_counts_none() {
        let text = summary(&[row("format", Verdict::passed(""))]);
        assert!(!text.contains(" passed, "), "{text}");
    }
}

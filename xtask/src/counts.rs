//! Reads from a test runner's output how many tests passed, failed and were skipped.

use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// A test that did not run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) test: String,
    pub(crate) reason: String,
}

/// Adds up the closing lines of all runners in an output: libtest, vitest, and the plain `N passed, N failed`.
pub(crate) fn counts(output: &str) -> Counts {
    let mut sum = Counts::default();
    for counts in output.lines().filter_map(closing_line) {
        sum += counts;
    }
    sum
}

/// What a runner's closing line counts; `None` for any other line.
fn closing_line(line: &str) -> Option<Counts> {
    let line = line.trim();
    let (list, separators) = if let Some(rest) = line.strip_prefix("test result:") {
        (rest, ['.', ';'])
    } else if let Some(rest) = line.strip_prefix("Tests  ") {
        (rest, ['|', '('])
    } else if line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(" passed, ") {
        (line, [',', ','])
    } else {
        return None;
    };
    let mut counts = Counts::default();
    for part in list.split(separators) {
        let Some((number, word)) = part.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        match word {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "skipped" | "ignored" | "todo" => counts.skipped += number,
            _ => {}
        }
    }
    Some(counts)
}

/// Tests that said they did not run. A Rust test for which a tool is missing prints
/// `skipped: NAME because REASON` and returns.
pub(crate) fn skips(output: &str) -> Vec<Skip> {
    output
        .lines()
        .filter_map(|line| line.trim().strip_prefix("skipped: ")?.split_once(" because "))
        .map(|(test, reason)| Skip { test: test.to_owned(), reason: reason.to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, passed: usize, failed: usize, skipped: usize) {
        assert_eq!(counts(output), Counts { passed, failed, skipped }, "{output}");
    }

    #[test]
    fn libtest_results_of_all_binaries_add_up() {
        check(
            "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.04s\n\
             test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n",
            9,
            4,
            1,
        );
    }

    #[test]
    fn vitest_counts_tests_and_not_files() {
        check(" Test Files  3 passed (3)\n      Tests  1 failed | 11 passed | 2 skipped (14)\n", 11, 1, 2);
        check("      Tests  12 passed (12)\n", 12, 0, 0);
    }

    #[test]
    fn the_plain_line_may_leave_out_skipped() {
        check("5 passed, 1 failed\n", 5, 1, 0);
        check("5 passed, 1 failed, 2 skipped\n", 5, 1, 2);
    }

    #[test]
    fn other_lines_count_nothing() {
        check("running 7 tests\ntest a::passed ... ok\n3 attempts passed\n", 0, 0, 0);
    }

    #[test]
    fn a_skipped_test_is_named_with_its_reason() {
        let skips = skips("---- a stdout ----\nskipped: etcd_conformance because etcd is not installed\n");
        assert_eq!(skips, [Skip { test: "etcd_conformance".into(), reason: "etcd is not installed".into() }]);
    }
}

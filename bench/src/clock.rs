//! The one place where benchmarks read the clock.

use std::time::Instant;

/// This moment.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time; this is the shell's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

//! The one place that reads the clock.

use std::time::Instant;

/// Monotonic time, to measure steps and to end those that hang.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

//! The one place where benchmarks read the clock.

use std::time::{Duration, Instant};

/// This moment.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time; this is the shell's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets time pass between two looks at a condition that nobody tells of.
#[expect(clippy::disallowed_methods, reason = "another process can only be asked again and again")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// What the clock on the wall says.
#[expect(clippy::disallowed_methods, reason = "samples of other times than these are refused")]
pub(crate) fn since_1970() -> Result<Duration, crate::Failure> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?)
}

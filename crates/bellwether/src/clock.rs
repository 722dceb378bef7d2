//! The one place of this package where a clock is read.

use std::time::{SystemTime, UNIX_EPOCH};

use identity::Wall;

/// The wall clock, for log lines and for people.
#[expect(clippy::disallowed_methods, reason = "a shell reads the clock in its clock module")]
pub(crate) fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

//! The one place where the server reads a clock.
//!
//! The monotonic origin is the first reading of the process, so that [`Mono`] stays small and the
//! same moment has the same number everywhere in the server.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use identity::{Mono, Now, Wall};

/// What the monotonic clock counts from. The first reading is 1 and not 0, so that zero may mean
/// "never" where moments are kept in atomics.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "the server's clock is read here")]
    *ORIGIN.get_or_init(Instant::now)
}

/// Both clocks, now.
pub fn now() -> Now {
    #[expect(clippy::disallowed_methods, reason = "the server's clock is read here")]
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: mono(), wall: Wall(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)) }
}

/// The monotonic clock, now.
pub fn mono() -> Mono {
    Mono(u64::try_from(origin().elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1))
}

/// When the runtime's timers have to fire for this moment.
pub fn timer(at: Mono) -> tokio::time::Instant {
    let origin = origin();
    // A moment beyond what the platform can express never comes; a day is as good as never here.
    let instant = origin.checked_add(Duration::from_nanos(at.0));
    tokio::time::Instant::from_std(instant.unwrap_or(origin + Duration::from_secs(86_400)))
}

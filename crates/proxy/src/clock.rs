//! The one place where this package reads the clocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use identity::{Mono, Now, Wall};

/// How long the wall clock is taken to go on like the monotonic one, before it is looked at again: a call
/// asks for the time again and again, and each question costs what a rate limit costs.
const TRUSTED_NS: u64 = 100_000_000;

/// Both clocks, from an origin of its own.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    origin: Instant,
    wall: Arc<Seen>,
}

/// The wall clock as it was seen last: what it showed at the monotonic clock's origin, had it gone on like it.
#[derive(Debug)]
struct Seen {
    at_origin: AtomicU64,
    looked: AtomicU64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
    pub(crate) fn start() -> Self {
        let wall = Arc::new(Seen { at_origin: AtomicU64::new(wall()), looked: AtomicU64::new(0) });
        Self { origin: Instant::now(), wall }
    }

    /// Both clocks at the same moment. The wall clock may be late by a tenth of a second when it was set.
    pub(crate) fn now(&self) -> Now {
        let mono = self.mono();
        let Seen { at_origin, looked } = &*self.wall;
        if mono.0.saturating_sub(looked.load(Relaxed)) > TRUSTED_NS {
            looked.store(mono.0, Relaxed);
            at_origin.store(wall().saturating_sub(mono.0), Relaxed);
        }
        Now { mono, wall: Wall(at_origin.load(Relaxed).saturating_add(mono.0)) }
    }

    /// The monotonic clock alone. It never shows zero, so that zero can mean "never".
    #[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
    pub(crate) fn mono(&self) -> Mono {
        Mono(nanos(Instant::now().duration_since(self.origin)) + 1)
    }

    /// The moment that is `after` from `now`, as timers want it.
    pub(crate) fn timer(&self, now: Mono, after: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + Duration::from_nanos(now.0)) + after
    }
}

#[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
fn wall() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The moment that is `after` from now, as timers want it.
#[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
pub(crate) fn deadline(after: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + after
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

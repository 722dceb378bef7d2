//! The one place where this package reads the clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use identity::{Mono, Now, Wall};

/// Both clocks, from an origin of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Both clocks at the same moment.
    #[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
    pub(crate) fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: Wall(nanos(since_epoch)) }
    }

    /// The monotonic clock alone. It never shows zero, so that zero can mean "never".
    #[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
    pub(crate) fn mono(&self) -> Mono {
        Mono(nanos(Instant::now().duration_since(self.origin)) + 1)
    }
}

/// The moment that is `after` from now, as timers want it.
#[expect(clippy::disallowed_methods, reason = "the proxy's clock")]
pub(crate) fn deadline(after: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + after
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

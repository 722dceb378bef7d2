//! How long a breaker stays open.

use std::time::Duration;

/// `min(base · multiplier^relapses, max)`, and up to `jitter` longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenFor {
    /// The first time.
    pub base: Duration,
    /// How much longer each time that it opens again. Each `base` of health takes one relapse back.
    pub multiplier: f64,
    /// The longest, before jitter; also the most that a `Retry-After` is believed.
    pub max: Duration,
    /// The share of the duration, 0 to 1, that is added at random, so that the proxies of a fleet do
    /// not all probe at the same moment.
    pub jitter: f64,
}

impl OpenFor {
    /// The duration after so many relapses; `random` is from 0 to 1.
    pub fn duration(&self, relapses: u32, random: f64) -> Duration {
        let exponent = i32::try_from(relapses).unwrap_or(i32::MAX);
        let seconds = self.base.as_secs_f64() * self.multiplier.powi(exponent);
        let seconds = seconds.min(self.max.as_secs_f64()) * (1.0 + self.jitter * random);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max)
    }
}

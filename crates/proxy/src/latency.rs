//! How long an endpoint takes to answer: a mean that follows a rise at once and a fall slowly.
//!
//! An endpoint that has become slow is known after its first slow answer, and one whose slow answer was
//! an accident is trusted again little by little, also without being called (the peak-sensitive mean of
//! Finagle's load balancer).

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use identity::Mono;

/// In this time a measurement loses 63 % of its weight.
const MEMORY: Duration = Duration::from_secs(10);

/// Milliseconds of the monotonic clock (high 32 bits) and seconds as an `f32` (low).
#[derive(Debug, Default)]
pub(crate) struct Latency(AtomicU64);

impl Latency {
    /// The mean in seconds; 0 where nothing is known.
    pub(crate) fn at(&self, now: Mono) -> f64 {
        let (at, mean) = unpack(self.0.load(Relaxed));
        f64::from(mean * kept(at, now))
    }

    /// Takes in one measurement.
    pub(crate) fn learn(&self, took: Duration, now: Mono) {
        let took = took.as_secs_f32();
        let next = |word| {
            let (at, mean) = unpack(word);
            let kept = kept(at, now);
            let next = if took > mean * kept { took } else { mean * kept + took * (1.0 - kept) };
            Some(millis(now) << 32 | u64::from(next.to_bits()))
        };
        let _ = self.0.fetch_update(Relaxed, Relaxed, next);
    }
}

fn millis(now: Mono) -> u64 {
    (now.0 / 1_000_000) & 0xffff_ffff
}

fn unpack(word: u64) -> (u64, f32) {
    (word >> 32, f32::from_bits(word as u32))
}

/// How much of a mean of that time is left.
fn kept(at: u64, now: Mono) -> f32 {
    // A time in the future was written by a thread that read the clock a moment later.
    let age = millis(now).saturating_sub(at) as f32;
    (-age / MEMORY.as_millis() as f32).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_counts_at_once_and_a_fall_slowly() {
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        let latency = Latency::default();
        assert_eq!(latency.at(at(1)), 0.0);
        latency.learn(Duration::from_millis(10), at(1));
        latency.learn(Duration::from_millis(200), at(1));
        assert!((latency.at(at(1)) - 0.2).abs() < 1e-6, "the peak");
        latency.learn(Duration::from_millis(10), at(1));
        assert!((latency.at(at(1)) - 0.2).abs() < 1e-6, "one good answer is no proof");
        latency.learn(Duration::from_millis(10), at(11));
        let later = latency.at(at(11));
        assert!((0.075..0.085).contains(&later), "{later}");
        assert!(latency.at(at(60)) < 0.001, "without calls it is forgotten, so that it is called again");
    }
}

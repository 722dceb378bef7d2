//! Instances that have just started and take calls little by little: empty caches and cold code would
//! make the first ones slow, and their full share of them would fail.

use std::time::Duration;

use identity::Mono;
use wire::native::channel::WarmUp;

/// From nothing to its full share, evenly over a time, by the proxy's own clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ramp {
    /// When it takes its full share.
    ends: Mono,
    over: Duration,
}

impl Ramp {
    /// A warm-up of which was heard `now`.
    pub(crate) fn new(warm_up: WarmUp, now: Mono) -> Self {
        Self { ends: now + warm_up.over.saturating_sub(warm_up.elapsed), over: warm_up.over }
    }

    /// The part of its share that it takes.
    pub(crate) fn at(&self, now: Mono) -> f64 {
        1.0 - self.ends.since(now).as_secs_f64() / self.over.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_goes_on_from_where_it_was_when_it_was_heard_of() {
        let second = Duration::from_secs(1);
        let ramp = Ramp::new(WarmUp { elapsed: 2 * second, over: 10 * second }, Mono(5_000_000_000));
        let at = |seconds: u64| (ramp.at(Mono(seconds * 1_000_000_000)) * 100.0).round();
        assert_eq!([at(5), at(9), at(13), at(99)], [20.0, 60.0, 100.0, 100.0]);
    }
}

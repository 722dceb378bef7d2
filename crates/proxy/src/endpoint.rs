//! One instance as this proxy calls it: where it is, what is under way there, how it has been doing.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use identity::{InstanceId, Mono};
use registry::Host;
use tokio::sync::Notify;

use crate::{latency::Latency, meter::Meter, outlier::Outlier, pool::Pool};

/// An endpoint. It stays the same value as long as the instance keeps its address, through changes of
/// its status and of its neighbours.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) instance: InstanceId,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) pool: Pool,
    pub(crate) meter: Meter,
    pub(crate) outlier: Outlier,
    in_flight: AtomicU32,
    was_called: AtomicBool,
    /// Whether calls are sent here.
    seated: AtomicBool,
    /// Whether it is known only from an earlier run, and has not accepted a connection since.
    doubted: AtomicBool,
    /// Rung when the last call has ended where none is sent any more.
    bell: Arc<Notify>,
    pub(crate) latency: Latency,
    penalty: Penalty,
}

impl Endpoint {
    pub(crate) fn new(
        instance: InstanceId,
        host: Host,
        port: u16,
        pool: Pool,
        meter: Meter,
        outlier: Outlier,
        bell: Arc<Notify>,
    ) -> Self {
        Self {
            instance,
            host,
            port,
            pool,
            meter,
            outlier,
            in_flight: AtomicU32::new(0),
            was_called: AtomicBool::new(false),
            seated: AtomicBool::new(true),
            doubted: AtomicBool::new(false),
            bell,
            latency: Latency::default(),
            penalty: Penalty::default(),
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(SeqCst)
    }

    pub(crate) fn was_called(&self) -> bool {
        self.was_called.load(Relaxed)
    }

    /// Says whether calls are sent here from now on, and answers whether that is news. Where none are, no
    /// idle connection is kept either.
    pub(crate) fn seat(&self, seated: bool) -> bool {
        // In one order with the end of calls, so that either the last one rings or its end is seen.
        let news = self.seated.swap(seated, SeqCst) != seated;
        if news {
            self.pool.close(!seated);
        }
        news
    }

    /// Says whether it is doubted that it is there.
    pub(crate) fn doubt(&self, doubted: bool) {
        self.doubted.store(doubted, Relaxed);
    }

    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted.load(Relaxed)
    }

    /// Counts one attempt more as under way, unless there are `most` already.
    pub(crate) fn occupy(self: &Arc<Self>, most: u32) -> Option<Occupied> {
        let next = |in_flight| (in_flight < most).then_some(in_flight + 1);
        self.in_flight.fetch_update(SeqCst, Relaxed, next).ok()?;
        if !self.was_called() {
            self.was_called.store(true, Relaxed);
        }
        Some(Occupied(self.clone()))
    }

    /// Takes in how an attempt ended.
    pub(crate) fn learn(&self, failed: bool, now: Mono) {
        self.penalty.learn(failed, now);
    }

    /// It has shown that it is well again: what it did before is not held against it.
    pub(crate) fn forgive(&self) {
        self.penalty.word.store(0, Relaxed);
    }

    /// How much there is against sending a call here: how long it would take behind those that are under
    /// way, made heavier by failures.
    pub(crate) fn load(&self, now: Mono) -> f64 {
        let takes = LEAST_LATENCY + self.latency.at(now);
        (f64::from(self.in_flight()) + 1.0) * takes * (1.0 + self.penalty.at(now))
    }
}

/// An attempt under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Occupied(Arc<Endpoint>);

impl Occupied {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, SeqCst) == 1 && !self.0.seated.load(SeqCst) {
            self.0.bell.notify_one();
        }
    }
}

/// Seconds that are added to every latency, so that what differs by less is as good as equal.
const LEAST_LATENCY: f64 = 0.001;

/// What the failures of late weigh.
///
/// An instance that answers errors at once always has the fewest calls under way, and would draw all
/// traffic to itself. Each failure weighs as much as ten calls in flight, and is forgotten in a fraction of
/// a second: long enough not to draw more than a few calls, and no longer, because what takes an endpoint
/// out for good is [`Outlier`], and it has to see the next failure to know.
#[derive(Debug, Default)]
struct Penalty {
    /// Milliseconds of the monotonic clock (high 32 bits) and an `f32` (low).
    word: AtomicU64,
}

const WEIGHT: f32 = 10.0;
const HEAVIEST: f32 = 100.0;
/// How much of it a success leaves.
const SUCCESS_LEAVES: f32 = 0.8;
/// In this time without calls it falls to 37 %.
const MEMORY: Duration = Duration::from_millis(30);
/// Below this it is nothing, so that an idle endpoint is drawn again.
const NOTHING: f32 = 0.2;

impl Penalty {
    fn at(&self, now: Mono) -> f64 {
        f64::from(decayed(self.word.load(Relaxed), now))
    }

    fn learn(&self, failed: bool, now: Mono) {
        // A healthy endpoint has no penalty, and then nothing is written.
        if !failed && self.word.load(Relaxed) as u32 == 0 {
            return;
        }
        let _ = self.word.fetch_update(Relaxed, Relaxed, |word| {
            let before = decayed(word, now);
            let after = if failed { (before + WEIGHT).min(HEAVIEST) } else { before * SUCCESS_LEAVES };
            Some(millis(now) << 32 | u64::from(after.to_bits()))
        });
    }
}

fn millis(now: Mono) -> u64 {
    (now.0 / 1_000_000) & 0xffff_ffff
}

fn decayed(word: u64, now: Mono) -> f32 {
    let value = f32::from_bits(word as u32);
    if value == 0.0 {
        return 0.0;
    }
    // A word from the future was written by a thread that read the clock a moment later.
    let age = millis(now).saturating_sub(word >> 32) as f32;
    let left = value * (-age / MEMORY.as_millis() as f32).exp();
    if left < NOTHING { 0.0 } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_weigh_successes_and_time_heal() {
        let at = |millis: u64| Mono(millis * 1_000_000);
        let penalty = Penalty::default();
        penalty.learn(false, at(1_000));
        assert_eq!(penalty.at(at(1_000)), 0.0);
        penalty.learn(true, at(1_000));
        assert_eq!(penalty.at(at(1_000)), 10.0);
        assert!((3.6..3.8).contains(&penalty.at(at(1_030))));
        assert_eq!(penalty.at(at(1_200)), 0.0, "it is drawn again like the others");
        penalty.learn(false, at(1_000));
        assert!((penalty.at(at(1_000)) - 8.0).abs() < 1e-5);
        for _ in 0..1_000 {
            penalty.learn(true, at(2_000));
        }
        assert_eq!(penalty.at(at(2_000)), 100.0);
        for _ in 0..100 {
            penalty.learn(false, at(2_000));
        }
        assert_eq!(penalty.at(at(2_000)), 0.0);
    }
}

//! What happened lately: calls, failures and slow calls, by time or by number.
//!
//! The window by time has [`BUCKETS`] buckets in [`SHARDS`] shards; a thread keeps to one shard, so
//! that two cores do not fight over a line of cache. A bucket carries the epoch and the number of its
//! stretch of time in the same word as its count: whoever comes first in a new stretch begins the
//! bucket anew, whoever comes late or from an older epoch changes nothing, and a window that nobody
//! writes to expires by itself. Nothing is summed but when a failure or a slow call asks.
//!
//! The window by number is a true ring: each call takes the place of the oldest. Its order cannot be
//! had without agreeing on it, so it takes a short lock.

use std::{
    cell::Cell as Local,
    sync::{
        OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use identity::Mono;

use crate::sync::{AtomicU64, Mutex, MutexGuard};

/// Which calls a rate is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Those of this long.
    Time(Duration),
    /// This many, at most [`WINDOW_CALLS_MAX`].
    Calls(u32),
}

/// The largest window by number of calls.
pub const WINDOW_CALLS_MAX: u32 = 1024;
/// Stretches that a window by time is divided into; the oldest leaves as a whole.
pub const BUCKETS: u64 = 10;
/// Cores that can count at once without waiting for each other.
const SHARDS: usize = 4;

/// What a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowCounts {
    /// Calls that ended as success or failure, or were cancelled when they were slow already.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow.
    pub slow: u64,
}

/// One call, as a window sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

/// Everything that is counted: totals for ever, and what a window asks for.
#[derive(Debug)]
pub(crate) struct Tally {
    shards: [Shard; SHARDS],
    /// Made with the first call of a window by number.
    ring: OnceLock<Box<Mutex<Ring>>>,
}

/// On lines of cache of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    successes: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
    buckets: [Bucket; BUCKETS as usize],
}

/// A stretch of time. Each word holds a tag (32 bits, high) and a count (32).
#[derive(Debug, Default)]
struct Bucket {
    calls: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
}

/// The totals of a breaker's life.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

static THREADS: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    /// The shard of this thread. Which one it is changes no result.
    static HOME: Local<usize> = const { Local::new(usize::MAX) };
}

#[inline]
fn home() -> usize {
    // Where every order is tried, threads meet in one shard, or there is nothing to try.
    if cfg!(interleavings) {
        return 0;
    }
    HOME.with(|home| {
        if home.get() == usize::MAX {
            home.set(THREADS.fetch_add(1, Relaxed) % SHARDS);
        }
        home.get()
    })
}

/// The epoch's low 8 bits and the stretch's low 24. It comes again after 256 epochs or 2^24 stretches,
/// which for a window of a second is nineteen days: by then nobody remembers.
#[inline]
fn tag(epoch: u32, stretch: u64) -> u32 {
    epoch << 24 | (stretch as u32 & 0xff_ffff)
}

/// Whether a bucket is already in use for what comes after `ours`: by a thread that is a little ahead.
/// Anything further away is of the past, however the numbers have wrapped.
fn is_ahead(theirs: u32, ours: u32) -> bool {
    let epochs = ((theirs >> 24) as u8).wrapping_sub((ours >> 24) as u8);
    let stretches = theirs.wrapping_sub(ours) & 0xff_ffff;
    match epochs {
        0 => (1..=2 * BUCKETS as u32).contains(&stretches),
        _ => epochs <= 4,
    }
}

#[inline]
fn add(count: &AtomicU64, tag: u32) {
    let mut word = count.load(Relaxed);
    loop {
        let theirs = (word >> 32) as u32;
        let next = if theirs == tag {
            // A full count stays full rather than reach into the tag.
            if word as u32 == u32::MAX { word } else { word + 1 }
        } else if word != 0 && is_ahead(theirs, tag) {
            return;
        } else {
            u64::from(tag) << 32 | 1
        };
        match count.compare_exchange_weak(word, next, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(other) => word = other,
        }
    }
}

fn held(count: &AtomicU64, tag: u32) -> u64 {
    let word = count.load(Relaxed);
    if (word >> 32) as u32 == tag { word & u64::from(u32::MAX) } else { 0 }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { shards: Default::default(), ring: OnceLock::new() }
    }

    /// Counts the end of a call for ever.
    #[inline]
    pub(crate) fn count(&self, success: bool, failure: bool, slow: bool) {
        let shard = &self.shards[home()];
        if success {
            shard.successes.fetch_add(1, Relaxed);
        }
        if failure {
            shard.failures.fetch_add(1, Relaxed);
        }
        if slow {
            shard.slow.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        self.shards.iter().fold(Totals::default(), |sum, shard| Totals {
            successes: sum.successes + shard.successes.load(Relaxed),
            failures: sum.failures + shard.failures.load(Relaxed),
            slow: sum.slow + shard.slow.load(Relaxed),
        })
    }

    /// Takes a call into the window.
    #[inline]
    pub(crate) fn record(&self, window: Window, epoch: u32, now: Mono, sample: Sample) {
        match window {
            Window::Time(length) => {
                let stretch = stretch(length, now);
                let tag = tag(epoch, stretch);
                let bucket = &self.shards[home()].buckets[(stretch % BUCKETS) as usize];
                add(&bucket.calls, tag);
                if sample.failed {
                    add(&bucket.failures, tag);
                }
                if sample.slow {
                    add(&bucket.slow, tag);
                }
            }
            Window::Calls(size) => self.ring().record(size, epoch, sample),
        }
    }

    /// What the window holds.
    pub(crate) fn window(&self, window: Window, epoch: u32, now: Mono) -> WindowCounts {
        match window {
            Window::Time(length) => self.sum(stretch(length, now), epoch),
            Window::Calls(size) => match self.ring.get() {
                Some(_) => self.ring().counts(size, epoch),
                None => WindowCounts::default(),
            },
        }
    }

    fn sum(&self, latest: u64, epoch: u32) -> WindowCounts {
        let mut sum = WindowCounts::default();
        let first = latest.saturating_sub(BUCKETS - 1);
        for stretch in first..=latest {
            let (tag, at) = (tag(epoch, stretch), (stretch % BUCKETS) as usize);
            for bucket in self.shards.iter().map(|shard| &shard.buckets[at]) {
                sum.calls += held(&bucket.calls, tag);
                sum.failures += held(&bucket.failures, tag);
                sum.slow += held(&bucket.slow, tag);
            }
        }
        sum
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        let ring = self.ring.get_or_init(|| Box::new(Mutex::new(Ring::default())));
        ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the stretch of time that this moment lies in.
#[inline]
fn stretch(length: Duration, now: Mono) -> u64 {
    let width = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) / BUCKETS;
    now.0 / width.max(1)
}

/// The last calls, one after the other, two bits each.
#[derive(Debug, Default)]
struct Ring {
    epoch: u32,
    size: u32,
    next: u32,
    counts: WindowCounts,
    bits: [u64; WINDOW_CALLS_MAX as usize / 32],
}

impl Ring {
    fn record(&mut self, size: u32, epoch: u32, sample: Sample) {
        let size = size.clamp(1, WINDOW_CALLS_MAX);
        let ahead = epoch.wrapping_sub(self.epoch);
        if ahead > u32::MAX / 2 {
            return;
        }
        if ahead > 0 || size != self.size {
            *self = Ring { epoch, size, ..Ring::default() };
        }
        let (word, shift) = ((self.next / 32) as usize, self.next % 32 * 2);
        if self.counts.calls == u64::from(size) {
            let oldest = self.bits[word] >> shift;
            self.counts.calls -= 1;
            self.counts.failures -= oldest >> 1 & 1;
            self.counts.slow -= oldest & 1;
        }
        let bits = u64::from(sample.failed) << 1 | u64::from(sample.slow);
        self.bits[word] = self.bits[word] & !(0b11 << shift) | bits << shift;
        self.counts.calls += 1;
        self.counts.failures += u64::from(sample.failed);
        self.counts.slow += u64::from(sample.slow);
        self.next = (self.next + 1) % size;
    }

    fn counts(&self, size: u32, epoch: u32) -> WindowCounts {
        if self.epoch == epoch && self.size == size.clamp(1, WINDOW_CALLS_MAX) {
            self.counts
        } else {
            WindowCounts::default()
        }
    }
}

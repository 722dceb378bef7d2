//! Rate limits by the generic cell rate algorithm (ITU-T I.371): one number, the theoretical arrival
//! time, says all there is to say of the past.
//!
//! A bucket of tokens would need a count, a time and someone who fills it. Here a call that comes
//! before its theoretical time less the burst is refused, and is told exactly how long to wait.

use std::{
    collections::HashMap,
    sync::{PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use identity::{Invalid, Mono};

use crate::{
    HashKey,
    policy::{check_duration, check_number},
    sync::{AtomicU64, Mutex},
};

/// A limit, and what it is counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// How many in how much time.
    pub rate: RatePolicy,
    /// Each of these has the rate for itself; `None` for all calls together. Each proxy counts for itself.
    pub by: Option<LimitKey>,
}

/// What a limit is counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// The calling service.
    Caller,
    /// A part of the request. Calls without it have one rate in common.
    Request(HashKey),
}

/// The most rate limits of one policy: a call asks each of them.
pub const RATE_LIMITS_MAX: usize = 8;

impl RateLimitPolicy {
    /// Checks every part.
    ///
    /// # Errors
    /// The first field that breaks its rule, by its path.
    pub fn check(&self) -> Result<(), Invalid> {
        self.rate.check()?;
        match &self.by {
            Some(LimitKey::Request(key)) => key.check(),
            Some(LimitKey::Caller) | None => Ok(()),
        }
    }
}

/// So many calls in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatePolicy {
    /// How many.
    pub calls: u32,
    /// In how much time; they are spread over it evenly.
    pub per: Duration,
    /// How many may come at once after a pause, at least one.
    pub burst: u32,
}

impl RatePolicy {
    /// Checks every part.
    ///
    /// # Errors
    /// The first field that breaks its rule, by its path.
    pub fn check(&self) -> Result<(), Invalid> {
        check_number("rate_limits.calls", self.calls, 1..=1_000_000_000, "1 to 1000000000")?;
        check_number("rate_limits.burst", self.burst, 1..=1_000_000, "1 to 1000000")?;
        check_duration("rate_limits.per", self.per)
    }

    /// From one call to the next, in nanoseconds.
    fn interval(&self) -> u64 {
        let interval = self.per.as_nanos() / u128::from(self.calls.max(1));
        u64::try_from(interval).unwrap_or(u64::MAX).max(1)
    }
}

/// The rate limit of one stream of calls.
///
/// ```
/// use std::time::Duration;
/// use identity::Mono;
/// use resilience::{RateLimit, RatePolicy};
///
/// let policy = RatePolicy { calls: 10, per: Duration::from_secs(1), burst: 2 };
/// let limit = RateLimit::default();
/// assert_eq!([limit.take(&policy, Mono(0)), limit.take(&policy, Mono(0))], [Ok(()), Ok(())]);
/// assert_eq!(limit.take(&policy, Mono(0)), Err(Duration::from_millis(100)));
/// assert_eq!(limit.take(&policy, Mono(100_000_000)), Ok(()));
/// ```
#[derive(Debug, Default)]
pub struct RateLimit {
    /// When the next call would come if all came evenly.
    arrival: AtomicU64,
}

impl RateLimit {
    /// Whether one more call is within the rate; if so it is counted.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, policy: &RatePolicy, now: Mono) -> Result<(), Duration> {
        let mut arrival = self.arrival.load(Relaxed);
        loop {
            let next = next(policy, arrival, now)?;
            match self.arrival.compare_exchange_weak(arrival, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => arrival = other,
            }
        }
    }
}

/// The theoretical arrival after one more call.
fn next(policy: &RatePolicy, arrival: u64, now: Mono) -> Result<u64, Duration> {
    let interval = policy.interval();
    let next = arrival.max(now.0).saturating_add(interval);
    let latest = now.0.saturating_add(interval.saturating_mul(policy.burst.max(1).into()));
    if next <= latest { Ok(next) } else { Err(Duration::from_nanos(next - latest)) }
}

/// A rate limit for each key: a caller, a user, an address.
///
/// Keys come from outside, so there are no more than were asked for; each costs its text and some 50
/// bytes. A key that has its whole burst again says nothing and goes when there is no room. Where every
/// key is in use, those that find no room share one limit, and are counted: an attacker with many keys
/// then limits himself and the new ones, and nobody who was there before.
#[derive(Debug)]
pub struct KeyedRateLimit {
    shards: Box<[Mutex<Shard>]>,
    keys_per_shard: usize,
    crowded: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    arrivals: HashMap<Box<[u8]>, u64>,
    /// Of those without a place of their own.
    crowd: u64,
}

const SHARDS: usize = 16;

impl KeyedRateLimit {
    /// Room for about so many keys.
    pub fn new(keys: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            keys_per_shard: keys.div_ceil(SHARDS).max(1),
            crowded: AtomicU64::new(0),
        }
    }

    /// Whether one more call of this key is within the rate; if so it is counted.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, policy: &RatePolicy, key: &[u8], now: Mono) -> Result<(), Duration> {
        let shard = &self.shards[shard_of(key)];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = shard.arrivals.get_mut(key) {
            *arrival = next(policy, *arrival, now)?;
            return Ok(());
        }
        if shard.arrivals.len() >= self.keys_per_shard {
            shard.arrivals.retain(|_, arrival| *arrival > now.0);
        }
        if shard.arrivals.len() >= self.keys_per_shard {
            self.crowded.fetch_add(1, Relaxed);
            shard.crowd = next(policy, shard.crowd, now)?;
            return Ok(());
        }
        shard.arrivals.insert(key.into(), next(policy, 0, now)?);
        Ok(())
    }

    /// How many keys have a place.
    pub fn keys(&self) -> usize {
        let keys = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).arrivals.len();
        self.shards.iter().map(keys).sum()
    }

    /// How many calls found no place for their key.
    pub fn crowded(&self) -> u64 {
        self.crowded.load(Relaxed)
    }
}

/// FNV-1a, folded: spreads what is not meant to harm; what is meant to finds a full shard, which is
/// bounded as well.
fn shard_of(key: &[u8]) -> usize {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ (hash >> 32)) as usize % SHARDS
}

//! Our breaker under each kind of rule, and our rate limit.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use identity::Mono;
use resilience::{Breaker, BreakerPolicy, Outcome, Permit, Rate, RateLimit, RatePolicy, Window};

use super::{BY_NUMBER, BY_TIME, IN_A_ROW, LIMIT, Subject};
use crate::clock;

/// Who has the time already, as a gateway has.
pub(crate) const TOLD: &str = "bellwether, told the time";
/// Who reads the clock for the permit and for the outcome, as peers do.
pub(crate) const CLOCK: &str = "bellwether, with a clock";

pub(crate) fn subjects() -> Vec<Subject> {
    let rates = |window| BreakerPolicy {
        failure_rate: Some(Rate { threshold: 0.5, min_calls: 20 }),
        window,
        ..BreakerPolicy::default()
    };
    let rules = [
        (IN_A_ROW, BreakerPolicy::default()),
        (BY_TIME, rates(Window::Time(Duration::from_secs(10)))),
        (BY_NUMBER, rates(Window::Calls(100))),
    ];
    let mut subjects = Vec::new();
    for (rule, policy) in rules {
        subjects.push(told_the_time(rule, policy.clone()));
        subjects.push(with_a_clock(rule, policy));
    }
    subjects.extend([limit_told_the_time(), limit_with_a_clock()]);
    subjects
}

fn told_the_time(rule: &'static str, policy: BreakerPolicy) -> Subject {
    let world = Arc::new((Breaker::new(1, Mono(1)), policy, AtomicU64::new(1)));
    Subject::new(TOLD, rule, move || {
        let world = world.clone();
        // A thread takes a stretch of time at once, so that threads do not contend for the time.
        move |calls| {
            let (breaker, policy, time) = &*world;
            let from = time.fetch_add(calls * 1_000, Relaxed);
            for call in 0..calls {
                let now = Mono(from + call * 1_000);
                one(breaker, policy, now, || Mono(now.0 + 500));
            }
        }
    })
}

fn with_a_clock(rule: &'static str, policy: BreakerPolicy) -> Subject {
    let world = Arc::new((Breaker::new(1, Mono(1)), policy, clock::now()));
    Subject::new(CLOCK, rule, move || {
        let world = world.clone();
        move |calls| {
            let (breaker, policy, begun) = &*world;
            (0..calls).for_each(|_| one(breaker, policy, since(*begun), || since(*begun)));
        }
    })
}

/// A rate that nobody reaches.
const RATE: RatePolicy = RatePolicy { calls: 1_000_000_000, per: Duration::from_secs(1), burst: 1_000_000 };

fn limit_told_the_time() -> Subject {
    let world = Arc::new((RateLimit::default(), AtomicU64::new(1)));
    Subject::new(TOLD, LIMIT, move || {
        let world = world.clone();
        move |calls| {
            let (limit, time) = &*world;
            let from = time.fetch_add(calls * 1_000, Relaxed);
            for call in 0..calls {
                let _ = black_box(limit.take(&RATE, Mono(from + call * 1_000)));
            }
        }
    })
}

fn limit_with_a_clock() -> Subject {
    let world = Arc::new((RateLimit::default(), clock::now()));
    Subject::new(CLOCK, LIMIT, move || {
        let world = world.clone();
        move |calls| {
            let (limit, begun) = &*world;
            for _ in 0..calls {
                let _ = black_box(limit.take(&RATE, since(*begun)));
            }
        }
    })
}

fn since(begun: Instant) -> Mono {
    Mono(begun.elapsed().as_nanos() as u64)
}

#[inline]
fn one(breaker: &Breaker, policy: &BreakerPolicy, now: Mono, end: impl FnOnce() -> Mono) {
    if let Ok((permit, _)) = Permit::acquire(black_box(breaker), policy, now) {
        black_box(permit.end(policy, Outcome::Success, end()));
    }
}

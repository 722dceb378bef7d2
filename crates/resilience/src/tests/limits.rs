use std::time::Duration;

use proptest::prelude::*;

use super::*;

const RATE: RatePolicy = RatePolicy { calls: 100, per: Duration::from_secs(1), burst: 5 };

#[test]
fn a_rate_spreads_its_calls_and_lets_a_burst_come_at_once() {
    let limit = RateLimit::default();
    let taken = |ms: u64| (0..100).filter(|_| limit.take(&RATE, at(ms)).is_ok()).count();
    assert_eq!([taken(0), taken(9), taken(10), taken(35), taken(10_000)], [5, 0, 1, 2, 5]);
    assert_eq!(limit.take(&RATE, at(10_000)), Err(Duration::from_millis(10)));
}

proptest! {
    #[test]
    fn in_no_stretch_of_time_pass_more_than_rate_and_burst(gaps in prop::collection::vec(0_u64..30, 1..300)) {
        let limit = RateLimit::default();
        let mut now = 0;
        let mut passed = Vec::new();
        for gap in gaps {
            now += gap;
            if limit.take(&RATE, at(now)).is_ok() {
                passed.push(now);
            }
        }
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first) {
                let most = 5 + (to - from) / 10;
                prop_assert!((last - first + 1) as u64 <= most, "{} calls from {from} to {to}", last - first + 1);
            }
        }
    }

    #[test]
    fn whoever_waits_as_long_as_told_passes(times in prop::collection::vec(0_u64..20, 1..100)) {
        let limit = RateLimit::default();
        let mut now = at(0);
        for gap in times {
            now = now + Duration::from_millis(gap);
            if let Err(wait) = limit.take(&RATE, now) {
                prop_assert!(limit.take(&RATE, Mono(now.0 + wait.as_nanos() as u64 - 1)).is_err());
                now = now + wait;
                prop_assert_eq!(limit.take(&RATE, now), Ok(()));
            }
        }
    }

    #[test]
    fn never_are_more_inside_and_nobody_is_overtaken(steps in prop::collection::vec((0_u8..4, 0_u64..60), 1..200)) {
        let policy = ConcurrencyPolicy { limit: 2, queue: 3, wait: Duration::from_millis(100) };
        let mut limit = ConcurrencyLimit::default();
        let (mut inside, mut waiting, mut now) = (0_u32, Vec::<Waiter>::new(), 0);
        for (step, ms) in steps {
            match step {
                0 | 1 => match limit.enter(&policy, at(now)) {
                    Entry::Entered => {
                        prop_assert!(waiting.is_empty() || waiting.iter().all(|w| w.until <= at(now)));
                        inside += 1;
                    }
                    Entry::Waits(waiter) => { waiting.retain(|w| w.until > at(now)); waiting.push(waiter); }
                    Entry::Refused => {
                        waiting.retain(|w| w.until > at(now));
                        prop_assert_eq!(waiting.len(), 3);
                    }
                },
                2 if inside > 0 => {
                    inside -= 1;
                    for entered in limit.leave(&policy, at(now)) {
                        waiting.retain(|w| w.until > at(now));
                        prop_assert_eq!(entered, waiting.remove(0), "the first in the queue");
                        inside += 1;
                    }
                }
                3 if !waiting.is_empty() => {
                    let quits = waiting.remove(ms as usize % waiting.len());
                    prop_assert!(limit.give_up(quits) || quits.until <= at(now));
                    prop_assert!(!limit.give_up(quits));
                }
                _ => now += ms,
            }
            prop_assert!(limit.inside() <= 2);
            prop_assert_eq!(limit.inside(), inside);
        }
    }

    #[test]
    fn a_grpc_timeout_is_read_back_and_never_grows(nanos in any::<u64>()) {
        let left = Duration::from_nanos(nanos);
        let text = format_grpc_timeout(left);
        prop_assert!(text.len() <= 9);
        let read = grpc_timeout(&text).expect("what was written is read");
        prop_assert!(read <= left && left - read <= left / 1_000_000 + Duration::from_nanos(1), "{text}");
    }
}

#[test]
fn keys_have_rates_of_their_own_and_a_bound() {
    let limit = KeyedRateLimit::new(64);
    let take = |key: String, ms: u64| limit.take(&RATE, key.as_bytes(), at(ms));
    for key in 0..10 {
        assert_eq!((0..10).filter(|_| take(format!("k{key}"), 0).is_ok()).count(), 5);
    }
    for key in 0..100_000 {
        let _ = take(format!("attacker-{key}"), 1);
    }
    assert!(limit.keys() <= 64 && limit.crowded() > 90_000);
    assert!(take("k0".into(), 2).is_err(), "who was there before keeps its place and its past");
    assert_eq!(take("new".into(), 60_000), Ok(()), "and those that were silent make room");
}

#[test]
fn what_is_no_grpc_timeout_is_none() {
    for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S", "١S", "S1", "1é"] {
        assert_eq!(grpc_timeout(bad), None, "{bad:?}");
    }
    assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
}

#[test]
fn the_shorter_patience_counts() {
    let second = Duration::from_secs(1);
    let own = Deadline::new(at(0), second, Some(2 * second));
    assert_eq!((own.is_inherited(), own.at()), (false, at(1_000)));
    let inherited = Deadline::new(at(0), 2 * second, Some(second));
    assert_eq!((inherited.is_inherited(), inherited.left(at(1_500))), (true, Duration::ZERO));
}

#[test]
fn a_raised_limit_is_for_those_who_wait_already() {
    let policy = ConcurrencyPolicy { limit: 1, queue: 3, wait: Duration::from_secs(1) };
    let mut limit = ConcurrencyLimit::default();
    assert_eq!(limit.enter(&policy, at(0)), Entry::Entered);
    let Entry::Waits(first) = limit.enter(&policy, at(0)) else { panic!("it waits") };
    let raised = ConcurrencyPolicy { limit: 3, ..policy };
    let Entry::Waits(second) = limit.enter(&raised, at(1)) else { panic!("it does not overtake") };
    assert_eq!(limit.leave(&raised, at(2)), [first, second]);
    assert_eq!((limit.inside(), limit.waiting()), (2, 0));
}

//! Random histories against a reference that is plain enough to be believed.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    /// Ends one of the permits that are under way.
    End(usize, Outcome),
    /// Drops one of them.
    Drop(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Failure),
        2 => Just(Outcome::Success),
        1 => Just(Outcome::Ignored),
        1 => Just(Outcome::Cancelled),
    ];
    prop_oneof![
        6 => Just(Step::Acquire),
        6 => (any::<usize>(), outcome).prop_map(|(index, outcome)| Step::End(index, outcome)),
        1 => any::<usize>().prop_map(Step::Drop),
        2 => (0_u64..400).prop_map(Step::Wait),
    ]
}

const OPEN_FOR: u64 = 500;
const LEASE: u64 = 300;
const PROBES: usize = 2;
const SUCCESSES: u32 = 3;
const SLOW: u64 = 150;
const UNDECIDED: u64 = 700;

/// A call that the window remembers.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    epoch: u32,
    stretch: u64,
    failed: bool,
    slow: bool,
}

/// The specification with everything spelt out: who holds which probe until when, and what was in the
/// window, in lists that are walked each time.
struct Model {
    policy: BreakerPolicy,
    state: State,
    epoch: u32,
    since: u64,
    until: u64,
    relapses: u32,
    failures_in_a_row: u32,
    probes_succeeded: u32,
    probes_failed: u32,
    /// Tickets of probes, with the end of their leases.
    probes: Vec<(u64, u64)>,
    remembered: Vec<Remembered>,
    counts: Counts,
    next_ticket: u64,
}

/// A call under way: its ticket, the epoch that it may move, and when it began.
type Ticket = (u64, Option<u32>, u64);

impl Model {
    fn new(policy: BreakerPolicy) -> Self {
        Self {
            policy,
            state: State::Closed,
            epoch: 0,
            since: 0,
            until: 0,
            relapses: 0,
            failures_in_a_row: 0,
            probes_succeeded: 0,
            probes_failed: 0,
            probes: Vec::new(),
            remembered: Vec::new(),
            counts: Counts::default(),
            next_ticket: 0,
        }
    }

    fn turn(&mut self, state: State, now: u64) {
        let share_decides = self.policy.half_open.close_at.is_some();
        match state {
            State::Open => {
                if self.state == State::Closed {
                    let forgiven = (now - self.since) / OPEN_FOR;
                    self.relapses = self.relapses.saturating_sub(forgiven as u32);
                }
                self.until = now + (OPEN_FOR << self.relapses.min(20)).min(OPEN_FOR * 4);
                self.relapses += 1;
            }
            State::Closed => self.failures_in_a_row = 0,
            State::HalfOpen if share_decides => self.failures_in_a_row = 0,
            _ => {}
        }
        self.state = state;
        self.since = now;
        self.epoch += 1;
        self.probes.clear();
        (self.probes_succeeded, self.probes_failed) = (0, 0);
    }

    /// The ticket, or until when it is refused.
    fn acquire(&mut self, now: u64) -> Result<Ticket, (State, u64)> {
        if self.state == State::Open && now >= self.until {
            self.turn(State::HalfOpen, now);
        }
        let too_long = self.policy.half_open.max.is_some() && now >= self.since + UNDECIDED;
        if self.state == State::HalfOpen && too_long {
            self.turn(State::Open, now);
        }
        self.next_ticket += 1;
        let refused = match self.state {
            State::Open => Some(self.until),
            State::HalfOpen => {
                self.probes.retain(|(_, ends)| *ends > now);
                if self.probes.len() == PROBES {
                    self.probes.iter().map(|(_, ends)| *ends).min()
                } else {
                    self.probes.push((self.next_ticket, now + LEASE));
                    None
                }
            }
            _ => None,
        };
        let Some(until) = refused else { return Ok((self.next_ticket, Some(self.epoch), now)) };
        self.counts.refused += 1;
        if self.policy.mode == Mode::Shadow {
            return Ok((self.next_ticket, None, now));
        }
        Err((self.state, until))
    }

    /// Gives a probe's place back; tells whether its lease had lasted.
    fn leave(&mut self, ticket: u64, now: u64) -> bool {
        let held = self.probes.iter().any(|(holder, ends)| *holder == ticket && *ends > now);
        self.probes.retain(|(holder, _)| *holder != ticket);
        held
    }

    fn width(&self) -> u64 {
        match self.policy.window {
            Window::Time(length) => length.as_millis() as u64 / BUCKETS,
            Window::Calls(_) => 1,
        }
    }

    fn window(&self, now: u64) -> WindowCounts {
        let of_epoch: Vec<_> = self.remembered.iter().filter(|of| of.epoch == self.epoch).collect();
        let within: Vec<_> = match self.policy.window {
            Window::Time(_) => {
                let latest = now / self.width();
                of_epoch.into_iter().filter(|of| of.stretch + BUCKETS > latest).collect()
            }
            Window::Calls(size) => of_epoch.into_iter().rev().take(size as usize).collect(),
        };
        WindowCounts {
            calls: within.len() as u64,
            failures: within.iter().filter(|of| of.failed).count() as u64,
            slow: within.iter().filter(|of| of.slow).count() as u64,
        }
    }

    fn rates_open(&self, now: u64) -> bool {
        let window = self.window(now);
        let reached = |rate: Option<Rate>, count: u64| {
            rate.is_some_and(|rate| {
                let least = match self.policy.window {
                    Window::Calls(size) => rate.min_calls.min(size),
                    Window::Time(_) => rate.min_calls,
                };
                window.calls >= u64::from(least) && count as f64 >= rate.threshold * window.calls as f64
            })
        };
        reached(self.policy.failure_rate, window.failures) || reached(self.policy.slow_call_rate, window.slow)
    }

    fn end(&mut self, (ticket, epoch, began): Ticket, outcome: Outcome, now: u64) {
        let held = self.leave(ticket, now);
        let slow = self.policy.slow_after.is_some() && now - began > SLOW;
        let failed = outcome == Outcome::Failure;
        self.counts.slow += u64::from(slow);
        self.counts.failures += u64::from(failed);
        self.counts.successes += u64::from(outcome == Outcome::Success);
        let is_sample = match outcome {
            Outcome::Success | Outcome::Failure => true,
            Outcome::Cancelled => slow,
            Outcome::Ignored => false,
        };
        if epoch != Some(self.epoch) || !is_sample {
            return;
        }
        match self.state {
            State::Closed => {
                let stretch = now / self.width();
                self.remembered.push(Remembered { epoch: self.epoch, stretch, failed, slow });
                self.failures_in_a_row = match outcome {
                    Outcome::Failure => self.failures_in_a_row + 1,
                    Outcome::Success => 0,
                    _ => self.failures_in_a_row,
                };
                let in_a_row = self.policy.consecutive_failures.is_some_and(|of| self.failures_in_a_row > of);
                if (failed || slow) && (in_a_row || self.rates_open(now)) {
                    self.turn(State::Open, now);
                }
            }
            State::HalfOpen => {
                let bad = failed || (slow && self.policy.slow_call_rate.is_some());
                if bad || outcome == Outcome::Success {
                    self.decide(bad, held, now);
                }
            }
            _ => {}
        }
    }

    fn decide(&mut self, bad: bool, held: bool, now: u64) {
        if bad {
            self.probes_failed += 1;
            self.failures_in_a_row += 1;
        } else if held {
            self.probes_succeeded += 1;
            if self.policy.half_open.close_at.is_none() {
                self.failures_in_a_row = 0;
            }
        } else {
            return;
        }
        let ended = self.probes_succeeded + self.probes_failed;
        match self.policy.half_open.close_at {
            None if bad => self.turn(State::Open, now),
            None if self.probes_succeeded == SUCCESSES => self.turn(State::Closed, now),
            Some(share) if ended >= SUCCESSES => {
                let closes = f64::from(self.probes_succeeded) >= share * f64::from(ended);
                self.turn(if closes { State::Closed } else { State::Open }, now);
            }
            _ => {}
        }
    }
}

fn policy() -> impl Strategy<Value = BreakerPolicy> {
    let ms = Duration::from_millis;
    let rate = || {
        prop::option::of(
            (1..=4_u32, 1..8_u32)
                .prop_map(|(quarters, min_calls)| Rate { threshold: f64::from(quarters) / 4.0, min_calls }),
        )
    };
    let window = prop_oneof![
        (1..6_u32).prop_map(Window::Calls),
        (1..8_u64).prop_map(move |hundreds| Window::Time(ms(hundreds * 100))),
    ];
    let half_open =
        (prop::option::of(1..=4_u32), any::<bool>()).prop_map(move |(quarters, is_bounded)| HalfOpen {
            probes: PROBES as u32,
            successes: SUCCESSES,
            close_at: quarters.map(|quarters| f64::from(quarters) / 4.0),
            lease: ms(LEASE),
            max: is_bounded.then(|| ms(UNDECIDED)),
        });
    let mode = prop_oneof![3 => Just(Mode::Enforce), 1 => Just(Mode::Shadow)];
    (mode, prop::option::of(1..4_u32), rate(), rate(), any::<bool>(), window, half_open).prop_map(
        move |(mode, consecutive_failures, failure_rate, slow_call_rate, counts_slow, window, half_open)| {
            BreakerPolicy {
                mode,
                consecutive_failures,
                failure_rate,
                slow_call_rate: slow_call_rate.filter(|_| counts_slow),
                slow_after: counts_slow.then(|| ms(SLOW)),
                window,
                open_for: OpenFor { base: ms(OPEN_FOR), multiplier: 2.0, max: ms(OPEN_FOR * 4), jitter: 0.0 },
                half_open,
                ramp: None,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_reference_does(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let breaker = Breaker::new(3, at(0));
        let mut model = Model::new(policy.clone());
        let mut under_way = Vec::new();
        let mut now = 1;
        for step in steps {
            let (state, epoch) = (model.state, model.epoch);
            let transition = match step {
                Step::Wait(ms) => { now += ms; None }
                Step::Acquire => match (Permit::acquire(&breaker, &policy, at(now)), model.acquire(now)) {
                    (Ok((permit, begun)), Ok(ticket)) => { under_way.push((permit, ticket)); begun }
                    (Err(refused), Err((state, until))) => {
                        prop_assert_eq!((refused.state, refused.until), (state, at(until)));
                        refused.transition
                    }
                    (real, expected) => return Err(TestCaseError::fail(format!("{real:?} for {expected:?}"))),
                },
                Step::End(index, outcome) if !under_way.is_empty() => {
                    let (permit, ticket) = under_way.swap_remove(index % under_way.len());
                    model.end(ticket, outcome, now);
                    permit.end(&policy, outcome, at(now))
                }
                Step::Drop(index) if !under_way.is_empty() => {
                    let (permit, ticket) = under_way.swap_remove(index % under_way.len());
                    model.leave(ticket.0, now);
                    drop(permit);
                    None
                }
                Step::End(..) | Step::Drop(_) => None,
            };
            let expected = (epoch != model.epoch).then_some((state, model.state, model.epoch));
            prop_assert_eq!(transition.map(|t| (t.from, t.to, t.epoch)), expected);
            let snapshot = breaker.snapshot();
            prop_assert_eq!((snapshot.state, snapshot.epoch), (model.state, model.epoch));
            model.counts.consecutive_failures = u64::from(model.failures_in_a_row);
            prop_assert_eq!(snapshot.counts, model.counts);
            if policy.failure_rate.is_some() || policy.slow_call_rate.is_some() {
                prop_assert_eq!(breaker.window(&policy, at(now)), model.window(now));
            }
        }
    }
}

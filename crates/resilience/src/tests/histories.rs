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

const THRESHOLD: u32 = 2;
const OPEN_FOR: u64 = 500;
const LEASE: u64 = 300;
const PROBES: usize = 2;
const SUCCESSES: usize = 3;

/// The specification with everything spelt out: who holds which probe until when, in a list.
struct Model {
    state: State,
    epoch: u32,
    until: u64,
    failures_in_a_row: u32,
    probes_succeeded: usize,
    /// Tickets of probes, with the end of their leases.
    probes: Vec<(u64, u64)>,
    counts: Counts,
    next_ticket: u64,
}

impl Model {
    fn turn(&mut self, state: State, now: u64) {
        self.state = state;
        self.epoch += 1;
        self.probes.clear();
        self.probes_succeeded = 0;
        match state {
            State::Open => self.until = now + OPEN_FOR,
            State::Closed => self.failures_in_a_row = 0,
            _ => {}
        }
    }

    /// The ticket and its epoch, or until when it is refused.
    fn acquire(&mut self, now: u64) -> Result<(u64, u32), u64> {
        if self.state == State::Open && now >= self.until {
            self.turn(State::HalfOpen, now);
        }
        self.next_ticket += 1;
        match self.state {
            State::Open => {
                self.counts.refused += 1;
                return Err(self.until);
            }
            State::HalfOpen => {
                self.probes.retain(|(_, ends)| *ends > now);
                if self.probes.len() == PROBES {
                    self.counts.refused += 1;
                    return Err(self.probes.iter().map(|(_, ends)| *ends).min().unwrap_or_default());
                }
                self.probes.push((self.next_ticket, now + LEASE));
            }
            _ => {}
        }
        Ok((self.next_ticket, self.epoch))
    }

    /// Gives a probe's place back; tells whether its lease had lasted.
    fn leave(&mut self, ticket: u64, now: u64) -> bool {
        let held = self.probes.iter().any(|(holder, ends)| *holder == ticket && *ends > now);
        self.probes.retain(|(holder, _)| *holder != ticket);
        held
    }

    fn end(&mut self, (ticket, epoch): (u64, u32), outcome: Outcome, now: u64) {
        let held = self.leave(ticket, now);
        match outcome {
            Outcome::Success => self.counts.successes += 1,
            Outcome::Failure => self.counts.failures += 1,
            _ => return,
        }
        if epoch != self.epoch {
            return;
        }
        match (self.state, outcome) {
            (State::Closed, Outcome::Success) => self.failures_in_a_row = 0,
            (State::HalfOpen, Outcome::Success) if held => {
                self.failures_in_a_row = 0;
                self.probes_succeeded += 1;
                if self.probes_succeeded == SUCCESSES {
                    self.turn(State::Closed, now);
                }
            }
            (_, Outcome::Failure) => {
                self.failures_in_a_row += 1;
                if self.state == State::HalfOpen || self.failures_in_a_row > THRESHOLD {
                    self.turn(State::Open, now);
                }
            }
            _ => {}
        }
    }
}

fn policy() -> BreakerPolicy {
    let ms = Duration::from_millis;
    BreakerPolicy {
        consecutive_failures: THRESHOLD,
        open_for: OpenFor { base: ms(OPEN_FOR), ..OpenFor::default() },
        half_open: HalfOpen { probes: PROBES as u32, successes: SUCCESSES as u32, lease: ms(LEASE) },
        slow_after: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_reference_does(steps in prop::collection::vec(step(), 1..120)) {
        let policy = policy();
        let breaker = Breaker::new(3, at(0));
        let mut model = Model {
            state: State::Closed, epoch: 0, until: 0, failures_in_a_row: 0, probes_succeeded: 0,
            probes: Vec::new(), counts: Counts::default(), next_ticket: 0,
        };
        let mut under_way = Vec::new();
        let mut now = 1;
        for step in steps {
            let (state, epoch) = (model.state, model.epoch);
            let transition = match step {
                Step::Wait(ms) => { now += ms; None }
                Step::Acquire => match (Permit::acquire(&breaker, &policy, at(now)), model.acquire(now)) {
                    (Ok((permit, begun)), Ok(ticket)) => { under_way.push((permit, ticket)); begun }
                    (Err(refused), Err(until)) => {
                        prop_assert_eq!(refused, Refused { state: model.state, until: at(until) });
                        None
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
        }
    }
}

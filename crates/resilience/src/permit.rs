//! Leave to make one call.

use std::{ops::Deref, sync::atomic::Ordering::*, time::Duration};

use identity::Mono;

use crate::{Breaker, BreakerPolicy, Mode, Outcome, Reason, State, Transition, word::Word};

/// No permit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the circuit breaker is {state}")]
pub struct Refused {
    /// The state that refuses.
    pub state: State,
    /// When another try may get a permit: the end of `open_for`, of the first probe's lease, or of the
    /// ramp.
    pub until: Mono,
    /// The transition that the refusal caused, which is rare: probes that did not decide in time.
    pub transition: Option<Box<Transition>>,
}

/// Leave to make one call, held by `H`: a reference to the breaker, or an `Arc` of it.
///
/// It ends exactly once, with [`end`](Permit::end). Dropped, it counts as cancelled, and the slot that a
/// probe holds is free again either way.
#[derive(Debug)]
pub struct Permit<H: Deref<Target = Breaker>> {
    breaker: H,
    ticket: Ticket,
    ended: bool,
}

/// What a permit remembers.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// `None` for a call that moves nothing: of a disabled breaker, or one that only a shadow let pass.
    pub(crate) epoch: Option<u32>,
    pub(crate) began: Mono,
    pub(crate) probe: Option<Probe>,
    /// Whether it is counted at all.
    pub(crate) counts: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl Ticket {
    /// Of a call that is counted and no probe.
    fn new(epoch: Option<u32>, began: Mono) -> Self {
        Self { epoch, began, probe: None, counts: true, retry_after: None }
    }
}

/// A place among the few that decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) slot: usize,
    pub(crate) lease_ends: u64,
}

/// A call that may pass.
pub(crate) struct Admitted {
    epoch: u32,
    probe: Option<Probe>,
    transition: Option<Box<Transition>>,
    counts: bool,
}

/// The least share of calls that a ramp lets pass: with less it could not go on.
const RAMP_MIN: f64 = 0.1;

impl<H: Deref<Target = Breaker>> Permit<H> {
    /// Asks for a permit. The one who asks first after `open_for` gets the first probe, together with
    /// the transition to half-open.
    ///
    /// # Errors
    /// [`Refused`] while the breaker is open, while it is half-open with all probes under way, and by
    /// lot while it ramps up. A shadow and a disabled breaker refuse nothing, unless an operator has
    /// forced them open.
    #[inline]
    pub fn acquire(
        breaker: H,
        policy: &BreakerPolicy,
        now: Mono,
    ) -> Result<(Self, Option<Box<Transition>>), Refused> {
        let word = breaker.word();
        if word.state == State::Closed {
            let ticket =
                Ticket { counts: policy.mode != Mode::Disabled, ..Ticket::new(Some(word.epoch), now) };
            return Ok((Self { breaker, ticket, ended: false }, None));
        }
        Self::acquire_guarded(breaker, policy, word, now)
    }

    /// Where the state has something to say.
    #[cold]
    fn acquire_guarded(
        breaker: H,
        policy: &BreakerPolicy,
        word: Word,
        now: Mono,
    ) -> Result<(Self, Option<Box<Transition>>), Refused> {
        let (ticket, transition) = match (policy.mode, breaker.admit(policy, word, now)) {
            (Mode::Disabled, Ok(Admitted { transition, .. })) => {
                (Ticket { counts: false, ..Ticket::new(None, now) }, transition)
            }
            (_, Ok(Admitted { epoch, probe, transition, counts })) => {
                (Ticket { probe, counts, ..Ticket::new(Some(epoch), now) }, transition)
            }
            (Mode::Shadow, Err(refused)) if !refused.state.is_forced() => {
                (Ticket::new(None, now), refused.transition)
            }
            (_, Err(refused)) => return Err(refused),
        };
        Ok((Self { breaker, ticket, ended: false }, transition))
    }

    /// Whether this call is one of the few that decide about a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.ticket.probe.is_some()
    }

    /// The callee asked for this much patience. If the call opens the breaker, it stays open for at
    /// least as long, within the policy's cap.
    pub fn retry_after(&mut self, patience: Duration) {
        self.ticket.retry_after = Some(patience);
    }

    /// Says how the call ended, and answers with the transition that this caused, if any.
    #[inline]
    pub fn end(self, policy: &BreakerPolicy, outcome: Outcome, now: Mono) -> Option<Box<Transition>> {
        self.end_if(policy, outcome, now, || true)
    }

    /// As [`end`](Permit::end), but a closed breaker opens only where `may_open` agrees: the guards of
    /// outlier detection. It is asked when a rule would open, and again at the next failure.
    #[inline]
    pub fn end_if(
        mut self,
        policy: &BreakerPolicy,
        outcome: Outcome,
        now: Mono,
        may_open: impl FnOnce() -> bool,
    ) -> Option<Box<Transition>> {
        self.ended = true;
        self.breaker.judge(&self.ticket, policy, outcome, now, may_open)
    }
}

impl<H: Deref<Target = Breaker>> Drop for Permit<H> {
    #[inline]
    fn drop(&mut self) {
        if !self.ended {
            self.breaker.give_back(&self.ticket);
        }
    }
}

impl Breaker {
    /// Whether a permit can be had now. Nothing is asked for, counted or changed by it, so that whoever has
    /// a choice of breakers can look before asking one of them.
    pub fn admits(&self, policy: &BreakerPolicy, now: Mono) -> bool {
        let state = self.word().state;
        if policy.mode != Mode::Enforce && !state.is_forced() {
            return true;
        }
        match state {
            State::Open | State::ForcedOpen => now >= self.until(),
            State::HalfOpen => {
                let mut slots = self.probes.iter().take(policy.half_open.probes as usize);
                now < self.until() && slots.any(|ends| ends.load(Relaxed) <= now.0)
            }
            _ => true,
        }
    }

    /// Decides about one call: the epoch to remember, the probe's slot, and the transition it caused.
    fn admit(&self, policy: &BreakerPolicy, word: Word, now: Mono) -> Result<Admitted, Refused> {
        if policy.mode == Mode::Disabled && !word.state.is_forced() {
            return Ok(Admitted { epoch: word.epoch, probe: None, transition: None, counts: true });
        }
        let until = self.until();
        let pass = |transition: Option<Box<Transition>>| {
            let epoch = transition.as_ref().map_or(word.epoch, |transition| transition.epoch);
            let counts = transition.is_some() || word.state != State::Disabled;
            Ok(Admitted { epoch, probe: None, transition, counts })
        };
        match word.state {
            State::Open | State::ForcedOpen if now < until => Err(self.refuse(word.state, until)),
            State::Open | State::ForcedOpen => self.admit_first_probe(policy, now),
            State::HalfOpen if now >= until => {
                let transition = self.open(policy, word.epoch, Reason::ProbesUndecided, None, now);
                Err(Refused { transition, ..self.refuse(State::Open, self.until()) })
            }
            State::HalfOpen => self.admit_probe(policy, word, now),
            State::ForcedClosed | State::Disabled if now >= until => {
                pass(self.close(policy, word.epoch, Reason::ForceEnded, now))
            }
            State::Ramp if now >= until => pass(self.close(policy, word.epoch, Reason::RampPassed, now)),
            State::Ramp => {
                let over = policy.ramp.unwrap_or_default().as_secs_f64().max(f64::MIN_POSITIVE);
                let share = 1.0 - until.since(now).as_secs_f64() / over;
                let lot = self.random(self.lots.fetch_add(1, Relaxed));
                if lot < share.max(RAMP_MIN) { pass(None) } else { Err(self.refuse(State::Ramp, until)) }
            }
            _ => pass(None),
        }
    }

    fn admit_first_probe(&self, policy: &BreakerPolicy, now: Mono) -> Result<Admitted, Refused> {
        let mut history = self.lock();
        let word = self.word();
        if !matches!(word.state, State::Open | State::ForcedOpen) || now < self.until() {
            drop(history);
            return match word.state {
                // Someone else was first.
                State::HalfOpen => self.admit_probe(policy, word, now),
                State::Open | State::ForcedOpen => Err(self.refuse(word.state, self.until())),
                _ => Ok(Admitted { epoch: word.epoch, probe: None, transition: None, counts: true }),
            };
        }
        let probe = Probe { slot: 0, lease_ends: lease_end(policy, now) };
        let transition = self.half_open(policy, &mut history, word, probe.lease_ends, now);
        Ok(Admitted {
            epoch: transition.epoch,
            probe: Some(probe),
            transition: Some(Box::new(transition)),
            counts: true,
        })
    }

    fn admit_probe(&self, policy: &BreakerPolicy, word: Word, now: Mono) -> Result<Admitted, Refused> {
        let lease_ends = lease_end(policy, now);
        let mut first_end = u64::MAX;
        for (slot, held) in self.probes.iter().enumerate().take(policy.half_open.probes as usize) {
            let ends = held.load(Relaxed);
            let free = ends == 0 || ends <= now.0;
            // Acquire: a slot that a later half-open state has cleared must not be taken for this one.
            if free && held.compare_exchange(ends, lease_ends, Acquire, Relaxed).is_ok() {
                if self.word().epoch == word.epoch {
                    let probe = Some(Probe { slot, lease_ends });
                    return Ok(Admitted { epoch: word.epoch, probe, transition: None, counts: true });
                }
                let _ = held.compare_exchange(lease_ends, 0, Relaxed, Relaxed);
                break;
            }
            first_end = first_end.min(if ends == 0 { lease_ends } else { ends });
        }
        Err(self.refuse(State::HalfOpen, Mono(first_end.min(lease_ends))))
    }

    fn refuse(&self, state: State, until: Mono) -> Refused {
        self.refused.fetch_add(1, Relaxed);
        Refused { state, until, transition: None }
    }

    /// Frees the slot of a probe; tells whether its lease had lasted.
    #[inline]
    pub(crate) fn give_back(&self, ticket: &Ticket) -> bool {
        let Some(probe) = ticket.probe else { return false };
        // The end of the lease identifies its holder: a slot that was taken over has another one.
        Some(self.word().epoch) == ticket.epoch
            && self.probes[probe.slot].compare_exchange(probe.lease_ends, 0, Relaxed, Relaxed).is_ok()
    }
}

fn lease_end(policy: &BreakerPolicy, now: Mono) -> u64 {
    (now + policy.half_open.lease).0.max(1) // Zero means free.
}

//! The circuit breaker: refuses calls to what keeps failing, and finds out when it has recovered.
//!
//! The base rule is the textbook's. A failure adds one, a success sets back to zero, more failures in
//! a row than the threshold open; after `open_for` a few probes pass, and they decide.
//!
//! State, epoch and the count of failures in a row are one atomic word. A permit of a closed breaker
//! is one load, a success with nothing to set back is one load and one addition; nothing is allocated
//! and nothing is locked. Only a transition takes the mutex, so that what belongs to the new state is
//! in place before the word shows it.
//!
//! The epoch grows with every transition and a permit remembers the one that it was given in. What
//! began in an older epoch is counted when it ends and moves nothing: the answer of a call that hung
//! through a whole outage says nothing about the service of today.
//!
//! The policy is an argument like the time, so that a changed policy keeps the state.

use std::{
    ops::Deref,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::*},
    },
    time::Duration,
};

use identity::Mono;

use crate::{BreakerPolicy, Counts, Outcome, PROBES_MAX, Reason, State, Transition, word::Word};

/// A circuit breaker. It knows its state; what it should do is its policy's affair.
#[derive(Debug)]
pub struct Breaker {
    word: AtomicU64,
    /// When an open breaker may let probes pass. Written before the word that makes it matter.
    open_until: AtomicU64,
    /// When the lease of each probe ends; zero for a free slot.
    probes: [AtomicU64; PROBES_MAX],
    successes: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
    refused: AtomicU64,
    history: Mutex<History>,
    seed: u64,
}

/// What only transitions read and write.
#[derive(Debug, Default)]
struct History {
    since: Mono,
    /// How often it opened again without having been healthy for long: the exponent of `open_for`.
    relapses: u32,
}

/// A breaker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Its state.
    pub state: State,
    /// When that began.
    pub since: Mono,
    /// Until when it refuses, while it is open.
    pub until: Option<Mono>,
    /// Counts the transitions.
    pub epoch: u32,
    /// What it has seen.
    pub counts: Counts,
}

/// No permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is {state}")]
pub struct Refused {
    /// The state that refuses.
    pub state: State,
    /// When another try may get a permit: the end of `open_for`, or of the first probe's lease.
    pub until: Mono,
}

impl Breaker {
    /// A closed breaker. The jitter of its openings is drawn from `seed`.
    pub fn new(seed: u64, now: Mono) -> Self {
        Self {
            word: AtomicU64::new(Word::default().pack()),
            open_until: AtomicU64::new(0),
            probes: Default::default(),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            history: Mutex::new(History { since: now, relapses: 0 }),
            seed,
        }
    }

    /// The state as of the last call. An open one whose time has passed stays open until someone asks.
    pub fn state(&self) -> State {
        self.word().state
    }

    /// What it has seen.
    pub fn counts(&self) -> Counts {
        self.counts_with(self.word())
    }

    /// Everything there is to show.
    pub fn snapshot(&self) -> Snapshot {
        // The lock keeps transitions away, so that the parts belong together.
        let history = self.lock();
        let word = self.word();
        let until = (word.state == State::Open).then(|| Mono(self.open_until.load(Relaxed)));
        Snapshot {
            state: word.state,
            since: history.since,
            until,
            epoch: word.epoch,
            counts: self.counts_with(word),
        }
    }

    fn counts_with(&self, word: Word) -> Counts {
        Counts {
            successes: self.successes.load(Relaxed),
            failures: self.failures.load(Relaxed),
            slow: self.slow.load(Relaxed),
            refused: self.refused.load(Relaxed),
            consecutive_failures: u64::from(word.failures),
        }
    }

    fn word(&self) -> Word {
        // Acquire: whoever sees a state also sees what was written for it.
        Word::unpack(self.word.load(Acquire))
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about one call: the epoch to remember, the probe's slot, and the transition it caused.
    fn admit(&self, policy: &BreakerPolicy, now: Mono) -> Result<Admitted, Refused> {
        let word = self.word();
        match word.state {
            State::Open => self.admit_open(policy, now),
            State::HalfOpen => self.admit_probe(policy, word, now),
            _ => Ok(Admitted { epoch: word.epoch, probe: None, transition: None }),
        }
    }

    fn admit_open(&self, policy: &BreakerPolicy, now: Mono) -> Result<Admitted, Refused> {
        let until = Mono(self.open_until.load(Relaxed));
        if now < until {
            return Err(self.refuse(State::Open, until));
        }
        let mut history = self.lock();
        let word = self.word();
        if word.state != State::Open {
            drop(history);
            return self.admit_probe(policy, word, now); // Someone else was first.
        }
        // The first slot is ours before anyone can see that there are slots.
        let probe = Probe { slot: 0, lease_ends: self.lease_end(policy, now) };
        for slot in &self.probes[1..] {
            slot.store(0, Release);
        }
        self.probes[0].store(probe.lease_ends, Release);
        let reason = Reason::OpenForPassed;
        let transition =
            self.turn(&mut history, word, Word { state: State::HalfOpen, probes: 0, ..word }, reason, now);
        Ok(Admitted { epoch: transition.epoch, probe: Some(probe), transition: Some(transition) })
    }

    fn admit_probe(&self, policy: &BreakerPolicy, word: Word, now: Mono) -> Result<Admitted, Refused> {
        if word.state != State::HalfOpen {
            // The probes have decided in the meantime.
            return match word.state {
                State::Open => Err(self.refuse(State::Open, Mono(self.open_until.load(Relaxed)))),
                _ => Ok(Admitted { epoch: word.epoch, probe: None, transition: None }),
            };
        }
        let lease_ends = self.lease_end(policy, now);
        let mut first_end = u64::MAX;
        for (slot, held) in self.probes.iter().enumerate().take(policy.half_open.probes as usize) {
            let ends = held.load(Relaxed);
            let free = ends == 0 || ends <= now.0;
            // Acquire: a slot that a later half-open state has cleared must not be taken for this one.
            if free && held.compare_exchange(ends, lease_ends, Acquire, Relaxed).is_ok() {
                if self.word().epoch == word.epoch {
                    let probe = Some(Probe { slot, lease_ends });
                    return Ok(Admitted { epoch: word.epoch, probe, transition: None });
                }
                let _ = held.compare_exchange(lease_ends, 0, Relaxed, Relaxed);
                break;
            }
            first_end = first_end.min(if ends == 0 { lease_ends } else { ends });
        }
        Err(self.refuse(State::HalfOpen, Mono(first_end.min(lease_ends))))
    }

    fn lease_end(&self, policy: &BreakerPolicy, now: Mono) -> u64 {
        (now + policy.half_open.lease).0.max(1) // Zero means free.
    }

    fn refuse(&self, state: State, until: Mono) -> Refused {
        self.refused.fetch_add(1, Relaxed);
        Refused { state, until }
    }

    /// Takes in how a permitted call ended.
    fn end(
        &self,
        permit: &Ticket,
        policy: &BreakerPolicy,
        outcome: Outcome,
        now: Mono,
    ) -> Option<Transition> {
        if policy.slow_after.is_some_and(|slow| now.since(permit.began) > slow) {
            self.slow.fetch_add(1, Relaxed);
        }
        match outcome {
            Outcome::Success => self.successes.fetch_add(1, Relaxed),
            Outcome::Failure => self.failures.fetch_add(1, Relaxed),
            Outcome::Ignored | Outcome::Cancelled => 0,
        };
        let in_time = permit.probe.is_some_and(|probe| now.0 < probe.lease_ends);
        let held = self.give_back(permit) && in_time;
        match outcome {
            Outcome::Success => self.succeed(permit, held, policy, now),
            Outcome::Failure => self.fail(permit, policy, now),
            Outcome::Ignored | Outcome::Cancelled => None,
        }
    }

    /// Frees the slot of a probe; tells whether its lease had lasted.
    fn give_back(&self, permit: &Ticket) -> bool {
        let Some(probe) = permit.probe else { return false };
        // The end of the lease identifies its holder: a slot that was taken over has another one.
        self.word().epoch == permit.epoch
            && self.probes[probe.slot].compare_exchange(probe.lease_ends, 0, Relaxed, Relaxed).is_ok()
    }

    fn succeed(&self, permit: &Ticket, held: bool, policy: &BreakerPolicy, now: Mono) -> Option<Transition> {
        let after = |word: Word| match word.state {
            _ if word.epoch != permit.epoch => None,
            State::Closed if word.failures > 0 => Some(Word { failures: 0, ..word }),
            // A probe that outlived its lease took too long to count as a good sign.
            State::HalfOpen if held => {
                Some(Word { failures: 0, probes: word.probes.saturating_add(1), ..word })
            }
            _ => None,
        };
        let word = self.update(after)?;
        if word.state == State::HalfOpen && u32::from(word.probes) >= policy.half_open.successes {
            return self.transition(permit.epoch, now, |_, word| {
                let reason = Reason::ProbesSucceeded { successes: u32::from(word.probes) };
                (Word { state: State::Closed, probes: 0, failures: 0, ..word }, reason)
            });
        }
        None
    }

    fn fail(&self, permit: &Ticket, policy: &BreakerPolicy, now: Mono) -> Option<Transition> {
        let after = |word: Word| match word.state {
            _ if word.epoch != permit.epoch => None,
            State::Closed | State::HalfOpen => {
                Some(Word { failures: word.failures.saturating_add(1), ..word })
            }
            _ => None,
        };
        let word = self.update(after)?;
        let reason = match word.state {
            // A probe's failure is bad news however late it comes.
            State::HalfOpen => Reason::ProbeFailed,
            _ if word.failures > policy.consecutive_failures => Reason::ConsecutiveFailures {
                failures: word.failures,
                threshold: policy.consecutive_failures,
            },
            _ => return None,
        };
        self.transition(permit.epoch, now, |history, word| {
            let healthy = now.since(history.since);
            if word.state == State::Closed {
                let forgiven = healthy.as_nanos() / policy.open_for.base.as_nanos().max(1);
                history.relapses = history.relapses.saturating_sub(forgiven.try_into().unwrap_or(u32::MAX));
            }
            let open_for = policy.open_for.duration(history.relapses, self.random(word.epoch));
            history.relapses = history.relapses.saturating_add(1);
            self.open_until.store((now + open_for).0, Relaxed);
            (Word { state: State::Open, probes: 0, ..word }, reason)
        })
    }

    /// Changes the word as long as `after` wants it to, and answers with what it is then.
    fn update(&self, after: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let mut packed = self.word.load(Acquire);
        loop {
            let word = after(Word::unpack(packed))?;
            match self.word.compare_exchange_weak(packed, word.pack(), AcqRel, Acquire) {
                Ok(_) => return Some(word),
                Err(other) => packed = other,
            }
        }
    }

    /// Makes one transition out of `epoch`; none where someone else has made one already.
    fn transition(
        &self,
        epoch: u32,
        now: Mono,
        to: impl FnOnce(&mut History, Word) -> (Word, Reason),
    ) -> Option<Transition> {
        let mut history = self.lock();
        let word = self.word();
        if word.epoch != epoch {
            return None;
        }
        let (next, reason) = to(&mut history, word);
        Some(self.turn(&mut history, word, next, reason, now))
    }

    /// Shows the new state. Only with the lock, so nobody else changes the epoch; a count of failures
    /// that came in between is overwritten, because it belonged to the state that ends here.
    fn turn(&self, history: &mut History, from: Word, to: Word, reason: Reason, now: Mono) -> Transition {
        let to = Word { epoch: from.epoch.wrapping_add(1), ..to };
        history.since = now;
        self.word.store(to.pack(), Release);
        let until = (to.state == State::Open).then(|| Mono(self.open_until.load(Relaxed)));
        let counts = self.counts_with(to);
        Transition { from: from.state, to: to.state, reason, counts, epoch: to.epoch, until }
    }

    /// A number from 0 to 1 for this epoch: the same for the same seed.
    fn random(&self, epoch: u32) -> f64 {
        // The finaliser of MurmurHash3: every bit of the input reaches every bit of the output.
        let mut bits = self.seed ^ u64::from(epoch).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        ((bits ^ (bits >> 33)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct Admitted {
    epoch: u32,
    probe: Option<Probe>,
    transition: Option<Transition>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    slot: usize,
    lease_ends: u64,
}

#[derive(Debug)]
struct Ticket {
    epoch: u32,
    began: Mono,
    probe: Option<Probe>,
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

impl<H: Deref<Target = Breaker>> Permit<H> {
    /// Asks for a permit. The one who asks first after `open_for` gets the first probe, together with
    /// the transition to half-open.
    ///
    /// # Errors
    /// [`Refused`] while the breaker is open, and while it is half-open with all probes under way.
    pub fn acquire(
        breaker: H,
        policy: &BreakerPolicy,
        now: Mono,
    ) -> Result<(Self, Option<Transition>), Refused> {
        let Admitted { epoch, probe, transition } = breaker.admit(policy, now)?;
        let ticket = Ticket { epoch, began: now, probe };
        Ok((Self { breaker, ticket, ended: false }, transition))
    }

    /// Whether this call is one of the few that decide about a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.ticket.probe.is_some()
    }

    /// Says how the call ended, and answers with the transition that this caused, if any.
    pub fn end(mut self, policy: &BreakerPolicy, outcome: Outcome, now: Mono) -> Option<Transition> {
        self.ended = true;
        self.breaker.end(&self.ticket, policy, outcome, now)
    }
}

impl<H: Deref<Target = Breaker>> Drop for Permit<H> {
    fn drop(&mut self) {
        if !self.ended {
            self.breaker.give_back(&self.ticket);
        }
    }
}

/// How long a breaker stays open: `min(base · multiplier^relapses, max)`, and up to `jitter` longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenFor {
    /// The first time.
    pub base: Duration,
    /// How much longer each time that it opens again. Each `base` of health takes one relapse back.
    pub multiplier: f64,
    /// The longest, before jitter.
    pub max: Duration,
    /// The share of the duration, 0 to 1, that is added at random, so that the proxies of a fleet do
    /// not all probe at the same moment.
    pub jitter: f64,
}

impl OpenFor {
    /// The duration after so many relapses; `random` is from 0 to 1.
    pub fn duration(&self, relapses: u32, random: f64) -> Duration {
        let exponent = i32::try_from(relapses).unwrap_or(i32::MAX);
        let seconds = self.base.as_secs_f64() * self.multiplier.powi(exponent);
        let seconds = seconds.min(self.max.as_secs_f64()) * (1.0 + self.jitter * random);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max)
    }
}

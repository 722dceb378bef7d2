//! The circuit breaker: refuses calls to what keeps failing, and finds out when it has recovered.
//!
//! The base rule is the textbook's. A failure adds one, a success sets back to zero, more failures in
//! a row than the threshold open; after `open_for` a few probes pass, and they decide. Rates over a
//! window are additions to it. A success never opens: rates are looked at when a call fails or is
//! slow, so that a healthy call costs no sum over a window, and what has just recovered is not refused
//! for its past.
//!
//! State, epoch and the count of failures in a row are one atomic word. A permit of a closed breaker
//! is one load, a success with nothing to set back is one load and one addition to a line that no
//! other core writes; nothing is allocated and nothing is locked. Only a transition takes the mutex,
//! so that what belongs to the new state is in place before the word shows it.
//!
//! The epoch grows with every transition and a permit remembers the one that it was given in. What
//! began in an older epoch is counted when it ends and moves nothing: the answer of a call that hung
//! through a whole outage says nothing about the service of today.
//!
//! The policy is an argument like the time, so that a changed policy keeps the state.
//!
//! This module holds the breaker and its transitions; [`crate::permit`] asks, `verdict` judges.

use std::{
    sync::{PoisonError, atomic::Ordering::*},
    time::Duration,
};

use identity::Mono;

use crate::{
    BreakerPolicy, Counts, Mode, PROBES_MAX, Reason, State, Transition, WindowCounts,
    sync::{AtomicU32, AtomicU64, Mutex, MutexGuard},
    window::Tally,
    word::Word,
};

/// A circuit breaker. It knows its state; what it should do is its policy's affair.
#[derive(Debug)]
pub struct Breaker {
    word: AtomicU64,
    /// When what holds now ends by itself: an opening, the patience with probes, a ramp, an operator's
    /// word. Written before the word that makes it matter.
    until: AtomicU64,
    /// When the lease of each probe ends; zero for a free slot.
    pub(crate) probes: [AtomicU64; PROBES_MAX],
    pub(crate) tally: Tally,
    pub(crate) refused: AtomicU64,
    /// How often a ramp has drawn.
    pub(crate) lots: AtomicU32,
    history: Mutex<History>,
    seed: u64,
}

/// What only transitions read and write.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) since: Mono,
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
    /// Until when it refuses, while it is open; when an operator's word ends.
    pub until: Option<Mono>,
    /// Counts the transitions.
    pub epoch: u32,
    /// What it has seen.
    pub counts: Counts,
}

/// What an operator can make of a breaker for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Every call is refused.
    Open,
    /// Every call passes, and is counted.
    Closed,
    /// Every call passes, and nothing is counted.
    Disabled,
}

impl Breaker {
    /// A closed breaker. The jitter of its openings is drawn from `seed`.
    pub fn new(seed: u64, now: Mono) -> Self {
        Self {
            word: AtomicU64::new(Word::default().pack()),
            until: AtomicU64::new(0),
            probes: Default::default(),
            tally: Tally::new(),
            refused: AtomicU64::new(0),
            lots: AtomicU32::new(0),
            history: Mutex::new(History { since: now, relapses: 0 }),
            seed,
        }
    }

    /// The state as of the last call. An open one whose time has passed stays open until someone asks.
    pub fn state(&self) -> State {
        self.word().state
    }

    /// The state as `policy` lets it be seen: `disabled` and `shadow` are the policy's words, and an
    /// operator's stands above them.
    pub fn state_under(&self, policy: &BreakerPolicy) -> State {
        match (self.state(), policy.mode) {
            (state, Mode::Enforce) => state,
            (state, _) if state.is_forced() => state,
            (_, Mode::Shadow) => State::Shadow,
            (_, Mode::Disabled) => State::Disabled,
        }
    }

    /// What it has seen.
    pub fn counts(&self) -> Counts {
        self.counts_with(self.word())
    }

    /// What the policy's window holds.
    pub fn window(&self, policy: &BreakerPolicy, now: Mono) -> WindowCounts {
        if policy.has_rates() {
            self.tally.window(policy.window, self.word().epoch, now)
        } else {
            WindowCounts::default()
        }
    }

    /// Everything there is to show.
    pub fn snapshot(&self) -> Snapshot {
        // The lock keeps transitions away, so that the parts belong together.
        let history = self.lock();
        let word = self.word();
        let (since, epoch, counts) = (history.since, word.epoch, self.counts_with(word));
        Snapshot { state: word.state, since, until: self.until_of(word.state), epoch, counts }
    }

    /// An operator's word for as long as this, whatever the calls say. Afterwards a forced-open breaker
    /// asks its probes, and one that was forced to let calls pass begins anew.
    pub fn force(&self, force: Force, until: Mono, now: Mono) -> Transition {
        let state = match force {
            Force::Open => State::ForcedOpen,
            Force::Closed => State::ForcedClosed,
            Force::Disabled => State::Disabled,
        };
        let mut history = self.lock();
        self.until.store(until.0, Relaxed);
        let to = Word { state, probes: 0, failures: 0, ..self.word() };
        self.turn(&mut history, to, Reason::Forced, WindowCounts::default(), now)
    }

    /// Closed, and nothing held against it.
    pub fn reset(&self, now: Mono) -> Transition {
        let mut history = self.lock();
        history.relapses = 0;
        let to = Word { state: State::Closed, probes: 0, failures: 0, ..self.word() };
        self.turn(&mut history, to, Reason::Reset, WindowCounts::default(), now)
    }

    /// Opens a breaker that lets calls pass, for a reason that its own calls do not give; `None` where
    /// it does not let them pass anyway.
    pub fn trip(&self, policy: &BreakerPolicy, reason: Reason, now: Mono) -> Option<Box<Transition>> {
        let word = self.word();
        let passes = matches!(word.state, State::Closed | State::Ramp);
        if passes { self.open(policy, word.epoch, reason, None, now) } else { None }
    }

    fn counts_with(&self, word: Word) -> Counts {
        let totals = self.tally.totals();
        Counts {
            successes: totals.successes,
            failures: totals.failures,
            slow: totals.slow,
            refused: self.refused.load(Relaxed),
            consecutive_failures: u64::from(word.failures),
        }
    }

    fn until_of(&self, state: State) -> Option<Mono> {
        (state == State::Open || state.is_forced()).then(|| self.until())
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        // Acquire: whoever sees a state also sees what was written for it.
        Word::unpack(self.word.load(Acquire))
    }

    pub(crate) fn until(&self) -> Mono {
        Mono(self.until.load(Relaxed))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the word as long as `after` wants it to, and answers with what it is then.
    pub(crate) fn update(&self, after: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let mut packed = self.word.load(Acquire);
        loop {
            let word = after(Word::unpack(packed))?;
            match self.word.compare_exchange_weak(packed, word.pack(), AcqRel, Acquire) {
                Ok(_) => return Some(word),
                Err(other) => packed = other,
            }
        }
    }

    /// Opens out of `epoch`; none where someone else has made a transition already.
    pub(crate) fn open(
        &self,
        policy: &BreakerPolicy,
        epoch: u32,
        reason: Reason,
        retry_after: Option<Duration>,
        now: Mono,
    ) -> Option<Box<Transition>> {
        self.transition(policy, epoch, reason, now, |history, word| {
            let healthy = now.since(history.since);
            if matches!(word.state, State::Closed | State::Ramp) {
                let forgiven = healthy.as_nanos() / policy.open_for.base.as_nanos().max(1);
                history.relapses = history.relapses.saturating_sub(forgiven.try_into().unwrap_or(u32::MAX));
            }
            let open_for = policy.open_for.duration(history.relapses, self.random(word.epoch));
            let asked = retry_after.unwrap_or_default().min(policy.open_for.max);
            history.relapses = history.relapses.saturating_add(1);
            self.until.store((now + open_for.max(asked)).0, Relaxed);
            Word { state: State::Open, probes: 0, ..word }
        })
    }

    /// Closes out of `epoch`, over the policy's ramp where it has one.
    pub(crate) fn close(
        &self,
        policy: &BreakerPolicy,
        epoch: u32,
        reason: Reason,
        now: Mono,
    ) -> Option<Box<Transition>> {
        self.transition(policy, epoch, reason, now, |_, word| {
            let state = match policy.ramp {
                Some(ramp) if word.state == State::HalfOpen => {
                    self.until.store((now + ramp).0, Relaxed);
                    State::Ramp
                }
                _ => State::Closed,
            };
            Word { state, probes: 0, failures: 0, ..word }
        })
    }

    /// Lets the first probe pass. Its slot is taken before anyone can see that there are slots.
    pub(crate) fn half_open(
        &self,
        policy: &BreakerPolicy,
        history: &mut History,
        word: Word,
        lease_ends: u64,
        now: Mono,
    ) -> Transition {
        for slot in &self.probes[1..] {
            slot.swap(0, AcqRel);
        }
        self.probes[0].swap(lease_ends, AcqRel);
        let until = policy.half_open.max.map_or(Mono(u64::MAX), |max| now + max);
        self.until.store(until.0, Relaxed);
        let reason = match word.state {
            State::ForcedOpen => Reason::ForceEnded,
            _ => Reason::OpenForPassed,
        };
        // Where a share decides, the failures of the probes are counted in the place of those in a row.
        let failures = if policy.half_open.close_at.is_some() { 0 } else { word.failures };
        let to = Word { state: State::HalfOpen, probes: 0, failures, ..word };
        self.turn(history, to, reason, WindowCounts::default(), now)
    }

    /// Makes one transition out of `epoch`; none where someone else has made one already.
    fn transition(
        &self,
        policy: &BreakerPolicy,
        epoch: u32,
        reason: Reason,
        now: Mono,
        to: impl FnOnce(&mut History, Word) -> Word,
    ) -> Option<Box<Transition>> {
        let window = self.window(policy, now);
        let mut history = self.lock();
        let word = self.word();
        if word.epoch != epoch {
            return None;
        }
        let next = to(&mut history, word);
        Some(Box::new(self.turn(&mut history, next, reason, window, now)))
    }

    /// Shows the new state. Only with the lock, so nobody else changes the epoch; a count of failures
    /// that came in between is overwritten, because it belonged to the state that ends here.
    fn turn(
        &self,
        history: &mut History,
        to: Word,
        reason: Reason,
        window: WindowCounts,
        now: Mono,
    ) -> Transition {
        let from = self.word();
        let to = Word { epoch: from.epoch.wrapping_add(1), ..to };
        history.since = now;
        // A swap, which is in one order with every update; of a store that is true only by a longer argument.
        self.word.swap(to.pack(), AcqRel);
        let (counts, until) = (self.counts_with(to), self.until_of(to.state));
        Transition { from: from.state, to: to.state, reason, counts, window, epoch: to.epoch, until }
    }

    /// A number from 0 to 1 for this number: the same for the same seed.
    pub(crate) fn random(&self, number: u32) -> f64 {
        // The finaliser of MurmurHash3: every bit of the input reaches every bit of the output.
        let mut bits = self.seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        ((bits ^ (bits >> 33)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

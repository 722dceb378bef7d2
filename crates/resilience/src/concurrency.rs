//! How many calls may be under way at once, and how many may wait for one of them to end.
//!
//! A queue that is not bounded turns an overload into a time-out for everybody; one that is bounded
//! refuses the last and serves the others. It is first come, first served: whoever has a place in the
//! queue is not overtaken by whoever comes later.

use std::{collections::VecDeque, time::Duration};

use identity::{Invalid, Mono};

use crate::policy::{check_duration, check_number};

/// How many at once, and how many wait how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrencyPolicy {
    /// Calls under way.
    pub limit: u32,
    /// Calls that wait; zero refuses at once.
    pub queue: u32,
    /// How long a call waits before it is refused.
    pub wait: Duration,
}

impl ConcurrencyPolicy {
    /// Checks every part.
    ///
    /// # Errors
    /// The first field that breaks its rule, by its path.
    pub fn check(&self) -> Result<(), Invalid> {
        check_number("concurrency.limit", self.limit, 1..=1_000_000, "1 to 1000000")?;
        check_number("concurrency.queue", self.queue, 0..=1_000_000, "0 to 1000000")?;
        check_duration("concurrency.wait", self.wait)
    }
}

/// Who is inside and who waits. Waking is the shell's affair: what it has to do is a value.
#[derive(Debug, Default)]
pub struct ConcurrencyLimit {
    inside: u32,
    waiting: VecDeque<Waiter>,
    next: u64,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// Tells it from the others.
    pub number: u64,
    /// When it has waited long enough.
    pub until: Mono,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It goes on, and [`leave`](ConcurrencyLimit::leave)s when it ends.
    Entered,
    /// It waits to be named by a [`leave`](ConcurrencyLimit::leave), or
    /// [`give_up`](ConcurrencyLimit::give_up)s.
    Waits(Waiter),
    /// So many are inside, and so many wait, as may.
    Refused,
}

impl ConcurrencyLimit {
    /// How many calls are under way.
    pub fn inside(&self) -> u32 {
        self.inside
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A call comes.
    pub fn enter(&mut self, policy: &ConcurrencyPolicy, now: Mono) -> Entry {
        if self.inside < policy.limit && self.waiting.is_empty() {
            self.inside += 1;
            return Entry::Entered;
        }
        // Those whose time is over are about to say so, and must not take the place of who can wait.
        self.waiting.retain(|waiter| waiter.until > now);
        if self.waiting.len() >= policy.queue as usize {
            return Entry::Refused;
        }
        let waiter = Waiter { number: self.next, until: now + policy.wait };
        self.next += 1;
        self.waiting.push_back(waiter);
        Entry::Waits(waiter)
    }

    /// A call under way has ended. Whoever is named enters in its place, and is to be woken; more than
    /// one where the limit has been raised meanwhile.
    pub fn leave(&mut self, policy: &ConcurrencyPolicy, now: Mono) -> Vec<Waiter> {
        self.inside = self.inside.saturating_sub(1);
        let mut entered = Vec::new();
        while self.inside < policy.limit {
            let Some(waiter) = self.waiting.pop_front() else { break };
            if waiter.until > now {
                self.inside += 1;
                entered.push(waiter);
            }
        }
        entered
    }

    /// A waiter goes away. `false` says that it has been named already: it is inside and has to
    /// [`leave`](ConcurrencyLimit::leave), or its time had passed before.
    pub fn give_up(&mut self, waiter: Waiter) -> bool {
        let at = self.waiting.iter().position(|of| of.number == waiter.number);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }
}

//! Which check of which instance is asked when, and what follows from the answers.
//!
//! [`Probes`] follows the registry's changes and hands out [`Job`]s; asking is the shell's work. What it
//! is told of the answers it counts, and only where a check passes or fails that did not before does a
//! [`Command`] come of it, which becomes durable like any other. What the registry knows already is
//! looked up and not remembered: a verdict that the disk refused is simply said again after the next
//! answer.
//!
//! - **Spread.** Each check has its moment within its interval, by a hash of what it is, so that ten
//!   thousand instances that came at once are not asked at once for ever. Only the first question to an
//!   instance that waits for it comes within [`FIRST_WITHIN`].
//! - **Lanes.** Probes in flight are bounded, and slow ones keep their place for long. So those that are
//!   known to be slow have places of their own, as have those of which nothing is known yet: neither can
//!   hold up the checks of instances that answer.
//! - **Silence.** An instance whose lease has lapsed is not asked until a heartbeat comes back: it is
//!   down whatever its checks say. One without a lease is always asked, and so is one that drains or
//!   that an operator has taken out, since its checks say whether it may come back.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use identity::{Mono, Now};
use slab::Slab;

use crate::{Actor, Ask, Change, Check, Command, Effect, Host, Instance, LeaseId, Registry, Target, Verdict};

/// An instance that waits for its first answer is asked within this time, or its interval if shorter.
pub const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// An answer that takes longer than this makes its check a slow one, until one is quicker.
pub const SLOW: Duration = Duration::from_millis(500);
/// Probes in flight of checks that were not slow lately. Each costs a socket.
pub const QUICK_MAX: usize = 128;
/// Probes in flight of checks that were slow when they were asked last.
pub const SLOW_MAX: usize = 64;
/// Probes in flight of checks that were never asked.
pub const NEW_MAX: usize = 64;
/// Who a change comes from that a check has brought about.
const ACTOR: &str = "check";

/// A question that is to be put to an instance now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The instance.
    pub target: Target,
    /// The lease of the process that is asked.
    pub lease: LeaseId,
    /// Where it listens.
    pub host: Host,
    /// The port that is asked: the check's, or else the instance's.
    pub port: u16,
    /// What is asked.
    pub check: Check,
    begun: Mono,
    lane: Lane,
    seat: usize,
    ticket: u64,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The answer that was hoped for.
    Passed,
    /// Another one or none, and why that is.
    Failed(String),
    /// The question could not be put, for reasons of our own: it says nothing of the instance.
    Unasked,
}

/// How the probes are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ProbeStats {
    /// Checks of instances that are registered.
    pub checks: usize,
    /// Questions that wait for their answer.
    pub in_flight: usize,
    /// Questions that wait for a place.
    pub overdue: usize,
    /// Questions that were not put because the one before waited for its place for so long.
    pub skipped: u64,
}

/// When each check of each instance is asked. Some 300 bytes for a check, which the registry's own
/// bounds limit; it asks at most [`QUICK_MAX`] + [`SLOW_MAX`] + [`NEW_MAX`] questions at a time.
#[derive(Debug, Default)]
pub struct Probes {
    seats: Slab<Seat>,
    /// The seats of an instance, in the order of its checks.
    members: BTreeMap<Target, Box<[usize]>>,
    lanes: BTreeMap<Lane, Queue>,
    tickets: u64,
    skipped: u64,
}

/// One check of one instance.
#[derive(Debug)]
struct Seat {
    target: Target,
    check: Check,
    /// Its moment within the interval.
    phase: Duration,
    /// The lease whose answers are counted.
    lease: LeaseId,
    passes: u32,
    failures: u32,
    lane: Lane,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not asked for the time being.
    Idle,
    /// Asked at this moment, if there is room.
    Queued(Mono),
    /// Asked, by the job with this ticket.
    InFlight(u64),
}

/// What is known of how quickly a check is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    New,
    Quick,
    Slow,
}

/// The seats of a lane that wait, and how many do not.
#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeSet<(Mono, usize)>,
    in_flight: usize,
}

impl Lane {
    fn room(self) -> usize {
        match self {
            Lane::New => NEW_MAX,
            Lane::Quick => QUICK_MAX,
            Lane::Slow => SLOW_MAX,
        }
    }
}

impl Probes {
    /// Follows one change of the registry.
    pub fn follow(&mut self, now: Now, change: &Change) {
        match &change.effect {
            Effect::Put(instance) => self.put(now, &change.target, instance),
            Effect::Removed => self.remove(&change.target),
            // Seen when the next question is put.
            Effect::Leased(_) => {}
        }
    }

    /// Follows the registry from what it is now, whatever was followed before.
    pub fn resync(&mut self, now: Now, registry: &Registry) {
        let gone = self.members.keys().filter(|target| registry.instance(target).is_none());
        for target in gone.cloned().collect::<Vec<_>>() {
            self.remove(&target);
        }
        for (target, instance) in registry.instances() {
            self.put(now, target, instance);
        }
    }

    /// When [`Probes::due`] is worth asking again, unless an answer makes room before.
    pub fn next_deadline(&self) -> Option<Mono> {
        let with_room = self.lanes.iter().filter(|(lane, queue)| queue.in_flight < lane.room());
        with_room.filter_map(|(_, queue)| queue.waiting.first()).map(|(at, _)| *at).min()
    }

    /// The questions that are to be put now. Each has to come back through [`Probes::finished`].
    pub fn due(&mut self, now: Now, registry: &Registry) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (lane, queue) in &mut self.lanes {
            while queue.in_flight < lane.room()
                && let Some((at, seat_at)) = queue.waiting.first().copied().filter(|(at, _)| *at <= now.mono)
            {
                queue.waiting.remove(&(at, seat_at));
                let Some(seat) = self.seats.get_mut(seat_at) else { continue };
                seat.place = Place::Idle;
                // Whatever is wrong with it, the change that says so is still to be followed.
                let Some((instance, _)) = seat.asked(registry) else { continue };
                seat.held_by(instance.lease);
                self.tickets += 1;
                seat.place = Place::InFlight(self.tickets);
                queue.in_flight += 1;
                let missed = now.mono.since(at).as_nanos() / seat.check.interval.as_nanos().max(1);
                self.skipped = self.skipped.saturating_add(u64::try_from(missed).unwrap_or(u64::MAX));
                jobs.push(Job {
                    target: seat.target.clone(),
                    lease: instance.lease,
                    host: instance.registration.address.clone(),
                    port: seat.check.port.unwrap_or(instance.registration.port),
                    check: seat.check.clone(),
                    begun: now.mono,
                    lane: *lane,
                    seat: seat_at,
                    ticket: self.tickets,
                });
            }
        }
        jobs
    }

    /// What came of a question, and what has to be said of it to the registry, if anything.
    pub fn finished(&mut self, now: Now, registry: &Registry, job: &Job, found: Found) -> Option<Command> {
        if let Some(queue) = self.lanes.get_mut(&job.lane) {
            queue.in_flight = queue.in_flight.saturating_sub(1);
        }
        let seat = self.seats.get_mut(job.seat).filter(|seat| seat.place == Place::InFlight(job.ticket))?;
        seat.place = Place::Idle;
        if found != Found::Unasked {
            seat.lane = if now.mono.since(job.begun) < SLOW { Lane::Quick } else { Lane::Slow };
        }
        let (instance, verdict) = seat.asked(registry)?;
        let is_same = instance.lease == job.lease;
        seat.held_by(instance.lease);
        let next = if found == Found::Unasked {
            now.mono + FIRST_WITHIN.min(seat.check.interval)
        } else if !is_same && *verdict == Verdict::Pending {
            seat.soon(now)
        } else {
            // Half of an interval at least, so that a first question is not followed by a second at once.
            seat.moment_after(now.mono.max(job.begun + seat.check.interval / 2))
        };
        let judged = if is_same { seat.count(found, verdict) } else { None };
        self.queue(job.seat, next);
        let ask = Ask::Judge { lease: job.lease, check: job.check.clone(), verdict: judged? };
        Some(Command { target: job.target.clone(), actor: Actor::from(ACTOR), ask })
    }

    /// How the probes are. Counts those that wait for a place one by one.
    pub fn stats(&self, now: Now) -> ProbeStats {
        let overdue = |queue: &Queue| queue.waiting.range(..=(now.mono, usize::MAX)).count();
        ProbeStats {
            checks: self.seats.len(),
            in_flight: self.lanes.values().map(|queue| queue.in_flight).sum(),
            overdue: self.lanes.values().map(overdue).sum(),
            skipped: self.skipped,
        }
    }

    fn put(&mut self, now: Now, target: &Target, instance: &Instance) {
        if instance.registration.checks.is_empty() {
            self.remove(target);
            return;
        }
        let known = self.members.remove(target).unwrap_or_default();
        let mut seats = Vec::with_capacity(instance.registration.checks.len());
        for check in &instance.registration.checks {
            let same = |at: &&usize| self.seats.get(**at).is_some_and(|seat| seat.check == *check);
            let seat = known.iter().find(same).copied();
            seats.push(
                seat.unwrap_or_else(|| self.seats.insert(Seat::new(target, check.clone(), instance.lease))),
            );
        }
        for at in known.iter().filter(|at| !seats.contains(at)) {
            self.vacate(*at);
        }
        for (at, verdict) in seats.iter().zip(&instance.condition.verdicts) {
            self.settle(now, *at, instance, verdict);
        }
        self.members.insert(target.clone(), seats.into());
    }

    fn remove(&mut self, target: &Target) {
        for at in self.members.remove(target).unwrap_or_default() {
            self.vacate(at);
        }
    }

    /// A question that is in flight gives its place back when its answer comes, and says nothing.
    fn vacate(&mut self, at: usize) {
        self.idle(at);
        self.seats.try_remove(at);
    }

    /// Draws the consequences of what the registry says of an instance now.
    fn settle(&mut self, now: Now, at: usize, instance: &Instance, verdict: &Verdict) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        let is_other = seat.held_by(instance.lease);
        let is_awaited = *verdict == Verdict::Pending;
        let next = if is_awaited { seat.soon(now) } else { seat.moment_after(now.mono) };
        match seat.place {
            Place::Queued(_) if instance.condition.lapsed.is_some() => self.idle(at),
            Place::Idle if instance.condition.lapsed.is_none() => self.queue(at, next),
            Place::Queued(before) if is_other && is_awaited && next < before => {
                self.idle(at);
                self.queue(at, next);
            }
            _ => {}
        }
    }

    /// Has an idle seat asked at this moment.
    fn queue(&mut self, at: usize, when: Mono) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        seat.place = Place::Queued(when);
        self.lanes.entry(seat.lane).or_default().waiting.insert((when, at));
    }

    /// Has a seat that waits for its question wait no more.
    fn idle(&mut self, at: usize) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        if let Place::Queued(when) = seat.place {
            seat.place = Place::Idle;
            self.lanes.entry(seat.lane).or_default().waiting.remove(&(when, at));
        }
    }
}

impl Seat {
    fn new(target: &Target, check: Check, lease: LeaseId) -> Self {
        let share = hash_ring::fraction(format!("{target} {check}").as_bytes());
        let phase = check.interval.mul_f64(share);
        let target = target.clone();
        let (lane, place) = (Lane::New, Place::Idle);
        Self { target, check, phase, lease, passes: 0, failures: 0, lane, place }
    }

    /// The instance and what is known of this check, unless the instance is not to be asked.
    fn asked<'a>(&self, registry: &'a Registry) -> Option<(&'a Instance, &'a Verdict)> {
        let instance = registry.instance(&self.target).filter(|i| i.condition.lapsed.is_none())?;
        let at = instance.registration.checks.iter().position(|check| *check == self.check)?;
        Some((instance, instance.condition.verdicts.get(at)?))
    }

    /// Counts for this lease, and for another one from nothing. Whether it is another one.
    fn held_by(&mut self, lease: LeaseId) -> bool {
        let is_other = self.lease != lease;
        if is_other {
            (self.lease, self.passes, self.failures) = (lease, 0, 0);
        }
        is_other
    }

    /// Counts an answer, and says what it amounts to where that is not known yet.
    fn count(&mut self, found: Found, known: &Verdict) -> Option<Verdict> {
        match found {
            Found::Passed => {
                (self.passes, self.failures) = (self.passes.saturating_add(1), 0);
                let is_enough = self.passes >= self.check.success_threshold;
                (is_enough && *known != Verdict::Passing).then_some(Verdict::Passing)
            }
            Found::Failed(why) => {
                (self.passes, self.failures) = (0, self.failures.saturating_add(1));
                let is_enough = self.failures >= self.check.failure_threshold;
                (is_enough && !matches!(known, Verdict::Failing(_))).then(|| Verdict::failing(&why))
            }
            Found::Unasked => None,
        }
    }

    /// When it is asked while somebody waits for the answer.
    fn soon(&self, now: Now) -> Mono {
        let within = FIRST_WITHIN.min(self.check.interval);
        now.mono + within.mul_f64(self.phase.div_duration_f64(self.check.interval))
    }

    /// The first of its moments that is not before this one.
    fn moment_after(&self, from: Mono) -> Mono {
        let interval = u64::try_from(self.check.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let phase = Mono(0) + self.phase;
        let rounds = from.0.saturating_sub(phase.0).div_ceil(interval);
        Mono(phase.0.saturating_add(rounds.saturating_mul(interval)))
    }
}

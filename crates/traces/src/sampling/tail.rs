//! Which traces are kept, decided when they are over.
//!
//! At the head of a trace nobody knows yet what will become of it; at its end one does. [`Tail`] gathers what is
//! worth knowing of each trace while its spans come, and decides once it is complete enough: its root has come
//! and nothing more for a while, or it has taken too long. What failed, what was slow and what is rare is kept
//! first, each up to a rate of its own, so that a flood of one never crowds out the other; of the rest a share is
//! kept, chosen by the trace's id, so that everybody chooses the same. A pinned trace is kept whatever it is.
//!
//! The decision is about whole traces, and it is remembered for spans that come later. Every span is told of in
//! exactly one [`Decided`] or waits: that is what a ledger needs. Rates, errors and durations are to be counted
//! before anything is decided here, or they would be those of a selection.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use identity::{Mono, TraceId};

use super::{RateLimit, Ratio};

/// What tail sampling keeps, and what it may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct TailPolicy {
    /// Traces with a failed span that are kept a second.
    pub errors_per_second: u32,
    /// From how long on a trace is slow.
    pub slow: Duration,
    /// Slow traces that are kept a second.
    pub slow_per_second: u32,
    /// Of an operation that was seen less often than this in the last while, traces are rare.
    pub rare_below: u32,
    /// How long that while is.
    pub rare_window: Duration,
    /// Rare traces that are kept a second.
    pub rare_per_second: u32,
    /// The share of all others.
    pub ratio: Ratio,
    /// How many of those are kept a second at most.
    pub others_per_second: u32,
    /// A trace with its root is complete when nothing has come for so long.
    pub quiet: Duration,
    /// A trace is decided after so long at the latest.
    pub longest: Duration,
    /// Traces that wait at most, some 150 bytes each. Beyond it the oldest is decided early.
    pub waiting: usize,
    /// Decisions that are remembered for late spans, 60 bytes each.
    pub remembered: usize,
    /// Operations that are counted to know which are rare, some 40 bytes each. Beyond it all count as frequent
    /// until the while is over.
    pub operations: usize,
}

impl Default for TailPolicy {
    fn default() -> Self {
        Self {
            errors_per_second: 100,
            slow: Duration::from_secs(1),
            slow_per_second: 50,
            rare_below: 5,
            rare_window: Duration::from_secs(600),
            rare_per_second: 20,
            ratio: Ratio::ALL,
            others_per_second: 100,
            quiet: Duration::from_secs(5),
            longest: Duration::from_secs(30),
            waiting: 100_000,
            remembered: 100_000,
            operations: 10_000,
        }
    }
}

/// What a decision wants to know of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glimpse {
    /// Its trace.
    pub trace_id: TraceId,
    /// Whether it is the root, which names no parent.
    pub is_root: bool,
    /// Whether it failed.
    pub is_error: bool,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// Its service and name, as a hash.
    pub operation: u64,
}

/// Why a trace was kept, or that it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Somebody wants it to stay.
    Pinned,
    /// Something in it failed.
    Error,
    /// It was slow.
    Slow,
    /// It did something that is seldom done.
    Rare,
    /// It is one of the share of all others.
    Share,
    /// It is not kept.
    SampledOut,
}

impl Verdict {
    /// All verdicts, in the order in which reasons are looked at.
    pub const ALL: [Verdict; 6] =
        [Self::Pinned, Self::Error, Self::Slow, Self::Rare, Self::Share, Self::SampledOut];

    /// Whether the trace is kept.
    pub const fn keeps(self) -> bool {
        !matches!(self, Self::SampledOut)
    }

    /// The verdict as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Rare => "rare",
            Self::Share => "share",
            Self::SampledOut => "sampled_out",
        }
    }
}

/// A decision, and how many spans it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The trace.
    pub trace_id: TraceId,
    /// What becomes of it.
    pub verdict: Verdict,
    /// How many spans had come; of a trace that was decided before, one, which came late.
    pub spans: u64,
    /// Whether its root had come: without it, the decision is about a part.
    pub complete: bool,
}

/// What a [`Tail`] has counted since it began, and what waits in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TailCounts {
    /// Traces by what became of them, in the order of [`Verdict::ALL`].
    pub decided: [u64; Verdict::ALL.len()],
    /// Those of them whose root had not come.
    pub incomplete: u64,
    /// Those of them that were decided early, because too much waited.
    pub hurried: u64,
    /// Spans that came after the decision about their trace, and followed it.
    pub late: u64,
    /// Decisions that were forgotten to make room; what comes later of such a trace is decided anew.
    pub forgotten: u64,
    /// Traces that wait.
    pub waiting: u64,
    /// Their spans.
    pub waiting_spans: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Mono,
    last: Mono,
    spans: u64,
    has_root: bool,
    is_error: bool,
    longest_ns: u64,
    is_rare: bool,
}

/// Decides about traces when they are over.
#[derive(Debug)]
pub struct Tail {
    policy: TailPolicy,
    pending: HashMap<TraceId, Pending>,
    /// By the time at which they are looked at next.
    due: VecDeque<(Mono, TraceId)>,
    decided: HashMap<TraceId, Verdict>,
    decided_order: VecDeque<TraceId>,
    pinned: HashMap<TraceId, ()>,
    seen: HashMap<u64, u32>,
    seen_since: Mono,
    limits: [RateLimit; 4],
    counts: TailCounts,
}

/// Traces that can be pinned. Pins are a person's work; more of them are a mistake.
pub const MAX_PINNED: usize = 10_000;

impl Tail {
    /// Nothing has come yet.
    pub fn new(policy: TailPolicy) -> Self {
        let TailPolicy { errors_per_second, slow_per_second, rare_per_second, others_per_second, .. } =
            policy;
        let limits = [errors_per_second, slow_per_second, rare_per_second, others_per_second]
            .map(RateLimit::per_second);
        Self {
            policy,
            pending: HashMap::new(),
            due: VecDeque::new(),
            decided: HashMap::new(),
            decided_order: VecDeque::new(),
            pinned: HashMap::new(),
            seen: HashMap::new(),
            seen_since: Mono::default(),
            limits,
            counts: TailCounts::default(),
        }
    }

    /// Has a trace kept, decided or not; `false` where too many are. What was left out already stays out.
    pub fn pin(&mut self, trace_id: TraceId) -> bool {
        if self.pinned.len() >= MAX_PINNED && !self.pinned.contains_key(&trace_id) {
            return false;
        }
        self.pinned.insert(trace_id, ());
        true
    }

    /// Has a trace treated as any other again.
    pub fn unpin(&mut self, trace_id: TraceId) {
        self.pinned.remove(&trace_id);
    }

    /// Whether somebody wants the trace to stay.
    pub fn is_pinned(&self, trace_id: TraceId) -> bool {
        self.pinned.contains_key(&trace_id)
    }

    /// What has been counted so far, and what waits.
    pub fn counts(&self) -> TailCounts {
        TailCounts { waiting: self.pending.len() as u64, ..self.counts }
    }

    /// Takes in a span. What is decided by that is told: about a span that came late, or about the oldest trace
    /// where too many wait.
    pub fn observe(&mut self, span: &Glimpse, now: Mono) -> Option<Decided> {
        let is_rare = self.count(span.operation, now);
        let trace_id = span.trace_id;
        if let Some(verdict) = self.decided.get(&trace_id).copied() {
            let verdict = if self.pinned.contains_key(&trace_id) { Verdict::Pinned } else { verdict };
            self.counts.late += 1;
            return Some(Decided { trace_id, verdict, spans: 1, complete: true });
        }
        let crowded =
            self.pending.len() >= self.policy.waiting.max(1) && !self.pending.contains_key(&trace_id);
        let early = if crowded { self.decide_oldest(now) } else { None };
        if !self.pending.contains_key(&trace_id) {
            self.due.push_back((now + self.policy.quiet, trace_id));
        }
        let pending = self.pending.entry(trace_id).or_insert(Pending {
            first: now,
            last: now,
            spans: 0,
            has_root: false,
            is_error: false,
            longest_ns: 0,
            is_rare: false,
        });
        pending.last = now;
        pending.spans += 1;
        self.counts.waiting_spans += 1;
        pending.has_root |= span.is_root;
        pending.is_error |= span.is_error;
        pending.longest_ns = pending.longest_ns.max(span.duration_ns);
        pending.is_rare |= is_rare;
        early
    }

    /// Lets time pass, and tells what is decided.
    pub fn advance(&mut self, now: Mono) -> Vec<Decided> {
        let mut decided = Vec::new();
        // Each is looked at once: what is put back is due later.
        for _ in 0..self.due.len() {
            if self.due.front().is_none_or(|(at, _)| *at > now) {
                break;
            }
            let Some((_, trace_id)) = self.due.pop_front() else { break };
            let Some(pending) = self.pending.get(&trace_id) else { continue };
            let is_quiet = now.since(pending.last) >= self.policy.quiet && pending.has_root;
            if is_quiet || now.since(pending.first) >= self.policy.longest {
                decided.extend(self.decide(trace_id, now));
            } else {
                self.due.push_back((now + self.policy.quiet, trace_id));
            }
        }
        decided
    }

    /// When to come back.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.due.front().map(|(at, _)| *at)
    }

    /// Decides the oldest ones early until at most so many spans wait.
    pub fn hurry(&mut self, spans: u64, now: Mono) -> Vec<Decided> {
        let mut decided = Vec::new();
        while self.counts.waiting_spans > spans {
            match self.decide_oldest(now) {
                Some(one) => decided.push(one),
                None => break,
            }
        }
        decided
    }

    fn decide_oldest(&mut self, now: Mono) -> Option<Decided> {
        while let Some((_, trace_id)) = self.due.pop_front() {
            if let Some(decided) = self.decide(trace_id, now) {
                self.counts.hurried += 1;
                return Some(decided);
            }
        }
        None
    }

    fn decide(&mut self, trace_id: TraceId, now: Mono) -> Option<Decided> {
        let pending = self.pending.remove(&trace_id)?;
        let verdict = self.judge(trace_id, &pending, now);
        self.counts.waiting_spans = self.counts.waiting_spans.saturating_sub(pending.spans);
        self.counts.incomplete += u64::from(!pending.has_root);
        let at = Verdict::ALL.iter().position(|known| *known == verdict);
        self.counts.decided[at.unwrap_or(0)] += 1;
        self.remember(trace_id, verdict);
        Some(Decided { trace_id, verdict, spans: pending.spans, complete: pending.has_root })
    }

    /// The first reason that has room. One that is slow and failed may take the place of either.
    fn judge(&self, trace_id: TraceId, pending: &Pending, now: Mono) -> Verdict {
        if self.pinned.contains_key(&trace_id) {
            return Verdict::Pinned;
        }
        let is_slow = u128::from(pending.longest_ns) >= self.policy.slow.as_nanos();
        let reasons = [
            (pending.is_error, Verdict::Error),
            (is_slow, Verdict::Slow),
            (pending.is_rare, Verdict::Rare),
            (self.policy.ratio.keeps(trace_id), Verdict::Share),
        ];
        let mut open = reasons.iter().zip(&self.limits);
        let kept = open.find(|((applies, _), limit)| *applies && limit.admit(now));
        kept.map_or(Verdict::SampledOut, |((_, verdict), _)| *verdict)
    }

    fn remember(&mut self, trace_id: TraceId, verdict: Verdict) {
        if self.policy.remembered == 0 {
            return;
        }
        while self.decided_order.len() >= self.policy.remembered {
            if let Some(oldest) = self.decided_order.pop_front() {
                self.decided.remove(&oldest);
                self.counts.forgotten += 1;
            }
        }
        self.decided_order.push_back(trace_id);
        self.decided.insert(trace_id, verdict);
    }

    /// Counts an operation, and says whether it is rare.
    fn count(&mut self, operation: u64, now: Mono) -> bool {
        if now.since(self.seen_since) >= self.policy.rare_window {
            self.seen.clear();
            self.seen_since = now;
        }
        let is_full = self.seen.len() >= self.policy.operations;
        match self.seen.get_mut(&operation) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count <= self.policy.rare_below
            }
            None if is_full => false,
            None => {
                self.seen.insert(operation, 1);
                self.policy.rare_below > 0
            }
        }
    }
}

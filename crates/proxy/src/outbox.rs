//! What waits to be reported, and the account of it.
//!
//! `made = stored + sampled_out + dropped + waiting` for spans, at every moment. What is dropped or
//! sampled out is not forgotten but reported as a number, and reported again where the report that
//! carried the number was refused.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use monitoring::Ledger;
use tokio::sync::Notify;
use traces::Span;
use wire::native::channel::{Intake, Report, Transition};

/// How many spans a report takes: at about 1 KiB each it stays well below the 4 MiB of a gRPC message.
const SPANS_PER_REPORT: usize = 2_000;
/// How many transitions wait. A breaker makes a handful in a minute.
const TRANSITIONS: usize = 1_000;

/// No room for a span.
pub(crate) const SPOOL_FULL: &str = "spool_full";
/// The control plane did not want the report that it was in.
pub(crate) const REPORT_REFUSED: &str = "report_refused";

/// What waits to be reported.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Spans that ever were.
    made: AtomicU64,
    /// Spans sampled out since the last report.
    sampled_out: AtomicU64,
    most: usize,
    /// Rung when there is enough for a report.
    pub(crate) bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<Span>,
    /// Spans in the report that is under way.
    under_way: u64,
    /// Dropped since the last report, by reason.
    dropped: BTreeMap<&'static str, u64>,
    transitions: VecDeque<Transition>,
    ledger: Ledger,
}

/// What a report takes out.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) spans: Vec<Span>,
    pub(crate) intake: Intake,
    pub(crate) transitions: Vec<Transition>,
}

impl Outbox {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            made: AtomicU64::new(0),
            sampled_out: AtomicU64::new(0),
            most,
            bell: Notify::new(),
        }
    }

    pub(crate) fn sample_out(&self, spans: u64) {
        self.made.fetch_add(spans, Relaxed);
        self.sampled_out.fetch_add(spans, Relaxed);
    }

    pub(crate) fn push_spans(&self, spans: Vec<Span>) {
        self.made.fetch_add(spans.len() as u64, Relaxed);
        let mut waiting = self.lock();
        let room = self.most.saturating_sub(waiting.spans.len() + waiting.under_way as usize);
        let before = waiting.spans.len();
        let lost = spans.len().saturating_sub(room) as u64;
        waiting.spans.extend(spans.into_iter().take(room));
        waiting.drop_for(SPOOL_FULL, lost);
        if before < SPANS_PER_REPORT && waiting.spans.len() >= SPANS_PER_REPORT {
            self.bell.notify_one();
        }
    }

    pub(crate) fn push_transition(&self, transition: Transition) {
        let mut waiting = self.lock();
        if waiting.transitions.len() == TRANSITIONS {
            waiting.transitions.pop_front();
            tracing::warn!("too many transitions wait for the control plane; the oldest was dropped");
        }
        waiting.transitions.push_back(transition);
    }

    /// Takes out what fits into a report. It counts as under way until one of the two next is called.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = self.lock();
        let count = waiting.spans.len().min(SPANS_PER_REPORT);
        let spans: Vec<Span> = waiting.spans.drain(..count).collect();
        waiting.under_way = spans.len() as u64;
        let sampled_out = self.sampled_out.swap(0, Relaxed);
        waiting.ledger.sampled_out += sampled_out;
        let dropped: Vec<_> = std::mem::take(&mut waiting.dropped)
            .into_iter()
            .map(|(reason, n)| (reason.to_owned(), n))
            .collect();
        let lost: u64 = dropped.iter().map(|(_, count)| count).sum();
        let intake = Intake { received: spans.len() as u64 + sampled_out + lost, sampled_out, dropped };
        Taken { spans, intake, transitions: waiting.transitions.drain(..).collect() }
    }

    /// The report under way is durable.
    pub(crate) fn acknowledged(&self) {
        let mut waiting = self.lock();
        waiting.ledger.stored += std::mem::take(&mut waiting.under_way);
    }

    /// The report under way was refused for good: its spans are lost, its numbers go into the next one.
    pub(crate) fn refused(&self, report: &Report) {
        let mut waiting = self.lock();
        let lost = std::mem::take(&mut waiting.under_way);
        waiting.drop_for(REPORT_REFUSED, lost);
        waiting.ledger.sampled_out -= report.spans_intake.sampled_out;
        self.sampled_out.fetch_add(report.spans_intake.sampled_out, Relaxed);
        for (reason, count) in &report.spans_intake.dropped {
            let reason = if reason == SPOOL_FULL { SPOOL_FULL } else { REPORT_REFUSED };
            *waiting.dropped.entry(reason).or_default() += count;
        }
    }

    /// Whether more waits than one report takes.
    pub(crate) fn has_more(&self) -> bool {
        !self.lock().spans.is_empty()
    }

    /// The account of all spans so far. What waits here is `spooled`, what was acknowledged `stored`.
    pub(crate) fn ledger(&self) -> Ledger {
        let waiting = self.lock();
        let mut ledger = waiting.ledger.clone();
        ledger.received = self.made.load(Relaxed);
        ledger.sampled_out += self.sampled_out.load(Relaxed);
        ledger.spooled = waiting.spans.len() as u64 + waiting.under_way;
        ledger
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn drop_for(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
            self.ledger.drop_for(reason, count);
        }
    }
}

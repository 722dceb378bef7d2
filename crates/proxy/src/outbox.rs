//! What waits to be reported, and the account of it.
//!
//! `made = stored + sampled_out + dropped + waiting` for spans, at every moment. What is dropped or
//! sampled out is not forgotten but reported as a number, and reported again where the report that
//! carried the number was refused.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use monitoring::Ledger;
use tokio::sync::Notify;
use traces::Span;
use wire::native::channel::{Intake, Report, Transition};

/// How many spans a report takes, and how many bytes of them: it has to stay below the 4 MiB of a gRPC
/// message, with room for all the rest.
const SPANS_PER_REPORT: usize = 2_000;
const BYTES_PER_REPORT: usize = 2 * 1024 * 1024;
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
    most_bytes: usize,
    /// Rung when there is enough for a report, or something that somebody waits for.
    pub(crate) bell: Arc<Notify>,
    /// Whether a report is wanted, though it may say nothing new.
    is_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    /// With the bytes of memory that each takes.
    spans: VecDeque<(Span, usize)>,
    /// Spans in the report that is under way.
    under_way: u64,
    /// Bytes of those that wait and of those under way.
    bytes: usize,
    under_way_bytes: usize,
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
    pub(crate) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            made: AtomicU64::new(0),
            sampled_out: AtomicU64::new(0),
            most,
            most_bytes,
            bell: Arc::default(),
            is_wanted: AtomicBool::new(false),
        }
    }

    pub(crate) fn sample_out(&self, spans: u64) {
        self.made.fetch_add(spans, Relaxed);
        self.sampled_out.fetch_add(spans, Relaxed);
    }

    pub(crate) fn push_spans(&self, spans: Vec<Span>) {
        self.made.fetch_add(spans.len() as u64, Relaxed);
        let mut waiting = self.lock();
        let before = waiting.spans.len();
        for span in spans {
            let bytes = span.heap_bytes();
            let count = waiting.spans.len() + waiting.under_way as usize;
            let total = waiting.bytes + waiting.under_way_bytes + bytes;
            if count < self.most && total <= self.most_bytes {
                waiting.bytes += bytes;
                waiting.spans.push_back((span, bytes));
            } else {
                waiting.drop_for(SPOOL_FULL, 1);
            }
        }
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

    /// Has a report made at once, also where nothing is new: whoever gets it may have forgotten the last.
    pub(crate) fn want_report(&self) {
        self.is_wanted.store(true, Relaxed);
        self.bell.notify_one();
    }

    /// Whether a report is wanted that was not made yet.
    pub(crate) fn take_wanted(&self) -> bool {
        self.is_wanted.swap(false, Relaxed)
    }

    /// Takes out what fits into a report. It counts as under way until one of the two next is called.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = self.lock();
        let spans = waiting.take_spans();
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
        waiting.ledger.stored += waiting.arrived();
    }

    /// The report under way was refused for good: its spans are lost, its numbers go into the next one.
    pub(crate) fn refused(&self, report: &Report) {
        let mut waiting = self.lock();
        let lost = waiting.arrived();
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
    /// The oldest spans, as many as a report takes; they are under way now.
    fn take_spans(&mut self) -> Vec<Span> {
        let mut spans = Vec::new();
        while spans.len() < SPANS_PER_REPORT && self.under_way_bytes < BYTES_PER_REPORT {
            let Some((span, bytes)) = self.spans.pop_front() else { break };
            self.bytes -= bytes;
            self.under_way_bytes += bytes;
            spans.push(span);
        }
        self.under_way = spans.len() as u64;
        spans
    }

    /// How many were under way; now none is.
    fn arrived(&mut self) -> u64 {
        self.under_way_bytes = 0;
        std::mem::take(&mut self.under_way)
    }

    fn drop_for(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
            self.ledger.drop_for(reason, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use identity::{SpanId, TraceId, Wall};

    use super::*;

    fn span(message: &str) -> Span {
        let (trace, id) = (TraceId::new(1).unwrap(), SpanId::new(1).unwrap());
        let mut span = Span::new(trace, id, "GET cart", Wall(0), Arc::default());
        span.status = traces::Status::error(message);
        span
    }

    #[test]
    fn spans_are_bounded_by_number_and_by_bytes_and_the_account_balances() {
        let large = "x".repeat(10_000);
        let outbox = Outbox::new(3, 25_000);
        outbox.push_spans(vec![span(&large), span(&large), span(&large)]);
        assert_eq!((outbox.ledger().spooled, outbox.ledger().dropped_total()), (2, 1));
        outbox.push_spans(vec![span("a"), span("b")]);
        let ledger = outbox.ledger();
        assert!(ledger.balances(), "{ledger:?}");
        assert_eq!((ledger.spooled, ledger.dropped_total()), (3, 2));
        assert_eq!(outbox.take().intake.received, 5);
        outbox.push_spans(vec![span("c")]);
        assert_eq!(outbox.ledger().dropped_total(), 3, "what is under way still takes its room");
        outbox.acknowledged();
        outbox.push_spans(vec![span(&large), span(&large)]);
        assert_eq!((outbox.ledger().stored, outbox.ledger().spooled), (3, 2));
    }

    #[test]
    fn a_report_takes_no_more_than_a_message_can_carry() {
        let large = "x".repeat(100_000);
        let outbox = Outbox::new(10_000, usize::MAX);
        outbox.push_spans((0..50).map(|_| span(&large)).collect());
        assert_eq!(outbox.take().spans.len(), 21);
        assert!(outbox.has_more());
    }
}

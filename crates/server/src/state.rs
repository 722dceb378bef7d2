//! What every handler shares.

use std::sync::Arc;

use identity::{TraceId, Wall};
use monitoring::Ledger;
use storage_events::Events;
use storage_journal::Stats;
use storage_samples::{Samples, SeriesStore};
use storage_spans::Spans;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use traces::sampling::Ratio;
use wire::otlp::metrics::Deltas;

use crate::{
    access::Access, budgets::Place, diary::Diary, families::Families, forced::Forced, graph::Graph,
    listener::ListenerStats, live::Live, pins::Pins, policies::Policies, prober, roll::Roll,
    scraper::Targets, senders::Senders, subscribers::Subscribers, taps::Taps,
};

/// The stores, the registry and what is live.
#[derive(Debug)]
pub(crate) struct State {
    /// The registry.
    pub(crate) roll: Roll,
    /// What the registry's policies say.
    pub(crate) policies: Policies,
    /// Who did what and why.
    pub(crate) events: Events,
    /// Traces.
    pub(crate) spans: Spans,
    /// Traces that stay.
    pub(crate) pins: Pins,
    /// The share of traces that is kept, by their ids.
    pub(crate) share: Ratio,
    /// Who calls whom, as spans tell it.
    pub(crate) graph: Graph,
    /// Calls.
    pub(crate) samples: Samples,
    /// What others measure.
    pub(crate) series: SeriesStore,
    /// What senders count anew each time, added up.
    pub(crate) deltas: Deltas,
    /// What is known of metrics beside their samples.
    pub(crate) families: Families,
    /// Whom the scraper asks.
    pub(crate) targets: Targets,
    /// What the proxies said last.
    pub(crate) live: Live,
    /// Who may send calls to whom.
    pub(crate) subscribers: Subscribers,
    /// What spans of other senders go through.
    pub(crate) senders: Senders,
    /// What operators force breakers to.
    pub(crate) forced: Forced,
    /// Who watches calls go by.
    pub(crate) taps: Taps,
    /// Which revision each proxy knew, and when.
    pub(crate) diary: Diary,
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// What the prober counts.
    pub(crate) probes: Arc<prober::Figures>,
    /// What the listener counts.
    pub(crate) listener: Arc<ListenerStats>,
    /// Cancelled when the server stops, so that long answers end.
    pub(crate) stopping: CancellationToken,
    /// Held by the restore that is under way.
    pub(crate) restoring: tokio::sync::Mutex<()>,
    /// Held by whoever makes the ring of a large service: each takes a core and hundreds of megabytes.
    pub(crate) ring: tokio::sync::Mutex<()>,
    /// One place for each query that may be evaluated at the same time.
    pub(crate) queries: Arc<tokio::sync::Semaphore>,
    /// One place for each export of spans that may be under way at the same time.
    pub(crate) exports: Arc<tokio::sync::Semaphore>,
    /// Counts what changes what the first page shows.
    pub(crate) activity: watch::Sender<u64>,
    /// Where all of it is kept.
    pub(crate) place: Place,
    /// When this process started.
    pub(crate) started: Wall,
}

impl State {
    /// The accounts of spans and of samples.
    pub(crate) fn ledgers(&self) -> (Ledger, Ledger) {
        let mut samples = self.samples.ledger();
        samples.add(&self.series.ledger());
        (self.spans.ledger(), samples)
    }

    /// The stores whose last write the disk refused, and why.
    pub(crate) fn failing(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.journals().into_iter().filter_map(|(store, journal)| Some((store, journal.failing?)))
    }

    /// What the journals of all stores count.
    pub(crate) fn journals(&self) -> [(&'static str, Stats); 5] {
        [
            ("catalog", self.roll.journal()),
            ("events", self.events.stats().journal),
            ("spans", self.spans.stats().journal),
            ("samples", self.samples.stats().journal),
            ("series", self.series.stats().journal),
        ]
    }

    /// Whether the spans of a trace are stored. It depends on its id alone, so that a trace is there as a whole or
    /// not at all; what is pinned is.
    pub(crate) fn keeps(&self, id: TraceId) -> bool {
        self.share.keeps(id) || self.pins.get(id).is_some()
    }

    /// Something that the first page shows has changed.
    pub(crate) fn touch(&self) {
        self.activity.send_modify(|count| *count = count.wrapping_add(1));
    }
}

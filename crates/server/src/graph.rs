//! The graph of services as it grows: fed with spans once they are durable, kept by the minute, and after a restart
//! put together from what was kept and the newest spans of the store.
//!
//! Spans count before any is sampled out, so what is kept knows more than the store does; but it is kept every
//! [`KEEP_EVERY`], so that of the last moments before a crash the store knows more. Of both, the graph takes
//! the one that knows of more calls, edge by edge and minute by minute. What a crash can cost are calls of the
//! last moments whose spans were not stored.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::Wall;
use storage_disk::Disk;
use storage_journal::OpenError;
use storage_spans::{Edges, Spans};
use traces::{
    Span,
    graph::{Edge, EdgeMinute, Limits, Losses, Seen},
};

use crate::{clock, state::State};

/// How often what has changed is kept.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// How far back a restart looks for spans where nothing was kept; else to some minutes before the last that was …
const RECALLED: Duration = Duration::from_secs(3_600);
const RECALLED_BEFORE_KEPT: Duration = Duration::from_secs(120);
/// … and at how many of them at most, since nobody is served meanwhile.
const RECALLED_SPANS: usize = 50_000;

/// The graph behind its lock.
#[derive(Debug)]
pub(crate) struct Graph {
    held: Mutex<traces::graph::Graph>,
    /// Held by whoever writes, so that a later word is not overtaken by an earlier one.
    edges: Mutex<Edges>,
    /// Spans that were received before this are not all in it.
    since: Wall,
}

/// The graph at one moment.
pub(crate) struct View {
    pub(crate) edges: Vec<Edge>,
    pub(crate) waiting: usize,
    pub(crate) losses: Losses,
    /// Calls that began before this are not all in it.
    pub(crate) complete_since: Wall,
}

impl Graph {
    /// The graph of what was kept in this folder, and of the newest spans. Blocks the thread while it reads them.
    pub(crate) fn open(
        spans: &Spans,
        disk: Arc<dyn Disk>,
        folder: &Path,
        reserve_bytes: u64,
        now: Wall,
    ) -> Result<Self, OpenError> {
        let (edges, kept, recovery) = Edges::open(disk, folder, reserve_bytes)?;
        for damage in &recovery.damaged {
            tracing::error!(file = %damage.file.display(), why = damage.why, "edges of the graph are damaged");
        }
        let mut graph = traces::graph::Graph::new(Limits::default());
        let newest = kept.minutes.iter().map(|edge| edge.minute).max();
        let start =
            newest.map_or(now - RECALLED, |newest| (newest - RECALLED_BEFORE_KEPT).max(now - RECALLED));
        let mut seen = 0;
        spans.scan(start, &mut |span| {
            graph.recall(&Seen::of(&span));
            seen += 1;
            if seen < RECALLED_SPANS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        graph.recalled(now);
        let recalled = if seen < RECALLED_SPANS { start } else { now };
        kept.minutes.into_iter().for_each(|edge| graph.restore(edge));
        let since = kept.since.unwrap_or(recalled);
        Ok(Self { held: Mutex::new(graph), edges: Mutex::new(edges), since })
    }

    /// Keeps what has changed. Blocks the thread for the disk; what it refuses is kept the next time.
    pub(crate) fn keep(&self) {
        let edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, since) = {
            let mut graph = self.lock();
            (graph.take_changed(), self.complete_since(&graph))
        };
        if changed.is_empty() {
            return;
        }
        if let Err(error) = edges.keep(since, &changed) {
            tracing::warn!(%error, "the graph could not be kept; it is tried again");
            return self.lock().give_back(&changed);
        }
        if edges.is_long() {
            let all: Vec<EdgeMinute> = self.lock().minutes().collect();
            if let Err(error) = edges.replace(since, &all) {
                tracing::warn!(%error, "the graph's journal could not be shortened; it is tried again");
            }
        }
    }

    fn complete_since(&self, graph: &traces::graph::Graph) -> Wall {
        self.since.max(graph.gone_before())
    }

    /// Takes in spans that are durable, received at `now`.
    pub(crate) fn observe<'a>(&self, spans: impl IntoIterator<Item = &'a Span>, now: Wall) {
        let mut graph = self.lock();
        spans.into_iter().for_each(|span| graph.observe(&Seen::of(span), now));
    }

    /// Takes in the spans of a request, as `observe` does.
    pub(crate) fn observe_request(&self, request: &wire::otlp::Batch<'_>, now: Wall) {
        let resources = request.resources.iter();
        let names: Vec<_> =
            resources.map(|resource| (request.namespace(*resource), request.service(*resource))).collect();
        let mut graph = self.lock();
        request.each(|span, borrowed| {
            let (namespace, service) = names.get(span.resource as usize).copied().unwrap_or_default();
            graph.observe(&Seen::of_borrowed(borrowed, namespace, service), now);
        });
    }

    /// The edges of a time range.
    pub(crate) fn view(&self, start: Wall, end: Wall, namespace: Option<&str>, now: Wall) -> View {
        let mut graph = self.lock();
        graph.advance(now);
        let edges = graph.edges(start, end, namespace);
        let complete_since = self.complete_since(&graph);
        View { edges, waiting: graph.waiting(), losses: graph.losses(), complete_since }
    }

    /// Lets time pass: ends that have waited long enough are drawn.
    fn advance(&self, now: Wall) {
        self.lock().advance(now);
    }

    fn lock(&self) -> MutexGuard<'_, traces::graph::Graph> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what has changed every now and then, until the server stops.
pub(crate) async fn keep(state: Arc<State>) {
    while tokio::time::timeout(KEEP_EVERY, state.stopping.cancelled()).await.is_err() {
        let of = Arc::clone(&state);
        let kept = tokio::task::spawn_blocking(move || {
            of.graph.advance(clock::now().wall);
            of.graph.keep();
        });
        if let Err(error) = kept.await {
            tracing::error!(%error, "the graph was not kept");
        }
    }
}

//! The graph of services as it grows: fed with spans once they are durable, and after a restart with those
//! that the store holds of the last hour.

use std::{
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::Wall;
use storage_spans::Spans;
use traces::{
    Span,
    graph::{Edge, Limits, Losses, Seen},
};

/// How far back a restart looks for spans …
const RECALLED: Duration = Duration::from_secs(3_600);
/// … and at how many of them at most, since nobody is served meanwhile.
const RECALLED_SPANS: usize = 50_000;

/// The graph behind its lock.
#[derive(Debug)]
pub(crate) struct Graph {
    held: Mutex<traces::graph::Graph>,
    /// Spans that were received before this are not all in it.
    pub(crate) complete_since: Wall,
}

/// The graph at one moment.
pub(crate) struct View {
    pub(crate) edges: Vec<Edge>,
    pub(crate) waiting: usize,
    pub(crate) losses: Losses,
}

impl Graph {
    /// The graph of the spans of the last hour, or where those are too many, of some of them. Blocks the thread
    /// while it reads them.
    pub(crate) fn recalled(spans: &Spans, now: Wall) -> Self {
        let mut graph = traces::graph::Graph::new(Limits::default());
        let (start, mut seen) = (now - RECALLED, 0);
        spans.scan(start, &mut |span| {
            graph.observe(&Seen::of(&span), now);
            seen += 1;
            if seen < RECALLED_SPANS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let complete_since = if seen < RECALLED_SPANS { start } else { now };
        Self { held: Mutex::new(graph), complete_since }
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
        View { edges, waiting: graph.waiting(), losses: graph.losses() }
    }

    fn lock(&self) -> MutexGuard<'_, traces::graph::Graph> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where the time of a call went: T = Σ tᵢ + wire, to the nanosecond.
//!
//! Durations of spans add up to more than a trace as soon as two of them run at the same time. What adds
//! up exactly is the *critical path*: at each moment between the root's begin and its end, the one span
//! that everything else waited for. Walking back from the end of a span, that is the child that ended
//! last, for as long as it ran; the time that no such child covers is the span's own. The segments of the
//! walk tile the root, so their sum is its duration, always.
//!
//! Three quantities answer three questions and are never mixed: *critical time* (how much sooner would
//! the caller at most have had its answer), *self time* (how long did a span run without any child), and
//! *total work* (how long did all of them run). Time between a caller and its callee is *wire*: of a
//! `client` span with a `server` span below it, what the server does not cover. It is blamed on neither.
//!
//! A proxy's attempt without a server span below it is the only witness of a service that records nothing
//! itself. Its time is that service's, as seen from outside.

use std::collections::BTreeMap;

use identity::Wall;

use crate::{
    Kind, Span, Trace,
    timeline::{self, Part, Placed, Rules},
};

/// The critical path of a trace, and what its services and operations took.
#[derive(Debug, Clone, PartialEq)]
pub struct CriticalPath {
    /// The root that the path explains, a position among [`Trace::nodes`].
    pub root: usize,
    /// When that root began.
    pub start: Wall,
    /// How long it took: the sum of all segments.
    pub duration_ns: u64,
    /// From the root's begin until the last work that it caused had ended, asynchronous work included.
    pub makespan_ns: u64,
    /// How much of the path was spent between callers and callees.
    pub wire_ns: u64,
    /// The part of that which rests on corrected clocks, so that the way there and the way back are taken
    /// to be equally long.
    pub wire_assumed_ns: u64,
    /// The path in the order of time, without gaps and overlaps.
    pub segments: Vec<Segment>,
    /// What is known of each span, in the order of [`Trace::nodes`].
    pub spans: Vec<SpanTime>,
    /// Whether a parent is missing, so that the path may be that of a part.
    pub incomplete: bool,
}

/// A piece of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The span that everything else waited for, a position among [`Trace::nodes`].
    pub node: usize,
    /// How long after the root's begin.
    pub offset_ns: u64,
    /// For how long; never zero.
    pub duration_ns: u64,
    /// Whether the time was spent between this span and its callee.
    pub wire: bool,
}

/// What is known of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanTime {
    /// How far its recorded time was moved to correct its host's clock.
    pub delta_ns: i64,
    /// Whether its host's clock is so wrong that it was not corrected.
    pub beyond: bool,
    /// Whether somebody waited for it.
    pub part: Part,
    /// Its time on the path, with wire.
    pub critical_ns: u64,
    /// How much of that was wire.
    pub wire_ns: u64,
    /// How long it ran without any child.
    pub self_ns: u64,
}

/// What a service, or an operation of one, took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// On the critical path, without wire.
    pub critical_ns: u64,
    /// Between it and what it called, on the critical path.
    pub wire_ns: u64,
    /// Without any child.
    pub self_ns: u64,
    /// Of all its spans.
    pub total_ns: u64,
    /// How many spans it has.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
}

impl Share {
    fn add(&mut self, span: &Span, time: &SpanTime) {
        self.critical_ns += time.critical_ns - time.wire_ns;
        self.wire_ns += time.wire_ns;
        self.self_ns = self.self_ns.saturating_add(time.self_ns);
        self.total_ns = self.total_ns.saturating_add(span.duration_ns);
        self.spans += 1;
        self.errors += u64::from(span.is_error());
    }
}

/// Whose time a span's is, and what was done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Doer<'a> {
    /// The namespace of the service.
    pub namespace: &'a str,
    /// The service.
    pub service: &'a str,
    /// The operation; empty where all of a service are meant.
    pub operation: &'a str,
}

impl CriticalPath {
    /// The path of the trace's main root, [`Trace::main_root`].
    pub fn of(trace: &Trace, rules: &Rules) -> Self {
        Self::of_root(trace, trace.main_root(), rules)
    }

    /// The path of one of the trace's roots; of any span, as if nobody had caused it.
    pub fn of_root(trace: &Trace, root: usize, rules: &Rules) -> Self {
        let placed = timeline::place(trace, rules);
        let (begin, end) = placed.get(root).map_or((0, 0), |root| root.clip);
        let wire = wires(trace, &placed);
        let segments: Vec<Segment> = Walk::new(trace, &placed, rules)
            .segments(root)
            .into_iter()
            .rev()
            .map(|piece| Segment {
                node: piece.node,
                offset_ns: nanos(piece.begin - begin),
                duration_ns: nanos(piece.end - piece.begin),
                wire: wire[piece.node].is_some(),
            })
            .collect();
        let mut spans: Vec<SpanTime> = placed.iter().map(SpanTime::of).collect();
        own_times(trace, &placed, &mut spans);
        let (mut wire_ns, mut wire_assumed_ns) = (0, 0);
        for segment in &segments {
            let time = &mut spans[segment.node];
            time.critical_ns += segment.duration_ns;
            if let Some(server) = wire[segment.node] {
                time.wire_ns += segment.duration_ns;
                wire_ns += segment.duration_ns;
                let moved = placed[server].delta_ns != placed[segment.node].delta_ns;
                wire_assumed_ns += if moved { segment.duration_ns } else { 0 };
            }
        }
        Self {
            root,
            start: Wall(u64::try_from(begin).unwrap_or(0)),
            duration_ns: nanos(end - begin),
            makespan_ns: nanos(last_end(trace, &placed, root) - begin),
            wire_ns,
            wire_assumed_ns,
            segments,
            spans,
            incomplete: trace.is_incomplete(),
        }
    }

    /// What each service took, by namespace and name. Their critical times and the path's wire are its
    /// duration.
    pub fn services<'a>(&self, trace: &'a Trace) -> BTreeMap<Doer<'a>, Share> {
        self.shares(trace, |doer| Doer { operation: "", ..doer })
    }

    /// What each operation of each service took.
    pub fn operations<'a>(&self, trace: &'a Trace) -> BTreeMap<Doer<'a>, Share> {
        self.shares(trace, |doer| doer)
    }

    fn shares<'a>(&self, trace: &'a Trace, of: impl Fn(Doer<'a>) -> Doer<'a>) -> BTreeMap<Doer<'a>, Share> {
        let mut shares: BTreeMap<Doer<'a>, Share> = BTreeMap::new();
        for (at, time) in self.spans.iter().enumerate() {
            shares.entry(of(doer(trace, at))).or_default().add(&trace.nodes()[at].span, time);
        }
        shares
    }
}

impl SpanTime {
    fn of(placed: &Placed) -> Self {
        let Placed { delta_ns, beyond, .. } = *placed;
        let part = placed.part_of_trace();
        Self { delta_ns, beyond, part, critical_ns: 0, wire_ns: 0, self_ns: 0 }
    }
}

/// Whose time that of a span is: its service's, or, of a proxy's attempt at a service that recorded
/// nothing, the called one's.
pub fn doer(trace: &Trace, at: usize) -> Doer<'_> {
    let node = &trace.nodes()[at];
    let span = &*node.span;
    let answered = || node.children.iter().any(|child| answers(&trace.nodes()[*child].span, span));
    let called = if span.kind == Kind::Client { span.called() } else { None };
    let (namespace, service) =
        called.filter(|_| !answered()).unwrap_or((span.resource.namespace(), span.service()));
    Doer { namespace, service, operation: &span.name }
}

/// Whether a span is the other end of a call. Below a proxy's attempt at a service that records nothing may be a
/// proxy's span of a call that this service made; one at the same service is the next proxy on the way.
fn answers(server: &Span, client: &Span) -> bool {
    let made_by_callee = || {
        client.called().is_some()
            && server.attributes.get("bellwether.proxy").is_some()
            && server.called() != client.called()
    };
    server.kind == Kind::Server && !made_by_callee()
}

/// Of each `client` span the `server` span that it waited for.
fn wires(trace: &Trace, placed: &[Placed]) -> Vec<Option<usize>> {
    let nodes = trace.nodes();
    let server =
        |client: &Span, child: usize| placed[child].is_waited_for() && answers(&nodes[child].span, client);
    nodes
        .iter()
        .map(|node| match node.span.kind {
            Kind::Client => node.children.iter().copied().find(|child| server(&node.span, *child)),
            _ => None,
        })
        .collect()
}

/// How long each span ran without any child that it waited for.
fn own_times(trace: &Trace, placed: &[Placed], spans: &mut [SpanTime]) {
    let mut covered: Vec<(i128, i128)> = Vec::new();
    for (at, node) in trace.nodes().iter().enumerate() {
        let own = &placed[at];
        covered.clear();
        let children = node.children.iter().map(|child| &placed[*child]);
        let waited = children.filter(|child| matches!(child.part, Part::Waited | Part::Outside));
        covered.extend(waited.map(|child| (child.begin.max(own.begin), child.end.min(own.end))));
        covered.sort_unstable();
        let (mut free, mut until) = (own.end - own.begin, own.begin);
        for (begin, end) in &covered {
            free -= (*end - until.max(*begin)).max(0);
            until = until.max(*end);
        }
        spans[at].self_ns = nanos(free);
    }
}

/// When the last work below a root ended; that of roots which go on from it by a link as well.
fn last_end(trace: &Trace, placed: &[Placed], root: usize) -> i128 {
    let mut last = placed.get(root).map_or(0, |root| root.end);
    let linked = trace.roots().iter().copied().filter(|at| placed[*at].apart.is_some());
    let mut pending: Vec<usize> = linked.chain([root]).collect();
    while let Some(at) = pending.pop() {
        last = last.max(placed[at].end);
        pending.extend(&trace.nodes()[at].children);
    }
    last
}

fn nanos(time: i128) -> u64 {
    u64::try_from(time.max(0)).unwrap_or(u64::MAX)
}

/// A piece of the path on the clock of the trace.
#[derive(Debug)]
struct Piece {
    node: usize,
    begin: i128,
    end: i128,
}

/// The walk back from the end of a root.
struct Walk<'a> {
    trace: &'a Trace,
    placed: &'a [Placed],
    overlap_percent: i128,
    pieces: Vec<Piece>,
    frames: Vec<Frame>,
}

/// A span on the way, of which the time since `until` is explained.
struct Frame {
    node: usize,
    begin: i128,
    until: i128,
    /// The children that are left to look at, the one that ended last at the end.
    children: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(trace: &'a Trace, placed: &'a [Placed], rules: &Rules) -> Self {
        let overlap_percent = i128::from(rules.sibling_overlap_percent.min(100));
        Self { trace, placed, overlap_percent, pieces: Vec::new(), frames: Vec::new() }
    }

    /// The pieces from the last one to the first one. An explicit stack, because a trace may be as deep as
    /// it has spans; and each span is entered once, since a tree has no circles.
    fn segments(mut self, root: usize) -> Vec<Piece> {
        let Some((begin, end)) = self.placed.get(root).map(|root| root.clip) else { return self.pieces };
        self.enter(root, begin, end);
        while let Some(frame) = self.frames.last_mut() {
            let Some(child) = frame.children.pop() else {
                let (node, begin, until) = (frame.node, frame.begin, frame.until);
                self.explain(node, begin, until);
                self.frames.pop();
                continue;
            };
            let (begin, end) = self.placed[child].clip;
            let (node, until) = (frame.node, frame.until);
            let tolerated = (until - begin).min(end - begin) * self.overlap_percent / 100;
            if begin >= until || end - until > tolerated {
                continue;
            }
            frame.until = begin;
            self.explain(node, end, until);
            self.enter(child, begin, end.min(until));
        }
        self.pieces
    }

    fn enter(&mut self, node: usize, begin: i128, until: i128) {
        let placed = self.placed;
        let mut children: Vec<usize> = self.trace.nodes()[node]
            .children
            .iter()
            .copied()
            .filter(|child| placed[*child].is_waited_for())
            .collect();
        // Popped from the end: latest end first, then latest start, then smallest id.
        children.sort_by_key(|child| {
            let (begin, end) = placed[*child].clip;
            (end, begin, std::cmp::Reverse(self.trace.nodes()[*child].span.span_id))
        });
        self.frames.push(Frame { node, begin, until, children });
    }

    fn explain(&mut self, node: usize, begin: i128, end: i128) {
        if begin < end {
            self.pieces.push(Piece { node, begin, end });
        }
    }
}

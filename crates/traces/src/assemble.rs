//! From spans in any order to the tree that they make.
//!
//! Spans arrive late, twice, or never. Duplicates are removed; a span whose parent is not there becomes
//! a root of its own and the trace is flagged incomplete, instead of being merged silently into
//! something that nobody recorded; parents in a circle, which only a broken sender can make, are cut at
//! the earliest span of the circle and flagged as well.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use identity::{SpanId, TraceId, Wall};

use crate::{Kind, Span};

/// The spans of one trace as the tree that they make.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    id: TraceId,
    nodes: Vec<Node>,
    roots: Vec<usize>,
    incomplete: bool,
}

/// A span in its tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The span.
    pub span: Arc<Span>,
    /// The position of its parent among [`Trace::nodes`], `None` for a root.
    pub parent: Option<usize>,
    /// The positions of its children, by start, then id.
    pub children: Vec<usize>,
}

/// What a list of traces shows of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The trace.
    pub trace_id: TraceId,
    /// The namespace of the root's service.
    pub namespace: Box<str>,
    /// The service of the root: of the earliest one, where there are several.
    pub root_service: Box<str>,
    /// The name of the root.
    pub root_operation: Arc<str>,
    /// When the earliest span began.
    pub start: Wall,
    /// From there to the latest end.
    pub duration_ns: u64,
    /// How many spans there are.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
    /// The same by service, in the order of their names.
    pub services: Vec<ServiceCount>,
    /// Whether parents are missing, so that this may not be the whole trace.
    pub incomplete: bool,
    /// Its senders kept one in so many traces: the most that any of its spans tells, or nothing where none tells of
    /// any that were left out.
    pub one_in: Option<f64>,
}

/// How many spans of a trace belong to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCount {
    /// The service.
    pub service: Box<str>,
    /// Its spans.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
}

impl Trace {
    /// Puts together the spans of one trace, given in any order and any number of times.
    ///
    /// Spans of other traces than the first one's are left out. Where two spans of one id differ, the
    /// longer one stays, since it is the one that was reported later. `None` for no spans at all.
    pub fn assemble(spans: impl IntoIterator<Item = Arc<Span>>) -> Option<Self> {
        let mut spans: Vec<Arc<Span>> = spans.into_iter().collect();
        let id = spans.first()?.trace_id;
        spans.retain(|span| span.trace_id == id);
        // Zipkin's shared spans have one id on both sides of a call, so the kind is part of the identity.
        spans.sort_by_key(|span| (span.span_id, side(span.kind), std::cmp::Reverse(span.duration_ns)));
        spans.dedup_by_key(|span| (span.span_id, side(span.kind)));
        spans.sort_by_key(|span| (span.start, span.span_id, side(span.kind)));

        let mut trace = Self {
            id,
            nodes: spans.into_iter().map(|span| Node { span, parent: None, children: vec![] }).collect(),
            roots: vec![],
            incomplete: false,
        };
        trace.find_parents();
        trace.cut_circles();
        trace.find_children();
        Some(trace)
    }

    fn find_parents(&mut self) {
        let mut by_id: HashMap<SpanId, Vec<usize>> = HashMap::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            by_id.entry(node.span.span_id).or_default().push(at);
        }
        for at in 0..self.nodes.len() {
            let span = Arc::clone(&self.nodes[at].span);
            // The server half of a shared span is the child of its client half.
            let shared = (side(span.kind) == 1)
                .then(|| by_id[&span.span_id].iter().copied().find(|other| *other != at))
                .flatten();
            let named = span.parent_span_id.and_then(|parent| {
                let candidates = by_id.get(&parent)?;
                // A child is caused by what runs in its own process: the receiving half, if there are two.
                candidates.iter().copied().max_by_key(|at| side(self.nodes[*at].span.kind))
            });
            let parent = shared.or(named).filter(|parent| *parent != at);
            self.incomplete |= parent.is_none() && span.parent_span_id.is_some();
            self.nodes[at].parent = parent;
        }
    }

    /// Walks up from every span; what comes back to its own walk is a circle, cut at its earliest span.
    fn cut_circles(&mut self) {
        const UNSEEN: usize = usize::MAX;
        let mut seen_by = vec![UNSEEN; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut at = start;
            while seen_by[at] == UNSEEN {
                seen_by[at] = start;
                match self.nodes[at].parent {
                    Some(parent) => at = parent,
                    None => break,
                }
            }
            if seen_by[at] == start && self.nodes[at].parent.is_some() {
                self.cut_circle_through(at);
            }
        }
    }

    fn cut_circle_through(&mut self, member: usize) {
        let (mut earliest, mut at) = (member, member);
        while let Some(parent) = self.nodes[at].parent {
            earliest = earliest.min(parent);
            at = parent;
            if at == member {
                break;
            }
        }
        if at == member {
            self.nodes[earliest].parent = None;
            self.incomplete = true;
        }
    }

    /// Nodes are in the order of their starts, so that children and roots come out in it as well.
    fn find_children(&mut self) {
        for at in 0..self.nodes.len() {
            match self.nodes[at].parent {
                Some(parent) => self.nodes[parent].children.push(at),
                None => self.roots.push(at),
            }
        }
    }

    /// The trace's id.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// The spans, by start, then id.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The positions of the spans without a parent, by start, then id; at least one.
    pub fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// The root that speaks for the trace: the earliest real one, which names no parent. It is more telling
    /// than an orphan that began earlier.
    pub fn main_root(&self) -> usize {
        let real = self.roots.iter().find(|at| self.nodes[**at].span.parent_span_id.is_none());
        real.or(self.roots.first()).copied().unwrap_or(0)
    }

    /// Whether a parent is missing (or parents formed a circle), so that this may not be the whole trace.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// What a list shows of this trace.
    pub fn summary(&self) -> Summary {
        let root = &self.nodes[self.main_root()].span;
        let start = self.nodes.iter().map(|node| node.span.start).min().unwrap_or_default();
        let end = self.nodes.iter().map(|node| node.span.end()).max().unwrap_or_default();

        let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for node in &self.nodes {
            let (spans, errors) = services.entry(node.span.service()).or_default();
            *spans += 1;
            *errors += u64::from(node.span.is_error());
        }
        Summary {
            trace_id: self.id,
            namespace: root.resource.namespace().into(),
            root_service: root.service().into(),
            root_operation: Arc::clone(&root.name),
            start,
            duration_ns: end.0.saturating_sub(start.0),
            spans: services.values().map(|(spans, _)| spans).sum(),
            errors: services.values().map(|(_, errors)| errors).sum(),
            services: services
                .into_iter()
                .map(|(service, (spans, errors))| ServiceCount { service: service.into(), spans, errors })
                .collect(),
            incomplete: self.incomplete,
            one_in: self.one_in(),
        }
    }

    fn one_in(&self) -> Option<f64> {
        let told = self.nodes.iter().filter_map(|node| node.span.one_in());
        told.max_by(f64::total_cmp)
    }
}

/// Which half of a call a span is: 1 for the receiving one, 0 for everything else.
fn side(kind: Kind) -> u8 {
    u8::from(matches!(kind, Kind::Server | Kind::Consumer))
}

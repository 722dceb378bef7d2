//! When the spans of a trace ran, on one clock: corrected where clocks of hosts disagree, clipped to the
//! spans that waited for them, and told apart from work that nobody waited for.
//!
//! Hosts' clocks differ by milliseconds where they are kept well and by minutes where they are not, which
//! shows when a callee seems to have begun before its caller asked, or to have answered after the caller
//! had its answer. Then, and only between different hosts, the callee is put where it must have been: in
//! the middle of its caller, as if there and back took equally long. How far it was moved is kept as δ
//! beside the time that was recorded, so that nobody mistakes the one for the other.
//!
//! Two spans whose hosts are not known could be on one host or on two. That alone moves nothing: of spans
//! that overlap a little, or of work that goes on in the background, it would make something that was
//! never recorded. A span of the kind `server` is different, it was called from elsewhere, and so it counts
//! as on a different host until both say that they share one.
//!
//! The method is that of Jaeger's clock skew adjuster; clipping and what is asynchronous follow CRISP
//! (USENIX ATC '22).

use crate::{Kind, Node, Resource, Span, Trace, Value};

/// How times are corrected, and how paths are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A span that would have to be moved further than this is left where it is, in nanoseconds. Zero
    /// switches the correction off.
    pub max_skew_ns: u64,
    /// Siblings count as one after the other where the earlier one goes on into the later one for at most
    /// this many hundredths of the shorter of the two. CRISP takes 1; the exact answer is 0.
    pub sibling_overlap_percent: u8,
}

impl Rules {
    /// An hour: more is a wrong time zone or a job of the next day, and no clock that drifts.
    pub const DEFAULT_MAX_SKEW_NS: u64 = 3_600_000_000_000;
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_skew_ns: Self::DEFAULT_MAX_SKEW_NS, sibling_overlap_percent: 0 }
    }
}

/// Whether the span that caused a span waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// It is a root.
    Root,
    /// The span that caused it waited for it.
    Waited,
    /// Nobody waited for it, or for the asynchronous work that it belongs to.
    Asynchronous(Reason),
    /// Nothing of it lies within the time of the span that caused it.
    Outside,
}

/// Why work counts as asynchronous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It handles a message: a consumer below the producer.
    Message,
    /// It is joined to what caused it by a link.
    Link,
    /// It began when the span that caused it had ended.
    Late,
}

impl Reason {
    /// The reason as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Link => "link",
            Self::Late => "late",
        }
    }
}

/// When a span ran, as the trace's other spans have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    /// How far it was moved to correct the clock of its host.
    pub(crate) delta_ns: i64,
    /// Whether it would have had to be moved further than the rules allow.
    pub(crate) beyond: bool,
    /// Corrected, not clipped.
    pub(crate) begin: i128,
    pub(crate) end: i128,
    /// Corrected and clipped to what waited for it; empty where nothing is left.
    pub(crate) clip: (i128, i128),
    /// What it is to its parent.
    pub(crate) part: Part,
    /// Why the work that it belongs to is asynchronous, if it is.
    pub(crate) apart: Option<Reason>,
}

impl Placed {
    /// Whether the span that caused it waited for it, for some time at least.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.part == Part::Waited
    }

    /// What it is to the root above it.
    pub(crate) fn part_of_trace(&self) -> Part {
        self.apart.map_or(self.part, Part::Asynchronous)
    }

    fn root(span: &Span) -> Self {
        let (begin, end) = recorded(span);
        let (delta_ns, beyond, apart) = (0, false, None);
        Self { delta_ns, beyond, begin, end, clip: (begin, end), part: Part::Root, apart }
    }
}

/// Places all spans, in the order of [`Trace::nodes`].
pub(crate) fn place(trace: &Trace, rules: &Rules) -> Vec<Placed> {
    let nodes = trace.nodes();
    let mut placed: Vec<Placed> = nodes.iter().map(|node| Placed::root(&node.span)).collect();
    let mut pending: Vec<usize> = Vec::with_capacity(trace.roots().len());
    for at in trace.roots() {
        if continues(trace, &nodes[*at]) {
            placed[*at].apart = Some(Reason::Link);
        }
        pending.push(*at);
    }
    // A stack and no recursion: a trace may be as deep as it has spans.
    while let Some(at) = pending.pop() {
        for child in &nodes[at].children {
            placed[*child] = below(&nodes[at].span, &placed[at], &nodes[*child].span, rules);
            pending.push(*child);
        }
    }
    placed
}

/// Whether a root goes on from another span of its trace, to which it has a link. One whose parent is
/// missing is an orphan, whatever it links to.
fn continues(trace: &Trace, root: &Node) -> bool {
    let another = |span: identity::SpanId| {
        span != root.span.span_id && trace.nodes().iter().any(|node| node.span.span_id == span)
    };
    root.span.parent_span_id.is_none()
        && trace.roots().len() > 1
        // The first few are enough: whoever links to hundreds is a batch, which its first link shows.
        && root.span.links.iter().take(LINKS).any(|link| link.trace_id == trace.id() && another(link.span_id))
}

/// How many links of a root are followed.
const LINKS: usize = 4;

/// Places a child below its parent, which is placed already.
fn below(parent: &Span, above: &Placed, child: &Span, rules: &Rules) -> Placed {
    let apart = match (parent.kind, child.kind) {
        (Kind::Producer, Kind::Consumer) => Some(Reason::Message),
        _ if follows(child, parent) => Some(Reason::Link),
        _ => None,
    };
    let (raw_begin, raw_end) = recorded(child);
    let (delta_ns, beyond) = if !is_elsewhere(parent, child) {
        (above.delta_ns, false)
    } else if apart.is_some() {
        // It may have begun at any time after, so nothing can be said about its clock.
        (0, false)
    } else {
        match skew(above, raw_begin, raw_end) {
            delta if delta.unsigned_abs() <= u128::from(rules.max_skew_ns) => {
                (i64::try_from(delta).unwrap_or(0), false)
            }
            _ => (0, true),
        }
    };
    let (begin, end) = (raw_begin + i128::from(delta_ns), raw_end + i128::from(delta_ns));
    let apart = apart.or((begin >= above.end).then_some(Reason::Late));
    let (begin_clip, end_clip) = (begin.max(above.clip.0), end.min(above.clip.1));
    let (part, clip) = match apart {
        // What is asynchronous stands for itself: clipped, it would be gone.
        Some(reason) => (Part::Asynchronous(reason), (begin, end)),
        None if begin_clip < end_clip => (Part::Waited, (begin_clip, end_clip)),
        None => (Part::Outside, (above.clip.0, above.clip.0)),
    };
    Placed { delta_ns, beyond, begin, end, clip, part, apart: apart.or(above.apart) }
}

/// The times as the span's host recorded them.
fn recorded(span: &Span) -> (i128, i128) {
    (i128::from(span.start.0), i128::from(span.end().0))
}

/// How far a child on another host has to be moved.
fn skew(parent: &Placed, begin: i128, end: i128) -> i128 {
    let (whole, part) = (parent.end - parent.begin, end - begin);
    if part > whole {
        // It outlived its caller, which gave up waiting. All that is certain is that it began later.
        (parent.begin - begin).max(0)
    } else if begin >= parent.begin && end <= parent.end {
        0
    } else {
        parent.begin + (whole - part) / 2 - begin
    }
}

/// Whether the child follows from its parent by a link, as OpenTracing's `FOLLOWS_FROM` is translated.
fn follows(child: &Span, parent: &Span) -> bool {
    child
        .links
        .iter()
        .take(LINKS)
        .any(|link| link.span_id == parent.span_id && link.trace_id == child.trace_id)
}

/// Whether the clock of the child may be another one than that of the parent.
fn is_elsewhere(parent: &Span, child: &Span) -> bool {
    if std::sync::Arc::ptr_eq(&parent.resource, &child.resource) && child.kind != Kind::Server {
        return false;
    }
    match (Host::of(&parent.resource), Host::of(&child.resource)) {
        (Some(one), Some(other)) => one != other,
        _ => child.kind == Kind::Server,
    }
}

/// What names a host, the best that there is.
#[derive(Debug, PartialEq)]
enum Host<'a> {
    Id(&'a str),
    Address(&'a str),
    Name(&'a str),
}

impl<'a> Host<'a> {
    fn of(resource: &'a Resource) -> Option<Self> {
        let text = |key: &str| match resource.attributes.get(key)? {
            Value::Str(text) => Some(text.as_ref()),
            Value::Array(values) => values.first()?.as_str(),
            _ => None,
        };
        let first = |keys: &[&str]| keys.iter().filter_map(|key| text(key)).find(|text| !text.is_empty());
        // The second names are the tags of Jaeger's processes.
        first(&["host.id"])
            .map(Host::Id)
            .or_else(|| first(&["host.ip", "ip"]).map(Host::Address))
            .or_else(|| first(&["host.name", "hostname"]).map(Host::Name))
    }
}

//! The two ends of a call, brought together.
//!
//! An end that waits is found under the span of the caller: a `client` or `producer` span is there by its own
//! id, a `server` or `consumer` span by that of its parent. Ends leave in the order in which they came, when
//! their wait is over; one that found its other end stays until then all the same, since a caller that tries
//! again has several callees below one span, and senders send spans twice.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use identity::{SpanId, TraceId, Wall};

use super::{EdgeKey, EdgeKind, Node, NodeKind, Peer, Seen};
use crate::Kind;

/// A call that was seen, from both ends or from one.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Along which edge.
    pub key: EdgeKey,
    /// When it began.
    pub begun: Wall,
    /// How long it took, as its caller saw it where that is known.
    pub duration_ns: u64,
    /// Whether either end failed.
    pub error: bool,
    /// Whether the other end should have been seen, and was not.
    pub unpaired: bool,
    /// Whether a proxy carried it.
    pub proxied: bool,
    /// For how many calls it stands, by what the ends tell of sampling: the fewest that either tells, since it is
    /// seen where either end was kept.
    pub one_in: f64,
}

type Place = (TraceId, SpanId);

/// What waits under the span of a caller.
#[derive(Debug, Default)]
struct Waiting {
    caller: Option<Caller>,
    /// At most [`CALLEES`].
    callees: Vec<Callee>,
}

/// Callees that wait for one caller. More of them are drawn without it.
const CALLEES: usize = 16;

#[derive(Debug)]
enum Caller {
    /// A span that called, or sent a message.
    End(End),
    /// A proxy's attempt at a service: the proxy's own span of the call has told of it.
    Told(Node),
}

#[derive(Debug, Clone)]
struct End {
    node: Node,
    /// What the caller knows of the callee.
    peer: Node,
    begun: Wall,
    duration_ns: u64,
    error: bool,
    kind: EdgeKind,
    one_in: f64,
    /// The callee that it found last.
    found: Option<SpanId>,
}

#[derive(Debug, Clone)]
struct Callee {
    span_id: SpanId,
    node: Node,
    /// Who called, where the caller's span does not come.
    from: Node,
    begun: Wall,
    duration_ns: u64,
    error: bool,
    kind: EdgeKind,
    proxied: bool,
    one_in: f64,
}

/// Ends that wait for each other.
#[derive(Debug, Default)]
pub struct Pairing {
    capacity: usize,
    wait_ns: u64,
    waiting: HashMap<Place, Waiting>,
    /// In the order in which they came, with the end of their wait.
    order: VecDeque<(u64, Place)>,
    calls: Vec<Call>,
    hurried: u64,
    names: HashSet<Arc<str>>,
}

/// Names that are kept so that nodes share them. Beyond it all are forgotten and learnt anew.
const NAMES: usize = 8_192;

/// Longer names are cut: a node's name is drawn, and held once per edge and minute.
const NAME_BYTES: usize = 256;

impl Pairing {
    /// Ends wait for `wait_ns`, at most `capacity` of them.
    pub fn new(capacity: usize, wait_ns: u64) -> Self {
        Self { capacity, wait_ns, ..Self::default() }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many gave their place up before their wait was over.
    pub fn hurried(&self) -> u64 {
        self.hurried
    }

    /// The calls that were seen since this was asked last.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Those that were recalled leave in the order in which their waits began.
    pub fn in_order(&mut self) {
        self.order.make_contiguous().sort_unstable();
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: Wall) {
        while self.order.front().is_some_and(|(until, _)| *until <= now.0) {
            self.end_wait();
        }
    }

    /// Takes in a span that was received at `now`.
    pub fn observe(&mut self, span: &Seen<'_>, now: Wall) {
        self.advance(now);
        self.recall(span, now);
    }

    /// Takes in a span without letting time pass: one that was received before now. Its wait began at `then`.
    pub fn recall(&mut self, span: &Seen<'_>, now: Wall) {
        let place = (span.trace_id, span.span_id);
        match (span.kind, span.peer.proxy) {
            (Kind::Internal, _) => {}
            (Kind::Client, true) => {
                if let Some(callee) = self.called_by_proxy(span) {
                    self.called(place, Caller::Told(callee), now);
                }
            }
            (Kind::Client, false) if span.peer.database.is_some() => self.database(span),
            (Kind::Client, false) => {
                let caller = self.caller(span, EdgeKind::Call);
                self.called(place, Caller::End(caller), now);
            }
            (Kind::Producer, _) => {
                let caller = self.caller(span, EdgeKind::Messaging);
                self.called(place, Caller::End(caller), now);
            }
            (Kind::Server, true) => self.through_proxy(span, now),
            (Kind::Server, false) => self.served(span, now),
            (Kind::Consumer, _) => self.consumed(span, now),
        }
    }

    fn database(&mut self, span: &Seen<'_>) {
        let key =
            EdgeKey { from: self.service_of(span), to: self.peer(&span.peer), kind: EdgeKind::Database };
        let Seen { start: begun, duration_ns, error, one_in, .. } = *span;
        self.calls.push(Call { key, begun, duration_ns, error, unpaired: false, proxied: false, one_in });
    }

    fn served(&mut self, span: &Seen<'_>, now: Wall) {
        let kind = if span.parent_span_id.is_none() { NodeKind::Outside } else { NodeKind::Unknown };
        let node = self.service_of(span);
        let callee = callee(span, node, nameless(kind), EdgeKind::Call, false);
        // Zipkin's shared spans have one id on both ends.
        let shared = self.waiting.get(&(span.trace_id, span.span_id)).is_some_and(|at| at.caller.is_some());
        let place = if shared { Some(span.span_id) } else { span.parent_span_id };
        match place {
            Some(place) => self.answered((span.trace_id, place), callee, now),
            None => self.alone(callee),
        }
    }

    /// The proxy's own span of a call speaks for the called service, whether that records spans or not.
    fn through_proxy(&mut self, span: &Seen<'_>, now: Wall) {
        let Some(node) = self.called_by_proxy(span) else { return };
        let from = self.service_of(span);
        let callee = callee(span, node, from, EdgeKind::Call, true);
        match span.parent_span_id {
            Some(parent) => self.answered((span.trace_id, parent), callee, now),
            None => self.alone(callee),
        }
    }

    fn called_by_proxy(&mut self, span: &Seen<'_>) -> Option<Node> {
        Some(self.service(span.peer.called_namespace.unwrap_or("default"), span.peer.called?))
    }

    fn consumed(&mut self, span: &Seen<'_>, now: Wall) {
        let (node, queue) = (self.service_of(span), self.peer(&span.peer));
        let callee = callee(span, node, queue, EdgeKind::Messaging, false);
        let parent = span.parent_span_id.map(|parent| (span.trace_id, parent));
        // A consumer of a batch has a link for each message; the parent is then what runs the consumer.
        let mut places: Vec<Place> = span.links.clone();
        if places.is_empty() {
            places.extend(parent);
        }
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return self.alone(callee);
        }
        for place in places {
            self.answered(place, callee.clone(), now);
        }
    }

    /// A caller has come.
    fn called(&mut self, place: Place, caller: Caller, now: Wall) {
        let waiting = self.wait_at(place, now);
        if waiting.caller.is_some() {
            return; // Sent twice.
        }
        let callees = std::mem::take(&mut waiting.callees);
        waiting.caller = Some(caller);
        for callee in callees {
            self.pair(place, callee);
        }
    }

    /// A callee has come.
    fn answered(&mut self, place: Place, callee: Callee, now: Wall) {
        let waiting = self.wait_at(place, now);
        if waiting.caller.is_some() {
            self.pair(place, callee);
        } else if waiting.callees.iter().all(|known| known.span_id != callee.span_id) {
            if waiting.callees.len() < CALLEES {
                waiting.callees.push(callee);
            } else {
                self.hurried += 1;
                self.alone(callee);
            }
        }
    }

    /// Both ends are there.
    fn pair(&mut self, place: Place, callee: Callee) {
        let end = match self.waiting.get_mut(&place) {
            Some(Waiting { caller: Some(Caller::End(end)), .. }) => end,
            // A call that the called service made in its turn, though it records nothing itself.
            Some(Waiting { caller: Some(Caller::Told(called)), .. })
                if callee.proxied && *called != callee.node =>
            {
                let from = called.clone();
                return self.alone(Callee { from, ..callee });
            }
            _ => return,
        };
        if end.found == Some(callee.span_id) {
            return; // Sent twice.
        }
        let first = end.found.replace(callee.span_id).is_none();
        let (duration_ns, error) = match end.kind {
            EdgeKind::Messaging => (callee.begun.0.saturating_sub(end.begun.0), end.error || callee.error),
            // The caller's own figures are of the whole call, of which further callees are parts.
            _ if first => (end.duration_ns, end.error || callee.error),
            _ => (callee.duration_ns, callee.error),
        };
        let key = EdgeKey { from: end.node.clone(), to: callee.node, kind: end.kind };
        let (begun, proxied, one_in) = (end.begun, callee.proxied, end.one_in.min(callee.one_in));
        self.calls.push(Call { key, begun, duration_ns, error, unpaired: false, proxied, one_in });
    }

    /// A callee without a caller.
    fn alone(&mut self, callee: Callee) {
        let Callee { node, from, begun, duration_ns, error, kind, proxied, one_in, .. } = callee;
        // Whoever begins a trace is not expected to be seen, and a proxy knows for whom it calls.
        let unpaired = !proxied && from.kind != NodeKind::Outside;
        let duration_ns = if kind == EdgeKind::Messaging { 0 } else { duration_ns };
        let key = EdgeKey { from, to: node, kind };
        self.calls.push(Call { key, begun, duration_ns, error, unpaired, proxied, one_in });
    }

    fn wait_at(&mut self, place: Place, now: Wall) -> &mut Waiting {
        if !self.waiting.contains_key(&place) {
            while self.waiting.len() >= self.capacity.max(1) {
                self.hurried += 1;
                self.end_wait();
            }
            self.order.push_back((now.0.saturating_add(self.wait_ns), place));
        }
        self.waiting.entry(place).or_default()
    }

    /// The oldest waits no longer.
    fn end_wait(&mut self) {
        let Some((_, place)) = self.order.pop_front() else { return };
        let Some(waiting) = self.waiting.remove(&place) else { return };
        waiting.callees.into_iter().for_each(|callee| self.alone(callee));
        if let Some(Caller::End(End { node, peer, begun, duration_ns, error, kind, one_in, found: None })) =
            waiting.caller
        {
            let duration_ns = if kind == EdgeKind::Messaging { 0 } else { duration_ns };
            let key = EdgeKey { from: node, to: peer, kind };
            self.calls.push(Call { key, begun, duration_ns, error, unpaired: true, proxied: false, one_in });
        }
    }

    fn caller(&mut self, span: &Seen<'_>, kind: EdgeKind) -> End {
        End {
            node: self.service_of(span),
            peer: self.peer(&span.peer),
            begun: span.start,
            duration_ns: span.duration_ns,
            error: span.error,
            kind,
            one_in: span.one_in,
            found: None,
        }
    }

    /// The other end as this one knows it.
    fn peer(&mut self, peer: &Peer<'_>) -> Node {
        let joined = |one: &str, other: Option<&str>| match other {
            Some(other) => format!("{one}/{other}"),
            None => one.to_owned(),
        };
        let (kind, name) = match *peer {
            Peer { database: Some(system), .. } => {
                (NodeKind::Database, joined(system, peer.database_name.or(peer.service).or(peer.address)))
            }
            Peer { messaging: Some(system), .. } => (NodeKind::Queue, joined(system, peer.destination)),
            Peer { destination: Some(name), .. } => (NodeKind::Queue, name.to_owned()),
            Peer { service: Some(name), .. } | Peer { address: Some(name), .. } => {
                (NodeKind::External, name.to_owned())
            }
            _ => return nameless(NodeKind::Unknown),
        };
        Node { kind, namespace: self.name(""), name: self.name(&name) }
    }

    fn service_of(&mut self, span: &Seen<'_>) -> Node {
        self.service(span.namespace, span.service)
    }

    fn service(&mut self, namespace: &str, name: &str) -> Node {
        Node { kind: NodeKind::Service, namespace: self.name(namespace), name: self.name(name) }
    }

    /// The one value of a name.
    fn name(&mut self, text: &str) -> Arc<str> {
        let text = &text[..text.floor_char_boundary(NAME_BYTES)];
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

fn callee(span: &Seen<'_>, node: Node, from: Node, kind: EdgeKind, proxied: bool) -> Callee {
    let Seen { span_id, start, duration_ns, error, one_in, .. } = *span;
    Callee { span_id, node, from, begun: start, duration_ns, error, kind, proxied, one_in }
}

fn nameless(kind: NodeKind) -> Node {
    Node { kind, namespace: Arc::default(), name: Arc::default() }
}

//! Who calls whom, how often, with what success, and how long it takes: found in spans as they stream by.
//!
//! A call is seen from both ends, and the ends come from two senders at two times. [`Pairing`] keeps the end
//! that came first until the other one comes or the wait is over; then an unpaired end is drawn as what is
//! known of the other one: a database, a queue, an address, or nobody. What comes of it are [`Call`]s, which
//! [`Graph`] adds up by edge and minute.
//!
//! A proxy's spans are no ends. The call through it is one edge from its caller to the called service, and
//! both the caller's span and the callee's are folded into it, so that nothing is counted twice.
//!
//! Everything is bounded: see [`Limits`]. What did not fit is counted in [`Losses`].

mod durations;
mod end;
mod pairing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use identity::Wall;

pub use durations::Durations;
pub use end::{Peer, Seen};
pub use pairing::{Call, Pairing};

/// One end of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// The namespace of a service; empty for all others.
    pub namespace: Arc<str>,
    /// The name of a service, the system and name of a database (`postgresql/orders`) or of a queue
    /// (`kafka/orders`), the address of something external; empty for all others.
    pub name: Arc<str>,
}

/// What an end of an edge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    /// A service.
    Service,
    /// A database, known from whoever calls it.
    Database,
    /// A queue of messages, known from one side of it.
    Queue,
    /// Something with a name or an address that sent no spans itself.
    External,
    /// Whoever makes calls that begin a trace.
    Outside,
    /// A caller that says that it was called by a span which never came.
    Unknown,
}

impl NodeKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Service, Self::Database, Self::Queue, Self::External, Self::Outside, Self::Unknown];

    /// The kind as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Database => "database",
            Self::Queue => "queue",
            Self::External => "external",
            Self::Outside => "outside",
            Self::Unknown => "unknown",
        }
    }
}

/// How one end reaches the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EdgeKind {
    /// It calls, and waits for the answer.
    Call,
    /// It calls a database.
    Database,
    /// It sends messages. Their duration is from sending to the begin of handling.
    Messaging,
}

impl EdgeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Call, Self::Database, Self::Messaging];

    /// The kind as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Database => "database",
            Self::Messaging => "messaging",
        }
    }
}

/// Which edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeKey {
    /// Who calls.
    pub from: Node,
    /// Who is called.
    pub to: Node,
    /// How.
    pub kind: EdgeKind,
}

impl EdgeKey {
    /// Whether one of its ends is a service of this namespace.
    pub fn concerns(&self, namespace: &str) -> bool {
        [&self.from, &self.to].iter().any(|node| &*node.namespace == namespace)
    }
}

/// What is known of the calls along an edge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// How many.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many of them were seen from one end only.
    pub unpaired: u64,
    /// How many of them a proxy carried.
    pub proxied: u64,
    /// Of how many a sender told that others like them were left out.
    pub sampled: u64,
    /// How many were left out beside these by what senders told: an estimate. All other figures are of those that
    /// were seen, and not scaled by it.
    pub left_out: f64,
    /// How long they took.
    pub durations: Durations,
}

impl Figures {
    fn count(&mut self, call: &Call) {
        self.calls += 1;
        self.errors += u64::from(call.error);
        self.unpaired += u64::from(call.unpaired);
        self.proxied += u64::from(call.proxied);
        self.sampled += u64::from(call.one_in > 1.0);
        self.left_out += call.one_in - 1.0;
        self.durations.record(call.duration_ns);
    }

    /// Adds others, such as those of another minute.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.unpaired += other.unpaired;
        self.proxied += other.proxied;
        self.sampled += other.sampled;
        self.left_out += other.left_out;
        self.durations.add(&other.durations);
    }
}

/// An edge with its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Which edge.
    pub key: EdgeKey,
    /// Its calls.
    pub figures: Figures,
}

/// An edge's calls of one minute: a plain value, for whoever stores them.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeMinute {
    /// When the minute began.
    pub minute: Wall,
    /// The edge, and its calls that began in that minute.
    pub edge: Edge,
}

/// How much a graph may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Ends that wait for their other one, some 300 bytes each. Beyond it the oldest waits no longer.
    pub waiting: usize,
    /// For how long an end waits, in nanoseconds: longer than senders collect spans before they send them.
    pub wait_ns: u64,
    /// Edges of all minutes together, some 500 bytes each. Beyond it the oldest minute goes.
    pub edge_minutes: usize,
    /// Edges of one minute. Beyond it calls along new ones are counted as lost.
    pub edges: usize,
}

impl Default for Limits {
    /// At most some 50 MB, nearly all of it under a flood only.
    fn default() -> Self {
        Self { waiting: 65_536, wait_ns: 30_000_000_000, edge_minutes: 60_000, edges: 4_096 }
    }
}

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Ends that gave their place up before their wait was over. They are drawn as unpaired.
    pub hurried: u64,
    /// Calls along more edges than a minute may have.
    pub crowded: u64,
    /// Calls of minutes that had gone already.
    pub late: u64,
    /// Edges of minutes that went to make room.
    pub forgotten: u64,
}

const MINUTE_NS: u64 = 60_000_000_000;

/// A sender's clock may be ahead of ours by so much before a call counts where it was received.
const AHEAD_NS: u64 = 10 * MINUTE_NS;

/// Edges by minute, from spans as they come.
#[derive(Debug, Default)]
pub struct Graph {
    limits: Limits,
    pairing: Pairing,
    minutes: BTreeMap<u64, HashMap<EdgeKey, Figures>>,
    rows: usize,
    /// Minutes with calls that came since somebody asked.
    changed: BTreeSet<u64>,
    /// The minute before which everything has gone.
    gone: u64,
    losses: Losses,
}

impl Graph {
    /// An empty graph.
    pub fn new(limits: Limits) -> Self {
        Self { pairing: Pairing::new(limits.waiting, limits.wait_ns), limits, ..Self::default() }
    }

    /// Takes in a span that was received at `now`. Only those that are an end of a call tell something.
    pub fn observe(&mut self, span: &Seen<'_>, now: Wall) {
        self.pairing.observe(span, now);
        self.collect(now);
    }

    /// Lets time pass: ends that have waited long enough are drawn unpaired.
    pub fn advance(&mut self, now: Wall) {
        self.pairing.advance(now);
        self.collect(now);
    }

    fn collect(&mut self, now: Wall) {
        self.losses.hurried = self.pairing.hurried();
        for call in self.pairing.take_calls() {
            let begun = call.begun.0.min(now.0.saturating_add(AHEAD_NS));
            let minute = begun / MINUTE_NS;
            if minute < self.gone {
                self.losses.late += 1;
                continue;
            }
            self.changed.insert(minute);
            let edges = self.minutes.entry(minute).or_default();
            if let Some(figures) = edges.get_mut(&call.key) {
                figures.count(&call);
            } else if edges.len() < self.limits.edges {
                edges.entry(call.key.clone()).or_default().count(&call);
                self.rows += 1;
            } else {
                self.losses.crowded += 1;
            }
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.rows > self.limits.edge_minutes {
            let Some((minute, edges)) = self.minutes.pop_first() else { return };
            self.rows -= edges.len();
            self.losses.forgotten += edges.len() as u64;
            self.gone = minute + 1;
        }
    }

    /// Takes in a span that was received before a restart. Waits for the other end begin when it ended, and are over
    /// with [`Self::recalled`].
    pub fn recall(&mut self, span: &Seen<'_>) {
        let ended = Wall(span.start.0.saturating_add(span.duration_ns));
        self.pairing.recall(span, ended);
    }

    /// All spans were recalled that are to be.
    pub fn recalled(&mut self, now: Wall) {
        self.pairing.in_order();
        self.advance(now);
    }

    /// Puts back an edge of a minute that was kept. What was recalled of the same calls may be less, because not all
    /// spans are stored, or more, because what came last was not kept: neither knows of a call that was not, so
    /// the one with more calls is the truer.
    pub fn restore(&mut self, kept: EdgeMinute) {
        let minute = kept.minute.0 / MINUTE_NS;
        if minute < self.gone {
            return;
        }
        let edges = self.minutes.entry(minute).or_default();
        let before = edges.len();
        let known = edges.entry(kept.edge.key).or_default();
        if known.calls <= kept.edge.figures.calls {
            *known = kept.edge.figures;
        }
        self.rows += edges.len() - before;
        self.make_room();
    }

    /// The edges of all minutes, the oldest minute first.
    pub fn minutes(&self) -> impl Iterator<Item = EdgeMinute> + '_ {
        self.minutes.iter().flat_map(|(minute, edges)| of_minute(*minute, edges))
    }

    /// The edges of the minutes that have changed since this was asked, whole, for whoever keeps them elsewhere.
    pub fn take_changed(&mut self) -> Vec<EdgeMinute> {
        let changed = std::mem::take(&mut self.changed);
        let there = changed.iter().filter_map(|minute| Some((minute, self.minutes.get(minute)?)));
        there.flat_map(|(minute, edges)| of_minute(*minute, edges)).collect()
    }

    /// These could not be kept: they count as changed again.
    pub fn give_back(&mut self, unkept: &[EdgeMinute]) {
        self.changed.extend(unkept.iter().map(|edge| edge.minute.0 / MINUTE_NS));
    }

    /// The begin of the minute before which everything has gone to make room; zero where nothing has.
    pub fn gone_before(&self) -> Wall {
        Wall(self.gone.saturating_mul(MINUTE_NS))
    }

    /// The edges of the calls that began from the minute of `start` to that of `end`, which is not included
    /// where it begins with `end`; of one namespace or of all, in the order of their names.
    pub fn edges(&self, start: Wall, end: Wall, namespace: Option<&str>) -> Vec<Edge> {
        let range = start.0 / MINUTE_NS..end.0.div_ceil(MINUTE_NS).max(start.0 / MINUTE_NS);
        let mut sums: BTreeMap<&EdgeKey, Figures> = BTreeMap::new();
        for (key, figures) in self.minutes.range(range).flat_map(|(_, edges)| edges) {
            if namespace.is_none_or(|namespace| key.concerns(namespace)) {
                sums.entry(key).or_default().add(figures);
            }
        }
        sums.into_iter().map(|(key, figures)| Edge { key: key.clone(), figures }).collect()
    }

    /// How many ends wait for their other one.
    pub fn waiting(&self) -> usize {
        self.pairing.len()
    }

    /// What did not fit.
    pub fn losses(&self) -> Losses {
        self.losses
    }
}

fn of_minute(minute: u64, edges: &HashMap<EdgeKey, Figures>) -> impl Iterator<Item = EdgeMinute> + '_ {
    edges.iter().map(move |(key, figures)| EdgeMinute {
        minute: Wall(minute * MINUTE_NS),
        edge: Edge { key: key.clone(), figures: figures.clone() },
    })
}

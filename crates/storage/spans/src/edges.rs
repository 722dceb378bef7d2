//! The graph of services by the minute, kept beside the spans.
//!
//! Edges are counted as spans come, before anything is sampled out and whether or not it expires, so they cannot
//! be made of blocks again. They have a journal of their own. A record says what an edge had in a minute *until
//! then*, and not what was added: a later record of the same minute takes the place of an earlier one, so that
//! nothing counts twice, wherever a crash cut. When there is more in the journal than is worth reading back,
//! what holds is written as a snapshot.
//!
//! Nothing is acknowledged by this, so whoever writes here decides how much a crash may cost.

use std::{collections::HashMap, path::Path, sync::Arc};

use identity::Wall;
use prost::Message;
use storage_disk::Disk;
use storage_journal::{
    AppendError, History, Journal, OnDamage, OpenError, Recovery, Settings, SnapshotError,
};
use traces::graph::{Durations, Edge, EdgeKey, EdgeKind, EdgeMinute, Figures, Node, NodeKind};

/// The kind of a record that holds a [`MinutesRecord`].
const MINUTES: u8 = 1;

/// Edges in a record, of up to 4 KB each.
const EDGES: usize = 256;

/// Bytes of the journal after which a snapshot is written, where the last one is not larger.
const SNAPSHOT_AFTER: u64 = 8 << 20;

/// The edges that are kept.
#[derive(Debug)]
pub struct Edges {
    journal: Journal,
}

/// What was kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// The edges of all minutes.
    pub minutes: Vec<EdgeMinute>,
    /// Calls that began before this are not all in it; nothing where nothing was ever kept.
    pub since: Option<Wall>,
}

impl Edges {
    /// Opens what is kept in this folder, or begins. `reserve_bytes` of the disk are left to others. Blocks the
    /// thread.
    ///
    /// # Errors
    /// The disk fails, or the folder is of a later version.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        reserve_bytes: u64,
    ) -> Result<(Self, Kept, Recovery), OpenError> {
        let settings = Settings {
            history: History::Snapshots,
            on_damage: OnDamage::SkipRest,
            reserve_bytes,
            ..Settings::default()
        };
        let (mut since, mut minutes) = (None, HashMap::new());
        let mut replay = |_, kind, payload: &[u8]| {
            if kind != MINUTES {
                return Err(format!("kind {kind} is unknown"));
            }
            let record = MinutesRecord::decode(payload).map_err(|error| error.to_string())?;
            since = Some(Wall(record.since));
            for edge in record.edges {
                let edge = edge.read().ok_or("an edge of a kind that is unknown")?;
                minutes.insert((edge.minute, edge.edge.key), edge.edge.figures);
            }
            Ok(())
        };
        let (journal, recovery) = Journal::open(disk, folder, settings, &mut replay)?;
        let edge = |((minute, key), figures)| EdgeMinute { minute, edge: Edge { key, figures } };
        Ok((Self { journal }, Kept { minutes: minutes.into_iter().map(edge).collect(), since }, recovery))
    }

    /// Keeps what these edges have in these minutes until now. Blocks the thread until it is durable.
    ///
    /// # Errors
    /// It is not durable.
    pub fn keep(&self, since: Wall, changed: &[EdgeMinute]) -> Result<(), AppendError> {
        // One after the other: together they may be more than may wait at a time, and each is whole by itself.
        records(since, changed).try_for_each(|record| self.journal.append(MINUTES, record).wait().map(drop))
    }

    /// Whether [`Self::replace`] would save more than it costs.
    pub fn is_long(&self) -> bool {
        let snapshot = self.journal.snapshot_bytes();
        self.journal.bytes().saturating_sub(snapshot) > SNAPSHOT_AFTER.max(snapshot)
    }

    /// Keeps these edges and nothing else. Blocks the thread for the disk.
    ///
    /// # Errors
    /// Everything is as it was.
    pub fn replace(&self, since: Wall, all: &[EdgeMinute]) -> Result<(), SnapshotError> {
        let mut snapshot = self.journal.begin_snapshot()?;
        for record in records(since, all) {
            snapshot.write(MINUTES, &record)?;
        }
        snapshot.finish().map(drop)
    }

    /// What is on the disk.
    pub fn bytes(&self) -> u64 {
        self.journal.bytes()
    }
}

/// The records of these edges; one that says since when, where there is none.
fn records(since: Wall, edges: &[EdgeMinute]) -> impl Iterator<Item = Vec<u8>> {
    let nothing = edges.is_empty().then_some(&[][..]);
    edges.chunks(EDGES).chain(nothing).map(move |edges| {
        let edges = edges.iter().map(EdgeRecord::of).collect();
        MinutesRecord { since: since.0, edges }.encode_to_vec()
    })
}

/// Edges of minutes.
#[derive(Clone, PartialEq, Message)]
struct MinutesRecord {
    /// Calls that began before this are not all counted.
    #[prost(fixed64, tag = "1")]
    since: u64,
    #[prost(message, repeated, tag = "2")]
    edges: Vec<EdgeRecord>,
}

/// An edge in a minute.
#[derive(Clone, PartialEq, Message)]
struct EdgeRecord {
    /// When the minute began.
    #[prost(fixed64, tag = "1")]
    minute: u64,
    #[prost(message, optional, tag = "2")]
    from: Option<NodeRecord>,
    #[prost(message, optional, tag = "3")]
    to: Option<NodeRecord>,
    /// As [`EdgeKind::as_str`].
    #[prost(string, tag = "4")]
    kind: String,
    #[prost(uint64, tag = "5")]
    calls: u64,
    #[prost(uint64, tag = "6")]
    errors: u64,
    #[prost(uint64, tag = "7")]
    unpaired: u64,
    #[prost(uint64, tag = "8")]
    proxied: u64,
    #[prost(uint64, tag = "9")]
    sampled: u64,
    #[prost(double, tag = "10")]
    left_out: f64,
    /// The buckets of durations that are not empty, and how many calls each has.
    #[prost(uint32, repeated, tag = "11")]
    buckets: Vec<u32>,
    #[prost(uint64, repeated, tag = "12")]
    counts: Vec<u64>,
    /// The sum of durations in nanoseconds: its lower and its upper 64 bits.
    #[prost(uint64, tag = "13")]
    sum_low: u64,
    #[prost(uint64, tag = "14")]
    sum_high: u64,
    #[prost(uint64, tag = "15")]
    max_ns: u64,
}

/// An end of an edge.
#[derive(Clone, PartialEq, Message)]
struct NodeRecord {
    /// As [`NodeKind::as_str`].
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    name: String,
}

impl EdgeRecord {
    fn of(EdgeMinute { minute, edge: Edge { key, figures } }: &EdgeMinute) -> Self {
        let node = |node: &Node| NodeRecord {
            kind: node.kind.as_str().to_owned(),
            namespace: node.namespace.to_string(),
            name: node.name.to_string(),
        };
        let durations = &figures.durations;
        Self {
            minute: minute.0,
            from: Some(node(&key.from)),
            to: Some(node(&key.to)),
            kind: key.kind.as_str().to_owned(),
            calls: figures.calls,
            errors: figures.errors,
            unpaired: figures.unpaired,
            proxied: figures.proxied,
            sampled: figures.sampled,
            left_out: figures.left_out,
            buckets: durations.buckets().iter().map(|(bucket, _)| u32::from(*bucket)).collect(),
            counts: durations.buckets().iter().map(|(_, count)| *count).collect(),
            sum_low: durations.sum_ns() as u64,
            sum_high: (durations.sum_ns() >> 64) as u64,
            max_ns: durations.max_ns(),
        }
    }

    fn read(self) -> Option<EdgeMinute> {
        let node = |node: Option<NodeRecord>| {
            let NodeRecord { kind, namespace, name } = node?;
            let kind = NodeKind::ALL.into_iter().find(|of| of.as_str() == kind)?;
            Some(Node { kind, namespace: namespace.into(), name: name.into() })
        };
        let kind = EdgeKind::ALL.into_iter().find(|of| of.as_str() == self.kind)?;
        let key = EdgeKey { from: node(self.from)?, to: node(self.to)?, kind };
        let buckets = self.buckets.iter().map(|bucket| u16::try_from(*bucket).unwrap_or(u16::MAX));
        let sum_ns = u128::from(self.sum_low) | u128::from(self.sum_high) << 64;
        let figures = Figures {
            calls: self.calls,
            errors: self.errors,
            unpaired: self.unpaired,
            proxied: self.proxied,
            sampled: self.sampled,
            left_out: self.left_out,
            durations: Durations::from_parts(buckets.zip(self.counts), sum_ns, self.max_ns),
        };
        Some(EdgeMinute { minute: Wall(self.minute), edge: Edge { key, figures } })
    }
}

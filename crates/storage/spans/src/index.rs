//! The spans in memory, and how they are found.
//!
//! Spans belong to the block of their journal segment, so that retention drops a segment and what is in
//! memory of it together. Across the blocks, spans are gathered by trace; traces are kept in the order of
//! their starts, all of them and those of each service, which makes "the newest traces of a service" a
//! walk from the end of a sorted set that stops as soon as a page is full.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use identity::{TraceId, Wall};
use monitoring::Ledger;
use traces::Span;

use crate::record::Batch;

/// What a span takes in the index beside its own memory, and what a trace does.
const SPAN_BYTES: usize = 64;
const TRACE_BYTES: usize = 1_024;

/// A service within its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: Box<str>,
    /// The service.
    pub service: Box<str>,
}

impl ServiceKey {
    /// The services that a span tells of: its own, and the one that a proxy called.
    fn all_of(span: &Span) -> impl Iterator<Item = Self> {
        span.concerns()
            .map(|(namespace, service)| Self { namespace: namespace.into(), service: service.into() })
    }
}

/// A segment's part of what is in memory.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) segment: u64,
    /// The sum of the counters of its batches.
    pub(crate) ledger: Ledger,
    /// When the newest of its batches was received.
    pub(crate) newest: Wall,
    pub(crate) bytes: usize,
    traces: HashSet<TraceId>,
}

/// The spans of one trace.
#[derive(Debug)]
pub(crate) struct Entry {
    /// With the segment that each of them is from.
    spans: Vec<(u64, Arc<Span>)>,
    services: Vec<Arc<ServiceKey>>,
    pub(crate) start: Wall,
    pub(crate) end: Wall,
    pub(crate) errors: usize,
}

impl Entry {
    pub(crate) fn spans(&self) -> impl Iterator<Item = &Arc<Span>> {
        self.spans.iter().map(|(_, span)| span)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.iter().map(Arc::as_ref)
    }
}

/// Traces by start: the last is the newest.
pub(crate) type ByStart = BTreeSet<(Wall, TraceId)>;

#[derive(Debug, Default)]
struct Service {
    traces: ByStart,
    /// How many spans each operation has.
    operations: BTreeMap<Arc<str>, usize>,
}

/// All spans in memory.
#[derive(Debug, Default)]
pub(crate) struct Index {
    blocks: VecDeque<Block>,
    traces: HashMap<TraceId, Entry>,
    by_start: ByStart,
    services: BTreeMap<Arc<ServiceKey>, Service>,
    spans: usize,
}

impl Index {
    /// Adds a batch that is durable in `segment`, which is the newest one or one before it.
    pub(crate) fn add(&mut self, segment: u64, batch: Batch) {
        let at = self.block(segment);
        self.blocks[at].ledger.add(&batch.ledger);
        self.blocks[at].newest = self.blocks[at].newest.max(batch.received_at);
        self.blocks[at].bytes += batch.bytes + batch.spans.len() * SPAN_BYTES;
        for span in batch.spans {
            if self.blocks[at].traces.insert(span.trace_id) {
                self.blocks[at].bytes += TRACE_BYTES;
            }
            self.add_span(segment, span);
        }
    }

    fn block(&mut self, segment: u64) -> usize {
        let at = self.blocks.partition_point(|block| block.segment < segment);
        if self.blocks.get(at).is_none_or(|block| block.segment != segment) {
            let (ledger, newest, bytes, traces) = Default::default();
            self.blocks.insert(at, Block { segment, ledger, newest, bytes, traces });
        }
        at
    }

    /// The one value of a key that all traces share.
    fn shared(&mut self, key: ServiceKey) -> Arc<ServiceKey> {
        if let Some((known, _)) = self.services.get_key_value(&key) {
            return Arc::clone(known);
        }
        let key = Arc::new(key);
        self.services.insert(Arc::clone(&key), Service::default());
        key
    }

    fn add_span(&mut self, segment: u64, span: Arc<Span>) {
        let services: Vec<_> = ServiceKey::all_of(&span).map(|key| self.shared(key)).collect();
        let id = span.trace_id;
        let entry = self.traces.entry(id).or_insert_with(|| Entry {
            spans: Vec::new(),
            services: Vec::new(),
            start: Wall(u64::MAX),
            end: Wall(0),
            errors: 0,
        });
        let before = entry.start;
        entry.start = entry.start.min(span.start);
        entry.end = entry.end.max(span.end());
        entry.errors += usize::from(span.is_error());
        if entry.start != before {
            self.by_start.remove(&(before, id));
            self.by_start.insert((entry.start, id));
            for key in &entry.services {
                let service = self.services.entry(Arc::clone(key)).or_default();
                service.traces.remove(&(before, id));
                service.traces.insert((entry.start, id));
            }
        }
        for service in services {
            let known = self.services.entry(Arc::clone(&service)).or_default();
            *known.operations.entry(Arc::clone(&span.name)).or_default() += 1;
            if !entry.services.contains(&service) {
                known.traces.insert((entry.start, id));
                entry.services.push(service);
            }
        }
        entry.spans.push((segment, span));
        self.spans += 1;
    }

    /// Drops the oldest block with all its spans.
    pub(crate) fn drop_oldest(&mut self) -> Option<Block> {
        let block = self.blocks.pop_front()?;
        for id in &block.traces {
            self.drop_spans(*id, block.segment);
        }
        Some(block)
    }

    /// Takes the trace out of all sets and puts back what is left of it.
    fn drop_spans(&mut self, id: TraceId, segment: u64) {
        let Some(entry) = self.traces.remove(&id) else { return };
        self.by_start.remove(&(entry.start, id));
        for key in &entry.services {
            if let Some(service) = self.services.get_mut(key) {
                service.traces.remove(&(entry.start, id));
            }
        }
        self.spans -= entry.spans.len();
        for (of, span) in entry.spans {
            for key in ServiceKey::all_of(&span) {
                self.forget_operation(&key, &span.name);
            }
            if of != segment {
                self.add_span(of, span);
            }
        }
    }

    fn forget_operation(&mut self, key: &ServiceKey, name: &str) {
        let Some(service) = self.services.get_mut(key) else { return };
        if let Some(count) = service.operations.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                service.operations.remove(name);
            }
        }
        if service.operations.is_empty() {
            self.services.remove(key);
        }
    }

    pub(crate) fn blocks(&self) -> &VecDeque<Block> {
        &self.blocks
    }

    pub(crate) fn trace(&self, id: TraceId) -> Option<&Entry> {
        self.traces.get(&id)
    }

    /// All traces by start.
    pub(crate) fn by_start(&self) -> &ByStart {
        &self.by_start
    }

    /// The services of that name, in one namespace or in all, with their traces by start.
    pub(crate) fn services_named<'a>(
        &'a self,
        namespace: Option<&'a str>,
        service: &'a str,
    ) -> impl Iterator<Item = &'a ByStart> {
        self.services
            .iter()
            .filter(move |(key, _)| {
                key.service.as_ref() == service
                    && namespace.is_none_or(|namespace| key.namespace.as_ref() == namespace)
            })
            .map(|(_, service)| &service.traces)
    }

    /// All services, in the order of their names.
    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys().map(Arc::as_ref)
    }

    /// The operations of a service with the numbers of their spans.
    pub(crate) fn operations(&self, key: &ServiceKey) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.services
            .get(key)
            .into_iter()
            .flat_map(|service| &service.operations)
            .map(|(name, of)| (name, *of))
    }

    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    pub(crate) fn traces(&self) -> usize {
        self.traces.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes).sum()
    }
}

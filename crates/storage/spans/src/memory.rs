//! Spans that are durable in the journal and not sealed in a block yet.
//!
//! What is kept of a span beside its chunk is its place there; what is kept of a trace is what most searches
//! ask: when it began and ended, how many of its spans failed, and which operations of which services it
//! went through, as numbers of a table.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use identity::{TraceId, Wall};
use monitoring::Ledger;
use traces::{Span, sampling::Verdict};

use crate::{
    chunk::{Chunk, RawValue},
    names::{KeyType, Names, Place},
};

/// What a trace takes beside its spans, and what a span takes beside its chunk.
const TRACE_BYTES: usize = 192;
const SPAN_BYTES: usize = 16;

/// A part of a trace.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The position of a chunk, and of a span in it.
    pub(crate) spans: Vec<(u32, u32)>,
    pub(crate) start: Wall,
    pub(crate) end: Wall,
    pub(crate) errors: u32,
    /// Positions in the table of places, each once.
    pub(crate) places: Vec<u32>,
    /// What tail sampling has decided about the trace.
    pub(crate) verdict: Option<Verdict>,
}

/// Spans by trace.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    chunks: Vec<Arc<Chunk>>,
    traces: HashMap<TraceId, Entry>,
    pub(crate) names: Names,
    place_at: HashMap<Place, u32>,
    /// The sum of the counters of its batches.
    pub(crate) ledger: Ledger,
    /// When the oldest and the newest of its batches were received.
    pub(crate) received: Option<(Wall, Wall)>,
    spans: usize,
    bytes: usize,
}

impl Memory {
    /// Adds the spans of a chunk and calls `is_new` with every trace that was not there.
    pub(crate) fn add(&mut self, chunk: Arc<Chunk>, ledger: &Ledger, mut is_new: impl FnMut(TraceId)) {
        self.ledger.add(ledger);
        let at = chunk.received_at;
        let (oldest, newest) = self.received.unwrap_or((at, at));
        self.received = Some((oldest.min(at), newest.max(at)));
        self.bytes += chunk.bytes() + chunk.len() * SPAN_BYTES;
        self.spans += chunk.len();
        let number = self.chunks.len() as u32;
        let mut places = ChunkPlaces::default();
        let mut keys = vec![[0_u32; KeyType::ALL.len()]; chunk.texts()];
        for span in 0..chunk.len() as u32 {
            let Some(head) = chunk.head(span) else { continue };
            let own = places.own(self, &chunk, head.resource, head.name);
            let called = head.called.and_then(|called| places.called(self, &chunk, called, own, head.name));
            for place in [Some(own), called].into_iter().flatten() {
                let (spans, errors) = &mut self.names.counts[place as usize];
                *spans += 1;
                *errors += u64::from(head.is_error());
            }
            head.attributes(&chunk, |key, value, _| {
                if let Some(counts) = keys.get_mut(key as usize) {
                    counts[KeyType::of(&value) as usize] += 1;
                }
            });
            let entry = self.traces.entry(head.trace_id).or_insert_with(|| {
                self.bytes += TRACE_BYTES;
                is_new(head.trace_id);
                let (spans, places) = (Vec::with_capacity(4), Vec::with_capacity(4));
                Entry { spans, start: Wall(u64::MAX), end: Wall(0), errors: 0, places, verdict: None }
            });
            entry.spans.push((number, span));
            entry.start = entry.start.min(head.start);
            entry.end = entry.end.max(head.end());
            entry.errors += u32::from(head.is_error());
            for place in [Some(own), called].into_iter().flatten() {
                if !entry.places.contains(&place) {
                    entry.places.push(place);
                }
            }
        }
        for (at, counts) in keys.iter().enumerate().filter(|(_, counts)| **counts != [0; 5]) {
            if let Some(key) = chunk.text(at as u32) {
                self.names.count_key(key, counts.map(u64::from));
            }
        }
        self.chunks.push(chunk);
    }

    /// Takes the spans of a trace out again, and everything that was counted of them but the ledger.
    pub(crate) fn take(&mut self, id: TraceId) -> Option<Entry> {
        let entry = self.traces.remove(&id)?;
        self.spans -= entry.spans.len();
        for (chunk, span) in &entry.spans {
            let chunk = Arc::clone(&self.chunks[*chunk as usize]);
            let Some(head) = chunk.head(*span) else { continue };
            let chunk = &chunk;
            let mut places = ChunkPlaces::default();
            let own = places.own(self, chunk, head.resource, head.name);
            let called = head.called.and_then(|called| places.called(self, chunk, called, own, head.name));
            for place in [Some(own), called].into_iter().flatten() {
                let (spans, errors) = &mut self.names.counts[place as usize];
                *spans -= 1;
                *errors -= u64::from(head.is_error());
            }
            head.attributes(chunk, |key, value, _| {
                let counts = chunk.text(key).and_then(|key| self.names.keys.get_mut(key));
                if let Some(counts) = counts {
                    counts[KeyType::of(&value) as usize] -= 1;
                }
            });
        }
        Some(entry)
    }

    /// Takes traces out into a memory of their own, which shares the chunks.
    pub(crate) fn split_off(&mut self, ids: &[TraceId]) -> Self {
        let taken = ids.iter().filter_map(|id| Some((*id, self.take(*id)?)));
        let traces: HashMap<TraceId, Entry> = taken.collect();
        let names = Names {
            places: self.names.places.clone(),
            counts: vec![(0, 0); self.names.places.len()],
            ..Names::default()
        };
        Self {
            chunks: self.chunks.clone(),
            spans: traces.values().map(|entry| entry.spans.len()).sum(),
            traces,
            names,
            place_at: self.place_at.clone(),
            received: self.received,
            ..Self::default()
        }
    }

    /// Takes note of what was decided about a trace, where it is here.
    pub(crate) fn decide(&mut self, id: TraceId, verdict: Verdict) {
        if let Some(entry) = self.traces.get_mut(&id) {
            entry.verdict = Some(verdict);
        }
    }

    fn place(&mut self, place: Place) -> u32 {
        if let Some(at) = self.place_at.get(&place) {
            return *at;
        }
        let at = self.names.places.len() as u32;
        self.bytes += 2 * (size_of::<Place>() + 64) + place.operation.len() + place.service.len();
        self.names.places.push(place.clone());
        self.names.counts.push((0, 0));
        self.place_at.insert(place, at);
        at
    }

    /// The position of a place in the table.
    pub(crate) fn place_of(
        &self,
        namespace: &str,
        service: &str,
        operation: &str,
        is_called: bool,
    ) -> Option<u32> {
        let (namespace, service, operation) = (namespace.into(), service.into(), operation.into());
        self.place_at.get(&Place { namespace, service, operation, is_called }).copied()
    }

    pub(crate) fn trace(&self, id: TraceId) -> Option<&Entry> {
        self.traces.get(&id)
    }

    pub(crate) fn traces(&self) -> &HashMap<TraceId, Entry> {
        &self.traces
    }

    pub(crate) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    /// The spans of a trace, each as its chunk and its position there.
    pub(crate) fn spans_of(&self, id: TraceId) -> Vec<(Arc<Chunk>, u32)> {
        let places = self.traces.get(&id).map_or(&[][..], |entry| &entry.spans);
        let place = |(chunk, span): &(u32, u32)| Some((Arc::clone(self.chunks.get(*chunk as usize)?), *span));
        places.iter().filter_map(place).collect()
    }

    /// All spans, each as its chunk and its position there.
    pub(crate) fn all(&self) -> Vec<(Arc<Chunk>, u32)> {
        let places = self.traces.values().flat_map(|entry| &entry.spans);
        places.map(|(chunk, span)| (Arc::clone(&self.chunks[*chunk as usize]), *span)).collect()
    }

    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing that would have to be sealed: not even a count.
    pub(crate) fn is_empty(&self) -> bool {
        self.received.is_none()
    }
}

/// The places of a chunk's spans, so that each is looked up by its names once.
#[derive(Default)]
struct ChunkPlaces {
    own: HashMap<(u32, u32), u32>,
    called: BTreeMap<((u32, u32), u32, u32), Option<u32>>,
}

impl ChunkPlaces {
    fn own(&mut self, memory: &mut Memory, chunk: &Chunk, resource: u32, name: u32) -> u32 {
        *self.own.entry((resource, name)).or_insert_with(|| {
            let resource = chunk.resource(resource);
            memory.place(Place {
                namespace: resource.map_or("default", |of| of.namespace()).into(),
                service: resource.map_or("unknown_service", |of| of.service()).into(),
                operation: chunk.text(name).unwrap_or_default().into(),
                is_called: false,
            })
        })
    }

    /// The place that was called, where it is another than the caller's own.
    fn called(
        &mut self,
        memory: &mut Memory,
        chunk: &Chunk,
        called: (u32, u32),
        own: u32,
        name: u32,
    ) -> Option<u32> {
        *self.called.entry((called, own, name)).or_insert_with(|| {
            let place = Place {
                namespace: chunk.text(called.0)?.into(),
                service: chunk.text(called.1)?.into(),
                operation: chunk.text(name)?.into(),
                is_called: true,
            };
            let own = &memory.names.places[own as usize];
            let is_own = own.namespace == place.namespace && own.service == place.service;
            (!is_own).then(|| memory.place(place))
        })
    }
}

/// Spans with memory of their own, which share their resources.
pub(crate) fn owned(spans: &[(Arc<Chunk>, u32)]) -> Vec<Arc<Span>> {
    spans.iter().filter_map(|(chunk, span)| chunk.owned(*span).map(Arc::new)).collect()
}

impl KeyType {
    fn of(value: &RawValue) -> Self {
        match value {
            RawValue::Text(_) => KeyType::Text,
            RawValue::Bool(_) => KeyType::Bool,
            RawValue::Int(_) => KeyType::Int,
            RawValue::Double(_) => KeyType::Double,
            RawValue::Other => KeyType::Other,
        }
    }
}

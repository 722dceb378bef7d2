//! What has to hold of any bytes, decoder by decoder.

use std::{path::Path, sync::Arc};

use identity::Wall;
use monitoring::promql;
use storage_disk::{Disk, FaultyDisk, Open};
use storage_journal::{Journal, OnDamage};
use storage_spans::{Query, Spans};
use traces::{
    borrowed::Owned,
    propagation::{Format, Formats, Hop, extract, inject},
    query::Expression,
};
use wire::{otlp, remote_write, zipkin};

use crate::seeds;

/// A decoder and what has to hold of it.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
    /// Bytes that it understands.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many of them take as long as a thousand of the quickest.
    pub cost: u32,
}

/// All decoders.
pub const TARGETS: &[Target] = &[
    Target { name: "otlp", check: otlp, seeds: seeds::otlp, cost: 1 },
    Target { name: "otlp_json", check: otlp_json, seeds: seeds::otlp_json, cost: 2 },
    Target { name: "zipkin_json", check: zipkin_json, seeds: seeds::zipkin_json, cost: 1 },
    Target { name: "zipkin_protobuf", check: zipkin_protobuf, seeds: seeds::zipkin_protobuf, cost: 1 },
    Target { name: "propagation", check: propagation, seeds: seeds::propagation, cost: 1 },
    Target { name: "remote_write", check: remote_write, seeds: seeds::remote_write, cost: 1 },
    Target { name: "promql", check: promql, seeds: seeds::promql, cost: 1 },
    Target { name: "query", check: query, seeds: seeds::query, cost: 1 },
    Target { name: "journal", check: journal, seeds: seeds::journal, cost: 20 },
    Target { name: "spans_record", check: spans_record, seeds: seeds::spans_record, cost: 20 },
    Target { name: "block", check: block, seeds: seeds::block, cost: 20 },
];

/// The first segment of a journal.
pub(crate) const SEGMENT: &str = "000000000001.journal";
/// Where a store of spans keeps a block.
const BLOCK: &str = "/data/blocks/000000000000.parquet";

/// Whatever is sent as OTLP: it is decoded or refused, and its account adds up.
pub fn otlp(request: &[u8]) {
    if let Ok(decoded) = otlp::decode(request, &otlp::Limits::default()) {
        assert_eq!(decoded.received, decoded.batch.spans.len() as u64 + decoded.refused.total());
        decoded.batch.give(&mut Owned::default());
    }
}

/// What is rewritten is a message that the decoder takes.
fn rewritten(message: Result<Vec<u8>, impl std::fmt::Display>) {
    if let Ok(message) = message {
        assert!(otlp::decode(&message, &otlp::Limits::default()).is_ok(), "what we write, we read");
        otlp(&message);
    }
}

/// Whatever is sent as OTLP in JSON.
pub fn otlp_json(request: &[u8]) {
    rewritten(otlp::from_json(request));
}

/// Whatever is sent as Zipkin's JSON.
pub fn zipkin_json(list: &[u8]) {
    rewritten(zipkin::from_json(list));
}

/// Whatever is sent as Zipkin's Protocol Buffers.
pub fn zipkin_protobuf(list: &[u8]) {
    rewritten(zipkin::from_protobuf(list));
}

/// Whatever stands in the headers of a call, a name and a value a line: what is read of them and written again
/// is read again as the same.
pub fn propagation(headers: &[u8]) {
    let Ok(text) = std::str::from_utf8(headers) else { return };
    let values = |name: &'static str| {
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.filter(move |(of, _)| *of == name).map(|(_, value)| value)
    };
    let Some(came) = extract(values) else { return };
    let Some(context) = &came.context else { return };
    let hop = Hop { service: "shop", instance: "shop-1", endpoint: "/", peer: "10.0.0.1:80" };
    let formats = Format::ALL.into_iter().fold(Formats::NONE, Formats::with);
    let written = inject(context, formats, &hop, Some(&came));
    let again =
        extract(|name| written.iter().filter(move |(of, _)| *of == name).map(|(_, value)| value.as_str()));
    let again = again.and_then(|again| again.context);
    assert_eq!(again.map(|again| again.trace_id), Some(context.trace_id), "{written:?}");
}

/// Keeps how many samples and exemplars it was given, and that labels are as they are promised.
#[derive(Default)]
struct Samples {
    samples: u64,
    exemplars: u64,
}

impl remote_write::Sink for Samples {
    type Spelling = ();

    fn spelled(&mut self, spelling: &[u8]) -> Result<(), ()> {
        assert!(!spelling.is_empty());
        Err(())
    }

    fn series(&mut self, labels: &[(&str, &str)], _: Option<()>) {
        assert!(labels.windows(2).all(|pair| pair[0].0 < pair[1].0), "{labels:?}");
        assert!(labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{labels:?}");
    }

    fn sample(&mut self, _: i64, _: f64) {
        self.samples += 1;
    }

    fn exemplar(&mut self, _: i64, _: f64, labels: &[(&str, &str)]) {
        assert!(labels.windows(2).all(|pair| pair[0].0 < pair[1].0), "{labels:?}");
        self.exemplars += 1;
    }
}

/// Whatever is sent as a remote write: its account adds up. The first byte says in which version.
pub fn remote_write(bytes: &[u8]) {
    let Some((version, request)) = bytes.split_first() else { return };
    let version = if version % 2 == 1 { remote_write::Version::One } else { remote_write::Version::Two };
    let mut samples = Samples::default();
    if let Ok(counted) = remote_write::decode(version, request, &mut samples) {
        let left_out = counted.invalid_labels + counted.native_histograms;
        assert_eq!(counted.received, samples.samples + left_out, "{counted:?}");
        assert_eq!(counted.exemplars, samples.exemplars, "{counted:?}");
    }
}

/// Whatever is asked in PromQL: what is read and written again means the same.
pub fn promql(query: &[u8]) {
    let Ok(query) = std::str::from_utf8(query) else { return };
    if let Ok(expr) = promql::parse(query) {
        let text = expr.to_string();
        let again = promql::parse(&text).map(|again| again.to_string());
        assert_eq!(again.as_ref().ok(), Some(&text), "{query:?}: {again:?}");
    }
}

/// Whatever a search of traces says: it is read or refused at a place that is there.
pub fn query(query: &[u8]) {
    let Ok(query) = std::str::from_utf8(query) else { return };
    match Expression::parse(query) {
        Ok(expression) => drop(expression.necessary()),
        Err(error) => assert!(error.character() <= query.chars().count() + 1, "{query:?}: {error}"),
    }
}

/// A disk in memory with this file on it.
fn disk_with(path: &Path, bytes: &[u8]) -> Option<Arc<dyn Disk>> {
    let disk = FaultyDisk::new(1);
    disk.create_folder(path.parent()?).ok()?;
    disk.open(path, Open::Create).ok()?.write_all_at(bytes, 0).ok()?;
    Some(Arc::new(disk))
}

/// Whatever stands in a segment: what is replayed of it was written once.
pub fn journal(segment: &[u8]) {
    let Some(disk) = disk_with(&Path::new(seeds::FOLDER).join(SEGMENT), segment) else { return };
    let settings = storage_journal::Settings { on_damage: OnDamage::SkipRest, ..Default::default() };
    let written: [&[u8]; 3] = [b"one", b"", b"a longer record"];
    let mut replayed = 0;
    let replay = &mut |_, kind: u8, payload: &[u8]| {
        replayed += 1;
        assert_eq!(written.get(usize::from(kind)), Some(&payload), "a record that nobody wrote");
        Ok(())
    };
    drop(Journal::open(disk, Path::new(seeds::FOLDER), settings, replay));
    assert!(replayed <= written.len(), "{replayed} records of {}", written.len());
}

/// Whatever stands in a record of spans, the first byte being its kind: the store opens, and its ledger balances.
pub fn spans_record(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    let (disk, folder): (Arc<dyn Disk>, _) = (Arc::new(FaultyDisk::new(1)), Path::new(seeds::FOLDER));
    let settings = storage_journal::Settings::default();
    let journal = Journal::open(Arc::clone(&disk), folder, settings, &mut |_, _, _| Ok(()));
    let Ok((journal, _)) = journal else { return };
    drop(journal.append(*kind, payload).wait());
    drop(journal);
    ask(disk);
}

/// Whatever stands in a block whose checksums are right: it is read or left out.
pub fn block(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    make_right(&mut bytes);
    if let Some(disk) = disk_with(Path::new(BLOCK), &bytes) {
        ask(disk);
    }
}

/// Opens a store and asks it for everything that it has.
fn ask(disk: Arc<dyn Disk>) {
    let Ok((store, _)) = Spans::open(disk, Path::new(seeds::FOLDER), seeds::settings()) else { return };
    let found = store.search(&Query { limit: 100, ..Query::default() });
    for summary in &found.traces {
        store.trace(summary.trace_id);
    }
    let mut last = None;
    for span in seeds::spans().iter().filter(|span| last.replace(span.trace_id) != Some(span.trace_id)) {
        store.trace(span.trace_id);
    }
    store.search(&Query { text: Some("open".into()), ..Query::default() });
    let mut seen = 0;
    store.scan(Wall(0), &mut |_| {
        seen += 1;
        std::ops::ControlFlow::Continue(())
    });
    let _ = store.seal();
}

/// Gives a block the length and the checksums that it would have had if it had been written so: see `block::layout`
/// of the store, which says where they stand.
fn make_right(bytes: &mut [u8]) {
    const DATA_AT: usize = 4_352;
    let Some(length) = bytes.len().checked_sub(DATA_AT).filter(|length| *length > 0) else { return };
    let stripe = length.div_ceil(1_024).next_multiple_of(4_096).max(4_096);
    let (front, data) = bytes.split_at_mut(DATA_AT);
    front[16..24].copy_from_slice(&((DATA_AT + length) as u64).to_le_bytes());
    front[24..32].copy_from_slice(&(stripe as u64).to_le_bytes());
    for (at, stripe) in data.chunks(stripe).enumerate() {
        front[256 + 4 * at..][..4].copy_from_slice(&crc32c::crc32c(stripe).to_le_bytes());
    }
    let checksum = crc32c::crc32c(&front[16..]);
    front[12..16].copy_from_slice(&checksum.to_le_bytes());
}

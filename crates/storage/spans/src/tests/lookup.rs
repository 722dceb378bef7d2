//! A trace is found by its id with few looks at the disk, whatever ids look like.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use identity::TraceId;
use proptest::prelude::*;
use storage_disk::{Disk, Entry, FaultyDisk, File, Open};

use super::{FOLDER, open, plain, settings, span, trace_id};
use crate::Spans;

/// Stores traces with these ids, of one to three spans, in one block, and looks for each and for what is beside.
fn check(ids: &[u128]) {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    let spans = |(at, id): (usize, &u128)| {
        let count = 1 + at as u64 % 3;
        (1..=count).map(|of| span(*id, of, "shop", "GET /orders")).collect::<Vec<_>>()
    };
    store.accept(plain(ids.iter().enumerate().flat_map(spans).collect())).wait().unwrap();
    store.seal().unwrap();
    assert_eq!(store.stats().blocks, 1);
    // A lookup of any of them takes the same way; those at the ends take it to its end.
    let looked = |at: &usize| at.is_multiple_of(ids.len() / 40 + 1) || at + 1 == ids.len();
    for (at, id) in ids.iter().enumerate().filter(|(at, _)| looked(at)) {
        let found = store.trace(trace_id(*id)).unwrap_or_default();
        assert_eq!(found.len(), 1 + at % 3, "{id:#x}");
        assert!(found.iter().all(|span| span.trace_id == trace_id(*id)), "{id:#x}");
    }
    let strange = |id: u128| TraceId::new(id).filter(|id| !ids.contains(&id.get()));
    for id in ids.iter().take(20).filter_map(|id| strange(id.wrapping_add(1))) {
        assert!(store.trace(id).is_none(), "{id}");
    }
}

#[test]
fn a_trace_is_found_whether_ids_are_spread_evenly_or_not() {
    // Counted up, as some senders do; all in one corner but for two; and spread by multiplication.
    let spread = |at: u128| at.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    check(&(1..=3_000).collect::<Vec<u128>>());
    check(
        &[1, u128::MAX].into_iter().chain((0..3_000).map(|at| (1 << 100) + at * at)).collect::<Vec<u128>>(),
    );
    check(&(1..=3_000).map(spread).collect::<Vec<u128>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_ids_are_found(
        ids in prop::collection::hash_set(prop_oneof![1..u128::MAX, 1..5_000_u128], 1..1_500),
    ) {
        check(&ids.into_iter().collect::<Vec<_>>());
    }
}

/// A disk that counts what is read.
#[derive(Debug, Clone)]
struct Counting {
    disk: FaultyDisk,
    reads: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountedFile(Box<dyn File>, Arc<AtomicUsize>);

impl Counting {
    /// Reads since this was asked last.
    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl Disk for Counting {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(folder)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        Ok(Box::new(CountedFile(self.disk.open(path, how)?, Arc::clone(&self.reads))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.disk.free_bytes(folder)
    }

    fn is_writable(&self, folder: &Path) -> bool {
        self.disk.is_writable(folder)
    }
}

impl File for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
}

#[test]
fn a_lookup_reads_a_few_places_of_one_block() {
    let disk = Counting { disk: FaultyDisk::new(1), reads: Arc::default() };
    let open = || Spans::open(Arc::new(disk.clone()), Path::new(FOLDER), settings()).unwrap().0;
    let store = open();
    // Spread over the ids, so that each block has some of every region.
    let id = |number: u128| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) | 1;
    for block in 0..8_u128 {
        let traces = (1 + block * 1_000..=(block + 1) * 1_000).map(id);
        let spans = traces.flat_map(|trace| (1..=5).map(move |of| span(trace, of, "shop", "GET /orders")));
        store.accept(plain(spans.collect())).wait().unwrap();
        store.seal().unwrap();
    }
    drop(store);
    let store = open();
    disk.reads();
    assert!(store.trace(trace_id(id(9_999))).is_none());
    assert_eq!(disk.reads(), 0, "filters are known from the start");
    assert_eq!(store.trace(trace_id(id(4_500))).unwrap().len(), 5);
    let first = disk.reads();
    assert!(first <= 16, "{first} reads: ids, counts, footer, and a place for each group of columns");
    assert_eq!(store.trace(trace_id(id(4_501))).unwrap().len(), 5);
    let second = disk.reads();
    assert!(second < first, "{second} reads, though the footer is known");
}

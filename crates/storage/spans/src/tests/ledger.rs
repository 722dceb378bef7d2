use std::{path::Path, sync::Arc};

use identity::Wall;
use monitoring::{Ledger, Origin};
use storage_disk::FaultyDisk;
use storage_journal::Journal;

use super::{FOLDER, batch, open, plain, settings, span, trace_id};
use crate::{AcceptError, Batch, Receipt, record};

#[test]
fn what_is_acknowledged_is_found_again_with_its_counters() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    for sequence in 0..10 {
        let receipt = store.accept(batch(sequence)).wait().unwrap();
        assert_eq!(receipt, Receipt { stored: 3, is_duplicate: false });
    }
    let ledger = store.ledger();
    assert!(ledger.balances());
    assert_eq!((ledger.received, ledger.stored, ledger.sampled_out), (50, 30, 10));
    assert_eq!(ledger.dropped["queue_full"], 10);

    // Killed without a chance to finish anything.
    let after = open(&disk.kill());
    assert_eq!(after.ledger(), ledger);
    for sequence in 0..10 {
        let id = trace_id(sequence + 1);
        assert_eq!(after.trace(id), store.trace(id));
        assert_eq!(after.trace(id).unwrap().len(), 3);
    }
}

#[test]
fn a_batch_that_is_sent_again_is_acknowledged_and_not_counted_again() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    store.accept(batch(4)).wait().unwrap();
    let ledger = store.ledger();
    for sequence in [4, 3] {
        let again = store.accept(batch(sequence)).wait().unwrap();
        assert_eq!(again, Receipt { stored: 0, is_duplicate: true });
    }
    drop(store);
    let store = open(&disk);
    assert!(store.accept(batch(4)).wait().unwrap().is_duplicate, "also after a restart");
    assert_eq!(store.ledger(), ledger);

    let next_run =
        Batch { origin: Some(Origin { source: "proxy".into(), epoch: 2, sequence: 0 }), ..batch(0) };
    assert!(!store.accept(next_run).wait().unwrap().is_duplicate);
}

#[test]
fn a_batch_that_does_not_add_up_is_refused_and_changes_nothing() {
    let store = open(&FaultyDisk::new(1));
    let error = store.accept(Batch { received: 6, ..batch(0) }).wait().unwrap_err();
    assert!(matches!(error, AcceptError::Unbalanced { received: 6, stored: 3, sampled_out: 1, dropped: 1 }));
    assert!(!error.is_temporary());
    assert_eq!(store.ledger(), Default::default());
}

#[test]
fn a_batch_over_the_limit_is_refused_with_the_limit() {
    let store = open(&FaultyDisk::new(1));
    let mut large = span(1, 1, "shop", "op");
    large.attributes.push("body", "x".repeat(9 << 20));
    let error = store.accept(plain(vec![large])).wait().unwrap_err();
    assert!(matches!(error, AcceptError::TooLarge { limit, .. } if limit == 8 << 20), "{error}");
    assert!(store.accept(batch(0)).wait().is_ok());
}

#[test]
fn a_batch_without_spans_still_counts() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    let counters = Batch { received: 7, sampled_out: 7, received_at: Wall(1), ..Batch::default() };
    store.accept(counters).wait().unwrap();
    drop(store);
    assert_eq!(open(&disk).ledger().sampled_out, 7);
}

#[test]
fn a_batch_that_stands_in_the_journal_twice_counts_once() {
    let disk = FaultyDisk::new(1);
    let Batch { origin, spans, .. } = batch(0);
    let ledger = Ledger { received: 3, stored: 3, ..Ledger::default() };
    let encoded = record::encode(origin.as_ref(), Wall(1), &ledger, &spans);
    let settings = settings().journal();
    let journal = Journal::open(Arc::new(disk.clone()), Path::new(FOLDER), settings, &mut |_, _, _| Ok(()));
    let journal = journal.unwrap().0;
    for _ in 0..2 {
        journal.append(record::BATCH, &encoded).wait().unwrap();
    }
    drop(journal);
    let store = open(&disk);
    assert_eq!(store.ledger(), ledger);
    assert_eq!(store.trace(trace_id(1)).map(|spans| spans.len()), Some(3));
}

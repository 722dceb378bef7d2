use monitoring::{Ledger, OVERFLOW, SeriesKey};
use storage_disk::FaultyDisk;

use super::{batch, numbers, open, open_with, red, seconds, settings, snapshotting};
use crate::{AcceptError, Batch, Receipt, Settings};

const BATCHES: u64 = 40;

#[test]
fn what_is_acknowledged_is_found_again_with_its_counters() {
    for settings in [settings(), snapshotting()] {
        let disk = FaultyDisk::new(1);
        let store = open_with(&disk, settings.clone());
        for sequence in 0..BATCHES {
            let receipt = store.accept(batch(sequence)).wait().unwrap();
            assert_eq!(receipt, Receipt { stored: 2, is_duplicate: false });
        }
        let (ledger, now) = (store.ledger(), seconds(BATCHES));
        assert!(ledger.balances());
        assert_eq!((ledger.received, ledger.stored), (3 * BATCHES, 2 * BATCHES));
        let shop = red(&store, now).into_iter().find(|row| row.service.as_ref() == "shop").unwrap();
        assert_eq!((shop.calls, shop.errors), (9 * BATCHES, 0));
        let exact: u128 = (0..BATCHES)
            .flat_map(|sequence| (1..=9).map(move |n| u128::from(n * 1_000_003 + sequence)))
            .sum();
        assert_eq!(shop.sum_ns, exact);

        // Killed without a chance to finish anything.
        let after = open_with(&disk.kill(), settings);
        assert_eq!(after.ledger(), ledger);
        assert_eq!(numbers(&after, now), numbers(&store, now));
    }
}

#[test]
fn a_snapshot_takes_the_place_of_the_journal() {
    let disk = FaultyDisk::new(1);
    let store = open_with(&disk, snapshotting());
    for sequence in 0..BATCHES {
        store.accept(batch(sequence)).wait().unwrap();
    }
    drop(store);
    let (store, recovery) =
        crate::Samples::open(std::sync::Arc::new(disk), std::path::Path::new(super::FOLDER), snapshotting())
            .unwrap();
    assert!(recovery.snapshot_records > 10, "{recovery:?}");
    assert!(recovery.records < BATCHES / 2, "{recovery:?}");
    assert_eq!(store.ledger().received, 3 * BATCHES);
    for sequence in 0..BATCHES {
        assert!(store.accept(batch(sequence)).wait().unwrap().is_duplicate, "also from the snapshot");
    }
}

#[test]
fn a_batch_that_is_sent_again_is_acknowledged_and_not_counted_again() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    store.accept(batch(4)).wait().unwrap();
    let before = (store.ledger(), numbers(&store, seconds(9)));
    for sequence in [4, 3] {
        let again = store.accept(batch(sequence)).wait().unwrap();
        assert_eq!(again, Receipt { stored: 0, is_duplicate: true });
    }
    drop(store);
    let store = open(&disk);
    assert!(store.accept(batch(4)).wait().unwrap().is_duplicate, "also after a restart");
    assert_eq!((store.ledger(), numbers(&store, seconds(9))), before);
}

#[test]
fn a_batch_that_does_not_add_up_is_refused_and_changes_nothing() {
    let store = open(&FaultyDisk::new(1));
    let error = store.accept(Batch { received: 4, ..batch(0) }).wait().unwrap_err();
    assert_eq!(error, AcceptError::Unbalanced { received: 4, stored: 2, sampled_out: 0, dropped: 1 });
    assert_eq!(store.ledger(), Ledger::default());
}

#[test]
fn series_beyond_the_budget_are_still_stored_and_counted_across_a_restart() {
    let disk = FaultyDisk::new(1);
    let narrow = Settings { max_series: 3, ..snapshotting() };
    let store = open_with(&disk, narrow.clone());
    for sequence in 0..BATCHES {
        store.accept(batch(sequence)).wait().unwrap();
    }
    let now = seconds(BATCHES);
    let overflow = red(&store, now).into_iter().find(|row| row.service.as_ref() == OVERFLOW).unwrap();
    assert_eq!((overflow.calls, overflow.errors), (BATCHES - 2, BATCHES - 2));
    assert_eq!(store.stats().folded, BATCHES - 2);
    let before = numbers(&store, now);
    drop(store);
    let store = open_with(&disk, narrow);
    assert_eq!(numbers(&store, now), before);
    let calls: u64 = store.totals().iter().map(|(_, total)| total.calls()).sum();
    assert_eq!(calls, 10 * BATCHES);
    assert!(store.totals().iter().any(|(key, _)| matches!(key, SeriesKey::Overflow { .. })));
}

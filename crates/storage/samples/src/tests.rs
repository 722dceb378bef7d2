//! Samples over a disk that fails.

mod faults;
mod history;
mod ledger;
mod record;

use std::{path::Path, sync::Arc, time::Duration};

use identity::{InstanceId, Wall};
use monitoring::{
    By, CallKey, ExponentialHistogram, Origin, Outcome, RedQuery, RedRow, Reporter, StatusClass,
};
use storage_disk::FaultyDisk;

use crate::{Batch, Samples, Settings};

const FOLDER: &str = "/data/samples";

/// Large enough for no snapshot in a test that does not want one.
fn settings() -> Settings {
    Settings { reserve_bytes: 0, ..Settings::default() }
}

/// A snapshot after every few batches.
fn snapshotting() -> Settings {
    Settings { snapshot_after_bytes: 1_500, ..settings() }
}

fn open_with(disk: &FaultyDisk, settings: Settings) -> Samples {
    Samples::open(Arc::new(disk.clone()), Path::new(FOLDER), settings).unwrap().0
}

fn open(disk: &FaultyDisk) -> Samples {
    open_with(disk, settings())
}

fn key(service: &str, outcome: Outcome) -> CallKey {
    CallKey {
        namespace: Default::default(),
        caller: "gateway".parse().unwrap(),
        service: service.parse().unwrap(),
        instance: (outcome != Outcome::Refused).then(|| InstanceId::new("one").unwrap()),
        route: Default::default(),
        reporter: Reporter::Source,
        outcome,
        status: StatusClass::Success,
    }
}

fn durations(nanos: impl IntoIterator<Item = u64>) -> ExponentialHistogram {
    let mut durations = ExponentialHistogram::new();
    nanos.into_iter().for_each(|nanos| durations.record_nanos(nanos));
    durations
}

fn seconds(seconds: u64) -> Wall {
    Wall(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
}

/// Batch `sequence` of a source, a second after the one before: ten calls in two rows, one more row
/// dropped. It has a service of its own besides, so that its presence shows.
fn batch(sequence: u64) -> Batch {
    Batch {
        origin: Some(Origin { source: "proxy".into(), epoch: 1, sequence }),
        received_at: seconds(sequence),
        received: 3,
        dropped: vec![("queue_full".into(), 1)],
        rows: vec![
            (key("shop", Outcome::Ok), durations((1..=9).map(|n| n * 1_000_003 + sequence))),
            (key(&format!("service-{sequence}"), Outcome::Error), durations([7])),
        ],
    }
}

fn red(store: &Samples, now: Wall) -> Vec<RedRow> {
    let window = Duration::from_secs(3_600);
    store.red(&RedQuery { namespace: None, window, reporter: Reporter::Source, by: By::Edge }, now)
}

/// What two stores with the same content have in common: who, calls, errors and nanoseconds of the rows
/// and of the totals. The sums of floats may differ in their last bits.
fn numbers(store: &Samples, now: Wall) -> Vec<(String, u64, u64, u128)> {
    let rows = red(store, now).into_iter();
    let rows = rows.map(|row| (row.service.into_string(), row.calls, row.errors, row.sum_ns));
    let totals = store.totals().into_iter();
    let totals = totals.map(|(key, total)| (format!("{key:?}"), total.calls(), 0, total.sum_ns()));
    rows.chain(totals).collect()
}

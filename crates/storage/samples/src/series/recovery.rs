//! Finds out what a store holds when it is opened.
//!
//! Parts first: the newest of them says what had been counted up to it, and of which epochs nothing in the journal
//! counts any more. Then the journal. Where it has more than one epoch, the older ones are sealed on the way, so that a
//! start takes no more memory than there was before.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use identity::Wall;
use monitoring::{Ledger, Sources};
use prost::Message;
use storage_disk::Disk;
use storage_intake::Intake;
use storage_journal::{Damage, Journal, OpenError, Recovery};

use super::{
    SeriesSettings, SeriesStore,
    admission::Admission,
    applier::{Job, SeriesApplier, Shared},
    cache::Cache,
    head::Head,
    part::{self, Part, Unreadable},
    record::{self, BATCH, REMOVED, RemovedRecord},
    seal::{Sealing, seal_oldest},
    store::{Durable, Store},
};

/// Opens the store in this folder.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    folder: &Path,
    settings: SeriesSettings,
) -> Result<(SeriesStore, Recovery), OpenError> {
    let parts = folder.join(part::FOLDER);
    let cache = Arc::new(Cache::new(settings.cache_bytes));
    let mut damaged = Vec::new();
    let durable = read_parts(&disk, &parts, &cache, &mut damaged).map_err(|source| OpenError::Io {
        action: "read",
        path: parts.clone(),
        source,
    })?;
    let store = Arc::new(Store::new(durable));
    let mut sealed = 0;
    let mut replay = |at, kind, payload: &[u8]| {
        let storage_journal::Origin::Segment(segment) = at else {
            return Err("a snapshot, which this store does not write".to_owned());
        };
        let is_frozen = replay(&mut store.write(), segment, kind, payload)?;
        if is_frozen {
            match seal_oldest(&store, &disk, &parts, &cache) {
                Ok(number) => sealed = number.unwrap_or(sealed),
                // It stays in memory as a whole, and is sealed later.
                Err(error) => tracing::warn!(error, "samples could not be sealed while the journal was read"),
            }
        }
        Ok(())
    };
    let opened = Journal::open(Arc::clone(&disk), folder, settings.journal(), &mut replay);
    let (journal, mut recovery) = opened?;
    recovery.damaged.append(&mut damaged);
    let journal = Arc::new(journal);
    drop_removed(&store, &*disk, &parts);
    let newest = store.read().parts.last().map_or(0, |part| part.number);
    journal.remove_before(newest.max(sealed));

    let admission = Arc::new(Admission::new(&settings, &store.read().active));
    let memory_bytes = Arc::new(AtomicU64::new(store.read().memory_bytes()));
    let shared = Shared {
        journal,
        store,
        admission,
        disk,
        cache,
        folder: parts,
        memory_bytes,
        exemplars_dropped: Arc::default(),
    };
    let sealing = Sealing::start(shared.clone())?;
    let applier = SeriesApplier::new(shared.clone(), sealing, settings.clone());
    let queue_bytes = settings.queue_bytes;
    let intake =
        Intake::start(folder, Arc::clone(&shared.journal), Sources::default(), queue_bytes, applier)?;
    // What is over a budget goes now and not with the next batch.
    intake.queue(Job::Advance(Wall::default()));
    Ok((SeriesStore { intake, shared, settings }, recovery))
}

/// Opens all parts.
fn read_parts(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    cache: &Arc<Cache>,
    damaged: &mut Vec<Damage>,
) -> std::io::Result<Durable> {
    disk.create_folder(folder)?;
    let mut numbers = Vec::new();
    for entry in disk.list(folder)? {
        match part::number_in(&entry.name) {
            Some(number) => numbers.push(number),
            // A part that was not finished. What cannot be removed now does no harm.
            None if entry.name.ends_with(".tmp") => drop(disk.remove(&folder.join(&entry.name))),
            None => {}
        }
    }
    numbers.sort_unstable();
    // A process that was killed may have renamed a part and not made the name durable, and what it holds goes
    // from the journal next.
    if !numbers.is_empty() {
        disk.sync_folder(folder)?;
    }
    let (mut durable, mut parts) = (Durable::default(), Vec::new());
    for number in numbers {
        match Part::open(disk, folder, number, cache) {
            Ok(part) => {
                durable.removed = durable.removed.max(part.record.removed);
                durable.sealed = part.record.total.clone().unwrap_or_default().into();
                durable.sealed_epoch = Some(part.record.epoch);
                parts.push(Arc::new(part));
            }
            Err(Unreadable::Io(error)) => return Err(error),
            Err(Unreadable::Damaged(why)) => {
                let file = folder.join(part::file_name(number));
                tracing::error!(part = %file.display(), why, "a part of samples is damaged");
                damaged.push(Damage { file, offset: 0, why: format!("found {why}") });
            }
        }
    }
    durable.parts = Arc::new(parts);
    durable.active = Head::new(durable.sealed_epoch.map_or(0, |epoch| epoch + 1));
    Ok(durable)
}

/// Takes a record of the journal, and says whether something is frozen now.
fn replay(durable: &mut Durable, segment: u64, kind: u8, payload: &[u8]) -> Result<bool, String> {
    match kind {
        BATCH => {
            let batch = record::decode(payload).ok_or("a batch that cannot be read")?;
            if durable.sealed_epoch.is_some_and(|sealed| batch.epoch <= sealed) {
                return Ok(false);
            }
            let is_later = durable.active.epoch < batch.epoch;
            if is_later {
                durable.freeze(segment, batch.epoch);
            }
            durable.active.add(&batch);
            Ok(is_later && !durable.frozen.is_empty())
        }
        REMOVED => {
            let record = RemovedRecord::decode(payload).map_err(|error| error.to_string())?;
            note_removed(durable, record);
            Ok(false)
        }
        _ => Err(format!("kind {kind} is unknown")),
    }
}

/// Takes note of a record that says what was removed: parts, and what the journal still has of them.
fn note_removed(durable: &mut Durable, record: RemovedRecord) {
    durable.removed = durable.removed.max(record.before);
    let ledger: Ledger = record.ledger.unwrap_or_default().into();
    let expired = durable.sealed.expired.max(ledger.expired);
    // With the newest part, or as large where there is none any more.
    if ledger.received > durable.sealed.received {
        durable.sealed = ledger;
    }
    durable.sealed.expired = expired;
    durable.frozen.retain(|frozen| frozen.head.epoch > record.epoch);
    if durable.active.epoch <= record.epoch {
        durable.active = Head::new(record.epoch + 1);
    }
    durable.sealed_epoch = durable.sealed_epoch.max(Some(record.epoch));
}

/// Removes the parts that the last record says are gone.
fn drop_removed(store: &Store, disk: &dyn Disk, folder: &Path) {
    let removed = {
        let mut durable = store.write();
        let removed = durable.removed;
        let kept = durable.parts.iter().filter(|part| part.number > removed).cloned().collect();
        durable.parts = Arc::new(kept);
        removed
    };
    // Also those that could not be opened.
    for entry in disk.list(folder).unwrap_or_default() {
        if part::number_in(&entry.name).is_some_and(|number| number <= removed) {
            let _ = disk.remove(&folder.join(&entry.name));
        }
    }
}

//! Finds out what a store holds when it is opened.
//!
//! Blocks first: the newest of them says what had been counted up to it and what senders had sent. Then the
//! journal from where the newest block ends; what stands before that is in blocks. Where the journal has more
//! than memory holds, blocks are made of it on the way.

use std::{path::Path, sync::Arc};

use identity::Wall;
use monitoring::{Ledger, Origin, Sources};
use prost::Message;
use storage_disk::Disk;
use storage_intake::Intake;
use storage_journal::{Damage, Journal, OpenError, Recovery};

use crate::{
    Settings, Spans,
    applier::{Job, SpanApplier, freeze, is_due},
    block::{self, Block},
    cache::Cache,
    record::{self, RemovedRecord},
    retention::Retention,
    sampling::Left,
    seal::{Sealer, Sealing},
    store::{Durable, Store},
};

/// What was found beside what can be read.
#[derive(Default)]
struct Found {
    sources: Sources,
    /// Segments before this one are in blocks.
    sealed: u64,
    /// The segment of the last batch.
    segment: u64,
    /// The first segment of which a record counted.
    first: Option<u64>,
    /// Which carried spans hold, as the newest block says it; nothing where none does.
    carried: Option<u64>,
    damaged: Vec<Damage>,
}

/// Opens the store in this folder.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    folder: &Path,
    settings: Settings,
) -> Result<(Spans, Recovery), OpenError> {
    let blocks = folder.join(block::FOLDER);
    let cache = Arc::new(Cache::new(settings.cache_bytes()));
    let (durable, mut found) = read_blocks(&disk, &blocks, &cache).map_err(|source| OpenError::Io {
        action: "read",
        path: blocks.clone(),
        source,
    })?;
    let store = Arc::new(Store::new(durable, cache));
    let sealer = Sealer { disk: Arc::clone(&disk), folder: blocks.clone(), store: Arc::clone(&store) };

    let mut replay = |at, kind, payload: &[u8]| {
        let storage_journal::Origin::Segment(segment) = at else {
            return Err("a snapshot, which this store does not write".to_owned());
        };
        replay(&store, &sealer, &settings, &mut found, segment, kind, payload)
    };
    let (journal, mut recovery) = Journal::open(Arc::clone(&disk), folder, settings.journal(), &mut replay)?;
    let journal = Arc::new(journal);
    drop_removed(&store, &*disk, &blocks);
    journal.remove_before(found.sealed);
    let damaged_blocks = found.damaged.len() as u64;
    recovery.damaged.append(&mut found.damaged);

    let retention =
        Retention::new(Arc::clone(&journal), Arc::clone(&store), Arc::clone(&disk), blocks, &settings);
    let sealing = Sealing::start(sealer, Arc::clone(&journal))?;
    let (memory_bytes, max_batch_bytes) = (settings.memory_bytes, settings.max_batch_bytes);
    let queue_bytes = settings.queue_bytes;
    let applier = SpanApplier::new(Arc::clone(&journal), Arc::clone(&store), sealing, retention, settings);
    let intake = Intake::start(folder, Arc::clone(&journal), found.sources, queue_bytes, applier)?;
    // What is over a budget goes now and not with the next batch.
    intake.queue(Job::Advance(Wall::default()));
    let compressors = record::Compressors::default();
    Ok((
        Spans { intake, journal, store, memory_bytes, max_batch_bytes, compressors, damaged_blocks },
        recovery,
    ))
}

/// Opens all blocks.
fn read_blocks(disk: &Arc<dyn Disk>, folder: &Path, cache: &Arc<Cache>) -> std::io::Result<(Durable, Found)> {
    disk.create_folder(folder)?;
    let mut numbers = Vec::new();
    for entry in disk.list(folder)? {
        match block::number_in(&entry.name) {
            Some(number) => numbers.push(number),
            // A block that was not finished. What cannot be removed now does no harm.
            None if entry.name.ends_with(".tmp") => drop(disk.remove(&folder.join(&entry.name))),
            None => {}
        }
    }
    numbers.sort_unstable();
    // A process that was killed may have renamed a block and not made the name durable, and what the block
    // holds goes from the journal next.
    if !numbers.is_empty() {
        disk.sync_folder(folder)?;
    }
    let (mut durable, mut found) = (Durable::default(), Found::default());
    for number in numbers {
        found.sealed = found.sealed.max(number);
        match Block::open(disk, folder, number, cache) {
            Ok(block) => add(&mut durable, &mut found, block),
            Err(block::Unreadable::Io(error)) => return Err(error),
            Err(block::Unreadable::Damaged(why)) => {
                found.carried = None;
                tracing::error!(block = %folder.join(block::file_name(number)).display(), why, "a block of spans is damaged");
                let file = folder.join(block::file_name(number));
                found.damaged.push(Damage { file, offset: 0, why: format!("found {why}") });
            }
        }
    }
    Ok((durable, found))
}

fn add(durable: &mut Durable, found: &mut Found, block: Block) {
    let record = &block.record;
    durable.removed = durable.removed.max(record.removed);
    durable.sealed = record.total.clone().unwrap_or_default().into();
    found.carried = Some(record.carried);
    for origin in &record.sources {
        found.sources.take_in(&Origin::from(origin.clone()));
    }
    if let Some(names) = block.look(Block::names) {
        durable.directory.add(&names);
    }
    let split = block.look(Block::split).unwrap_or_default();
    // The first lookup would otherwise read that of every block.
    block.look(Block::filter);
    durable.add_block(Arc::new(block), &split);
}

fn replay(
    store: &Arc<Store>,
    sealer: &Sealer,
    settings: &Settings,
    found: &mut Found,
    segment: u64,
    kind: u8,
    payload: &[u8],
) -> Result<(), String> {
    if segment < found.sealed {
        return Ok(());
    }
    let first = *found.first.get_or_insert(segment);
    match kind {
        record::CARRIED => {
            let (block, batch) = record::carried(payload).map_err(|error| error.to_string())?;
            // Where there never was a block of this number, they have been read as they came. Where it is gone,
            // or cannot be read, what came before it is not there.
            if found.carried.map_or(first >= block, |of| of == block) {
                seal_what_is_over(store, sealer, settings, found, segment);
                found.segment = segment;
                store.add(&batch);
            }
        }
        record::BATCH | record::PACKED => {
            let batch =
                if kind == record::PACKED { record::unpack(payload) } else { record::decode(payload) };
            let batch = batch.map_err(|error| error.to_string())?;
            // Twice in the journal: the first answer was an error, but the record was there.
            if batch.origin.as_ref().is_none_or(|origin| !found.sources.has(origin)) {
                seal_what_is_over(store, sealer, settings, found, segment);
                batch.origin.as_ref().map(|origin| found.sources.take_in(origin));
                found.segment = segment;
                store.add(&batch);
            }
        }
        record::REMOVED => {
            let record = RemovedRecord::decode(payload).map_err(|error| error.to_string())?;
            for origin in &record.sources {
                found.sources.take_in(&origin.clone().into());
            }
            note_removed(&mut store.write(), record);
        }
        _ => return Err(format!("kind {kind} is unknown")),
    }
    Ok(())
}

/// Makes a block of all segments before this one, where they are more than memory is to hold.
fn seal_what_is_over(store: &Store, sealer: &Sealer, settings: &Settings, found: &mut Found, segment: u64) {
    if segment == found.segment {
        return;
    }
    let frozen = {
        let mut durable = store.write();
        // Its age is no reason now: what is old is sealed when time is heard of.
        if durable.frozen.is_some() || !is_due(&durable.active, settings, 0, Wall::default()) {
            return;
        }
        let sources: Vec<Origin> = found.sources.iter().collect();
        freeze(
            &mut durable,
            segment,
            &sources,
            Left { number: found.carried.unwrap_or(0), ..Left::default() },
        )
    };
    match sealer.seal(&frozen) {
        Ok(()) => found.sealed = segment,
        Err(error) => {
            tracing::warn!(error, "a block of spans could not be sealed while the journal was read");
            // It stays in memory as a whole, and is sealed later.
        }
    }
}

/// Takes note of a record that says what was removed.
fn note_removed(durable: &mut Durable, record: RemovedRecord) {
    durable.removed = durable.removed.max(record.before);
    let ledger: Ledger = record.ledger.unwrap_or_default().into();
    let expired = durable.sealed.expired.max(ledger.expired);
    // With the newest block, or as large where there is none any more.
    if ledger.received > durable.sealed.received {
        durable.sealed = ledger;
    }
    durable.sealed.expired = expired;
}

/// Removes the blocks that the last record says are gone.
fn drop_removed(store: &Store, disk: &dyn Disk, folder: &Path) {
    let mut durable = store.write();
    let removed = durable.removed;
    let (gone, kept): (Vec<_>, Vec<_>) =
        durable.blocks.iter().cloned().partition(|block| block.number <= removed);
    durable.blocks = Arc::new(kept);
    durable.later.retain(|number, _| *number > removed);
    for block in &gone {
        if let Some(names) = block.look(Block::names) {
            durable.directory.remove(&names);
        }
        store.cache.forget(block.number);
    }
    drop(durable);
    // Also those that could not be opened.
    for entry in disk.list(folder).unwrap_or_default() {
        if block::number_in(&entry.name).is_some_and(|number| number <= removed) {
            let _ = disk.remove(&folder.join(&entry.name));
        }
    }
}

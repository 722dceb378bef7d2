//! What is readable: the newest events in memory, and where the older ones are.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use identity::Wall;
use prost::Message;
use storage_journal::{Journal, ReadError};

use crate::record::{BATCH, BatchRecord};
use crate::{Event, Order, Query};

/// Events of a segment of the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Chapter {
    pub(crate) events: u64,
    pub(crate) last_revision: u64,
    pub(crate) newest: Wall,
}

/// Everything that is durable.
#[derive(Debug, Default)]
pub(crate) struct Log {
    newest: VecDeque<Arc<Event>>,
    newest_bytes: u64,
    memory_bytes: u64,
    /// Events up to this revision are no longer in memory.
    floor: u64,
    pub(crate) chapters: BTreeMap<u64, Chapter>,
    pub(crate) expired: u64,
}

impl Log {
    pub(crate) fn new(memory_bytes: u64) -> Log {
        Log { memory_bytes, ..Log::default() }
    }

    pub(crate) fn add(&mut self, segment: u64, events: Vec<Event>) {
        let chapter = self.chapters.entry(segment).or_default();
        for event in events {
            chapter.events += 1;
            chapter.last_revision = event.revision;
            chapter.newest = chapter.newest.max(event.at);
            self.newest_bytes += event.bytes();
            self.newest.push_back(Arc::new(event));
        }
        while self.newest_bytes > self.memory_bytes
            && let Some(oldest) = self.newest.pop_front()
        {
            self.newest_bytes -= oldest.bytes();
            self.floor = oldest.revision;
        }
    }

    /// Forgets the chapters before this segment, and says how many events they had.
    pub(crate) fn forget_before(&mut self, segment: u64) -> u64 {
        let kept = self.chapters.split_off(&segment);
        let gone = std::mem::replace(&mut self.chapters, kept);
        let last = gone.values().next_back().map_or(0, |chapter| chapter.last_revision);
        self.floor = self.floor.max(last);
        while let Some(oldest) = self.newest.pop_front_if(|oldest| oldest.revision <= last) {
            self.newest_bytes -= oldest.bytes();
        }
        gone.values().map(|chapter| chapter.events).sum()
    }

    pub(crate) fn events(&self) -> u64 {
        self.chapters.values().map(|chapter| chapter.events).sum()
    }

    pub(crate) fn newest_bytes(&self) -> u64 {
        self.newest_bytes
    }

    fn in_memory(&self, query: &Query) -> Vec<Arc<Event>> {
        // Revisions ascend, so both ends are found without looking at what is outside.
        let begin = self.newest.partition_point(|event| event.revision <= query.since());
        let end = self.newest.partition_point(|event| event.revision < query.before());
        let wanted = self.newest.range(begin..end.max(begin)).filter(|event| query.wants(event)).cloned();
        match query.order {
            Order::OldestFirst => wanted.take(query.limit).collect(),
            Order::NewestFirst => wanted.rev().take(query.limit).collect(),
        }
    }

    /// Segments with events that the query may want and that are not in memory, oldest first.
    fn on_disk(&self, query: &Query) -> Vec<u64> {
        let mut begins_after = 0;
        let mut segments = Vec::new();
        for (segment, chapter) in &self.chapters {
            let is_within = chapter.last_revision > query.since() && begins_after + 1 < query.before();
            if is_within && begins_after < self.floor {
                segments.push(*segment);
            }
            begins_after = chapter.last_revision;
        }
        segments
    }
}

/// The log, shared.
#[derive(Debug)]
pub(crate) struct Store(RwLock<Log>);

impl Store {
    pub(crate) fn new(log: Log) -> Store {
        Store(RwLock::new(log))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Log> {
        // Every change is complete before anything could panic.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Log> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a query can be answered from memory alone.
    pub(crate) fn is_in_memory(&self, query: &Query) -> bool {
        let log = self.read();
        log.on_disk(query).is_empty()
            || (query.order == Order::NewestFirst && log.in_memory(query).len() >= query.limit)
    }

    pub(crate) fn find(&self, journal: &Journal, query: &Query) -> Result<Vec<Event>, ReadError> {
        let log = self.read();
        let in_memory = log.in_memory(query);
        let (segments, floor) = (log.on_disk(query), log.floor);
        drop(log);
        let owned = |event: &Arc<Event>| (**event).clone();
        match query.order {
            Order::OldestFirst => {
                let mut found = Vec::new();
                for segment in segments {
                    let missing = query.limit - found.len();
                    if missing == 0 {
                        break;
                    }
                    found.extend(read(journal, segment, query, floor, missing)?);
                }
                let missing = query.limit - found.len();
                found.extend(in_memory.iter().take(missing).map(owned));
                Ok(found)
            }
            Order::NewestFirst => {
                let mut found: Vec<Event> = in_memory.iter().map(owned).collect();
                for segment in segments.into_iter().rev() {
                    let missing = query.limit - found.len();
                    if missing == 0 {
                        break;
                    }
                    found.extend(read(journal, segment, query, floor, missing)?.into_iter().rev());
                }
                Ok(found)
            }
        }
    }
}

/// Wanted events of a segment up to revision `floor`, in order: the first `limit` of them, or the last
/// where the query begins with the newest.
fn read(
    journal: &Journal,
    segment: u64,
    query: &Query,
    floor: u64,
    limit: usize,
) -> Result<VecDeque<Event>, ReadError> {
    let mut found = VecDeque::new();
    let visited = journal.read(segment, &mut |_, kind, payload| {
        if kind != BATCH {
            return ControlFlow::Continue(());
        }
        // It was decoded when it was recorded or replayed, and its checksum holds.
        let events = BatchRecord::decode(payload).map_err(|error| error.to_string());
        for event in events.and_then(BatchRecord::into_events).unwrap_or_default() {
            if event.revision > floor {
                return ControlFlow::Break(());
            }
            if query.wants(&event) {
                found.push_back(event);
            }
            if found.len() > limit && query.order == Order::NewestFirst {
                found.pop_front();
            } else if found.len() == limit && query.order == Order::OldestFirst {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    match visited {
        // It was removed since the list of segments was made: its events are expired.
        Ok(()) | Err(ReadError::NotFound(_)) => Ok(found),
        Err(error) => Err(error),
    }
}

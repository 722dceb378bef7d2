//! What is readable: the newest events in memory, and where the older ones are.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use identity::Wall;
use storage_journal::{Journal, ReadError};

use crate::batch::Page;
use crate::record::BATCH;
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
    newest: VecDeque<Arc<Page>>,
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

    /// Takes in a batch. Where there is no more room, the oldest ones go from memory, each as a whole.
    pub(crate) fn add(&mut self, segment: u64, page: Arc<Page>) {
        if page.len() == 0 {
            return;
        }
        let chapter = self.chapters.entry(segment).or_default();
        chapter.events += page.len() as u64;
        chapter.last_revision = page.last_revision();
        chapter.newest = chapter.newest.max(page.newest);
        self.newest_bytes += page.memory_bytes();
        self.newest.push_back(page);
        while self.newest_bytes > self.memory_bytes
            && let Some(oldest) = self.newest.pop_front()
        {
            self.newest_bytes -= oldest.memory_bytes();
            self.floor = oldest.last_revision();
        }
    }

    /// Forgets the chapters before this segment, and says how many events they had.
    pub(crate) fn forget_before(&mut self, segment: u64) -> u64 {
        let kept = self.chapters.split_off(&segment);
        let gone = std::mem::replace(&mut self.chapters, kept);
        let last = gone.values().next_back().map_or(0, |chapter| chapter.last_revision);
        self.floor = self.floor.max(last);
        // A batch is one record, so that all of it stands in one segment.
        while let Some(oldest) = self.newest.pop_front_if(|oldest| oldest.last_revision() <= last) {
            self.newest_bytes -= oldest.memory_bytes();
        }
        gone.values().map(|chapter| chapter.events).sum()
    }

    pub(crate) fn events(&self) -> u64 {
        self.chapters.values().map(|chapter| chapter.events).sum()
    }

    pub(crate) fn newest_bytes(&self) -> u64 {
        self.newest_bytes
    }

    fn in_memory(&self, query: &Query) -> Vec<Found> {
        // Revisions ascend, so both ends are found without looking at what is outside.
        let begin = self.newest.partition_point(|page| page.last_revision() <= query.since());
        let end = self.newest.partition_point(|page| page.first_revision < query.before());
        let pages = self.newest.range(begin..end.max(begin));
        let found = |page: &Arc<Page>, index| Found { page: page.clone(), index };
        match query.order {
            Order::OldestFirst => {
                let wanted = pages.flat_map(|page| page.wanted(query).map(move |index| found(page, index)));
                wanted.take(query.limit).collect()
            }
            Order::NewestFirst => {
                let wanted = pages
                    .rev()
                    .flat_map(|page| page.wanted(query).rev().map(move |index| found(page, index)));
                wanted.take(query.limit).collect()
            }
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

/// An event in memory that a query wants. It is decoded without the lock.
#[derive(Debug)]
struct Found {
    page: Arc<Page>,
    index: usize,
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
        let decoded = |found: &Found| found.page.get(found.index);
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
                found.extend(in_memory.iter().take(missing).filter_map(decoded));
                Ok(found)
            }
            Order::NewestFirst => {
                let mut found: Vec<Event> = in_memory.iter().filter_map(decoded).collect();
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
        // It was checked when it was recorded or replayed, and its checksum holds.
        let Ok((page, _)) = Page::lay_out(payload) else { return ControlFlow::Continue(()) };
        if page.first_revision > floor {
            return ControlFlow::Break(());
        }
        for event in page.wanted(query).filter_map(|index| page.get(index)) {
            found.push_back(event);
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

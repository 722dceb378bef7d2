//! Finds traces, newest first.
//!
//! Sources are opened in the order of the latest trace that each has, and what is found in one waits until no
//! source that is still closed can have a newer one: a search for the newest twenty opens what is in memory and
//! a block or two, however much is stored. A trace with several parts is found in the first of them that is
//! opened, and weighed as a whole, since the others are known.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use identity::{TraceId, Wall};

use super::{
    Page, PageToken, Query,
    conditions::{Conditions, Facts},
    sources::{AHEAD, At, PreparedBlocks, Snapshot},
    summary,
};
use crate::{
    block::{Block, Criterion},
    store::Store,
};

/// What was found and not shown yet, by start, the newest first.
type Found = BTreeMap<Reverse<Wall>, Vec<Vec<At>>>;

/// A search that is under way.
struct Search<'a> {
    store: &'a Store,
    conditions: Conditions<'a>,
    snapshot: Snapshot,
    prepared: PreparedBlocks,
    found: Found,
    /// Traces with several parts that were weighed, by their first part.
    seen: HashSet<At>,
    page: Page,
    limit: usize,
}

/// Looks for traces that fulfil a query, with a span that fulfils a criterion.
pub(crate) fn search(store: &Store, query: &Query, criterion: Option<Criterion<'_>>) -> Page {
    let conditions = Conditions::of(query, criterion);
    let mut snapshot = Snapshot::take(&store.read(), &conditions);
    snapshot.look_at_spans(&conditions);
    let limit = match query.limit {
        0 => Query::DEFAULT_LIMIT,
        limit => limit.min(Query::MAX_LIMIT),
    };
    let (found, seen, page) = Default::default();
    let mut search =
        Search { store, conditions, snapshot, prepared: PreparedBlocks::default(), found, seen, page, limit };
    search.run();
    search.page.unreadable = search.prepared.unreadable;
    search.page
}

impl Search<'_> {
    fn run(&mut self) {
        self.look_into_memory();
        let mut blocks: Vec<Arc<Block>> = self.snapshot.blocks.to_vec();
        blocks.sort_by_key(|block| Reverse((block.header.last_start, block.number)));
        // What comes next is prepared ahead once a few blocks were not enough: twice as much each time, so that
        // no more is prepared in vain than was needed.
        let (mut ahead, mut until) = (1, 0);
        for (at, block) in blocks.iter().enumerate() {
            let newest = block.header.last_start;
            if !self.show(Some(newest)) {
                return;
            }
            if at == until {
                let next = blocks.get(at..).unwrap_or_default();
                let next = next.get(..ahead).unwrap_or(next);
                let wanted = next.iter().filter(|block| self.may_have(block)).map(|block| &**block);
                self.prepared.prepare(&wanted.collect::<Vec<_>>(), &self.conditions);
                until = at + ahead;
                ahead = (2 * ahead).min(AHEAD);
            }
            if self.prepared.examined >= Query::MAX_EXAMINED {
                // Nothing that began later is left; where this block begins, the next page does.
                self.page.next = TraceId::new(u128::MAX).map(|last| PageToken(newest, last));
                return;
            }
            if self.conditions.may_begin(block.header.first_start, newest) {
                self.look_into(block);
            }
        }
        self.show(None);
    }

    fn look_into_memory(&mut self) {
        for (id, facts) in std::mem::take(&mut self.snapshot.memory) {
            if !self.snapshot.earlier.contains_key(&id) {
                self.weigh(facts, || vec![At::Memory(id)]);
            } else {
                let parts = self.snapshot.parts(id);
                self.snapshot.memory.insert(id, facts);
                self.weigh_parts(parts);
            }
        }
    }

    /// Whether there may be something in a block, as far as it says without its columns.
    fn may_have(&self, block: &Block) -> bool {
        let places = || block.look(|block| Ok(self.conditions.places(&*block.names()?)));
        self.conditions.may_begin(block.header.first_start, block.header.last_start)
            && (!self.conditions.needs_place() || places().is_none_or(|places| places.contains(&true)))
    }

    fn look_into(&mut self, block: &Block) {
        let split = block.look(|block| self.snapshot.split(block)).unwrap_or_default();
        if self.conditions.needs_place() && split.is_empty() {
            let places = block.look(|block| Ok(self.conditions.places(&*block.names()?)));
            if places.is_some_and(|places| !places.contains(&true)) {
                return;
            }
        }
        let Some(prepared) = self.prepared.get(block, &self.conditions) else { return };
        for at in 0..prepared.table.rows.len() as u32 {
            let facts = if split.contains_key(&at) { None } else { prepared.facts(at) };
            if let Some(facts) = facts {
                self.weigh(facts, || vec![At::Block(block.number, at)]);
            }
        }
        for parts in split.into_values() {
            self.weigh_parts(parts);
        }
    }

    fn weigh(&mut self, facts: Facts, parts: impl FnOnce() -> Vec<At>) {
        if self.conditions.fit(&facts) {
            self.found.entry(Reverse(facts.start)).or_default().push(parts());
        }
    }

    /// Weighs a trace with several parts, once.
    fn weigh_parts(&mut self, mut parts: Vec<At>) {
        let rank = |part: &At| match part {
            At::Block(block, at) => (*block, u64::from(*at)),
            At::Memory(_) => (u64::MAX, 0),
        };
        parts.sort_by_key(rank);
        parts.dedup();
        // Parts that are gone take no part in this.
        parts.retain(|part| match part {
            At::Block(block, _) => self.snapshot.block(*block).is_some(),
            At::Memory(_) => true,
        });
        if parts.first().is_none_or(|first| !self.seen.insert(*first)) {
            return;
        }
        let mut sum: Option<Facts> = None;
        for part in &parts {
            let facts = match part {
                At::Memory(id) => self.snapshot.memory.get(id).copied(),
                At::Block(block, at) => {
                    let block = self.snapshot.block(*block).cloned();
                    let prepared = block.and_then(|block| self.prepared.get(&block, &self.conditions));
                    prepared.and_then(|prepared| prepared.facts(*at))
                }
            };
            sum = match (sum, facts) {
                (Some(sum), Some(facts)) => Some(sum.and(facts)),
                (sum, facts) => sum.or(facts),
            };
        }
        if let Some(facts) = sum {
            self.weigh(facts, || parts);
        }
    }

    /// Shows what began after this time, or everything. False when the page is full.
    fn show(&mut self, after: Option<Wall>) -> bool {
        while let Some(entry) = self.found.first_entry() {
            let Reverse(start) = *entry.key();
            if after.is_some_and(|after| start <= after) {
                return true;
            }
            let mut traces: Vec<(TraceId, Vec<At>)> =
                entry.remove().into_iter().filter_map(|parts| Some((self.id_of(&parts)?, parts))).collect();
            traces.retain(|(id, _)| self.conditions.is_next(start, *id));
            traces.sort_by_key(|(id, _)| Reverse(*id));
            for (id, parts) in traces {
                if self.page.traces.len() == self.limit {
                    return false;
                }
                if let Some(summary) = summary::of(&self.snapshot, self.store, id, &parts) {
                    self.page.traces.push(summary);
                    self.page.next = Some(PageToken(start, id));
                }
            }
            if self.page.traces.len() == self.limit && !self.found.is_empty() {
                return false;
            }
        }
        if after.is_none() {
            self.page.next = None;
        }
        after.is_none() || self.page.traces.len() < self.limit
    }

    fn id_of(&self, parts: &[At]) -> Option<TraceId> {
        match parts.first()? {
            At::Memory(id) => Some(*id),
            At::Block(block, at) => {
                let block = self.snapshot.block(*block)?;
                block.look(|block| block.ids_at(&[*at])).and_then(|ids| ids.first().copied())
            }
        }
    }
}

//! Instances that went together, in one record.
//!
//! The end of a service is a change of each of its instances, and all of them count or none. A record of
//! its own for each would say the same moment, person and reason a hundred thousand times, and the largest
//! service would not fit into what one write may hold. So what they share is written once, and behind it
//! who else has gone.

use std::sync::Arc;

use prost::Message;
use registry::{Change, Effect};
use storage_journal::Records;

use crate::record::{self, ChangeRecord, Unreadable, encode};

/// Instances of one record: with the longest ids and reason it stays far below what a record may be.
const INSTANCES_MAX: usize = 1_024;

/// The first of them, and the ids of the others in order. Their revisions count up by one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RemovalsRecord {
    #[prost(message, optional, tag = "1")]
    first: Option<ChangeRecord>,
    #[prost(string, repeated, tag = "2")]
    others: Vec<String>,
}

/// Changes as records, fewer where many instances went at once.
pub(crate) fn lay_out(changes: &[Arc<Change>], records: &mut Records) {
    let goes_on = |one: &Arc<Change>, next: &Arc<Change>| goes_with(one, next);
    for run in changes.chunk_by(goes_on).flat_map(|run| run.chunks(INSTANCES_MAX)) {
        match run {
            [] => {}
            [one] => records.push_with(record::CHANGE, |bytes| encode::change(one, bytes)),
            [first, others @ ..] => {
                let others = others.iter().map(|change| change.target.instance.as_str());
                records.push_with(record::REMOVALS, |bytes| encode::removals(first, others, bytes));
            }
        }
    }
}

/// Whether one instance went right after the other, and everything else is the same of both.
fn goes_with(one: &Change, next: &Change) -> bool {
    let gone = |change: &Change| matches!(change.effect, Effect::Removed);
    gone(one)
        && gone(next)
        && next.revision == one.revision + 1
        && next.at == one.at
        && (&next.target.namespace, &next.target.service) == (&one.target.namespace, &one.target.service)
        && next.cause == one.cause
}

impl RemovalsRecord {
    /// The changes that it stands for.
    pub(crate) fn read(self) -> Result<Vec<Change>, Unreadable> {
        let first = Change::try_from(self.first.ok_or("removals without a first one")?)?;
        if first.effect != Effect::Removed {
            return Err("removals of what is not gone".to_owned());
        }
        let mut changes = Vec::with_capacity(1 + self.others.len());
        let mut last = first;
        for id in self.others {
            let mut next = last.clone();
            next.revision = last.revision.checked_add(1).ok_or("a revision beyond all")?;
            next.target.instance = id.parse().map_err(|error: identity::Invalid| error.to_string())?;
            changes.push(std::mem::replace(&mut last, next));
        }
        changes.push(last);
        Ok(changes)
    }
}

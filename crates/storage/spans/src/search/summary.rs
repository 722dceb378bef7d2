//! What a list shows of a trace: from the table of its block where it is whole there, from its spans otherwise.

use std::{collections::BTreeMap, sync::Arc};

use identity::TraceId;
use traces::{ServiceCount, Summary, Trace, sampling::Ratio};

use super::sources::{At, Snapshot};
use crate::{
    block::{Block, Unreadable},
    store::Store,
};

/// The summary of a trace with these parts.
pub(crate) fn of(snapshot: &Snapshot, store: &Store, id: TraceId, parts: &[At]) -> Option<Summary> {
    if let [At::Block(number, at)] = parts {
        let block = snapshot.block(*number)?;
        if let Some(summary) = block.look(|block| from_table(block, id, *at))? {
            return Some(summary);
        }
    }
    let spans = snapshot.spans(id, parts, store);
    // What was in memory when the search began may have been sealed since.
    let spans = if spans.is_empty() { crate::spans_of(store, id) } else { spans };
    Trace::assemble(spans).map(|trace| trace.summary())
}

/// The summary of a trace of which the table knows everything.
fn from_table(block: &Block, id: TraceId, at: u32) -> Result<Option<Summary>, Unreadable> {
    let (table, names) = (block.table()?, block.names()?);
    let Some(row) = table.rows.get(at as usize) else { return Ok(None) };
    let shape = &table.shapes[row.shape as usize];
    let Some(root) = names.places.get(shape.root as usize).filter(|_| !shape.is_odd) else { return Ok(None) };
    let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (place, spans, errors) in shape.places.iter().filter(|(_, spans, _)| *spans > 0) {
        let Some(place) = names.places.get(*place as usize) else { return Ok(None) };
        let sums = services.entry(&place.service).or_default();
        sums.0 += u64::from(*spans);
        sums.1 += u64::from(*errors);
    }
    let service = |(service, (spans, errors)): (&str, (u64, u64))| ServiceCount {
        service: service.into(),
        spans,
        errors,
    };
    Ok(Some(Summary {
        trace_id: id,
        namespace: (*root.namespace).into(),
        root_service: (*root.service).into(),
        root_operation: Arc::clone(&root.operation),
        start: row.start,
        duration_ns: row.duration_ns,
        spans: services.values().map(|(spans, _)| spans).sum(),
        errors: services.values().map(|(_, errors)| errors).sum(),
        services: services.into_iter().map(service).collect(),
        incomplete: shape.is_incomplete,
        one_in: Ratio::of_threshold(shape.threshold)
            .filter(|kept| *kept != Ratio::ALL)
            .and_then(Ratio::one_in),
    }))
}

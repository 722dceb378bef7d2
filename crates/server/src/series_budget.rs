//! Says which service has more series than it may have, and which of its labels exploded.
//!
//! What is beyond the budget is in sums already when this is told: see `storage_samples::OVERFLOW`. Told once a day for
//! each service, because a budget begins anew with every part of the store and is used up again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use identity::Wall;
use storage_samples::OverBudget;

use crate::{chronicle, state::State};

/// The action of the event.
const ACTION: &str = "series_folded";
/// How long a service is not told of again.
const AGAIN: Duration = Duration::from_secs(86_400);

/// When each service was told of.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<Box<str>, Wall>);

impl Told {
    /// Tells of those that are new.
    pub(crate) async fn tell(&mut self, state: &Arc<State>, now: Wall) {
        self.0.retain(|_, at| *at + AGAIN > now);
        if state.series.folding().iter().all(|service| self.0.contains_key(service)) {
            return;
        }
        let of = state.clone();
        // Looks at the labels of all series.
        let Ok(over) = tokio::task::spawn_blocking(move || of.series.over_budget()).await else { return };
        for over in over {
            if self.0.contains_key(&over.service) {
                continue;
            }
            let mut event = chronicle::server(ACTION, sentence(&over));
            event.details.insert("service".to_owned(), over.service.to_string());
            event.details.insert("series".to_owned(), over.series.to_string());
            if let Some((label, values)) = &over.label {
                event.details.insert("label".to_owned(), label.to_string());
                event.details.insert("values".to_owned(), values.to_string());
            }
            chronicle::record(state, event).await;
            self.0.insert(over.service, now);
        }
    }
}

fn sentence(over: &OverBudget) -> String {
    let OverBudget { service, series, label, .. } = over;
    let exploded = label.as_ref().map(|(label, values)| format!("; the label {label} has {values} values"));
    let exploded = exploded.unwrap_or_default();
    format!("{service} has used up its budget of {series} series{exploded}; further ones are added up")
}

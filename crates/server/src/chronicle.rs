//! From what happens to the events that tell of it.
//!
//! Changes of the registry are told after they became durable in the catalog. The catalog's journal
//! and the events' are two files, so a crash may fall between them; at the next start the changes that
//! the catalog still has are told again, and those that were told already are dropped by their
//! revision. What was acknowledged therefore has its event, exactly once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use monitoring::Origin;
use registry::Change;
use storage_events::{AcceptError, Batch, Event, Events, Kind, Query};
use storage_journal::ReadError;
use tokio::sync::mpsc;
use wire::native::{
    channel::{Report, Transition},
    problem::{Code, Problem},
};

use crate::{clock, state::State, view};

/// The source of the registry's events; its sequence is the registry's revision.
const REGISTRY: &str = "registry";
/// Batches of changes that wait for the events' disk.
pub(crate) const QUEUE: usize = 256;
/// How long a disk that refused is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Tells of every batch of changes, in order, until the sender is gone.
pub(crate) async fn follow(events: Events, mut changes: mpsc::Receiver<Vec<Change>>, activity: impl Fn()) {
    while let Some(batch) = changes.recv().await {
        activity();
        while let Err(error) = tell(&events, &batch).await {
            tracing::error!(%error, "events of registrations wait for the disk");
            tokio::time::sleep(RETRY).await;
        }
        activity();
    }
}

/// Tells of changes that may have been told already.
pub(crate) async fn tell(events: &Events, changes: &[Change]) -> Result<(), AcceptError> {
    let visible = changes.iter().filter(|change| change.is_visible());
    let Some(sequence) = visible.clone().map(|change| change.revision).max() else { return Ok(()) };
    let known = events.last_sequence(REGISTRY, 0).unwrap_or(0);
    let news: Vec<Event> =
        visible.filter(|change| change.revision > known).map(view::registry_event).collect();
    if news.is_empty() {
        return Ok(());
    }
    let origin = Origin { source: REGISTRY.into(), epoch: 0, sequence };
    events.record(Batch { origin: Some(origin), events: news }).await.map(drop)
}

/// The events of a proxy's report.
pub(crate) fn transitions(report: &Report) -> Vec<Event> {
    report.transitions.iter().map(|transition| breaker(report, transition)).collect()
}

fn breaker(report: &Report, transition: &Transition) -> Event {
    let counts = &transition.counts;
    let details = [
        ("from", transition.from.to_string()),
        ("to", transition.to.to_string()),
        ("proxy", report.proxy.to_string()),
        ("caller", transition.caller.to_string()),
        ("route", transition.route.to_string()),
        ("successes", counts.successes.to_string()),
        ("failures", counts.failures.to_string()),
        ("slow", counts.slow.to_string()),
        ("refused", counts.refused.to_string()),
        ("consecutive_failures", counts.consecutive_failures.to_string()),
        ("policy_revision", transition.policy_revision.to_string()),
    ];
    Event {
        revision: 0,
        at: transition.at,
        kind: Kind::Breaker,
        action: transition.to.to_string(),
        namespace: Some(transition.namespace.clone()),
        service: Some(transition.service.clone()),
        instance: None,
        actor: report.proxy.to_string(),
        reason: transition.reason.clone(),
        details: details.map(|(name, value)| (name.to_owned(), value)).into(),
        exemplar_trace_ids: transition.exemplar_trace_ids.clone(),
    }
}

/// An event of a token.
pub(crate) fn token(action: &str, actor: &str, reason: String) -> Event {
    event(Kind::Token, action, actor, reason)
}

/// An event of this server.
pub(crate) fn server(action: &str, reason: String) -> Event {
    event(Kind::Server, action, "server", reason)
}

fn event(kind: Kind, action: &str, actor: &str, reason: String) -> Event {
    Event {
        revision: 0,
        at: clock::now().wall,
        kind,
        action: action.to_owned(),
        namespace: None,
        service: None,
        instance: None,
        actor: actor.to_owned(),
        reason,
        details: BTreeMap::new(),
        exemplar_trace_ids: Vec::new(),
    }
}

/// Reads events, on a thread that may wait for the disk where memory does not hold them.
pub(crate) async fn read(events: &Events, query: Query) -> Result<Vec<Event>, Problem> {
    let found = if events.is_in_memory(&query) {
        events.read(&query)
    } else {
        let events = events.clone();
        let found = tokio::task::spawn_blocking(move || events.read(&query)).await;
        found.map_err(|error| Problem::new(Code::Internal, error.to_string()))?
    };
    found.map_err(|error: ReadError| match error {
        ReadError::Damaged(_) => Problem::new(Code::DataDamaged, error.to_string()),
        _ => Problem::new(Code::DiskFailed, error.to_string()),
    })
}

/// Records a single event of this server; a disk that refuses it is told of in the log.
pub(crate) async fn record(state: &Arc<State>, event: Event) {
    if let Err(error) = state.events.record_one(event).await {
        tracing::error!(%error, "an event was not recorded");
    }
    state.touch();
}

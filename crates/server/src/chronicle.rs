//! From what happens to the events that tell of it.
//!
//! Changes of the registry are told after they became durable in the catalog. The catalog's journal
//! and the events' are two files, so a crash may fall between them; what was told is known by its
//! revision, and whatever is newer is told, after a start like at any other time. What was acknowledged
//! therefore has its event, exactly once.
//!
//! **Why no queue leads here:** the registry keeps its recent changes for watchers anyway, and this is
//! one of them. An events' disk that is full or slow holds up nobody who registers; it only falls
//! behind, and where it falls behind by more than the registry keeps, an event says how much is missing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use identity::{ProxyId, TraceId};
use monitoring::Origin;
use registry::{Notice, Scope, Since, Standing, Target};
use storage_events::{AcceptError, Batch, Event, Events, Kind, Query};
use storage_journal::ReadError;
use tokio::sync::mpsc;
use wire::native::{
    api,
    channel::{Report, Transition},
    problem::{Code, Problem},
};

use crate::{clock, state::State, view, watchers::Woken};

/// The source of the registry's events; its sequence is the registry's revision. No proxy can have this
/// name, so that none can say what has been told.
const REGISTRY: &str = "/registry";
/// The action of the event that says that others are missing.
pub(crate) const MISSING: &str = "events_missing";
/// Changes are told at once until their events take so much, some 1,000 of them. The largest takes some
/// 2 KiB, and a batch holds 1 MiB.
const PAGE_BYTES: u64 = 256 << 10;
/// The pause after what was told, so that many changes share a batch and its sync. Nobody who registers waits
/// for it, and whoever reads events does for as long at most.
const PACE: Duration = Duration::from_millis(20);
/// The same under load, where the syncs of events would take their part of the disk from registrations.
const PACE_UNDER_LOAD: Duration = Duration::from_millis(100);
/// So many changes in one pause are load.
const LOAD: usize = 64;
/// How long a reader waits for the events of what was just changed.
const BREATH: Duration = Duration::from_secs(1);
/// How long a disk that refused is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Tells of every change of the registry, in order, until there can be no more. Events that the disk
/// refuses then are told of by the next start.
pub(crate) async fn follow(state: Arc<State>) {
    let mut revisions = state.roll.follow(Scope::All);
    let mut is_behind = false;
    loop {
        // Marked as seen before the registry is read, so that no change falls between the two.
        revisions.borrow_and_update();
        let told = catch_up(&state).await;
        state.touch();
        let is_over = match told {
            Ok(changes) => {
                if std::mem::take(&mut is_behind) {
                    tracing::info!("events of registrations are written again");
                }
                let pace = if changes < LOAD { PACE } else { PACE_UNDER_LOAD };
                tokio::time::timeout(pace, ended(revisions.clone())).await.is_ok()
                    || revisions.changed().await.is_err()
            }
            Err(error) => {
                if !std::mem::replace(&mut is_behind, true) {
                    tracing::error!(%error, "events of registrations wait for the disk");
                }
                tokio::time::timeout(RETRY, ended(revisions.clone())).await.is_ok()
            }
        };
        if is_over {
            break;
        }
    }
    if is_behind && let Err(error) = catch_up(&state).await {
        tracing::error!(%error, "events of registrations are left to the next start");
    }
}

/// Waits until the registry has no writer any more.
async fn ended(mut revisions: Woken) {
    while revisions.changed().await.is_ok() {}
}

/// Tells of all that the registry has changed and that has no event yet, and says how many changes it was.
pub(crate) async fn catch_up(state: &State) -> Result<usize, AcceptError> {
    let known = state.events.last_sequence(REGISTRY, 0).unwrap_or(0);
    let (since, policies, complete_after) = {
        let registry = state.roll.read();
        if registry.revision() <= known {
            return Ok(0);
        }
        let complete_after = registry.complete_after();
        let after = known.max(complete_after);
        (registry.since(after, &Scope::All), registry.policies().made_after(after), complete_after)
    };
    if known < complete_after {
        let reason = format!(
            "the changes of the registry after revision {known}, up to {complete_after}, have no event"
        );
        let mut event = server(MISSING, reason);
        let bounds = [("after", known), ("up_to", complete_after)];
        event.details.extend(bounds.map(|(name, revision)| (name.to_owned(), revision.to_string())));
        tell(&state.events, Batch::of(None, [&event]), complete_after).await?;
    }
    let Since::Changes(changes) = since else { return Ok(0) };
    // Two runs that ascend, so that sorting is merging.
    let policies = policies.iter().map(News::Policy);
    let mut news: Vec<News<'_>> =
        changes.iter().map(|change| News::Instance(change)).chain(policies).collect();
    news.sort_by_key(News::revision);
    let (mut page, mut text) = (Batch::default(), String::new());
    for (at, of) in news.iter().enumerate() {
        match of {
            News::Instance(change) => view::tell(change, &mut text, &mut page),
            News::Policy(change) => view::tell_policy(change, &mut page),
        }
        if page.bytes() >= PAGE_BYTES || at + 1 == news.len() {
            tell(&state.events, std::mem::take(&mut page), of.revision()).await?;
        }
    }
    Ok(news.len())
}

/// A change that has no event yet.
enum News<'a> {
    Instance(&'a registry::Change),
    Policy(&'a registry::PolicyChange),
}

impl News<'_> {
    fn revision(&self) -> u64 {
        match self {
            News::Instance(change) => change.revision,
            News::Policy(change) => change.made.revision,
        }
    }
}

/// The revision of the registry up to which every change has its event.
pub(crate) fn told_up_to(state: &State) -> u64 {
    state.events.last_sequence(REGISTRY, 0).unwrap_or(0)
}

/// Waits until what the registry shows now has its events, so that whoever changes something and then reads
/// the history finds it. Where the disk refuses events he finds what there is.
pub(crate) async fn until_told(state: &State) {
    let mut activity = state.activity.subscribe();
    let revision = state.roll.read().revision();
    let told = async { while told_up_to(state) < revision && activity.changed().await.is_ok() {} };
    let _ = tokio::time::timeout(BREATH, told).await;
}

async fn tell(events: &Events, mut news: Batch, sequence: u64) -> Result<(), AcceptError> {
    news.origin = Some(Origin { source: REGISTRY.into(), epoch: 0, sequence });
    events.record(news).await.map(drop)
}

/// Tells of what the registry noticed, until it notices nothing any more.
pub(crate) async fn take_notice(state: Arc<State>, mut noticed: mpsc::Receiver<Notice>) {
    while let Some(notice) = noticed.recv().await {
        let (action, reason) = describe(&notice);
        tracing::warn!(action, reason, "the registry noticed something");
        record(&state, server(action, reason)).await;
    }
}

fn describe(notice: &Notice) -> (&'static str, String) {
    let named = |zone: &registry::Zone| match zone {
        Some(zone) => format!("zone \"{}\"", zone.escape_debug()),
        None => "the instances that name no zone".to_owned(),
    };
    match notice {
        Notice::ProtectionBegan { zone, late, leases } => {
            let reason = format!(
                "{late} of {leases} leases in {} have had no heartbeat for half of their TTL; \
                 none of them lapses until most are back",
                named(zone)
            );
            ("self_protection_began", reason)
        }
        Notice::ProtectionEnded { zone, recovered: true } => {
            ("self_protection_ended", format!("heartbeats are back in {}", named(zone)))
        }
        Notice::ProtectionEnded { zone, recovered: false } => {
            let most = identity::duration::format(registry::PROTECTED_MAX);
            ("self_protection_ended", format!("{} was protected for {most}, the most there is", named(zone)))
        }
        Notice::Grace { gap } => {
            let gap = identity::duration::format(Duration::from_millis(gap.as_millis() as u64));
            let reason =
                format!("this process or its clock was away for {gap}; every lease has one TTL of grace");
            ("leases_spared", reason)
        }
    }
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
    // The breaker of an endpoint takes it out and lets it back in; that of a service refuses calls.
    let action = match (&transition.instance, transition.to) {
        (Some(_), resilience::State::Open) => "ejected".to_owned(),
        (Some(_), resilience::State::Closed | resilience::State::Ramp) => "readmitted".to_owned(),
        (_, to) => to.to_string(),
    };
    Event {
        revision: 0,
        at: transition.at,
        kind: Kind::Breaker,
        action,
        namespace: Some(transition.namespace.clone()),
        service: Some(transition.service.clone()),
        instance: transition.instance.clone(),
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

/// An event of a proxy.
pub(crate) fn proxy(action: &str, proxy: &ProxyId, actor: &str, reason: String) -> Event {
    let mut event = event(Kind::Proxy, action, actor, reason);
    event.details.insert("proxy".to_owned(), proxy.to_string());
    event
}

/// The event of a receipt: who drained what, and whether it was safe to kill.
pub(crate) fn receipt(target: &Target, actor: &str, receipt: &api::Receipt) -> Event {
    let count = |state: &str| receipt.subscribers.iter().filter(|of| of.state == state).count();
    let states =
        Standing::ALL.map(|standing| (standing.as_str().to_owned(), count(standing.as_str()).to_string()));
    let mut details = BTreeMap::from(states);
    details.insert("drain_revision".to_owned(), receipt.revision.to_string());
    details.insert("safe".to_owned(), receipt.safe.to_string());
    Event {
        namespace: Some(target.namespace.clone()),
        service: Some(target.service.clone()),
        instance: Some(target.instance.clone()),
        details,
        ..event(Kind::Instance, "receipt", actor, receipt.reason.clone())
    }
}

/// An event of a trace: who did what with it.
pub(crate) fn trace(action: &str, id: TraceId, actor: &str, reason: String) -> Event {
    let mut event = event(Kind::Server, action, actor, reason);
    event.details.insert("trace_id".to_owned(), id.to_string());
    event.exemplar_trace_ids.push(id);
    event
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

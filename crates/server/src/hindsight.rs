//! What a proxy saw at a moment: the revision that it knew, and a service's instances as of that revision.
//!
//! Both are put together from events, which are kept for a while and not for ever, and which a killed process
//! may not have written all of. So an answer says whether it is complete, and if not, why; it never fills a
//! hole with what was probably so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use identity::{InstanceId, Namespace, ProxyId, ServiceName, Wall};
use registry::{Action, Instance};
use storage_events::{Event, Kind, Order, Query};
use wire::native::{api, problem::Problem};

use crate::{
    chronicle,
    diary::{self, Entry, WRITE_EVERY, What},
    state::State,
};

/// Events that are read at a time.
const PAGE: usize = 4_096;
/// Events that are looked at for an answer; the history beyond counts as not there.
const EVENTS_MAX: usize = 262_144;

/// What a proxy knew at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    /// The revision, if it knew one.
    revision: Option<u64>,
    /// Since when.
    since: Option<Wall>,
    /// Whether it had a stream open.
    connected: bool,
}

/// What a proxy saw of a service at a moment; `None` where nothing was ever heard of such a proxy.
pub(crate) async fn view(
    state: &Arc<State>,
    proxy: &ProxyId,
    (namespace, service): (&Namespace, &ServiceName),
    at: Wall,
) -> Result<Option<api::ProxyView>, Problem> {
    // What waits to be written belongs to the answer; if the disk refuses it, the answer says what is missing.
    let unwritten = state.diary.write(state).await.err();
    chronicle::until_told(state).await;
    let mut gaps: Vec<String> = Vec::new();
    if let Some(error) = unwritten {
        gaps.push(format!("the newest acknowledgements could not be written: {error}"));
    }
    let Some(known) = knew(state, proxy, at, &mut gaps).await? else { return Ok(None) };
    let instances = match known.revision {
        None => BTreeMap::new(),
        Some(revision) => instances(state, namespace, service, revision, &mut gaps).await?,
    };
    let sentence = sentence(proxy, &known);
    let complete = gaps.is_empty();
    let reason = gaps.into_iter().next().unwrap_or(sentence);
    Ok(Some(api::ProxyView {
        proxy: proxy.to_string(),
        namespace: namespace.to_string(),
        service: service.to_string(),
        at: at.to_string(),
        revision: known.revision,
        since: known.since.map(|since| since.to_string()),
        connected: known.connected,
        instances: instances.into_values().collect(),
        complete,
        reason,
    }))
}

fn sentence(proxy: &ProxyId, known: &Known) -> String {
    match (known.revision, known.connected) {
        (Some(revision), true) => format!("{proxy} routed by revision {revision}"),
        (Some(revision), false) => format!("{proxy} was not connected and went on by revision {revision}"),
        (None, _) => format!("{proxy} knew of no instance"),
    }
}

/// Events of a sort, newest first, a page at a time.
struct Pages<'a> {
    state: &'a State,
    query: Query,
    read: usize,
    /// Whether there are more that are not looked at.
    is_cut: bool,
}

impl<'a> Pages<'a> {
    fn new(state: &'a State, query: Query) -> Self {
        let query = Query { limit: PAGE, order: Order::NewestFirst, ..query };
        Self { state, query, read: 0, is_cut: false }
    }

    /// The next page; empty at the end.
    async fn next(&mut self) -> Result<Vec<Event>, Problem> {
        if self.read >= EVENTS_MAX {
            self.is_cut = true;
            return Ok(Vec::new());
        }
        let events = chronicle::read(&self.state.events, self.query.clone()).await?;
        self.read += events.len();
        if let Some(oldest) = events.last() {
            self.query.before = Some(oldest.revision);
        }
        Ok(events)
    }

    /// Whether it reached back to the first event that there ever was.
    fn is_whole(&self) -> bool {
        !self.is_cut && self.state.events.stats().expired == 0
    }
}

/// What the proxy knew at this moment; `None` where nothing was ever heard of it.
async fn knew(
    state: &State,
    proxy: &ProxyId,
    at: Wall,
    gaps: &mut Vec<String>,
) -> Result<Option<Known>, Problem> {
    let mut pages = Pages::new(state, Query { kind: Some(Kind::Proxy), ..Query::default() });
    let mut found: Option<Known> = None;
    let mut is_heard_of = state.subscribers.known().iter().any(|known| known.id == *proxy);
    // Something of any proxy that was written so much later that all up to the moment was written as well.
    let mut written_later: Option<Wall> = None;
    'read: loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for event in page {
            if event.at >= at + WRITE_EVERY * 2 {
                written_later = Some(event.at);
            }
            if event.actor != proxy.as_str() || event.action != diary::ACTION {
                continue;
            }
            is_heard_of = true;
            if look_back(&diary::entries(&event), at, &mut found, gaps) {
                break 'read;
            }
        }
    }
    if !is_heard_of {
        return Ok(None);
    }
    if found.as_ref().is_none_or(|known| known.since.is_none()) && !pages.is_whole() {
        gaps.push(format!("what is kept of the history does not reach back to {at}"));
    }
    lost_by_a_kill(state, at, written_later, gaps).await?;
    Ok(Some(found.unwrap_or(Known { revision: None, since: None, connected: false })))
}

/// Goes back through entries, and says whether all is known.
fn look_back(entries: &[Entry], at: Wall, found: &mut Option<Known>, gaps: &mut Vec<String>) -> bool {
    for entry in entries.iter().rev() {
        if entry.at > at {
            if let What::LeftOut(count) = entry.what {
                gaps.push(format!("{count} acknowledgements up to {} are missing", entry.at));
            }
            continue;
        }
        let says = match entry.what {
            What::Connected(revision) => (revision, true),
            What::Acknowledged(revision) => (Some(revision), true),
            What::LeftOut(count) => {
                if found.as_ref().is_none_or(|known| known.since.is_none()) {
                    gaps.push(format!("{count} acknowledgements up to {} are missing", entry.at));
                }
                continue;
            }
            What::Disconnected => {
                // What it routed by is said before.
                found.get_or_insert(Known { revision: None, since: None, connected: false });
                continue;
            }
        };
        match found {
            // It connected anew with what it knew already: it knew it for longer.
            Some(known) if known.since.is_some() && known.revision != says.0 => return true,
            Some(known) if known.since.is_some() => known.since = Some(entry.at),
            Some(known) => (known.revision, known.since) = (says.0, Some(entry.at)),
            None => *found = Some(Known { revision: says.0, since: Some(entry.at), connected: says.1 }),
        }
        // From here on it had this revision by acknowledgement, or knew nothing.
        if matches!(entry.what, What::Acknowledged(_) | What::Connected(None)) {
            return true;
        }
    }
    false
}

/// A process that is killed takes with it what it had not written.
async fn lost_by_a_kill(
    state: &State,
    at: Wall,
    written_later: Option<Wall>,
    gaps: &mut Vec<String>,
) -> Result<(), Problem> {
    let mut pages = Pages::new(state, Query { kind: Some(Kind::Server), ..Query::default() });
    let mut started: Option<Wall> = None;
    let mut stopped = false;
    'read: loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for event in page {
            if event.at <= at {
                break 'read;
            }
            match event.action.as_str() {
                "started" => (started, stopped) = (Some(event.at), false),
                "stopping" => stopped = true,
                _ => {}
            }
        }
    }
    let Some(started) = started else { return Ok(()) };
    // What was written between the moment and the start was written by the process that ended.
    let is_written = written_later.is_some_and(|written| written < started);
    if !stopped && !is_written {
        let period = identity::duration::format(WRITE_EVERY);
        gaps.push(format!(
            "the server was killed before it started again at {started}, and acknowledgements of its last {period} \
             may be missing"
        ));
    }
    Ok(())
}

/// The instances of a service as of a revision.
async fn instances(
    state: &State,
    namespace: &Namespace,
    service: &ServiceName,
    revision: u64,
    gaps: &mut Vec<String>,
) -> Result<BTreeMap<InstanceId, api::ViewedInstance>, Problem> {
    let mut seen = BTreeMap::new();
    // Those whose state then is not known yet, with what they have done first since, as far as it is known.
    let mut open: BTreeMap<InstanceId, Option<String>> = BTreeMap::new();
    let mut settled: BTreeSet<InstanceId> = BTreeSet::new();
    for (id, instance) in
        state.roll.read().service(namespace, service).map(|view| view.instances).unwrap_or_default()
    {
        if instance.revision <= revision {
            seen.insert(id.clone(), of_registry(&id, &instance));
            settled.insert(id);
        } else {
            open.insert(id, None);
        }
    }
    let query = Query {
        kind: Some(Kind::Instance),
        namespace: Some(namespace.clone()),
        service: Some(service.clone()),
        ..Query::default()
    };
    let mut pages = Pages::new(state, query);
    'read: loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for event in page {
            let made = event.details.get("registry_revision").and_then(|text| text.parse::<u64>().ok());
            let (Some(made), Some(id)) = (made, event.instance.clone()) else { continue };
            if settled.contains(&id) {
                continue;
            }
            if made > revision {
                open.insert(id, Some(event.action));
                continue;
            }
            if open.remove(&id).is_some() {
                seen.extend(of_event(&id, &event).map(|viewed| (id.clone(), viewed)));
                settled.insert(id);
            }
            if open.is_empty() {
                break 'read;
            }
        }
    }
    // Who came after it was not there then; of the others the history has gone.
    open.retain(|_, first| first.as_deref() != Some(Action::Registered.as_str()));
    if !open.is_empty() && !pages.is_whole() {
        let ids: Vec<&str> = open.keys().map(InstanceId::as_str).take(3).collect();
        let count = open.len();
        gaps.push(format!(
            "what is kept of the history does not reach back to revision {revision} for {count} instances ({})",
            ids.join(", ")
        ));
    }
    missing_events(state, revision, gaps).await?;
    Ok(seen)
}

/// Changes that the registry made while events could not be written, and for longer than it remembers them.
async fn missing_events(state: &State, revision: u64, gaps: &mut Vec<String>) -> Result<(), Problem> {
    let mut pages = Pages::new(state, Query { kind: Some(Kind::Server), ..Query::default() });
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            return Ok(());
        }
        for event in page.iter().filter(|event| event.action == chronicle::MISSING) {
            let bound = |name: &str| event.details.get(name).and_then(|text| text.parse::<u64>().ok());
            let (from, to) = (bound("after").unwrap_or(0), bound("up_to").unwrap_or(u64::MAX));
            if from < revision {
                gaps.push(format!("the changes after revision {from}, up to {to}, have no event"));
                return Ok(());
            }
        }
    }
}

fn of_registry(id: &InstanceId, instance: &Instance) -> api::ViewedInstance {
    let registration = &instance.registration;
    api::ViewedInstance {
        instance: id.to_string(),
        address: format!("{}:{}", registration.address, registration.port),
        status: instance.status.to_string(),
        revision: instance.revision,
    }
}

/// What an event says that an instance is; nothing where it is gone.
fn of_event(id: &InstanceId, event: &Event) -> Option<api::ViewedInstance> {
    Some(api::ViewedInstance {
        instance: id.to_string(),
        address: event.details.get("address")?.clone(),
        status: event.details.get("status")?.clone(),
        revision: event.details.get("registry_revision")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(entries: &str, at: u64) -> (Option<Known>, usize) {
        let entries: Vec<Entry> = entries.split(' ').map(|word| word.parse().unwrap()).collect();
        let (mut found, mut gaps) = (None, Vec::new());
        look_back(&entries, Wall(at), &mut found, &mut gaps);
        (found, gaps.len())
    }

    fn is(revision: Option<u64>, since: u64, connected: bool) -> Option<Known> {
        Some(Known { revision, since: Some(Wall(since)), connected })
    }

    #[test]
    fn the_last_word_before_the_moment_counts() {
        let entries = "c@1 a5@2 a7@4 d@6 c7@8 a9@10";
        let cases = [
            (0, None),
            (1, is(None, 1, true)),
            (3, is(Some(5), 2, true)),
            (4, is(Some(7), 4, true)),
            (7, is(Some(7), 4, false)),
            (9, is(Some(7), 4, true)),
            (99, is(Some(9), 10, true)),
        ];
        for (at, expected) in cases {
            assert_eq!(known(entries, at), (expected, 0), "at {at}");
        }
        assert_eq!(known("a5@2 d@3 c@4", 5), (is(None, 4, true), 0), "a new process knows nothing");
    }

    #[test]
    fn what_was_left_out_after_the_moment_is_a_gap() {
        assert_eq!(known("a5@2 x3@9 a9@10", 4), (is(Some(5), 2, true), 1));
        assert_eq!(known("a5@2 x3@9 a9@11", 10), (is(Some(5), 2, true), 1));
        assert_eq!(known("a5@2 x3@9 a9@11", 11), (is(Some(9), 11, true), 0));
    }
}

//! A watcher that follows the control plane from life to life, and writes down what it was told.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::{
    client::{NAMESPACE, Revision, Seen, THE_END, found},
    instance::{Content, Told},
    stand::Stand,
    support::events::{Event, Events},
};

/// What a watcher was told, in order.
#[derive(Debug)]
pub(crate) struct Log {
    /// The one service that it follows; all of them where there is none.
    pub(crate) service: Option<String>,
    pub(crate) entries: Vec<Entry>,
    /// Each revision, and when it was told.
    pub(crate) revisions: Vec<(u64, Revision)>,
    /// How often it began again where it was, and how often from a snapshot.
    pub(crate) resumed: usize,
    pub(crate) resynced: usize,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Change { revision: u64, service: String, instance: String, content: Option<Content> },
    Snapshot { revision: u64, services: BTreeMap<String, BTreeMap<String, (Content, u64)>> },
}

impl Log {
    /// What it says of one instance.
    pub(crate) fn of(&self, service: &str, instance: &str) -> Vec<Told> {
        let told = |entry: &Entry| match entry {
            Entry::Change { revision, service: of, instance: id, content } => (of == service
                && id == instance)
                .then_some(Told::Change { revision: *revision, content: *content }),
            Entry::Snapshot { revision, services } => {
                let found = services.get(service).and_then(|instances| instances.get(instance)).copied();
                Some(Told::Snapshot { revision: *revision, found })
            }
        };
        self.entries.iter().filter_map(told).collect()
    }

    /// Whether a service was ever as somebody saw it: all its instances at that revision. None where a
    /// snapshot stands for what was then.
    pub(crate) fn agrees(&self, seen: &Seen) -> Option<bool> {
        let mut instances = BTreeMap::new();
        for entry in &self.entries {
            match entry {
                Entry::Snapshot { revision, .. } if *revision > seen.revision => return None,
                Entry::Snapshot { services, .. } => {
                    instances = services.get(&seen.service).cloned().unwrap_or_default();
                }
                Entry::Change { revision, .. } if *revision > seen.revision => break,
                Entry::Change { revision, service, instance, content } if *service == seen.service => {
                    match content {
                        Some(content) => instances.insert(instance.clone(), (*content, *revision)),
                        None => instances.remove(instance),
                    };
                }
                Entry::Change { .. } => {}
            }
        }
        Some(instances == seen.instances)
    }
}

/// Follows all services or one, until it was told of [`THE_END`] of the service `last`.
pub(crate) fn follow(stand: &Stand, service: Option<&str>, last: &str) -> Log {
    let mut log = Log {
        service: service.map(str::to_owned),
        entries: Vec::new(),
        revisions: Vec::new(),
        resumed: 0,
        resynced: 0,
    };
    let only = service.map_or(String::new(), |service| format!("&service={service}"));
    let mut seen = 0;
    loop {
        let life = stand.life();
        let mut told = 0;
        if let Ok(mut events) = Events::open(life.address, &format!("{NAMESPACE}/watch?since={seen}{only}")) {
            while let Ok(event) = events.next() {
                log.take(stand, &event, &mut seen);
                if log.has_ended(last) {
                    return log;
                }
                told += 1;
            }
        }
        log.resumed += usize::from(told > 0);
        stand.end_of(life);
    }
}

impl Log {
    fn has_ended(&self, last: &str) -> bool {
        self.entries.last().is_some_and(|entry| match entry {
            Entry::Change { service, instance, .. } => service == last && instance == THE_END,
            Entry::Snapshot { services, .. } => {
                services.get(last).is_some_and(|instances| instances.contains_key(THE_END))
            }
        })
    }

    fn take(&mut self, stand: &Stand, event: &Event, seen: &mut u64) {
        let (name, data) = (event.name.as_str(), &event.data);
        let revision = data["revision"].as_u64().unwrap();
        assert_eq!(event.id, Some(revision), "an event's id is its revision");
        let entry = match name {
            "change" => {
                assert!(revision > *seen, "a change up to {seen} again: {event:?}");
                change(revision, data)
            }
            "resync" | "snapshot" => {
                assert!(revision >= *seen, "a step back from {seen}: {event:?}");
                self.resynced += 1;
                snapshot(revision, data)
            }
            _ => panic!("an unknown kind of event: {event:?}"),
        };
        self.entries.push(entry);
        *seen = revision;
        let told = Revision { service: self.service.clone(), revision };
        self.revisions.push((stand.moment(), told));
    }
}

fn text(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

fn change(revision: u64, data: &Json) -> Entry {
    let content = match (data["action"].as_str().unwrap(), &data["instance"]) {
        ("deregistered", Json::Null) => None,
        ("registered" | "updated", instance) => {
            let (content, of) = found(instance);
            assert_eq!(of, revision, "an instance has the revision of its last change: {data}");
            Some(content)
        }
        _ => panic!("a change that nobody asked for: {data}"),
    };
    Entry::Change { revision, service: text(&data["service"]), instance: text(&data["instance_id"]), content }
}

fn snapshot(revision: u64, data: &Json) -> Entry {
    let instances = |service: &Json| {
        let instances = service["instances"].as_array().unwrap().iter();
        instances.map(|instance| (text(&instance["id"]), found(instance))).collect()
    };
    let services = data["services"].as_array().unwrap().iter();
    let services = services.map(|service| (text(&service["service"]), instances(service))).collect();
    Entry::Snapshot { revision, services }
}

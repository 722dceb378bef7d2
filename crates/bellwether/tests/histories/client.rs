//! A client that asks this and that of a few instances, and writes down what was answered and when.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value as Json, json};

use crate::{
    instance::{Answer, Content, Lease, Operation, Request},
    linear::Timed,
    stand::{Life, Stand},
    support::connection::Connection,
};

/// What is asked of: service and instance.
pub(crate) type Key = (String, String);

/// What may be said of an instance; few, so that some registrations say nothing new.
const CONTENTS: std::ops::Range<Content> = 0..3;

/// What a client has seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// What it asked of single instances.
    pub(crate) operations: Vec<(Key, Timed<Operation>)>,
    /// Revisions that it was told.
    pub(crate) revisions: Vec<Timed<Revision>>,
    /// Services as it saw them.
    pub(crate) services: Vec<Seen>,
}

/// A revision of the whole registry, or of one service.
#[derive(Debug, Clone)]
pub(crate) struct Revision {
    pub(crate) service: Option<String>,
    pub(crate) revision: u64,
}

/// A service at a revision: its instances with what is said of them and the revision of that.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) revision: u64,
    pub(crate) instances: BTreeMap<String, (Content, u64)>,
}

impl Record {
    pub(crate) fn extend(&mut self, other: Record) {
        self.operations.extend(other.operations);
        self.revisions.extend(other.revisions);
        self.services.extend(other.services);
    }
}

pub(crate) struct Client<'a> {
    stand: &'a Stand,
    life: Life,
    connection: Connection,
    keys: &'a [Key],
    rng: Rng,
    /// The lease that it was given last, for each instance. Others may have taken over meanwhile.
    leases: BTreeMap<Key, Lease>,
    pub(crate) record: Record,
}

/// An answer over HTTP, and when.
struct Answered {
    invoked: u64,
    returned: u64,
    /// None where the connection broke.
    answer: Option<(u16, Json)>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(stand: &'a Stand, keys: &'a [Key], seed: u64) -> Self {
        let life = stand.life();
        let (connection, rng) = (Connection::new(life.address), Rng::with_seed(seed));
        Self { stand, life, connection, keys, rng, leases: BTreeMap::new(), record: Record::default() }
    }

    /// One operation of any kind on any instance.
    pub(crate) fn step(&mut self) {
        let key = self.keys[self.rng.usize(..self.keys.len())].clone();
        let lease = self.leases.get(&key).cloned();
        match (self.rng.u8(..100), lease) {
            (0..20, _) => self.register(&key, None),
            (20..45, Some(lease)) => self.register(&key, Some(lease)),
            (20..45, None) => self.register(&key, None),
            (45..58, Some(lease)) => self.deregister(&key, Some(lease)),
            (58..62, _) => self.deregister(&key, None),
            (62..78, Some(lease)) => self.heartbeat(&key, lease),
            (78..88, _) => self.read(&key),
            (88..97, _) => self.read_service(&key.0),
            _ => self.read_registry(),
        }
    }

    fn register(&mut self, key: &Key, held: Option<Lease>) {
        let content = self.rng.u8(CONTENTS);
        let body = json!({ "address": "10.0.0.7", "port": 8080, "version": version(content), "ttl": "1h" });
        let answered = self.ask("PUT", &path(key), held.as_deref(), &body.to_string());
        let answer = answered.operation(|status, body| {
            (status == 200 || status == 201).then(|| Answer::Registered {
                created: status == 201,
                lease: body["lease_id"].as_str().unwrap().into(),
                revision: body["revision"].as_u64().unwrap(),
            })
        });
        if let Answer::Registered { lease, revision, .. } = &answer {
            self.leases.insert(key.clone(), lease.clone());
            self.told(&answered, None, *revision);
        }
        self.write(key, &answered, Request::Register { content, held }, answer);
    }

    fn deregister(&mut self, key: &Key, held: Option<Lease>) {
        let answered = self.ask("DELETE", &path(key), held.as_deref(), "");
        let answer = answered.operation(|status, _| (status == 204).then_some(Answer::Done));
        self.write(key, &answered, Request::Deregister { held }, answer);
    }

    fn heartbeat(&mut self, key: &Key, held: Lease) {
        let answered = self.ask("POST", &format!("{}/heartbeat", path(key)), Some(&held), "");
        let answer = answered.operation(|status, _| (status == 204).then_some(Answer::Done));
        self.write(key, &answered, Request::Heartbeat { held }, answer);
    }

    /// Reads an instance.
    pub(crate) fn read(&mut self, key: &Key) {
        let answered = self.ask("GET", &path(key), None, "");
        let answer = answered.operation(|status, body| {
            let (content, revision) = (status == 200).then(|| found(body))?;
            Some(Answer::Found { content, revision })
        });
        self.write(key, &answered, Request::Read, answer);
    }

    /// Reads a service, which is a read of each of its instances, at one revision.
    pub(crate) fn read_service(&mut self, service: &str) {
        let answered = self.ask("GET", &format!("{NAMESPACE}/services/{service}"), None, "");
        let Some((status, body)) = &answered.answer else { return };
        let instances: BTreeMap<String, (Content, u64)> = match status {
            200 => body["instances"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| (text(&one["id"]), found(one)))
                .collect(),
            404 => BTreeMap::new(),
            _ => panic!("{status}: {body}"),
        };
        for key in self.keys.iter().filter(|key| key.0 == service) {
            let answer = match instances.get(&key.1) {
                Some(&(content, revision)) => Answer::Found { content, revision },
                None => Answer::NotFound,
            };
            let operation = Operation { request: Request::Read, answer };
            self.record.operations.push((key.clone(), answered.timed(operation)));
        }
        if *status == 200 {
            let revision = body["revision"].as_u64().unwrap();
            self.told(&answered, Some(service), revision);
            self.record.services.push(Seen { service: service.to_owned(), revision, instances });
        }
    }

    /// Reads what the registry's revision is.
    pub(crate) fn read_registry(&mut self) {
        let answered = self.ask("GET", &format!("{NAMESPACE}/services"), None, "");
        if let Some((status, body)) = &answered.answer {
            assert_eq!(*status, 200, "{body}");
            self.told(&answered, None, body["revision"].as_u64().unwrap());
        }
    }

    /// Registers what tells watchers that nothing more comes.
    pub(crate) fn mark_the_end(&mut self, service: &str) {
        self.register(&(service.to_owned(), THE_END.to_owned()), None);
    }

    /// One request. Where no answer comes, the next one goes to the next process.
    fn ask(&mut self, method: &str, path: &str, lease: Option<&str>, body: &str) -> Answered {
        loop {
            let invoked = self.stand.moment();
            if let Ok(answer) = self.connection.ask(method, path, lease, body) {
                let json = if answer.body.is_empty() { Json::Null } else { answer.json() };
                let returned = self.stand.moment();
                return Answered { invoked, returned, answer: Some((answer.status, json)) };
            }
            let returned = self.stand.end_of(self.life);
            self.life = self.stand.life();
            self.connection = Connection::new(self.life.address);
            if invoked < returned {
                return Answered { invoked, returned, answer: None };
            }
            // Nobody was there any more to be asked.
        }
    }

    fn told(&mut self, answered: &Answered, service: Option<&str>, revision: u64) {
        let told = Revision { service: service.map(str::to_owned), revision };
        self.record.revisions.push(answered.timed(told));
    }

    fn write(&mut self, key: &Key, answered: &Answered, request: Request, answer: Answer) {
        self.record.operations.push((key.clone(), answered.timed(Operation { request, answer })));
    }
}

impl Answered {
    fn timed<T>(&self, operation: T) -> Timed<T> {
        Timed { invoked: self.invoked, returned: self.returned, operation }
    }

    /// What was answered about an instance; `good` reads what is no refusal.
    fn operation(&self, good: impl Fn(u16, &Json) -> Option<Answer>) -> Answer {
        let Some((status, body)) = &self.answer else { return Answer::Lost };
        good(*status, body).unwrap_or_else(|| match status {
            404 => Answer::NotFound,
            409 => Answer::Stale,
            _ => panic!("{status}: {body}"),
        })
    }
}

/// The instance that is registered last.
pub(crate) const THE_END: &str = "the-end";

pub(crate) const NAMESPACE: &str = "/bellwether/v1/namespaces/default";

fn path((service, instance): &Key) -> String {
    format!("{NAMESPACE}/services/{service}/instances/{instance}")
}

fn text(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

fn version(content: Content) -> String {
    format!("1.0.{content}")
}

/// What is said of an instance, and the revision of that.
pub(crate) fn found(instance: &Json) -> (Content, u64) {
    assert_eq!(instance["status"], "up", "{instance}");
    let content = text(&instance["version"]).rsplit('.').next().unwrap().parse().unwrap();
    (content, instance["revision"].as_u64().unwrap())
}

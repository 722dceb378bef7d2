//! Clients and watchers at work at the same time, the server's ends in the middle, and the judgement.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use crate::{
    client::{Client, Key, Record, Revision},
    instance::{Answer, Instance, Operation},
    linear::{Timed, check},
    stand::Stand,
    support::PATIENCE,
    watcher::{Log, follow},
};

/// What is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Play {
    /// Whoever fails with it fails with it again, as far as threads allow.
    pub(crate) seed: u64,
    pub(crate) clients: u64,
    pub(crate) services: usize,
    pub(crate) instances: usize,
    /// The server's processes. All but the last are killed.
    pub(crate) lives: usize,
    /// Operations of all clients together in each of these lives.
    pub(crate) operations: usize,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Played {
    play: Play,
    keys: Vec<Key>,
    record: Record,
    pub(crate) logs: Vec<Log>,
}

impl Play {
    pub(crate) fn run(self) -> Played {
        let stand = Stand::start();
        let names = |what: &'static str, count| (0..count).map(move |number| format!("{what}-{number}"));
        let services: Vec<String> = names("service", self.services).collect();
        let keys: Vec<Key> = (services.iter())
            .flat_map(|service| names("instance", self.instances).map(|instance| (service.clone(), instance)))
            .collect();
        let enough = AtomicBool::new(false);
        let (done, steps) = channel();
        let (record, logs) = thread::scope(|scope| {
            let _over = Over { stand: &stand, enough: &enough };
            let (stand, keys, enough) = (&stand, &keys[..], &enough);
            let clients: Vec<_> = (0..self.clients)
                .map(|number| {
                    let (seed, done) = (self.seed * 1_000 + number, done.clone());
                    scope.spawn(move || work(Client::new(stand, keys, seed), enough, &done))
                })
                .collect();
            drop(done);
            let watched = services.iter().map(|service| (Some(service.as_str()), service.as_str()));
            let watched = watched.chain(services.last().map(|last| (None, last.as_str())));
            let watchers: Vec<_> =
                watched.map(|(service, last)| scope.spawn(move || follow(stand, service, last))).collect();

            let mut auditor = Client::new(stand, keys, self.seed);
            self.direct(stand, &mut auditor, &services, &steps);
            enough.store(true, Ordering::SeqCst);
            let mut record = Record::default();
            clients.into_iter().for_each(|client| record.extend(client.join().unwrap()));
            audit(&mut auditor, &services);
            services.iter().for_each(|service| auditor.mark_the_end(service));
            let logs = watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect();
            record.extend(auditor.record);
            (record, logs)
        });
        Played { play: self, keys, record, logs }
    }

    /// Ends one life after the other, and looks at what is there at the beginning of each.
    fn direct(&self, stand: &Stand, auditor: &mut Client, services: &[String], steps: &Receiver<()>) {
        for life in 1..=self.lives {
            for _ in 0..self.operations {
                steps.recv_timeout(PATIENCE).expect("the clients go on");
            }
            if life < self.lives {
                stand.kill();
                stand.begin();
                audit(auditor, services);
            }
        }
    }
}

/// Reads everything.
fn audit(auditor: &mut Client, services: &[String]) {
    auditor.read_registry();
    services.iter().for_each(|service| auditor.read_service(service));
}

fn work(mut client: Client, enough: &AtomicBool, done: &Sender<()>) -> Record {
    while !enough.load(Ordering::SeqCst) {
        client.step();
        let _ = done.send(());
    }
    client.record
}

/// Lets everybody go when the test fails.
struct Over<'a> {
    stand: &'a Stand,
    enough: &'a AtomicBool,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.enough.store(true, Ordering::SeqCst);
            self.stand.give_up();
        }
    }
}

impl Played {
    /// Everything that must hold of it.
    pub(crate) fn judge(&self) {
        self.instances_have_an_order();
        self.revisions_never_go_back();
        self.services_are_seen_at_one_revision();
    }

    /// How many operations were under way when the server was killed.
    pub(crate) fn lost(&self) -> usize {
        let answers = self.record.operations.iter().map(|(_, timed)| &timed.operation.answer);
        answers.filter(|answer| matches!(answer, Answer::Lost)).count()
    }

    /// Each instance alone, and as each watcher of it was told.
    fn instances_have_an_order(&self) {
        let mut histories: BTreeMap<&Key, Vec<Timed<Operation>>> = BTreeMap::new();
        for (key, operation) in &self.record.operations {
            histories.entry(key).or_default().push(operation.clone());
        }
        assert!(self.keys.iter().all(|key| histories.contains_key(key)), "every instance was asked of");
        for (key @ (service, instance), history) in histories {
            let found = check(&Instance { watched: None }, &history);
            found.unwrap_or_else(|contradiction| panic!("{:?}: {key:?}: {contradiction:?}", self.play));
            for log in self.logs.iter().filter(|log| log.service.as_ref().is_none_or(|of| of == service)) {
                let watched = log.of(service, instance);
                let found = check(&Instance { watched: Some(watched.clone()) }, &history);
                found.unwrap_or_else(|contradiction| {
                    let of = &log.service;
                    panic!(
                        "{:?}: {key:?}: a watcher of {of:?} was told {watched:?}: {contradiction:?}",
                        self.play
                    )
                });
            }
        }
    }

    /// Whoever asks for a revision is told none smaller than was told of the same thing before. Watchers
    /// are told later than others, but nothing that is taken back.
    fn revisions_never_go_back(&self) {
        let told =
            self.logs.iter().flat_map(|log| &log.revisions).map(|(moment, told)| (*moment, None, told));
        let asked = self.record.revisions.iter();
        let asked = asked.map(|asked| (asked.returned, Some(asked.invoked), &asked.operation));
        let mut moments: Vec<_> = told.chain(asked).collect();
        moments.sort_unstable_by_key(|(returned, ..)| *returned);
        let mut floors = Floors::default();
        for (returned, invoked, revision) in moments {
            if let Some(invoked) = invoked {
                let floor = floors.at(invoked, revision.service.as_deref());
                assert!(
                    revision.revision >= floor,
                    "{:?}: {revision:?} at {returned} after {floor}",
                    self.play
                );
            }
            floors.raise(returned, revision);
        }
    }

    /// All of a service's instances are as they were at the revision that was told with them.
    fn services_are_seen_at_one_revision(&self) {
        let all = self.logs.iter().find(|log| log.service.is_none()).unwrap();
        let mut known = 0;
        for seen in &self.record.services {
            match all.agrees(seen) {
                Some(agrees) => assert!(agrees, "{:?}: it never was so: {seen:?}", self.play),
                None => continue,
            }
            known += 1;
        }
        assert!(known > 0, "no service that was seen can be compared with what a watcher was told");
    }
}

/// The greatest revision that was told of the registry and of each service, by the moment since when.
#[derive(Default)]
struct Floors {
    registry: BTreeMap<u64, u64>,
    services: BTreeMap<String, BTreeMap<u64, u64>>,
}

impl Floors {
    fn at(&self, moment: u64, service: Option<&str>) -> u64 {
        let floors = service.map_or(Some(&self.registry), |service| self.services.get(service));
        let floor = floors.and_then(|floors| floors.range(..moment).next_back());
        floor.map_or(0, |(_, floor)| *floor)
    }

    /// In the order of moments.
    fn raise(&mut self, moment: u64, Revision { service, revision }: &Revision) {
        let of_service = service.as_ref().map(|service| self.services.entry(service.clone()).or_default());
        for floors in [&mut self.registry].into_iter().chain(of_service) {
            let floor = floors.last_key_value().map_or(0, |(_, floor)| *floor);
            floors.insert(moment, floor.max(*revision));
        }
    }
}

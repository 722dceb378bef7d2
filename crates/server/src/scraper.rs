//! The scraper: asks instances and other targets for their metrics, and keeps what they answer.
//!
//! Whoever is registered is measured without being told to. An instance says in its metadata where its metrics are
//! (`prometheus.io/port`, `…/path`), or that it has none (`prometheus.io/scrape: "false"`); one that says nothing is
//! asked for `/metrics` on its own port. Where that does not answer with metrics, it has none: it is asked ever more
//! rarely, and no `up` of it is written, for many services measure nothing, and an alert about each would be noise.
//! Beside instances there are the static targets of Prometheus' own `scrape_configs`.
//!
//! When whom to ask is decided in the core ([`monitoring::scrape`]), what an answer says in [`wire::exposition`]; here
//! are the sockets and the clock. The way to a target is the prober's: its name resolved each time, every address
//! looked at before it is dialled, and no redirect followed.

mod discover;
mod fetch;
mod figures;
mod take;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use identity::Mono;
use monitoring::scrape::{Job, Schedule};
use registry::{Networks, Scope, Since};
use tokio::{
    sync::Semaphore,
    task::{Id, JoinError, JoinSet},
    time::sleep_until,
};
use wire::scrape_config;

use crate::{
    clock,
    prober::dial::{Dialer, System},
    state::State,
    watchers::Woken,
};

use discover::{Key, Wanted};
use take::{Kept, Taken};

pub(crate) use figures::Targets;

/// Bytes of all answers that are being read. Beyond it, scrapes fail.
const ROOM_BYTES: usize = 64 << 20;
/// The longest time between two questions to an instance that has shown no metrics.
const RARELY: Duration = Duration::from_secs(600);

/// How many instances are asked that do not say whether they have metrics. A target costs some two kilobytes and a
/// look at each change, which those who register a hundred thousand instances did not ask for.
const UNTOLD: usize = 10_000;

/// Which instances are asked for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Instances {
    /// All, but those that say that they are not to be.
    #[default]
    All,
    /// Those that say in their metadata that they are to be.
    Annotated,
    /// None.
    Off,
}

/// What a scraper needs to know.
#[derive(Debug, Clone)]
pub struct ScrapeSettings {
    /// Which instances are asked.
    pub instances: Instances,
    /// How many instances are asked that do not say in their metadata whether they have metrics.
    pub untold: usize,
    /// The time from one scrape of an instance to the next.
    pub interval: Duration,
    /// Other targets.
    pub jobs: Vec<Job>,
}

impl Default for ScrapeSettings {
    fn default() -> Self {
        let interval = scrape_config::INTERVAL;
        Self { instances: Instances::default(), untold: UNTOLD, interval, jobs: Vec::new() }
    }
}

/// Asks targets until the server stops.
pub(crate) async fn run(state: Arc<State>, settings: ScrapeSettings, networks: Networks, most: usize) {
    Scraper::new(state, settings, Dialer::new(System, networks), most).run().await;
}

/// What every scrape uses.
struct Tools {
    state: Arc<State>,
    dialer: Dialer,
    /// Kibibytes.
    room: Arc<Semaphore>,
}

struct Scraper {
    tools: Arc<Tools>,
    revisions: Woken,
    /// The revision up to which the scraper has followed.
    seen: Option<u64>,
    of_instances: Option<Arc<Job>>,
    schedule: Schedule<Key>,
    targets: BTreeMap<Key, Active>,
    running: JoinSet<Done>,
    /// What each task asks: a task that panics brings nothing back.
    asked: HashMap<Id, (Key, Arc<Wanted>)>,
    /// How many instances may be targets that do not say whether they have metrics, and how many are.
    most_untold: usize,
    untold: usize,
    /// How many series all targets may have, and how many they have.
    most: usize,
    series: usize,
}

/// A target that is asked.
struct Active {
    wanted: Arc<Wanted>,
    /// What is known of its series; none while it is asked.
    kept: Option<Kept>,
    /// How often in a row it had no metrics.
    misses: u32,
    /// How many series were counted for it.
    series: usize,
}

/// What a task brings back.
struct Done {
    kept: Kept,
    taken: Taken,
}

impl Scraper {
    fn new(state: Arc<State>, settings: ScrapeSettings, dialer: Dialer, most: usize) -> Self {
        let of_instances = match settings.instances {
            Instances::Off => None,
            Instances::All | Instances::Annotated => {
                Some(Arc::new(discover::of_instances(settings.interval)))
            }
        };
        let mut scraper = Self {
            revisions: state.roll.follow(Scope::All),
            seen: None,
            of_instances,
            most_untold: if settings.instances == Instances::All { settings.untold } else { 0 },
            schedule: Schedule::default(),
            targets: BTreeMap::new(),
            running: JoinSet::new(),
            asked: HashMap::new(),
            untold: 0,
            most,
            series: 0,
            tools: Arc::new(Tools { state, dialer, room: Arc::new(Semaphore::new(ROOM_BYTES >> 10)) }),
        };
        for job in settings.jobs.into_iter().map(Arc::new) {
            for (address, labels) in &job.static_targets {
                scraper.put(discover::told(&job, address, labels));
            }
        }
        scraper
    }

    async fn run(mut self) {
        let stopping = self.tools.state.stopping.clone();
        loop {
            // Marked as seen before the registry is read, so that no change falls between the two.
            self.revisions.borrow_and_update();
            self.follow();
            self.launch();
            let deadline = self.schedule.next_deadline();
            tokio::select! {
                () = stopping.cancelled() => break,
                changed = self.revisions.changed() => if changed.is_err() { break },
                Some(done) = self.running.join_next_with_id() => self.finish(done),
                () = at(deadline) => {}
            }
        }
        self.running.shutdown().await;
    }

    /// Takes in what the registry has changed.
    fn follow(&mut self) {
        let Some(job) = self.of_instances.clone() else { return };
        let tools = self.tools.clone();
        let registry = tools.state.roll.read();
        match self.seen.map(|seen| registry.since(seen, &Scope::All)) {
            Some(Since::Changes(changes)) => {
                for change in changes {
                    let target = &change.target;
                    let is_full = self.untold >= self.most_untold;
                    let told_only = is_full && !self.targets.contains_key(&Key::of_instance(target));
                    let instance = registry.instance(target);
                    match instance.and_then(|of| discover::instance(&job, target, of, told_only)) {
                        Some(wanted) => self.put(wanted),
                        None => self.remove(&Key::of_instance(target)),
                    }
                }
            }
            Some(Since::Resync) | None => {
                let mut room = self.most_untold;
                let all = registry.instances().filter_map(|(target, instance)| {
                    let wanted = discover::instance(&job, target, instance, room == 0)?;
                    room -= usize::from(!wanted.is_told);
                    Some(wanted)
                });
                let all: Vec<_> = all.collect();
                let there: BTreeSet<&Key> = all.iter().map(|wanted| &wanted.key).collect();
                // Those that cannot be asked are shown as well.
                let mut gone = tools.state.targets.keys();
                gone.retain(|key| key.is_instance() && !there.contains(key));
                gone.iter().for_each(|key| self.remove(key));
                all.into_iter().for_each(|wanted| self.put(wanted));
            }
        }
        self.seen = Some(registry.revision());
    }

    fn put(&mut self, wanted: Wanted) {
        let now = clock::now();
        self.tools.state.targets.show(&wanted);
        let wanted = Arc::new(wanted);
        let Ok(target) = &wanted.target else { return self.forget(&wanted.key) };
        if let Some(active) = self.targets.get_mut(&wanted.key) {
            if active.wanted.target == wanted.target && active.wanted.is_told == wanted.is_told {
                active.wanted = wanted;
                return;
            }
            self.forget(&wanted.key);
        }
        self.schedule.put(now, wanted.key.clone(), target.interval, wanted.spread());
        let kept = Some(Kept::default());
        self.untold += usize::from(!wanted.is_told);
        self.targets.insert(wanted.key.clone(), Active { wanted, kept, misses: 0, series: 0 });
    }

    fn remove(&mut self, key: &Key) {
        self.tools.state.targets.hide(key);
        self.forget(key);
    }

    /// Ends the series of a target. One that is being asked ends when the answer is there.
    fn forget(&mut self, key: &Key) {
        self.schedule.remove(key);
        let Some(active) = self.targets.remove(key) else { return };
        self.series -= active.series;
        self.untold -= usize::from(!active.wanted.is_told);
        if let Some(kept) = active.kept {
            self.end(active.wanted, kept);
        }
    }

    /// Writes down that the series of a target have ended.
    fn end(&self, wanted: Arc<Wanted>, kept: Kept) {
        let tools = self.tools.clone();
        tokio::task::spawn_blocking(move || take::end(&tools.state, &wanted, kept, clock::now().wall));
    }

    /// Asks those who are due.
    fn launch(&mut self) {
        for key in self.schedule.due(clock::now()) {
            let Some(active) = self.targets.get_mut(&key) else { continue };
            let (kept, wanted) = (active.kept.take().unwrap_or_default(), active.wanted.clone());
            // What others have not taken, and what it has itself.
            let most = self.most.saturating_sub(self.series) + active.series;
            let (tools, of) = (self.tools.clone(), wanted.clone());
            let task = self.running.spawn(async move { scrape(tools, of, kept, most).await });
            self.asked.insert(task.id(), (key, wanted));
        }
    }

    /// Takes in an answer.
    fn finish(&mut self, done: Result<(Id, Done), JoinError>) {
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => {
                tracing::error!(%error, "a scrape ended early; its target is asked again");
                (error.id(), None)
            }
        };
        let Some((key, wanted)) = self.asked.remove(&id) else { return };
        let now = clock::now();
        let Done { kept, taken } = done.unwrap_or_default();
        let usual = wanted.target.as_ref().map_or(RARELY, |target| target.interval);
        let is_it = |active: &&mut Active| active.kept.is_none() && active.wanted.target == wanted.target;
        let Some(active) = self.targets.get_mut(&key).filter(is_it) else {
            // It was removed meanwhile, or has become another.
            self.schedule.finished(now, &key, usual);
            return self.end(wanted, kept);
        };
        self.series = self.series - active.series + kept.len();
        active.series = kept.len();
        active.misses = if taken.has_none { active.misses.saturating_add(1) } else { 0 };
        let interval = usual.saturating_mul(1 << active.misses.min(16)).min(RARELY.max(usual));
        active.kept = Some(kept);
        self.schedule.finished(now, &key, interval);
        self.tools.state.targets.scraped(&key, taken);
    }
}

impl Default for Done {
    fn default() -> Self {
        let taken = Taken { error: Some("the scrape ended early".to_owned()), ..Taken::default() };
        Self { kept: Kept::default(), taken }
    }
}

/// One question, and what becomes of its answer.
async fn scrape(tools: Arc<Tools>, wanted: Arc<Wanted>, kept: Kept, most: usize) -> Done {
    let (at, begun) = (clock::now().wall, clock::mono());
    let answer = fetch::fetch(&tools, &wanted).await;
    let took = clock::mono().since(begun);
    // Decoding megabytes takes milliseconds, in which the runtime's threads have other things to do.
    let Ok(core) = tools.state.senders.core().await else { return Done { kept, ..Done::default() } };
    let work = tokio::task::spawn_blocking(move || {
        let _core = core;
        let mut kept = kept;
        let taken = take::take(&tools.state, &wanted, &mut kept, answer, at, took, most);
        Done { kept, taken }
    });
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a scrape's answer could not be read");
        Done::default()
    })
}

async fn at(deadline: Option<Mono>) {
    match deadline {
        Some(deadline) => sleep_until(clock::timer(deadline)).await,
        None => std::future::pending().await,
    }
}

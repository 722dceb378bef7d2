//! The server's registrations, heartbeats, watchers, memory and start-up, beside etcd.
//!
//! The server runs as its users run it: the release binary with its default settings, on a core of its own,
//! and so does etcd; the load has the other cores. Both make every acknowledged write durable first. A round
//! begins with an empty data folder, so that nobody pays for what the rounds before left behind.
//!
//! One setting is not the default: instances are not asked for metrics. These have addresses at which nobody
//! is, and to knock at them would be measured with each figure.

mod fleet;
mod heartbeats;
mod in_process;
mod population;
mod registrations;
mod watchers;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::runtime::{Builder, Runtime};

use crate::cores::Cores;
use crate::etcd::{self, Etcd};
use crate::report::{Bound, Figure, Report, Row, progress};
use crate::round::{Round, latency_figures, micros, millis, quantile_ms};
use crate::server::{Program, Server};
use crate::{Failure, Options};

/// Clients at a time, each with a connection and a request in flight.
const CLIENTS: usize = 64;
/// Instances in a bulk request, and how many clients send them.
const BULK: usize = 100;
const BULK_CLIENTS: usize = 8;
/// Instances that are there while heartbeats, watchers, memory and start-up are measured.
const POPULATION: usize = 100_000;
/// Instances of the core alone.
const IN_PROCESS: usize = 1_000_000;
/// Changes a round that watchers hear of, and how many instances of other services change a second.
const CHANGES: usize = 50;
const CHURN: u32 = 200;

/// What the server is told besides.
const SETTINGS: [&str; 2] = ["--scrape", "off"];

/// What was to be reached.
const PUT_SHARE: f64 = 1.0 / 4.0;
const BULK_SHARE: f64 = 1.0 / 15.0;
const HEARTBEATS_A_CORE: f64 = 300_000.0;
const ARRIVAL_P99_MS: f64 = 100.0;
const BYTES_AN_INSTANCE: f64 = 1024.0;
const START_MS: f64 = 2_000.0;

/// What this benchmark takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Measure this binary; without it, the release binary is built and measured.
    #[arg(long, value_name = "FILE")]
    bellwether: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_name = "PART", value_enum)]
    only: Vec<Part>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Registrations,
    Heartbeats,
    Watchers,
    Memory,
    Start,
    InProcess,
}

/// What every part needs.
struct Bench<'a> {
    options: &'a Options,
    program: Program,
    cores: Option<Cores>,
    folder: tempfile::TempDir,
    runtime: Runtime,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let options = &arguments.options;
    let about = "the server under load: durable registrations, heartbeats, watchers, memory, start-up";
    let mut report = Report::new("registry", about);
    let wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    let program = Program::at(arguments.bellwether.as_deref())?;
    // Before anything else takes memory that could be used again.
    if wanted(Part::InProcess) {
        in_process(&mut report)?;
    }
    std::fs::create_dir_all(&options.folder)?;
    let folder = tempfile::tempdir_in(&options.folder)?;
    let cores = Cores::part()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    report.setting("rounds", options.rounds());
    report.setting("seconds a round", options.seconds());
    report.setting("folder", options.folder.display());
    report.setting("bytes of a registration", fleet::REGISTRATION_BYTES);
    report.setting("services", fleet::SERVICES);
    report.setting("settings of the server", SETTINGS.join(" "));
    report.version("bellwether", program.version());
    match cores {
        Some(_) => report.note("the servers share one core, the load has the others"),
        None => report.note("there is one core, which servers and load share: rates and times say little"),
    }
    let bench = Bench { options, program, cores, folder, runtime };
    if wanted(Part::Registrations) {
        bench.registrations(&mut report)?;
    }
    if wanted(Part::Heartbeats) {
        bench.heartbeats(&mut report)?;
    }
    if wanted(Part::Watchers) {
        bench.watchers(&mut report)?;
    }
    if wanted(Part::Memory) {
        bench.memory(&mut report)?;
    }
    if wanted(Part::Start) {
        bench.start(&mut report)?;
    }
    Ok(report)
}

/// Who registers, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Etcd { clients: usize },
    Bellwether { clients: usize, batch: usize },
}

impl Subject {
    const ALL: [Subject; 5] = [
        Subject::Bellwether { clients: CLIENTS, batch: 1 },
        Subject::Etcd { clients: CLIENTS },
        Subject::Bellwether { clients: BULK_CLIENTS, batch: BULK },
        Subject::Bellwether { clients: 1, batch: 1 },
        Subject::Etcd { clients: 1 },
    ];

    fn name(self) -> &'static str {
        match self {
            Subject::Etcd { .. } => "etcd put",
            Subject::Bellwether { batch: 1, .. } => "bellwether PUT",
            Subject::Bellwether { .. } => "bellwether bulk",
        }
    }

    fn batch(self) -> usize {
        match self {
            Subject::Etcd { .. } => 1,
            Subject::Bellwether { batch, .. } => batch,
        }
    }

    fn load(self) -> String {
        let (Subject::Etcd { clients } | Subject::Bellwether { clients, .. }) = self;
        match (clients, self.batch()) {
            (1, 1) => "1 client".to_owned(),
            (_, 1) => format!("{clients} clients"),
            (_, batch) => format!("{clients} clients × {batch}"),
        }
    }
}

impl Bench<'_> {
    fn time(&self) -> Duration {
        Duration::from_secs(self.options.seconds())
    }

    /// An empty data folder.
    fn empty(&self) -> Result<PathBuf, Failure> {
        let path = self.folder.path().join("data");
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        Ok(path)
    }

    fn serve(&self, data: &Path) -> Result<Server, Failure> {
        Server::start_with(&self.program, self.cores.as_ref(), data, &SETTINGS)
    }

    /// A server that holds [`POPULATION`] instances, and their leases.
    fn populated(&self) -> Result<(Server, Vec<String>), Failure> {
        let server = self.serve(&self.empty()?)?;
        progress(&format!("registering {POPULATION} instances"));
        let leases = population::register(&self.runtime, &server, POPULATION)?;
        Ok((server, leases))
    }

    fn registrations(&self, report: &mut Report) -> Result<(), Failure> {
        let mut rounds: Vec<(Subject, Vec<Round>)> =
            Subject::ALL.iter().map(|subject| (*subject, Vec::new())).collect();
        let mut version = None;
        for round in 1..=self.options.rounds() {
            for (subject, rounds) in &mut rounds {
                progress(&format!("registrations, round {round}: {}, {}", subject.name(), subject.load()));
                let data = self.empty()?;
                match *subject {
                    Subject::Bellwether { clients, batch } => {
                        let server = self.serve(&data)?;
                        let time = self.time();
                        rounds.push(registrations::measure(&self.runtime, &server, clients, batch, time)?);
                    }
                    Subject::Etcd { clients } => {
                        std::fs::create_dir_all(&data)?;
                        let Some(etcd) = Etcd::start(&data, self.cores.as_ref())? else { continue };
                        version = Some(etcd.version().to_owned());
                        rounds.push(etcd.measure(clients, self.time(), registrations::value)?);
                    }
                }
            }
        }
        match version {
            Some(version) => report.version("etcd", version),
            None => report.skip(etcd::MISSING),
        }
        for (subject, rounds) in &rounds {
            if !rounds.is_empty() {
                report.row(row(subject.name(), subject.load(), rounds, subject.batch(), REGISTRATION));
            }
        }
        goals(report, &rounds);
        Ok(())
    }

    fn heartbeats(&self, report: &mut Report) -> Result<(), Failure> {
        let (server, leases) = self.populated()?;
        let requests = Rc::new(heartbeats::requests(&leases));
        let mut rounds = Vec::new();
        for round in 1..=self.options.rounds() {
            progress(&format!("heartbeats, round {round}"));
            rounds.push(heartbeats::measure(&self.runtime, &server, &requests, self.time())?);
        }
        let load = format!("{} clients × {}", heartbeats::CLIENTS, heartbeats::BATCH);
        report.row(row("bellwether", load, &rounds, heartbeats::BATCH, HEARTBEAT));
        let cost = median(rounds.iter().map(|round| cost(round, heartbeats::BATCH)));
        report.goal("heartbeats/s of a core", 1e6 / cost, Bound::AtLeast, HEARTBEATS_A_CORE);
        Ok(())
    }

    fn watchers(&self, report: &mut Report) -> Result<(), Failure> {
        let (server, _) = self.populated()?;
        let mut watchers = self.runtime.block_on(watchers::Watchers::connect(&server))?;
        let (mut calm, mut churning) = (Vec::new(), Vec::new());
        for round in 1..=self.options.rounds() {
            for (churn, rounds) in [(0, &mut calm), (CHURN, &mut churning)] {
                progress(&format!("watchers, round {round}: {churn} other changes/s"));
                rounds.push(self.runtime.block_on(watchers.measure(&server, CHANGES, churn))?);
            }
        }
        for (churn, rounds) in [(0, &calm), (CHURN, &churning)] {
            let load = format!("{} watchers, {churn} other changes/s", watchers::WATCHERS);
            report.row(row("bellwether", load, rounds, 1, ARRIVAL));
        }
        let p99 = |rounds: &[Round]| median(rounds.iter().map(|round| quantile_ms(&round.latencies, 0.99)));
        report.goal("ms until a watcher hears of a change, p99", p99(&calm), Bound::AtMost, ARRIVAL_P99_MS);
        let what = "ms until a watcher hears of a change while others change, p99";
        report.goal(what, p99(&churning), Bound::AtMost, ARRIVAL_P99_MS);
        Ok(())
    }

    fn memory(&self, report: &mut Report) -> Result<(), Failure> {
        let (mut live, mut restarted) = (Vec::new(), Vec::new());
        for round in 1..=self.options.rounds() {
            progress(&format!("memory, round {round}"));
            let data = self.empty()?;
            let server = self.serve(&data)?;
            let idle = server.resident_bytes()? as f64;
            population::register(&self.runtime, &server, POPULATION)?;
            live.push((server.resident_bytes()? as f64 - idle) / POPULATION as f64);
            server.stop()?;
            let server = self.serve(&data)?;
            restarted.push((server.resident_bytes()? as f64 - idle) / POPULATION as f64);
        }
        let load = |when: &str| format!("{POPULATION} instances, {when}");
        for (when, bytes) in [("as registered", &live), ("after a restart", &restarted)] {
            let figures = Figure::of("bytes/instance", bytes.iter().copied()).into_iter().collect();
            report.row(Row { subject: "bellwether", load: load(when), figures });
        }
        let what = "bytes of memory an instance";
        report.goal(what, median(live.into_iter()), Bound::AtMost, BYTES_AN_INSTANCE);
        let what = "bytes of memory an instance after a restart";
        report.goal(what, median(restarted.into_iter()), Bound::AtMost, BYTES_AN_INSTANCE);
        Ok(())
    }

    fn start(&self, report: &mut Report) -> Result<(), Failure> {
        let (server, _) = self.populated()?;
        let data = self.folder.path().join("data");
        let (mut stopped, mut killed) = (Vec::new(), Vec::new());
        let mut server = Some(server);
        for round in 1..=self.options.rounds() {
            progress(&format!("start-up, round {round}"));
            for (took, kill) in [(&mut killed, true), (&mut stopped, false)] {
                match server.take() {
                    // Dropping kills.
                    Some(server) if kill => drop(server),
                    Some(server) => server.stop()?,
                    None => {}
                }
                let started = self.serve(&data)?;
                took.push(millis(started.took));
                server = Some(started);
            }
        }
        let load = |when: &str| format!("{POPULATION} instances, {when}");
        for (when, took) in [("after kill -9", &killed), ("after a stop", &stopped)] {
            let figures = Figure::of("ms until ready", took.iter().copied()).into_iter().collect();
            report.row(Row { subject: "bellwether", load: load(when), figures });
        }
        let slower = median(killed.into_iter()).max(median(stopped.into_iter()));
        report.goal("ms until ready with 100,000 instances", slower, Bound::AtMost, START_MS);
        Ok(())
    }
}

fn in_process(report: &mut Report) -> Result<(), Failure> {
    progress(&format!("{IN_PROCESS} instances in the registry's core"));
    let filled = in_process::fill(IN_PROCESS)?;
    let figures = [
        Figure::of("bytes/instance", [filled.bytes_an_instance]),
        Figure::of("µs/registration", [filled.micros_an_instance]),
    ];
    let load = format!("{IN_PROCESS} instances in process");
    report.row(Row { subject: "registry", load, figures: figures.into_iter().flatten().collect() });
    Ok(())
}

/// What operations are called: their rate, the server's time for one, the load's.
type Names = [&'static str; 3];
const REGISTRATION: Names = ["registrations/s", "CPU µs/registration", "load CPU µs/registration"];
const HEARTBEAT: Names = ["heartbeats/s", "CPU µs/heartbeat", "load CPU µs/heartbeat"];
const ARRIVAL: Names = ["arrivals/s", "CPU µs/arrival", "load CPU µs/arrival"];

fn row(subject: &'static str, load: String, rounds: &[Round], batch: usize, names: Names) -> Row {
    let [rate_name, cpu_name, load_name] = names;
    let operations = |round: &Round| (round.latencies.len() * batch).max(1) as f64;
    let rate = |round: &Round| operations(round) / round.wall.as_secs_f64();
    let load_cost = |round: &Round| round.load_cpu.map(|cpu| micros(cpu) / operations(round));
    let costs = [
        Figure::of(rate_name, rounds.iter().map(rate)),
        Figure::of(cpu_name, rounds.iter().map(|round| cost(round, batch))),
    ];
    let load_cost = Figure::of(load_name, rounds.iter().filter_map(load_cost));
    let figures: Vec<Figure> =
        costs.into_iter().flatten().chain(latency_figures(rounds)).chain(load_cost).collect();
    let cost = median(rounds.iter().map(|round| cost(round, batch)));
    progress(&format!("{subject}, {load}: {cost:.2} {cpu_name}"));
    Row { subject, load, figures }
}

/// The server's time for one operation, in microseconds.
fn cost(round: &Round, batch: usize) -> f64 {
    micros(round.cpu) / (round.latencies.len() * batch).max(1) as f64
}

fn median(rounds: impl Iterator<Item = f64>) -> f64 {
    Figure::of("", rounds).map_or(f64::NAN, |figure| figure.median())
}

/// What is asked of registrations is asked in proportion to etcd.
fn goals(report: &mut Report, rounds: &[(Subject, Vec<Round>)]) {
    let of = |wanted: Subject| {
        let rounds = rounds.iter().find(|(subject, _)| *subject == wanted);
        rounds.map(|(_, rounds)| rounds.as_slice()).filter(|rounds| !rounds.is_empty())
    };
    let [put, etcd, bulk, one, etcd_one] = Subject::ALL.map(of);
    let cost = |rounds: &[Round], batch| median(rounds.iter().map(|round| cost(round, batch)));
    let p50 = |rounds: &[Round]| median(rounds.iter().map(|round| quantile_ms(&round.latencies, 0.5)));
    if let (Some(put), Some(etcd)) = (put, etcd) {
        let share = cost(put, 1) / cost(etcd, 1);
        report.goal("CPU of a registration as a share of etcd's put", share, Bound::AtMost, PUT_SHARE);
    }
    if let (Some(bulk), Some(etcd)) = (bulk, etcd) {
        let share = cost(bulk, BULK) / cost(etcd, 1);
        let what = "CPU of a registration in bulk as a share of etcd's put";
        report.goal(what, share, Bound::AtMost, BULK_SHARE);
    }
    if let (Some(one), Some(etcd)) = (one, etcd_one) {
        report.goal("p50 ms at one client, beside etcd's", p50(one), Bound::AtMost, p50(etcd));
    }
}

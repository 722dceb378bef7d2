//! Samples: what taking them in costs, what they take on the disk and in memory, and how long a start takes after a
//! crash; beside victoria-metrics and prometheus.
//!
//! Each server is a process of its own on loopback, and gets the same requests of remote write 1.0 from the same client.
//! A round is an hour of a fleet's samples, sent to one server after the other; all three run all the time, and what a
//! process does for the rounds before is counted where it does it. The figure that goals are about is all that a server
//! has used until it was quiet again. Before sizes are read, everything is brought into its final form: ours is sealed,
//! victoria-metrics flushes and merges, prometheus writes a snapshot, whose blocks alone are counted.

pub(crate) mod fleet;
mod in_process;
pub(crate) mod subject;
pub(crate) mod write;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tokio::runtime::{Builder, Runtime};

use crate::{
    Failure, Options, clock,
    cores::Cores,
    process,
    report::{Bound, Figure, Report, Row, progress},
    round::millis,
    server::Program,
};
use fleet::{Fleet, INTERVAL, USUAL};
use subject::{Budget, Kind, Subject};
use write::Requests;

/// Steps of a round: an hour.
pub(crate) const ROUND_STEPS: usize = 240;
/// Hours of samples that are sent.
pub(crate) const HOURS: usize = 24;
pub(crate) const QUICK_HOURS: usize = 3;
/// Our usual budget for so many series, from which a part of about two hours follows.
pub(crate) const USUAL_BUDGET: Budget = Budget { memory: "64MiB", disk: "8GiB" };
const LARGE_BUDGET: Budget = Budget { memory: "8GiB", disk: "16GiB" };
/// The fleets whose memory is measured, of 100,155 series, and which a start finds, of a million.
const MANY: (usize, usize) = (357, 75);
const MILLION: (usize, usize) = (3_570, 750);
/// Samples of each series while memory is measured, and before the crash.
const MANY_STEPS: usize = 10;
const MILLION_STEPS: usize = 2;
/// Steps that are taken in within this process.
const IN_PROCESS_STEPS: usize = 960;

/// What was to be reached: shares of a peer's, and samples a second and core.
const CPU_SHARE_VICTORIA: f64 = 1.0 / 3.0;
const CPU_SHARE_PROMETHEUS: f64 = 1.0 / 15.0;
const DISK_SHARE: f64 = 0.75;
const MEMORY_SHARE: f64 = 0.6;
const IN_PROCESS: f64 = 20e6;

/// What this benchmark takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Measure this binary; without it, the release binary is built and measured.
    #[arg(long, value_name = "FILE")]
    bellwether: Option<PathBuf>,
    /// Hours of samples that are sent: 24, and 3 for a short run.
    #[arg(long, value_name = "COUNT")]
    hours: Option<usize>,
    /// Only these parts.
    #[arg(long, value_name = "PART", value_enum)]
    only: Vec<Part>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    InProcess,
    Write,
    Memory,
    Start,
}

/// What every part needs.
pub(crate) struct Bench {
    pub(crate) program: Program,
    pub(crate) cores: Option<Cores>,
    pub(crate) runtime: Runtime,
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(options: &Options, binary: Option<&Path>) -> Result<Self, Failure> {
        let program = Program::at(binary)?;
        std::fs::create_dir_all(&options.folder)?;
        let folder = tempfile::tempdir_in(&options.folder)?;
        let cores = Cores::part()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { program, cores, runtime, folder })
    }

    /// Says whom it is about and how they run.
    pub(crate) fn introduce(&self, report: &mut Report) {
        for kind in Kind::ALL {
            match kind.version(&self.program) {
                Some(version) => report.version(kind.name(), version),
                None => report.skip(format!(
                    "{name} is not installed; `apt-get install {name}` brings it",
                    name = kind.name()
                )),
            }
        }
        match self.cores {
            Some(_) => report.note("the servers share one core, the load has the others"),
            None => report.note("there is one core, which servers and load share"),
        }
    }

    /// Those that are installed, each on an empty folder.
    pub(crate) fn subjects(&self, of: &str, budget: Budget) -> Result<Vec<Filled>, Failure> {
        let folder = self.folder.path().join(of);
        std::fs::create_dir_all(&folder)?;
        let mut subjects = Vec::new();
        for kind in Kind::ALL {
            let started = Subject::start(kind, &self.program, self.cores.as_ref(), &folder, budget)?;
            subjects.extend(started.map(|subject| Filled {
                subject,
                rounds: Vec::new(),
                cpu: Duration::ZERO,
                again: 0,
            }));
        }
        Ok(subjects)
    }

    /// Sends so many rounds of a fleet to all, and waits until they are quiet. Says how many samples each got.
    pub(crate) fn fill(
        &self,
        subjects: &mut [Filled],
        fleet: &mut Fleet,
        (rounds, steps): (usize, usize),
    ) -> Result<u64, Failure> {
        let (mut requests, mut samples) = (Requests::new(fleet), 0);
        for filled in &mut *subjects {
            filled.cpu = process::cpu_of(filled.subject.id())?;
        }
        for round in 1..=rounds {
            let slice = requests.slice(fleet, steps)?;
            samples += slice.samples;
            for filled in &mut *subjects {
                let subject = &filled.subject;
                let (before, begin) = (process::cpu_of(subject.id())?, clock::now());
                filled.again += write::send(&self.runtime, subject.address, &slice)?;
                let cpu = process::cpu_of(subject.id())?.saturating_sub(before);
                filled.rounds.push(cpu.as_secs_f64() / slice.samples as f64);
                let (name, ms) = (subject.kind.name(), millis(begin.elapsed()));
                progress(&format!(
                    "round {round} of {rounds}: {name}, {} samples in {ms:.0} ms",
                    slice.samples
                ));
            }
        }
        for filled in subjects {
            process::quiet(filled.subject.id())?;
            filled.cpu = process::cpu_of(filled.subject.id())?.saturating_sub(filled.cpu);
        }
        Ok(samples)
    }
}

/// A server and what it has used for what it was sent.
pub(crate) struct Filled {
    pub(crate) subject: Subject,
    /// Seconds of processor time a sample, by round.
    rounds: Vec<f64>,
    /// Of all rounds, and until it was quiet.
    cpu: Duration,
    /// Requests that were sent again.
    again: u64,
}

/// When the first sample of so many hours is, so that the last one was some minutes ago.
pub(crate) fn begin(hours: usize) -> Result<i64, Failure> {
    let now = clock::since_1970()?.as_millis() as i64;
    Ok((now / INTERVAL * INTERVAL) - (hours as i64 * 3_600 + 600) * 1_000)
}

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let options = &arguments.options;
    let about = "samples as a Prometheus sends them: time, disk, memory, and a start after a crash";
    let mut report = Report::new("metrics", about);
    let wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    let hours = arguments.hours.unwrap_or(if options.quick { QUICK_HOURS } else { HOURS });
    let bench = Bench::new(options, arguments.bellwether.as_deref())?;
    report.setting("hours", hours);
    report.setting("folder", options.folder.display());
    bench.introduce(&mut report);
    if wanted(Part::InProcess) {
        bench.in_process(&mut report, if options.quick { IN_PROCESS_STEPS / 4 } else { IN_PROCESS_STEPS })?;
    }
    if wanted(Part::Write) {
        bench.write(&mut report, hours)?;
    }
    if wanted(Part::Memory) {
        bench.memory(&mut report)?;
    }
    if wanted(Part::Start) {
        bench.start(&mut report, if options.quick { MANY } else { MILLION })?;
    }
    Ok(report)
}

impl Bench {
    fn in_process(&self, report: &mut Report, steps: usize) -> Result<(), Failure> {
        progress("samples by reference, in process");
        let taken = in_process::measure(&self.folder.path().join("in-process"), steps, begin(HOURS)?)?;
        let each = |time: Duration| time.as_secs_f64() * 1e9 / taken.samples as f64;
        for (subject, time) in [("taken in", taken.cpu), ("sealed", taken.seal)] {
            let load = format!("{} samples by reference, in process", taken.samples);
            report.row(Row {
                subject,
                load,
                figures: Figure::of("CPU ns/sample", [each(time)]).into_iter().collect(),
            });
        }
        let rate = 1e9 / each(taken.cpu);
        report.goal("samples a second and core, in process", rate, Bound::AtLeast, IN_PROCESS);
        Ok(())
    }

    fn write(&self, report: &mut Report, hours: usize) -> Result<(), Failure> {
        let mut subjects = self.subjects("write", USUAL_BUDGET)?;
        let mut fleet = Fleet::new(7, USUAL, begin(hours)?);
        let series = fleet.names().len();
        let samples = self.fill(&mut subjects, &mut fleet, (hours, ROUND_STEPS))?;
        let (mut cost, mut size) = (Vec::new(), Vec::new());
        for filled in subjects {
            let kind = filled.subject.kind;
            progress(&format!("{}: everything into its final form", kind.name()));
            let (bytes, settling) = filled.subject.finish()?;
            let each = |time: Duration| time.as_secs_f64() * 1e6 / samples as f64;
            let bytes = bytes as f64 / samples as f64;
            let figures = [
                Figure::of("CPU µs/sample", filled.rounds.iter().map(|seconds| seconds * 1e6)),
                Figure::of("until quiet", [each(filled.cpu)]),
                Figure::of("samples/CPU-s", [1e6 / each(filled.cpu)]),
                Figure::of("final form, µs more", [each(settling)]),
                Figure::of("bytes/sample", [bytes]),
                Figure::of("sent again", [filled.again as f64]),
            ];
            let load = format!("{series} series, {samples} samples");
            report.row(Row { subject: kind.name(), load, figures: figures.into_iter().flatten().collect() });
            cost.push((kind, each(filled.cpu)));
            size.push((kind, bytes));
        }
        against(report, "processor time a sample", &cost, Kind::VictoriaMetrics, CPU_SHARE_VICTORIA);
        against(report, "processor time a sample", &cost, Kind::Prometheus, CPU_SHARE_PROMETHEUS);
        against(report, "bytes a sample on the disk", &size, Kind::VictoriaMetrics, DISK_SHARE);
        Ok(())
    }

    fn memory(&self, report: &mut Report) -> Result<(), Failure> {
        let mut subjects = self.subjects("memory", LARGE_BUDGET)?;
        let mut fleet = Fleet::new(11, MANY, begin(1)?);
        let series = fleet.names().len();
        progress(&format!("memory of {series} series"));
        self.fill(&mut subjects, &mut fleet, (1, MANY_STEPS))?;
        let mut each = Vec::new();
        for filled in subjects {
            let subject = &filled.subject;
            let more = process::resident_bytes(subject.id())?.saturating_sub(subject.idle);
            let bytes = more as f64 / series as f64;
            let load = format!("{series} series, {MANY_STEPS} samples each");
            let figures = [
                Figure::of("bytes/series", [bytes]),
                Figure::of("idle MiB", [(subject.idle >> 20) as f64]),
                Figure::of("MiB at the most", [(process::peak_bytes(subject.id())? >> 20) as f64]),
            ];
            report.row(Row {
                subject: subject.kind.name(),
                load,
                figures: figures.into_iter().flatten().collect(),
            });
            each.push((subject.kind, bytes));
        }
        against(report, "memory an active series", &each, Kind::VictoriaMetrics, MEMORY_SHARE);
        Ok(())
    }

    fn start(&self, report: &mut Report, size: (usize, usize)) -> Result<(), Failure> {
        let data = self.folder.path().join("start");
        let server = subject::ours(&self.program, self.cores.as_ref(), &data, LARGE_BUDGET)?;
        let mut fleet = Fleet::new(13, size, begin(1)?);
        let series = fleet.names().len();
        progress(&format!("a start with {series} series"));
        let mut requests = Requests::new(&fleet);
        for _ in 0..MILLION_STEPS {
            let slice = requests.slice(&mut fleet, 1)?;
            write::send(&self.runtime, server.address(), &slice)?;
        }
        drop(requests);
        process::quiet(server.id())?;
        let before = server.resident_bytes()?;
        let most = process::peak_bytes(server.id())?;
        // Dropping kills.
        drop(server);
        let server = subject::ours(&self.program, self.cores.as_ref(), &data, LARGE_BUDGET)?;
        let (after, peak) = (server.resident_bytes()?, process::peak_bytes(server.id())?);
        let figures = [
            Figure::of("ms until ready", [millis(server.took)]),
            Figure::of("MiB before", [(before >> 20) as f64]),
            Figure::of("MiB before, at the most", [(most >> 20) as f64]),
            Figure::of("MiB after", [(after >> 20) as f64]),
            Figure::of("MiB after, at the most", [(peak >> 20) as f64]),
        ];
        let load = format!("{series} series, after kill -9");
        report.row(Row { subject: "bellwether", load, figures: figures.into_iter().flatten().collect() });
        let share = peak as f64 / most as f64;
        report.goal("memory of a start, share of that before the crash", share, Bound::AtMost, 1.0);
        Ok(())
    }
}

/// What should be at most a share of a peer's.
fn against(report: &mut Report, what: &str, figures: &[(Kind, f64)], peer: Kind, share: f64) {
    let of = |kind: Kind| figures.iter().find(|(of, _)| *of == kind).map(|(_, figure)| *figure);
    if let (Some(ours), Some(theirs)) = (of(Kind::Bellwether), of(peer)) {
        report.goal(format!("{what}, share of {}'s", peer.name()), ours / theirs, Bound::AtMost, share);
    }
}

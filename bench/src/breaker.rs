//! What a permit and its outcome cost, beside other breakers, alone and with two cores contending.
//!
//! A call here is nothing but leave and verdict: the service behind it is a return. Ours takes the
//! time as an argument, the others read the clock themselves; so ours stands twice, once as it is used
//! by whoever has the time already (as our gateway has), and once with a clock that it reads for each
//! of the two moments, which is the line to compare with.
//!
//! All calls succeed: that is the path that everybody walks. Rates are set so that nothing opens.

mod ours;
mod peers;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    Failure, Options,
    process::{own_cpu, thread_cpu},
    report::{Bound, Figure, Report, Row, progress},
};

/// Calls between two looks at whether the round is over.
const BATCH: u64 = 4_096;

const IN_A_ROW: &str = "consecutive failures";
const BY_TIME: &str = "rate over 10 s";
const BY_NUMBER: &str = "rate over 100 calls";
const LIMIT: &str = "rate limit";
/// What subjects are compared under.
const RULES: [&str; 4] = [IN_A_ROW, BY_TIME, BY_NUMBER, LIMIT];

/// One thread's part of a round: makes calls, so many each time it is asked.
type Work = Box<dyn FnMut(u64) + Send>;

/// A subject: who, with which rule, and how a thread works on it.
struct Subject {
    name: &'static str,
    rule: &'static str,
    work: Box<dyn Fn() -> Work>,
}

impl Subject {
    fn is_ours(&self) -> bool {
        [ours::TOLD, ours::CLOCK].contains(&self.name)
    }

    fn new<W: FnMut(u64) + Send + 'static>(
        name: &'static str,
        rule: &'static str,
        work: impl Fn() -> W + 'static,
    ) -> Self {
        Self { name, rule, work: Box::new(move || Box::new(work())) }
    }
}

/// Calls, and the processor time that they took.
struct Round {
    calls: u64,
    cpu: Duration,
}

pub(crate) fn run(options: &Options) -> Result<Report, Failure> {
    let about =
        "nanoseconds of processor time for leave to call and its outcome, one success after the other";
    let mut report = Report::new("breaker", about);
    let seconds = Duration::from_millis(options.seconds() * 250);
    report.setting("rounds", options.rounds());
    report.setting("seconds a round", seconds.as_secs_f64());
    report.version("bellwether", env!("CARGO_PKG_VERSION"));
    for package in peers::PACKAGES {
        report.locked_version(package)?;
    }
    let mut subjects = ours::subjects();
    subjects.extend(peers::subjects()?);
    for threads in [1, 2] {
        let mut rounds: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
        for round in 0..options.rounds() {
            progress(&format!("{threads} threads, round {}", round + 1));
            for (subject, rounds) in subjects.iter().zip(&mut rounds) {
                rounds.push(measure(subject, threads, seconds));
            }
        }
        let figures: Vec<Figure> = rounds.iter().filter_map(|rounds| figure(rounds)).collect();
        for (subject, figure) in subjects.iter().zip(&figures) {
            let load = format!("{threads} threads, {}", subject.rule);
            report.row(Row { subject: subject.name, load, figures: vec![figure.clone()] });
        }
        goals(&mut report, threads, &subjects, &figures);
    }
    report.note("two threads share one breaker; the time is that of both, by the calls of both");
    report.note(
        "failsafe's consecutive failures read no clock while closed and count nothing but failures in a row; its \
         rates, recloser's and tower-resilience's know no slow calls, and recloser's and failsafe's no number of probes",
    );
    report.note(
        "tower-resilience is a layer: its line is a call of the layered service, polled once, whose inner \
         service is ready at once",
    );
    report.note("governor and our rate limit decide by the same algorithm; a rate limit has no outcome");
    Ok(report)
}

fn figure(rounds: &[Round]) -> Option<Figure> {
    let nanos = rounds.iter().map(|round| round.cpu.as_nanos() as f64 / round.calls.max(1) as f64);
    Figure::of("CPU ns/call", nanos)
}

/// What each rule should cost who has the time already, and how much less that is than the fastest peer.
fn goals(report: &mut Report, threads: usize, subjects: &[Subject], figures: &[Figure]) {
    let of = |name: &str, rule: &str| {
        let found = subjects.iter().zip(figures).find(|(it, _)| it.name == name && it.rule == rule);
        found.map(|(_, figure)| figure.median())
    };
    for rule in RULES {
        let peers = subjects.iter().zip(figures).filter(|(it, _)| it.rule == rule && !it.is_ours());
        let fastest = peers.min_by(|(_, one), (_, other)| one.median().total_cmp(&other.median()));
        let Some(nanos) = of(ours::TOLD, rule) else { continue };
        match (rule, threads) {
            (IN_A_ROW | BY_TIME | BY_NUMBER, 1) => {
                report.goal(format!("{rule}, one thread, CPU ns"), nanos, Bound::AtMost, 30.0);
            }
            (IN_A_ROW | BY_TIME, _) => {
                report.goal(format!("{rule}, {threads} threads, CPU ns"), nanos, Bound::AtMost, 100.0);
            }
            _ => {}
        }
        if let Some((peer, figure)) = fastest {
            let what = format!("{rule}, {threads} threads, {} as a multiple of ours", peer.name);
            report.goal(what, figure.median() / nanos, Bound::AtLeast, 3.0);
        }
    }
}

fn measure(subject: &Subject, threads: usize, time: Duration) -> Round {
    let stop = AtomicBool::new(false);
    let workers: Vec<_> = (0..threads).map(|_| (subject.work)()).collect();
    let before = own_cpu();
    let counts: Vec<(u64, Duration)> = std::thread::scope(|scope| {
        let stop = &stop;
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut work| {
                scope.spawn(move || {
                    work(BATCH); // Whatever happens once has happened.
                    let (begun, mut calls) = (thread_cpu(), 0);
                    while !stop.load(Relaxed) {
                        work(BATCH);
                        calls += BATCH;
                    }
                    (calls, thread_cpu().saturating_sub(begun))
                })
            })
            .collect();
        while own_cpu().saturating_sub(before) < time * threads.len() as u32 {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        stop.store(true, Relaxed);
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    Round {
        calls: counts.iter().map(|(calls, _)| calls).sum(),
        cpu: counts.iter().map(|(_, cpu)| *cpu).sum(),
    }
}

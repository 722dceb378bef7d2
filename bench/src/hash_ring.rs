//! Who owns a key, what it costs to build the ring, and what to change one node of it.
//!
//! Every ring has 160 points a node. A lookup begins with the key's bytes and ends with the node's name or
//! address, as a caller wants it; keys are 16,384 different ones in no order. What is measured is the processor time of one thread.
//!
//! The subjects hash differently: pingora-ketama with CRC-32, as nginx; hashring with SipHash; ours with
//! XXH64, and with CRC-32 where it builds nginx's ring. That ring and pingora-ketama's have to agree on
//! every key here but those of points that two servers share, or the benchmark fails.

mod ours;
mod peers;

use std::time::Duration;

use ::hash_ring::Scheme;

use crate::process::own_cpu;
use crate::report::{Bound, Figure, Report, Row, progress};
use crate::{Failure, Options};

const NODES: [usize; 3] = [10, 100, 1_000];
/// Points of each node; it is what our scheme and nginx's give a node of their usual weight.
const POINTS: usize = 160;
/// Enough that no processor remembers how each was answered, and few enough to stay near it themselves.
const KEYS: usize = 1 << 14;

const RING: &str = "bellwether ring";
const MAGLEV: &str = "bellwether Maglev";
const PINGORA: &str = "pingora-ketama";

/// What was to be reached: of a lookup in a table, of one on a ring of [`NODES_COMPARED`] beside pingora's, and
/// of a change of one of [`NODES_CHANGED`].
const MAGLEV_NANOS: f64 = 10.0;
const TIMES_PINGORA: f64 = 2.0;
const NODES_COMPARED: usize = 100;
const CHANGE_SHARE: f64 = 0.1;
const NODES_CHANGED: usize = 1_000;

/// A ring, or what does its work.
trait Subject {
    /// Looks up all keys, and gives something that depends on each answer.
    fn look_up(&self, keys: &[&str]) -> usize;

    /// The same from positions, for those who can.
    fn look_up_positions(&self) -> Option<usize> {
        None
    }

    /// Builds it anew from its nodes.
    fn rebuild(&self);

    /// Changes one node, where that is not to build it anew; gives how many changes it made.
    fn change(&mut self) -> Option<u32> {
        None
    }
}

/// The name of a node, which is an address for those who want one.
fn address(node: usize) -> String {
    format!("10.0.{}.{}:8080", node / 250, node % 250)
}

/// What the rounds of one subject measured, in nanoseconds of processor time an operation.
#[derive(Debug, Default)]
struct Rounds {
    lookups: Vec<f64>,
    by_position: Vec<f64>,
    rebuilds: Vec<f64>,
    changes: Vec<f64>,
}

pub(crate) fn run(options: &Options) -> Result<Report, Failure> {
    let about =
        "processor time of a lookup, of building a ring of 160 points a node, and of changing one node";
    let mut report = Report::new("hash-ring", about);
    let time = Duration::from_millis(if options.quick { 10 } else { 150 });
    report.setting("rounds", options.rounds());
    report.setting("milliseconds a figure and round", time.as_millis());
    report.setting("keys", KEYS);
    report.version("bellwether", env!("CARGO_PKG_VERSION"));
    for peer in [PINGORA, "hashring"] {
        report.locked_version(peer)?;
    }
    let text = keys();
    let keys: Vec<&str> = text.lines().collect();
    for nodes in NODES {
        let names: Vec<String> = (0..nodes).map(address).collect();
        let mut subjects: Vec<(&'static str, Box<dyn Subject>)> = vec![
            (RING, Box::new(ours::OurRing::new(Scheme::Bellwether, 100, &names, &keys))),
            ("bellwether ring, nginx's", Box::new(ours::OurRing::new(Scheme::Nginx, 1, &names, &keys))),
            (MAGLEV, Box::new(ours::OurMaglev::new(&names, &keys))),
            (PINGORA, Box::new(peers::Pingora::new(&names)?)),
            ("hashring", Box::new(peers::HashRing::new(&names)?)),
        ];
        let agreed = peers::agree(&names, &keys)?;
        let tied = match KEYS - agreed {
            0 => String::new(),
            tied => format!(", and {tied} are at a point that two servers share"),
        };
        report.note(format!(
            "{nodes} nodes: our ring of nginx's scheme and pingora-ketama agree on {agreed} keys{tied}"
        ));
        let mut rounds: Vec<Rounds> = subjects.iter().map(|_| Rounds::default()).collect();
        for round in 0..options.rounds() {
            for ((name, subject), rounds) in subjects.iter_mut().zip(&mut rounds) {
                progress(&format!("{nodes} nodes, round {}: {name}", round + 1));
                rounds.measure(subject.as_mut(), &keys, time);
            }
        }
        let rounds: Vec<(&'static str, Rounds)> =
            subjects.iter().zip(rounds).map(|((name, _), rounds)| (*name, rounds)).collect();
        for (name, rounds) in &rounds {
            report.row(rounds.row(name, nodes));
        }
        goals(&mut report, nodes, &rounds);
    }
    report
        .note("a change that is not given is a rebuild: a Maglev table and pingora-ketama have no other way");
    report.note(
        "a change is a node that comes or one that goes, by turns; hashring adds its 160 points in one batch",
    );
    report.note("ns/position is a lookup of a key that was hashed before, which ends with the node's number");
    Ok(report)
}

/// What was to be reached with so many nodes.
fn goals(report: &mut Report, nodes: usize, rounds: &[(&str, Rounds)]) {
    let of = |name| rounds.iter().find(|(of, _)| *of == name).map(|(_, rounds)| rounds);
    let (Some(ring), Some(maglev), Some(pingora)) = (of(RING), of(MAGLEV), of(PINGORA)) else { return };
    let median = |rounds: &mut dyn Iterator<Item = f64>| {
        Figure::of("", rounds).map_or(f64::NAN, |figure| figure.median())
    };
    let lookup = median(&mut maglev.lookups.iter().copied());
    report.goal(
        format!("ns of a lookup in a Maglev table, {nodes} nodes"),
        lookup,
        Bound::AtMost,
        MAGLEV_NANOS,
    );
    if nodes == NODES_COMPARED {
        let times =
            median(&mut pingora.lookups.iter().zip(&ring.lookups).map(|(theirs, ours)| theirs / ours));
        report.goal("times as fast as pingora-ketama, 100 nodes", times, Bound::AtLeast, TIMES_PINGORA);
    }
    if nodes == NODES_CHANGED {
        let share = median(&mut ring.changes.iter().zip(&ring.rebuilds).map(|(one, all)| one / all));
        report.goal("a change of one of 1,000 nodes, of a rebuild", share, Bound::AtMost, CHANGE_SHARE);
    }
}

impl Rounds {
    fn measure(&mut self, subject: &mut dyn Subject, keys: &[&str], time: Duration) {
        let lookups = repeat(time, || {
            std::hint::black_box(subject.look_up(keys));
            keys.len() as u32
        });
        self.lookups.push(lookups);
        if subject.look_up_positions().is_some() {
            self.by_position.push(repeat(time, || {
                std::hint::black_box(subject.look_up_positions());
                keys.len() as u32
            }));
        }
        self.rebuilds.push(repeat(time, || {
            subject.rebuild();
            1
        }));
        if subject.change().is_some() {
            self.changes.push(repeat(time, || subject.change().unwrap_or(1)));
        }
    }

    fn row(&self, subject: &'static str, nodes: usize) -> Row {
        let micros = |figures: &[f64]| figures.iter().map(|nanos| nanos / 1e3).collect::<Vec<_>>();
        // Of each round with itself, so that what disturbs one disturbs both.
        let parts = self.changes.iter().zip(&self.rebuilds).map(|(change, rebuild)| change / rebuild);
        let figures = [
            Figure::of("ns/lookup", self.lookups.iter().copied()),
            Figure::of("ns/position", self.by_position.iter().copied()),
            Figure::of("rebuild µs", micros(&self.rebuilds)),
            Figure::of("change µs", micros(&self.changes)),
            Figure::of("change/rebuild", parts),
        ];
        Row { subject, load: format!("{nodes} nodes"), figures: figures.into_iter().flatten().collect() }
    }
}

/// Does something for some processor time; how many nanoseconds one of it took.
fn repeat(time: Duration, mut some: impl FnMut() -> u32) -> f64 {
    // Once for the caches, which a caller who does it often has warm.
    some();
    let (begin, mut done) = (own_cpu(), 0_u64);
    loop {
        done += u64::from(some());
        let taken = own_cpu().saturating_sub(begin);
        if taken >= time {
            return taken.as_nanos() as f64 / done as f64;
        }
    }
}

/// Keys as they come, in no order that a ring could profit from, a line each: they lie side by side, so that
/// what is measured is not how they are fetched.
fn keys() -> String {
    (0..KEYS as u64).map(|n| format!("user-{}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40)).collect()
}

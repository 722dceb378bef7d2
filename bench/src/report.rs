//! What was measured, as a table for people and as JSON for programs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Failure;

/// Everything that a benchmark has to say.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    bench: &'static str,
    /// What a row's figures mean, in a sentence.
    about: &'static str,
    machine: Machine,
    /// Names of subjects with their versions.
    versions: Vec<(String, String)>,
    /// How it was measured.
    settings: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    /// What was to be reached, and whether it was.
    goals: Vec<Goal>,
    /// What is to be known when reading the figures.
    notes: Vec<String>,
    /// Peers that were not there, and how to get them.
    skipped: Vec<String>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    memory_bytes: u64,
    load_before: String,
}

/// The figures of one subject under one load.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Who.
    pub(crate) subject: &'static str,
    /// Under which load.
    pub(crate) load: String,
    /// What, in the order of the table's columns.
    pub(crate) figures: Vec<Figure>,
}

/// A figure and what it was meant to be.
#[derive(Debug, Serialize)]
struct Goal {
    /// What was measured, with its unit.
    what: String,
    measured: f64,
    /// What it should be: at most this, or at least.
    bound: f64,
    kind: Bound,
    is_reached: bool,
}

/// On which side of its bound a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// It or less.
    AtMost,
    /// It or more.
    AtLeast,
}

/// A figure over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    name: &'static str,
    median: f64,
    min: f64,
    max: f64,
}

impl Figure {
    /// The figure of some rounds; `None` without any.
    pub(crate) fn of(name: &'static str, rounds: impl IntoIterator<Item = f64>) -> Option<Figure> {
        let mut rounds: Vec<f64> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        let median = rounds.get(rounds.len() / 2).copied()?;
        Some(Figure { name, median, min: *rounds.first()?, max: *rounds.last()? })
    }

    /// The middle of all rounds.
    pub(crate) fn median(&self) -> f64 {
        self.median
    }

    fn cell(&self) -> String {
        format!("{} [{}–{}]", number(self.median), number(self.min), number(self.max))
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl Report {
    pub(crate) fn new(bench: &'static str, about: &'static str) -> Report {
        let (versions, settings) = (Vec::new(), Vec::new());
        let (rows, goals) = (Vec::new(), Vec::new());
        let (notes, skipped) = (Vec::new(), Vec::new());
        Report { bench, about, machine: Machine::this(), versions, settings, rows, goals, notes, skipped }
    }

    pub(crate) fn version(&mut self, subject: &str, version: impl Into<String>) {
        self.versions.push((subject.to_owned(), version.into()));
    }

    /// A peer that is a package, in the version that this was built with.
    pub(crate) fn locked_version(&mut self, package: &str) -> Result<(), Failure> {
        let lock = include_str!("../../Cargo.lock");
        let name = format!("name = \"{package}\"");
        let entry = lock.split("[[package]]").find(|entry| entry.lines().any(|line| line == name));
        let version = entry.and_then(|entry| entry.split("version = \"").nth(1)?.split('"').next());
        let version = version.ok_or_else(|| format!("Cargo.lock names no version of {package}"))?;
        self.version(package, version);
        Ok(())
    }

    pub(crate) fn setting(&mut self, name: &'static str, value: impl ToString) {
        self.settings.push((name, value.to_string()));
    }

    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// What `measured` should be, on this side of `bound`.
    pub(crate) fn goal(&mut self, what: impl Into<String>, measured: f64, kind: Bound, bound: f64) {
        let is_reached = match kind {
            Bound::AtMost => measured <= bound,
            Bound::AtLeast => measured >= bound,
        };
        self.goals.push(Goal { what: what.into(), measured, bound, kind, is_reached });
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn skip(&mut self, why: impl Into<String>) {
        self.skipped.push(why.into());
    }

    /// Prints the table, and writes the file if one is given.
    pub(crate) fn publish(&self, json: Option<&Path>) -> Result<(), Failure> {
        println!("{}: {}", self.bench, self.about);
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        println!("{processor}, {cores} cores, kernel {kernel}, load before {load_before}");
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
        };
        println!("{}", pairs(&self.versions));
        let settings: Vec<(String, String)> =
            self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        println!("{}\n", pairs(&settings));
        for table in tables(&self.rows) {
            as_table(table).iter().for_each(|line| println!("{line}"));
            println!();
        }
        for Goal { what, measured, bound, kind, is_reached } in &self.goals {
            let side = if *kind == Bound::AtMost { "at most" } else { "at least" };
            let word = if *is_reached { "reached" } else { "MISSED" };
            println!("{word}: {what} {}, should be {side} {}", number(*measured), number(*bound));
        }
        self.notes.iter().for_each(|note| println!("note: {note}"));
        self.skipped.iter().for_each(|why| println!("skipped: {why}"));
        if let Some(path) = json {
            fs::write(path, serde_json::to_vec_pretty(self)?)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Rows that follow each other and begin with the same figure stand in one table.
fn tables(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    let first = |row: &Row| row.figures.first().map(|figure| figure.name);
    rows.chunk_by(move |one, next| first(one) == first(next))
}

fn as_table(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![vec!["subject".to_owned(), "load".to_owned()]];
    if let Some(widest) = rows.iter().max_by_key(|row| row.figures.len()) {
        lines[0].extend(widest.figures.iter().map(|figure| figure.name.to_owned()));
    }
    for row in rows {
        let mut line = vec![row.subject.to_owned(), row.load.clone()];
        for name in &lines[0][2..] {
            let figure = row.figures.iter().find(|figure| figure.name == name);
            line.push(figure.map_or("–".to_owned(), Figure::cell));
        }
        lines.push(line);
    }
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let pad =
        |(cell, width): (&String, &usize)| format!("{cell}{}", " ".repeat(width - cell.chars().count()));
    lines.iter().map(|line| line.iter().zip(&widths).map(pad).collect::<Vec<_>>().join("  ")).collect()
}

impl Machine {
    fn this() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kibibytes: u64 =
            memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Machine {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            memory_bytes: kibibytes * 1024,
            load_before: read("/proc/loadavg").trim().to_owned(),
        }
    }
}

/// Tells that the benchmark failed.
pub(crate) fn complain(error: &str) {
    eprintln!("bench: {error}");
}

/// Tells that something is going on.
pub(crate) fn progress(what: &str) {
    eprintln!("{what}");
}

//! Side by side with others: `cargo xtask bench NAME [--json FILE] [--quick]`.
//!
//! One module per benchmark; [`report`] prints and writes what they measured, [`process`] accounts for the
//! processor time of this process and of others. Rounds are interleaved, so that whatever else the
//! machine does hits all subjects alike, and figures are medians with the range of all rounds.

mod breaker;
mod clock;
mod cores;
mod etcd;
mod hash_ring;
mod http;
mod journal;
mod metrics;
mod process;
mod promql;
mod proxy;
mod random;
mod registry;
mod report;
mod round;
mod server;
mod traces;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The product's, since parts of it are measured within this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Benchmarks of Bellwether beside its peers.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// What leave to call and its outcome cost, beside failsafe, recloser, tower-resilience and governor.
    Breaker(Options),
    /// Who owns a key, and what it costs to build a ring and to change it, beside pingora-ketama and hashring.
    HashRing(Options),
    /// Acknowledged records a second, and the processor time each costs, beside SQLite and etcd.
    Journal(Options),
    /// What a sample costs in time, on the disk and in memory, beside victoria-metrics and prometheus.
    Metrics(metrics::Arguments),
    /// What the questions of a dashboard cost, beside victoria-metrics and prometheus.
    Promql(promql::Arguments),
    /// What a call through the gateway costs, beside HAProxy, nginx, Envoy and Pingora.
    Proxy(proxy::Arguments),
    /// Registrations, heartbeats, watchers, memory and start-up of the server, beside etcd.
    Registry(registry::Arguments),
    /// What taking in spans costs by stage, what they take on the disk, and how long they are looked for.
    Traces(traces::Arguments),
}

/// What all benchmarks take.
#[derive(Debug, Args)]
struct Options {
    /// Write the figures to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A short run that shows whether it works; its figures are worth little.
    #[arg(long)]
    quick: bool,
    /// Where data is written; it should be on the disk that is to be measured.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    folder: PathBuf,
}

impl Options {
    /// Rounds of each subject.
    fn rounds(&self) -> usize {
        if self.quick { 2 } else { 5 }
    }

    /// How long a subject is measured in a round.
    fn seconds(&self) -> u64 {
        if self.quick { 1 } else { 4 }
    }
}

/// A benchmark stops at the first thing that goes wrong and says what.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let (report, options) = match Cli::parse().bench {
        Bench::Breaker(options) => (breaker::run(&options), options),
        Bench::HashRing(options) => (hash_ring::run(&options), options),
        Bench::Journal(options) => (journal::run(&options), options),
        Bench::Metrics(arguments) => (metrics::run(&arguments), arguments.options),
        Bench::Promql(arguments) => (promql::run(&arguments), arguments.options),
        Bench::Proxy(arguments) => (proxy::run(&arguments), arguments.options),
        Bench::Registry(arguments) => (registry::run(&arguments), arguments.options),
        Bench::Traces(arguments) => (traces::run(&arguments), arguments.options),
    };
    match report.and_then(|report| report.publish(options.json.as_deref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

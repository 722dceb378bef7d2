//! Spans: what taking them in costs by stage, what they take on the disk, and how long they are looked for.
//!
//! Over a socket, requests go to the server as its users run it, and what it uses until it is quiet again is its
//! cost: connections, decoding, the graph, journal and blocks. Within this process they go through the same decoder
//! and store without a network, which tells the stages apart by the threads that do them, and fills the store that
//! is asked then. Requests are made before they are measured, and a request is acknowledged before whoever sent it
//! sends the next; there are several.

mod duckdb;
mod generator;
mod rotel;
mod socket;
mod wide;

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::Args;
use identity::{TraceId, Wall};
use storage_disk::{Disk, RealDisk};
use storage_spans::{Accept, AcceptError, Account, AttributeCondition, Query, Settings, SpanWriter, Spans};
use wire::otlp;

use crate::{
    Failure, Options, clock, process,
    report::{Bound, Figure, Report, Row, progress},
    server::{Program, Server},
};
use generator::{BEGIN, Generator, PACE};
use rotel::Rotel;
use socket::{Cost, Way};

/// Spans of a request, as a collector sends them on.
const REQUEST_SPANS: usize = 512;
/// Requests that are made at once, before they are sent.
const REQUESTS_AT_ONCE: usize = 64;
/// Requests that wait for the disk at a time.
const SENDERS: usize = 16;
/// How often a question is asked, and how often traces are looked for by their ids: of 200, the second slowest is
/// the 99th percentile.
const ASKED: usize = 15;
const LOOKED_UP: usize = 200;
/// Reads of /proc/self/io itself, between two looks at it.
const OWN_READS: u64 = 2;

/// What was to be reached.
const SPANS_A_CORE: f64 = 200_000.0;
const BYTES_A_SPAN: f64 = 38.0;
const MEMORY_MIB: f64 = 384.0;

/// What this benchmark takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Spans that are stored before they are looked for; 20 million where nothing is said, and 500,000 for a
    /// short run.
    #[arg(long, value_name = "COUNT")]
    spans: Option<usize>,
    /// Spans that are sent over a socket, to each receiver; none leaves that out.
    #[arg(long, value_name = "COUNT", default_value_t = 1_048_576)]
    sent: usize,
    /// Measure this binary; without it, the release binary is built and measured.
    #[arg(long, value_name = "FILE")]
    bellwether: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let options = &arguments.options;
    let wanted = arguments.spans.unwrap_or(if options.quick { 500_000 } else { 20_000_000 });
    let mut report =
        Report::new("traces", "spans as instrumented services send them, through decoder and store");
    fs::create_dir_all(&options.folder)?;
    let folder = tempfile::tempdir_in(&options.folder)?;
    report.setting("spans", wanted);
    report.setting("folder", options.folder.display());
    report.version("bellwether", env!("CARGO_PKG_VERSION"));
    if arguments.sent > 0 {
        over_a_socket(&mut report, arguments, folder.path())?;
    }
    let folder = tempfile::tempdir_in(&options.folder)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let settings = || Settings { disk_bytes: u64::MAX / 4, max_age: Duration::MAX, ..Settings::default() };
    let (store, _) = Spans::open(Arc::clone(&disk), folder.path(), settings())?;
    let taken = take_in(&mut report, &store, wanted)?;
    progress("sealing the rest");
    store.seal()?;
    let stats = store.stats();
    let bytes = stats.disk_bytes as f64 / taken.spans as f64;
    report.row(Row {
        subject: "stored",
        load: format!("{} spans in {} blocks", stats.spans, stats.blocks),
        figures: [Figure::of("bytes/span", [bytes]), Figure::of("OTLP bytes/span", [taken.otlp_bytes])]
            .into_iter()
            .flatten()
            .collect(),
    });
    report.goal("bytes a span on the disk", bytes, Bound::AtMost, BYTES_A_SPAN);
    compare(&mut report, &store)?;
    ask(&mut report, &store, folder.path(), taken.traces)?;
    wide::measure(&mut report, &store)?;
    let before = clock::now();
    drop(store);
    let (store, _) = Spans::open(disk, folder.path(), settings())?;
    let opened = before.elapsed().as_secs_f64() * 1_000.0;
    report.note(format!("closing and opening took {opened:.0} ms, with {} blocks", store.stats().blocks));
    Ok(report)
}

/// What a span costs the server, and a collector that keeps nothing.
fn over_a_socket(report: &mut Report, arguments: &Arguments, folder: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let program = Program::at(arguments.bellwether.as_deref())?;
    report.setting("sent to each receiver", arguments.sent);
    for (way, name) in [(Way::Grpc, "OTLP/gRPC"), (Way::Gzip, "OTLP/HTTP, gzip")] {
        progress(name);
        let server = Server::start(&program, None, &folder.join(name.replace([',', ' ', '/'], "-")))?;
        let cost = socket::measure(&runtime, (server.id(), server.address()), way, arguments.sent)?;
        server.stop()?;
        add(report, "bellwether", name, &cost);
        if way == Way::Grpc {
            for (thread, time) in
                cost.threads.iter().filter(|(_, time)| **time > 0.01 * cost.cpu.as_secs_f64() * 1e6)
            {
                let figures = Figure::of("CPU µs/span", [time / cost.spans as f64]).into_iter().collect();
                report.row(Row { subject: "of these, by thread", load: thread.clone(), figures });
            }
            let rate = 1e6 / cost.each();
            report.goal(
                "spans a second and core, from the socket to blocks",
                rate,
                Bound::AtLeast,
                SPANS_A_CORE,
            );
            report.goal(
                "resident MiB of the server at the most",
                (cost.peak >> 20) as f64,
                Bound::AtMost,
                MEMORY_MIB,
            );
        }
    }
    progress("Rotel");
    let Some(rotel) = Rotel::start(folder)? else {
        report.skip(rotel::MISSING);
        return Ok(());
    };
    report.version("Rotel", rotel.version.clone());
    let cost = socket::measure(&runtime, rotel.at(), Way::Grpc, arguments.sent)?;
    add(report, "Rotel, keeping nothing", "OTLP/gRPC", &cost);
    Ok(())
}

fn add(report: &mut Report, subject: &'static str, load: &str, cost: &Cost) {
    let rate = cost.spans as f64 / cost.wall.as_secs_f64();
    let figures = [
        ("CPU µs/span", cost.each()),
        ("spans/s", rate),
        ("MiB at the most", (cost.peak >> 20) as f64),
        ("sent again", cost.refused as f64),
    ];
    let figures = figures.into_iter().filter_map(|(unit, value)| Figure::of(unit, [value])).collect();
    report.row(Row { subject, load: load.to_owned(), figures });
}

/// Has a reader that knows nothing of us count.
fn compare(report: &mut Report, store: &Spans) -> Result<(), Failure> {
    progress("DuckDB");
    let Some(counts) = duckdb::count(&store.blocks())? else {
        report.skip(duckdb::MISSING);
        return Ok(());
    };
    report.version("DuckDB", counts.version.clone());
    let ours = store.stats().spans;
    report.note(format!(
        "DuckDB counts {} spans with {} ids in the blocks, {} of them with status 500; we count {ours} spans",
        counts.spans, counts.ids, counts.failed
    ));
    if counts.spans != ours {
        return Err("DuckDB counts other spans than we do".into());
    }
    Ok(())
}

struct Taken {
    spans: usize,
    traces: u64,
    otlp_bytes: f64,
}

fn take_in(report: &mut Report, store: &Spans, wanted: usize) -> Result<Taken, Failure> {
    let mut generator = Generator::new(7);
    let (mut spans, mut bytes, mut busy) = (0, 0, 0);
    let (mut decode, mut write, mut wall) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut peak = 0;
    let mut told = 0;
    let before = socket::by_thread(process::this())?;
    while spans < wanted {
        let requests: Vec<(Vec<u8>, usize)> =
            (0..REQUESTS_AT_ONCE).map(|_| generator.request(REQUEST_SPANS)).collect();
        let begin = clock::now();
        let mut waiting: VecDeque<(&(Vec<u8>, usize), Accept)> = VecDeque::new();
        let mut unsent: VecDeque<&(Vec<u8>, usize)> = requests.iter().collect();
        while let Some(sent) = unsent.pop_front() {
            let (request, count) = sent;
            let started = process::thread_cpu();
            let decoded = otlp::decode(request, &otlp::Limits::default())?;
            let at = process::thread_cpu();
            decode += at.saturating_sub(started);
            let mut writer = SpanWriter::default();
            decoded.batch.give(&mut writer);
            let received_at = Wall(BEGIN + generator.traces * PACE);
            let account = Account { received: *count as u64, received_at, ..Account::default() };
            waiting.push_back((sent, store.accept_written(account, writer)));
            write += process::thread_cpu().saturating_sub(at);
            // Several wait for the disk at a time, as those of several senders would.
            let most = if unsent.is_empty() { 0 } else { SENDERS };
            while waiting.len() > most
                && let Some((sent, accept)) = waiting.pop_front()
            {
                match accept.wait() {
                    Ok(_) => {}
                    Err(AcceptError::Busy) => {
                        busy += 1;
                        clock::pause(Duration::from_millis(20));
                        unsent.push_back(sent);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        spans += requests.iter().map(|(_, count)| count).sum::<usize>();
        bytes += requests.iter().map(|(request, _)| request.len()).sum::<usize>();
        wall += begin.elapsed();
        peak = peak.max(process::resident_bytes(std::process::id())?);
        if spans - told >= 500_000 {
            told = spans;
            progress(&format!("{spans} spans, {} MiB resident", peak >> 20));
        }
    }
    store.seal()?;
    let after = socket::by_thread(process::this())?;
    let of = |name: &str| {
        let time = |times: &BTreeMap<String, f64>| times.get(name).copied().unwrap_or(0.0);
        (time(&after) - time(&before)) / spans as f64
    };
    let each = |time: Duration| time.as_secs_f64() * 1e6 / spans as f64;
    let stages = [
        ("decode", each(decode)),
        ("write, compress", each(write)),
        ("journal", of("journal")),
        ("apply", of("spans")),
        ("seal", of("spans-seal")),
    ];
    let sum: f64 = stages.iter().map(|(_, time)| time).sum();
    for (stage, time) in stages {
        let figures = Figure::of("CPU µs/span", [time]).into_iter().collect();
        report.row(Row { subject: stage, load: "taken in".to_owned(), figures });
    }
    let rate = spans as f64 / wall.as_secs_f64();
    report.row(Row {
        subject: "all, without the network",
        load: "taken in".to_owned(),
        figures: [Figure::of("CPU µs/span", [sum]), Figure::of("spans/s", [rate])]
            .into_iter()
            .flatten()
            .collect(),
    });
    report.goal("spans a second and core, without the network", 1e6 / sum, Bound::AtLeast, SPANS_A_CORE);
    report.goal("resident MiB at the most, with the load's", (peak >> 20) as f64, Bound::AtMost, MEMORY_MIB);
    if busy > 0 {
        report.note(format!(
            "{busy} requests were sent again because sealing was behind; that costs time twice"
        ));
    }
    Ok(Taken { spans, traces: generator.traces, otlp_bytes: bytes as f64 / spans as f64 })
}

/// A question, what it may take in milliseconds, and whether it is asked of a cold page cache.
struct Question<'a> {
    name: &'static str,
    goal: f64,
    is_cold: bool,
    times: usize,
    ask: Box<dyn Fn(usize) -> usize + 'a>,
}

fn ask(report: &mut Report, store: &Spans, folder: &Path, traces: u64) -> Result<(), Failure> {
    let asked = AtomicU64::new(1);
    let any_trace = |_| {
        let number = asked.fetch_add(0x9e37_79b9, Ordering::Relaxed).wrapping_mul(0x2545_f491) % traces;
        let id = TraceId::new(Generator::trace_id(number));
        id.and_then(|id| store.trace(id)).map_or(0, |spans| spans.len())
    };
    let find = |query: Query| move |_| store.search(&query).traces.len();
    let place = || Query {
        service: Some("payments".into()),
        operation: Some("GET /payments/{order}".into()),
        min_duration_ns: Some(150_000_000),
        ..Query::default()
    };
    // Nothing takes as long, so that everything is looked at.
    let everything = || Query { min_duration_ns: Some(1 << 60), ..place() };
    let attribute = |key: &str, value: &str| {
        let value = Some(::traces::Value::from(value));
        Query { attributes: vec![AttributeCondition { key: key.into(), value }], ..Query::default() }
    };
    let question = |name, goal, is_cold, ask| Question { name, goal, is_cold, times: ASKED, ask };
    let look_up = |name, is_cold, ask| Question { name, goal: 20.0, is_cold, times: LOOKED_UP, ask };
    let questions = [
        look_up("trace by id, cold", true, Box::new(any_trace) as Box<dyn Fn(usize) -> usize>),
        look_up("trace by id, warm", false, Box::new(any_trace)),
        question("newest 20 by service, operation, duration", 15.0, false, Box::new(find(place()))),
        question("the same over everything", 250.0, false, Box::new(find(everything()))),
        question("the same over everything, cold", 250.0, true, Box::new(find(everything()))),
        question(
            "attribute, frequent key",
            300.0,
            false,
            Box::new(find(attribute("http.target", "/payments/none"))),
        ),
        question("attribute, rare key", 2_000.0, false, Box::new(find(attribute("debug.session", "none")))),
        question(
            "text that is nowhere",
            10_000.0,
            false,
            Box::new(find(Query { text: Some("nowhere-at-all".into()), ..Query::default() })),
        ),
    ];
    for Question { name, goal, is_cold, times, ask } in questions {
        progress(name);
        let (mut wall, mut cpu, mut reads, mut kib) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for at in 0..times {
            if is_cold {
                forget_pages(folder)?;
            }
            let before = process::own_reads()?;
            let (begin, started) = (clock::now(), process::own_cpu());
            ask(at);
            wall.push(begin.elapsed().as_secs_f64() * 1_000.0);
            cpu.push(process::own_cpu().saturating_sub(started).as_secs_f64() * 1_000.0);
            let after = process::own_reads()?;
            reads.push((after.0 - before.0).saturating_sub(OWN_READS) as f64);
            kib.push((after.1 - before.1) as f64 / 1_024.0);
        }
        wall.sort_by(f64::total_cmp);
        let worst = wall.get(times * 99 / 100).copied().unwrap_or(0.0);
        let figures = [("ms", wall), ("CPU ms", cpu), ("reads", reads), ("KiB read", kib)];
        let figures = figures.into_iter().filter_map(|(unit, values)| Figure::of(unit, values)).collect();
        report.row(Row { subject: "query", load: name.to_owned(), figures });
        report.goal(format!("{name}, ms (99th percentile of {times})"), worst, Bound::AtMost, goal);
    }
    Ok(())
}

/// Has the kernel forget what it holds of the files in this folder.
fn forget_pages(folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_pages(&entry.path())?;
            continue;
        }
        let file = fs::File::open(entry.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

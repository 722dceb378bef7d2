//! The same data and the same questions as a Prometheus that others wrote.
//!
//! The samples are given to it as a block that `promtool` makes; it is asked over HTTP, and our own evaluator is
//! asked in this process, both for the documents of the API. What differs by more than a billionth fails.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod questions;

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};

use monitoring::{
    promql::{Evaluator, Limits, Query, format_float, parse},
    series::{Head, Labels},
};
use questions::{BEGIN, Dice, Series, series, vector};
use serde_json::Value as Json;
use wire::prometheus::{Failure, query};

fn head(all: &[Series]) -> Head {
    let mut head = Head::default();
    for (name, labels, samples) in all {
        let pairs = labels.iter().map(|(name, value)| (*name, value.as_str()));
        let id = head.series(&Labels::new(pairs.chain([("__name__", *name)])));
        for (time, value) in samples {
            head.append(id, time * 1000, *value);
        }
    }
    head
}

/// The samples in the format from which `promtool` makes a block: a family at a time, of no type, so that any value
/// is allowed.
fn open_metrics(all: &[Series]) -> String {
    let mut text = String::new();
    let mut names: Vec<&str> = all.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        writeln!(text, "# TYPE {name} unknown").unwrap();
        for (_, labels, samples) in all.iter().filter(|(of, ..)| *of == name) {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            for (time, value) in samples {
                let value = format_float(*value, 1e-4, 1e21);
                writeln!(text, "{name}{{{}}} {value} {time}", labels.join(",")).unwrap();
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

/// A Prometheus that ends with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Prometheus {
    fn start(folder: &Path, all: &[Series]) -> Result<Self, String> {
        let (text, data) = (folder.join("samples.txt"), folder.join("data"));
        fs::write(&text, open_metrics(all)).unwrap();
        fs::write(folder.join("prometheus.yml"), "{}").unwrap();
        let mut promtool = Command::new("promtool");
        promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&text, &data]);
        let made = promtool.output();
        let made = made.map_err(|_| "promtool is not installed; cargo xtask test installs it".to_owned())?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.args(["--storage.tsdb.retention.time=100y", "--web.listen-address=127.0.0.1:0"]);
        command.arg("--log.level=error").current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self).map_err(|error| format!("prometheus cannot be run: {error}"))
    }

    /// Where it listens, which it tells nobody: the one socket of its own that does.
    fn address(&self) -> Option<SocketAddr> {
        let of = format!("/proc/{}", self.0.id());
        let own: Vec<String> = fs::read_dir(format!("{of}/fd"))
            .ok()?
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok()?.to_str().map(str::to_owned))
            .collect();
        let sockets = fs::read_to_string(format!("{of}/net/tcp")).ok()?;
        sockets.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let listens = *state == "0A" && own.contains(&format!("socket:[{inode}]"));
            let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
            listens.then(|| (Ipv4Addr::LOCALHOST, port).into())
        })
    }

    #[expect(clippy::disallowed_methods, reason = "waits for a condition, with a bound")]
    fn ready(&self) -> SocketAddr {
        for _ in 0..1_500 {
            if let Some(address) = self.address()
                && ask(address, "/-/ready", &[]).is_some_and(|(status, _)| status == 200)
            {
                return address;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("prometheus was never ready");
    }
}

/// The status and the body of an answer.
fn ask(address: SocketAddr, path: &str, form: &[(&str, &str)]) -> Option<(u16, String)> {
    let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let (body, method) = (body.join("&"), if form.is_empty() { "GET" } else { "POST" });
    let kind = "application/x-www-form-urlencoded";
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: {kind}\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn number(value: &Json) -> f64 {
    let text = |text: &str| text.trim_start_matches('+').parse().unwrap();
    value.as_str().map_or_else(|| value.as_f64().unwrap(), text)
}

fn near(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
}

fn points(of: &Json) -> Vec<(f64, f64)> {
    let one = |point: &Json| (number(&point[0]), number(&point[1]));
    match of["values"].as_array() {
        Some(values) => values.iter().map(one).collect(),
        None => vec![one(&of["value"])],
    }
}

/// Where two answers differ: the same series, in any order, with the same values.
fn difference(ours: &Json, theirs: &Json) -> Option<String> {
    let (our, their) = (ours["result"].as_array()?, theirs["result"].as_array()?);
    if ours["resultType"] != theirs["resultType"] || our.len() != their.len() {
        return Some(format!("{} series and {}", our.len(), their.len()));
    }
    for series in our {
        let Some(other) = their.iter().find(|other| other["metric"] == series["metric"]) else {
            return Some(format!("only we have {}", series["metric"]));
        };
        let (our, their) = (points(series), points(other));
        let mut pairs = our.iter().zip(&their);
        let first = pairs.find(|((t, a), (u, b))| t != u || !near(*a, *b));
        if our.len() != their.len() || first.is_some() {
            let metric = &series["metric"];
            return Some(format!("{metric}: {} points and {}, first {first:?}", our.len(), their.len()));
        }
    }
    None
}

/// A question: at a time, or from there on.
struct Asked<'a> {
    source: &'a str,
    start: i64,
    end: i64,
    step: Option<i64>,
}

impl Asked<'_> {
    fn ours(&self, head: &Head) -> Result<Json, String> {
        let flag = AtomicBool::new(false);
        let expr = parse(self.source).map_err(|error| Failure::expression("query", &error).message)?;
        let step = self.step.map(|step| step * 1000);
        let asked = Query { expr: &expr, start: self.start * 1000, end: self.end * 1000, step };
        let answer = Evaluator::new(head, Limits::default(), &flag).answer(asked);
        let document = query(&answer.map_err(|error| error.to_string())?);
        Ok(serde_json::from_str::<Json>(&document).unwrap()["data"].clone())
    }

    fn theirs(&self, address: SocketAddr) -> Result<Json, String> {
        let (start, end) = (self.start.to_string(), self.end.to_string());
        let step = self.step.map(|step| step.to_string());
        let (path, form) = match &step {
            None => ("/api/v1/query", vec![("query", self.source), ("time", start.as_str())]),
            Some(step) => {
                let times = [("start", start.as_str()), ("end", end.as_str()), ("step", step.as_str())];
                ("/api/v1/query_range", [("query", self.source)].into_iter().chain(times).collect())
            }
        };
        let (_, body) = ask(address, path, &form).unwrap();
        let document: Json = serde_json::from_str(&body).unwrap();
        match document["status"].as_str() {
            Some("success") => Ok(document["data"].clone()),
            _ => Err(document["error"].to_string()),
        }
    }
}

/// How both write a query.
fn written_otherwise(address: SocketAddr, source: &str) -> Option<String> {
    let (_, formatted) = ask(address, "/api/v1/format_query", &[("query", source)]).unwrap();
    let formatted: Json = serde_json::from_str(&formatted).unwrap();
    let pretty = parse(source).map(|expr| expr.pretty()).ok();
    let same = formatted["data"].as_str() == pretty.as_deref();
    (!same).then(|| format!("written {pretty:?}\n    and     {formatted}"))
}

#[test]
fn the_same_questions_have_the_same_answers_as_at_a_real_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let all = series();
    let prometheus = match Prometheus::start(folder.path(), &all) {
        Ok(prometheus) => prometheus,
        Err(why) => {
            println!(
                "skipped: the_same_questions_have_the_same_answers_as_at_a_real_prometheus because {why}"
            );
            return;
        }
    };
    let (address, head, rounds) = (prometheus.ready(), head(&all), 800);
    let (mut dice, mut failures, mut answered) = (Dice(7), Vec::new(), 0);
    for round in 0..rounds {
        let depth = dice.roll(4);
        let source = vector(&mut dice, depth);
        failures.extend(written_otherwise(address, &source).map(|why| format!("{source}\n    {why}")));
        let start = BEGIN + i64::try_from(dice.roll(1_500)).unwrap();
        let (end, step) = if round % 3 == 0 { (start, None) } else { (start + 400, Some(37)) };
        let asked = Asked { source: &source, start, end, step };
        let differs = match (asked.ours(&head), asked.theirs(address)) {
            (Ok(our), Ok(their)) => {
                answered += 1;
                difference(&our, &their)
            }
            (Err(_), Err(_)) => None,
            (our, their) => Some(format!("ours   {our:?}\n    theirs {their:?}")),
        };
        failures.extend(differs.map(|why| format!("{source} at {start} step {step:?}\n    {why}")));
    }
    assert!(failures.is_empty(), "{} of {rounds} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(answered > rounds / 2, "only {answered} have an answer at all");
}

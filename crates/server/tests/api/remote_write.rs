//! Samples of others: pushed by remote write, asked for by PromQL.

use std::{path::Path, time::Duration};

use http::Method;
use prost::Message;
use serde_json::{Value as Json, json};
use server::{Server, Settings};

use crate::{asking::*, report};

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

const HEADERS: &[(&str, &str)] =
    &[("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];

/// A series, and one sample of it for each value, a second apart and up to now.
fn series(labels: &[(&str, &str)], values: &[f64]) -> Series {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let label = |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    let first = now - 1000 * values.len() as i64;
    let times = (1..).map(|at| first + at * 1000);
    let sample = |(value, timestamp): (&f64, i64)| Sample { value: *value, timestamp };
    Series {
        labels: labels.iter().map(label).collect(),
        samples: values.iter().zip(times).map(sample).collect(),
    }
}

fn packed(series: Vec<Series>) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&Request { series }.encode_to_vec()).unwrap()
}

async fn write(server: &Server, body: Vec<u8>) -> u16 {
    send(server, Method::POST, "/api/v1/write", HEADERS, body).await.status().as_u16()
}

async fn found(server: &Server, query: &str) -> Json {
    get(server, &format!("/api/v1/query?query={query}")).await["data"]["result"].clone()
}

#[tokio::test]
async fn what_is_written_is_asked_for_beside_the_calls_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    server.channel().report(report(1)).await.unwrap();
    let sent = packed(vec![
        series(&[("__name__", "queue_length"), ("job", "a")], &[1.0, 2.0, 3.5]),
        series(&[("__name__", "queue_length"), ("job", "b")], &[4.0]),
    ]);
    assert_eq!(write(&server, sent.clone()).await, 204);
    assert_eq!(found(&server, "sum(queue_length)").await[0]["value"][1], "7.5");
    // What came in the first second of a slot has to wait for the second.
    let counted = async || found(&server, "sum(bellwether_calls_total)").await[0]["value"][1] == "1";
    until("the call is counted", async || counted().await.then_some(())).await;
    assert_eq!(write(&server, sent).await, 204, "sent again");
    let ledger = get(&server, "/bellwether/v1/ledger").await["samples"].clone();
    assert_eq!(ledger["dropped"]["duplicate"], 4, "{ledger}");
    server.shutdown().await;
    let server = start(folder.path()).await;
    assert_eq!(found(&server, "count(queue_length)").await[0]["value"][1], "2");
    assert_eq!(get(&server, "/bellwether/v1/ledger").await["samples"], ledger);
    let jobs = get(&server, "/api/v1/label/job/values").await;
    assert_eq!(jobs["data"], json!(["a", "b"]));
}

#[tokio::test]
async fn a_label_that_explodes_is_named_and_costs_nobody_else_a_series() {
    let folder = tempfile::tempdir().unwrap();
    let change = |settings: &mut Settings| settings.budgets.series_per_service = Some(10);
    let server = start_with(folder.path(), change).await;
    let of = |job: &str, user: &str| series(&[("__name__", "logins"), ("job", job), ("user", user)], &[1.0]);
    let many = (0..50).map(|user| of("shop/cart", &user.to_string()));
    assert_eq!(write(&server, packed(many.chain([of("calm", "one")]).collect())).await, 204);
    let sums = found(&server, "sum+by+(job)+(logins)").await;
    assert_eq!((&sums[0]["value"][1], &sums[1]["value"][1]), (&json!("1"), &json!("50")), "{sums}");
    let folded = found(&server, "logins%7Botel_metric_overflow=%22true%22%7D").await;
    assert_eq!(
        (&folded[0]["value"][1], folded.as_array().map(Vec::len)),
        (&json!("40"), Some(1)),
        "{folded}"
    );
    let budget = get(&server, "/api/v1/status/tsdb").await["data"]["seriesBudget"].clone();
    let exceeded = json!([{
        "service": "shop/cart", "series": 10, "foldedSamples": 40, "label": "user", "labelValues": 10,
    }]);
    assert_eq!(budget, json!({"perService": 10, "exceeded": exceeded}));
    let event = until("the event", async || {
        let events = get(&server, "/bellwether/v1/events?kind=server").await;
        events["events"].as_array()?.iter().find(|event| event["action"] == "series_folded").cloned()
    });
    let reason = "shop/cart has used up its budget of 10 series; the label user has 10 values; further ones are added up";
    assert_eq!(event.await["reason"], reason);
}

#[tokio::test]
async fn what_can_never_be_taken_is_refused_so_that_its_sender_drops_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    assert_eq!(write(&server, b"no snappy".to_vec()).await, 400);
    assert_eq!(write(&server, snap::raw::Encoder::new().compress_vec(b"\x0a\xff").unwrap()).await, 400);
    let mixed = vec![series(&[("job", "nameless")], &[1.0]), series(&[("__name__", "ok")], &[1.0])];
    assert_eq!(write(&server, packed(mixed)).await, 400);
    assert_eq!(found(&server, "ok").await[0]["value"][1], "1", "its neighbours are stored");
    let ledger = get(&server, "/bellwether/v1/ledger").await["samples"].clone();
    assert_eq!((&ledger["received"], &ledger["dropped"]["invalid_labels"]), (&json!(2), &json!(1)));
    let plain = &HEADERS[..1];
    let response = send(&server, Method::POST, "/api/v1/write", plain, "").await;
    assert_eq!(response.status(), 415);
    // 64 MiB of zeros in some three megabytes: refused by what it says of itself.
    let large = snap::raw::Encoder::new().compress_vec(&vec![0; 64 << 20]).unwrap();
    assert_eq!(write(&server, large).await, 413);
}

/// A Prometheus that scrapes our own figures and writes them to us.
fn prometheus(folder: &Path, server: &Server) -> Result<tokio::process::Child, String> {
    let address = server.local_addr().to_string();
    // JSON is YAML.
    let config = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "ours", "static_configs": [{"targets": [address]}]}],
        "remote_write": [{"url": format!("http://{address}/api/v1/write")}],
    });
    std::fs::write(folder.join("prometheus.yml"), config.to_string()).unwrap();
    let mut command = tokio::process::Command::new("prometheus");
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
    command.args(["--web.listen-address=127.0.0.1:0", "--log.level=error"]);
    command.stdin(std::process::Stdio::null()).current_dir(folder).kill_on_drop(true);
    command
        .spawn()
        .map_err(|error| format!("prometheus cannot be run: {error}; cargo xtask test installs it"))
}

#[tokio::test]
async fn a_prometheus_writes_what_it_scrapes() {
    let (folder, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(folder.path()).await;
    let mut process = match prometheus(theirs.path(), &server) {
        Ok(process) => process,
        Err(why) => return eprintln!("skipped: a_prometheus_writes_what_it_scrapes because {why}"),
    };
    let scraped = async {
        while found(&server, "up{job='ours'}==1").await[0].is_null() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), scraped).await.expect("it writes what it scrapes");
    let ledger = get(&server, "/bellwether/v1/ledger").await["samples"].clone();
    assert!(ledger["stored"].as_u64().unwrap() > 10, "{ledger}");
    process.kill().await.unwrap();
}

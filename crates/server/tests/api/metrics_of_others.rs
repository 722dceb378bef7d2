//! Metrics of senders that no one here wrote: the SDKs of OpenTelemetry for Python and Node, over each of their ways.

use std::process::Output;

use http::Method;
use serde_json::json;
use server::Server;

use crate::{
    asking::*,
    scraping::{becomes, query},
    scraping_of_others::{python, script, tools},
};

/// Runs a sender, or says why there is none.
async fn run(how: &str, server: &Server) -> Result<Output, String> {
    let address = server.local_addr().to_string();
    let (mut command, probe) = if how.starts_with("python") {
        let (mut command, mut probe) = (python(), python());
        command.arg(script("measure.py")).args([how, &address]);
        probe.args(["-c", "import opentelemetry.sdk.metrics"]);
        (command, probe)
    } else {
        let mut command = tokio::process::Command::new("node");
        command.arg(script("measure.mjs")).args([how, &address]).arg(tools("node-senders"));
        let mut probe = tokio::process::Command::new("node");
        probe.current_dir(tools("")).env("NODE_PATH", tools("node-senders/node_modules"));
        probe.args(["-e", "require('@opentelemetry/exporter-metrics-otlp-proto')"]);
        (command, probe)
    };
    let mut probe = probe;
    if !probe.output().await.is_ok_and(|output| output.status.success()) {
        return Err(format!("the sender {how} is not installed; cargo xtask test installs it"));
    }
    command.kill_on_drop(true).output().await.map_err(|error| error.to_string())
}

async fn is_understood(how: &str, server: &Server) -> Result<(), String> {
    let output = run(how, server).await?;
    assert!(output.status.success(), "{how}: {}", String::from_utf8_lossy(&output.stderr));
    for instance in ["cumulative", "delta"] {
        let of = format!("job=\"{how}\",instance=\"{instance}\"");
        for (series, wanted) in [
            (
                format!(
                    "jobs_total{{{of},queue_name=\"a\",otel_scope_name=\"sender\",otel_scope_version=\"1.2\"}}"
                ),
                "6",
            ),
            (format!("level_bytes{{{of}}}"), "-4"),
            (format!("heat_celsius{{{of}}}"), "21.5"),
            (format!("took_seconds_bucket{{{of},le=\"1\"}}"), "4"),
            (format!("took_seconds_count{{{of}}}"), "8"),
            (format!("took_seconds_sum{{{of}}}"), "111.1"),
            (format!("size_count{{{of}}}"), "6"),
            (format!("size_bucket{{{of},le=\"+Inf\"}}"), "6"),
            (format!("histogram_quantile(0.5, size_bucket{{{of}}}) > bool 1.5"), "1"),
            (format!("histogram_quantile(0.5, size_bucket{{{of}}}) < bool 4"), "1"),
            (format!("target_info{{{of},host_name=\"a\"}}"), "1"),
        ] {
            becomes(server, &series, wanted).await;
        }
        assert_eq!(query(server, &format!("jobs_total{{{of}}}")).await.len(), 1);
    }
    let known = get(server, "/api/v1/metadata?metric=jobs_total").await;
    assert_eq!(known["data"]["jobs_total"], json!([{"type": "counter", "help": "Jobs.", "unit": ""}]));
    let ledger = get(server, "/bellwether/v1/ledger").await;
    let samples = &ledger["samples"];
    let dropped: u64 = samples["dropped"].as_object().unwrap().values().map(|of| of.as_u64().unwrap()).sum();
    assert_eq!(
        samples["received"].as_u64().unwrap(),
        samples["stored"].as_u64().unwrap() + dropped,
        "{ledger}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_of_opentelemetry_for_python_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for how in ["python-grpc", "python-http"] {
        if let Err(why) = is_understood(how, &server).await {
            return println!("skipped: metrics_of_opentelemetry_for_python_are_understood because {why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_of_opentelemetry_for_node_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for how in ["node-grpc", "node-protobuf", "node-json"] {
        if let Err(why) = is_understood(how, &server).await {
            return println!("skipped: metrics_of_opentelemetry_for_node_are_understood because {why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_answered_as_partial_success_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos().to_string();
    let point = |time: &str| json!({"timeUnixNano": time, "asDouble": 1.5});
    let gauge = json!({"name": "a", "gauge": {"dataPoints": [point(&now), point("0")]}});
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [gauge]}]}]}).to_string();
    let headers = [("content-type", "application/json")];
    let (status, answer) = ask_as(&server, Method::POST, "/v1/metrics", &headers, body).await;
    assert_eq!(
        (status.as_u16(), &answer["partialSuccess"]["rejectedDataPoints"]),
        (200, &json!("1")),
        "{answer}"
    );
    becomes(&server, "a", "1.5").await;
    let ledger = get(&server, "/bellwether/v1/ledger").await;
    assert_eq!(ledger["samples"]["received"], 2, "{ledger}");
    assert_eq!(ledger["samples"]["dropped"]["no_time"], 1, "{ledger}");
    let (status, answer) =
        ask_as(&server, Method::POST, "/v1/metrics", &headers, "{\"resourceMetrics\":1}").await;
    assert_eq!(status, 400, "{answer}");
}

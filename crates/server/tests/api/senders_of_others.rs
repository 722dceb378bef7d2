//! Spans of senders that no one here wrote, found again with their types: the SDKs of OpenTelemetry for Python
//! and Node, py-zipkin and zipkin-js.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value as Json, json};
use server::Server;

use crate::asking::*;

fn tools(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools").join(name)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/senders").join(name)
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tools("python-senders"));
    command
}

/// Runs a sender, or says why there is none.
async fn run(how: &'static str, server: &Server) -> Result<Output, String> {
    let address = server.local_addr().to_string();
    let command = if how.starts_with("python") {
        let mut probe = python();
        probe.args(["-c", "import opentelemetry.sdk, py_zipkin"]).stderr(Stdio::null());
        if !probe.status().is_ok_and(|status| status.success()) {
            return Err("the senders for Python are not installed; cargo xtask test installs them".to_owned());
        }
        let mut command = python();
        command.arg(script("send.py")).args([how, &address]);
        command
    } else {
        let tools = tools("node-senders");
        if !tools.join("node_modules").exists() {
            return Err("the senders for Node are not installed; cargo xtask test installs them".to_owned());
        }
        let mut command = Command::new("node");
        command.arg(script("send.mjs")).args([how, &address]).arg(tools);
        command
    };
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command.output().await.map_err(|error| error.to_string())
}

/// What is found of the trace that a sender says it sent; or why there is no such sender.
async fn sent(how: &'static str, server: &Server) -> Result<Json, String> {
    let output = run(how, server).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{how}: {said}");
    let trace_id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let path = format!("/bellwether/v1/traces/{trace_id}");
    let trace = until("both spans are there", async || {
        let (status, trace) = ask(server, http::Method::GET, &path, "").await;
        (status == 200 && trace["spans"].as_array()?.len() == 2).then_some(trace)
    })
    .await;
    assert_eq!(trace["incomplete"], false, "{how}: {trace}");
    let [parent, child] = [&trace["spans"][0], &trace["spans"][1]];
    assert_eq!((&parent["operation"], &child["operation"]), (&json!("parent"), &json!("child")), "{trace}");
    assert_eq!((&parent["kind"], &child["kind"]), (&json!("server"), &json!("client")), "{trace}");
    assert_eq!(child["parent_span_id"], parent["span_id"]);
    assert_eq!(parent["service"], how);
    assert_eq!(parent["attributes"]["text"], "643");
    assert_eq!(child["status"], json!({ "code": "error", "message": "refused" }), "{trace}");
    assert_eq!(child["events"][0]["name"], "cache miss", "{trace}");
    let found = get(server, &format!("/bellwether/v1/traces?service={how}&errors=true")).await;
    assert_eq!(found["traces"][0]["trace_id"], trace_id, "{found}");
    Ok(trace)
}

fn types_are_kept(trace: &Json, double: f64) {
    let attributes = &trace["spans"][0]["attributes"];
    assert!(attributes["double"].is_f64(), "{attributes}");
    assert_eq!(attributes["double"], double);
    assert!(attributes["int"].is_u64(), "{attributes}");
    assert_eq!((&attributes["int"], &attributes["bool"]), (&json!(643), &json!(true)));
    assert!(attributes["list"][0].is_f64() && attributes["list"][1] == 2.5, "{attributes}");
}

async fn balances(server: &Server, spans: u64) {
    let ledger = get(server, "/bellwether/v1/ledger").await;
    assert_eq!((&ledger["spans"]["received"], &ledger["spans"]["stored"]), (&json!(spans), &json!(spans)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opentelemetry_for_python_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (at, how) in (1..).zip(["python-grpc", "python-http"]) {
        let trace = match sent(how, &server).await {
            Ok(trace) => trace,
            Err(why) => return println!("skipped: opentelemetry_for_python_is_understood because {why}"),
        };
        types_are_kept(&trace, 643.0);
        balances(&server, 2 * at).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opentelemetry_for_node_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (at, how) in (1..).zip(["node-grpc", "node-protobuf", "node-json"]) {
        let trace = match sent(how, &server).await {
            Ok(trace) => trace,
            Err(why) => return println!("skipped: opentelemetry_for_node_is_understood because {why}"),
        };
        types_are_kept(&trace, 643.5);
        balances(&server, 2 * at).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zipkin_for_python_and_for_node_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (at, how) in (1..).zip(["python-zipkin", "node-zipkin"]) {
        if let Err(why) = sent(how, &server).await {
            return println!("skipped: zipkin_for_python_and_for_node_is_understood because {why}");
        }
        balances(&server, 2 * at).await;
    }
}

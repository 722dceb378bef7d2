//! Targets that no one here wrote: prometheus_client for Python, prom-client for Node, and the exporter of nodes.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value as Json;
use server::{Instances, Server};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::oneshot,
};

use crate::{
    asking::*,
    scraping::{becomes, query, targets, value},
};

pub(crate) fn tools(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools").join(name)
}

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/senders").join(name)
}

pub(crate) fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tools("python-senders"));
    command
}

/// A process that exposes metrics until it is dropped.
struct Exporter {
    _process: Child,
    port: u16,
}

/// The number that some line of what a process says ends with, behind a mark. It is listened to until it ends, for
/// it may not go on where nobody listens.
async fn number(from: impl AsyncRead + Send + Unpin + 'static, mark: &'static str) -> Option<u16> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut tell, mut lines) = (Some(tell), BufReader::new(from).lines());
        while let Ok(Some(line)) = lines.next_line().await {
            let port = line.rsplit_once(mark).map_or(&*line, |(_, port)| port);
            if let Ok(port) = port.trim().trim_matches('"').parse()
                && let Some(tell) = tell.take()
            {
                let _ = tell.send(port);
            }
        }
    });
    told.await.ok()
}

impl Exporter {
    async fn start(mut command: Command, why: &str) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().map_err(|_| why.to_owned())?;
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let port = async {
            tokio::select! {
                Some(port) = number(out, "address=127.0.0.1:") => Some(port),
                Some(port) = number(err, "address=127.0.0.1:") => Some(port),
                else => None,
            }
        };
        let port = tokio::time::timeout(Duration::from_secs(20), port).await.ok().flatten();
        Ok(Self { _process: process, port: port.ok_or(why)? })
    }

    async fn python() -> Result<Self, String> {
        let mut command = python();
        command.arg(script("expose.py"));
        Self::start(command, "prometheus_client is not installed; cargo xtask test installs it").await
    }

    async fn node(form: &str) -> Result<Self, String> {
        let mut command = Command::new("node");
        command.arg(script("expose.mjs")).arg(tools("node-senders")).arg(form);
        Self::start(command, "prom-client is not installed; cargo xtask test installs it").await
    }

    async fn of_nodes() -> Result<Self, String> {
        let mut command = Command::new("prometheus-node-exporter");
        command.arg("--web.listen-address=127.0.0.1:0");
        Self::start(command, "prometheus-node-exporter is not installed; cargo xtask test installs it").await
    }

    async fn scraped(&self, data: &Path) -> Server {
        let text = format!(
            "scrape_configs: [{{job_name: own, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]",
            self.port
        );
        start_with(data, |settings| {
            settings.scrape.jobs = wire::scrape_config::read(&text).unwrap();
            settings.scrape.instances = Instances::Off;
        })
        .await
    }
}

/// What each of the clients was told to measure.
async fn is_understood(exporter: &Exporter, data: &Path) -> Server {
    let server = exporter.scraped(data).await;
    until("it was scraped", async || {
        let (active, _) = targets(&server).await;
        assert_eq!(active[0]["lastError"], "", "{active:?}");
        (active[0]["health"] == "up").then_some(())
    })
    .await;
    for (of, wanted) in [
        ("jobs_total{queue=\"a \\\"b\\\"\\n\\\\c\"}", "7"),
        ("level", "-2.5"),
        ("sum(took_seconds_bucket)", "10"),
        ("took_seconds_count{route=\"/\"}", "4"),
        ("took_seconds_sum", "55.55"),
        ("size_bytes_sum", "3"),
        ("histogram_quantile(0.5, took_seconds_bucket)", "1"),
    ] {
        becomes(&server, of, wanted).await;
    }
    server
}

/// The values and traces of the exemplars of buckets.
async fn exemplars(server: &Server) -> Vec<String> {
    let answer = get(server, "/api/v1/query_exemplars?query=sum(took_seconds_bucket)").await;
    let of = |series: &Json| {
        let le = series["seriesLabels"]["le"].as_str().unwrap().to_owned();
        let exemplars = series["exemplars"].as_array().unwrap().iter();
        let said =
            exemplars.map(move |one| format!("{le}: {} of {}", one["value"], one["labels"]["trace_id"]));
        said.collect::<Vec<_>>()
    };
    let mut found: Vec<_> = answer["data"].as_array().unwrap().iter().flat_map(of).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_client_is_understood() {
    match Exporter::python().await {
        Ok(exporter) => {
            let folder = tempfile::tempdir().unwrap();
            let server = is_understood(&exporter, folder.path()).await;
            let said = ["+Inf: \"50\"", "0.1: \"0.05\"", "1.0: \"0.5\"", "10.0: \"5\""];
            let said = said.map(|bucket| format!("{bucket} of \"abc\""));
            assert_eq!(exemplars(&server).await, said, "each once, however often it is scraped");
            server.shutdown().await;
        }
        Err(why) => println!("skipped: prometheus_client_is_understood because {why}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prom_client_is_understood_in_both_of_its_formats() {
    for form in ["text", "openmetrics"] {
        match Exporter::node(form).await {
            Ok(exporter) => {
                let folder = tempfile::tempdir().unwrap();
                is_understood(&exporter, folder.path()).await.shutdown().await;
            }
            Err(why) => println!("skipped: prom_client_is_understood_in_both_of_its_formats because {why}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nodes_exporter_is_understood_and_said_the_same_by_reference() {
    let exporter = match Exporter::of_nodes().await {
        Ok(exporter) => exporter,
        Err(why) => {
            println!("skipped: a_nodes_exporter_is_understood_and_said_the_same_by_reference because {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let server = exporter.scraped(folder.path()).await;
    becomes(&server, "up", "1").await;
    let scraped: usize = value(&server, "scrape_samples_scraped").await.parse().unwrap();
    assert!(scraped > 300, "{scraped}");
    assert!(!query(&server, "node_cpu_seconds_total{mode=\"idle\"}").await.is_empty());
    becomes(&server, "scrape_series_added < bool 50", "1").await;
    let kinds = get(&server, "/api/v1/metadata?metric=node_cpu_seconds_total").await;
    assert_eq!(kinds["data"]["node_cpu_seconds_total"][0]["type"], "counter", "{kinds}");
    server.shutdown().await;
}

//! A Prometheus that others wrote finds its targets by `http_sd`, and scrapes them.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod support;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value as Json, json};
use support::{Ended, Process, bellwether, get, request, text, until};

/// A Prometheus on a port that it was given by the system.
struct Prometheus {
    process: Ended,
}

impl Prometheus {
    /// Starts one that does this job; or says why there is none.
    fn start(folder: &Path, job: &Json) -> Result<Self, String> {
        let version = Command::new("prometheus").arg("--version").output();
        let version = version.map_err(|_| "prometheus is not installed; cargo xtask test installs it")?;
        if !version.status.success() {
            return Err("prometheus does not run".to_owned());
        }
        let config = folder.join("prometheus.yml");
        let scrapes = json!({"scrape_interval": "1s", "scrape_timeout": "1s"});
        fs::write(&config, json!({"global": scrapes, "scrape_configs": [job]}).to_string()).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", text(&config)));
        command.arg(format!("--storage.tsdb.path={}", text(&folder.join("prometheus"))));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.level=error"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir(folder);
        let process = command.spawn().map_err(|error| format!("prometheus cannot be run: {error}"))?;
        Ok(Self { process: Ended(process) })
    }

    /// Where it listens, which it tells nobody: the one socket of its own that does.
    fn address(&self) -> Option<SocketAddr> {
        let of = format!("/proc/{}", self.process.0.id());
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

    /// The value of an expression that means one series, and its labels.
    fn value(&self, query: &str) -> Option<(String, Json)> {
        let path = format!("GET /api/v1/query?query={query} HTTP/1.1");
        let answer: Json = serde_json::from_str(&request(self.address()?, &path, "").ok()?.body).ok()?;
        let [one] = answer["data"]["result"].as_array()?.as_slice() else { return None };
        Some((one["value"][1].as_str()?.to_owned(), one["metric"].clone()))
    }

    /// A target of a service, once it was scraped.
    fn target(&self, service: &str) -> Option<Json> {
        let answer = request(self.address()?, "GET /api/v1/targets HTTP/1.1", "").ok()?;
        let found: Json = serde_json::from_str(&answer.body).ok()?;
        let targets = found["data"]["activeTargets"].as_array()?;
        let scraped = |of: &&Json| of["labels"]["service"] == service && of["health"] != "unknown";
        targets.iter().find(scraped).cloned()
    }
}

/// Asks a control plane for its targets.
fn targets_of(control: SocketAddr) -> Json {
    let targets = format!("http://{control}/bellwether/v1/namespaces/default/http_sd");
    json!({
        "job_name": "services",
        "http_sd_configs": [{"url": targets, "refresh_interval": "1s"}],
        "relabel_configs": [
            {"source_labels": ["__meta_bellwether_service"], "target_label": "service"},
            {"source_labels": ["__meta_bellwether_status"], "target_label": "status"},
            {"action": "labelmap", "regex": "__meta_bellwether_metadata_(team)"},
        ],
    })
}

fn put(control: SocketAddr, service: &str, body: &Json) {
    let path = format!("/bellwether/v1/namespaces/default/services/{service}/instances/{service}-1");
    let answer = request(control, &format!("PUT {path} HTTP/1.1"), &body.to_string()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[test]
fn a_prometheus_scrapes_what_it_is_told_of_and_counts_among_those_who_may_call() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&["server", "--data", text(&data), "--listen", "127.0.0.1:0"]);
    let control = server.address("listen");
    let prometheus = match Prometheus::start(folder.path(), &targets_of(control)) {
        Ok(prometheus) => prometheus,
        Err(why) => {
            println!(
                "skipped: a_prometheus_scrapes_what_it_is_told_of_and_counts_among_those_who_may_call because {why}"
            );
            return;
        }
    };
    // Our own metrics are some that a Prometheus has to be able to read.
    let (address, port) = (control.ip().to_string(), control.port());
    put(control, "bellwether", &json!({"address": address, "port": port, "metadata": {"team": "platform"}}));
    let elsewhere = json!({"prometheus.io/path": "healthz", "prometheus.io/port": port.to_string()});
    put(control, "elsewhere", &json!({"address": address, "port": 1, "metadata": elsewhere}));
    put(
        control,
        "hidden",
        &json!({"address": address, "port": port, "metadata": {"prometheus.io/scrape": "false"}}),
    );

    let ours = until("our metrics were scraped", || {
        prometheus.target("bellwether").filter(|target| target["health"] == "up")
    });
    let labels = &ours["labels"];
    assert_eq!((&labels["team"], &labels["status"]), (&json!("platform"), &json!("up")), "{ours}");
    assert_eq!(
        (&ours["scrapeUrl"], &ours["lastError"]),
        (&json!(format!("http://{control}/metrics")), &json!(""))
    );
    let elsewhere = until("what is elsewhere was asked", || prometheus.target("elsewhere"));
    assert_eq!(elsewhere["scrapeUrl"], format!("http://{control}/healthz"), "{elsewhere}");
    assert_eq!(prometheus.target("hidden"), None);

    let service = "/bellwether/v1/namespaces/default/services/bellwether/instances/bellwether-1";
    let drain = format!("POST {service}/drain HTTP/1.1");
    let receipt = request(control, &drain, r#"{"timeout":"0","force":true}"#).unwrap().json();
    let [who] = receipt["subscribers"].as_array().unwrap().as_slice() else {
        panic!("somebody, and nobody else, stands in the way: {receipt}");
    };
    assert_eq!((&receipt["safe"], &who["kind"]), (&json!(false), &json!("poll")), "{receipt}");
    assert_eq!(who["state"], "unacknowledged");
    until("the drain is seen", || {
        prometheus.target("bellwether").filter(|target| target["labels"]["status"] == "draining")
    });
    request(control, &format!("DELETE {service} HTTP/1.1"), "").unwrap();
    until("what has gone is no target any more", || prometheus.target("bellwether").is_none().then_some(()));
    assert_eq!(get(control, "/bellwether/v1/namespaces/default/http_sd").as_array().unwrap().len(), 1);
}

#[test]
fn a_prometheus_federates_from_us() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = bellwether(&["server", "--data", text(&data), "--listen", "127.0.0.1:0", "-o", "json"]);
    command.env("BELLWETHER_SCRAPE", "annotated").env("BELLWETHER_SCRAPE_INTERVAL", "1s");
    let server = Process::spawn(command);
    let control = server.address("listen");
    let job = json!({
        "job_name": "federate",
        "honor_labels": true,
        "metrics_path": "/federate",
        "params": {"match[]": ["up", "{__name__=~\"bellwether_registry_.*\"}"]},
        "static_configs": [{"targets": [control.to_string()]}],
    });
    let prometheus = match Prometheus::start(folder.path(), &job) {
        Ok(prometheus) => prometheus,
        Err(why) => return println!("skipped: a_prometheus_federates_from_us because {why}"),
    };
    // We scrape ourselves, and the other one takes it over with the labels that we gave it.
    let (address, port) = (control.ip().to_string(), control.port());
    let ours = json!({"address": address, "port": port, "metadata": {"prometheus.io/scrape": "true"}});
    put(control, "bellwether", &ours);
    let query = "up%7Bservice=%22bellwether%22%7D";
    let (value, labels) = until("our samples were taken over", || prometheus.value(query));
    assert_eq!(value, "1");
    let expected = json!({
        "__name__": "up", "instance": "bellwether-1", "job": "bellwether", "namespace": "default",
        "service": "bellwether",
    });
    assert_eq!(labels, expected);
    until("ours are there as well", || {
        prometheus.value("count(%7B__name__=~%22bellwether_registry_.*%22%7D%20%3E=%200)")
    });
}

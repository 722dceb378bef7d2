//! What is scraped: instances unasked, targets of a configuration, and what becomes of their series.

use std::{
    fmt::Write as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use serde_json::{Value as Json, json};
use server::{Instances, Server, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::asking::*;

/// A target whose answer can be changed, and which remembers what it was asked.
struct Exposed {
    port: u16,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

const TEXT: &str = "content-type: text/plain; version=0.0.4";
const OPEN_METRICS: &str = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Exposed {
    async fn start(head: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let exposed = Self { port, answer: Arc::default(), asked: Arc::default() };
        exposed.answers(head, body);
        let (answer, asked) = (exposed.answer.clone(), exposed.asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, asked) = (answer.clone(), asked.clone());
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        request.push(byte);
                    }
                    asked.lock().unwrap().push(String::from_utf8(request).unwrap());
                    let answer = answer.lock().unwrap().clone();
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        exposed
    }

    fn answers(&self, head: &str, body: &str) {
        self.answers_bytes(head, body.as_bytes());
    }

    fn answers_bytes(&self, head: &str, body: &[u8]) {
        let (status, head) = head.split_once('|').unwrap_or(("200 OK", head));
        let mut answer =
            format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend(body);
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn scraping(data: &Path, change: impl FnOnce(&mut Settings)) -> Server {
    start_with(data, |settings| {
        settings.scrape.interval = Duration::from_millis(200);
        change(settings);
    })
    .await
}

/// A configuration of one job, beside which no instance is asked.
fn job(settings: &mut Settings, port: u16, rest: &str) {
    let text = format!(
        "scrape_configs: [{{job_name: own, scrape_interval: 200ms, static_configs: [{{targets: ['127.0.0.1:{port}'], \
         labels: {{team: a}}}}] {rest}}}]"
    );
    settings.scrape.jobs = wire::scrape_config::read(&text).unwrap();
    settings.scrape.instances = Instances::Off;
}

async fn register(server: &Server, port: u16, metadata: Json) {
    register_at(HELLO_1, server, port, metadata).await;
}

async fn register_at(path: &str, server: &Server, port: u16, metadata: Json) {
    let body = json!({"address": "127.0.0.1", "port": port, "metadata": metadata}).to_string();
    let (status, answer) = ask(server, Method::PUT, path, body).await;
    assert_eq!(status, 201, "{answer}");
}

/// The series of an instant query, with their values.
pub(crate) async fn query(server: &Server, query: &str) -> Vec<(Json, String)> {
    let query: String = query.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").unwrap();
        text
    });
    let found = get(server, &format!("/api/v1/query?query={query}")).await;
    let series = found["data"]["result"].as_array().unwrap();
    series.iter().map(|of| (of["metric"].clone(), of["value"][1].as_str().unwrap().to_owned())).collect()
}

/// The value of the one series, once there is one.
pub(crate) async fn value(server: &Server, of: &str) -> String {
    until(of, async || match query(server, of).await.as_slice() {
        [(_, value)] => Some(value.clone()),
        _ => None,
    })
    .await
}

pub(crate) async fn becomes(server: &Server, of: &str, wanted: &str) {
    until(of, async || (value(server, of).await == wanted).then_some(())).await;
}

pub(crate) async fn targets(server: &Server) -> (Vec<Json>, Vec<Json>) {
    let found = get(server, "/api/v1/targets").await;
    let all = |key: &str| found["data"][key].as_array().unwrap().clone();
    (all("activeTargets"), all("droppedTargets"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_instances_that_say_nothing_no_more_are_asked_than_there_is_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |id: u8| HELLO_1.replace("hello-1", &format!("hello-{id}"));
    let [first, second, told] = [(); 3].map(|()| Exposed::start(TEXT, "# TYPE jobs gauge\njobs 7\n"));
    let (first, second, told) = (first.await, second.await, told.await);
    let start = || scraping(folder.path(), |settings| settings.scrape.untold = 1);
    let server = start().await;
    register_at(&at(1), &server, first.port, json!({})).await;
    register_at(&at(2), &server, second.port, json!({})).await;
    register_at(&at(3), &server, told.port, json!({"prometheus.io/scrape": "true"})).await;
    let asked_again = async || {
        let before = (first.asked().len(), told.asked().len());
        let more = || first.asked().len() > before.0 + 1 && told.asked().len() > before.1 + 1;
        until("both are asked again", async || more().then_some(())).await;
    };
    asked_again().await;
    assert_eq!(second.asked(), [""; 0], "there is no room for it");
    server.shutdown().await;

    let server = start().await;
    asked_again().await;
    assert_eq!(second.asked(), [""; 0], "nor is there after a restart");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_measured_without_being_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let body = "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total{service=\"own\",q=\"a\"} 7\n";
    let exposed = Exposed::start(TEXT, body).await;
    let server = scraping(folder.path(), |_| {}).await;
    register(&server, exposed.port, json!({})).await;

    assert_eq!(value(&server, "jobs_total").await, "7");
    let (labels, _) = query(&server, "jobs_total").await.remove(0);
    let expected = json!({
        "__name__": "jobs_total", "exported_service": "own", "instance": "hello-1", "job": "hello",
        "namespace": "default", "q": "a", "service": "hello",
    });
    assert_eq!(labels, expected);
    for (series, wanted) in [
        ("up{job=\"hello\",instance=\"hello-1\"}", "1"),
        ("scrape_samples_scraped", "1"),
        ("scrape_samples_post_metric_relabeling", "1"),
        ("scrape_duration_seconds < bool 5", "1"),
    ] {
        assert_eq!(value(&server, series).await, wanted, "{series}");
    }
    becomes(&server, "scrape_series_added", "0").await;

    let (active, dropped) = targets(&server).await;
    assert_eq!((active.len(), dropped.len()), (1, 0));
    let target = &active[0];
    assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")), "{target}");
    assert_eq!(target["scrapeUrl"], format!("http://127.0.0.1:{}/metrics", exposed.port));
    assert_eq!((&target["scrapeInterval"], &target["scrapePool"]), (&json!("200ms"), &json!("registry")));
    assert_eq!(target["discoveredLabels"]["__meta_bellwether_service"], "hello");
    let known = get(&server, "/api/v1/metadata?metric=jobs_total").await;
    let jobs = json!({"jobs_total": [{"type": "counter", "help": "Jobs.", "unit": ""}]});
    assert_eq!(known["data"], jobs);
    let asked = exposed.asked().remove(0).to_ascii_lowercase();
    assert!(asked.starts_with("get /metrics http/1.1") && asked.contains("openmetrics-text"), "{asked}");
    let ledger = get(&server, "/bellwether/v1/ledger").await;
    assert_eq!(ledger["samples"]["received"], ledger["samples"]["stored"], "{ledger}");

    let (status, _) = ask(&server, Method::DELETE, HELLO_1, "").await;
    assert_eq!(status, 204);
    until("what has gone is stale at once", async || {
        (query(&server, "{job=\"hello\"}").await.is_empty() && targets(&server).await.0.is_empty())
            .then_some(())
    })
    .await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_says_where_metrics_are_or_that_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let exposed = Exposed::start(TEXT, "a 1\n").await;
    let server = scraping(folder.path(), |_| {}).await;
    let port = exposed.port.to_string();
    register(&server, 1, json!({"prometheus.io/port": port, "prometheus.io/path": "stats"})).await;
    assert_eq!(value(&server, "a").await, "1");
    assert!(exposed.asked()[0].starts_with("GET /stats "));

    let hide = json!({"address": "127.0.0.1", "port": 1, "metadata": {"prometheus.io/scrape": "false"}});
    ask(&server, Method::PUT, HELLO_1, hide.to_string()).await;
    until("nothing is asked", async || targets(&server).await.0.is_empty().then_some(())).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_metrics_is_not_down_unless_somebody_says_that_there_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let exposed = Exposed::start("404 Not Found|x: y", "nothing here").await;
    let server = scraping(folder.path(), |_| {}).await;
    register(&server, exposed.port, json!({})).await;
    until("it was asked", async || (!exposed.asked().is_empty()).then_some(())).await;
    until("it is shown", async || {
        let (active, dropped) = targets(&server).await;
        (active.is_empty() && dropped.len() == 1).then_some(())
    })
    .await;
    assert!(query(&server, "up").await.is_empty());

    let told = json!({"prometheus.io/scrape": "true"});
    let body = json!({"address": "127.0.0.1", "port": exposed.port, "metadata": told}).to_string();
    ask(&server, Method::PUT, HELLO_1, body).await;
    becomes(&server, "up", "0").await;
    let (active, _) = targets(&server).await;
    assert_eq!(
        (&active[0]["health"], &active[0]["lastError"]),
        (&json!("down"), &json!("it answered 404 Not Found"))
    );
    exposed.answers(TEXT, "a 1\n");
    becomes(&server, "up", "1").await;
    exposed.answers(TEXT, "a one\n");
    becomes(&server, "up", "0").await;
    assert!(query(&server, "a").await.is_empty(), "a scrape that fails ends all series");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_that_is_not_said_any_more_is_stale_and_may_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let body = "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n# EOF\n";
    let exposed = Exposed::start(OPEN_METRICS, body).await;
    let server = scraping(folder.path(), |settings| job(settings, exposed.port, "")).await;
    becomes(&server, "count(a)", "2").await;
    exposed.answers(OPEN_METRICS, "# TYPE a gauge\na{x=\"2\"} 3\n# EOF\n");
    becomes(&server, "count(a)", "1").await;
    assert_eq!(value(&server, "a").await, "3");
    exposed.answers(OPEN_METRICS, body);
    becomes(&server, "count(a)", "2").await;
    assert_eq!(query(&server, "a{team=\"a\",job=\"own\"}").await.len(), 2);
    // What is cut off is erroneous as a whole.
    exposed.answers(OPEN_METRICS, "# TYPE a gauge\na{x=\"1\"} 1\n");
    becomes(&server, "up", "0").await;
    assert!(query(&server, "a").await.is_empty());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_relabels_limits_and_honours() {
    let folder = tempfile::tempdir().unwrap();
    let exposed = Exposed::start(TEXT, "a{job=\"theirs\",x=\"1\"} 1 1000\nb 2\ngo_c 3\n").await;
    let rest = ", honor_labels: true, honor_timestamps: false, metric_relabel_configs: [\
                {source_labels: [__name__], regex: 'go_.*', action: drop}, {regex: x, action: labeldrop}]";
    let server = scraping(folder.path(), |settings| job(settings, exposed.port, rest)).await;
    assert_eq!(value(&server, "a").await, "1");
    let (labels, _) = query(&server, "a").await.remove(0);
    let instance = format!("127.0.0.1:{}", exposed.port);
    assert_eq!(labels, json!({"__name__": "a", "instance": instance, "job": "theirs", "team": "a"}));
    assert_eq!(value(&server, "scrape_samples_scraped").await, "3");
    assert_eq!(value(&server, "scrape_samples_post_metric_relabeling").await, "2");
    server.shutdown().await;

    for (rest, why) in [
        (", sample_limit: 2", "there are 3 samples, and 2 are the most"),
        (", body_size_limit: 10B", "the answer has more than 10B"),
        (", scrape_timeout: 100ms, metrics_path: /slow", "no whole answer within 100ms"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = if rest.contains("slow") { silent.local_addr().unwrap().port() } else { exposed.port };
        let server = scraping(folder.path(), |settings| job(settings, port, rest)).await;
        becomes(&server, "up", "0").await;
        let (active, _) = targets(&server).await;
        assert_eq!(active[0]["lastError"], why);
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compressed_is_inflated_within_the_limit() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let exposed = Exposed::start(TEXT, "").await;
    let head = format!("{TEXT}\r\ncontent-encoding: gzip");
    exposed.answers_bytes(&head, &gzip("a 1\n"));
    let rest = ", body_size_limit: 1kB";
    let server = scraping(folder.path(), |settings| job(settings, exposed.port, rest)).await;
    assert_eq!(value(&server, "a").await, "1");
    exposed.answers_bytes(&head, &gzip(&"a 1\n".repeat(1_000)));
    becomes(&server, "up", "0").await;
    assert_eq!(targets(&server).await.0[0]["lastError"], "the answer has more than 1kB");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_forbidden_is_dialled_and_no_redirect_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (exposed, elsewhere) = (Exposed::start(TEXT, "a 1\n").await, Exposed::start(TEXT, "a 1\n").await);
    exposed.answers(&format!("302 Found|location: http://127.0.0.1:{}/metrics", elsewhere.port), "");
    let server = scraping(folder.path(), |settings| job(settings, exposed.port, "")).await;
    becomes(&server, "up", "0").await;
    assert!(
        targets(&server).await.0[0]["lastError"].as_str().unwrap().contains("redirects are not followed")
    );
    server.shutdown().await;

    for (networks, address) in [
        ("10.0.0.0/8", format!("127.0.0.1:{}", elsewhere.port)),
        ("0.0.0.0/0", "169.254.169.254:80".to_owned()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "scrape_configs: [{{job_name: a, scrape_interval: 200ms, static_configs: [{{targets: ['{address}']}}]}}]"
        );
        let server = scraping(folder.path(), |settings| {
            settings.networks = networks.parse().unwrap();
            settings.scrape.jobs = wire::scrape_config::read(&text).unwrap();
        })
        .await;
        becomes(&server, "up", "0").await;
        server.shutdown().await;
    }
    assert!(elsewhere.asked().is_empty());
}

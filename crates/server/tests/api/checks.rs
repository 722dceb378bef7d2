//! Instances that are asked whether they are healthy.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
};

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use server::Server;

use crate::asking::*;

/// A target that answers every request with a status that can be changed; its port.
async fn target(status: Arc<AtomicU16>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move || {
        let status = StatusCode::from_u16(status.load(Relaxed)).unwrap();
        async move { status }
    };
    let app = axum::Router::new().route("/healthz", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    port
}

async fn until_it_is(server: &Server, status: &str) -> Json {
    until(status, async || Some(get(server, HELLO_1).await).filter(|i| i["status"] == status)).await
}

#[tokio::test]
async fn an_instance_with_a_check_starts_passes_fails_with_the_reason_and_passes_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let status = Arc::new(AtomicU16::new(200));
    let port = target(status.clone()).await;
    let check = json!({"http":"/healthz","interval":"500ms","failure_threshold":2});
    let body = json!({"address":"127.0.0.1","port":port,"checks":[check]}).to_string();
    let (code, registered) = ask(&server, Method::PUT, HELLO_1, &body).await;
    assert_eq!(code, 201, "{registered}");
    let instance = until_it_is(&server, "up").await;
    assert_eq!(
        (&instance["health"], &instance["checks"][0]["verdict"]),
        (&json!("passing"), &json!("passing"))
    );

    status.store(500, Relaxed);
    let instance = until_it_is(&server, "down").await;
    let why = "it answered 500 Internal Server Error";
    assert_eq!(instance["health"], "failing");
    assert_eq!(instance["checks"][0]["why"], why);
    assert_eq!(instance["reason"], format!("check http /healthz fails: {why}"));
    status.store(204, Relaxed);
    until_it_is(&server, "up").await;

    let told = until("the events of it", async || {
        let events = get(&server, "/bellwether/v1/events?kind=instance").await;
        let told = events["events"].as_array()?.iter().map(|event| event["action"].as_str());
        let mut told = told.collect::<Option<Vec<_>>>()?.iter().map(|&a| a.to_owned()).collect::<Vec<_>>();
        told.sort();
        (told.len() == 4).then_some(told)
    });
    assert_eq!(told.await, ["check_failed", "check_passed", "check_passed", "registered"]);
    let metrics = send(&server, Method::GET, "/metrics", &[], "").await;
    let metrics = metrics.into_body().collect().await.unwrap().to_bytes();
    let metrics = String::from_utf8_lossy(&metrics);
    for line in [r#"bellwether_checks_total{protocol="http",result="failed"}"#, "bellwether_checks 1"] {
        assert!(metrics.contains(line), "{line}");
    }
    server.shutdown().await;
}

/// The health server that the gRPC project ships for Python. It says its port, and then takes a status
/// for each line: the number of a status for the server as a whole.
const GRPC_SERVER: &str = r#"
import sys
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2_grpc
server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
for line in sys.stdin:
    servicer.set("", int(line))
    servicer.set("shop.Cart", int(line))
    print("set", flush=True)
server.stop(None)
"#;

/// A program that ends with the test.
struct GrpcServer {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl GrpcServer {
    /// The server and its port; or why there is none.
    fn start() -> Result<(Self, u16), String> {
        let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/grpc-health");
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", tools).args(["-c", GRPC_SERVER]);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = python.spawn().map_err(|error| format!("python3 cannot be run: {error}"))?;
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, commands, answers };
        match server.answer().parse() {
            Ok(port) => Ok((server, port)),
            Err(_) => Err("grpcio-health-checking is not installed; cargo xtask test installs it".to_owned()),
        }
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// 1 is SERVING, 2 is NOT_SERVING.
    fn say(&mut self, status: u8) {
        writeln!(self.commands, "{status}").unwrap();
        assert_eq!(self.answer(), "set");
    }
}

#[tokio::test]
async fn a_grpc_server_of_others_passes_and_fails_by_what_it_says() {
    let (mut grpc, port) = match GrpcServer::start() {
        Ok(started) => started,
        Err(why) => {
            println!("skipped: a_grpc_server_of_others_passes_and_fails_by_what_it_says because {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    grpc.say(2);
    let of = |service: &str| json!({"grpc":service,"interval":"1s","failure_threshold":1});
    let checks = json!([of(""), of("shop.Cart")]);
    let body = json!({"address":"127.0.0.1","port":port,"checks":checks}).to_string();
    let (code, registered) = ask(&server, Method::PUT, HELLO_1, &body).await;
    assert_eq!(code, 201, "{registered}");
    let instance = until_it_is(&server, "down").await;
    assert!(instance["reason"].as_str().unwrap().ends_with(" fails: it says NOT_SERVING"), "{instance}");
    grpc.say(1);
    until_it_is(&server, "up").await;
    grpc.say(2);
    until_it_is(&server, "down").await;
    server.shutdown().await;
}

//! The API from outside, over real sockets. Each test's name is the claim.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::{net::TcpListener, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use identity::{SpanId, TraceId, Wall};
use monitoring::{CallKey, ExponentialHistogram, Outcome, Reporter, StatusClass};
use resilience::{Counts, State};
use serde_json::{Value as Json, json};
use server::{Server, Settings};
use traces::{Attributes, Kind, Resource, Span};
use wire::native::channel::{Hello, Intake, Report, Transition};

const HELLO: &str = "/bellwether/v1/namespaces/default/services/hello";
const HELLO_1: &str = "/bellwether/v1/namespaces/default/services/hello/instances/hello-1";

async fn start(data: &Path) -> Server {
    start_with(data, |_| {}).await
}

async fn start_with(data: &Path, change: impl FnOnce(&mut Settings)) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut settings = Settings::new(listener, data.to_path_buf());
    change(&mut settings);
    Server::start(settings).await.unwrap()
}

async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response<Incoming> {
    let address = server.local_addr();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    sender.send_request(request.body(body).unwrap()).await.unwrap()
}

async fn ask(server: &Server, method: Method, path: &str, body: &str) -> (StatusCode, Json) {
    ask_as(server, method, path, &[], body).await
}

async fn ask_as(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, Json) {
    let response = send(server, method, path, headers, body).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

async fn get(server: &Server, path: &str) -> Json {
    let (status, body) = ask(server, Method::GET, path, "").await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Reads a stream of server-sent events until `wanted` of them came.
async fn events(response: Response<Incoming>, wanted: usize) -> Vec<(String, Json)> {
    let mut body = response.into_body();
    let mut text = String::new();
    let mut seen = Vec::new();
    while seen.len() < wanted {
        let frame = body.frame().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(name), Some(data)) = (field("event:"), field("data:")) {
                seen.push((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
            text = rest.to_owned();
        }
    }
    seen
}

/// Waits until a condition holds that another task brings about.
async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test]
async fn an_instance_registers_is_found_keeps_its_lease_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let body = r#"{"address":"10.0.0.7","port":8080,"ttl":"15s","version":"1.4.2","metadata":{"k":"v"}}"#;
    let (status, registered) = ask(&server, Method::PUT, HELLO_1, body).await;
    assert_eq!(status, 201, "{registered}");
    let lease = registered["lease_id"].as_str().unwrap();
    let (status, again) = ask_as(&server, Method::PUT, HELLO_1, &[("if-match", lease)], body).await;
    assert_eq!((status.as_u16(), &again["revision"], &again["lease_id"]), (200, &json!(1), &json!(lease)));

    let found = get(&server, HELLO).await;
    assert_eq!(found["instances"][0]["status"], "up");
    assert_eq!(found["instances"][0]["health"], "unchecked");
    assert_eq!(found["instances"][0]["port"], 8080);
    assert_eq!(get(&server, &format!("{HELLO}?status=down")).await["instances"], json!([]));
    assert_eq!(get(&server, &format!("{HELLO}/owner?key=k")).await["instance"]["id"], "hello-1");

    let beat = format!("{HELLO_1}/heartbeat");
    assert_eq!(
        ask_as(&server, Method::POST, &beat, &[("if-match", &format!("\"{lease}\""))], "").await.0,
        204
    );
    assert_eq!(ask(&server, Method::POST, &beat, &format!(r#"{{"lease_id":"{lease}"}}"#)).await.0, 204);
    let (status, stale) =
        ask_as(&server, Method::DELETE, HELLO_1, &[("if-match", "00000000000000ff")], "").await;
    assert_eq!((status.as_u16(), &stale["code"]), (409, &json!("BW-1103")));
    assert_eq!(ask_as(&server, Method::DELETE, HELLO_1, &[("if-match", lease)], "").await.0, 204);
    let (status, gone) = ask(&server, Method::GET, HELLO, "").await;
    assert_eq!((status.as_u16(), &gone["code"]), (404, &json!("BW-1101")));
    let (status, gone) = ask(&server, Method::POST, &beat, "").await;
    assert_eq!((status.as_u16(), &gone["code"]), (404, &json!("BW-1102")));
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let path = format!("{HELLO_1}?dry_run=true");
    let (status, _) = ask(&server, Method::PUT, &path, r#"{"address":"10.0.0.7","port":1}"#).await;
    assert_eq!(status, 201);
    assert_eq!(ask(&server, Method::GET, HELLO, "").await.0, 404);
}

#[tokio::test]
async fn bad_input_names_the_field_and_the_rule_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let good = r#"{"address":"10.0.0.7","port":80}"#;
    let long = format!("/bellwether/v1/namespaces/default/services/{}/instances/i", "x".repeat(5_000));
    let put = |path: &str, body: &str| (Method::PUT, path.to_owned(), body.to_owned());
    let cases = [
        (put(HELLO_1, r#"{"adress":"10.0.0.7","port":80}"#), 400, "BW-1004", "did you mean \\\"address\\\""),
        (put(HELLO_1, r#"{"address":"10.0.0.7"}"#), 400, "BW-1005", "port"),
        (put(HELLO_1, r#"{"address":"10.0.0.7","port":70000}"#), 400, "BW-1003", "/port"),
        (put(HELLO_1, r#"{"address":"10.0.0.7","port":0}"#), 400, "BW-1003", "/port"),
        (put(HELLO_1, r#"{"address":"10.0.0.7","port":"80"}"#), 400, "BW-1003", "/port"),
        (put(HELLO_1, r#"{"address":"169.254.169.254","port":80}"#), 403, "BW-1105", "/address"),
        (put(HELLO_1, r#"{"address":"10.0.0.7","port":80,"ttl":"soon"}"#), 400, "BW-1003", "/ttl"),
        (put(HELLO_1, r#"{"address":"10.0.0.7","port":80,"#), 400, "BW-1002", "EOF"),
        (put(HELLO_1, "\u{0}"), 400, "BW-1002", "line 1"),
        (
            put("/bellwether/v1/namespaces/Default/services/hello/instances/i", good),
            400,
            "BW-1003",
            "namespace",
        ),
        (
            put("/bellwether/v1/namespaces/default/services/hello/instances/a%2Fb", good),
            400,
            "BW-1003",
            "instance id",
        ),
        (
            put("/bellwether/v1/namespaces/default/services/hello/instances/%ff", good),
            400,
            "BW-1003",
            "UTF-8",
        ),
        (put(&long, good), 400, "BW-1003", "63 characters"),
        ((Method::GET, format!("{HELLO}/owner"), String::new()), 400, "BW-1005", "key"),
        (
            (Method::GET, "/bellwether/v1/traces?servce=a".to_owned(), String::new()),
            400,
            "BW-1004",
            "service",
        ),
        ((Method::GET, "/bellwether/v1/traces?limit=0".to_owned(), String::new()), 400, "BW-1003", "limit"),
        ((Method::GET, "/bellwether/v1/traces/xyz".to_owned(), String::new()), 400, "BW-1003", "trace id"),
        ((Method::GET, "/bellwether/v1/red?window=2h".to_owned(), String::new()), 400, "BW-1003", "window"),
        (
            (Method::GET, "/bellwether/v1/events?kind=braker".to_owned(), String::new()),
            400,
            "BW-1003",
            "breaker",
        ),
        ((Method::GET, "/bellwether/v1/nothing".to_owned(), String::new()), 404, "BW-1008", "openapi"),
        ((Method::POST, HELLO.to_owned(), String::new()), 405, "BW-1009", "POST"),
    ];
    for ((method, path, body), status, code, says) in cases {
        let (got, problem) = ask(&server, method, &path, &body).await;
        assert_eq!(
            (got.as_u16(), problem["code"].as_str()),
            (status, Some(code)),
            "{path} {body}: {problem}"
        );
        assert!(problem.to_string().contains(says), "{path} {body}: {says} is not in {problem}");
    }
    assert_eq!(get(&server, "/bellwether/v1/namespaces/default/services").await["services"], json!([]));
}

#[tokio::test]
async fn a_watcher_gets_a_snapshot_then_every_change_and_resumes_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let put = async |port: u16| {
        let body = format!(r#"{{"address":"10.0.0.7","port":{port}}}"#);
        assert!(ask(&server, Method::PUT, HELLO_1, &body).await.0.is_success());
    };
    put(1).await;
    let watch = "/bellwether/v1/namespaces/default/watch?service=hello";
    let stream = send(&server, Method::GET, watch, &[], "").await;
    put(2).await;
    let seen = events(stream, 2).await;
    assert_eq!((seen[0].0.as_str(), &seen[0].1["services"][0]["service"]), ("snapshot", &json!("hello")));
    assert_eq!((seen[1].0.as_str(), &seen[1].1["instance"]["port"]), ("change", &json!(2)));
    put(3).await;
    let resumed = send(&server, Method::GET, watch, &[("last-event-id", "1")], "").await;
    let ports: Vec<Json> =
        events(resumed, 2).await.iter().map(|(_, change)| change["instance"]["port"].clone()).collect();
    assert_eq!(ports, [json!(2), json!(3)]);
    let lost = send(&server, Method::GET, &format!("{watch}&since=99"), &[], "").await;
    assert_eq!(events(lost, 1).await[0].0, "resync");
}

fn report(sequence: u64) -> Report {
    let mut attributes = Attributes::new();
    attributes.push("service.name", "gateway");
    let (trace, span) = (TraceId::new(0xabc).unwrap(), SpanId::new(7).unwrap());
    let mut span =
        Span::new(trace, span, "GET /", Wall(1_700_000_000_000_000_000), Arc::new(Resource::new(attributes)));
    (span.kind, span.duration_ns) = (Kind::Server, 5_000_000);
    let mut durations = ExponentialHistogram::new();
    durations.record_nanos(5_000_000);
    let key = CallKey {
        namespace: "default".parse().unwrap(),
        caller: "gateway".parse().unwrap(),
        service: "hello".parse().unwrap(),
        instance: Some("hello-1".parse().unwrap()),
        route: Default::default(),
        reporter: Reporter::Source,
        outcome: Outcome::Ok,
        status: StatusClass::Success,
    };
    Report {
        proxy: "gateway-1".parse().unwrap(),
        epoch: 1,
        sequence,
        at: Wall(1_700_000_000_000_000_000),
        revision: 0,
        spans_intake: Intake { received: 3, sampled_out: 2, dropped: vec![] },
        spans: vec![span],
        calls_intake: Intake { received: 1, ..Intake::default() },
        calls: vec![(key, durations)],
        breakers: vec![],
        transitions: vec![Transition {
            namespace: "default".parse().unwrap(),
            service: "hello".parse().unwrap(),
            caller: "gateway".parse().unwrap(),
            route: Default::default(),
            from: State::Closed,
            to: State::Open,
            at: Wall(1_700_000_000_000_000_000),
            reason: "6 failures in a row".into(),
            counts: Counts::default(),
            exemplar_trace_ids: vec![trace],
            policy_revision: 0,
        }],
        endpoints: vec![],
        refused: vec![("malformed".into(), 3)],
    }
}

async fn all_is_there(server: &Server) {
    let found = get(server, HELLO).await;
    assert_eq!(found["instances"][0]["id"], "hello-1");
    let traces = get(server, "/bellwether/v1/traces?limit=5").await;
    assert_eq!(traces["traces"][0]["trace_id"], "00000000000000000000000000000abc");
    let trace = get(server, "/bellwether/v1/traces/ABC").await;
    assert_eq!((&trace["spans"][0]["kind"], &trace["duration_ns"]), (&json!("server"), &json!(5_000_000)));
    let red = get(server, "/bellwether/v1/red").await;
    assert_eq!(
        (&red["services"][0]["service"], &red["services"][0]["red"]["calls"]),
        (&json!("hello"), &json!(1))
    );
    assert_eq!(red["edges"][0]["red"]["mean_ns"], 5_000_000);
    let breakers = get(server, "/bellwether/v1/events?kind=breaker").await;
    assert_eq!(breakers["events"].as_array().unwrap().len(), 1, "{breakers}");
    assert_eq!(breakers["events"][0]["exemplar_trace_ids"][0], "00000000000000000000000000000abc");
    let instances = get(server, "/bellwether/v1/events?kind=instance").await;
    assert_eq!(instances["events"].as_array().unwrap().len(), 1, "{instances}");
    let ledger = get(server, "/bellwether/v1/ledger").await;
    let expected = json!({"received":3,"stored":1,"sampled_out":2,"dropped":{},"spooled":0,"expired":0});
    assert_eq!(ledger["spans"], expected);
    let metrics = send(server, Method::GET, "/metrics", &[], "").await;
    let metrics = metrics.into_body().collect().await.unwrap().to_bytes();
    let refused = br#"bellwether_proxy_refused_total{proxy="gateway-1",reason="malformed"} 3"#;
    assert!(metrics.windows(refused.len()).any(|part| part == refused), "{}", metrics.escape_ascii());
}

#[tokio::test]
async fn a_report_is_counted_once_however_often_it_is_sent_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    for _ in 0..2 {
        server.channel().report(report(1)).await.unwrap();
    }
    until("the event of the registration", async || {
        let events = get(&server, "/bellwether/v1/events?kind=instance").await;
        (!events["events"].as_array()?.is_empty()).then_some(())
    })
    .await;
    all_is_there(&server).await;
    server.shutdown().await;
    let server = start(folder.path()).await;
    server.channel().report(report(1)).await.unwrap();
    all_is_there(&server).await;
}

#[tokio::test]
async fn a_report_whose_account_does_not_add_up_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut bad = report(1);
    bad.spans_intake.received = 9;
    let problem = server.channel().report(bad).await.unwrap_err();
    assert_eq!(problem.code().to_string(), "BW-1401");
    assert_eq!(get(&server, "/bellwether/v1/ledger").await["samples"]["received"], 0);
}

#[tokio::test]
async fn a_proxy_follows_the_registry_and_its_acknowledgement_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let hello = Hello { proxy: "p-1".parse().unwrap(), epoch: 1, version: "0".into(), since: None };
    let mut subscription = server.channel().watch(hello);
    let first = subscription.next().await.unwrap();
    assert!(first.snapshot && first.services.is_empty());
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    let change = subscription.next().await.unwrap();
    assert_eq!((change.snapshot, change.services[0].endpoints[0].port), (false, 1));
    assert_eq!(get(&server, "/bellwether/v1/proxies").await["proxies"][0]["state"], "stale");
    subscription.ack(change.revision);
    assert_eq!(get(&server, "/bellwether/v1/proxies").await["proxies"][0]["state"], "synced");
    ask(&server, Method::DELETE, HELLO_1, "").await;
    let gone = subscription.next().await.unwrap();
    assert!(gone.services[0].endpoints.is_empty(), "the registry knows that it is gone");
    drop(subscription);
    assert_eq!(get(&server, "/bellwether/v1/proxies").await["proxies"][0]["connected"], false);
}

#[tokio::test]
async fn tokens_open_what_their_scopes_say_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let request = serde_json::from_value(json!({"name":"root","scopes":["admin"]})).unwrap();
    let (_, admin) = server::create_token_offline(folder.path(), &request).await.unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    let server = start_with(folder.path(), |settings| settings.require_tokens = true).await;
    let tokens = "/bellwether/v1/tokens";
    let (status, problem) = ask(&server, Method::GET, tokens, "").await;
    assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("BW-1201")));
    let body = r#"{"name":"ci","scopes":["read"],"namespaces":["default"]}"#;
    let (status, made) =
        ask_as(&server, Method::POST, tokens, &[("authorization", &bearer(&admin))], body).await;
    assert_eq!(status, 201, "{made}");
    let reader = bearer(made["token"].as_str().unwrap());
    let good = r#"{"address":"10.0.0.7","port":1}"#;
    let (status, problem) = ask_as(&server, Method::PUT, HELLO_1, &[("authorization", &reader)], good).await;
    assert_eq!((status.as_u16(), &problem["code"]), (403, &json!("BW-1204")));
    assert!(problem["detail"].as_str().unwrap().contains("write"), "{problem}");
    let services = "/bellwether/v1/namespaces/default/services";
    assert_eq!(ask_as(&server, Method::GET, services, &[("authorization", &reader)], "").await.0, 200);
    let other = "/bellwether/v1/namespaces/other/services";
    assert_eq!(
        ask_as(&server, Method::GET, other, &[("authorization", &reader)], "").await.1["code"],
        "BW-1205"
    );
    server.shutdown().await;

    let server = start_with(folder.path(), |settings| settings.require_tokens = true).await;
    assert_eq!(ask_as(&server, Method::GET, services, &[("authorization", &reader)], "").await.0, 200);
    let id = format!("{tokens}/{}", made["id"].as_str().unwrap());
    assert_eq!(ask_as(&server, Method::DELETE, &id, &[("authorization", &bearer(&admin))], "").await.0, 204);
    assert_eq!(ask_as(&server, Method::GET, services, &[("authorization", &reader)], "").await.0, 401);
    let events = ask_as(
        &server,
        Method::GET,
        "/bellwether/v1/events?kind=token",
        &[("authorization", &bearer(&admin))],
        "",
    )
    .await
    .1;
    assert_eq!(events["events"][0]["action"], "revoked");
}

async fn registrations(server: &Server) -> Vec<u64> {
    let found = get(server, "/bellwether/v1/events?kind=instance&limit=1000").await;
    let revision =
        |event: &Json| event["details"]["registry_revision"].as_str().unwrap().parse::<u64>().unwrap();
    let mut revisions: Vec<u64> = found["events"].as_array().unwrap().iter().map(revision).collect();
    revisions.sort_unstable();
    revisions
}

#[tokio::test]
async fn a_disk_with_room_for_nothing_but_the_reserve_takes_registrations_and_tells_of_them_later() {
    const MANY: u64 = 600;
    let folder = tempfile::tempdir().unwrap();
    let server = start_with(folder.path(), |settings| settings.budgets.reserve_bytes = u64::MAX / 2).await;
    for n in 1..=MANY {
        let path = format!("{HELLO}/instances/hello-{n}");
        let (status, body) = ask(&server, Method::PUT, &path, r#"{"address":"127.0.0.1","port":80}"#).await;
        assert_eq!(status, 201, "{body}");
    }
    assert!(registrations(&server).await.is_empty());
    let overview = get(&server, "/bellwether/v1/overview").await;
    assert!(overview["server"]["failing"][0]["why"].as_str().unwrap().contains("is full"), "{overview}");
    // It stops, though the events cannot be written.
    server.shutdown().await;

    let server = start(folder.path()).await;
    assert_eq!(registrations(&server).await, (1..=MANY).collect::<Vec<_>>());
    assert_eq!(get(&server, "/bellwether/v1/overview").await["server"]["failing"], json!([]));
}

#[tokio::test]
async fn the_documents_describe_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let openapi = get(&server, "/bellwether/v1/openapi.json").await;
    let paths = openapi["paths"].as_object().unwrap();
    assert!(
        paths.contains_key("/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}")
    );
    let operations = paths.values().flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<&str> = operations.filter_map(|of| of["operationId"].as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "each operation has a name of its own");
    for (path, item) in paths {
        let operations = item.as_object().unwrap().values().filter_map(|of| of["responses"].as_object());
        for (status, response) in operations.flatten() {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{path} {status}");
            let is_problem = response["content"].get("application/problem+json").is_some();
            assert!(is_problem != status.starts_with('2'), "{path} {status}");
        }
        if item.get("get").is_some() && !path.contains('{') && !path.ends_with("/stream") {
            assert_eq!(ask(&server, Method::GET, path, "").await.0, 200, "{path}");
        }
    }
    let metrics = send(&server, Method::GET, "/metrics", &[], "").await;
    let text = metrics.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.contains("bellwether_registry_revision 0\n"), "{text}");
    let console = send(&server, Method::GET, "/", &[], "").await;
    assert!(console.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
}

#[tokio::test]
async fn a_data_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let _server = start(folder.path()).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let problem = Server::start(Settings::new(listener, folder.path().to_path_buf())).await.unwrap_err();
    assert_eq!(problem.code().to_string(), "BW-3003");
    assert!(problem.detail().contains(&format!("process {}", std::process::id())), "{problem}");
}

//! The API from outside, over real sockets. Each test's name is the claim.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod asking;
mod bad_input;
mod breakers;
mod bulk;
mod call_chains;
mod checks;
mod discovery;
mod discovery_by_others;
mod exports;
mod history;
mod http_sd;
mod jaeger;
mod metrics_of_others;
mod operators;
mod owners;
mod pins;
mod policies;
mod promql;
mod registration;
mod remote_write;
mod scraping;
mod scraping_of_others;
mod senders_of_others;
mod shortcut;
mod spans;
mod storage;
mod watch;
mod zipkin_queries;

use std::{net::TcpListener, sync::Arc, time::Duration};

use asking::*;
use http::Method;
use http_body_util::BodyExt;
use identity::{SpanId, TraceId, Wall};
use monitoring::{CallKey, ExponentialHistogram, Outcome, Reporter, StatusClass};
use resilience::{Counts, State};
use serde_json::{Value as Json, json};
use server::{Server, Settings};
use traces::{Attributes, Kind, Resource, Span};
use wire::native::channel::{Hello, Intake, Report, Transition};

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
            instance: None,
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
        settled_revision: 0,
        leaving: false,
        services: Vec::new(),
        connections: Default::default(),
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
        // A comparison needs to be told of what.
        let is_whole = !path.contains('{') && !path.ends_with("/stream") && !path.ends_with("/compare");
        if item.get("get").is_some() && is_whole {
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

#[tokio::test]
async fn a_proxy_hears_how_far_an_instance_has_warmed_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let hello = Hello { proxy: "p-1".parse().unwrap(), epoch: 1, version: "0".into(), since: None };
    let (warming, warm) =
        (r#"{"address":"10.0.0.7","port":1,"warm_up":"30s"}"#, r#"{"address":"10.0.0.7","port":2}"#);
    ask(&server, Method::PUT, HELLO_1, warming).await;
    ask(&server, Method::PUT, &format!("{HELLO}/instances/hello-2"), warm).await;
    let update = server.channel().watch(hello).next().await.unwrap();
    let [first, second] = update.services[0].endpoints.as_slice() else { panic!("{update:?}") };
    let told = first.warm_up.unwrap();
    assert_eq!((first.status, told.over), (registry::Status::Starting, Duration::from_secs(30)));
    assert!(told.elapsed < told.over, "{told:?}");
    assert_eq!((second.status, second.warm_up), (registry::Status::Up, None));
}

//! The same test for each way to the control plane.

use std::{fs, path::Path, time::Duration};

use identity::{Namespace, RouteName, ServiceName, TraceId, Wall};
use monitoring::{CallKey, ExponentialHistogram, Outcome, Reporter, StatusClass};
use proxy::{Directory, Sink, SinkError, Subscription};
use resilience::{Counts, State};
use serde_json::{Value as Json, json};
use server::{Server, listener, listener::TlsFiles};
use tempfile::TempDir;
use tokio::time::timeout;
use wire::native::{
    api::TokenRequest,
    channel::{BreakerRow, Connections, Hello, Intake, Report, Transition},
    problem::Code,
};

use super::{Grpc, Local, sink_error};
use crate::{
    client::{Client, Path as Api},
    config::{Environment, Flags, Settings, Sources},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane, and the settings with which it is reached.
async fn control_plane(tls: bool, token: bool) -> (TempDir, Server, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let socket = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut variables = Vec::new();
    let files = tls.then(|| certificate(folder.path()));
    if let Some(files) = &files {
        variables.push(("BELLWETHER_TLS_CA", files.certificates.to_string_lossy().into_owned()));
    }
    if token {
        let request = TokenRequest {
            name: "all".to_owned(),
            scopes: vec!["admin".to_owned()],
            namespaces: vec![],
            ttl: None,
        };
        let (_, secret) = server::create_token_offline(&data, &request).await.unwrap();
        variables.push(("BELLWETHER_TOKEN", secret));
    }
    let settings =
        server::Settings { tls: files, require_tokens: token, ..server::Settings::new(socket, data) };
    let server = Server::start(settings).await.unwrap();
    let url = format!("{}://{}", if tls { "https" } else { "http" }, server.local_addr());
    variables.push(("BELLWETHER_CONTROL", url.clone()));
    variables.push(("BELLWETHER_SERVER", url));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let sources = Sources::read(&Flags::default(), &Environment::of(&variables)).unwrap();
    (folder, server, Settings::validated(&sources).unwrap())
}

fn certificate(folder: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let files = TlsFiles { certificates: folder.join("cert.pem"), key: folder.join("key.pem") };
    fs::write(&files.certificates, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

fn report(sequence: u64, revision: u64) -> Report {
    let (namespace, route) = (Namespace::default(), RouteName::default());
    let [service, caller] = ["cart", "gateway"].map(|name| name.parse::<ServiceName>().unwrap());
    let mut durations = ExponentialHistogram::new();
    for nanos in [1_000_000, 2_000_000, 3_000_000] {
        durations.record_nanos(nanos);
    }
    let counts = Counts { failures: 6, consecutive_failures: 6, ..Counts::default() };
    Report {
        proxy: "gateway-1".parse().unwrap(),
        epoch: 7,
        sequence,
        at: crate::clock::wall(),
        revision,
        spans_intake: Intake::default(),
        spans: Vec::new(),
        calls_intake: Intake { received: 1, ..Intake::default() },
        calls: vec![(
            CallKey {
                namespace: namespace.clone(),
                caller: caller.clone(),
                service: service.clone(),
                instance: Some("cart-1".parse().unwrap()),
                route: route.clone(),
                reporter: Reporter::Source,
                outcome: Outcome::Ok,
                status: StatusClass::Success,
            },
            durations,
        )],
        breakers: vec![BreakerRow {
            namespace: namespace.clone(),
            service: service.clone(),
            caller: caller.clone(),
            route: route.clone(),
            state: State::Open,
            since: Wall(1),
            reason: "6 failures in a row".into(),
            counts,
        }],
        transitions: vec![Transition {
            namespace,
            service,
            instance: None,
            caller,
            route,
            from: State::Closed,
            to: State::Open,
            at: crate::clock::wall(),
            reason: "6 failures in a row".into(),
            counts,
            exemplar_trace_ids: vec![TraceId::new(5).unwrap()],
            policy_revision: 0,
        }],
        endpoints: Vec::new(),
        refused: vec![("malformed".to_owned(), 3)],
        settled_revision: revision,
        leaving: false,
        services: Vec::new(),
        connections: Connections::default(),
    }
}

async fn read(client: &Client, noun: &str) -> Json {
    client.get::<Json>(Api::v1().segment(noun)).await.unwrap().document
}

/// Waits until the proxy is shown like this.
async fn until_shown(client: &Client, connected: bool, revision: u64) {
    let shown = async {
        loop {
            let proxies = read(client, "proxies").await;
            let proxy = &proxies["proxies"][0];
            if proxy["connected"] == connected && proxy["revision"] == revision {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, shown).await.expect("the proxy should be shown as it is");
}

/// What a proxy may rely on, whoever is on the other side.
async fn check(channel: impl Directory + Sink, server: Server, client: Client) {
    let hello =
        Hello { proxy: "gateway-1".parse().unwrap(), epoch: 7, version: "1.2.3".to_owned(), since: None };
    let mut watch = channel.watch(hello.clone()).await.unwrap();
    let first = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert!(first.snapshot && first.services.is_empty());

    let place =
        client.in_namespace().segment("services").segment("cart").segment("instances").segment("cart-1");
    let body = json!({ "address": "10.0.0.7", "port": 8080, "zone": "a" });
    client.send(http::Method::PUT, place, Some(&body), None).await.unwrap();
    let update = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert!(!update.snapshot && update.revision > first.revision);
    let endpoint = &update.services[0].endpoints[0];
    assert_eq!(update.services[0].service.as_str(), "cart");
    assert_eq!((endpoint.host.to_string().as_str(), endpoint.port), ("10.0.0.7", 8080));
    assert_eq!(endpoint.zone.as_deref(), Some("a"));

    watch.acknowledge(update.revision).await.unwrap();
    until_shown(&client, true, update.revision).await;

    // The second time is the same report again, as after an answer that was lost.
    for _ in 0..2 {
        channel.report(&report(1, update.revision)).await.unwrap();
    }
    channel.report(&report(2, update.revision)).await.unwrap();
    assert_eq!(read(&client, "red").await["services"][0]["red"]["calls"], 6);
    let ledger = read(&client, "ledger").await;
    assert_eq!((&ledger["samples"]["received"], &ledger["samples"]["stored"]), (&json!(2), &json!(2)));
    let breakers = read(&client, "breakers").await;
    assert_eq!(
        (&breakers["breakers"][0]["state"], &breakers["breakers"][0]["proxy"]),
        (&json!("open"), &json!("gateway-1"))
    );
    let events =
        client.get::<Json>(Api::v1().segment("events").query("kind", "breaker")).await.unwrap().document;
    assert_eq!(events["events"].as_array().unwrap().len(), 2, "one for each report: {events}");
    assert_eq!(events["events"][0]["exemplar_trace_ids"][0], "00000000000000000000000000000005");

    let document = json!({
        "apiVersion": "bellwether.dev/v1", "kind": "ServicePolicy", "metadata": { "name": "cart" },
        "spec": { "service": "cart", "timeouts": { "call": "2s" }, "circuit_breaker": null },
    });
    let place = client.in_namespace().segment("policies").segment("cart");
    client.send(http::Method::PUT, place, Some(&document), None).await.unwrap();
    let told = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    let [policy] = told.policies.as_slice() else { panic!("one policy: {told:?}") };
    assert_eq!((policy.service.as_ref().unwrap().as_str(), policy.policy_revision), ("cart", told.revision));
    let holds = policy.policy.as_ref().unwrap();
    assert_eq!((holds.timeouts.call.as_secs(), &holds.circuit_breaker), (2, &None));
    watch.acknowledge(told.revision).await.unwrap();
    until_shown(&client, true, told.revision).await;
    let proxy = read(&client, "proxies").await["proxies"][0].clone();
    assert_eq!(
        (&proxy["policy_state"], &proxy["policy_revision"]),
        (&json!("synced"), &json!(told.revision))
    );

    // Who comes back with its revision is told only what it has missed.
    drop(watch);
    until_shown(&client, false, told.revision).await;
    let mut watch = channel.watch(Hello { since: Some(first.revision), ..hello }).await.unwrap();
    let missed = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert_eq!(
        (missed.snapshot, &missed.services, &missed.policies),
        (false, &update.services, &told.policies)
    );

    let (ended, ()) = tokio::join!(timeout(PATIENCE, watch.next()), server.shutdown());
    ended.unwrap().expect_err("a watch ends with the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_in_the_same_process_is_told_and_heard() {
    let (_folder, server, settings) = control_plane(false, false).await;
    check(Local(server.channel()), server, Client::new(&settings).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_over_grpc_is_told_and_heard() {
    let (_folder, server, settings) = control_plane(false, false).await;
    check(Grpc::new(&settings).unwrap(), server, Client::new(&settings).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_over_grpc_with_tls_and_a_token_is_told_and_heard() {
    let (_folder, server, settings) = control_plane(true, true).await;
    check(Grpc::new(&settings).unwrap(), server, Client::new(&settings).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_token_a_proxy_keeps_its_report_for_later() {
    let (_folder, server, mut settings) = control_plane(false, true).await;
    settings.token = None;
    let channel = Grpc::new(&settings).unwrap();
    let refused = channel.report(&report(1, 0)).await.unwrap_err();
    assert!(matches!(&refused, SinkError::Unavailable(why) if why.contains("BW-1201")), "{refused}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_somebody_else_is_not_believed() {
    let (folder, server, mut settings) = control_plane(true, false).await;
    let others = folder.path().join("others");
    fs::create_dir(&others).unwrap();
    settings.tls_ca = Some(certificate(&others).certificates);
    let problem = Client::new(&settings).unwrap().get::<Json>(Api::v1().segment("ledger")).await.unwrap_err();
    assert_eq!(problem.code(), Code::CertificateUntrusted, "{problem}");
    let channel = Grpc::new(&settings).unwrap();
    assert!(matches!(channel.report(&report(1, 0)).await, Err(SinkError::Unavailable(_))));
    server.shutdown().await;
}

#[test]
fn only_a_report_that_would_always_be_refused_is_given_up() {
    let lost = |code| matches!(sink_error(code, String::new()), SinkError::Refused(_));
    for code in [Code::MalformedBody, Code::BodyTooLarge, Code::TelemetryTooLarge] {
        assert!(lost(Some(code)), "{code}");
    }
    for code in [Code::TokenInvalid, Code::ScopeMissing, Code::TelemetryBusy, Code::DiskFull, Code::Internal]
    {
        assert!(!lost(Some(code)), "{code}");
    }
    assert!(!lost(None));
}

//! Traces read back: by id, by path, compared, and as a graph.

use std::sync::Arc;

use http::Method;
use identity::{SpanId, TraceId, Wall};
use serde_json::{Value as Json, json};
use server::Server;
use traces::{Attributes, Kind, Resource, Span, Status};
use wire::native::channel::{Intake, Report};

use crate::{asking::*, report};

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const BEGUN: u64 = 1_700_000_000_000_000_000;

pub(crate) fn resource(attributes: &[(&'static str, &str)]) -> Arc<Resource> {
    let mut of = Attributes::new();
    attributes.iter().for_each(|(key, value)| of.push(*key, *value));
    Arc::new(Resource::new(of))
}

/// A span: its id, its parent's (0 for none), its kind, its service and host, when it began and how long it
/// took, in milliseconds.
pub(crate) fn span(id: u64, parent: u64, kind: Kind, service: &str, begin: i64, length: u64) -> Span {
    let host = if service == "payments" { "host-b" } else { "host-a" };
    let resource = resource(&[("service.name", service), ("host.name", host)]);
    let begun = Wall(BEGUN.strict_add_signed(begin * 1_000_000));
    let id_of_trace = TRACE.parse::<TraceId>().unwrap();
    let mut span = Span::new(id_of_trace, SpanId::new(id).unwrap(), format!("op-{id}"), begun, resource);
    (span.parent_span_id, span.kind, span.duration_ns) = (SpanId::new(parent), kind, length * 1_000_000);
    span
}

/// Has these spans stored.
pub(crate) async fn stored(server: &Server, sequence: u64, spans: Vec<Span>) {
    let received = spans.len() as u64;
    let report = Report {
        spans_intake: Intake { received, ..Intake::default() },
        spans,
        calls_intake: Intake::default(),
        calls: vec![],
        transitions: vec![],
        ..report(sequence)
    };
    server.channel().report(report).await.unwrap();
}

/// A call of which the payments' clock is a second behind, and a mail that nobody waited for.
pub(crate) fn checkout() -> Vec<Span> {
    vec![
        span(1, 0, Kind::Server, "shop", 0, 100),
        span(2, 1, Kind::Client, "shop", 10, 60),
        Span { status: Status::error("declined"), ..span(3, 2, Kind::Server, "payments", -1_000, 40) },
        span(4, 1, Kind::Internal, "shop", 120, 5),
    ]
}

#[tokio::test]
async fn the_times_of_services_and_wire_add_up_to_the_call_to_the_nanosecond() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    stored(&server, 1, checkout()).await;
    let path = get(&server, &format!("/bellwether/v1/traces/{TRACE}/critical-path")).await;
    let services: Vec<_> = path["services"].as_array().unwrap().iter().collect();
    let told = |of: &Json| (of["service"].as_str().unwrap().to_owned(), of["critical_ns"].as_u64().unwrap());
    assert_eq!(told(services[0]), ("payments".to_owned(), 40_000_000));
    assert_eq!(told(services[1]), ("shop".to_owned(), 40_000_000));
    assert_eq!((&path["wire_ns"], &path["duration_ns"]), (&json!(20_000_000), &json!(100_000_000)));
    assert_eq!(path["wire_assumed_ns"], 20_000_000, "the clock was corrected");
    assert_eq!(
        path["skew"],
        json!([{"span_id":"0000000000000003","service":"payments","delta_ns":1_020_000_000,"beyond":false}])
    );
    assert_eq!(path["asynchronous"][0]["reason"], "late");
    assert_eq!(path["makespan_ns"], 125_000_000);
    let segments = path["segments"].as_array().unwrap();
    let sum: u64 = segments.iter().map(|segment| segment["duration_ns"].as_u64().unwrap()).sum();
    assert_eq!(sum, 100_000_000);
    assert_eq!(path["operations"][0]["operation"], "op-3");
    assert_eq!(
        (&path["services"][0]["errors"], &path["services"][0]["self_ns"]),
        (&json!(1), &json!(40_000_000))
    );
}

#[tokio::test]
async fn how_far_clocks_are_corrected_and_which_root_is_explained_can_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let orphan = span(9, 8, Kind::Server, "stock", 30, 10);
    stored(&server, 1, checkout().into_iter().chain([orphan]).collect()).await;
    let path = format!("/bellwether/v1/traces/{TRACE}/critical-path");
    let strict = get(&server, &format!("{path}?max_skew=100ms")).await;
    assert_eq!((&strict["skew"][0]["beyond"], &strict["wire_ns"]), (&json!(true), &json!(0)));
    assert_eq!(
        (&strict["incomplete"], &strict["other_roots"][0]["service"]),
        (&json!(true), &json!("stock"))
    );
    let orphan = get(&server, &format!("{path}?root=9&sibling_overlap_percent=1")).await;
    assert_eq!(orphan["duration_ns"], 10_000_000);
    for (query, field) in [
        ("root=2", "root"),
        ("max_skew=far", "max_skew"),
        ("sibling_overlap_percent=101", "sibling_overlap_percent"),
    ] {
        let (status, problem) = ask(&server, Method::GET, &format!("{path}?{query}"), "").await;
        assert_eq!((status.as_u16(), &problem["field"]), (400, &json!(field)), "{problem}");
    }
}

#[tokio::test]
async fn a_trace_is_found_by_any_spelling_of_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let short =
        Span { trace_id: "8448eb211c80319c".parse().unwrap(), ..span(7, 0, Kind::Server, "shop", 0, 1) };
    stored(&server, 1, checkout().into_iter().chain([short]).collect()).await;
    for (spelling, spans) in [
        (TRACE, 4),
        ("AF7651916CD43DD8448EB211C80319C", 4),
        ("0af76519-16cd-43dd-8448-eb211c80319c", 4),
        ("00000000af7651916cd43dd8448eb211c80319c", 4),
        ("8448EB211C80319C", 1),
        ("00000000000000008448eb211c80319c", 1),
    ] {
        let trace = get(&server, &format!("/bellwether/v1/traces/{spelling}")).await;
        assert_eq!(trace["spans"].as_array().unwrap().len(), spans, "{spelling}");
        get(&server, &format!("/bellwether/v1/traces/{spelling}/critical-path")).await;
    }
    let (status, problem) = ask(&server, Method::GET, "/bellwether/v1/traces/abc/critical-path", "").await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("BW-1404")));
}

/// A span of a shop that calls payments through the proxy, which calls a database.
fn shopping() -> Vec<Span> {
    let with = |mut span: Span, attributes: &[(&'static str, &str)]| {
        attributes.iter().for_each(|(key, value)| span.attributes.push(*key, *value));
        span
    };
    let proxy = [
        ("bellwether.proxy", "p-1"),
        ("bellwether.service", "payments"),
        ("bellwether.namespace", "default"),
    ];
    vec![
        span(1, 0, Kind::Server, "shop", 0, 100),
        span(2, 1, Kind::Client, "shop", 10, 60),
        with(span(3, 2, Kind::Server, "gateway", 15, 50), &proxy),
        with(span(4, 3, Kind::Client, "gateway", 16, 48), &proxy),
        Span { status: Status::error("declined"), ..span(5, 4, Kind::Server, "payments", 20, 40) },
        with(
            span(6, 5, Kind::Client, "payments", 22, 10),
            &[("db.system", "postgresql"), ("db.name", "ledger")],
        ),
    ]
}

/// The edges of a graph in a few words.
fn edges(graph: &Json) -> Vec<String> {
    let edge = |edge: &Json| {
        format!(
            "{} -> {} {}/{} proxied {} in {}",
            edge["from"].as_str().unwrap(),
            edge["to"].as_str().unwrap(),
            edge["errors"],
            edge["calls"],
            edge["proxied"],
            edge["max_ns"]
        )
    };
    graph["edges"].as_array().unwrap().iter().map(edge).collect()
}

#[tokio::test]
async fn the_graph_has_services_databases_and_one_edge_for_a_call_through_a_proxy_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    // Now, since a restart looks an hour back.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let recent = |span: Span| Span {
        start: Wall(now - BEGUN % 1_000 - 1_000_000_000 + (span.start.0 - BEGUN)),
        ..span
    };
    let spans: Vec<Span> = shopping().into_iter().map(recent).collect();
    stored(&server, 1, spans.clone()).await;
    stored(&server, 1, spans).await;
    let expected = [
        "outside: -> shop 0/1 proxied 0 in 100000000",
        "payments -> database:postgresql/ledger 0/1 proxied 0 in 10000000",
        "shop -> payments 0/1 proxied 1 in 60000000",
    ];
    let graph = get(&server, "/bellwether/v1/graph").await;
    assert_eq!(edges(&graph), expected, "a report that came twice is counted once");
    let kinds: Vec<_> =
        graph["nodes"].as_array().unwrap().iter().map(|node| node["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["database", "outside", "service", "service"]);
    let p99 = graph["edges"][1]["p99_ns"].as_u64().unwrap();
    assert!((9_375_000..=10_000_000).contains(&p99), "off by a sixteenth at most: {p99}");
    server.shutdown().await;
    let server = start(folder.path()).await;
    assert_eq!(edges(&get(&server, "/bellwether/v1/graph?namespace=default").await), expected);
    assert_eq!(edges(&get(&server, "/bellwether/v1/graph?namespace=other").await), Vec::<String>::new());
    let before = "/bellwether/v1/graph?start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00Z";
    assert_eq!(edges(&get(&server, before).await), Vec::<String>::new());
}

#[tokio::test]
async fn what_senders_left_out_is_said_of_traces_spans_lists_and_edges_and_scales_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let recent = |span: Span, state: &str| Span {
        start: Wall(now - 1_000_000_000 + (span.start.0 - BEGUN)),
        trace_state: state.into(),
        ..span
    };
    let spans = vec![
        recent(span(1, 0, Kind::Server, "shop", 0, 100), "ot=th:c"),
        recent(span(2, 1, Kind::Internal, "shop", 10, 60), ""),
    ];
    stored(&server, 1, spans).await;
    let trace = get(&server, &format!("/bellwether/v1/traces/{TRACE}")).await;
    assert_eq!((&trace["kept_one_in"], &trace["spans"][0]["kept_one_in"]), (&json!(4.0), &json!(4.0)));
    assert_eq!(trace["spans"][1].get("kept_one_in"), None);
    let list = get(&server, "/bellwether/v1/traces?service=shop").await;
    assert_eq!(list["traces"][0]["kept_one_in"], json!(4.0));
    let edge = get(&server, "/bellwether/v1/graph").await["edges"][0].clone();
    assert_eq!((&edge["calls"], &edge["sampled"], &edge["left_out"]), (&json!(1), &json!(1), &json!(3.0)));
}

#[tokio::test]
async fn an_edge_says_beside_its_spans_what_proxies_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    server.channel().report(report(1)).await.unwrap();
    let graph = get(&server, "/bellwether/v1/graph?namespace=default").await;
    let edge = graph["edges"].as_array().unwrap().iter().find(|edge| edge["to"] == "hello").unwrap();
    assert_eq!(
        (&edge["from"], &edge["calls"], &edge["proxies"]["calls"]),
        (&json!("gateway"), &json!(0), &json!(1))
    );
    let hello = graph["nodes"].as_array().unwrap().iter().find(|node| node["id"] == "hello").unwrap();
    assert_eq!(hello["proxies"]["calls"], 1);
    let (status, problem) =
        ask(&server, Method::GET, "/bellwether/v1/graph?end=2020-01-01T00:00:00Z&start=now", "").await;
    assert_eq!((status.as_u16(), &problem["field"]), (400, &json!("start")));
}

/// A call of the shop, of which payments took so long, in this version and this many seconds after the first.
fn paid(id: u128, version: &str, after: i64, payments: u64) -> Vec<Span> {
    let resource =
        resource(&[("service.name", "payments"), ("service.version", version), ("host.name", "host-b")]);
    let of = |span: Span| Span { trace_id: TraceId::new(id).unwrap(), ..span };
    let begun = after * 1_000;
    vec![
        of(span(1, 0, Kind::Server, "shop", begun, 20 + payments)),
        of(span(2, 1, Kind::Client, "shop", begun + 10, 6 + payments)),
        of(Span { resource, ..span(3, 2, Kind::Server, "payments", begun + 13, payments) }),
    ]
}

#[tokio::test]
async fn two_traces_and_two_versions_and_two_times_are_compared_and_the_changes_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let old = (1..=4).flat_map(|id| paid(id, "1.0", id as i64, 40 + id as u64));
    let new = (5..=8).flat_map(|id| paid(id, "1.1", id as i64, 140 + id as u64));
    stored(&server, 1, old.chain(new).collect()).await;
    let begun = |after: u64| Wall(BEGUN + after * 1_000_000_000).to_string();
    for query in [
        "before=1&after=8".to_owned(),
        "service=payments&before_version=1.0&after_version=1.1".to_owned(),
        format!("service=shop&before_end={0}&after_start={0}", begun(5)),
    ] {
        let told = get(&server, &format!("/bellwether/v1/traces/compare?{query}")).await;
        let changes = told["changes"].as_array().unwrap();
        let sum: i64 = changes.iter().map(|change| change["difference_ns"].as_i64().unwrap()).sum();
        assert_eq!(told["difference_ns"].as_i64(), Some(sum), "{told}");
        assert_eq!((&changes[0]["service"], &changes[0]["operation"]), (&json!("payments"), &json!("op-3")));
        let size = if query.starts_with("before=") { 1 } else { 4 };
        assert_eq!(
            (&told["before"]["traces"], &told["after"]["traces"]),
            (&json!(size), &json!(size)),
            "{told}"
        );
        assert_eq!(changes[0]["after_example"], "00000000000000000000000000000008", "the worst one");
    }
    for (query, field) in [
        ("before=1", "after"),
        ("before=x&after=1", "before"),
        ("service=shop", "before"),
        ("before_version=1.0&after_version=1.1", "service"),
        ("service=shop&after_start=2020-01-01T00:00:00Z&limit=0", "limit"),
        ("service=shop&after_start=then", "after_start"),
    ] {
        let (status, problem) =
            ask(&server, Method::GET, &format!("/bellwether/v1/traces/compare?{query}"), "").await;
        assert_eq!((status.as_u16(), &problem["field"]), (400, &json!(field)), "{problem}");
    }
}

#[tokio::test]
async fn traces_are_found_by_what_holds_of_a_span_page_by_page_and_a_mistake_is_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut spans: Vec<Span> =
        (1..=9).flat_map(|id| paid(id, "1.0", id as i64, 40 + 10 * id as u64)).collect();
    spans[2].attributes.push("http.route", "/pay/{id}");
    spans[5].status = Status::error("card declined");
    stored(&server, 1, spans).await;
    let found = async |q: &str| -> Vec<String> {
        let told = get(&server, &format!("/bellwether/v1/traces?q={q}")).await;
        told["traces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|of| of["trace_id"].as_str().unwrap()[31..].to_owned())
            .collect()
    };
    assert_eq!(found("service=payments%20AND%20duration%3E110ms").await, ["9", "8"]);
    assert_eq!(found("service=payments%20(error=true%20OR%20exists(http.route))").await, ["2", "1"]);
    assert_eq!(found("http.route=~%22/pay/.*%22").await, ["1"]);
    assert_eq!(found("card%20declined").await, ["2"]);
    assert_eq!(
        found("service=shop%20AND%20error=true").await,
        Vec::<String>::new(),
        "of one and the same span"
    );
    let mut seen = Vec::new();
    let mut page = String::new();
    loop {
        let path = format!("/bellwether/v1/traces?limit=2&q=service=payments%20NOT%20error=true{page}");
        let told = get(&server, &path).await;
        seen.extend(
            told["traces"]
                .as_array()
                .unwrap()
                .iter()
                .map(|of| of["trace_id"].as_str().unwrap()[31..].to_owned()),
        );
        let Some(next) = told["next"].as_str() else { break };
        page = format!("&page={next}");
    }
    assert_eq!(seen, ["9", "8", "7", "6", "5", "4", "3", "1"], "each once, newest first");
    let (status, problem) = ask(&server, Method::GET, "/bellwether/v1/traces?q=a%20AND%20(b", "").await;
    assert_eq!((status.as_u16(), &problem["field"]), (400, &json!("q")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("character 7"), "{problem}");
}

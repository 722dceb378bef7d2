use std::collections::{BTreeMap, HashSet};

use http::Request;
use hyper::body::Incoming;
use traces::{
    Kind,
    context::TraceContext,
    sampling::{Ratio, Told},
};

use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_endpoints_and_reports_count_the_same_calls() {
    const CLIENTS: u64 = 16;
    const CALLS: u64 = 250;
    let world = World::new().await;
    let answer = |request: Request<Incoming>| async move {
        let status = request.uri().path()[1..].parse().unwrap();
        reply(status, "x".repeat(2_000))
    };
    let backends = [Backend::new(answer).await, Backend::new(answer).await];
    world.up("cart", &[backends[0].address, backends[1].address]).await;
    let address = world.address();
    let client = |number: u64| async move {
        let mut client = Client::new(address).await;
        let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
        for call in 0..CALLS {
            // Never six failures in a row, so that the breaker stays out of it.
            let path = if (number + call).is_multiple_of(5) { "/404" } else { "/200" };
            *seen.entry(client.send(request("GET", "cart", path, "")).await.status).or_default() += 1;
        }
        seen
    };
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(number))).collect();
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    for client in clients {
        for (status, count) in client.await.unwrap() {
            *seen.entry(status).or_default() += count;
        }
    }
    let ledger = world.proxy.shutdown().await;
    assert_eq!(seen.values().sum::<u64>(), CLIENTS * CALLS);
    assert_eq!(backends[0].calls() + backends[1].calls(), CLIENTS * CALLS);
    let calls = [(("ok", "2xx"), seen[&200]), (("ok", "4xx"), seen[&404])].into();
    assert_eq!(world.stores.calls(), calls);

    assert!(ledger.balances(), "{ledger:?}");
    assert_eq!(ledger.received, 2 * CLIENTS * CALLS, "two spans a call");
    assert_eq!((ledger.spooled, ledger.stored), (0, world.stores.spans().len() as u64));
    assert!(ledger.sampled_out > 0, "more than a hundred traces a second were made");
    let reports = world.stores.reports();
    for report in &reports {
        let dropped: u64 = report.spans_intake.dropped.iter().map(|(_, count)| count).sum();
        let accounted = report.spans.len() as u64 + report.spans_intake.sampled_out + dropped;
        assert_eq!(report.spans_intake.received, accounted);
        assert_eq!(report.calls_intake.received, report.calls.len() as u64);
    }
    let received: u64 = reports.iter().map(|report| report.spans_intake.received).sum();
    assert_eq!(received, ledger.received);
    let sequences: Vec<_> = reports.iter().map(|report| report.sequence).collect();
    assert_eq!(sequences, (1..=reports.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_call_and_its_attempt_are_spans_between_the_caller_and_the_endpoint() {
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        reply(200, format!("{} {}", header("traceparent"), header("tracestate")))
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut call = request("GET", "cart", "/orders/7?secret=1", "");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    call.headers_mut().insert("traceparent", parent.parse().unwrap());
    call.headers_mut().insert("tracestate", "vendor=1".parse().unwrap());
    let answer = world.send(call).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let (sent, state) = text.split_once(' ').unwrap();
    assert_eq!(state, "vendor=1");
    let sent = TraceContext::parse(sent).unwrap();

    world.stores.until("both spans", |stores| stores.spans().len() == 2).await;
    let spans = world.stores.spans();
    let (call, attempt) = (&spans[0], &spans[1]);
    let parent = TraceContext::parse(parent).unwrap();
    assert!(spans.iter().all(|span| span.trace_id == parent.trace_id && span.service() == "gateway"));
    assert_eq!((call.kind, call.parent_span_id), (Kind::Server, Some(parent.span_id)));
    assert_eq!((attempt.kind, attempt.parent_span_id), (Kind::Client, Some(call.span_id)));
    assert_eq!((sent.trace_id, sent.span_id, sent.flags), (parent.trace_id, attempt.span_id, parent.flags));
    let text = |key| call.attributes.get_str(key);
    assert_eq!(&*call.name, "GET cart");
    assert_eq!(text("url.path"), Some("/orders/7"));
    assert_eq!(text("bellwether.service"), Some("cart"));
    assert_eq!(text("bellwether.proxy"), Some("proxy-1"));
    assert_eq!(attempt.attributes.get_str("bellwether.instance"), Some("cart-0"));
    assert_eq!(attempt.attributes.get("http.response.status_code").unwrap().as_int(), Some(200));
    assert!(attempt.start >= call.start && attempt.end() <= call.end());
}

#[tokio::test]
async fn a_caller_that_does_not_sample_is_followed_and_counted() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    let mut call = request("GET", "cart", "/", "");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    call.headers_mut().insert("traceparent", parent.parse().unwrap());
    assert_eq!(world.send(call).await.status, 200);
    let ledger = world.proxy.shutdown().await;
    assert_eq!((ledger.received, ledger.sampled_out, ledger.stored), (2, 2, 0));
}

#[tokio::test]
async fn of_the_traces_that_begin_here_the_services_share_is_kept_and_callees_are_told() {
    let world = World::with(|settings| {
        settings.policy = policy(|parts| parts.tracing.share = 0.25);
        settings.limits.traces_per_second = 1_000;
    })
    .await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        let header = |name: &str| {
            request.headers().get(name).map_or("none", |value| value.to_str().unwrap()).to_owned()
        };
        reply(200, format!("{} {}", header("traceparent"), header("tracestate")))
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let told = |answer: Answer| {
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let (parent, state) = text.split_once(' ').unwrap();
        (TraceContext::parse(parent).unwrap(), state.to_owned())
    };
    let (quarter, mut kept) = (Ratio::new(0.25).unwrap(), HashSet::new());
    const CALLS: u64 = 200;
    let mut client = Client::new(world.address()).await;
    for _ in 0..CALLS {
        let (context, state) = told(client.send(request("GET", "cart", "/", "")).await);
        let keeps = quarter.keeps(context.trace_id);
        assert_eq!((context.flags.sampled(), &*state), (keeps, if keeps { "ot=th:c" } else { "none" }));
        if keeps {
            kept.insert(context.trace_id);
        }
    }
    assert!((10..=100).contains(&kept.len()), "a quarter of {CALLS}: {}", kept.len());
    // Whoever has decided is followed, and what was told goes on as it came.
    let mut call = request("GET", "cart", "/", "");
    let parent = "00-0af7651916cd43dd8448eb2100000000-b7ad6b7169203331-01";
    call.headers_mut().insert("traceparent", parent.parse().unwrap());
    call.headers_mut().insert("tracestate", "ot=th:8,vendor=1".parse().unwrap());
    let (context, state) = told(client.send(call).await);
    assert!(context.flags.sampled() && !quarter.keeps(context.trace_id));
    assert_eq!(state, "ot=th:8,vendor=1");
    kept.insert(context.trace_id);

    let ledger = world.proxy.shutdown().await;
    assert!(ledger.balances(), "{ledger:?}");
    let spans = world.stores.spans();
    assert_eq!(spans.len(), 2 * kept.len());
    assert_eq!((ledger.received, ledger.sampled_out), (2 * CALLS + 2, 2 * (CALLS + 1) - spans.len() as u64));
    let expected = |span: &traces::Span| if span.trace_id == context.trace_id { 2.0 } else { 4.0 };
    assert!(spans.iter().all(|span| Told::one_in(&span.trace_state) == Some(expected(span))));
}

#[tokio::test]
async fn of_what_its_share_leaves_out_failures_are_kept_and_marked() {
    let world = World::with(|settings| settings.policy = policy(|parts| parts.tracing.share = 0.0)).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.status, 200);
    backend.fail(true);
    assert_eq!(world.get("cart", "/").await.status, 500);
    let ledger = world.proxy.shutdown().await;
    assert_eq!((ledger.received, ledger.sampled_out, ledger.stored), (4, 2, 2));
    let spans = world.stores.spans();
    assert!(spans.iter().all(|span| span.attributes.get("bellwether.partial").is_some()));
    assert!(spans.iter().all(|span| span.flags & 1 == 0 && span.trace_state.is_empty()));
}

#[tokio::test]
async fn beyond_the_budget_only_failures_are_kept_and_marked() {
    let world = World::with(|settings| {
        settings.limits.traces_per_second = 0;
        settings.limits.remarkable_traces_per_second = 3;
    })
    .await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    for _ in 0..5 {
        assert_eq!(world.get("cart", "/").await.status, 200);
        assert_eq!(world.get("nowhere", "/").await.status, 404);
    }
    let ledger = world.proxy.shutdown().await;
    assert!(ledger.balances(), "{ledger:?}");
    assert_eq!(ledger.received, 15);
    let spans = world.stores.spans();
    assert!((3..=5).contains(&spans.len()), "three at once, and what a second brings: {}", spans.len());
    let partial = |span: &traces::Span| span.attributes.get("bellwether.partial").is_some();
    assert!(spans.iter().all(|span| span.is_error() && partial(span)));
    let traces: HashSet<_> = spans.iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), spans.len());
}

#[tokio::test]
async fn each_attempt_is_a_span_of_its_own_and_carries_its_number_on() {
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        reply(200, request.headers()["bellwether-attempt"].to_str().unwrap().to_owned())
    })
    .await;
    world.up("cart", &[nobody().await, backend.address]).await;
    let mut tries = HashSet::new();
    while tries.len() < 2 {
        tries.insert(world.get("cart", "/").await.body);
    }
    assert_eq!(tries, ["1".into(), "2".into()].into());
    world
        .stores
        .until("three spans of a call", |stores| {
            stores.spans().iter().any(|span| span.attributes.get("http.request.resend_count").is_some())
        })
        .await;
    let spans = world.stores.spans();
    let second = spans.iter().find(|s| s.attributes.get("http.request.resend_count").is_some()).unwrap();
    let of_trace: Vec<_> = spans.iter().filter(|span| span.trace_id == second.trace_id).collect();
    let errors: Vec<_> = of_trace.iter().map(|span| span.attributes.get_str("error.type")).collect();
    assert_eq!(errors, [None, Some("connect_failure"), None]);
}

#[tokio::test]
async fn nothing_new_is_not_reported() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.status, 200);
    world.stores.until("the call", |stores| !stores.calls().is_empty()).await;
    let quiet = async {
        let mut before = world.stores.handed_over();
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let now = world.stores.handed_over();
            if now == before {
                return;
            }
            before = now;
        }
    };
    soon("ten ticks without a report", quiet).await;
}

/// A backend that answers with the headers that tell of traces, and a world whose proxy writes `formats`.
async fn telling(formats: &str) -> (World, Backend) {
    let formats = formats.parse().unwrap();
    let world = World::with(|settings| settings.propagation = formats).await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        let names = [
            "traceparent",
            "tracestate",
            "b3",
            "x-b3-traceid",
            "x-b3-spanid",
            "x-b3-parentspanid",
            "uber-trace-id",
            "sw8",
        ];
        let told = names
            .iter()
            .filter_map(|name| Some(format!("{name}={}", request.headers().get(*name)?.to_str().ok()?)));
        reply(200, told.collect::<Vec<_>>().join("\n"))
    })
    .await;
    world.up("cart", &[backend.address]).await;
    (world, backend)
}

/// What the backend was told, by header.
async fn told(world: &World, headers: &[(&'static str, &str)]) -> std::collections::BTreeMap<String, String> {
    let mut call = request("GET", "cart", "/", "");
    for (name, value) in headers {
        call.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answer = world.send(call).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[tokio::test]
async fn a_call_with_zipkins_headers_goes_on_in_its_trace_and_with_them() {
    let (world, _backend) = telling("tracecontext").await;
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let came = [
        ("x-b3-traceid", trace),
        ("x-b3-spanid", parent),
        ("x-b3-parentspanid", parent),
        ("x-b3-sampled", "1"),
    ];
    let told = told(&world, &came).await;
    world.stores.until("both spans", |stores| stores.spans().len() == 2).await;
    let attempt = world.stores.spans()[1].span_id.to_string();
    let names: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["traceparent", "x-b3-spanid", "x-b3-traceid"], "no parent of another span is left");
    assert_eq!((told["x-b3-traceid"].as_str(), &told["x-b3-spanid"]), (trace, &attempt));
    assert_eq!(told["traceparent"], format!("00-{trace}-{attempt}-01"));
    assert_eq!(world.stores.spans()[0].parent_span_id.unwrap().to_string(), parent);
}

#[tokio::test]
async fn the_formats_that_are_configured_are_written_and_no_others() {
    let (world, _backend) = telling("b3,jaeger,sw8").await;
    let told = told(&world, &[]).await;
    let names: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["b3", "sw8", "uber-trace-id"]);
}

#[tokio::test]
async fn a_caller_that_leaves_it_open_is_decided_for_and_one_that_refuses_is_followed() {
    let (world, _backend) = telling("tracecontext").await;
    let open = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    assert!(told(&world, &[("b3", open)]).await["b3"].ends_with("-1"));
    let refused = told(&world, &[("b3", "0")]).await;
    assert!(refused["b3"].ends_with("-0") && refused["traceparent"].ends_with("-02"), "{refused:?}");
    let ledger = world.proxy.shutdown().await;
    assert_eq!((ledger.received, ledger.sampled_out), (4, 2));
}

use std::time::Duration;

use resilience::{BreakerPolicy, State};

use crate::world::*;

fn quick() -> resilience::CallPolicy {
    policy(|parts| {
        let breaker = parts.circuit_breaker.get_or_insert_with(BreakerPolicy::default);
        breaker.open_for.base = Duration::from_millis(200);
    })
}

#[tokio::test]
async fn the_breaker_opens_after_the_sixth_failure_and_closes_when_the_service_has_recovered() {
    let world = World::with(|settings| settings.policy = quick()).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    backend.fail(true);
    let mut client = Client::new(world.address()).await;
    for _ in 0..6 {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 500);
    }
    let refused = client.send(request("GET", "cart", "/", "")).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "BW-2003"));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("proxy-status"), "bellwether; error=destination_unavailable");
    assert_eq!(backend.calls(), 6, "a refused call reaches nobody");

    backend.fail(false);
    let recovered = async { while client.send(request("GET", "cart", "/", "")).await.status != 200 {} };
    soon("recovery", recovered).await;
    for _ in 0..10 {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 200);
    }

    world.stores.until("all transitions", |stores| stores.transitions().len() >= 3).await;
    let transitions = world.stores.transitions();
    let states: Vec<_> = transitions.iter().map(|t| (t.from, t.to)).collect();
    let expected =
        [(State::Closed, State::Open), (State::Open, State::HalfOpen), (State::HalfOpen, State::Closed)];
    assert_eq!(states, expected);
    let opened = &transitions[0];
    assert_eq!(opened.reason, "6 failures in a row, threshold 5");
    assert_eq!((opened.counts.failures, opened.exemplar_trace_ids.len()), (6, 6));
    let spans = world.stores.spans();
    for exemplar in &opened.exemplar_trace_ids {
        assert!(spans.iter().any(|span| span.trace_id == *exemplar && span.is_error()), "{exemplar}");
    }
    world
        .stores
        .until("the row", |stores| {
            let rows: Vec<_> = stores.reports().into_iter().flat_map(|report| report.breakers).collect();
            rows.last().is_some_and(|row| row.state == State::Closed && row.counts.refused > 0)
        })
        .await;
}

#[tokio::test]
async fn a_refused_call_leaves_its_span_and_its_count() {
    let world = World::with(|settings| settings.policy = quick()).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    backend.fail(true);
    for status in [500, 500, 500, 500, 500, 500, 503] {
        assert_eq!(world.get("cart", "/secret?token=1").await.status, status);
    }
    world.stores.until("all calls", |stores| stores.calls().values().sum::<u64>() == 7).await;
    assert_eq!(world.stores.calls(), [(("error", "5xx"), 6), (("refused", "5xx"), 1)].into());
    world.stores.until("all spans", |stores| stores.spans().len() == 13).await;
    let spans = world.stores.spans();
    let refused: Vec<_> =
        spans.iter().filter(|span| span.attributes.get_str("bellwether.refused").is_some()).collect();
    let [refused] = refused[..] else { panic!("{refused:?}") };
    assert_eq!(refused.attributes.get_str("bellwether.refused"), Some("breaker_open"));
    assert_eq!(refused.attributes.get_str("bellwether.breaker.state"), Some("open"));
    assert_eq!(refused.attributes.get_str("url.path"), Some("/secret"));
    assert!(refused.is_error());
}

#[tokio::test]
async fn our_own_refusals_do_not_count_against_the_service() {
    let world = World::with(|settings| settings.policy = quick()).await;
    let backend = Backend::named("a").await;
    world
        .registry
        .acknowledged(world.registry.set("cart", &[(backend.address, registry::Status::Down)]))
        .await;
    for _ in 0..20 {
        assert_eq!(world.get("cart", "/").await.code(), "BW-2002");
    }
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.status, 200);
}

#[tokio::test]
async fn a_failing_instance_does_not_draw_traffic_by_being_fast() {
    // Without a breaker, so that only the choice of the endpoint is seen.
    let open = policy(|parts| parts.circuit_breaker = None);
    let world = World::with(|settings| settings.policy = open).await;
    let (good, bad) = (Backend::named("good").await, Backend::named("bad").await);
    bad.fail(true);
    world.up("cart", &[good.address, bad.address]).await;
    let mut client = Client::new(world.address()).await;
    for _ in 0..200 {
        client.send(request("GET", "cart", "/", "")).await;
    }
    assert!(bad.calls() < 20, "{} of 200 calls went to the failing instance", bad.calls());
}

use std::time::Duration;

use registry::Status;
use resilience::{Deviation, OutlierPolicy, State};
use wire::native::channel::{EndpointRow, Transition};

use crate::world::*;

/// A policy that takes endpoints out, and never refuses a service as a whole.
fn alone(change: impl FnOnce(&mut OutlierPolicy)) -> resilience::CallPolicy {
    policy(|parts| {
        parts.circuit_breaker = None;
        change(parts.outlier_detection.get_or_insert_with(OutlierPolicy::default));
    })
}

/// What happened to single endpoints.
fn turns(world: &World) -> Vec<Transition> {
    world.stores.transitions().into_iter().filter(|turn| turn.instance.is_some()).collect()
}

fn states(world: &World) -> Vec<(String, State, State)> {
    let of = |turn: Transition| (turn.instance.unwrap().to_string(), turn.from, turn.to);
    turns(world).into_iter().map(of).collect()
}

/// The last report's row of an endpoint.
fn row(stores: &Stores, instance: &str) -> Option<EndpointRow> {
    let last = stores.last()?;
    last.endpoints.into_iter().find(|row| row.instance.as_str() == instance)
}

/// Calls until an endpoint is out, and answers how many calls failed.
async fn call_until_ejected(world: &World, instance: &str) -> usize {
    let mut client = Client::new(world.address()).await;
    let mut failed = 0;
    let ejected = async {
        let is_out = |row: EndpointRow| row.state == State::Open && !row.ejected.is_empty();
        while !row(&world.stores, instance).is_some_and(is_out) {
            failed += usize::from(client.send(request("GET", "cart", "/", "")).await.status >= 500);
        }
    };
    soon("the ejection", ejected).await;
    failed
}

#[tokio::test]
async fn an_endpoint_is_out_after_its_sixth_failure_and_its_siblings_take_all() {
    let world = World::with(|settings| settings.policy = alone(|_| {})).await;
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    world.up("cart", &backends.each_ref().map(|backend| backend.address)).await;
    backends[2].fail(true);
    assert_eq!(call_until_ejected(&world, "cart-2").await, 6, "each failure before reached a client");
    let mut client = Client::new(world.address()).await;
    for _ in 0..100 {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 200);
    }
    assert_eq!(backends[2].calls(), 6);
    let [turn] = &turns(&world)[..] else { panic!("{:?}", turns(&world)) };
    assert_eq!(
        (turn.instance.as_ref().map(|id| id.as_str()), turn.from, turn.to),
        (Some("cart-2"), State::Closed, State::Open)
    );
    assert_eq!(turn.reason, "6 failures in a row, threshold 5");
    assert_eq!((turn.counts.failures, turn.exemplar_trace_ids.len()), (6, 6));
    let out = row(&world.stores, "cart-2").unwrap();
    assert_eq!((out.ejected.as_str(), out.counts.failures), ("6 failures in a row, threshold 5", 6));
    assert_eq!(row(&world.stores, "cart-0").unwrap().ejected, "");
}

#[tokio::test]
async fn an_endpoint_that_is_out_is_tried_after_a_while_and_comes_back_when_it_has_recovered() {
    let quick = |policy: &mut OutlierPolicy| policy.rules.open_for.base = Duration::from_millis(100);
    let world = World::with(|settings| settings.policy = alone(quick)).await;
    let (good, bad) = (Backend::named("good").await, Backend::named("bad").await);
    world.up("cart", &[good.address, bad.address]).await;
    bad.fail(true);
    call_until_ejected(&world, "cart-1").await;
    let mut client = Client::new(world.address()).await;
    let relapsed = async {
        while turns(&world).len() < 3 {
            client.send(request("GET", "cart", "/", "")).await;
        }
    };
    soon("a probe that fails", relapsed).await;
    bad.fail(false);
    let recovered = async {
        let is_back = |row: EndpointRow| row.state == State::Closed && row.ejected.is_empty();
        while !row(&world.stores, "cart-1").is_some_and(is_back) {
            client.send(request("GET", "cart", "/", "")).await;
        }
    };
    soon("the return", recovered).await;
    let seen = states(&world);
    let turn = |from, to| ("cart-1".to_owned(), from, to);
    let (out, tried) = (turn(State::Closed, State::Open), turn(State::Open, State::HalfOpen));
    assert_eq!(seen[..3], [out, tried.clone(), turn(State::HalfOpen, State::Open)]);
    assert_eq!(seen[seen.len() - 2..], [tried, turn(State::HalfOpen, State::Closed)]);
    // Which of two is chosen depends on how fast each was lately, so not on a number of calls.
    let before = bad.calls();
    let shared = async {
        while bad.calls() <= before + 5 {
            assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 200);
        }
    };
    soon("its share of calls", shared).await;
}

#[tokio::test]
async fn no_more_endpoints_go_out_than_the_policy_allows_and_never_the_last() {
    let world = World::with(|settings| settings.policy = alone(|_| {})).await;
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    world.up("cart", &backends.each_ref().map(|backend| backend.address)).await;
    let single = Backend::named("single").await;
    world.up("single", &[single.address]).await;
    for backend in backends.iter().chain([&single]) {
        backend.fail(true);
    }
    let mut client = Client::new(world.address()).await;
    let all_failed_often = async {
        while backends.iter().filter(|backend| backend.calls() > 12).count() < 2 {
            client.send(request("GET", "cart", "/", "")).await;
        }
    };
    soon("failures", all_failed_often).await;
    for _ in 0..20 {
        assert_eq!(client.send(request("GET", "single", "/", "")).await.status, 500);
    }
    assert_eq!(single.calls(), 20);
    world.stores.until("the calls", |stores| stores.calls().values().sum::<u64>() >= 44).await;
    let seen = states(&world);
    assert_eq!(seen.len(), 1, "a third of three is one: {seen:?}");
}

#[tokio::test]
async fn an_endpoint_that_goes_down_gives_its_place_to_another_that_fails() {
    let world = World::with(|settings| settings.policy = alone(|_| {})).await;
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    world.up("cart", &addresses).await;
    backends[2].fail(true);
    call_until_ejected(&world, "cart-2").await;
    let [a, b, c] = addresses;
    let down = world.registry.set("cart", &[(a, Status::Up), (b, Status::Up), (c, Status::Down)]);
    world.registry.acknowledged(down).await;
    backends[1].fail(true);
    call_until_ejected(&world, "cart-1").await;
    // Up again and as bad as before, but there is one place only: it takes calls.
    world.up("cart", &addresses).await;
    let before = backends[2].calls();
    let mut client = Client::new(world.address()).await;
    let called = async {
        while backends[2].calls() == before {
            client.send(request("GET", "cart", "/", "")).await;
        }
    };
    soon("a call", called).await;
}

#[tokio::test]
async fn where_nobody_else_is_left_an_ejected_endpoint_takes_all() {
    let world = World::with(|settings| settings.policy = alone(|_| {})).await;
    let (good, bad) = (Backend::named("good").await, Backend::named("bad").await);
    world.up("cart", &[good.address, bad.address]).await;
    bad.fail(true);
    call_until_ejected(&world, "cart-1").await;
    bad.fail(false);
    let only = world.registry.set("cart", &[(good.address, Status::Down), (bad.address, Status::Up)]);
    world.registry.acknowledged(only).await;
    assert_eq!(world.get("cart", "/").await.body, "bad");
}

#[tokio::test]
async fn what_callers_do_wrong_takes_no_endpoint_out() {
    let world = World::with(|settings| settings.policy = alone(|_| {})).await;
    let handler = |_| async {
        std::future::pending::<()>().await;
        reply(200, "")
    };
    let (hanging, strict) = (Backend::new(handler).await, Backend::new(|_| async { reply(501, "") }).await);
    world.up("hanging", &[hanging.address, hanging.address, hanging.address]).await;
    world.up("strict", &[strict.address, strict.address, strict.address]).await;
    for seen in 1..=30 {
        let mut client = Client::new(world.address()).await;
        let sent = tokio::spawn(async move { client.send(request("GET", "hanging", "/", "")).await });
        let called = async {
            while hanging.calls() < seen {
                tokio::task::yield_now().await;
            }
        };
        soon("the call", called).await;
        sent.abort();
        assert_eq!(world.get("strict", "/").await.status, 501);
    }
    world.stores.until("the calls", |stores| stores.calls().values().sum::<u64>() == 60).await;
    assert_eq!(states(&world), []);
}

#[tokio::test]
async fn an_endpoint_that_succeeds_less_often_than_its_siblings_is_out() {
    let compared = |policy: &mut OutlierPolicy| {
        policy.rules.consecutive_failures = None;
        policy.rules.window = resilience::Window::Time(Duration::from_secs(1));
        policy.deviation = Some(Deviation { factor: 1.5, min_calls: 3, min_endpoints: 4 });
    };
    let world = World::with(|settings| settings.policy = alone(compared)).await;
    let mut backends = Vec::new();
    for _ in 0..5 {
        backends.push(Backend::named("one").await);
    }
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    world.up("cart", &addresses).await;
    backends[3].fail(true);
    call_until_ejected(&world, "cart-3").await;
    let [turn] = &turns(&world)[..] else { panic!("{:?}", turns(&world)) };
    assert!(turn.reason.contains("among its siblings"), "{}", turn.reason);
}

#[tokio::test]
async fn a_healthy_fleet_with_an_error_now_and_then_loses_nobody() {
    let world = World::with(|settings| settings.policy = alone(|_| {})).await;
    let sometimes = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut addresses = Vec::new();
    for _ in 0..4 {
        let sometimes = sometimes.clone();
        let handler = move |_| {
            let number = sometimes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            // Twenty of a hundred, and never in one place.
            async move { reply(if number.is_multiple_of(5) { 500 } else { 200 }, "") }
        };
        addresses.push(Backend::new(handler).await.address);
    }
    world.up("cart", &addresses).await;
    let clients = (0..16).map(|_| async {
        let mut client = Client::new(world.address()).await;
        for _ in 0..100 {
            client.send(request("GET", "cart", "/", "")).await;
        }
    });
    futures_util::future::join_all(clients).await;
    world.stores.until("the calls", |stores| stores.calls().values().sum::<u64>() == 1_600).await;
    assert_eq!(states(&world), []);
}

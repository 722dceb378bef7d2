use std::time::Duration;

use resilience::{Force, State};

use crate::world::*;

const LONG: Duration = Duration::from_secs(3_600);

fn states(world: &World) -> Vec<(State, State)> {
    world.stores.transitions().iter().map(|turn| (turn.from, turn.to)).collect()
}

/// Calls until the answer has this status.
async fn until(world: &World, status: u16) {
    let mut client = Client::new(world.address()).await;
    let answered = async { while client.send(request("GET", "cart", "/", "")).await.status != status {} };
    soon("the answer", answered).await;
}

#[tokio::test]
async fn a_breaker_that_is_forced_open_refuses_for_its_time_and_then_asks_its_probes() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    world.registry.force("cart", Some(Force::Open), Duration::from_secs(1));
    until(&world, 503).await;
    let refused = world.get("cart", "/").await;
    assert_eq!(refused.code(), "BW-2003");
    assert!(!refused.header("retry-after").is_empty());
    until(&world, 200).await;
    world.stores.until("the probes", |stores| stores.transitions().len() >= 2).await;
    assert_eq!(
        states(&world)[..2],
        [(State::Closed, State::ForcedOpen), (State::ForcedOpen, State::HalfOpen)]
    );
    assert_eq!(world.stores.transitions()[0].reason, "forced by an operator: maria: the new version");
    assert_eq!(world.stores.transitions()[1].reason, "the time of the operator's word is over");
}

#[tokio::test]
async fn a_word_reaches_a_service_that_comes_later_and_stands_above_the_policy() {
    let none = policy(|parts| parts.circuit_breaker = None);
    let world = World::with(|settings| settings.policy = none).await;
    world.registry.force("cart", Some(Force::Open), LONG);
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.code(), "BW-2003");
    assert_eq!(backend.calls(), 0);
    world.registry.force("cart", None, LONG);
    until(&world, 200).await;
}

#[tokio::test]
async fn a_breaker_that_is_forced_closed_or_disabled_lets_failures_pass_until_it_is_reset() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    backend.fail(true);
    for force in [Force::Closed, Force::Disabled] {
        let turns = world.stores.transitions().len();
        world.registry.force("cart", Some(force), LONG);
        world.stores.until("the word", |stores| stores.transitions().len() > turns).await;
        for _ in 0..20 {
            assert_eq!(world.get("cart", "/").await.status, 500);
        }
    }
    world
        .stores
        .until("the rows", |stores| {
            let rows = stores.last().map(|report| report.breakers).unwrap_or_default();
            rows.iter().any(|row| row.state == State::Disabled && row.counts.failures == 20)
        })
        .await;
    world.registry.force("cart", None, LONG);
    until(&world, 503).await;
    assert_eq!(backend.calls(), 46, "the sixth failure after the reset opens");
}

#[tokio::test]
async fn a_proxy_that_comes_back_does_not_follow_the_same_word_twice() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    world.registry.force("cart", Some(Force::Closed), LONG);
    world.stores.until("the word", |stores| stores.transitions().len() == 1).await;
    world.registry.go_online(false);
    world.registry.go_online(true);
    // Whatever was said again on the new watch was said before this.
    world.up("other", &[backend.address]).await;
    assert_eq!(world.get("other", "/").await.status, 200);
    world
        .stores
        .until("a report", |stores| stores.last().is_some_and(|report| report.endpoints.len() == 1))
        .await;
    assert_eq!(states(&world), [(State::Closed, State::ForcedClosed)]);
}

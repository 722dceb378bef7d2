use std::time::Duration;

use resilience::{BreakerPolicy, State};

use crate::world::*;

fn threshold(failures: u32) -> resilience::CallPolicy {
    policy(|parts| {
        let breaker = parts.circuit_breaker.get_or_insert_with(BreakerPolicy::default);
        breaker.consecutive_failures = Some(failures);
        breaker.open_for.base = Duration::from_secs(60);
    })
}

#[tokio::test]
async fn a_policy_that_changes_keeps_what_the_breaker_has_counted_and_names_itself() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    backend.fail(true);
    let mut client = Client::new(world.address()).await;
    for _ in 0..4 {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 500);
    }
    let revision = world.registry.write_policy("cart", Some(threshold(4)));
    world.registry.acknowledged(revision).await;
    // The fifth failure in a row, of which four came by the policy before.
    assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 500);
    assert_eq!(client.send(request("GET", "cart", "/", "")).await.code(), "BW-2003");
    world.stores.until("the opening", |stores| !stores.transitions().is_empty()).await;
    let opened = &world.stores.transitions()[0];
    assert_eq!((opened.to, opened.policy_revision), (State::Open, revision));
    assert_eq!((opened.counts.failures, opened.exemplar_trace_ids.len()), (5, 5));

    // Open it stays, by whatever policy.
    let revision = world.registry.write_policy("cart", Some(threshold(100)));
    world.registry.acknowledged(revision).await;
    assert_eq!(client.send(request("GET", "cart", "/", "")).await.code(), "BW-2003");
    world.stores.until("all spans", |stores| stores.spans().len() == 12).await;
    let revisions: Vec<_> = world
        .stores
        .spans()
        .iter()
        .filter(|span| span.parent_span_id.is_none())
        .map(|span| span.attributes.get("bellwether.policy.revision").map(ToString::to_string))
        .collect();
    let seen: Vec<_> = revisions.iter().flatten().map(String::as_str).collect();
    assert_eq!(seen, ["0", "0", "0", "0", "3", "3", "4"]);
}

#[tokio::test]
async fn a_policy_that_is_gone_leaves_the_built_in_one() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.registry.write_policy("cart", Some(policy(|parts| parts.circuit_breaker = None)));
    world.up("cart", &[backend.address]).await;
    backend.fail(true);
    let mut client = Client::new(world.address()).await;
    for _ in 0..20 {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 500, "no breaker");
    }
    world.registry.acknowledged(world.registry.write_policy("cart", None)).await;
    let opened = async { while client.send(request("GET", "cart", "/", "")).await.status != 503 {} };
    soon("the opening", opened).await;
    assert_eq!(backend.calls(), 26, "the sixth failure opens");
}

//! Calls that somebody watches go by.

use wire::native::channel::{StatusFilter, Tap};

use crate::world::*;

fn tap(number: u64, status: Option<StatusFilter>, per_second: u32) -> Tap {
    let service = "cart".parse().unwrap();
    Tap { number, namespace: Default::default(), service, status, per_second }
}

/// Waits until the proxy does what it was told: calls until one is told.
async fn until_told(world: &World, path: &str) {
    let told = async {
        while world.stores.tapped().0.is_empty() {
            world.get("cart", path).await;
        }
    };
    soon("a call that is told", told).await;
}

#[tokio::test]
async fn a_tap_tells_what_became_of_each_call_of_its_service_and_of_no_other() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    world.up("other", &[backend.address]).await;
    world.get("cart", "/before").await;
    world.registry.tap(vec![tap(7, None, 1_000)]);
    until_told(&world, "/first?secret=1").await;
    let first = world.stores.tapped().0[0].clone();
    assert_eq!((first.tap, &*first.method, &*first.path, first.status), (7, "GET", "/first", 200));
    assert_eq!((first.caller.as_str(), first.attempts, &*first.refused), ("gateway", 1, ""));
    let (instance, address) = first.endpoint.unwrap();
    assert_eq!((instance.as_str(), &*address), ("cart-0", backend.address.to_string().as_str()));
    assert!(first.duration_ns > 0);

    world.get("other", "/other").await;
    backend.fail(true);
    while world.get("cart", "/failing").await.status != 503 {}
    world
        .stores
        .until("the refused call", |stores| stores.tapped().0.iter().any(|call| call.status == 503))
        .await;
    let (calls, left_out) = world.stores.tapped();
    assert!(calls.iter().all(|call| !["/before", "/other"].contains(&&*call.path)), "{calls:?}");
    let refused = calls.iter().find(|call| call.status == 503).unwrap();
    assert_eq!((&*refused.refused, refused.attempts, left_out), ("breaker_open", 0, 0));
    assert!(refused.endpoint.is_none() && refused.detail.contains("open"), "{refused:?}");
}

#[tokio::test]
async fn only_the_status_that_is_asked_for_travels_and_what_is_too_much_is_a_number() {
    let world = World::new().await;
    let backend = Backend::new(|request: http::Request<hyper::body::Incoming>| async move {
        reply(if request.uri().path() == "/bad" { 404 } else { 200 }, "")
    })
    .await;
    world.up("cart", &[backend.address]).await;
    world.registry.tap(vec![tap(1, Some(StatusFilter::Class(4)), 1_000)]);
    until_told(&world, "/bad").await;
    for _ in 0..20 {
        world.get("cart", "/good").await;
    }
    let before = world.stores.tapped().0.len();
    world.get("cart", "/bad").await;
    world.stores.until("the last one", |stores| stores.tapped().0.len() > before).await;
    assert!(world.stores.tapped().0.iter().all(|call| call.status == 404));

    // Two readers; the second one wants hardly any.
    world.registry.tap(vec![tap(2, None, 1)]);
    let crowded = async {
        while world.stores.tapped().1 == 0 {
            world.get("cart", "/good").await;
        }
    };
    soon("calls that are left out", crowded).await;
    world.registry.go_online(false);
    let ended = async {
        loop {
            let told = world.stores.tapped();
            for _ in 0..5 {
                world.get("cart", "/good").await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            if world.stores.tapped() == told {
                return;
            }
        }
    };
    soon("the end of the tap with the watch", ended).await;
}

use crate::world::*;

#[tokio::test]
async fn calls_go_on_by_the_last_snapshot_while_the_directory_is_away() {
    let world = World::new().await;
    let (first, second) = (Backend::named("first").await, Backend::named("second").await);
    world.up("cart", &[first.address]).await;
    world.registry.go_online(false);
    for _ in 0..20 {
        assert_eq!(world.get("cart", "/").await.body, "first");
    }
    // What changes meanwhile is found out on return, by the revision that is known.
    let known = world.proxy.revision().unwrap();
    let revision = world.registry.up("cart", &[second.address]);
    world.registry.go_online(true);
    world.registry.acknowledged(revision).await;
    assert_eq!(world.get("cart", "/").await.body, "second");
    let hellos = world.registry.hellos();
    assert_eq!(hellos.first().map(|hello| hello.since), Some(None));
    assert_eq!(hellos.last().map(|hello| (hello.since, hello.epoch)), Some((Some(known), 77)));
}

#[tokio::test]
async fn a_service_that_is_really_gone_is_forgotten() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.status, 200);
    world.up("cart", &[]).await;
    assert_eq!(world.get("cart", "/").await.code(), "BW-2001");
}

#[tokio::test]
async fn before_the_first_snapshot_a_call_is_503() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = proxy::Settings::new(listener, "proxy-1".parse().unwrap(), 1, 1).unwrap();
    let registry = Registry::new();
    registry.go_online(false);
    let proxy = proxy::Proxy::start(settings, registry.clone(), Stores::new()).unwrap();
    let get = || async { Client::new(proxy.local_addr()).await.send(request("GET", "cart", "/", "")).await };
    assert_eq!(get().await.code(), "BW-2018");
    registry.go_online(true);
    soon("readiness", proxy.ready()).await;
    assert_eq!(get().await.code(), "BW-2001");
}

#[tokio::test]
async fn spans_wait_within_their_bound_while_the_stores_are_away_and_of_calls_nothing_is_lost() {
    let world = World::with(|settings| settings.limits.spooled_spans = 30).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    world.stores.be(Mood::IsAway);
    let mut client = Client::new(world.address()).await;
    for _ in 0..50 {
        client.send(request("GET", "cart", "/", "")).await;
    }
    let full = |proxy: &proxy::Proxy| proxy.ledger().spooled == 30;
    soon("a full spool", async {
        while !full(&world.proxy) {
            tokio::task::yield_now().await
        }
    })
    .await;
    world.stores.be(Mood::Takes);
    world.stores.until("all calls", |stores| stores.calls() == [(("ok", "2xx"), 50)].into()).await;
    let ledger = world.proxy.shutdown().await;
    assert!(ledger.balances(), "{ledger:?}");
    assert_eq!((ledger.received, ledger.stored, ledger.spooled), (100, 30, 0));
    assert_eq!(ledger.dropped.get("spool_full"), Some(&70));
    let intakes: Vec<_> = world.stores.reports().into_iter().map(|report| report.spans_intake).collect();
    assert_eq!(intakes.iter().map(|intake| intake.received).sum::<u64>(), 100);
    let dropped = intakes.iter().flat_map(|intake| &intake.dropped).map(|(_, count)| count).sum::<u64>();
    assert_eq!(dropped, 70);
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_comes_again_unchanged() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    world.stores.be(Mood::LosesAnswers);
    for _ in 0..10 {
        assert_eq!(world.get("cart", "/").await.status, 200);
    }
    let stores = world.stores.clone();
    world.stores.until("a repetition", |_| stores.handed_over() > stores.reports().len()).await;
    world.stores.be(Mood::Takes);
    let ledger = world.proxy.shutdown().await;
    assert_eq!(world.stores.calls(), [(("ok", "2xx"), 10)].into());
    assert_eq!((world.stores.spans().len(), ledger.stored), (20, 20));
}

#[tokio::test]
async fn what_a_refused_report_held_is_counted_as_dropped() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    world.stores.be(Mood::Refuses);
    assert_eq!(world.get("cart", "/").await.status, 200);
    let refused = async {
        while world.proxy.ledger().dropped.get("report_refused") != Some(&2) {
            tokio::task::yield_now().await;
        }
    };
    soon("the refusal", refused).await;
    world.stores.be(Mood::Takes);
    assert_eq!(world.get("cart", "/").await.status, 200);
    let ledger = world.proxy.shutdown().await;
    assert!(ledger.balances() && ledger.stored == 2, "{ledger:?}");
    let received = world.stores.reports().iter().map(|report| report.spans_intake.received).sum::<u64>();
    assert_eq!(received, 4, "the stores hear of all that there was");
}

use std::{path::Path, sync::Arc, time::Duration};

use proxy::{Keep, Settings};
use resilience::{Algorithm, Force, LoadBalancing};
use storage_disk::RealDisk;

use crate::world::*;

fn keep(folder: &Path) -> Option<Keep> {
    Some(Keep { disk: Arc::new(RealDisk), path: folder.join("snapshot"), is_owned: true })
}

/// A proxy that keeps its table in this folder, and hears from nobody.
async fn alone(folder: &Path) -> World {
    World::without_directory(|settings: &mut Settings| settings.keep = keep(folder)).await
}

#[tokio::test]
async fn a_proxy_that_restarts_alone_goes_on_by_its_last_table_with_policies_and_overrides() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(|settings| settings.keep = keep(folder.path())).await;
    let backends = [Backend::named("a").await, Backend::named("b").await];
    let turns = policy(|parts| {
        parts.load_balancing = LoadBalancing { algorithm: Algorithm::RoundRobin, ..LoadBalancing::default() };
    });
    world.registry.write_policy("cart", Some(turns));
    world.up("cart", &backends.each_ref().map(|backend| backend.address)).await;
    world.up("shut", &[backends[0].address]).await;
    world.registry.force("shut", Some(Force::Open), Duration::from_secs(3_600));
    world.stores.until("the word", |stores| !stores.transitions().is_empty()).await;
    assert_eq!(world.proxy.snapshot_age(), None);
    world.proxy.shutdown().await;

    let world = alone(folder.path()).await;
    world.proxy.ready().await;
    let mut client = Client::new(world.address()).await;
    for expected in ["a", "b", "a", "b"] {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.body, expected);
    }
    assert_eq!(client.send(request("GET", "shut", "/", "")).await.code(), "BW-2003");
    assert!(world.proxy.snapshot_age().is_some());
    world.stores.until("the spans", |stores| !stores.spans().is_empty()).await;
    let spans = world.stores.spans();
    let aged = spans.iter().any(|span| span.attributes.get("bellwether.snapshot.age_ms").is_some());
    assert!(aged, "{spans:?}");
}

#[tokio::test]
async fn an_address_from_before_is_not_used_until_it_accepts_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(|settings| settings.keep = keep(folder.path())).await;
    let here = Backend::named("here").await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    world.up("cart", &[here.address, address]).await;
    world.up("lost", &[address]).await;
    world.proxy.shutdown().await;
    drop(gone);

    let world = alone(folder.path()).await;
    world.proxy.ready().await;
    let mut client = Client::new(world.address()).await;
    for _ in 0..20 {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.body, "here");
    }
    assert_eq!(client.send(request("GET", "lost", "/", "")).await.code(), "BW-2002");
    world.stores.until("the spans", |stores| stores.spans().len() >= 41).await;
    assert!(
        !world.stores.spans().iter().any(|span| span.attributes.get("http.request.resend_count").is_some())
    );
    // It is asked again, and used once it is there.
    let _back = tokio::net::TcpListener::bind(address).await.unwrap();
    let used = async {
        while client.send(request("GET", "lost", "/", "")).await.status == 503 {
            tokio::task::yield_now().await;
        }
    };
    let answered = tokio::time::timeout(SOON, used);
    tokio::select! {
        _ = answered => panic!("nobody answers there"),
        accepted = _back.accept() => drop(accepted.unwrap()),
    }
}

#[tokio::test]
async fn without_a_table_or_with_a_damaged_one_calls_wait_for_the_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(alone(folder.path()).await.get("cart", "/").await.code(), "BW-2018");
    std::fs::write(folder.path().join("snapshot"), b"bellwether snapshot 1\nrubbish").unwrap();
    let world = alone(folder.path()).await;
    assert_eq!(world.get("cart", "/").await.code(), "BW-2018");
    let backend = Backend::named("a").await;
    world.registry.go_online(true);
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.status, 200);
    assert_eq!(world.proxy.snapshot_age(), None);
}

#[tokio::test]
async fn a_proxy_that_restarts_says_what_it_knows_and_hears_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(|settings| settings.keep = keep(folder.path())).await;
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    world.up("cart", &[old.address]).await;
    let (registry, known) = (world.registry.clone(), world.proxy.revision());
    world.proxy.shutdown().await;
    registry.up("other", &[new.address]);
    let world = World::following(registry, |settings| settings.keep = keep(folder.path())).await;
    let heard = async { while world.get("other", "/").await.status != 200 {} };
    soon("the news", heard).await;
    assert_eq!(world.get("cart", "/").await.body, "old");
    assert_eq!(world.registry.hellos().last().unwrap().since, known);
}

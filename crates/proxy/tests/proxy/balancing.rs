use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use hash_ring::{Maglev, Ring};
use registry::{Host, Status};
use resilience::{Algorithm, HashKey, LoadBalancing, OutlierPolicy};
use wire::native::channel::Endpoint;

use crate::world::*;

fn by(algorithm: Algorithm, hash_key: Option<HashKey>) -> resilience::CallPolicy {
    policy(|parts| {
        parts.circuit_breaker = None;
        parts.load_balancing = LoadBalancing { algorithm, hash_key, bounded: None };
    })
}

fn user() -> Option<HashKey> {
    Some(HashKey::Header("x-user-id".into()))
}

/// Endpoints that answer with their instance's id.
async fn instances(count: usize) -> Vec<Backend> {
    let named = (0..count).map(|at| {
        let name = format!("cart-{at}");
        Backend::new(move |_| {
            let name = name.clone();
            async move { reply(200, name) }
        })
    });
    join_all(named).await
}

fn addresses(backends: &[Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

/// Who answers a call with this header.
async fn owner(client: &mut Client, key: &str) -> String {
    let mut call = request("GET", "cart", "/", "");
    call.headers_mut().insert("x-user-id", key.parse().unwrap());
    String::from_utf8(client.send(call).await.body.to_vec()).unwrap()
}

/// How many of so many calls each instance answers.
async fn shares(world: &World, calls: usize) -> BTreeMap<String, usize> {
    let mut client = Client::new(world.address()).await;
    let mut shares = BTreeMap::new();
    for _ in 0..calls {
        let answer = client.send(request("GET", "cart", "/", "")).await;
        *shares.entry(String::from_utf8(answer.body.to_vec()).unwrap()).or_default() += 1;
    }
    shares
}

#[tokio::test]
async fn a_key_goes_to_its_owner_on_the_ring_or_in_the_table_that_everybody_builds() {
    let backends = instances(5).await;
    let members: Vec<_> = (0..5).map(|at| (format!("cart-{at}"), 100)).collect();
    let (ring, table) = (Ring::new(members.clone()), Maglev::new(members));
    for algorithm in [Algorithm::Ring, Algorithm::Maglev] {
        let world = World::with(|settings| settings.policy = by(algorithm, user())).await;
        world.up("cart", &addresses(&backends)).await;
        let mut client = Client::new(world.address()).await;
        for number in 0..60 {
            let key = format!("user-{number}");
            let expected = match algorithm {
                Algorithm::Ring => ring.owner(key.as_bytes()),
                _ => table.owner(key.as_bytes()),
            };
            assert_eq!(Some(owner(&mut client, &key).await.as_str()), expected, "{key} by {algorithm:?}");
        }
    }
}

#[tokio::test]
async fn a_key_whose_home_takes_no_calls_goes_on_and_comes_back_and_no_other_key_moves() {
    let world = World::with(|settings| settings.policy = by(Algorithm::Ring, user())).await;
    let backends = instances(4).await;
    let all = addresses(&backends);
    world.up("cart", &all).await;
    let ring = Ring::new((0..4).map(|at| (format!("cart-{at}"), 100)));
    let mut client = Client::new(world.address()).await;
    let down = |at: usize, status| if at == 2 { status } else { Status::Up };
    for status in [Status::Down, Status::Draining, Status::Up] {
        let rows: Vec<_> = all.iter().enumerate().map(|(at, to)| (*to, down(at, status))).collect();
        world.registry.acknowledged(world.registry.set("cart", &rows)).await;
        for number in 0..60 {
            let key = format!("user-{number}");
            let mut walk = ring.walk(key.as_bytes()).filter(|id| status == Status::Up || *id != "cart-2");
            assert_eq!(Some(owner(&mut client, &key).await.as_str()), walk.next(), "{key} while {status}");
        }
    }
    world.stores.until("the spans", |stores| stores.spans().len() >= 200).await;
    let spans = world.stores.spans();
    let said = |name: &str, value: &str| {
        spans.iter().filter(|span| span.attributes.get_str(name) == Some(value)).count()
    };
    assert!(said("bellwether.ring.home", "cart-2") > 0);
    let elsewhere = spans.iter().filter(|span| {
        span.attributes.get_str("bellwether.ring.home") == Some("cart-2")
            && span.attributes.get_str("bellwether.instance") != Some("cart-2")
    });
    assert_eq!(elsewhere.count(), said("bellwether.ring.reason", "not_up"));
    assert!(said("bellwether.ring.reason", "not_up") > 0);
}

#[tokio::test]
async fn an_ejected_home_is_walked_past_and_its_keys_try_it_again() {
    let policy = policy(|parts| {
        parts.circuit_breaker = None;
        parts.load_balancing = LoadBalancing { algorithm: Algorithm::Ring, hash_key: user(), bounded: None };
        let outliers = parts.outlier_detection.get_or_insert_with(OutlierPolicy::default);
        outliers.rules.open_for.base = Duration::from_millis(200);
    });
    let world = World::with(|settings| settings.policy = policy).await;
    let backends = instances(4).await;
    world.up("cart", &addresses(&backends)).await;
    let ring = Ring::new((0..4).map(|at| (format!("cart-{at}"), 100)));
    let walk: Vec<_> = ring.walk(b"user-1").collect();
    let home: usize = walk[0].strip_prefix("cart-").unwrap().parse().unwrap();
    let mut client = Client::new(world.address()).await;
    backends[home].fail(true);
    for _ in 0..6 {
        assert_eq!(owner(&mut client, "user-1").await, "", "its home fails, and nobody else is asked");
    }
    assert_eq!(owner(&mut client, "user-1").await, walk[1]);
    backends[home].fail(false);
    let back = async { while owner(&mut client, "user-1").await != walk[0] {} };
    soon("the return", back).await;
    world
        .stores
        .until("the reason", |stores| {
            let spans = stores.spans();
            spans.iter().any(|span| span.attributes.get_str("bellwether.ring.reason") == Some("ejected"))
        })
        .await;
}

#[tokio::test]
async fn a_popular_key_fills_its_owner_to_the_bound_and_no_further() {
    let policy = policy(|parts| {
        parts.load_balancing =
            LoadBalancing { algorithm: Algorithm::Ring, hash_key: user(), bounded: Some(1.25) };
    });
    let world = World::with(|settings| settings.policy = policy).await;
    let mut backends = Vec::new();
    for _ in 0..4 {
        backends.push(Backend::new(|_| std::future::pending()).await);
    }
    world.up("cart", &addresses(&backends)).await;
    let mut waiting = Vec::new();
    for calls in 1..=20 {
        let mut client = Client::new(world.address()).await;
        let mut call = request("GET", "cart", "/", "");
        call.headers_mut().insert("x-user-id", "popular".parse().unwrap());
        waiting.push(tokio::spawn(async move { client.send(call).await }));
        let arrived = async {
            while backends.iter().map(Backend::calls).sum::<u64>() < calls {
                tokio::task::yield_now().await;
            }
        };
        soon("the call", arrived).await;
    }
    let loads: Vec<_> = backends.iter().map(Backend::calls).collect();
    assert!(loads.iter().all(|load| *load <= 7), "1.25 times five, rounded up: {loads:?}");
    assert_eq!(loads.iter().sum::<u64>(), 20);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_call_without_a_key_takes_turns_and_turns_are_by_weight() {
    let endpoint = |(at, (to, weight)): (usize, (SocketAddr, u32))| Endpoint {
        instance: format!("cart-{at}").parse().unwrap(),
        host: Host::Ip(to.ip()),
        port: to.port(),
        status: Status::Up,
        weight,
        zone: None,
        version: None,
        warm_up: None,
    };
    for algorithm in [Algorithm::Ring, Algorithm::RoundRobin] {
        let key = user().filter(|_| algorithm == Algorithm::Ring);
        let world = World::with(|settings| settings.policy = by(algorithm, key)).await;
        let backends = instances(3).await;
        let rows = addresses(&backends).into_iter().zip([100, 100, 200]).enumerate().map(endpoint);
        world.registry.acknowledged(world.registry.set_endpoints("cart", rows.collect())).await;
        let expected = [("cart-0", 10), ("cart-1", 10), ("cart-2", 20)];
        assert_eq!(shares(&world, 40).await, expected.map(|(id, calls)| (id.to_owned(), calls)).into());
    }
}

#[tokio::test]
async fn at_random_everybody_has_about_his_share() {
    let world = World::with(|settings| settings.policy = by(Algorithm::Random, None)).await;
    let backends = instances(4).await;
    world.up("cart", &addresses(&backends)).await;
    let shares = shares(&world, 400).await;
    assert!(shares.len() == 4 && shares.values().all(|calls| (60..140).contains(calls)), "{shares:?}");
}

#[tokio::test]
async fn the_fewest_requests_are_where_none_hangs() {
    let world = World::with(|settings| settings.policy = by(Algorithm::LeastRequest, None)).await;
    let (hanging, free) = (Backend::new(|_| std::future::pending()).await, Backend::named("free").await);
    world.up("cart", &[hanging.address, free.address]).await;
    let mut waiting = Vec::new();
    let hangs = async {
        while hanging.calls() == 0 {
            let mut client = Client::new(world.address()).await;
            waiting.push(tokio::spawn(async move { client.send(request("GET", "cart", "/", "")).await }));
            tokio::task::yield_now().await;
        }
    };
    soon("a call that hangs", hangs).await;
    assert_eq!(shares(&world, 50).await, [("free".to_owned(), 50)].into());
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_slow_endpoint_gets_few_calls_and_equal_ones_get_equal_shares() {
    let world = World::with(|settings| settings.policy = by(Algorithm::P2c, None)).await;
    let slow = Backend::new(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        reply(200, "slow")
    })
    .await;
    let fast = instances(2).await;
    world.up("cart", &[slow.address, fast[0].address, fast[1].address]).await;
    let shares = shares(&world, 300).await;
    let of = |id: &str| shares.get(id).copied().unwrap_or_default();
    assert!(of("slow") <= 15, "{shares:?}");
    assert!(of("cart-0") >= 60 && of("cart-1") >= 60, "{shares:?}");
}

#[tokio::test]
async fn the_clients_address_can_be_the_key() {
    let policy = by(Algorithm::Maglev, Some(HashKey::Source));
    let world = World::with(|settings| settings.policy = policy).await;
    let backends = instances(4).await;
    world.up("cart", &addresses(&backends)).await;
    assert_eq!(shares(&world, 20).await.len(), 1);
}

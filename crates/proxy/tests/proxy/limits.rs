use std::time::Duration;

use resilience::{
    BreakerPolicy, ConcurrencyPolicy, Fallback, HashKey, LimitKey, Parts, RateLimitPolicy, RatePolicy, State,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use crate::world::*;

const LONG: Duration = Duration::from_secs(3_600);

/// So many calls an hour.
fn rate(calls: u32, by: Option<LimitKey>) -> RateLimitPolicy {
    RateLimitPolicy { rate: RatePolicy { calls, per: LONG, burst: calls }, by }
}

async fn as_user(client: &mut Client, user: &str) -> Answer {
    let mut call = request("GET", "cart", "/", "");
    call.headers_mut().insert("x-user-id", user.parse().unwrap());
    client.send(call).await
}

#[tokio::test]
async fn beyond_its_rate_a_call_is_429_with_the_time_to_wait_and_reaches_nobody() {
    let world =
        World::with(|settings| settings.policy = policy(|parts| parts.rate_limits = vec![rate(3, None)]));
    let (world, backend) = (world.await, Backend::named("a").await);
    world.up("cart", &[backend.address]).await;
    for _ in 0..3 {
        assert_eq!(world.get("cart", "/").await.status, 200);
    }
    let refused = world.get("cart", "/").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "BW-2011"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1_190..=1_200).contains(&wait), "a third of an hour: {wait}");
    assert_eq!(backend.calls(), 3);
    // What was counted stays so when the policy changes.
    let changed = policy(|parts| {
        parts.rate_limits = vec![rate(3, None)];
        parts.timeouts.call = Duration::from_secs(7);
    });
    world.registry.acknowledged(world.registry.write_policy("cart", Some(changed))).await;
    assert_eq!(world.get("cart", "/").await.status, 429);
    world.stores.until("the calls", |stores| stores.calls().get(&("refused", "4xx")) == Some(&2)).await;
    assert!(world.stores.transitions().is_empty(), "our own refusals are nobody's failures");
}

#[tokio::test]
async fn a_rate_can_be_counted_for_each_user_and_those_without_a_name_share_one() {
    let key = HashKey::Header("x-user-id".into());
    let limits = vec![rate(2, Some(LimitKey::Request(key))), rate(7, Some(LimitKey::Caller))];
    let world = World::with(|settings| settings.policy = policy(|parts| parts.rate_limits = limits)).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    let mut client = Client::new(world.address()).await;
    for (user, statuses) in [("ada", [200, 200, 429]), ("bob", [200, 200, 429]), ("", [200, 200, 429])] {
        for status in statuses {
            assert_eq!(as_user(&mut client, user).await.status, status, "{user}");
        }
    }
    assert_eq!(as_user(&mut client, "eve").await.status, 200);
    assert_eq!(as_user(&mut client, "eve").await.status, 429, "the caller's eighth");
}

/// A service that answers when it is told to.
async fn held() -> (Backend, watch::Sender<bool>) {
    let gate = watch::Sender::new(false);
    let opened = gate.subscribe();
    let backend = Backend::new(move |_| {
        let mut opened = opened.clone();
        async move {
            opened.wait_for(|open| *open).await.unwrap();
            reply(200, "a")
        }
    })
    .await;
    (backend, gate)
}

fn at_once(limit: u32, queue: u32, wait: Duration) -> impl FnOnce(&mut Parts) {
    move |parts| parts.concurrency = Some(ConcurrencyPolicy { limit, queue, wait })
}

fn call(world: &World) -> tokio::task::JoinHandle<Answer> {
    let address = world.address();
    tokio::spawn(async move { Client::new(address).await.send(request("GET", "cart", "/", "")).await })
}

#[tokio::test]
async fn beyond_its_concurrency_calls_wait_in_a_queue_and_beyond_that_they_are_429() {
    let world = World::with(|settings| settings.policy = policy(at_once(1, 1, LONG))).await;
    let (backend, gate) = held().await;
    world.up("cart", &[backend.address]).await;
    let first = call(&world);
    let inside = async {
        while backend.calls() == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the first call", inside).await;
    // Of the next two one waits and one is refused, whichever comes first.
    let (second, third) = (call(&world), call(&world));
    let (refused, waiting) = match futures_util::future::select(second, third).await {
        futures_util::future::Either::Left((answer, waiting))
        | futures_util::future::Either::Right((answer, waiting)) => (answer.unwrap(), waiting),
    };
    assert_eq!((refused.status, refused.code().as_str()), (429, "BW-2010"));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(backend.calls(), 1);
    gate.send_replace(true);
    assert_eq!((first.await.unwrap().status, waiting.await.unwrap().status), (200, 200));
    assert_eq!(world.get("cart", "/").await.status, 200, "all places are free again");
}

#[tokio::test]
async fn whoever_waits_too_long_or_goes_away_leaves_the_queue() {
    let world =
        World::with(|settings| settings.policy = policy(at_once(1, 1, Duration::from_millis(100)))).await;
    let (backend, gate) = held().await;
    world.up("cart", &[backend.address]).await;
    let first = call(&world);
    let inside = async {
        while backend.calls() == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the first call", inside).await;
    let late = call(&world).await.unwrap();
    assert_eq!((late.status, late.code().as_str()), (429, "BW-2010"));
    for _ in 0..20 {
        let gone = call(&world);
        tokio::task::yield_now().await;
        gone.abort();
    }
    gate.send_replace(true);
    assert_eq!(first.await.unwrap().status, 200);
    for _ in 0..20 {
        assert_eq!(world.get("cart", "/").await.status, 200);
    }
}

#[tokio::test]
async fn what_is_left_of_the_callers_time_is_passed_on_and_ends_the_call() {
    let seen = watch::Sender::new(Vec::new());
    let told = seen.clone();
    let backend = Backend::new(move |request: http::Request<hyper::body::Incoming>| {
        let of = |name: &str| {
            request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        told.send_modify(|seen| seen.push((of("x-bellwether-timeout"), of("grpc-timeout"))));
        let hangs = request.uri().path() == "/hang";
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            reply(200, "a")
        }
    })
    .await;
    let world = World::new().await;
    world.up("cart", &[backend.address]).await;
    let mut client = Client::new(world.address()).await;
    let timed = |path: &str, header: &'static str, value: &str| {
        let mut call = request("GET", "cart", path, "");
        call.headers_mut().insert(header, value.parse().unwrap());
        call
    };
    client.send(request("GET", "cart", "/", "")).await;
    client.send(timed("/", "x-bellwether-timeout", "2s")).await;
    client.send(timed("/", "grpc-timeout", "1S")).await;
    client.send(timed("/", "x-bellwether-timeout", "1h")).await;
    let millis = |text: &str| text.strip_suffix("ms").unwrap().parse::<u64>().unwrap();
    let seen = seen.borrow().clone();
    assert_eq!(seen[0], (String::new(), String::new()), "everybody has that time anyway");
    assert!((1_000..2_000).contains(&millis(&seen[1].0)), "{seen:?}");
    assert!((500..1_000).contains(&millis(&seen[2].0)) && !seen[2].1.is_empty(), "{seen:?}");
    assert!((14_000..=15_000).contains(&millis(&seen[3].0)), "our own is shorter: {seen:?}");

    // A caller's impatience says nothing about the service.
    for _ in 0..10 {
        let answer = client.send(timed("/hang", "x-bellwether-timeout", "20ms")).await;
        assert_eq!((answer.status, answer.code().as_str()), (504, "BW-2004"));
        client = Client::new(world.address()).await;
    }
    assert_eq!(world.get("cart", "/").await.status, 200);
    world.stores.until("the calls", |stores| stores.calls().values().sum::<u64>() == 15).await;
    assert!(world.stores.transitions().is_empty());
}

#[tokio::test]
async fn a_fallback_stands_in_for_a_service_without_an_answer_and_says_so() {
    let fallback = Fallback { status: 200, content_type: "application/json".into(), body: "[]".into() };
    let policy = policy(|parts| {
        parts.fallback = Some(fallback);
        parts.circuit_breaker.get_or_insert_with(BreakerPolicy::default).open_for.base = LONG;
    });
    let world = World::with(|settings| settings.policy = policy).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    let plain = world.get("cart", "/").await;
    assert_eq!((plain.status, plain.header("bellwether-fallback")), (200, ""));
    backend.fail(true);
    assert_eq!(world.send(request("POST", "cart", "/", "")).await.status, 500, "what changes something");
    for _ in 0..5 {
        let answer = world.get("cart", "/").await;
        assert_eq!((answer.status, answer.header("bellwether-fallback")), (200, "upstream_status"));
        assert_eq!((answer.header("content-type"), &answer.body[..]), ("application/json", &b"[]"[..]));
    }
    let open = world.get("cart", "/").await;
    assert_eq!((open.status, open.header("bellwether-fallback")), (200, "breaker_open"));
    assert_eq!(backend.calls(), 7, "its failures count, and have opened the breaker");
    assert_eq!(world.send(request("POST", "cart", "/", "")).await.status, 503);
    world.stores.until("the opening", |stores| !stores.transitions().is_empty()).await;
    assert_eq!(world.stores.transitions()[0].to, State::Open);
    world.stores.until("the spans", |stores| stores.spans().len() >= 16).await;
    let spans = world.stores.spans();
    let fell_back = spans.iter().filter(|span| span.attributes.get("bellwether.fallback").is_some());
    assert_eq!(fell_back.clone().count(), 6);
    assert!(fell_back.clone().all(traces::Span::is_error));
}

#[tokio::test]
async fn a_connection_that_changed_its_protocol_keeps_its_place_until_it_ends() {
    let world = World::with(|settings| settings.limits.connections = 1).await;
    let address = raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
        let _ = stream.write_all(agreed).await;
        while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    world.up("echo", &[address]).await;
    let mut upgraded = TcpStream::connect(world.address()).await.unwrap();
    let asked = b"GET / HTTP/1.1\r\nhost: echo\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
    upgraded.write_all(asked).await.unwrap();
    let mut answer = [0; 12];
    soon("101", upgraded.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    let shown = |stores: &Stores| stores.last().is_some_and(|last| last.connections.upgraded == 1);
    world.stores.until("the upgraded connection is counted", shown).await;

    let mut next = TcpStream::connect(world.address()).await.unwrap();
    next.write_all(b"GET / HTTP/1.1\r\nhost: nobody\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let early = tokio::time::timeout(Duration::from_millis(300), next.read_to_end(&mut answer)).await;
    assert!(early.is_err(), "there is no place for it: {}", answer.escape_ascii());
    drop(upgraded);
    soon("the answer", next.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", answer.escape_ascii());
}

use std::time::Duration;

use registry::Status;

use crate::world::*;

#[tokio::test]
async fn a_service_is_called_by_its_name_with_or_without_namespace_and_port() {
    let world = World::new().await;
    let backend = Backend::named("cart").await;
    world.up("cart", &[backend.address]).await;
    for host in ["cart", "cart:8000", "cart.default", "CART", "cart."] {
        let answer = world.get(host, "/").await;
        assert_eq!((answer.status, &answer.body[..]), (200, b"cart".as_slice()), "{host}");
    }
}

#[tokio::test]
async fn a_call_for_an_address_is_told_that_it_names_no_service() {
    let world = World::new().await;
    for host in ["127.0.0.1", "127.0.0.1:8000", "[::1]:8000"] {
        let answer = world.get(host, "/").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BW-2013"), "{host}");
    }
}

#[tokio::test]
async fn an_unknown_service_is_404_and_names_the_nearest() {
    let world = World::new().await;
    world.up("payments", &[Backend::named("p").await.address]).await;
    let answer = world.get("paymnets", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "BW-2001"));
    assert!(String::from_utf8_lossy(&answer.body).contains("did you mean \\\"payments\\\""), "{answer:?}");
    assert_eq!(answer.header("proxy-status"), "bellwether; error=destination_not_found");
    assert_eq!(world.get("payments.elsewhere", "/").await.code(), "BW-2001");
}

#[tokio::test]
async fn calls_are_spread_over_the_instances_that_are_up() {
    let world = World::new().await;
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let down = Backend::named("down").await;
    let mut endpoints: Vec<_> = backends.iter().map(|b| (b.address, Status::Up)).collect();
    for status in [Status::Down, Status::Draining, Status::Starting, Status::Maintenance] {
        endpoints.push((down.address, status));
    }
    world.registry.acknowledged(world.registry.set("cart", &endpoints)).await;
    let mut client = Client::new(world.address()).await;
    // Who was slow for a moment, as on a busy machine, is spared for a while: so the claim is no share of a
    // number of calls.
    let spread = async {
        while backends.iter().any(|backend| backend.calls() < 50) {
            assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 200);
        }
    };
    soon("fifty calls for each", spread).await;
    assert_eq!(down.calls(), 0);
}

#[tokio::test]
async fn a_service_without_an_instance_that_is_up_is_503() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.registry.acknowledged(world.registry.set("cart", &[(backend.address, Status::Draining)])).await;
    let answer = world.get("cart", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "BW-2002"));
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.status, 200);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_at_another_instance() {
    let world = World::new().await;
    let backend = Backend::named("alive").await;
    world.up("cart", &[nobody().await, backend.address]).await;
    for _ in 0..10 {
        let answer = world.send(request("POST", "cart", "/", "body")).await;
        assert_eq!((answer.status, &answer.body[..]), (200, b"alive".as_slice()), "{answer:?}");
    }
    assert_eq!(backend.calls(), 10);
}

#[tokio::test]
async fn without_another_instance_a_refused_connection_is_502() {
    let world = World::new().await;
    world.up("cart", &[nobody().await]).await;
    let answer = world.get("cart", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "BW-2006"));
    assert_eq!(answer.header("proxy-status"), "bellwether; error=connection_refused");
}

#[tokio::test]
async fn a_call_that_an_earlier_proxy_is_trying_again_is_not_multiplied() {
    let world = World::new().await;
    world.up("cart", &[nobody().await, nobody().await]).await;
    let mut again = request("GET", "cart", "/", "");
    again.headers_mut().insert("bellwether-attempt", 2.into());
    assert_eq!(world.send(again).await.status, 502);
    world.stores.until("the span", |stores| !stores.spans().is_empty()).await;
    assert_eq!(world.stores.spans().len(), 2, "one call, one attempt");
}

#[tokio::test]
async fn an_instance_that_answers_nothing_is_504_after_the_time_for_the_call() {
    let short = policy(|parts| parts.timeouts.call = Duration::from_millis(50));
    let world = World::with(|settings| settings.policy = short).await;
    let backend = Backend::new(|_| std::future::pending()).await;
    world.up("cart", &[backend.address]).await;
    let answer = world.get("cart", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "BW-2004"));
    world.stores.until("the call", |stores| !stores.calls().is_empty()).await;
    assert_eq!(world.stores.calls(), [(("timeout", "5xx"), 1)].into());
}

#[tokio::test]
async fn an_attempt_has_a_time_of_its_own() {
    let short = policy(|parts| parts.timeouts.attempt = Some(Duration::from_millis(50)));
    let world = World::with(|settings| settings.policy = short).await;
    let backend = Backend::new(|_| std::future::pending()).await;
    world.up("cart", &[backend.address]).await;
    assert_eq!(world.get("cart", "/").await.code(), "BW-2005");
}

#[tokio::test]
async fn an_instance_that_breaks_off_or_talks_rubbish_is_502_and_says_which() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (bytes, code) in [
        (b"".as_slice(), "BW-2008"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "BW-2008"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "BW-2009"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", "BW-2009"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "BW-2009"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "BW-2009"),
    ] {
        let world = World::new().await;
        let address = raw(move |mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(bytes).await;
        })
        .await;
        world.up("cart", &[address]).await;
        let answer = world.get("cart", "/").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, code), "{:?}", bytes.escape_ascii());
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let world = World::new().await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    for _ in 0..50 {
        assert_eq!(world.get("cart", "/").await.status, 200);
    }
    assert_eq!(backend.calls(), 50);
    assert!(backend.connections() <= 3, "{} connections", backend.connections());
}

#[tokio::test]
async fn connections_that_the_instance_has_closed_fail_no_call() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // Says that it keeps the connection, and closes it with the next request at the latest.
    let address = raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let world = World::new().await;
    world.up("cart", &[address]).await;
    let mut client = Client::new(world.address()).await;
    for _ in 0..100 {
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 200);
    }
}

#[tokio::test]
async fn a_post_is_not_sent_twice_when_its_connection_closes() {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let heads = Arc::new(AtomicU64::new(0));
    let seen = heads.clone();
    let address = raw(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut buffer = [0; 1024];
            // The first request of a connection is answered, the second read and left unanswered.
            for answer in [Some(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), None] {
                if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    seen.fetch_add(1, SeqCst);
                }
                if let Some(answer) = answer {
                    let _ = stream.write_all(answer).await;
                }
            }
        }
    })
    .await;
    let world = World::new().await;
    world.up("cart", &[address]).await;
    assert_eq!(world.get("cart", "/").await.status, 200);
    let answer = world.send(request("POST", "cart", "/", "")).await;
    assert_eq!((answer.status, heads.load(SeqCst)), (502, 2));
    assert_eq!(answer.code(), "BW-2008");
}

#[tokio::test]
async fn headers_of_the_connection_do_not_travel_and_ours_are_not_believed() {
    let world = World::new().await;
    let backend = Backend::new(|request| async move {
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        let mut answer = reply(200, names.join(" "));
        answer.headers_mut().insert("keep-alive", "timeout=5".parse().unwrap());
        answer.headers_mut().insert("x-hop", "1".parse().unwrap());
        answer.headers_mut().insert("connection", "x-hop".parse().unwrap());
        answer
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut call = request("GET", "cart", "/", "");
    for (name, value) in [
        ("connection", "x-mine"),
        ("x-mine", "1"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip"),
        ("bellwether-caller", "root"),
        ("x-kept", "1"),
    ] {
        call.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = world.send(call).await;
    let mut names: Vec<_> = std::str::from_utf8(&answer.body).unwrap().split(' ').collect();
    names.sort_unstable();
    assert_eq!(names, ["bellwether-attempt", "host", "traceparent", "via", "x-kept"]);
    for gone in ["keep-alive", "x-hop", "connection"] {
        assert!(!answer.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn a_call_that_goes_in_a_circle_is_stopped() {
    let world = World::new().await;
    world.up("cart", &[world.address()]).await;
    let answer = world.get("cart", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (508, "BW-2015"));
}

#[tokio::test]
async fn a_protocol_upgrade_is_passed_through_and_nothing_before_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new().await;
    let address = raw(|mut stream| async move {
        let mut buffer = vec![0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        let head = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
        assert!(head.contains("upgrade: echo") && head.ends_with("\r\n\r\n"), "{head}");
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
        stream.write_all(agreed).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    world.up("cart", &[address]).await;
    let mut stream = tokio::net::TcpStream::connect(world.address()).await.unwrap();
    // The last bytes belong to the new protocol already.
    let asked = b"GET / HTTP/1.1\r\nhost: cart\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nearly ";
    stream.write_all(asked).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the answer", stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{:?}", head.escape_ascii().to_string());
    stream.write_all(b"bytes").await.unwrap();
    let mut echoed = [0; 11];
    soon("the echo", stream.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"early bytes");
}

#[tokio::test]
async fn a_foreign_client_is_served() {
    let world = World::new().await;
    let backend = Backend::named("for curl").await;
    world.up("cart", &[backend.address]).await;
    let curl = tokio::process::Command::new("curl")
        .args(["-sS", "-i", "-H", "Host: cart", &format!("http://{}/path", world.address())])
        .output()
        .await;
    let Ok(output) = curl else { panic!("this test needs curl (Debian package curl)") };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("for curl"), "{text}");
}

#[tokio::test]
async fn an_instance_with_all_its_places_taken_is_429() {
    let world = World::with(|settings| settings.limits.calls_per_endpoint = 1).await;
    let backend = Backend::new(|_| std::future::pending()).await;
    world.up("cart", &[backend.address]).await;
    let mut client = Client::new(world.address()).await;
    let waiting = tokio::spawn(async move { client.send(request("GET", "cart", "/", "")).await });
    soon("the first call", async {
        while backend.calls() == 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    let answer = world.get("cart", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "BW-2010"));
    assert_eq!(answer.header("retry-after"), "1");
    waiting.abort();
}

#[tokio::test]
async fn stopping_finishes_the_calls_that_have_begun() {
    let world = World::new().await;
    let (go, wait) = tokio::sync::watch::channel(false);
    let backend = Backend::new(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            reply(200, "late")
        }
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut client = Client::new(world.address()).await;
    let mut idle = Client::new(world.address()).await;
    let call = tokio::spawn(async move { client.send(request("GET", "cart", "/", "")).await });
    soon("the call", async {
        while backend.calls() == 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    let address = world.address();
    let stopping = tokio::spawn(world.proxy.shutdown());
    let closed = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    soon("the end of listening", closed).await;
    go.send_replace(true);
    let answer = call.await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, b"late".as_slice()));
    let ledger = soon("the end", stopping).await.unwrap();
    assert!(ledger.balances() && ledger.spooled == 0 && ledger.stored == 2, "{ledger:?}");
    assert_eq!(world.stores.calls(), [(("ok", "2xx"), 1)].into());
    idle.closed().await;
}

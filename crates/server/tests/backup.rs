//! Backup and restore from outside, over real sockets, while servers run. Each test's name is the claim.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::{collections::BTreeMap, net::TcpListener, path::Path};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use server::{Server, Settings};

const SERVICES: &str = "/bellwether/v1/namespaces/default/services";
const BACKUP: &str = "/bellwether/v1/backup";
const RESTORE: &str = "/bellwether/v1/restore";

async fn start(data: &Path, require_tokens: bool) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let settings = Settings { require_tokens, ..Settings::new(listener, data.to_path_buf()) };
    Server::start(settings).await.unwrap()
}

async fn send(server: &Server, method: Method, path: &str, token: &str, body: Bytes) -> (StatusCode, Bytes) {
    let address = server.local_addr();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

async fn ask(server: &Server, method: Method, path: &str, body: impl Into<Bytes>) -> (StatusCode, Json) {
    let (status, body) = send(server, method, path, "", body.into()).await;
    (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

async fn get(server: &Server, path: &str) -> Json {
    let (status, body) = ask(server, Method::GET, path, "").await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn register(server: &Server, service: &str, instance: &str, body: &Json) -> String {
    let path = format!("{SERVICES}/{service}/instances/{instance}");
    let (status, registered) = ask(server, Method::PUT, &path, body.to_string()).await;
    assert!(status.is_success(), "{registered}");
    registered["lease_id"].as_str().unwrap().to_owned()
}

async fn take(server: &Server) -> Bytes {
    let (status, file) = send(server, Method::GET, BACKUP, "", Bytes::new()).await;
    assert_eq!(status, 200);
    file
}

async fn restore(server: &Server, query: &str, file: &Bytes) -> Json {
    let (status, done) = ask(server, Method::POST, &format!("{RESTORE}{query}"), file.clone()).await;
    assert_eq!(status, 200, "{done}");
    done
}

/// What is there, without what a restore makes anew.
async fn content(server: &Server, service: &str) -> Vec<Json> {
    let mut instances = get(server, &format!("{SERVICES}/{service}")).await["instances"].take();
    let instances = instances.as_array_mut().unwrap();
    for instance in &mut *instances {
        let members = instance.as_object_mut().unwrap();
        for moves in ["revision", "lease_remaining_ns", "lease"] {
            members.remove(moves);
        }
    }
    instances.clone()
}

#[tokio::test]
async fn what_one_server_holds_comes_back_on_another_with_its_leases() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(one.path(), false).await;
    let rich = json!({
        "address": "cart.internal", "port": 80, "zone": "a", "version": "1.2", "weight": 50, "ttl": "1h",
        "deregister_after": "2h", "metadata": { "k": "ü" },
    });
    let lease = register(&server, "cart", "a", &rich).await;
    register(&server, "cart", "b", &json!({ "address": "10.0.0.7", "port": 81 })).await;
    register(&server, "pay", "p", &json!({ "address": "10.0.0.8", "port": 82 })).await;
    let drain = format!("{SERVICES}/cart/instances/b/drain");
    assert_eq!(ask(&server, Method::POST, &drain, r#"{"timeout":"0s","reason":"new kernel"}"#).await.0, 200);
    let file = take(&server).await;
    let before = (content(&server, "cart").await, content(&server, "pay").await);
    server.shutdown().await;

    let server = start(other.path(), false).await;
    register(&server, "own", "o", &json!({ "address": "10.0.0.9", "port": 83 })).await;
    let planned = restore(&server, "?dry_run=true", &file).await;
    assert_eq!(
        (&planned["dry_run"], &planned["instances"]["restored"]),
        (&json!(true), &json!(3)),
        "{planned}"
    );
    assert_eq!(ask(&server, Method::GET, &format!("{SERVICES}/cart"), "").await.0, 404);

    let done = restore(&server, "", &file).await;
    assert_eq!(
        (&done["instances"]["restored"], &done["of_revision"], &done["revision"]),
        (&json!(3), &json!(4), &json!(7)),
        "the revision goes on after that of the backup: {done}"
    );
    assert_eq!((content(&server, "cart").await, content(&server, "pay").await), before);
    assert_eq!(content(&server, "own").await.len(), 1, "what is there stays");
    let beat = format!("{SERVICES}/cart/instances/a/heartbeat");
    assert_eq!(ask(&server, Method::POST, &beat, json!({ "lease_id": lease }).to_string()).await.0, 204);

    let again = restore(&server, "", &file).await;
    assert_eq!((&again["instances"]["unchanged"], &again["revision"]), (&json!(3), &json!(7)), "{again}");
    server.shutdown().await;
    // It is durable, and told of.
    let server = start(other.path(), false).await;
    assert_eq!((content(&server, "cart").await, content(&server, "pay").await), before);
    let events = get(&server, "/bellwether/v1/events?service=cart").await;
    let event =
        events["events"].as_array().unwrap().iter().find(|event| event["action"] == "restored").unwrap();
    assert_eq!(event["reason"], "restored from a backup of revision 4");
}

#[tokio::test]
async fn with_replace_the_backup_wins_over_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), false).await;
    let place = |port: u16| json!({ "address": "10.0.0.7", "port": port });
    for instance in ["a", "b"] {
        register(&server, "cart", instance, &place(80)).await;
    }
    let file = take(&server).await;
    register(&server, "cart", "a", &place(99)).await;
    register(&server, "cart", "late", &place(80)).await;
    assert_eq!(ask(&server, Method::DELETE, &format!("{SERVICES}/cart/instances/b"), "").await.0, 204);

    let kept = restore(&server, "", &file).await;
    let counts = |done: &Json| {
        ["restored", "replaced", "unchanged", "removed"].map(|sort| done["instances"][sort].as_u64().unwrap())
    };
    assert_eq!(counts(&kept), [1, 0, 1, 0]);
    assert_eq!(get(&server, &format!("{SERVICES}/cart/instances/a")).await["port"], 99);
    let planned = restore(&server, "?replace=true&dry_run=true", &file).await;
    assert_eq!(counts(&planned), [0, 1, 1, 1]);
    let done = restore(&server, "?replace=true", &file).await;
    assert_eq!(counts(&done), [0, 1, 1, 1], "{done}");
    let ids: Vec<Json> =
        content(&server, "cart").await.iter().map(|one| json!([one["id"], one["port"]])).collect();
    assert_eq!(ids, [json!(["a", 80]), json!(["b", 80])]);
}

#[tokio::test]
async fn a_file_that_was_cut_or_changed_restores_nothing() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(one.path(), false).await;
    for n in 0..20 {
        register(&server, "cart", &format!("i{n}"), &json!({ "address": "10.0.0.7", "port": 80 })).await;
    }
    let file = take(&server).await;
    let server = start(other.path(), false).await;
    let refused = async |query: &str, file: Bytes| {
        let (status, problem) = ask(&server, Method::POST, &format!("{RESTORE}{query}"), file).await;
        assert_eq!(problem["code"], if status == 400 { "BW-1306" } else { "" }, "{status} {problem}");
        assert_eq!(get(&server, SERVICES).await["services"], json!([]));
    };
    for cut in (0..file.len()).step_by(101).chain([file.len() - 1]) {
        refused("", file.slice(..cut)).await;
    }
    let mut changed = file.to_vec();
    let at = file.len() / 2;
    changed[at] ^= 1;
    refused("?replace=true", changed.into()).await;
    refused("", "{}\n".into()).await;
    let (status, problem) =
        ask(&server, Method::POST, &format!("{RESTORE}?replcae=true"), file.clone()).await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("BW-1004")));
    assert_eq!(restore(&server, "", &file).await["instances"]["restored"], 20);
}

#[tokio::test]
async fn a_backup_is_of_one_revision_while_writes_go_on() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(one.path(), false).await;
    // Both instances always have the same port when a revision is even.
    let write = async |n: u16| {
        for instance in ["a", "b"] {
            register(&server, "cart", instance, &json!({ "address": "10.0.0.7", "port": n })).await;
        }
    };
    write(1).await;
    let writes = async {
        for n in 2..60 {
            write(n).await;
        }
    };
    let backups = async {
        let mut files = Vec::new();
        for _ in 0..10 {
            files.push(take(&server).await);
        }
        files
    };
    let ((), files) = tokio::join!(writes, backups);
    let server = start(other.path(), false).await;
    for file in files {
        let done = restore(&server, "?replace=true", &file).await;
        let revision = done["of_revision"].as_u64().unwrap();
        let ports: Vec<u64> =
            content(&server, "cart").await.iter().map(|of| of["port"].as_u64().unwrap()).collect();
        assert_eq!(ports, [revision.div_ceil(2), revision / 2], "of revision {revision}");
    }
}

#[tokio::test]
async fn tokens_come_back_unless_they_are_left_out_and_only_an_operator_of_everything_may() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let request = |scope: &str, namespaces: &[&str]| {
        serde_json::from_value(json!({ "name": scope, "scopes": [scope], "namespaces": namespaces })).unwrap()
    };
    let mut tokens = BTreeMap::new();
    for (name, scope, namespaces) in
        [("admin", "admin", &[][..]), ("bound", "admin", &["default"]), ("reader", "read", &[])]
    {
        let (_, secret) =
            server::create_token_offline(one.path(), &request(scope, namespaces)).await.unwrap();
        tokens.insert(name, secret);
    }
    let server = start(one.path(), true).await;
    for name in ["bound", "reader"] {
        for (method, path) in [(Method::GET, BACKUP), (Method::POST, RESTORE)] {
            let (status, _) = send(&server, method, path, &tokens[name], Bytes::new()).await;
            assert_eq!(status, 403, "{name} {path}");
        }
    }
    let (status, file) = send(&server, Method::GET, BACKUP, &tokens["admin"], Bytes::new()).await;
    assert_eq!(status, 200);
    let text = std::str::from_utf8(&file).unwrap();
    for secret in tokens.values() {
        assert!(!text.contains(secret.rsplit('_').next().unwrap()), "no secret is in the file");
    }
    let (_, own) = server::create_token_offline(other.path(), &request("admin", &[])).await.unwrap();
    let server = start(other.path(), true).await;
    let with = async |query: &str| {
        let (status, body) =
            send(&server, Method::POST, &format!("{RESTORE}{query}"), &own, file.clone()).await;
        assert_eq!(status, 200);
        serde_json::from_slice::<Json>(&body).unwrap()["tokens"]["restored"].as_u64().unwrap()
    };
    let reader_may =
        async || send(&server, Method::GET, SERVICES, &tokens["reader"], Bytes::new()).await.0.as_u16();
    assert_eq!((with("?tokens=false").await, reader_may().await), (0, 401));
    assert_eq!((with("?dry_run=true").await, reader_may().await), (3, 401));
    assert_eq!((with("?replace=true").await, reader_may().await), (3, 200), "and the caller keeps its own");
    let (status, events) =
        send(&server, Method::GET, "/bellwether/v1/events?kind=token", &own, Bytes::new()).await;
    assert_eq!(status, 200);
    assert!(std::str::from_utf8(&events).unwrap().contains("came back with a backup"));
}

#[tokio::test]
async fn policies_come_back_as_new_revisions_also_where_two_have_changed_places() {
    const POLICIES: &str = "/bellwether/v1/namespaces/default/policies";
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), false).await;
    let put = async |name: &str, service: &str| {
        let document = json!({
            "apiVersion": "bellwether.dev/v1", "kind": "ServicePolicy", "metadata": { "name": name },
            "spec": { "service": service },
        });
        let (status, made) =
            ask(&server, Method::PUT, &format!("{POLICIES}/{name}"), document.to_string()).await;
        assert!(status.is_success(), "{made}");
    };
    put("one", "cart").await;
    put("other", "pay").await;
    let file = take(&server).await;
    assert_eq!(ask(&server, Method::DELETE, &format!("{POLICIES}/one"), "").await.0, 204);
    put("other", "cart").await;
    put("one", "pay").await;
    put("more", "more").await;

    let counts = |done: &Json| {
        ["restored", "replaced", "unchanged", "removed"].map(|of| done["policies"][of].as_u64().unwrap())
    };
    assert_eq!(counts(&restore(&server, "", &file).await), [0, 0, 2, 0], "what is there stays");
    assert_eq!(counts(&restore(&server, "?replace=true&dry_run=true", &file).await), [0, 2, 0, 1]);
    assert_eq!(counts(&restore(&server, "?replace=true", &file).await), [0, 2, 0, 1]);
    let policies = get(&server, POLICIES).await["policies"].take();
    let seen: Vec<_> = policies.as_array().unwrap().iter().map(|of| (&of["name"], &of["service"])).collect();
    assert_eq!(seen, [(&json!("one"), &json!("cart")), (&json!("other"), &json!("pay"))]);
    assert_eq!(counts(&restore(&server, "?replace=true", &file).await), [0, 0, 2, 0]);
}

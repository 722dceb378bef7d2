//! What a proxy saw, told afterwards. Each test's name is the claim.

use std::path::Path;

use http::Method;
use identity::Wall;
use serde_json::{Value as Json, json};
use server::Server;

use crate::world::*;

/// A moment that the server's events and the test agree on: that of the newest event of an instance.
async fn newest(server: &Server) -> Wall {
    until("the change has its event", async || {
        let (_, service) = ask(server, Method::GET, CART, "").await;
        let (_, events) = ask(server, Method::GET, "/bellwether/v1/events?kind=instance&limit=1", "").await;
        let event = &events["events"][0];
        let told: Option<u64> =
            event["details"]["registry_revision"].as_str().and_then(|text| text.parse().ok());
        (told.is_some() && told == service["revision"].as_u64())
            .then(|| event["at"].as_str().unwrap().parse().unwrap())
    })
    .await
}

async fn view(server: &Server, at: &str) -> Json {
    let at = if at.is_empty() { String::new() } else { format!("&at={at}") };
    let (status, view) =
        ask(server, Method::GET, &format!("/bellwether/v1/proxies/p/view?service=cart{at}"), "").await;
    assert_eq!(status, 200, "{view}");
    view
}

fn instances(view: &Json) -> Vec<(&str, &str, &str)> {
    let all = view["instances"].as_array().unwrap();
    all.iter()
        .map(|of| {
            (
                of["instance"].as_str().unwrap(),
                of["address"].as_str().unwrap(),
                of["status"].as_str().unwrap(),
            )
        })
        .collect()
}

async fn put(server: &Server, instance: &str, port: u16) {
    let path = format!("{CART}/instances/{instance}");
    let body = json!({ "address": "10.0.0.7", "port": port }).to_string();
    let (status, body) = ask(server, Method::PUT, &path, &body).await;
    assert!(status.is_success(), "{body}");
}

#[tokio::test]
async fn what_a_proxy_saw_is_told_for_each_moment_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let before = newest(&server).await;
    let mut proxy = Fake::connect(&server, "p", 1).await;
    let first = view(&server, "").await;
    assert_eq!(
        (&first["revision"], &first["connected"], &first["complete"]),
        (&json!(2), &json!(true), &json!(true)),
        "{first}"
    );
    let two = [("a", "10.0.0.7:80", "up"), ("b", "10.0.0.7:80", "up")];
    assert_eq!(instances(&first), two);

    // Three changes, of which it takes only the first two.
    put(&server, "a", 81).await;
    put(&server, "c", 82).await;
    proxy.follow().await;
    let second = view(&server, "").await;
    assert_eq!(ask(&server, Method::DELETE, &format!("{CART}/instances/b"), "").await.0, 204);
    put(&server, "a", 99).await;
    proxy.watch = None;
    let third = view(&server, "").await;
    let three = [("a", "10.0.0.7:81", "up"), ("b", "10.0.0.7:80", "up"), ("c", "10.0.0.7:82", "up")];
    for seen in [&second, &third] {
        assert_eq!((&seen["revision"], &seen["complete"]), (&json!(4), &json!(true)), "{seen}");
        assert_eq!(instances(seen), three, "{seen}");
    }
    assert_eq!((&second["connected"], &third["connected"]), (&json!(true), &json!(false)));
    assert_eq!(third["since"], second["since"]);

    server.shutdown().await;
    let server = start(folder.path()).await;
    for (at, expected) in [(&first, two.as_slice()), (&second, &three), (&third, &three)] {
        let again = view(&server, at["at"].as_str().unwrap()).await;
        assert_eq!((instances(&again), &again["complete"]), (expected.to_vec(), &json!(true)), "{again}");
        assert_eq!((&again["revision"], &again["connected"]), (&at["revision"], &at["connected"]));
    }
    let nothing = view(&server, &before.to_string()).await;
    assert_eq!((&nothing["revision"], &nothing["complete"]), (&Json::Null, &json!(true)), "{nothing}");
    // One event with the exact list, and not among those that everybody reads.
    let (_, all) = ask(&server, Method::GET, "/bellwether/v1/events", "").await;
    assert!(all["events"].as_array().unwrap().iter().all(|event| event["action"] != "followed"), "{all}");
    let (_, of_proxies) = ask(&server, Method::GET, "/bellwether/v1/events?kind=proxy", "").await;
    let list = |event: &Json| event["details"]["entries"].as_str().unwrap_or_default().to_owned();
    let lists: Vec<String> = of_proxies["events"].as_array().unwrap().iter().rev().map(list).collect();
    let words: Vec<String> =
        lists.join(" ").split(' ').map(|word| word.split('@').next().unwrap().to_owned()).collect();
    assert_eq!(words, ["c", "a2", "a4", "d"]);
}

#[tokio::test]
async fn a_process_that_has_just_started_knows_nothing_of_what_its_predecessor_knew() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let first = Fake::connect(&server, "p", 1).await;
    drop(first);
    let mut second = Fake::new("p", 2);
    second.reconnect(&server, None).await;
    let seen = view(&server, "").await;
    assert_eq!(
        (&seen["revision"], &seen["connected"], instances(&seen)),
        (&Json::Null, &json!(true), vec![]),
        "{seen}"
    );
    second.follow().await;
    assert_eq!(view(&server, "").await["revision"], 2);
}

#[tokio::test]
async fn after_a_kill_the_answer_says_what_may_be_missing() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = with_cart(folder.path()).await;
    let proxy = Fake::connect(&server, "p", 1).await;
    let seen = view(&server, "").await;
    // What a killed process leaves behind.
    copied(folder.path(), copy.path());
    drop(proxy);
    server.shutdown().await;
    let server = start(copy.path()).await;
    let again = view(&server, seen["at"].as_str().unwrap()).await;
    assert_eq!((&again["complete"], &again["revision"]), (&json!(false), &json!(2)), "{again}");
    assert!(again["reason"].as_str().unwrap().contains("was killed"), "{again}");
}

fn copied(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copied(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn where_the_history_does_not_reach_back_the_answer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Room for a few hundred events.
    let server = start_with(folder.path(), |settings| settings.budgets.events.disk_bytes = 64 << 10).await;
    for instance in ["a", "b"] {
        put(&server, instance, 80).await;
    }
    let mut proxy = Fake::connect(&server, "p", 1).await;
    let seen = view(&server, "").await;
    assert_eq!(seen["complete"], true, "{seen}");
    for n in 0..600 {
        put(&server, "a", 1_000 + n).await;
    }
    proxy.follow().await;
    let gone = until("the first events have gone", async || {
        let again = view(&server, seen["at"].as_str().unwrap()).await;
        (again["complete"] == false).then_some(again)
    })
    .await;
    assert!(gone["reason"].as_str().unwrap().contains("does not reach back"), "{gone}");
    // What is there now is known without any history.
    let now = view(&server, "").await;
    assert_eq!((&now["complete"], now["instances"].as_array().unwrap().len()), (&json!(true), 2), "{now}");
}

#[tokio::test]
async fn a_question_that_makes_no_sense_names_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let _proxy = Fake::connect(&server, "p", 1).await;
    for (question, status, says) in [
        ("p/view", 400, "service"),
        ("p/view?service=Cart", 400, "service"),
        ("p/view?service=cart&namespace=-", 400, "namespace"),
        ("p/view?service=cart&at=14:03", 400, "RFC 3339"),
        ("p/view?service=cart&at=2200-01-01T00:00:00Z", 400, "future"),
        ("p/view?service=cart&on=now", 400, "on"),
        ("q/view?service=cart", 404, "BW-1121"),
        ("a%20b/view?service=cart", 400, "proxy id"),
    ] {
        let (got, problem) =
            ask(&server, Method::GET, &format!("/bellwether/v1/proxies/{question}"), "").await;
        assert_eq!(got.as_u16(), status, "{question}: {problem}");
        assert!(problem.to_string().contains(says), "{question}: {says} is not in {problem}");
    }
    // A service that nobody ever registered has no instances, then as now.
    let (_, none) = ask(&server, Method::GET, "/bellwether/v1/proxies/p/view?service=none", "").await;
    assert_eq!((&none["instances"], &none["complete"]), (&json!([]), &json!(true)), "{none}");
}

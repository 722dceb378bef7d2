//! What operators force breakers to.

use std::time::Duration;

use http::Method;
use resilience::Force;
use serde_json::json;
use server::Server;
use wire::native::channel::{Hello, Override};

use crate::asking::*;

const BREAKER: &str = "/bellwether/v1/namespaces/default/services/hello/breaker";
const BREAKERS: &str = "/bellwether/v1/breakers?service=hello";
const OPEN: &str = r#"{"action":"force_open","for":"5m","reason":"it charges twice"}"#;

fn watch(server: &Server, since: Option<u64>) -> server::Subscription {
    let hello = Hello { proxy: "p-1".parse().unwrap(), epoch: 1, version: "0".into(), since };
    server.channel().watch(hello)
}

async fn words(subscription: &mut server::Subscription) -> Vec<Override> {
    subscription.next().await.unwrap().overrides
}

#[tokio::test]
async fn a_word_reaches_the_proxies_that_are_there_and_those_that_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    let mut early = watch(&server, None);
    assert_eq!(words(&mut early).await, []);

    let (status, said) = ask(&server, Method::POST, BREAKER, OPEN).await;
    assert_eq!((status.as_u16(), &said["action"]), (200, &json!("force_open")), "{said}");
    let update = early.next().await.unwrap();
    assert!(update.services.is_empty() && !update.snapshot && update.revision > 0);
    let [word] = &update.overrides[..] else { panic!("{update:?}") };
    assert_eq!((word.service.as_str(), word.force), ("hello", Some(Force::Open)));
    assert_eq!(word.note, "operator: it charges twice");
    assert!(word.left <= Duration::from_secs(300) && word.left > Duration::from_secs(200), "{word:?}");
    let late = words(&mut watch(&server, None)).await;
    assert_eq!((late.len(), late[0].number), (1, word.number));

    // Said once on a watch, and beside other news.
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.8","port":1}"#).await;
    assert_eq!(words(&mut early).await, []);
    let reset = r#"{"action":"reset","reason":"repaired"}"#;
    assert_eq!(ask(&server, Method::POST, BREAKER, reset).await.0, 200);
    let after = words(&mut early).await;
    assert_eq!((after.len(), after[0].force, after[0].number > word.number), (1, None, true));
    let back = words(&mut watch(&server, Some(1))).await;
    assert_eq!(back, [Override { left: back[0].left, ..after[0].clone() }], "who was away hears of the end");
    assert_eq!(get(&server, BREAKERS).await["overrides"], json!([]));
}

#[tokio::test]
async fn a_word_is_an_event_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::POST, BREAKER, r#"{"action":"disable","for":"1h","reason":"a load test"}"#).await;
    ask(&server, Method::POST, BREAKER, OPEN).await;
    let other = "/bellwether/v1/namespaces/default/services/other/breaker";
    ask(&server, Method::POST, other, r#"{"action":"force_close","for":"1s","reason":"briefly"}"#).await;
    let before = words(&mut watch(&server, None)).await;
    assert_eq!(before.len(), 2);
    server.shutdown().await;
    let server = start(folder.path()).await;
    let seen = get(&server, BREAKERS).await;
    let of = |field: &str| seen["overrides"][0][field].clone();
    assert_eq!(
        [of("action"), of("actor"), of("reason"), seen["overrides"][1].clone()],
        [json!("force_open"), json!("operator"), json!("it charges twice"), json!(null)]
    );
    let hello = before.iter().find(|word| word.service.as_str() == "hello").unwrap();
    let after = words(&mut watch(&server, None)).await;
    let again = after.iter().find(|word| word.service.as_str() == "hello").unwrap();
    assert_eq!((again.number, again.force), (hello.number, Some(Force::Open)));
    assert!(again.left <= hello.left, "the time goes on");
    let events = get(&server, "/bellwether/v1/events?kind=breaker&service=hello").await;
    let told: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["force_open", "disable"]);
    assert_eq!(events["events"][0]["actor"], "operator");
}

#[tokio::test]
async fn a_word_without_a_reason_or_a_time_is_refused_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (body, at) in [
        (r#"{"action":"force_open","for":"5m","reason":" "}"#, "/reason"),
        (r#"{"action":"force_open","reason":"x"}"#, "/for"),
        (r#"{"action":"force_open","for":"2d","reason":"x"}"#, "/for"),
        (r#"{"action":"force_open","for":"soon","reason":"x"}"#, "/for"),
        (r#"{"action":"reset","for":"5m","reason":"x"}"#, "/for"),
        (r#"{"action":"open","for":"5m","reason":"x"}"#, "/action"),
    ] {
        let (status, problem) = ask(&server, Method::POST, BREAKER, body).await;
        assert_eq!(status.as_u16() / 100, 4, "{body}: {problem}");
        assert!(problem.to_string().contains(at), "{body}: {problem}");
    }
    let long = format!(r#"{{"action":"reset","reason":"{}"}}"#, "x".repeat(501));
    assert_eq!(ask(&server, Method::POST, BREAKER, long).await.0.as_u16() / 100, 4);
    assert_eq!(get(&server, "/bellwether/v1/events?kind=breaker").await["events"], json!([]));
}

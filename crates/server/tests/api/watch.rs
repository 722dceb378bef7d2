//! Following the registry.

use http::Method;
use serde_json::{Value as Json, json};

use crate::asking::*;

#[tokio::test]
async fn a_watcher_gets_a_snapshot_then_every_change_and_resumes_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let put = async |port: u16| {
        let body = format!(r#"{{"address":"10.0.0.7","port":{port}}}"#);
        assert!(ask(&server, Method::PUT, HELLO_1, &body).await.0.is_success());
    };
    put(1).await;
    let watch = "/bellwether/v1/namespaces/default/watch?service=hello";
    let stream = send(&server, Method::GET, watch, &[], "").await;
    put(2).await;
    let seen = events(stream, 2).await;
    assert_eq!((seen[0].0.as_str(), &seen[0].1["services"][0]["service"]), ("snapshot", &json!("hello")));
    assert_eq!((seen[1].0.as_str(), &seen[1].1["instance"]["port"]), ("change", &json!(2)));
    put(3).await;
    let resumed = send(&server, Method::GET, watch, &[("last-event-id", "1")], "").await;
    let ports: Vec<Json> =
        events(resumed, 2).await.iter().map(|(_, change)| change["instance"]["port"].clone()).collect();
    assert_eq!(ports, [json!(2), json!(3)]);
    let lost = send(&server, Method::GET, &format!("{watch}&since=99"), &[], "").await;
    assert_eq!(events(lost, 1).await[0].0, "resync");
}

//! Instances as Prometheus wants to be told of them.

use http::Method;
use serde_json::{Value as Json, json};

use crate::asking::*;

const TARGETS: &str = "/bellwether/v1/namespaces/default/http_sd";

#[tokio::test]
async fn every_instance_is_a_target_with_what_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    assert_eq!(get(&server, TARGETS).await, json!([]));
    let instances = json!({"instances":[
        {"service":"cart","id":"cart-1","address":"10.0.0.7","port":8080,"zone":"a","version":"1.4.2",
         "metadata":{"team":"shop","app.kubernetes.io/name":"cart"}},
        {"service":"hello","id":"hello-1","address":"::1","port":80},
        {"service":"hello","id":"hello-2","address":"hello.internal","port":80,"metadata":{
            "prometheus.io/port":"9102","prometheus.io/path":"stats/prometheus","prometheus.io/scheme":"https",
            "prometheus.io/scrape":"true"}},
        {"service":"hello","id":"hello-3","address":"10.0.0.9","port":80,"metadata":{"prometheus.io/scrape":"false"}},
        {"service":"hello","id":"hello-4","address":"10.0.0.9","port":80,"metadata":{"prometheus.io/port":"none"}},
    ]});
    let all = "/bellwether/v1/namespaces/default/instances";
    assert_eq!(ask(&server, Method::POST, all, instances.to_string()).await.0, 200);
    let pin = format!("{HELLO_1}/override");
    ask(&server, Method::PUT, &pin, r#"{"status":"down","reason":"a test"}"#).await;

    let response = send(&server, Method::GET, TARGETS, &[("accept", "application/json")], "").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let found = get(&server, TARGETS).await;
    let targets: Vec<&Json> = found.as_array().unwrap().iter().map(|group| &group["targets"]).collect();
    let expected = [
        json!(["10.0.0.7:8080"]),
        json!(["[::1]:80"]),
        json!(["hello.internal:9102"]),
        json!(["10.0.0.9:80"]),
    ];
    assert_eq!(targets, expected.iter().collect::<Vec<_>>());
    assert_eq!(
        found[0]["labels"],
        json!({
            "__meta_bellwether_namespace": "default",
            "__meta_bellwether_service": "cart",
            "__meta_bellwether_instance": "cart-1",
            "__meta_bellwether_address": "10.0.0.7",
            "__meta_bellwether_port": "8080",
            "__meta_bellwether_status": "up",
            "__meta_bellwether_health": "unchecked",
            "__meta_bellwether_zone": "a",
            "__meta_bellwether_version": "1.4.2",
            "__meta_bellwether_weight": "100",
            "__meta_bellwether_metadata_team": "shop",
            "__meta_bellwether_metadatapresent_team": "true",
            "__meta_bellwether_metadata_app_kubernetes_io_name": "cart",
            "__meta_bellwether_metadatapresent_app_kubernetes_io_name": "true",
        })
    );
    assert_eq!(found[1]["labels"]["__meta_bellwether_status"], "down", "who watches wants to see it");
    let elsewhere = &found[2]["labels"];
    assert_eq!(
        (&elsewhere["__metrics_path__"], &elsewhere["__scheme__"]),
        (&json!("/stats/prometheus"), &json!("https"))
    );
    assert_eq!(found[3]["labels"].get("__metrics_path__"), None);

    let hello = get(&server, &format!("{TARGETS}?service=hello")).await;
    assert_eq!(hello.as_array().unwrap().len(), 3);
    assert_eq!(get(&server, &format!("{TARGETS}?service=nobody")).await, json!([]));
}

//! What the stores take, of how much, and how far back they go.

use http::Method;
use serde_json::json;

use crate::asking::*;

const DAY: u64 = 86_400_000_000_000;

#[tokio::test]
async fn each_store_tells_its_size_its_budget_and_how_far_back_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_with(folder.path(), |settings| {
        settings.budgets.events.disk_bytes = 5 << 20;
        settings.budgets.reserve_bytes = 1 << 20;
    })
    .await;
    for id in ["1", "2"] {
        let path = format!("{HELLO}/instances/hello-{id}");
        ask(&server, Method::PUT, &path, r#"{"address":"10.0.0.7","port":1}"#).await;
    }
    let events = get(&server, "/bellwether/v1/events").await;
    let first = events["events"].as_array().unwrap().last().unwrap()["at"].clone();
    let told = get(&server, "/bellwether/v1/storage").await;
    assert_eq!(told["reserve_bytes"], 1 << 20);
    assert!(told["free_bytes"].as_u64().unwrap() > 1 << 20, "{told}");
    let stores = told["stores"].as_array().unwrap();
    let names: Vec<&str> = stores.iter().map(|store| store["store"].as_str().unwrap()).collect();
    assert_eq!(names, ["catalog", "events", "spans", "samples", "series"]);
    for store in stores {
        assert!(store["disk_bytes"].as_u64().is_some(), "{store}");
        let budget = store["disk_budget_bytes"].as_u64();
        assert_eq!(budget.is_none(), store["store"] == "catalog", "{store}");
        assert_eq!(store["max_age_ns"].is_null(), store["store"] == "catalog", "{store}");
    }
    let [catalog, events, spans] = [&stores[0], &stores[1], &stores[2]];
    assert_eq!((&catalog["entries"], &catalog["oldest"]), (&json!(2), &json!(null)));
    assert!(catalog["disk_bytes"].as_u64() > Some(0), "{catalog}");
    let settings = (&events["disk_budget_bytes"], &events["max_age_ns"]);
    assert_eq!(settings, (&json!(5 << 20), &json!(30 * DAY)), "{events}");
    assert_eq!(events["oldest"], first, "the first event is the oldest");
    assert!(events["age_ns"].as_u64().is_some() && events["entries"].as_u64() >= Some(2), "{events}");
    assert_eq!(
        (&spans["oldest"], &spans["entries"], &spans["max_age_ns"]),
        (&json!(null), &json!(0), &json!(3 * DAY))
    );

    // A span is there from the moment that it is acknowledged.
    let otlp = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "GET /",
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000001000000",
    }]}]}]});
    let taken = ask_as(
        &server,
        Method::POST,
        "/v1/traces",
        &[("content-type", "application/json")],
        otlp.to_string(),
    )
    .await;
    assert_eq!(taken.0, 200, "{}", taken.1);
    let told = get(&server, "/bellwether/v1/storage").await;
    let spans = &told["stores"][2];
    assert_eq!(spans["entries"], 1);
    assert!(spans["age_ns"].as_u64().unwrap() < 600_000_000_000, "by when it came, and not by its own clock");
}

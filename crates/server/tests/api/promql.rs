//! Prometheus' HTTP API over the calls that the proxies counted.

use http::Method;
use serde_json::{Value as Json, json};

use crate::{asking::*, report};

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

async fn data(server: &server::Server, path: &str) -> Json {
    let document = get(server, path).await;
    assert_eq!(document["status"], "success", "{document}");
    document["data"].clone()
}

#[tokio::test]
async fn queries_are_answered_over_the_calls_that_proxies_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    server.channel().report(report(1)).await.unwrap();

    // Nobody waits for the end of the slot; but what came in its first second has to wait for the second.
    let vector = until("the call is counted", async || {
        let vector = data(&server, "/api/v1/query?query=sum(bellwether_calls_total)by(service)").await;
        (vector["result"][0]["value"][1] == "1").then_some(vector)
    })
    .await;
    assert_eq!(vector["resultType"], "vector");
    assert_eq!(vector["result"][0]["metric"], json!({"service": "hello"}));

    let response = send(&server, Method::POST, "/api/v1/query", FORM, "query=1%2B1&time=1.5").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let (_, answer) = ask_as(&server, Method::POST, "/api/v1/query", FORM, "query=1%2B1&time=1.5").await;
    assert_eq!(answer["data"], json!({"resultType": "scalar", "result": [1.5, "2"]}));

    let matrix = data(&server, "/api/v1/query_range?query=vector(time())&start=0&end=2&step=1").await;
    let values = json!([[0, "0"], [1, "1"], [2, "2"]]);
    assert_eq!(matrix, json!({"resultType": "matrix", "result": [{"metric": {}, "values": values}]}));
}

#[tokio::test]
async fn series_labels_and_values_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    server.channel().report(report(1)).await.unwrap();

    let series = data(&server, "/api/v1/series?match[]=bellwether_calls_total&match[]=up").await;
    let expected = json!([{
        "__name__": "bellwether_calls_total", "caller": "gateway", "instance": "hello-1", "namespace": "default",
        "outcome": "ok", "reporter": "source", "route": series[0]["route"], "service": "hello", "status": "2xx",
    }]);
    assert_eq!(series, expected);
    let (_, posted) =
        ask_as(&server, Method::POST, "/api/v1/series", FORM, "match%5B%5D=bellwether_calls_total").await;
    assert_eq!(posted["data"], expected);

    let labels = data(&server, "/api/v1/labels").await;
    assert_eq!((&labels[0], labels.as_array().unwrap().contains(&json!("le"))), (&json!("__name__"), true));
    assert_eq!(data(&server, "/api/v1/label/service/values").await, json!(["hello"]));
    let names = data(&server, "/api/v1/label/__name__/values?match[]={reporter='source',le=''}").await;
    assert_eq!(names.as_array().unwrap().len(), 3, "{names}");
    let metadata = data(&server, "/api/v1/metadata?metric=bellwether_calls_total").await;
    assert_eq!(metadata["bellwether_calls_total"][0]["type"], "counter");
    let tsdb = data(&server, "/api/v1/status/tsdb?limit=1").await;
    assert_eq!(tsdb["headStats"]["numSeries"], 20);
    assert_eq!(
        tsdb["seriesCountByMetricName"],
        json!([{"name": "bellwether_call_duration_seconds_bucket", "value": 17}])
    );
    assert_eq!(data(&server, "/api/v1/status/buildinfo").await["version"], "2.42.0");
    assert_eq!(data(&server, "/api/v1/rules").await, json!({"groups": []}));
    assert_eq!(data(&server, "/api/v1/alerts").await, json!({"alerts": []}));
    assert_eq!(data(&server, "/api/v1/targets").await["activeTargets"], json!([]));
    assert_eq!(data(&server, "/api/v1/query_exemplars?query=up&start=0&end=1").await, json!([]));
    assert_eq!(data(&server, "/api/v1/format_query?query=sum(a)by(b)").await, "sum by (b) (a)");
}

#[tokio::test]
async fn mistakes_are_told_in_the_words_that_clients_know() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (path, status, kind, says) in [
        ("query", 400, "bad_data", "\"query\""),
        ("query?query=sum(", 400, "bad_data", "1:5: parse error: unexpected end of the query"),
        ("query?query=up&time=x", 400, "bad_data", "invalid parameter \"time\": cannot parse"),
        ("query?query=up&timeout=x", 400, "bad_data", "\"timeout\""),
        ("query_range?query=up&start=1&end=0&step=1", 400, "bad_data", "before start"),
        ("query_range?query=up&start=0&end=1&step=0", 400, "bad_data", "zero or negative"),
        ("query_range?query=up&start=0&end=11001&step=1", 400, "bad_data", "11,000 points"),
        ("query_range?query=up[5m]&start=0&end=1&step=1", 400, "bad_data", "range vector"),
        ("query_range?query=up&end=1&step=1", 400, "bad_data", "\"start\""),
        ("query?query=label_replace(up,%22-%22,%22%22,%22%22,%22%22)", 422, "execution", "label name"),
        ("query?query=sum_over_time(vector(1)[100y:1ms])", 422, "execution", "bytes"),
        ("series", 400, "bad_data", "no match[]"),
        ("series?match[]=sum(up)", 400, "bad_data", "selector"),
        ("labels?match[]={", 400, "bad_data", "match[]"),
        ("label/a-b/values", 400, "bad_data", "invalid label name"),
        ("metadata?limit=x", 400, "bad_data", "limit"),
    ] {
        let (found, document) = ask(&server, Method::GET, &format!("/api/v1/{path}"), "").await;
        assert_eq!((found.as_u16(), &document["errorType"]), (status, &json!(kind)), "{path}: {document}");
        assert!(document["error"].as_str().unwrap().contains(says), "{path}: {document}");
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let slow = "sum_over_time(sum_over_time(vector(1)[1h:1s])[2h:1s])";
    let path = format!("/api/v1/query?query={slow}&timeout=1ms");
    let (status, document) = ask(&server, Method::GET, &path, "").await;
    assert_eq!((status.as_u16(), &document["errorType"]), (503, &json!("timeout")), "{document}");
}

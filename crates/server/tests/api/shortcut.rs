//! Requests that are answered past the router are answered as the router answers them.

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use server::Server;

use crate::asking::*;

const GOOD: &str = r#"{"address":"10.0.0.7","port":8080,"zone":"a","ttl":"15s","metadata":{"k":"v"}}"#;

/// Everything that can be seen of an answer, but for what differs from one answer to the next.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// A request: its method, what its path has below the instance's, its headers and its body.
type Said = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// A conversation about one instance, with `LEASE` for the lease that was answered first.
const CONVERSATION: &[Said] = &[
    ("POST", "/heartbeat", &[], ""),
    ("PUT", "", &[], "{"),
    ("PUT", "", &[], ""),
    ("PUT", "", &[], "[]"),
    ("PUT", "", &[], r#"{"address":"10.0.0.7"}"#),
    ("PUT", "", &[], r#"{"adress":"10.0.0.7","port":1}"#),
    ("PUT", "", &[], r#"{"address":"10.0.0.7","port":0}"#),
    ("PUT", "", &[], r#"{"address":"10.0.0.7","port":1,"metadata":{"a":"b","a":"c"}}"#),
    ("PUT", "", &[], r#"{"address":"10.0.0.7","port":1,"metadata":{"a":"\u0007"},"weight":99999}"#),
    ("PUT", "", &[("if-match", "zz")], GOOD),
    ("PUT", "", &[("authorization", "Bearer nobody's")], GOOD),
    ("PUT", "", &[("authorization", "Bearer nobody's"), ("content-type", "application/grpc")], GOOD),
    ("PUT", "", &[("origin", "http://elsewhere.example")], GOOD),
    ("PUT", "", &[], GOOD),
    ("PUT", "", &[("if-match", "LEASE")], GOOD),
    (
        "PUT",
        "",
        &[("content-type", "application/x-www-form-urlencoded")],
        r#"{"address":"10.0.0.8","port":1}"#,
    ),
    ("PUT", "", &[("if-match", "00000000000000ff")], GOOD),
    ("POST", "/heartbeat", &[], ""),
    ("POST", "/heartbeat", &[("if-match", "00000000000000ff")], ""),
    ("POST", "/heartbeat", &[("if-match", "zz")], ""),
    ("POST", "/heartbeat", &[], r#"{"lease_id":"00000000000000ff"}"#),
    ("POST", "/heartbeat", &[], r#"{"lease":"LEASE"}"#),
    ("POST", "/heartbeat", &[], "lease"),
    ("POST", "/heartbeat", &[("authorization", "Bearer nobody's")], ""),
];

async fn seen(server: &Server, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Seen {
    let response = send(server, method, path, headers, body).await;
    let status = response.status().as_u16();
    let headers = response.headers().iter().filter(|(name, _)| *name != "date");
    let mut headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    // The path is said in some answers, and is longer with an escape in it.
    for (name, value) in &mut headers {
        if name == "content-length" {
            assert_eq!(*value, body.len().to_string());
            value.clear();
        }
    }
    Seen { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// Has the conversation on this path, and says what was answered.
async fn conversation(server: &Server, path: &str) -> Vec<Seen> {
    let mut lease: Option<String> = None;
    let mut answers = Vec::new();
    for (method, below, headers, body) in CONVERSATION {
        let held = lease.clone().unwrap_or_default();
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, if *value == "LEASE" { held.as_str() } else { *value }))
            .collect();
        let body = body.replace("LEASE", &held);
        let method = method.parse().unwrap();
        let mut answer = seen(server, method, &format!("{path}{below}"), &headers, body.as_bytes()).await;
        if let Ok(Json::Object(mut registered)) = serde_json::from_str(&answer.body)
            && let Some(Json::String(given)) = registered.get("lease_id").cloned()
        {
            assert_eq!(given.len(), 16);
            lease.get_or_insert(given);
            registered.insert("lease_id".to_owned(), json!("a lease"));
            answer.body = Json::Object(registered).to_string();
        }
        answers.push(answer);
    }
    for body in [vec![b' '; 3 << 20], b"{\"address\":\"\xff\",\"port\":1}".to_vec()] {
        answers.push(seen(server, Method::PUT, path, &[], &body).await);
    }
    answers
}

#[tokio::test]
async fn the_router_and_the_way_past_it_answer_alike() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (past, through) = (start(ours.path()).await, start(theirs.path()).await);
    let past = conversation(&past, HELLO_1).await;
    // A name with an escape in it is the router's business.
    let through = conversation(&through, &HELLO_1.replace("hello-1", "hello%2D1")).await;
    let statuses: Vec<u16> = past.iter().map(|answer| answer.status).collect();
    for status in [200, 201, 204, 400, 401, 403, 404, 409, 413] {
        assert!(statuses.contains(&status), "no {status} in {statuses:?}");
    }
    for (at, (past, through)) in past.into_iter().zip(through).enumerate() {
        let through = Seen { body: through.body.replace("%2D", "-"), ..through };
        assert_eq!(past, through, "{:?}", CONVERSATION.get(at));
    }
}

//! A handler that panics hurts nobody but its own request.

use std::sync::Arc;

use http_body_util::BodyExt;
use server::listener::Reason;
use tokio::sync::Notify;

use crate::harness::{Server, app, gated, text};

#[tokio::test]
async fn a_panic_is_a_500_and_its_connection_goes_on() {
    let server = Server::start(app(), |_| {}).await;
    let mut client = server.http1().await;
    let response = client.send_request(server.request("GET", "/panics", "")).await.unwrap();
    assert_eq!(response.status(), 500);
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&problem["code"], &problem["instance"]), (&"BW-1018".into(), &"/panics".into()));
    assert!(!problem.to_string().contains("on purpose"), "what a panic says is for the log");
    let response = client.send_request(server.request("GET", "/", "")).await.unwrap();
    assert_eq!(text(response).await, "hello");
    assert_eq!((server.stats.refused(Reason::Panic), server.stats.accepted()), (1, 1));
}

#[tokio::test]
async fn a_panic_does_not_touch_the_other_requests_of_an_http2_connection() {
    let (entered, gate) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let server = Server::start(gated(entered.clone(), gate.clone()), |_| {}).await;
    let mut client = server.http2().await;
    let held = tokio::spawn(client.send_request(server.request("GET", "/held", "")));
    entered.notified().await;
    let panicked = client.send_request(server.request("GET", "/panics", "")).await.unwrap();
    assert_eq!(panicked.status(), 500);
    // Whether the head has left when the stream panics is a matter of luck; the body never does.
    if let Ok(response) = client.send_request(server.request("GET", "/half", "")).await {
        assert!(response.into_body().collect().await.is_err());
    }
    gate.notify_one();
    assert_eq!(text(held.await.unwrap().unwrap()).await, "held");
    assert_eq!((server.stats.refused(Reason::Panic), server.stats.accepted()), (2, 1));
}

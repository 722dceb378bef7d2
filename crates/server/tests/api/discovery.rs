//! Following services over gRPC.

use std::collections::BTreeMap;

use futures_util::stream;
use http::Method;
use serde_json::{Value as Json, json};
use server::Server;
use tokio::sync::mpsc;
use tonic::{Code, Request, Status, Streaming, transport::Endpoint};
use wire::native::channel::proto::{
    Ack, Change, DiscoveryRequest, DiscoveryResponse, Snapshot, Subscribe, discovery_client::DiscoveryClient,
    discovery_request::Message, discovery_response::Event,
};

use crate::asking::*;

/// A stream, and the way to say something on it.
struct Watch {
    says: mpsc::UnboundedSender<Message>,
    hears: Streaming<DiscoveryResponse>,
}

impl Watch {
    async fn open(server: &Server, first: Message, token: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.local_addr())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let (says, said) = mpsc::unbounded_channel();
        says.send(first).unwrap();
        let requests = stream::unfold(said, |mut said| async move {
            let message = Some(said.recv().await?);
            Some((DiscoveryRequest { message }, said))
        });
        let mut request = Request::new(requests);
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let hears = DiscoveryClient::new(channel).watch(request).await.unwrap().into_inner();
        Self { says, hears }
    }

    async fn of(server: &Server, services: &[&str], since: Option<u64>) -> Self {
        Self::open(server, subscribe(services, since), None).await
    }

    async fn next(&mut self) -> Result<DiscoveryResponse, Status> {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.hears.message());
        next.await.expect("an answer comes")?.ok_or_else(|| Status::ok("the end"))
    }

    async fn snapshot(&mut self) -> (u64, Snapshot) {
        match self.next().await.unwrap() {
            DiscoveryResponse { revision, event: Some(Event::Snapshot(snapshot)) } => (revision, snapshot),
            other => panic!("no snapshot: {other:?}"),
        }
    }

    async fn changes(&mut self) -> (u64, Vec<Change>) {
        match self.next().await.unwrap() {
            DiscoveryResponse { revision, event: Some(Event::Changes(changes)) } => {
                (revision, changes.changes)
            }
            other => panic!("no changes: {other:?}"),
        }
    }

    fn ack(&self, revision: u64) {
        self.says.send(Message::Ack(Ack { revision })).unwrap();
    }
}

fn subscribe(services: &[&str], since: Option<u64>) -> Message {
    let services = services.iter().map(|name| (*name).to_owned()).collect();
    Message::Subscribe(Subscribe {
        subscriber: "checkout".to_owned(),
        namespace: String::new(),
        services,
        since,
    })
}

async fn put(server: &Server, service: &str, id: &str, port: u16) {
    let path = format!("/bellwether/v1/namespaces/default/services/{service}/instances/{id}");
    let body = format!(r#"{{"address":"10.0.0.7","port":{port},"zone":"a","metadata":{{"k":"v"}}}}"#);
    assert!(ask(server, Method::PUT, &path, body).await.0.is_success());
}

#[tokio::test]
async fn a_client_sees_what_is_there_then_each_change_of_its_services_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    put(&server, "hello", "hello-1", 1).await;
    put(&server, "other", "other-1", 1).await;
    let mut watch = Watch::of(&server, &["hello", "cart"], None).await;
    let (revision, snapshot) = watch.snapshot().await;
    assert_eq!((revision, snapshot.complete, snapshot.services.len()), (2, true, 1));
    let seen = &snapshot.services[0].instances[0];
    assert_eq!(
        (seen.id.as_str(), seen.port, seen.status.as_str(), seen.health.as_str()),
        ("hello-1", 1, "up", "unchecked")
    );
    assert_eq!((seen.zone.as_str(), seen.weight, seen.metadata["k"].as_str()), ("a", 100, "v"));
    put(&server, "other", "other-2", 1).await;
    put(&server, "cart", "cart-1", 7).await;
    let (revision, changes) = watch.changes().await;
    assert_eq!((revision, changes.len(), changes[0].service.as_str()), (4, 1, "cart"));
    assert_eq!((changes[0].action.as_str(), changes[0].actor.as_str()), ("registered", "operator"));
    assert_eq!(changes[0].instance.as_ref().unwrap().port, 7);
    ask(&server, Method::DELETE, HELLO_1, "").await;
    let (_, changes) = watch.changes().await;
    assert_eq!((changes[0].instance_id.as_str(), &changes[0].instance), ("hello-1", &None));

    let mut resumed = Watch::of(&server, &["hello", "cart"], Some(2)).await;
    let (revision, changes) = resumed.changes().await;
    let revisions: Vec<u64> = changes.iter().map(|change| change.revision).collect();
    assert_eq!((revision, revisions), (5, vec![4, 5]), "no gap, and nothing twice");
    let mut lost = Watch::of(&server, &["hello"], Some(99)).await;
    let answer = lost.next().await.unwrap();
    assert!(
        matches!(answer.event, Some(Event::Resync(Snapshot { complete: true, services })) if services.is_empty())
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_large_snapshot_comes_in_parts_that_any_client_takes() {
    const INSTANCES: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let text = "x".repeat(1_000);
    let instance = |n: usize| {
        let metadata: BTreeMap<String, &str> = (0..6).map(|k| (format!("k{k}"), text.as_str())).collect();
        let service = if n.is_multiple_of(3) { "cart" } else { "hello" };
        json!({"service":service,"id":format!("i{n}"),"address":"10.0.0.7","port":1,"metadata":metadata})
    };
    for page in (0..INSTANCES).collect::<Vec<_>>().chunks(250) {
        let instances: Vec<Json> = page.iter().map(|n| instance(*n)).collect();
        let all = "/bellwether/v1/namespaces/default/instances";
        let (status, answer) =
            ask(&server, Method::POST, all, json!({ "instances": instances }).to_string()).await;
        assert_eq!(status, 200, "{answer}");
    }
    let mut watch = Watch::of(&server, &[], None).await;
    let (mut parts, mut found) = (0, BTreeMap::new());
    loop {
        let (revision, snapshot) = watch.snapshot().await;
        assert_eq!(revision, INSTANCES as u64);
        parts += 1;
        for service in snapshot.services {
            for instance in service.instances {
                assert_eq!(found.insert(instance.id, service.service.clone()), None, "nothing twice");
            }
        }
        if snapshot.complete {
            break;
        }
    }
    assert_eq!((parts, found.len()), (6, INSTANCES), "6 MB, a MiB each");
    assert_eq!(found.values().filter(|service| *service == "cart").count(), INSTANCES.div_ceil(3));

    let mut late = Watch::of(&server, &[], Some(1)).await;
    let (mut parts, mut last) = (0, 1);
    while last < INSTANCES as u64 {
        let (revision, changes) = late.changes().await;
        parts += 1;
        for change in changes {
            assert_eq!(change.revision, last + 1);
            last = change.revision;
        }
        assert_eq!(revision, last, "what is acknowledged is what came");
    }
    assert_eq!(parts, 6);
}

#[tokio::test]
async fn a_drain_waits_for_what_a_client_acknowledges_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    put(&server, "hello", "hello-1", 1).await;
    put(&server, "hello", "hello-2", 1).await;
    let mut watch = Watch::of(&server, &["hello"], None).await;
    let (revision, _) = watch.snapshot().await;
    watch.ack(revision);
    let drain = format!("{HELLO_1}/drain");
    let stands = async || {
        let (status, receipt) = ask(&server, Method::POST, &drain, r#"{"timeout":"0"}"#).await;
        assert_eq!((status.as_u16(), &receipt["safe"]), (200, &json!(false)), "{receipt}");
        receipt["subscribers"].as_array().unwrap().clone()
    };
    let before = stands().await;
    assert_eq!(before.len(), 1);
    assert!(
        before[0]["subscriber"].as_str().unwrap().starts_with("checkout operator@127.0.0.1:"),
        "{before:?}"
    );
    assert_eq!((&before[0]["kind"], &before[0]["state"]), (&json!("watch"), &json!("unacknowledged")));
    let (revision, changes) = watch.changes().await;
    assert_eq!((changes[0].action.as_str(), revision), ("draining", 3));
    watch.ack(revision);
    until("the acknowledgement counts", async || (stands().await[0]["state"] == "acked").then_some(())).await;
    drop(watch);
    until("the client is gone", async || {
        ask(&server, Method::POST, &drain, r#"{"timeout":"0"}"#).await.1["safe"]
            .as_bool()
            .filter(|safe| *safe)
    })
    .await;
}

#[tokio::test]
async fn what_is_no_subscribe_or_no_acknowledgement_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    put(&server, "hello", "hello-1", 1).await;
    let many: Vec<String> = (0..65).map(|n| format!("s{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let named = |subscriber: &str, namespace: &str| {
        let (subscriber, namespace) = (subscriber.to_owned(), namespace.to_owned());
        Message::Subscribe(Subscribe { subscriber, namespace, services: vec![], since: None })
    };
    for (first, says) in [
        (Message::Ack(Ack { revision: 1 }), "subscribe"),
        (subscribe(&["Hello"], None), "services"),
        (subscribe(&[&"x".repeat(10_000)], None), "services"),
        (subscribe(&["../hello"], None), "services"),
        (subscribe(&many, None), "at most 64"),
        (named("", ""), "subscriber"),
        (named("a\nb", ""), "subscriber"),
        (named(&"x".repeat(129), ""), "subscriber"),
        (named("a", "%2e%2e"), "namespace"),
    ] {
        let refused = Watch::open(&server, first, None).await.next().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().starts_with("BW-100") && refused.message().contains(says), "{refused:?}");
    }
    let oversized =
        Watch::open(&server, named(&"x".repeat(20_000), ""), None).await.next().await.unwrap_err();
    assert_eq!(oversized.code(), Code::OutOfRange, "{oversized:?}");
    for wrong in [Message::Ack(Ack { revision: 2 }), subscribe(&[], None)] {
        let mut watch = Watch::of(&server, &[], None).await;
        watch.snapshot().await;
        watch.says.send(wrong).unwrap();
        let refused = watch.next().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("acknowledge"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_opens_the_namespaces_that_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let request = json!({"name":"app","scopes":["read"],"namespaces":["other"]});
    let request = serde_json::from_value(request).unwrap();
    let (_, token) = server::create_token_offline(folder.path(), &request).await.unwrap();
    let server = start_with(folder.path(), |settings| settings.require_tokens = true).await;
    let refused = Watch::open(&server, subscribe(&[], None), Some(&token)).await.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let other =
        Subscribe { subscriber: "a".into(), namespace: "other".into(), services: vec![], since: None };
    let mut watch = Watch::open(&server, Message::Subscribe(other), Some(&token)).await;
    assert_eq!(watch.snapshot().await.0, 0);
}

//! Policies as documents: written, compared, rolled back, and pushed to proxies.

use std::time::Duration;

use http::Method;
use serde_json::{Value as Json, json};
use server::{Server, Subscription};
use wire::native::channel::{Hello, PolicyUpdate, Update};

use crate::asking::*;

const POLICIES: &str = "/bellwether/v1/namespaces/default/policies";
const CART: &str = "/bellwether/v1/namespaces/default/policies/cart";
const EFFECTIVE: &str = "/bellwether/v1/namespaces/default/services/cart/policy";

/// A policy for the service `cart` with this time-out for calls.
fn cart(call: &str) -> String {
    format!(
        "apiVersion: bellwether.dev/v1\nkind: ServicePolicy\nmetadata: {{ name: cart }}\n\
         spec: {{ service: cart, timeouts: {{ call: {call} }} }}\n"
    )
}

fn defaults(sections: &str) -> String {
    format!(
        "apiVersion: bellwether.dev/v1\nkind: NamespaceDefaults\nmetadata: {{ name: defaults }}\nspec: {sections}\n"
    )
}

async fn put(server: &Server, path: &str, document: &str) -> Json {
    let (status, policy) = ask(server, Method::PUT, path, document).await;
    assert!(status.is_success(), "{status} {policy}");
    policy
}

#[tokio::test]
async fn a_policy_is_written_as_yaml_or_json_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let tried = ask(&server, Method::PUT, &format!("{CART}?dry_run=true"), cart("2s")).await;
    assert_eq!((tried.0.as_u16(), &tried.1["service"]), (201, &json!("cart")));
    assert_eq!(get(&server, POLICIES).await["policies"], json!([]), "nothing has happened");

    let (status, made) = ask(&server, Method::PUT, &format!("{CART}?reason=slow+disk"), cart("2s")).await;
    assert_eq!((status.as_u16(), &made["kind"]), (201, &json!("ServicePolicy")), "{made}");
    assert_eq!((&made["reason"], &made["actor"]), (&json!("slow disk"), &json!("operator")));
    let again = put(&server, CART, &made["document"].to_string()).await;
    assert_eq!(again["revision"], made["revision"], "the same as JSON changes nothing");
    let (status, changed) = ask(&server, Method::PUT, CART, cart("3s")).await;
    assert_eq!((status.as_u16(), &changed["number"]), (200, &json!(2)));
    let shown = send(&server, Method::GET, CART, &[], "").await;
    assert_eq!(shown.headers()["etag"], format!("\"{}\"", changed["revision"]));
    let listed = get(&server, &format!("{POLICIES}?limit=1")).await;
    assert_eq!((&listed["policies"][0], &listed["next"]), (&changed, &Json::Null));
    assert_eq!(ask(&server, Method::DELETE, &format!("{CART}?dry_run=true"), "").await.0, 204);
    assert_eq!(ask(&server, Method::DELETE, CART, "").await.0, 204);
    let (status, problem) = ask(&server, Method::GET, CART, "").await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("BW-1111")));
    assert_eq!(ask(&server, Method::DELETE, CART, "").await.0, 404);
    assert_eq!(get(&server, POLICIES).await["policies"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let refused = async |path: &str, document: &str| {
        let (status, problem) = ask(&server, Method::PUT, path, document).await;
        (status.as_u16(), problem["code"].clone(), problem["field"].clone(), problem.to_string())
    };
    let (status, code, field, text) = refused(CART, &cart("2s").replace("timeouts", "tiemouts")).await;
    assert_eq!((status, code, field), (400, json!("BW-1004"), json!("/spec/tiemouts")));
    assert!(text.contains("line 4, column 24") && text.contains("did you mean \\\"timeouts\\\"?"), "{text}");
    let (status, code, field, _) = refused(CART, &cart("2 seconds")).await;
    assert_eq!((status, code, field), (400, json!("BW-1003"), json!("/spec/timeouts/call")));
    let (status, code, _, _) = refused(CART, "{").await;
    assert_eq!((status, code), (400, json!("BW-1002")));
    let (_, _, field, _) = refused(&format!("{POLICIES}/other"), &cart("2s")).await;
    assert_eq!(field, json!("/metadata/name"));
    let elsewhere = cart("2s").replace("{ name: cart }", "{ name: cart, namespace: shop }");
    let (_, _, field, _) = refused(CART, &elsewhere).await;
    assert_eq!(field, json!("/metadata/namespace"));
    let (_, _, _, text) = refused(CART, &cart("2s").replace("ServicePolicy", "Route")).await;
    assert!(text.contains("the kind Route is not known to this version"), "{text}");
    put(&server, CART, &cart("2s")).await;
    let second = cart("2s").replace("name: cart", "name: second");
    let (status, code, _, text) = refused(&format!("{POLICIES}/second"), &second).await;
    assert_eq!((status, code), (409, json!("BW-1113")));
    assert!(text.contains("policy \\\"cart\\\" is for service \\\"cart\\\" already"), "{text}");
}

#[tokio::test]
async fn if_match_takes_the_revision_that_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let with = async |tag: &str, method: Method, path: &str, body: String| {
        let (status, problem) = ask_as(&server, method, path, &[("if-match", tag)], body).await;
        (status.as_u16(), problem)
    };
    assert_eq!(with("*", Method::PUT, CART, cart("1s")).await.0, 412);
    let made = put(&server, CART, &cart("1s")).await;
    let tag = format!("\"{}\"", made["revision"]);
    assert_eq!(with(&tag, Method::PUT, CART, cart("2s")).await.0, 200);
    let (status, problem) = with(&tag, Method::PUT, CART, cart("3s")).await;
    assert_eq!((status, &problem["code"], &problem["field"]), (412, &json!("BW-1114"), &json!("If-Match")));
    assert_eq!(with(&tag, Method::DELETE, CART, String::new()).await.0, 412);
    assert_eq!(with(&tag, Method::POST, &format!("{CART}/rollback"), String::new()).await.0, 412);
    assert_eq!(with("soon", Method::PUT, CART, cart("3s")).await.0, 400);
    assert_eq!(get(&server, CART).await["document"]["spec"]["timeouts"]["call"], "2s");
}

#[tokio::test]
async fn every_revision_is_kept_with_who_and_why_and_can_be_gone_back_to_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let first = put(&server, &format!("{CART}?reason=first"), &cart("1s")).await;
    put(&server, CART, &cart("2s")).await;
    let back = format!("{CART}/rollback");
    let (status, rolled) =
        ask(&server, Method::POST, &back, json!({ "to": first["revision"] }).to_string()).await;
    assert_eq!((status.as_u16(), &rolled["document"]), (200, &first["document"]), "{rolled}");
    assert_eq!(rolled["number"], 3);
    ask(&server, Method::DELETE, &format!("{CART}?reason=gone"), "").await;
    server.shutdown().await;

    let server = start(folder.path()).await;
    let history = get(&server, &format!("{CART}/history")).await;
    let told: Vec<_> = history["revisions"].as_array().unwrap().iter().map(|of| &of["action"]).collect();
    assert_eq!(told, ["deleted", "rolled_back", "updated", "created"]);
    assert_eq!(history["revisions"][3]["reason"], "first");
    assert_eq!(history["revisions"][0]["document"], Json::Null);
    let (status, rolled) = ask(&server, Method::POST, &back, "").await;
    assert_eq!((status.as_u16(), &rolled["number"]), (201, &json!(5)), "{rolled}");
    assert_eq!(get(&server, CART).await["document"], first["document"]);
    let (status, problem) = ask(&server, Method::POST, &back, r#"{"to":999}"#).await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("BW-1112")));
    until("an event for each", async || {
        let events = get(&server, "/bellwether/v1/events?kind=policy").await;
        let events = events["events"].as_array()?.clone();
        (events.len() == 5).then_some(events)
    })
    .await
    .iter()
    .for_each(|event| assert_eq!(event["details"]["policy"], "cart", "{event}"));
}

#[tokio::test]
async fn what_holds_for_a_service_is_merged_and_says_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let before = get(&server, EFFECTIVE).await;
    assert_eq!(
        (&before["policy_revision"], &before["origins"]["retry"]["from"]),
        (&json!(0), &json!("built_in"))
    );
    assert_eq!(before["policy"]["timeouts"]["call"], "15s");
    put(&server, CART, &cart("2s")).await;
    let below = "{ retry: { max_retries: 3 }, timeouts: { call: 9s }, outlier_detection: null }";
    let made = put(&server, &format!("{POLICIES}/defaults"), &defaults(below)).await;
    assert_eq!((&made["kind"], &made["service"]), (&json!("NamespaceDefaults"), &Json::Null));
    let merged = get(&server, EFFECTIVE).await;
    assert_eq!(merged["policy_revision"], made["revision"]);
    assert_eq!(merged["policy"]["timeouts"]["call"], "2s");
    assert_eq!(merged["policy"]["retry"]["max_retries"], 3);
    assert_eq!(merged["policy"]["outlier_detection"], Json::Null);
    let from = |section: &str| merged["origins"][section]["from"].as_str().unwrap().to_owned();
    assert_eq!(
        ["timeouts", "retry", "outlier_detection", "fallback"].map(from),
        ["service", "namespace", "namespace", "built_in"]
    );
    assert_eq!(merged["origins"]["retry"]["policy"], "defaults");
    let schema = get(&server, "/bellwether/v1/policies/schema.json").await;
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

fn hello(since: Option<u64>) -> Hello {
    Hello { proxy: "gateway-1".parse().unwrap(), epoch: 1, version: "1".to_owned(), since }
}

async fn next(watch: &mut Subscription) -> Update {
    tokio::time::timeout(Duration::from_secs(20), watch.next()).await.expect("an update").unwrap()
}

/// The service and its time-out for calls, for each policy of an update.
fn calls(update: &Update) -> Vec<(String, Option<u64>)> {
    let call = |of: &PolicyUpdate| {
        let service = of.service.as_ref().map(ToString::to_string).unwrap_or_default();
        (service, of.policy.as_ref().map(|policy| policy.timeouts.call.as_secs()))
    };
    update.policies.iter().map(call).collect()
}

#[tokio::test]
async fn proxies_are_told_what_holds_and_their_acknowledgement_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut watch = server.channel().watch(hello(None));
    let first = next(&mut watch).await;
    assert!(first.snapshot && first.policies.is_empty());
    watch.ack(first.revision);

    let made = put(&server, CART, &cart("2s")).await;
    let update = next(&mut watch).await;
    assert_eq!((update.snapshot, update.services.len()), (false, 0));
    assert_eq!(calls(&update), [("cart".to_owned(), Some(2))]);
    assert_eq!(Json::from(update.policies[0].policy_revision), made["revision"]);
    let seen = async || get(&server, "/bellwether/v1/proxies").await["proxies"][0].clone();
    let stale = seen().await;
    assert_eq!((&stale["policy_state"], &stale["policy_revision"]), (&json!("stale"), &json!(0)));
    watch.ack(update.revision);
    let synced = seen().await;
    assert_eq!((&synced["policy_state"], &synced["policy_revision"]), (&json!("synced"), &made["revision"]));

    // A namespace's defaults are below every policy in it.
    put(&server, &format!("{POLICIES}/defaults"), &defaults("{ timeouts: { call: 9s } }")).await;
    let update = next(&mut watch).await;
    assert_eq!(calls(&update), [(String::new(), Some(9)), ("cart".to_owned(), Some(2))]);
    // A policy that is for another service now holds for the former no more.
    put(&server, CART, &cart("2s").replace("service: cart", "service: checkout")).await;
    let update = next(&mut watch).await;
    assert_eq!(calls(&update), [("cart".to_owned(), None), ("checkout".to_owned(), Some(2))]);
    let revision = update.revision;
    ask(&server, Method::DELETE, CART, "").await;
    assert!(calls(&next(&mut watch).await).contains(&("checkout".to_owned(), None)));
    drop(watch);

    // Whoever was away is told what it has missed, and whoever is new is told everything.
    let mut watch = server.channel().watch(hello(Some(revision)));
    assert!(calls(&next(&mut watch).await).contains(&("checkout".to_owned(), None)));
    drop(watch);
    let mut watch = server.channel().watch(hello(None));
    assert_eq!(calls(&next(&mut watch).await), [(String::new(), Some(9))]);
}

#[tokio::test]
async fn many_pushes_grow_no_history_and_a_proxy_that_slept_gets_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut watch = server.channel().watch(hello(None));
    next(&mut watch).await;
    for push in 1..=250 {
        put(&server, CART, &cart(&format!("{push}s"))).await;
    }
    let history = get(&server, &format!("{CART}/history")).await;
    assert_eq!((history["revisions"].as_array().unwrap().len(), &history["forgotten"]), (100, &json!(150)));
    assert_eq!(calls(&next(&mut watch).await), [("cart".to_owned(), Some(250))]);
}

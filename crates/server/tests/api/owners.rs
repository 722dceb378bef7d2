//! Who owns a key, and how keys are shared out.

use http::Method;
use identity::{Mono, Namespace, Now, ServiceName, Wall};
use registry::{Algorithm, Ask, Command, Host, LeaseId, Lookup, Registration, Registry, Target};
use serde_json::{Value as Json, json};
use wire::native::channel::EndpointRow;

use crate::{asking::*, report};

/// A service of five instances, of which one has a fifth of the weight.
async fn five(server: &server::Server) {
    let instance = |id: &str, weight: u32| json!({"service":"hello","id":id,"address":"10.0.0.7","port":80,"weight":weight});
    let instances =
        [instance("a", 100), instance("b", 100), instance("c", 100), instance("d", 100), instance("e", 20)];
    let all = "/bellwether/v1/namespaces/default/instances";
    let (status, _) = ask(server, Method::POST, all, json!({ "instances": instances }).to_string()).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn each_algorithm_names_a_home_and_passes_over_who_takes_no_calls() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    five(&server).await;
    let plain = get(&server, &format!("{HELLO}/owner?key=user-42")).await;
    assert_eq!(
        (&plain["algorithm"], &plain["approximate"], &plain["reason"]),
        (&json!("ring"), &json!(false), &json!(""))
    );
    assert_eq!(plain["instance"], plain["home"]);
    assert_eq!(plain.get("in_flight"), None);
    for algorithm in ["ring", "maglev", "nearest"] {
        let path = format!("{HELLO}/owner?key=user-42&algorithm={algorithm}");
        let before = get(&server, &path).await;
        assert_eq!((&before["algorithm"], &before["key"]), (&json!(algorithm), &json!("user-42")));
        let home = before["home"]["id"].as_str().unwrap();
        let pin = format!("{HELLO}/instances/{home}/override");
        ask(&server, Method::PUT, &pin, r#"{"status":"maintenance","reason":"a test"}"#).await;
        let away = get(&server, &path).await;
        assert_eq!(away["home"]["id"], home);
        assert_ne!(away["instance"]["id"], home);
        assert!(away["reason"].as_str().unwrap().starts_with(&format!("{home} is maintenance")), "{away}");
        ask(&server, Method::DELETE, &pin, "").await;
    }
}

#[tokio::test]
async fn a_bound_passes_over_who_has_enough_by_the_calls_that_proxies_report() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    five(&server).await;
    let path = format!("{HELLO}/owner?key=user-42&bounded=1.25");
    let idle = get(&server, &path).await;
    let home = idle["home"]["id"].as_str().unwrap().to_owned();
    assert_eq!((&idle["approximate"], &idle["instance"]["id"]), (&json!(true), &json!(home)));
    assert_eq!(idle["in_flight"], json!({"a":0,"b":0,"c":0,"d":0,"e":0}));
    let mut busy = report(1);
    let row = |instance: &str, in_flight| EndpointRow {
        namespace: "default".parse().unwrap(),
        service: "hello".parse().unwrap(),
        instance: instance.parse().unwrap(),
        in_flight,
        state: Default::default(),
        ejected: String::new(),
        counts: Default::default(),
    };
    busy.endpoints = vec![row(&home, 90), row("e", 1)];
    server.channel().report(busy.clone()).await.unwrap();
    (busy.proxy, busy.sequence) = ("gateway-2".parse().unwrap(), 1);
    server.channel().report(busy).await.unwrap();
    let full = get(&server, &path).await;
    assert_eq!(
        (&full["home"]["id"], &full["in_flight"][&home], &full["in_flight"]["e"]),
        (&json!(home), &json!(180), &json!(2))
    );
    assert_ne!(full["instance"]["id"], json!(home));
    assert!(
        full["reason"].as_str().unwrap().starts_with(&format!("{home} has 180 of 182 calls in flight")),
        "{full}"
    );
    let unbounded = get(&server, &format!("{HELLO}/owner?key=user-42")).await;
    assert_eq!(unbounded["instance"]["id"], json!(home));
}

#[tokio::test]
async fn the_ring_shows_the_share_of_each_member_and_owners_agree() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    five(&server).await;
    for (algorithm, points) in [("ring", 4 * 160 + 32), ("nearest", 4 * 160 + 32), ("maglev", 65_537)] {
        let ring = get(&server, &format!("{HELLO}/ring?algorithm={algorithm}")).await;
        assert_eq!((&ring["points"], &ring["revision"]), (&json!(points), &json!(5)), "{ring}");
        let members = ring["members"].as_array().unwrap();
        let shares: Vec<f64> = members.iter().map(|member| member["share"].as_f64().unwrap()).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{ring}");
        assert!(shares[4] < shares[0] / 2.0, "{ring}");
        assert_eq!((&members[4]["id"], &members[4]["weight"]), (&json!("e"), &json!(20)));
        assert_eq!(members[4]["status"], "up");
    }
    assert_eq!(get(&server, &format!("{HELLO}/ring")).await["algorithm"], Json::from("ring"));
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1,"weight":0}"#).await;
    let ring = get(&server, &format!("{HELLO}/ring")).await;
    assert_eq!(ring["members"][5], json!({"id":"hello-1","status":"up","weight":0,"points":0,"share":0.0}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ring_of_a_large_service_is_made_beside_the_registry_and_names_the_same_owners() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let id = |nth: u32| format!("big-{nth:04}");
    let member = |nth| json!({"service":"hello","id":id(nth),"address":"10.0.0.7","port":80});
    let all = json!({ "instances": (0..1_000).map(member).collect::<Vec<_>>() }).to_string();
    assert_eq!(ask(&server, Method::POST, "/bellwether/v1/namespaces/default/instances", all).await.0, 200);

    // The same in a registry that nobody else has to wait for.
    let (mut plain, now) = (Registry::default(), Now { mono: Mono(0), wall: Wall(0) });
    let (namespace, service): (Namespace, ServiceName) =
        ("default".parse().unwrap(), "hello".parse().unwrap());
    let target = |id: &str| Target {
        namespace: namespace.clone(),
        service: service.clone(),
        instance: id.parse().unwrap(),
    };
    for nth in 0..1_000 {
        let registration = Registration::new("10.0.0.7".parse().map(Host::Ip).unwrap(), 80);
        plain.apply(now, Command::register(target(&id(nth)), registration, LeaseId(1), "test")).unwrap();
    }
    assert!(plain.plan(&namespace, &service).is_some(), "it is large");
    let same = async |plain: &Registry, key: String, algorithm: Algorithm| {
        let found = get(&server, &format!("{HELLO}/owner?key={key}&algorithm={algorithm}")).await;
        let lookup = Lookup { algorithm, bounded: None };
        let owner = plain.look_up(now, &namespace, &service, key.as_bytes(), &lookup).unwrap();
        assert_eq!(found["home"]["id"].as_str(), Some(owner.home.as_str()), "{algorithm} {key}");
    };
    for algorithm in [Algorithm::Ring, Algorithm::Nearest] {
        for nth in 0..5 {
            same(&plain, format!("k{nth}"), algorithm).await;
        }
    }
    assert_eq!(ask(&server, Method::DELETE, &format!("{HELLO}/instances/big-0007"), "").await.0, 204);
    let ask_gone = Ask::Deregister { held: None, reason: "r".into() };
    plain.apply(now, Command { target: target("big-0007"), actor: "test".into(), ask: ask_gone }).unwrap();
    for nth in 0..30 {
        same(&plain, format!("k{nth}"), Algorithm::Ring).await;
    }
    let shares = get(&server, &format!("{HELLO}/ring")).await;
    assert_eq!(shares["points"], json!(999 * 160));
}

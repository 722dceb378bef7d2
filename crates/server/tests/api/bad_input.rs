//! What is refused, how, and that it changes nothing.

use http::Method;
use server::Server;

use crate::asking::*;

const DEFAULT: &str = "/bellwether/v1/namespaces/default";
/// More than any body of the API may have.
const OVERSIZED: usize = 3 << 20;

/// A request and how it is refused: status, code, and the field that is named (`-` for none).
struct Case {
    method: Method,
    path: String,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    field: String,
}

fn case(
    method: Method,
    path: impl Into<String>,
    body: impl Into<Vec<u8>>,
    (status, code, field): (u16, &'static str, impl Into<String>),
) -> Case {
    Case { method, path: path.into(), body: body.into(), status, code, field: field.into() }
}

/// Each case is refused as it says, and what is registered is what was.
async fn refuses(server: &Server, cases: impl IntoIterator<Item = Case>) {
    let everything = format!("{DEFAULT}/watch");
    let state = async || events(send(server, Method::GET, &everything, &[], "").await, 1).await;
    let before = state().await;
    for Case { method, path, body, status, code, field } in cases {
        let (got, problem) = ask(server, method.clone(), &path, &body).await;
        let shown: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        let short: String = path.chars().take(200).collect();
        let what = format!("{method} {short} {shown}: {problem}");
        assert_eq!((got.as_u16(), problem["code"].as_str()), (status, Some(code)), "{what}");
        let named = problem["field"].as_str().unwrap_or("-");
        assert_eq!(named, field, "{what}");
        assert!(problem["detail"].as_str().is_some_and(|detail| (3..400).contains(&detail.len())), "{what}");
        for leak in ["struct ", " u16", " u32", " u64", "usize", "Option", "found in string"] {
            assert!(!problem.to_string().contains(leak), "{leak:?} is of Rust and not of the API: {what}");
        }
    }
    assert_eq!(state().await, before, "something has changed");
}

/// What is wrong with a member of a registration, wherever it stands.
fn bad_members() -> Vec<(&'static str, String, u16, &'static str, &'static str)> {
    let long = "x".repeat(10_000);
    let member = |name, value: &str, code, field| (name, value.to_owned(), 400, code, field);
    vec![
        member("port", "70000", "BW-1003", "/port"),
        member("port", "0", "BW-1003", "/port"),
        member("port", "-1", "BW-1003", "/port"),
        member("port", "80.5", "BW-1003", "/port"),
        member("port", r#""80""#, "BW-1003", "/port"),
        member("port", "null", "BW-1003", "/port"),
        ("address", r#""169.254.169.254""#.to_owned(), 403, "BW-1105", "/address"),
        ("address", r#""::ffff:169.254.169.254""#.to_owned(), 403, "BW-1105", "/address"),
        member("address", r#""""#, "BW-1003", "/address"),
        member("address", r#""http://a""#, "BW-1003", "/address"),
        member("address", &format!("\"{long}\""), "BW-1003", "/address"),
        member("zone", &format!("\"{long}\""), "BW-1003", "/zone"),
        member("zone", r#""a\u0007b""#, "BW-1003", "/zone"),
        member("zone", "7", "BW-1003", "/zone"),
        member("version", r#""\u001b[31m""#, "BW-1003", "/version"),
        member("weight", "10001", "BW-1003", "/weight"),
        member("weight", "1e3", "BW-1003", "/weight"),
        member("metadata", r#"{"a":1}"#, "BW-1003", "/metadata/a"),
        member("metadata", r#"{"a/b":"\u0000"}"#, "BW-1003", "/metadata/a~1b"),
        member("metadata", &format!(r#"{{"a":"{long}"}}"#), "BW-1003", "/metadata/a"),
        member("metadata", &format!(r#"{{"{long}":"a"}}"#), "BW-1003", "/metadata"),
        member("metadata", r#"{"a":"1","a":"2"}"#, "BW-1003", "/metadata/a"),
        member("metadata", "[]", "BW-1003", "/metadata"),
        member("ttl", r#""soon""#, "BW-1003", "/ttl"),
        member("ttl", r#""1ms""#, "BW-1003", "/ttl"),
        member("ttl", "15", "BW-1003", "/ttl"),
        member("deregister_after", r#""10s""#, "BW-1003", "/deregister_after"),
        member("warm_up", r#""2h""#, "BW-1003", "/warm_up"),
        member("lease_id", r#""mine""#, "BW-1003", "/lease_id"),
        member("checks", "{}", "BW-1003", "/checks"),
        member("checks", "[true]", "BW-1003", "/checks/0"),
        member("checks", r#"[["/healthz"]]"#, "BW-1003", "/checks/0"),
        member("checks", "[{}]", "BW-1005", "/checks/0"),
        member("checks", r#"[{"tcp":true},{"http":"/","tcp":true}]"#, "BW-1003", "/checks/1"),
        member("checks", r#"[{"tcp":false}]"#, "BW-1003", "/checks/0/tcp"),
        member("checks", r#"[{"grpc":false}]"#, "BW-1003", "/checks/0/grpc"),
        member("checks", r#"[{"http":"healthz"}]"#, "BW-1003", "/checks/0/http"),
        member("checks", r#"[{"http":"http://169.254.169.254/"}]"#, "BW-1003", "/checks/0/http"),
        member("checks", r#"[{"tcp":true,"port":0}]"#, "BW-1003", "/checks/0/port"),
        member("checks", r#"[{"tcp":true,"host":"10.0.0.1"}]"#, "BW-1004", "/checks/0/host"),
        member("checks", r#"[{"tcp":true,"interval":"1ms"}]"#, "BW-1003", "/checks/0/interval"),
        member("checks", r#"[{"tcp":true,"interval":"1s","timeout":"2s"}]"#, "BW-1003", "/checks/0/timeout"),
        member("checks", r#"[{"tcp":true,"success_threshold":0}]"#, "BW-1003", "/checks/0/success_threshold"),
        member(
            "checks",
            r#"[{"tcp":true,"failure_threshold":101}]"#,
            "BW-1003",
            "/checks/0/failure_threshold",
        ),
        member("checks", &format!("[{}]", [r#"{"tcp":true}"#; 9].join(",")), "BW-1003", "/checks"),
        member("prot", "1", "BW-1004", "/prot"),
    ]
}

/// A registration in which one member is as given; `first` are the members before.
fn with(first: &str, name: &str, value: &str) -> String {
    let usual = [("address", r#""10.0.0.7""#), ("port", "80")];
    let usual: Vec<String> =
        usual.iter().filter(|(of, _)| *of != name).map(|(n, v)| format!("\"{n}\":{v}")).collect();
    format!("{{{first}{},\"{name}\":{value}}}", usual.join(","))
}

/// Bodies that no path takes, and what is said of each.
fn bad_bodies() -> Vec<(Vec<u8>, u16, &'static str, &'static str)> {
    vec![
        (b"".to_vec(), 400, "BW-1002", "-"),
        (b"{".to_vec(), 400, "BW-1002", "-"),
        (b"\0".to_vec(), 400, "BW-1002", "-"),
        (b"{\"\xff\":1}".to_vec(), 400, "BW-1002", "-"),
        (b"null".to_vec(), 400, "BW-1003", ""),
        (b"[]".to_vec(), 400, "BW-1003", ""),
        (b"{\"nonsense\":1}".to_vec(), 400, "BW-1004", "/nonsense"),
        (format!("{{\"{}\":1}}", "x".repeat(10_000)).into_bytes(), 400, "BW-1004", ""),
        (vec![b' '; OVERSIZED], 413, "BW-1012", "-"),
    ]
}

/// Names that cannot be those of a service, as they stand in a path.
const BAD_NAMES: [&str; 7] = ["Hello", "a_b", "-a", "%2e%2e", "a%2Fb", "%00", "%0d%0a"];

#[tokio::test]
async fn a_bad_registration_names_the_field_and_the_rule_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":80}"#).await;
    let good = r#"{"address":"10.0.0.7","port":81}"#;
    let put = |path: String, body: &str, says| case(Method::PUT, path, body, says);
    let mut cases = vec![
        put(HELLO_1.into(), r#"{"address":"10.0.0.7"}"#, (400, "BW-1005", "/port")),
        put(HELLO_1.into(), r#"{"port":80}"#, (400, "BW-1005", "/address")),
        put(HELLO_1.into(), r#"{"address":"a","port":80,"port":81}"#, (400, "BW-1003", "/port")),
        put(HELLO_1.into(), r#"{"address":"a","port":"#, (400, "BW-1002", "/port")),
        put(format!("{HELLO_1}?dry_run=maybe"), good, (400, "BW-1003", "dry_run")),
        put(format!("{HELLO_1}?dryrun=true"), good, (400, "BW-1004", "dryrun")),
        put(format!("{HELLO_1}?dry_run=true&dry_run=true"), good, (400, "BW-1003", "dry_run")),
        put(
            format!("{DEFAULT}/services/{}/instances/i", "x".repeat(5_000)),
            good,
            (400, "BW-1003", "service"),
        ),
        put(format!("{HELLO}/instances/{}", "x".repeat(5_000)), good, (400, "BW-1003", "instance")),
        put(format!("{HELLO}/instances/%ff"), good, (400, "BW-1003", "instance")),
        put(format!("{HELLO}/instances/%2e%2e"), good, (400, "BW-1003", "instance")),
        put(format!("{HELLO}/instances/a%2fb"), good, (400, "BW-1003", "instance")),
        put(format!("{HELLO}/instances/{}", "x".repeat(10_000)), good, (414, "BW-1011", "-")),
        put(
            "/bellwether/v1/namespaces/Default/services/a/instances/i".into(),
            good,
            (400, "BW-1003", "namespace"),
        ),
    ];
    let members = bad_members().into_iter();
    cases.extend(members.map(|(name, value, status, code, field)| {
        case(Method::PUT, HELLO_1, with("", name, &value), (status, code, field))
    }));
    let bodies = bad_bodies().into_iter();
    cases.extend(
        bodies.map(|(body, status, code, field)| case(Method::PUT, HELLO_1, body, (status, code, field))),
    );
    cases.extend(BAD_NAMES.map(|name| {
        let path = format!("{DEFAULT}/services/{name}/instances/i");
        case(Method::PUT, path, good, (400, "BW-1003", "service"))
    }));
    refuses(&server, cases).await;
}

#[tokio::test]
async fn a_bad_registration_among_many_names_its_position_and_none_of_them_happens() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let all = format!("{DEFAULT}/instances");
    let post = |body: String, says: (u16, &'static str, &str)| {
        case(Method::POST, &all, body, (says.0, says.1, says.2))
    };
    let good = |id: &str| format!(r#"{{"service":"hello","id":"{id}","address":"a","port":1}}"#);
    let second = |item: String| format!(r#"{{"instances":[{},{item}]}}"#, good("first"));
    let many: Vec<String> = (0..1_001).map(|id| good(&format!("i{id}"))).collect();
    let mut cases = vec![
        post("{}".into(), (400, "BW-1005", "/instances")),
        post(r#"{"instances":{}}"#.into(), (400, "BW-1003", "/instances")),
        post(r#"{"instances":[7]}"#.into(), (400, "BW-1003", "/instances/0")),
        post(r#"{"instances":[],"instances":[]}"#.into(), (400, "BW-1003", "/instances")),
        post(second(good("first")), (400, "BW-1003", "/instances/1")),
        post(second(good("..")), (400, "BW-1003", "/instances/1/id")),
        post(second(good(&"x".repeat(10_000))), (400, "BW-1003", "/instances/1/id")),
        post(second(good("ok").replace("hello", "Hello")), (400, "BW-1003", "/instances/1/service")),
        post(
            second(r#"{"service":"hello","address":"a","port":1}"#.into()),
            (400, "BW-1005", "/instances/1/id"),
        ),
        post(format!(r#"{{"instances":[{}]}}"#, many.join(",")), (400, "BW-1003", "/instances")),
    ];
    cases.push(case(
        Method::POST,
        format!("{all}?dry_run=7"),
        second(good("x")),
        (400, "BW-1003", "dry_run"),
    ));
    let first = r#""service":"hello","id":"second","#;
    cases.extend(bad_members().into_iter().map(|(name, value, status, code, field)| {
        let body = second(with(first, name, &value));
        case(Method::POST, &all, body, (status, code, format!("/instances/1{field}")))
    }));
    let bodies = bad_bodies().into_iter();
    cases.extend(
        bodies.map(|(body, status, code, field)| case(Method::POST, &all, body, (status, code, field))),
    );
    let elsewhere = "/bellwether/v1/namespaces/a%2e%2e/instances";
    cases.push(case(Method::POST, elsewhere, r#"{"instances":[]}"#, (400, "BW-1003", "namespace")));
    refuses(&server, cases).await;
}

#[tokio::test]
async fn a_bad_heartbeat_among_many_names_its_position_and_renews_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let beats = format!("{DEFAULT}/heartbeats");
    let beat = |id: &str, lease: &str| format!(r#"{{"service":"hello","id":"{id}","lease_id":{lease}}}"#);
    let good = r#""00000000000000ff""#;
    let second = |item: String| format!(r#"{{"heartbeats":[{},{item}]}}"#, beat("first", good));
    let long = "x".repeat(10_000);
    let cases = [
        ("{}".to_owned(), "BW-1005", "/heartbeats"),
        (r#"{"heartbeats":[[]]}"#.to_owned(), "BW-1003", "/heartbeats/0"),
        (second(r#"{"service":"hello"}"#.to_owned()), "BW-1005", "/heartbeats/1/id"),
        (second(r#"{"service":7,"id":"i"}"#.to_owned()), "BW-1003", "/heartbeats/1/service"),
        (second(beat("a b", good)), "BW-1003", "/heartbeats/1/id"),
        (second(beat("..", good)), "BW-1003", "/heartbeats/1/id"),
        (second(beat(&long, good)), "BW-1003", "/heartbeats/1/id"),
        (second(beat("i", "7")), "BW-1003", "/heartbeats/1/lease_id"),
        (second(beat("i", "\"ff\"")), "BW-1003", "/heartbeats/1/lease_id"),
        (second(beat("i", &format!("\"{long}\""))), "BW-1003", "/heartbeats/1/lease_id"),
        (second(beat("i", good).replace("hello", "Hello")), "BW-1003", "/heartbeats/1/service"),
        (second(beat("i", good).replace("lease_id", "lease")), "BW-1004", "/heartbeats/1/lease"),
        (second(beat("i", good).replace("\"id\"", "\"service\"")), "BW-1003", "/heartbeats/1/service"),
        (
            format!(r#"{{"heartbeats":[{}]}}"#, vec![beat("i", good); 1_001].join(",")),
            "BW-1003",
            "/heartbeats",
        ),
    ];
    let cases = cases.map(|(body, code, field)| case(Method::POST, &beats, body, (400, code, field)));
    let bodies = bad_bodies().into_iter();
    let bodies =
        bodies.map(|(body, status, code, field)| case(Method::POST, &beats, body, (status, code, field)));
    refuses(&server, cases.into_iter().chain(bodies)).await;
}

#[tokio::test]
async fn a_bad_question_names_the_parameter_and_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":80}"#).await;
    let get = |path: &str, says| case(Method::GET, path, "", says);
    let cases = [
        get(&format!("{HELLO}?status=asleep"), (400, "BW-1003", "status")),
        get(&format!("{DEFAULT}/services?limit=many"), (400, "BW-1003", "limit")),
        get(&format!("{DEFAULT}/services?limit=99999999999999999999999"), (400, "BW-1003", "limit")),
        get(&format!("{DEFAULT}/watch?since=-1"), (400, "BW-1003", "since")),
        get(&format!("{DEFAULT}/watch?service=Hello"), (400, "BW-1003", "service")),
        get(&format!("{HELLO}/owner"), (400, "BW-1005", "key")),
        get(&format!("{HELLO}/owner?key=a&key=b"), (400, "BW-1003", "key")),
        get(&format!("{HELLO}/owner?key=%ff"), (400, "BW-1003", "key")),
        get(&format!("{HELLO}/owner?key=a&algorithm=rign"), (400, "BW-1003", "algorithm")),
        get(&format!("{HELLO}/owner?key=a&bounded=0.9"), (400, "BW-1003", "bounded")),
        get(&format!("{HELLO}/owner?key=a&bounded=NaN"), (400, "BW-1003", "bounded")),
        get(&format!("{HELLO}/owner?key=a&bounded=2x"), (400, "BW-1003", "bounded")),
        get(&format!("{HELLO}/owner?kee=a"), (400, "BW-1004", "kee")),
        get(&format!("{HELLO}/owner?key={}", "x".repeat(10_000)), (414, "BW-1011", "-")),
        get(&format!("{DEFAULT}/services/helo/owner?key=a"), (404, "BW-1101", "-")),
        get(&format!("{DEFAULT}/services/%2e%2e/owner?key=a"), (400, "BW-1003", "service")),
        get(&format!("{HELLO}/ring?algorithm=jump"), (400, "BW-1003", "algorithm")),
        get(&format!("{HELLO}/ring?key=a"), (400, "BW-1004", "key")),
        get(&format!("{DEFAULT}/services/a%2Fb/ring"), (400, "BW-1003", "service")),
        get(&format!("{DEFAULT}/services/helo/ring"), (404, "BW-1101", "-")),
        get(&format!("{HELLO}/history?limit=0"), (400, "BW-1003", "limit")),
        get(&format!("{HELLO}/history?limit=1001"), (400, "BW-1003", "limit")),
        get(&format!("{HELLO}/history?before=yesterday"), (400, "BW-1003", "before")),
        get(&format!("{HELLO}/history?before=1&before=2"), (400, "BW-1003", "before")),
        get(&format!("{HELLO}/history?after=1"), (400, "BW-1004", "after")),
        get(&format!("{DEFAULT}/services/helo/history"), (404, "BW-1101", "-")),
        get(&format!("{DEFAULT}/services/%2e%2e/history"), (400, "BW-1003", "service")),
        get(&format!("{HELLO}/instances/none/history"), (404, "BW-1102", "-")),
        get(&format!("{HELLO}/instances/a%2Fb/history"), (400, "BW-1003", "instance")),
        get(&format!("{HELLO_1}/history?before=-1"), (400, "BW-1003", "before")),
        get(&format!("{HELLO}/instances/none/why"), (404, "BW-1102", "-")),
        get(&format!("{HELLO}/instances/%0a/why"), (400, "BW-1003", "instance")),
        get(&format!("{HELLO}/instances/%ff/why"), (400, "BW-1003", "instance")),
        get(&format!("{DEFAULT}/http_sd?service=Hello"), (400, "BW-1003", "service")),
        get(&format!("{DEFAULT}/http_sd?service=%2e%2e"), (400, "BW-1003", "service")),
        get(&format!("{DEFAULT}/http_sd?sevice=hello"), (400, "BW-1004", "sevice")),
        get("/bellwether/v1/namespaces/%2e%2e/http_sd", (400, "BW-1003", "namespace")),
        get("/bellwether/v1/traces?servce=a", (400, "BW-1004", "servce")),
        get("/bellwether/v1/traces?limit=0", (400, "BW-1003", "limit")),
        get("/bellwether/v1/traces/xyz", (400, "BW-1003", "path")),
        get("/bellwether/v1/red?window=2h", (400, "BW-1003", "window")),
        get("/bellwether/v1/events?kind=braker", (400, "BW-1003", "kind")),
        get("/bellwether/v1/nothing", (404, "BW-1008", "-")),
        case(Method::POST, HELLO, "", (405, "BW-1009", "-")),
    ];
    refuses(&server, cases).await;
    let (_, problem) = ask(&server, Method::GET, "/bellwether/v1/traces?servce=a", "").await;
    assert_eq!(problem["next"], "did you mean \"service\"?");
    let (_, problem) = ask(&server, Method::GET, &format!("{DEFAULT}/services?limit=many"), "").await;
    assert_eq!(problem["detail"], "limit \"many\" is not valid: a whole number");
}

#[tokio::test]
async fn a_bad_word_of_an_operator_names_the_field_and_the_rule_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":80}"#).await;
    let pin = format!("{HELLO_1}/override");
    let long = "x".repeat(10_000);
    let put = |body: String, says: (u16, &'static str, &'static str)| case(Method::PUT, &pin, body, says);
    let delete = |path: String, says: (u16, &'static str, &'static str)| case(Method::DELETE, path, "", says);
    let with = |status: &str, reason: &str| format!(r#"{{"status":{status},"reason":{reason}}}"#);
    let mut cases = vec![
        put(r#"{"reason":"r"}"#.into(), (400, "BW-1005", "/status")),
        put(r#"{"status":"down"}"#.into(), (400, "BW-1005", "/reason")),
        put(with("\"asleep\"", "\"r\""), (400, "BW-1003", "/status")),
        put(with("\"starting\"", "\"r\""), (400, "BW-1003", "/status")),
        put(with("7", "\"r\""), (400, "BW-1003", "/status")),
        put(with("\"down\"", "\" \""), (400, "BW-1003", "/reason")),
        put(with("\"down\"", "\"a\\nb\""), (400, "BW-1003", "/reason")),
        put(with("\"down\"", &format!("\"{long}\"")), (400, "BW-1003", "/reason")),
        put(with("\"down\"", "\"r\",\"reason\":\"s\""), (400, "BW-1003", "/reason")),
        put(with("\"down\"", "\"r\",\"for\":\"ever\""), (400, "BW-1003", "/for")),
        put(with("\"down\"", "\"r\",\"for\":\"1ms\""), (400, "BW-1003", "/for")),
        put(with("\"down\"", "\"r\",\"for\":60"), (400, "BW-1003", "/for")),
        put(with("\"down\"", "\"r\",\"fro\":\"1m\""), (400, "BW-1004", "/fro")),
        case(Method::PUT, format!("{pin}?dry_run=1"), with("\"down\"", "\"r\""), (400, "BW-1003", "dry_run")),
        case(
            Method::PUT,
            format!("{HELLO}/instances/none/override"),
            with("\"down\"", "\"r\""),
            (404, "BW-1102", "-"),
        ),
        delete(format!("{HELLO}/instances/none/override"), (404, "BW-1102", "-")),
        delete(format!("{HELLO}/instances/none/drain"), (404, "BW-1102", "-")),
        delete(format!("{HELLO_1}/drain?force=true"), (400, "BW-1004", "force")),
        delete(format!("{HELLO}?force=perhaps"), (400, "BW-1003", "force")),
        delete(format!("{HELLO}?force"), (400, "BW-1003", "force")),
        delete(format!("{DEFAULT}/services/helo?force=true"), (404, "BW-1101", "-")),
        case(
            Method::DELETE,
            format!("{HELLO_1}/drain"),
            r#"{"lease_id":"x"}"#,
            (400, "BW-1003", "/lease_id"),
        ),
        case(Method::DELETE, format!("{HELLO_1}/drain"), "[]", (400, "BW-1003", "")),
    ];
    for path in [HELLO_1.to_owned(), pin.clone(), format!("{HELLO_1}/drain"), HELLO.to_owned()] {
        let query = if path == HELLO { "force=true&reason" } else { "reason" };
        cases.push(delete(format!("{path}?{query}=a%0Ab"), (400, "BW-1003", "reason")));
        cases.push(delete(format!("{path}?{query}={}", &long[..2_000]), (400, "BW-1003", "reason")));
        cases.push(delete(format!("{path}?{query}=a&reson=a"), (400, "BW-1004", "reson")));
        cases.push(delete(format!("{path}?{query}=%ff"), (400, "BW-1003", "reason")));
        cases.push(delete(format!("{path}?%ff={query}"), (400, "BW-1003", "query")));
    }
    let bodies = bad_bodies().into_iter();
    cases.extend(
        bodies.map(|(body, status, code, field)| case(Method::PUT, &pin, body, (status, code, field))),
    );
    for name in BAD_NAMES {
        let good = with("\"down\"", "\"r\"");
        let path = format!("{DEFAULT}/services/{name}/instances/i/override");
        cases.push(case(Method::PUT, path, good, (400, "BW-1003", "service")));
        cases.push(delete(format!("{DEFAULT}/services/{name}?force=true"), (400, "BW-1003", "service")));
        cases.push(delete(
            format!("{DEFAULT}/services/{name}/instances/i/drain"),
            (400, "BW-1003", "service"),
        ));
    }
    refuses(&server, cases).await;
}

#[tokio::test]
async fn an_address_outside_of_the_allowed_networks_is_refused_one_by_one_and_among_many() {
    let folder = tempfile::tempdir().unwrap();
    let networks = "10.0.0.0/8".parse().unwrap();
    let server = start_with(folder.path(), |settings| settings.networks = networks).await;
    let register = async |address: &str, dry_run: bool| {
        let path = format!("{HELLO_1}?dry_run={dry_run}");
        ask(&server, Method::PUT, &path, format!(r#"{{"address":"{address}","port":80}}"#)).await
    };
    let rule = "addresses outside of the allowed networks (dial_networks) are never dialled";
    for (address, dry_run) in
        [("192.168.0.1", false), ("::1", false), ("::ffff:8.8.8.8", false), ("8.8.8.8", true)]
    {
        let (status, problem) = register(address, dry_run).await;
        assert_eq!(
            (status.as_u16(), &problem["code"], &problem["field"]),
            (403, &"BW-1105".into(), &"/address".into())
        );
        assert!(problem["detail"].as_str().unwrap().ends_with(rule), "{problem}");
    }
    let both = r#"{"instances":[
        {"service":"hello","id":"out","address":"8.8.8.8","port":80},
        {"service":"hello","id":"in","address":"10.0.0.7","port":80}]}"#;
    let (status, answer) = ask(&server, Method::POST, &format!("{DEFAULT}/instances"), both).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["results"][0]["error"]["code"], "BW-1105", "{answer}");
    assert!(answer["results"][0]["error"]["detail"].as_str().unwrap().ends_with(rule), "{answer}");
    let found = get(&server, HELLO).await;
    let ids: Vec<&str> =
        found["instances"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["in"]);
    assert_eq!(register("10.0.0.8", false).await.0, 201);
}

//! Each test's name is the claim.

use std::time::Duration;

use proptest::prelude::*;
use resilience::{
    Algorithm, BreakerPolicy, CallPolicy, HashKey, LimitKey, OutlierPolicy, Rate, RetryOn, RetryPolicy,
    Window,
};
use serde_json::json;

use super::{
    shape::{Field, Pattern, Shape},
    *,
};

/// A document for the service `cart` with these sections.
fn document(sections: &str) -> String {
    format!(
        "apiVersion: bellwether.dev/v1\nkind: ServicePolicy\nmetadata: {{ name: cart }}\nspec:\n  service: cart\n{sections}"
    )
}

/// What holds by a document with these sections.
fn policy(sections: &str) -> CallPolicy {
    let document = read(&document(sections)).unwrap_or_else(|mistake| panic!("{sections}: {mistake}"));
    document.spec.over(&CallPolicy::default()).unwrap()
}

fn mistake(sections: &str) -> String {
    read(&document(sections)).expect_err(sections).to_string()
}

const EXAMPLE: &str = r#"
apiVersion: bellwether.dev/v1
kind: ServicePolicy
metadata: { name: recommendations, namespace: shop }
spec:
  service: recommendations
  load_balancing: { algorithm: ring, hash_key: { header: x-user-id }, bounded: 1.25 }
  timeouts: { call: 2s, attempt: 800ms }
  retry: { max_retries: 1, on: [connect_failure, "503"], budget: { ratio: 20%, min_per_second: 3 } }
  circuit_breaker:
    consecutive_failures: { threshold: 5 }
    failure_rate: { threshold: 50%, window: 10s, min_calls: 20 }
    open_for: 5s
    half_open: { probes: 3 }
  outlier_detection: { consecutive_failures: { threshold: 5 }, max_ejection: 30% }
  fallback: { status: 200, body: '{"recommendations":[]}' }
  tracing: { share: 10% }
"#;

#[test]
fn the_example_of_the_documentation_means_what_it_says() {
    let document = read(EXAMPLE).unwrap();
    assert_eq!(document.kind(), Kind::ServicePolicy);
    assert_eq!(document.namespace, Some("shop".parse().unwrap()));
    assert_eq!(document.name.as_str(), "recommendations");
    assert_eq!(document.service.as_ref().map(|service| service.as_str()), Some("recommendations"));
    let policy = document.spec.over(&CallPolicy::default()).unwrap();
    assert_eq!(policy.load_balancing.algorithm, Algorithm::Ring);
    assert_eq!(policy.load_balancing.hash_key, Some(HashKey::Header("x-user-id".into())));
    assert_eq!(policy.load_balancing.bounded, Some(1.25));
    assert_eq!(policy.timeouts.attempt, Some(Duration::from_millis(800)));
    assert_eq!(policy.timeouts.connect, Duration::from_secs(1), "what a section leaves out is built in");
    assert_eq!(policy.retry.on, [RetryOn::ConnectFailure, RetryOn::Status(503)]);
    assert_eq!(policy.retry, RetryPolicy { on: policy.retry.on.clone(), ..RetryPolicy::default() });
    let rate = Some(Rate { threshold: 0.5, min_calls: 20 });
    assert_eq!(
        policy.circuit_breaker,
        Some(BreakerPolicy { failure_rate: rate, ..BreakerPolicy::default() })
    );
    assert_eq!(policy.outlier_detection, Some(OutlierPolicy::default()));
    let fallback = policy.fallback.as_ref().unwrap();
    assert_eq!((fallback.status, &*fallback.body), (200, r#"{"recommendations":[]}"#));
    assert_eq!((policy.tracing.share, CallPolicy::default().tracing.share), (0.1, 1.0));
    assert_eq!(document.json()["spec"]["timeouts"], json!({ "call": "2s", "attempt": "800ms" }));
}

#[test]
fn json_is_read_alike() {
    let document = read(EXAMPLE).unwrap();
    let text = serde_json::to_string_pretty(document.json()).unwrap();
    assert_eq!(read(&text), Ok(document.clone()));
    assert_eq!(read(&document.json().to_string()), Ok(document));
    let escaped = r#"{"apiVersion":"bellwether.dev/v1","kind":"ServicePolicy","metadata":{"name":"cart"},
        "spec":{"service":"cart","fallback":{"status":200,"body":"\ud83d\ude00\/\u00e9\n"}}}"#;
    let policy = read(escaped).unwrap().spec.over(&CallPolicy::default()).unwrap();
    assert_eq!(&*policy.fallback.as_ref().unwrap().body, "😀/é\n");
}

#[test]
fn a_mistake_is_told_with_its_line_and_column_and_what_was_meant() {
    for (sections, told) in [
        ("  tiemouts: {}", "line 6, column 3: unknown field \"tiemouts\"; did you mean \"timeouts\"?"),
        ("  timeouts: { cal: 2s }", "line 6, column 15: unknown field \"cal\"; did you mean \"call\"?"),
        (
            "  timeouts: { zzz: 2s }",
            "line 6, column 15: unknown field \"zzz\"; the known fields are connect, attempt, call, idle",
        ),
        (
            "  timeouts: { call: 2 }",
            "line 6, column 21: 2 is not valid: a duration from 1ms to 1d, such as 250ms or 1m30s",
        ),
        (
            "  timeouts: { call: 2d }",
            "line 6, column 21: \"2d\" is not valid: a duration from 1ms to 1d, such as 250ms or 1m30s",
        ),
        (
            "  load_balancing:\n    algorithm: rign",
            "line 7, column 16: \"rign\" is not valid: p2c, least_request, round_robin, random, ring, maglev; \
             did you mean \"ring\"?",
        ),
        ("  retry: { max_retries: 11 }", "line 6, column 25: 11 is not valid: a whole number from 0 to 10"),
        (
            "  retry: { budget: { ratio: 120% } }",
            "line 6, column 29: \"120%\" is not valid: a share from 0% to 100%, such as 50% or 0.5",
        ),
        (
            "  circuit_breaker: { failure_rate: { window: 10s } }",
            "line 6, column 36: \"threshold\" is missing: the share of calls that may fail",
        ),
        (
            "  timeouts: null",
            "line 6, column 13: \"timeouts\" cannot be switched off: how long things may take; \
             leave the key out, or give it a value",
        ),
        ("  timeouts: { call: 1s, call: 2s }", "line 6, column 25: \"call\" is given twice, first in line 6"),
        (
            "  circuit_breaker: { open_for: { bas: 1s } }",
            "line 6, column 34: unknown field \"bas\"; did you mean \"base\"?",
        ),
        (
            "  load_balancing: { algorithm: ring }",
            "line 6, column 32: load_balancing.algorithm \"ring\" is not valid: \
             needs a hash_key: header, cookie, query, path or source",
        ),
        (
            "  circuit_breaker:\n    failure_rate: { threshold: 5%, window: 1s }\n    \
             slow_call_rate: { threshold: 5%, slow_after: 1s, window: 2s }",
            "line 8, column 62: failure_rate and slow_call_rate have one window; give both the same, \
             or one of them none",
        ),
        (
            "  rate_limits: [{ calls: 1, by: { header: X-User } }]",
            "line 6, column 43: \"X-User\" is not valid: the name of a header in lower case, at most 128 bytes, \
             in quotes where it could be a number",
        ),
    ] {
        assert_eq!(mistake(sections), told, "{sections}");
    }
}

#[test]
fn a_mistake_has_a_json_pointer_and_a_kind() {
    let of = |sections: &str| {
        let mistake = read(&document(sections)).expect_err(sections);
        (mistake.fault(), mistake.path().to_owned())
    };
    assert_eq!(of("  retry: { on: [reset, sometimes] }"), (Fault::Value, "/spec/retry/on/1".into()));
    assert_eq!(of("  retry: { a/b: 1 }"), (Fault::Unknown, "/spec/retry/a~1b".into()));
    assert_eq!(of("  concurrency: { queue: 1 }"), (Fault::Missing, "/spec/concurrency/limit".into()));
    assert_eq!(of("  retry: ["), (Fault::Syntax, String::new()));
    assert_eq!(
        of("  retry: { backoff: { base: 1s, max: 1ms } }"),
        (Fault::Value, "/spec/retry/backoff/max".into())
    );
}

#[test]
fn kinds_that_are_not_known_are_said_to_be_so() {
    let of = |kind: &str| read(&EXAMPLE.replace("ServicePolicy", kind)).unwrap_err().to_string();
    let told =
        "line 3, column 7: the kind Route is not known to this version: ServicePolicy or NamespaceDefaults";
    assert_eq!(of("Route"), told);
    assert_eq!(of("Listener"), told.replace("Route", "Listener"));
    assert!(of("ServicePolcy").ends_with("did you mean \"ServicePolicy\"?"));
    assert!(read(&EXAMPLE.replace("bellwether.dev/v1", "bellwether.dev/v2")).is_err());
}

#[test]
fn what_yaml_can_beyond_data_is_refused() {
    for (text, why) in [
        ("a: &x 1", "anchors are not read"),
        ("a: &x [1]\nb: [*x, *x]", "anchors are not read"),
        ("a: !!str 1", "tags are not read"),
        ("[1]: 2", "a key is a plain text"),
        (": 2", "\"kind\" is missing"),
        ("", "there is no document"),
        ("--- {}\n--- {}", "a second document begins here"),
        ("[]", "a policy is an object"),
        ("\u{0}", ""),
    ] {
        let mistake = read(text).expect_err(text).to_string();
        assert!(mistake.contains(why), "{text}: {mistake}");
    }
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert!(read(&deep).unwrap_err().to_string().contains("nested too deeply"));
    assert!(read(&"#".repeat(DOCUMENT_BYTES_MAX + 1)).is_err());
}

#[test]
fn the_order_of_members_makes_no_difference() {
    let [one, other] = [
        "  retry: { max_retries: 1, on: [] }\n  timeouts: {}",
        "  timeouts: {}\n  retry: { on: [], max_retries: 1 }",
    ]
    .map(|sections| read(&document(sections)).unwrap().json().to_string());
    assert_eq!(one, other);
}

#[test]
fn documents_are_separated_as_yaml_does_it() {
    let second =
        EXAMPLE.replace("ServicePolicy", "NamespaceDefaults").replace("  service: recommendations\n", "");
    let documents = read_all(&format!("# policies\n{EXAMPLE}---\n{second}---\n")).unwrap();
    let kinds: Vec<_> = documents.iter().map(Document::kind).collect();
    assert_eq!(kinds, [Kind::ServicePolicy, Kind::NamespaceDefaults]);
    assert_eq!(documents[1].service, None);
}

#[test]
fn sections_replace_and_null_switches_off() {
    let defaults = policy("  timeouts: { call: 3s, attempt: 1s }\n  retry: null\n  outlier_detection: null");
    assert_eq!((defaults.retry.max_retries, defaults.retry.on.len()), (0, 0));
    assert_eq!(defaults.outlier_detection, None);
    let spec = read(&document("  timeouts: { call: 4s }\n  circuit_breaker: null\n  rate_limits: null"))
        .unwrap()
        .spec;
    let merged = spec.over(&defaults).unwrap();
    assert_eq!(merged.timeouts.call, Duration::from_secs(4));
    assert_eq!(merged.timeouts.attempt, None, "the whole section is replaced");
    assert_eq!(merged.circuit_breaker, None);
    assert_eq!(merged.retry, defaults.retry, "what is not written is inherited");
    assert!(spec.gives(Section::CircuitBreaker) && !spec.gives(Section::Retry));
    let mut names: Vec<_> = Section::ALL.iter().map(|section| section.as_str()).collect();
    names.sort();
    let written = write(&merged);
    let mut written: Vec<_> = written.keys().collect();
    written.sort();
    assert_eq!(names, written);
}

#[test]
fn every_section_means_what_it_says() {
    let breaker = |text: &str| policy(&format!("  circuit_breaker: {text}")).circuit_breaker.clone().unwrap();
    assert_eq!(breaker("{}"), BreakerPolicy::default());
    assert_eq!(breaker("{ consecutive_failures: null }").consecutive_failures, None);
    let slow = breaker("{ slow_call_rate: { threshold: 0.25, slow_after: 1s, window: { calls: 50 } } }");
    assert_eq!((slow.slow_after, slow.window), (Some(Duration::from_secs(1)), Window::Calls(50)));
    assert_eq!(slow.slow_call_rate, Some(Rate { threshold: 0.25, min_calls: 20 }));
    let open = breaker("{ open_for: { base: 2m, jitter: 10% }, half_open: { probes: 1 } }");
    assert_eq!((open.open_for.max, open.open_for.jitter), (Duration::from_secs(120), 0.1));
    assert_eq!((open.half_open.probes, open.half_open.successes), (1, 1));
    let limits =
        policy("  rate_limits: [{ calls: 10, by: caller }, { calls: 5, per: 1m, burst: 2, by: source }]");
    assert_eq!(limits.rate_limits[0].by, Some(LimitKey::Caller));
    assert_eq!((limits.rate_limits[0].rate.burst, limits.rate_limits[1].rate.burst), (10, 2));
    assert_eq!(limits.rate_limits[1].by, Some(LimitKey::Request(HashKey::Source)));
    let retry = policy("  retry: { on: [5xx, 429], backoff: { base: 1s }, non_idempotent: true }");
    assert_eq!(retry.retry.on, [RetryOn::ServerError, RetryOn::Status(429)]);
    assert_eq!(retry.retry.backoff.max, Duration::from_secs(1));
    assert!(retry.retry.non_idempotent);
}

/// A value of this shape at its lower or upper end.
fn value(shape: &Shape, upper: bool) -> Json {
    let end = |ends: [&Json; 2]| ends[usize::from(upper)].clone();
    let object = |fields: &[&Field]| {
        let members = fields.iter().map(|field| (field.name.to_owned(), value(&field.shape, upper)));
        Json::Object(members.collect())
    };
    match shape {
        Shape::Object(fields) => object(&fields.iter().collect::<Vec<_>>()),
        Shape::OneOf(fields) => object(&[if upper { &fields[fields.len() - 1] } else { &fields[0] }]),
        Shape::List(of, max) => vec![value(of, upper); if upper { *max } else { 1 }].into(),
        Shape::Duration => end([&json!("1ms"), &json!("1d")]),
        Shape::Integer(min, max) => end([&json!(min), &json!(max)]),
        Shape::Number(min, max) => end([&json!(min), &json!(max)]),
        Shape::Share(above) => end([&json!(if *above { "0.001%" } else { "0%" }), &json!("100%")]),
        Shape::Flag => json!(upper),
        Shape::Word(words) => json!(if upper { words[words.len() - 1] } else { words[0] }),
        Shape::Text(max, pattern) => match pattern {
            Pattern::ErrorStatus => end([&json!("400"), &json!("599")]),
            _ => end([&json!("x"), &json!("x".repeat(*max))]),
        },
        Shape::Either(shapes) => value(if upper { &shapes[shapes.len() - 1] } else { &shapes[0] }, upper),
    }
}

#[test]
fn the_table_and_the_core_agree_on_every_range() {
    for upper in [false, true] {
        let mut document = value(&Shape::Object(table::document(Kind::ServicePolicy)), upper);
        document["kind"] = "ServicePolicy".into();
        // p2c, at the lower end, goes without a key.
        if !upper {
            document["spec"]["load_balancing"]["algorithm"] = "ring".into();
        }
        read(&document.to_string()).unwrap_or_else(|mistake| panic!("{mistake}\n{document:#}"));
    }
}

#[test]
fn the_schema_says_what_the_table_says() {
    let schema = schema();
    let [service, defaults] = [&schema["oneOf"][0], &schema["oneOf"][1]];
    assert_eq!(service["properties"]["kind"]["const"], "ServicePolicy");
    assert_eq!(service["additionalProperties"], false);
    let spec = &service["properties"]["spec"];
    assert_eq!(spec["required"], json!(["service"]));
    assert_eq!(defaults["properties"]["spec"].get("required"), None);
    let retries = &spec["properties"]["retry"]["anyOf"][0]["properties"]["max_retries"];
    assert_eq!(
        retries,
        &json!({ "type": "integer", "minimum": 0, "maximum": 10,
                 "description": "how many tries beside the first; 1 by default" })
    );
    assert_eq!(spec["properties"]["timeouts"]["properties"]["call"]["type"], "string");
    let deepest = &spec["properties"]["outlier_detection"]["anyOf"][0]["properties"]["deviation"]["anyOf"][0];
    assert_eq!(deepest["required"], json!(["factor"]));
}

proptest! {
    #[test]
    fn any_policy_written_and_read_over_any_other_is_the_same(
        ends in prop::collection::vec(any::<bool>(), 8),
        nulls in prop::collection::vec(any::<bool>(), 8),
        below in any::<bool>(),
    ) {
        let Some(Shape::Object(fields)) = table::document(Kind::NamespaceDefaults)
            .iter().find(|field| field.name == "spec").map(|field| field.shape) else { panic!("no spec") };
        let mut spec = Json::Object(Default::default());
        for ((field, upper), null) in fields.iter().zip(ends).zip(nulls) {
            spec[field.name] = if null && field.nullable { Json::Null } else { value(&field.shape, upper) };
        }
        if spec["load_balancing"]["algorithm"] == "p2c" {
            spec["load_balancing"]["algorithm"] = "maglev".into();
        }
        let whole = |spec: &Json| json!({
            "apiVersion": API_VERSION, "kind": "NamespaceDefaults", "metadata": { "name": "x" }, "spec": spec,
        }).to_string();
        let policy = read(&whole(&spec)).unwrap().spec.over(&CallPolicy::default()).unwrap();
        let written = Json::Object(write(&policy));
        let other = if below { policy.clone() } else { CallPolicy::default() };
        let again = read(&whole(&written)).unwrap().spec.over(&other).unwrap();
        prop_assert_eq!(again, policy);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,64}", noise in "[\\[\\]{}:,&*!|>'\"#%@` \n\t-]{0,64}") {
        let _ = read(&text);
        let _ = read(&noise);
        let _ = read_all(&format!("{EXAMPLE}\n{noise}{text}"));
    }
}

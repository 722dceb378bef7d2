//! Each test's name is the claim.

use super::*;
use crate::native::api::{Heartbeats, RegistrationBody, Registrations};

#[test]
fn a_mistake_in_a_body_is_told_by_its_place_and_its_rule_in_plain_words() {
    let registration = |member: &str| format!(r#"{{"address":"a","port":1,{member}}}"#);
    let long = "k".repeat(10_000);
    let cases = [
        (
            registration(r#""weight":"80""#),
            "/weight",
            r#""80" is not valid: a whole number up to 4294967295"#,
        ),
        (registration(r#""weight":-1"#), "/weight", "-1 is not valid: a whole number up to 4294967295"),
        (registration(r#""weight":1.5"#), "/weight", "1.5 is not valid: a whole number up to 4294967295"),
        (registration(r#""zone":7"#), "/zone", "7 is not valid: a text in quotes"),
        (registration(r#""zone":{}"#), "/zone", "an object is not valid: a text in quotes"),
        (registration(r#""metadata":[]"#), "/metadata", "a list is not valid: an object"),
        (registration(r#""metadata":{"a/b":1}"#), "/metadata/a~1b", "1 is not valid: a text in quotes"),
        (registration(r#""metadata":{"a":"1","a":"2"}"#), "/metadata/a", r#""a" is given twice"#),
        (registration(r#""port":2"#), "/port", r#""port" is given twice"#),
        (registration(r#""checks":[["/healthz"]]"#), "/checks/0", "a list is not valid: an object"),
        (registration(r#""checks":[{"tcp":true},{"htp":"/"}]"#), "/checks/1/htp", r#"unknown field "htp""#),
        (
            registration(r#""checks":[{"grpc":false}]"#),
            "/checks/0/grpc",
            "false is not valid: true or the name of a service",
        ),
        (registration(r#""checks":[{"http":1}]"#), "/checks/0/http", "1 is not valid: a text in quotes"),
        (r#"{"port":1}"#.to_owned(), "/address", r#""address" is missing"#),
        (r#"["a",1]"#.to_owned(), "", "a list is not valid: an object"),
        ("null".to_owned(), "", "null is not valid: an object"),
        (format!(r#"{{"{long}":1}}"#), "", "unknown field \"kkkk"),
    ];
    for (body, field, detail) in cases {
        let problem = json::<RegistrationBody>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.field(), Some(field), "{problem}");
        assert!(problem.detail().starts_with(detail), "{problem}");
        assert!(problem.detail().len() < 200, "what came is shortened: {problem}");
    }
}

#[test]
fn a_body_that_is_no_json_says_where_it_breaks() {
    for (body, field, says) in [
        (&b"{\"address\":\"a\",\"port\":"[..], Some("/port"), "EOF"),
        (b"{\"address\":\"\xff\",\"port\":1}", Some("/address"), "unicode"),
        (b"{\"address\":\"a\",\"port\":1} x", None, "trailing"),
        (b"", None, "EOF"),
    ] {
        let problem = json::<RegistrationBody>(body).unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::MalformedBody, field), "{problem}");
        assert!(problem.detail().contains(says), "{problem}");
    }
}

#[test]
fn a_mistake_in_one_of_many_is_told_by_its_position() {
    let many = br#"{"instances":[{"service":"s","id":"i","address":"a","port":1},{"service":"s","id":"j","address":"a","port":"x"}]}"#;
    assert_eq!(json::<Registrations>(many).unwrap_err().field(), Some("/instances/1/port"));
    let many = br#"{"heartbeats":[{"service":"s","id":"i","lease_id":"zz"}]}"#;
    let problem = json::<Heartbeats<'_>>(many).unwrap_err();
    assert_eq!(problem.field(), Some("/heartbeats/0/lease_id"));
    assert!(problem.detail().starts_with("lease id \"zz\" is not valid: the 16 hex"), "{problem}");
}

#[test]
fn names_of_heartbeats_are_those_of_the_body() {
    let body = br#"{"heartbeats":[{"service":"s","id":"i\u002d1","lease_id":"00000000000000ff"},{"service":"s","id":"j"}]}"#;
    let Heartbeats { heartbeats } = json(body).unwrap();
    assert!(matches!(heartbeats[0].service, std::borrow::Cow::Borrowed("s")));
    assert_eq!((&*heartbeats[0].id, heartbeats[0].lease_id), ("i-1", Some(registry::LeaseId(255))));
    assert_eq!(heartbeats[1].lease_id, None);
}

#[test]
fn a_mistake_in_a_query_is_told_by_the_parameters_name() {
    let problem = unreadable("unknown field `servce`, expected `service` or `limit`", Place::Query(""));
    assert_eq!((problem.field(), problem.what_next()), (Some("servce"), "did you mean \"service\"?"));
    assert_eq!(unreadable("missing field `key`", Place::Query("")).field(), Some("key"));
    assert_eq!(unreadable("duplicate field `key`", Place::Query("")).detail(), "\"key\" is given twice");
}

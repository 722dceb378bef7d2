use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::query::{Expression, Facts, Key, MAX_BYTES, MAX_DEPTH, Typing, typing};

fn checkout() -> Span {
    let mut resource = Attributes::new();
    resource.push("service.name", "shop");
    resource.push("service.namespace", "web");
    resource.push("host.name", "a");
    let mut span = span(1, 0, "shop", 100, 250_000_000);
    span.resource = Arc::new(Resource::new(resource));
    span.name = "POST /checkout/{id}".into();
    span.kind = Kind::Server;
    span.status = Status::error("card declined");
    span.attributes.push("http.response.status_code", 503_i64);
    span.attributes.push("ratio", 643.0);
    span.attributes.push("retry", true);
    span.attributes.push("zip", "08001");
    span.attributes.push("url.full", "https://shop/x?a=1");
    span.attributes.push("tags", Value::Array(vec![Value::from("red"), Value::Int(7)]));
    span.attributes.push("a key", "a \"b\" \\c");
    span
}

fn holds(query: &str) -> bool {
    Expression::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")).holds(&checkout())
}

#[test]
fn what_holds_of_a_span_is_found() {
    for query in [
        "declined",
        "card declined",
        "\"card declined\"",
        "service=shop",
        "namespace=web AND service=shop",
        "operation=\"POST /checkout/{id}\"",
        "operation=~\"POST .*\"",
        "operation!~POST",
        "kind=server status=error error=true",
        "status_message=\"card declined\"",
        "duration>249ms AND duration<=250ms",
        "duration=250000000",
        "http.response.status_code=503",
        "http.response.status_code>=500",
        "http.response.status_code=503.0",
        "http.response.status_code=~5..",
        "ratio=643",
        "ratio=643.0",
        "ratio>642.9",
        "retry=true",
        "zip=08001",
        "zip=\"08001\"",
        "url.full=https://shop/x?a=1",
        "tags=red tags=7",
        "host.name=a resource.host.name=a",
        "span.zip=08001",
        "exists(zip) AND zip exists AND exists zip",
        "NOT exists(zap)",
        "not zap=1 && !zap=1",
        "a OR declined AND service=shop",
        "(zap=1 OR (zip=08001))",
        "service!=other",
        "\"a key\"=\"a \\\"b\\\" \\\\c\"",
    ] {
        assert!(holds(query), "{query}");
    }
}

#[test]
fn what_does_not_hold_is_not_found() {
    for query in [
        "accepted",
        "service=sho",
        "operation=~POST",
        "duration<250ms",
        "http.response.status_code=\"503\"",
        "ratio=\"643.0\"",
        "zip=8001",
        "zip>1",
        "tags=blue",
        "zap=1",
        "zap!=1",
        "zap!~1",
        "exists(zap)",
        "span.host.name=a",
        "resource.zip=08001",
        "NOT declined",
        "service=shop AND accepted",
        "accepted OR zap=1",
        "status=ok",
        "event=retried",
    ] {
        assert!(!holds(query), "{query}");
    }
}

#[test]
fn a_mistake_is_named_with_the_character_where_it_is() {
    let deep = "(".repeat(MAX_DEPTH + 2);
    let many = vec!["a"; 65].join(" OR ");
    let long = "a".repeat(MAX_BYTES + 1);
    for (query, character, word) in [
        ("", 1, "expected a text"),
        ("service=", 9, "expected a value"),
        ("a AND", 6, "expected a text"),
        ("a OR OR b", 6, "expected a text"),
        ("(a", 1, "never closed"),
        ("a)", 2, "closes nothing"),
        ("a \"b", 3, "quote is never closed"),
        ("x=~\"(\"", 4, "regular expression"),
        ("x=~\"a{1000}{1000}\"", 4, "regular expression"),
        ("duration>fast", 10, "no duration"),
        ("kind=sever", 6, "producer"),
        ("status=bad", 8, "unset, ok or error"),
        ("error=maybe", 7, "true or false"),
        ("a ~ b", 3, "quotes"),
        ("exists(", 8, "expected a key"),
        ("exists(a b", 10, "')'"),
        ("é = \"x\" )", 9, "closes nothing"),
        ("\"\"", 1, "empty"),
        (deep.as_str(), MAX_DEPTH + 2, "deeper"),
        (many.as_str(), 321, "more than 64 terms"),
        (long.as_str(), 1, "longer"),
    ] {
        let error = Expression::parse(query).unwrap_err();
        assert!(error.to_string().contains(word), "{query}: {error}");
        assert_eq!(error.character(), character, "{query}: {error}");
    }
}

#[test]
fn what_has_to_hold_whatever_else_does_is_known() {
    let query = Expression::parse("service=shop (a OR b) AND duration>1s NOT error=true").unwrap();
    let keys: Vec<&Key> = query.necessary().into_iter().map(|term| &term.key).collect();
    assert_eq!(keys, [&Key::Service, &Key::Duration]);
    assert_eq!(Expression::parse("service=a OR service=b").unwrap().necessary().len(), 0);
}

#[test]
fn what_is_being_typed_is_known() {
    let key = |prefix: &str, from| Typing::Key { prefix: prefix.into(), from };
    let value =
        |key: &str, prefix: &str, from| Typing::Value { key: key.into(), prefix: prefix.into(), from };
    let operator = |after: &str| Typing::Operator { after: after.into() };
    assert_eq!(typing(""), key("", 0));
    assert_eq!(typing("serv"), key("serv", 0));
    assert_eq!(typing("service=shop ht"), key("ht", 13));
    assert_eq!(typing("service "), operator("service"));
    assert_eq!(typing("service="), value("service", "", 8));
    assert_eq!(typing("a=1 AND (service!=sh"), value("service", "sh", 18));
    assert_eq!(typing("operation=\"GET /o"), value("operation", "GET /o", 10));
    assert_eq!(typing("service=shop AND "), key("", 17));
    assert_eq!(typing("service=shop an"), key("an", 13));
    assert_eq!(typing("NOT exists("), key("", 11));
    assert_eq!(typing("service=shop "), operator("shop"));
}

/// An expression and whether it holds of [`checkout`].
fn made() -> impl Strategy<Value = (String, bool)> {
    let leaf = prop_oneof![
        Just(("service=shop".to_owned(), true)),
        Just(("zap=1".to_owned(), false)),
        Just(("declined".to_owned(), true)),
        Just(("duration>1h".to_owned(), false)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(text, holds)| (format!("NOT ({text})"), !holds)),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("({}) AND ({})", a.0, b.0), a.1 && b.1)),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| (format!("({}) ({})", a.0, b.0), a.1 && b.1)),
            (inner.clone(), inner).prop_map(|(a, b)| (format!("(({}) or ({}))", a.0, b.0), a.1 || b.1)),
        ]
    })
}

proptest! {
    #[test]
    fn an_expression_means_what_its_parts_mean((text, expected) in made()) {
        prop_assert_eq!(holds(&text), expected);
    }

    #[test]
    fn any_text_is_an_expression_or_a_mistake_within_it(text in "\\PC{0,60}|[a-z=<>!~() \"&|.0-9]{0,60}") {
        match Expression::parse(&text) {
            Ok(expression) => { let _ = expression.holds(&checkout()); }
            Err(error) => prop_assert!(error.character() <= text.chars().count() + 1, "{}", error),
        }
        let _ = typing(&text);
    }

    #[test]
    fn a_text_without_anything_special_is_found_where_it_stands(text in "[b-m]{1,6}") {
        prop_assert_eq!(holds(&text), checkout().contains(&text));
    }
}

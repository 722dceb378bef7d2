use proptest::prelude::*;

use crate::context::{Flags, TraceContext, TraceState};
use crate::propagation::{Baggage, Extracted, Format, Formats, Hop, Sampling, extract, inject};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn read(headers: &[(&str, &str)]) -> Option<Extracted> {
    extract(|name| {
        headers.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value).collect::<Vec<_>>()
    })
}

/// Format, ids and decision of what these headers say.
fn told(headers: &[(&str, &str)]) -> Option<(Format, Option<String>, Sampling)> {
    let Extracted { format, context, sampling, .. } = read(headers)?;
    Some((format, context.map(|context| format!("{}/{}", context.trace_id, context.span_id)), sampling))
}

fn ids(trace: &str) -> Option<String> {
    Some(format!("{trace:0>32}/b7ad6b7169203331"))
}

#[test]
fn every_format_is_read_and_the_w3cs_goes_first() {
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let b3 = format!("{TRACE}-b7ad6b7169203331-1-00f067aa0ba902b7");
    let found = told(&[("b3", &b3), ("traceparent", &parent)]).unwrap();
    assert_eq!(found.0, Format::TraceContext);
    assert_eq!(
        told(&[("b3", &b3), ("traceparent", "00-bad")]),
        Some((Format::B3, ids(TRACE), Sampling::Keep))
    );
    let multi =
        [("x-b3-traceid", "8448eb211c80319c"), ("x-b3-spanid", "b7ad6b7169203331"), ("x-b3-sampled", "0")];
    assert_eq!(told(&multi), Some((Format::B3Multi, ids("8448eb211c80319c"), Sampling::Drop)));
    let jaeger = "af7651916cd43dd8448eb211c80319c%3Ab7ad6b7169203331:0:1";
    assert_eq!(told(&[("uber-trace-id", jaeger)]), Some((Format::Jaeger, ids(TRACE), Sampling::Keep)));
}

#[test]
fn b3_says_what_is_to_be_kept_also_without_ids_and_may_leave_it_open() {
    for (text, sampling) in [("0", Sampling::Drop), ("1", Sampling::Keep), ("d", Sampling::Debug)] {
        assert_eq!(told(&[("b3", text)]), Some((Format::B3, None, sampling)));
    }
    let open = format!("{TRACE}-b7ad6b7169203331");
    assert_eq!(told(&[("b3", &open)]), Some((Format::B3, ids(TRACE), Sampling::Deferred)));
    assert_eq!(told(&[("x-b3-sampled", "true")]), Some((Format::B3Multi, None, Sampling::Keep)));
    let debug = [("x-b3-traceid", TRACE), ("x-b3-spanid", "b7ad6b7169203331"), ("x-b3-flags", "1")];
    assert_eq!(told(&debug), Some((Format::B3Multi, ids(TRACE), Sampling::Debug)));
}

#[test]
fn what_breaks_a_rule_is_as_if_it_were_not_there() {
    let upper = TRACE.to_uppercase();
    let long = format!("{TRACE}-b7ad6b7169203331-1-{}", "0".repeat(5_000));
    for (name, text) in [
        ("b3", "2"),
        ("b3", "8448eb211c80319c"),
        ("b3", "8448eb211c80319-b7ad6b7169203331"),
        ("b3", "0000000000000000-b7ad6b7169203331"),
        ("b3", "8448eb211c80319c-b7ad6b7169203331-x"),
        ("b3", "8448eb211c80319c-b7ad6b7169203331-1-b7ad6b7169203331-1"),
        ("b3", "+448eb211c80319c-b7ad6b7169203331-1"),
        ("b3", long.as_str()),
        ("uber-trace-id", "1:2:0"),
        ("uber-trace-id", "1:0:0:1"),
        ("uber-trace-id", "0:1:0:1"),
        ("uber-trace-id", "1:2:0:1:1"),
        ("uber-trace-id", "1:2:0:100"),
        ("uber-trace-id", upper.as_str()),
        ("sw8", "1-x"),
        ("sw8", "1-MQ==-MQ==-x-Lg==-Lg==-Lg==-Lg=="),
        ("sw8", "2-MQ==-MQ==-1-Lg==-Lg==-Lg==-Lg=="),
        ("sw8", "1-MQ=-MQ==-1-Lg==-Lg==-Lg==-Lg=="),
        ("sw8", "1--MQ==-1-Lg==-Lg==-Lg==-Lg=="),
        ("sw8", "1-MQ==-MQ==-1-Lg==-Lg==-Lg==-Lg==-Lg=="),
    ] {
        assert_eq!(read(&[(name, text)]), None, "{name}: {text}");
    }
    assert_eq!(read(&[("b3", "1"), ("b3", "0")]), None, "two headers contradict each other");
    assert_eq!(read(&[("x-b3-traceid", TRACE)]), None, "half of the headers");
}

#[test]
fn a_skywalking_trace_keeps_its_name_and_one_of_ours_its_ids() {
    // "trace.1.2", "segment.3.4", 7, and four names.
    let header = "1-dHJhY2UuMS4y-c2VnbWVudC4zLjQ=-7-c2hvcA==-c2hvcC0x-L2NoZWNrb3V0-MTAuMC4wLjk6ODA=";
    let came = read(&[("sw8", header)]).unwrap();
    let segment = came.segment.clone().unwrap();
    assert_eq!(
        (&*segment.trace, &*segment.service, &*segment.endpoint, &*segment.peer),
        ("trace.1.2", "shop", "/checkout", "10.0.0.9:80")
    );
    assert_eq!(read(&[("sw8", header)]).unwrap().context, came.context, "the same text is the same id");
    let other = header.replace("-7-", "-8-");
    let context = came.context.clone().unwrap();
    let sibling = read(&[("sw8", &other)]).unwrap().context.unwrap();
    assert_eq!((sibling.trace_id, sibling.span_id == context.span_id), (context.trace_id, false));

    let hop = Hop { service: "gateway", instance: "p-1", endpoint: "GET /", peer: "10.0.0.7:1" };
    let sent = inject(&context, Formats::NONE, &hop, Some(&came));
    let arrived = read(&[("sw8", &sent[0].1)]).unwrap();
    assert_eq!(arrived.context.unwrap(), context, "our span's id is told as it is");
    assert_eq!(&*arrived.segment.unwrap().trace, "trace.1.2");
}

#[test]
fn what_is_configured_is_written_and_what_the_call_came_with() {
    let came = read(&[("b3", &format!("{TRACE}-b7ad6b7169203331-d"))]).unwrap();
    let context = came.context.clone().unwrap();
    let names = |formats, came| -> Vec<&str> {
        inject(&context, formats, &Hop::default(), came).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(Formats::default(), None), ["traceparent"]);
    assert_eq!(names(Formats::default(), Some(&came)), ["traceparent", "b3"]);
    let all: Formats = "sw8, b3multi,jaeger,b3,tracecontext".parse().unwrap();
    assert_eq!(all.to_string(), "tracecontext,b3,b3multi,jaeger,sw8");
    let sent = inject(&context, all, &Hop::default(), Some(&came));
    let value = |name: &str| sent.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str());
    assert_eq!(value("b3"), Some(format!("{TRACE}-b7ad6b7169203331-d").as_str()));
    assert_eq!((value("x-b3-flags"), value("x-b3-sampled")), (Some("1"), None));
    assert_eq!(value("uber-trace-id"), Some(format!("{TRACE}:b7ad6b7169203331:0:3").as_str()));
    let error = "zipkin".parse::<Formats>().unwrap_err().to_string();
    assert!(error.contains("zipkin") && error.contains("b3multi"), "{error}");
}

#[test]
fn baggage_is_read_strictly_and_decoded() {
    let baggage = Baggage::parse(["user=a%20b;secret , tier=gold", "tier=silver"]).unwrap();
    assert_eq!(baggage.as_str(), "user=a%20b;secret,tier=gold,tier=silver");
    assert_eq!((baggage.get("user"), baggage.get("tier")), (Some("a b".into()), Some("silver".into())));
    assert_eq!(Baggage::parse(["a=%ff%2"]).unwrap().get("a"), Some("\u{fffd}%2".into()));
    let many = (0..65).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    let long = format!("k={}", "v".repeat(8_192));
    for wrong in ["a", "=b", "a b=c", "a=b c", "a=\"b\"", "a=b;=c", "ä=b", many.as_str(), long.as_str()] {
        assert!(Baggage::parse([wrong]).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        trace in 1..u128::MAX, span in 1..u64::MAX, sampled: bool, at in 0..5_usize, names in "\\PC{0,20}",
    ) {
        let context = TraceContext {
            state: TraceState::default(),
            ..TraceContext::new(
                identity::TraceId::new(trace).unwrap(),
                identity::SpanId::new(span).unwrap(),
                Flags::default().with_sampled(sampled),
            )
        };
        let format = Format::ALL[at];
        let hop = Hop { service: &names, instance: &names, endpoint: "", peer: "" };
        let sent = inject(&context, Formats::NONE.with(format), &hop, None);
        let headers: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let arrived = read(&headers).unwrap();
        prop_assert_eq!(arrived.format, format);
        prop_assert_eq!(arrived.context, Some(context));
        prop_assert_eq!(arrived.sampling, if sampled { Sampling::Keep } else { Sampling::Drop });
    }

    #[test]
    fn any_text_is_refused_or_read_without_harm(text in "\\PC{0,80}|[0-9a-f:=-]{0,80}", at in 0..10_usize) {
        let names = Format::ALL.iter().flat_map(|format| format.headers()).collect::<Vec<_>>();
        let _ = read(&[(names[at % names.len()], &text)]);
        let _ = Baggage::parse([text.as_str()]).map(|baggage| baggage.iter().count());
    }
}

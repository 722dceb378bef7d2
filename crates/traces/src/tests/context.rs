use proptest::prelude::*;

use super::*;
use crate::context::{Flags, MAX_STATE_MEMBERS, TraceContext, TraceState};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn accepted(traceparent: &str) -> bool {
    TraceContext::parse(traceparent).is_ok()
}

#[test]
fn a_traceparent_is_read_and_written_back() {
    let text = format!("00-{TRACE}-{SPAN}-01");
    let context = TraceContext::parse(&text).unwrap();
    assert_eq!((context.trace_id.to_string(), context.span_id.to_string()), (TRACE.into(), SPAN.into()));
    assert!(context.flags.sampled());
    assert_eq!(context.traceparent(), text);
    assert!(accepted(&format!(" {text}\t")), "white space around a header's value is no part of it");
}

#[test]
fn version_00_is_strict() {
    for wrong in [
        String::new(),
        format!("00-{TRACE}-{SPAN}-01-what"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-0g"),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00_{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}_{SPAN}-01"),
        format!("0-{TRACE}-{SPAN}-01"),
        format!("+0-{TRACE}-{SPAN}-01"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{}é-01", &SPAN[..14]),
    ] {
        assert!(!accepted(&wrong), "{wrong}");
    }
}

#[test]
fn later_versions_are_read_as_far_as_they_are_known_and_go_on_as_version_00() {
    assert!(accepted(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like")));
    assert!(accepted(&format!("cc-{TRACE}-{SPAN}-01-")));
    assert!(!accepted(&format!("cc-{TRACE}-{SPAN}-01.what")));
    let context = TraceContext::parse(&format!("cc-{TRACE}-{SPAN}-01")).unwrap();
    assert_eq!(context.traceparent(), format!("00-{TRACE}-{SPAN}-01"));
}

#[test]
fn unknown_flags_are_written_as_zero() {
    let context = TraceContext::parse(&format!("00-{TRACE}-{SPAN}-ff")).unwrap();
    assert_eq!(context.traceparent(), format!("00-{TRACE}-{SPAN}-03"));
    assert_eq!(Flags::default().with_sampled(true).with_random(true).with_sampled(false).to_byte(), 2);
}

#[test]
fn two_traceparents_or_a_wrong_one_start_a_new_trace() {
    let good = format!("00-{TRACE}-{SPAN}-01");
    let extract = |parents: &[&str]| TraceContext::extract(parents.iter().copied(), []);
    assert!(extract(&[&good]).is_some());
    assert!(extract(&[&good, &good]).is_none());
    assert!(extract(&["00-no"]).is_none());
    assert!(extract(&[]).is_none());
}

#[test]
fn a_wrong_tracestate_is_dropped_without_harm_to_the_traceparent() {
    let good = format!("00-{TRACE}-{SPAN}-01");
    let state = |values: &[&str]| {
        TraceContext::extract([good.as_str()], values.iter().copied()).unwrap().state.to_string()
    };
    assert_eq!(state(&["foo=1,bar=2", "baz=3"]), "foo=1,bar=2,baz=3");
    assert_eq!(state(&["foo=1 \t , ,\t bar=2,"]), "foo=1,bar=2");
    assert_eq!(state(&["t0@s=a b"]), "t0@s=a b");
    for wrong in [
        "foo",
        "foo=",
        "=1",
        "foo=1,foo=2",
        "FOO=1",
        "foo=bar=1",
        "foo@=1",
        "@foo=1",
        "a@b@c=1",
        "0a=1",
        "é=1",
    ] {
        assert_eq!(state(&[wrong]), "", "{wrong}");
    }
}

#[test]
fn keys_values_and_members_have_their_lengths() {
    let fits = |value: String| TraceState::parse([value.as_str()]).is_ok();
    assert!(fits(format!("{}=1", "a".repeat(256))));
    assert!(!fits(format!("{}=1", "a".repeat(257))));
    assert!(fits(format!("{}@{}=1", "t".repeat(241), "v".repeat(14))));
    assert!(!fits(format!("{}@v=1", "t".repeat(242))));
    assert!(!fits(format!("t@{}=1", "v".repeat(15))));
    assert!(fits(format!("a={}", "v".repeat(256))));
    assert!(!fits(format!("a={}", "v".repeat(257))));

    let members = |count: usize| (0..count).map(|at| format!("k{at}=1")).collect::<Vec<_>>().join(",");
    assert!(fits(members(MAX_STATE_MEMBERS)));
    assert!(!fits(members(MAX_STATE_MEMBERS + 1)));
}

#[test]
fn the_latest_writer_comes_first_and_the_last_makes_room() {
    let members = (0..MAX_STATE_MEMBERS).map(|at| format!("k{at}=1")).collect::<Vec<_>>().join(",");
    let full = TraceState::parse([members.as_str()]).unwrap();
    let changed = full.with("k3", "2").unwrap();
    assert_eq!((changed.members().count(), changed.members().next()), (32, Some(("k3", "2"))));
    let pushed = full.with("new", "1").unwrap();
    assert_eq!((pushed.members().count(), pushed.get("k31")), (32, None));
    assert!(full.with("new", "a,b").is_err());
}

proptest! {
    #[test]
    fn any_text_is_refused_or_comes_back_equal(text in "\\PC{0,80}") {
        if let Ok(context) = TraceContext::parse(&text) {
            prop_assert_eq!(TraceContext::parse(&context.traceparent()).unwrap(), context);
        }
        if let Ok(state) = TraceState::parse([text.as_str()]) {
            prop_assert_eq!(TraceState::parse([state.as_str()]).unwrap(), state);
        }
    }

    #[test]
    fn every_context_comes_back_from_its_header(trace in 1..u128::MAX, span in 1..u64::MAX, flags in 0..4_u8) {
        let context = TraceContext::new(
            TraceId::new(trace).unwrap(), SpanId::new(span).unwrap(), Flags::from_byte(flags));
        prop_assert_eq!(TraceContext::parse(&context.traceparent()).unwrap(), context);
    }
}

//! Pictures of a call.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr;
use wire::native::api;

use super::Waterfall;
use crate::output::Style;

const MS: u64 = 1_000_000;

fn span(id: u64, depth: u64, service: &str, operation: &str, offset: u64, duration: u64) -> api::Span {
    api::Span {
        span_id: format!("{id:016x}"),
        parent_span_id: None,
        depth,
        service: service.to_owned(),
        operation: operation.to_owned(),
        kind: "internal".to_owned(),
        start: "2026-01-31T09:30:00.000000000Z".to_owned(),
        offset_ns: offset * MS,
        duration_ns: duration * MS,
        status: api::SpanStatus { code: "unset".to_owned(), message: String::new() },
        kept_one_in: None,
        attributes: BTreeMap::new(),
        events: vec![],
        resource: BTreeMap::new(),
        scope: None,
    }
}

fn trace(spans: Vec<api::Span>) -> api::Trace {
    let end = spans.iter().map(|span| span.offset_ns + span.duration_ns).max();
    api::Trace {
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        incomplete: false,
        kept_one_in: None,
        start: "2026-01-31T09:30:00.000000000Z".to_owned(),
        duration_ns: end.unwrap_or(0),
        pinned: None,
        spans,
    }
}

fn path(segments: &[(u64, u64, u64, bool)]) -> api::CriticalPath {
    let name = api::SpanName {
        span_id: format!("{:016x}", 1),
        service: "shop".to_owned(),
        operation: "GET /".to_owned(),
    };
    let segment = |(id, offset, duration, wire): &(u64, u64, u64, bool)| api::PathSegment {
        span_id: format!("{id:016x}"),
        service: "shop".to_owned(),
        operation: "op".to_owned(),
        offset_ns: offset * MS,
        duration_ns: duration * MS,
        wire: *wire,
    };
    let duration_ns = segments.iter().map(|(_, _, duration, _)| duration * MS).sum();
    let wire_ns = segments.iter().filter(|segment| segment.3).map(|segment| segment.2 * MS).sum();
    let service = api::ServiceTime {
        namespace: "default".to_owned(),
        service: "shop".to_owned(),
        critical_ns: duration_ns - wire_ns,
        wire_ns,
        self_ns: duration_ns,
        total_ns: duration_ns,
        spans: 1,
        errors: 0,
    };
    api::CriticalPath {
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        root: name,
        other_roots: vec![],
        incomplete: false,
        start: "2026-01-31T09:30:00.000000000Z".to_owned(),
        duration_ns,
        makespan_ns: duration_ns,
        wire_ns,
        wire_assumed_ns: 0,
        services: vec![service],
        operations: vec![],
        segments: segments.iter().map(segment).collect(),
        skew: vec![],
        asynchronous: vec![],
    }
}

fn drawn(trace: &api::Trace, path: &api::CriticalPath, width: usize, critical_only: bool) -> String {
    Waterfall { trace, path, width, style: Style::plain(), critical_only }.text()
}

fn checkout() -> (api::Trace, api::CriticalPath) {
    let mut trace = trace(vec![
        span(1, 0, "shop", "POST /checkout", 0, 100),
        span(2, 1, "shop", "call payments", 10, 60),
        span(3, 2, "payments", "charge", 20, 40),
        span(4, 1, "stock", "reserve", 10, 30),
        span(5, 1, "mailer", "send", 90, 60),
    ]);
    trace.spans[2].status.code = "error".to_owned();
    let segments =
        [(1, 0, 10, false), (2, 10, 10, true), (3, 20, 40, false), (2, 60, 10, true), (1, 70, 30, false)];
    let mut path = path(&segments);
    path.makespan_ns = 150 * MS;
    path.asynchronous = vec![api::AsynchronousWork {
        span_id: format!("{:016x}", 5),
        service: "mailer".to_owned(),
        operation: "send".to_owned(),
        reason: "message".to_owned(),
        offset_ns: 90,
        duration_ns: 60 * MS,
    }];
    (trace, path)
}

#[test]
fn marks_differ_by_shape_and_lines_by_depth() {
    let (trace, path) = checkout();
    let text = drawn(&trace, &path, 100, false);
    let expected = "\
0af7651916cd43dd8448eb211c80319c
2026-01-31T09:30:00.000Z, 5 spans, 100 ms, 150 ms with asynchronous work
✗ 1 span failed
SPAN                                              DURATION CRITICAL 0                         150 ms
shop  POST /checkout                                100 ms  40.0 ms ███───────────████████
├ shop  call payments                              60.0 ms  20.0 ms   ▒▒▒───────▒▒▒
│ └ payments  charge ✗                             40.0 ms  40.0 ms     █████████
├ stock  reserve                                   30.0 ms        ·   ───────
└ mailer  send                                     60.0 ms        ·                    ┄┄┄┄┄┄┄┄┄┄┄┄┄

SERVICE  CRITICAL  SHARE    SELF    TOTAL   SPANS
shop     80.0 ms   80.0 %   100 ms  100 ms  1
(wire)   20.0 ms   20.0 %   -       -       -
(sum)    100 ms    100.0 %  -       -       -";
    assert_eq!(text.trim_end(), expected, "\n{text}");
}

#[test]
fn what_senders_left_out_is_said() {
    let (mut trace, path) = checkout();
    trace.kept_one_in = Some(100.0);
    let text = drawn(&trace, &path, 100, false);
    assert!(text.contains("\nsampled: its senders kept one in 100 traces\n"), "{text}");
}

#[test]
fn a_narrow_terminal_keeps_durations_and_the_bar() {
    let (trace, path) = checkout();
    let text = drawn(&trace, &path, 50, false);
    let expected = "\
0af7651916cd43dd8448eb211c80319c
2026-01-31T09:30:00.000Z, 5 spans, 100 ms, 150 ms with asynchronous work
✗ 1 span failed
SPAN                     DURATION 0         150 ms
shop  POST /checkout       100 ms ██─────████
├ shop  call payments     60.0 ms  ▒▒───▒▒
│ └ payments  charge ✗    40.0 ms   █████
├ stock  reserve          30.0 ms  ────
└ mailer  send            60.0 ms          ┄┄┄┄┄┄┄

SERVICE  CRITICAL  SHARE
shop     80.0 ms   80.0 %
(wire)   20.0 ms   20.0 %
(sum)    100 ms    100.0 %";
    assert_eq!(text.trim_end(), expected, "\n{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal_however_deep_the_call_and_wide_the_letters() {
    let names =
        ["商品服务", "a-service-with-a-very-long-name-that-never-ends", "é", "\u{202e}evil\u{1b}[31m"];
    let mut spans: Vec<_> =
        (1..=200).map(|id| span(id, id - 1, names[id as usize % 4], "op", id, 400 - id)).collect();
    spans[7].status.code = "error".to_owned();
    let (trace, path) = (trace(spans), path(&[(1, 1, 10, false), (2, 11, 389, true)]));
    for width in [40, 50, 71, 72, 80, 120, 300] {
        let text = drawn(&trace, &path, width, false);
        assert_eq!(text.lines().filter(|line| line.contains(['─', '█', '▒'])).count(), 200);
        for line in text.lines().skip(2) {
            assert!(line.width() <= width, "{width}: {} {line}", line.width());
            assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line}");
        }
    }
}

#[test]
fn only_the_critical_path_is_drawn_where_that_is_asked_for() {
    let (trace, path) = checkout();
    let text = drawn(&trace, &path, 100, true);
    assert!(text.contains("charge") && !text.contains("reserve") && !text.contains("send"), "{text}");
}

#[test]
fn a_span_without_duration_has_a_mark_and_a_moved_one_stands_where_it_was_moved_to() {
    let trace = trace(vec![span(1, 0, "shop", "a", 1_000, 100), span(2, 1, "payments", "b", 0, 0)]);
    let mut path = path(&[(1, 0, 100, false)]);
    path.skew = vec![api::Skew {
        span_id: format!("{:016x}", 2),
        service: "payments".to_owned(),
        delta_ns: 1_050_000_000,
        beyond: false,
    }];
    let text = drawn(&trace, &path, 100, false);
    let bar = text.lines().find(|line| line.contains("payments  b")).unwrap();
    assert!(bar.contains('─') && text.contains("+1.05 s"), "{text}");
    assert!(text.lines().any(|line| line.contains("shop  a") && line.contains(&"█".repeat(30))), "{text}");
}

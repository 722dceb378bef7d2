use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{CriticalPath, Link, Part, Reason, Rules, SpanTime, Trace};

fn assemble(spans: impl IntoIterator<Item = Span>) -> Trace {
    Trace::assemble(spans.into_iter().map(Arc::new)).unwrap()
}

/// A span on a host of its own name.
fn on(host: &str, mut span: Span) -> Span {
    let mut attributes = span.resource.attributes.clone();
    attributes.push("host.name", host);
    span.resource = Arc::new(Resource::new(attributes));
    span
}

fn of_kind(kind: Kind, span: Span) -> Span {
    Span { kind, ..span }
}

fn link_to(id: u64) -> Link {
    Link {
        trace_id: TraceId::new(1).unwrap(),
        span_id: SpanId::new(id).unwrap(),
        flags: 0,
        trace_state: "".into(),
        attributes: Attributes::new(),
        dropped_attributes: 0,
    }
}

fn path(trace: &Trace) -> CriticalPath {
    let path = CriticalPath::of(trace, &Rules::default());
    tiles(&path).unwrap();
    path
}

/// The critical time of each span by its id.
fn critical(trace: &Trace, path: &CriticalPath) -> Vec<(u64, u64)> {
    let spans = trace.nodes().iter().zip(&path.spans);
    spans.map(|(node, time)| (node.span.span_id.get(), time.critical_ns)).collect()
}

fn time_of<'a>(trace: &Trace, path: &'a CriticalPath, id: u64) -> &'a SpanTime {
    let at = trace.nodes().iter().position(|node| node.span.span_id.get() == id).unwrap();
    &path.spans[at]
}

/// T = Σ tᵢ + wire, however it is added up.
fn tiles(path: &CriticalPath) -> Result<(), TestCaseError> {
    let mut until = 0;
    for segment in &path.segments {
        prop_assert_eq!(segment.offset_ns, until, "no gap and no overlap");
        prop_assert!(segment.duration_ns > 0);
        until += segment.duration_ns;
    }
    prop_assert_eq!(until, path.duration_ns);
    let spans: u64 = path.spans.iter().map(|span| span.critical_ns).sum();
    prop_assert_eq!(spans, path.duration_ns);
    Ok(())
}

#[test]
fn one_after_the_other_each_child_has_its_own_time() {
    let trace = assemble([
        span(1, 0, "shop", 0, 100),
        span(2, 1, "stock", 10, 20),
        span(3, 1, "payments", 40, 30),
        span(4, 3, "bank", 45, 10),
    ]);
    let path = path(&trace);
    assert_eq!(critical(&trace, &path), [(1, 50), (2, 20), (3, 20), (4, 10)]);
    let shares: Vec<_> = path
        .services(&trace)
        .into_iter()
        .map(|(doer, share)| (doer.service, share.critical_ns, share.self_ns, share.total_ns))
        .collect();
    assert_eq!(
        shares,
        [("bank", 10, 10, 10), ("payments", 20, 20, 30), ("shop", 50, 50, 100), ("stock", 20, 20, 20)]
    );
}

#[test]
fn of_concurrent_children_the_one_that_ended_last_is_on_the_path() {
    let trace = assemble([
        span(1, 0, "shop", 0, 100),
        span(2, 1, "stock", 10, 60),
        span(3, 1, "prices", 20, 70),
        span(4, 1, "recent", 0, 15),
    ]);
    let path = path(&trace);
    assert_eq!(critical(&trace, &path), [(1, 15), (4, 15), (2, 0), (3, 70)]);
    assert_eq!(time_of(&trace, &path, 1).self_ns, 10, "three children cover 0 to 90");
}

#[test]
fn what_outlives_its_parent_is_clipped_and_what_lies_outside_is_left_out() {
    let trace = assemble([
        on("a", span(1, 0, "shop", 100, 100)),
        on("a", span(2, 1, "shop", 150, 100)),
        on("a", span(3, 2, "shop", 220, 20)),
        on("a", span(4, 1, "shop", 50, 40)),
    ]);
    let path = path(&trace);
    assert_eq!(critical(&trace, &path), [(4, 0), (1, 50), (2, 50), (3, 0)]);
    assert_eq!(time_of(&trace, &path, 3).part, Part::Outside);
    assert_eq!(time_of(&trace, &path, 4).part, Part::Outside);
    assert_eq!(time_of(&trace, &path, 2).self_ns, 80, "self time is that of the whole span");
}

#[test]
fn a_clock_that_goes_wrong_is_corrected_between_hosts_and_the_shift_is_shown() {
    let trace = assemble([
        on("a", of_kind(Kind::Client, span(1, 0, "shop", 1_000, 100))),
        on("b", of_kind(Kind::Server, span(2, 1, "payments", 9_000, 60))),
        on("b", span(3, 2, "payments", 9_010, 20)),
        on("c", span(4, 3, "bank", 12, 10)),
    ]);
    let path = path(&trace);
    assert_eq!(critical(&trace, &path), [(4, 10), (1, 40), (2, 40), (3, 10)]);
    let delta = |id| time_of(&trace, &path, id).delta_ns;
    assert_eq!(
        (delta(1), delta(2), delta(3)),
        (0, 1_020 - 9_000, 1_020 - 9_000),
        "the same host, the same shift"
    );
    assert_eq!(delta(4), 1_030 + 5 - 12, "the third host is placed by the corrected second one");
    assert_eq!((path.wire_ns, path.wire_assumed_ns), (40, 40));
}

#[test]
fn a_child_that_fits_is_left_and_one_that_outlived_its_parent_only_moves_later() {
    let placed = |begin, length| {
        let trace = assemble([
            on("a", span(1, 0, "shop", 1_000, 100)),
            on("b", span(2, 1, "payments", begin, length)),
        ]);
        time_of(&trace, &path(&trace), 2).delta_ns
    };
    assert_eq!(placed(1_000, 100), 0);
    assert_eq!(placed(1_040, 60), 0);
    assert_eq!(placed(1_041, 60), 1_020 - 1_041);
    assert_eq!(placed(1_050, 500), 0);
    assert_eq!(placed(900, 500), 100);
}

#[test]
fn a_clock_that_is_wrong_beyond_the_maximum_is_left_and_said() {
    let spans = || [on("a", span(1, 0, "shop", 10_000, 100)), on("b", span(2, 1, "payments", 0, 60))];
    let trace = assemble(spans());
    let path = CriticalPath::of(&trace, &Rules { max_skew_ns: 5_000, ..Rules::default() });
    let callee = time_of(&trace, &path, 2);
    assert_eq!((callee.delta_ns, callee.beyond, callee.part), (0, true, Part::Outside));
    assert_eq!(critical(&trace, &path), [(2, 0), (1, 100)]);
}

#[test]
fn hosts_are_known_by_id_then_address_then_name_and_a_server_of_an_unknown_one_is_elsewhere() {
    let delta = |parent: &[(&'static str, &str)], child: &[(&'static str, &str)], kind| {
        let with = |mut span: Span, host: &[(&'static str, &str)]| {
            let mut attributes = span.resource.attributes.clone();
            host.iter().for_each(|(key, value)| attributes.push(*key, *value));
            span.resource = Arc::new(Resource::new(attributes));
            span
        };
        let trace = assemble([
            with(span(1, 0, "shop", 1_000, 100), parent),
            with(of_kind(kind, span(2, 1, "payments", 940, 60)), child),
        ]);
        time_of(&trace, &path(&trace), 2).delta_ns
    };
    let (moved, left) = (80, 0);
    assert_eq!(
        delta(&[("host.id", "1"), ("host.name", "x")], &[("host.id", "2"), ("host.name", "x")], Kind::Server),
        moved
    );
    assert_eq!(
        delta(&[("host.id", "1"), ("host.name", "x")], &[("host.id", "1"), ("host.name", "y")], Kind::Server),
        left
    );
    assert_eq!(delta(&[("host.ip", "10.0.0.1")], &[("host.ip", "10.0.0.2")], Kind::Internal), moved);
    assert_eq!(delta(&[("ip", "10.0.0.1")], &[("host.ip", "10.0.0.1")], Kind::Internal), left);
    assert_eq!(delta(&[("host.name", "x")], &[("hostname", "x")], Kind::Server), left);
    assert_eq!(delta(&[], &[], Kind::Server), moved);
    assert_eq!(delta(&[("host.id", "1")], &[], Kind::Server), moved);
    assert_eq!(delta(&[], &[], Kind::Internal), left);
}

#[test]
fn asynchronous_work_is_left_out_and_told_as_makespan() {
    let trace = assemble([
        on("a", span(1, 0, "shop", 0, 100)),
        on("a", of_kind(Kind::Producer, span(2, 1, "shop", 10, 30))),
        on("b", of_kind(Kind::Consumer, span(3, 2, "mailer", 20, 400))),
        on("b", span(4, 3, "mailer", 30, 50)),
        on("a", span(5, 1, "shop", 100, 10)),
        on("a", Span { links: vec![link_to(1)], ..span(6, 1, "shop", 60, 20) }),
        on("a", Span { links: vec![link_to(1)], ..span(7, 0, "report", 300, 700) }),
    ]);
    let path = path(&trace);
    assert_eq!(critical(&trace, &path), [(1, 70), (2, 30), (3, 0), (4, 0), (6, 0), (5, 0), (7, 0)]);
    let part = |id| time_of(&trace, &path, id).part;
    assert_eq!(part(3), Part::Asynchronous(Reason::Message));
    assert_eq!(part(4), Part::Asynchronous(Reason::Message), "what it waited for is asynchronous with it");
    assert_eq!(part(5), Part::Asynchronous(Reason::Late));
    assert_eq!(part(6), Part::Asynchronous(Reason::Link));
    assert_eq!(part(7), Part::Asynchronous(Reason::Link));
    assert_eq!((path.duration_ns, path.makespan_ns), (100, 1_000));
    assert_eq!(time_of(&trace, &path, 3).self_ns, 350);
    assert_eq!(time_of(&trace, &path, 2).self_ns, 30, "nobody waits for a message to be handled");
}

#[test]
fn an_orphan_is_not_merged_and_the_path_says_that_it_may_be_of_a_part() {
    let trace = assemble([span(1, 0, "shop", 100, 10), span(3, 2, "payments", 102, 5)]);
    let path = path(&trace);
    assert_eq!(critical(&trace, &path), [(1, 10), (3, 0)]);
    assert!(path.incomplete);
    let orphan = CriticalPath::of_root(&trace, trace.roots()[1], &Rules::default());
    assert_eq!((orphan.duration_ns, critical(&trace, &orphan)), (5, vec![(1, 0), (3, 5)]));
}

#[test]
fn time_between_caller_and_callee_is_wire_and_of_neither() {
    let trace = assemble([
        on("a", of_kind(Kind::Server, span(1, 0, "shop", 0, 100))),
        on("a", of_kind(Kind::Client, span(2, 1, "shop", 10, 50))),
        on("b", of_kind(Kind::Server, span(3, 2, "payments", 20, 30))),
        on("a", of_kind(Kind::Client, span(4, 1, "shop", 60, 40))),
    ]);
    let path = path(&trace);
    let services = path.services(&trace);
    let of = |name| *services.iter().find(|(doer, _)| doer.service == name).unwrap().1;
    assert_eq!(
        (path.wire_ns, path.wire_assumed_ns),
        (20, 0),
        "nobody answered the second call: it is the caller's"
    );
    assert_eq!((of("shop").critical_ns, of("shop").wire_ns), (50, 20));
    assert_eq!((of("payments").critical_ns, of("payments").wire_ns), (30, 0));
}

#[test]
fn an_attempt_of_a_proxy_speaks_for_a_service_that_records_nothing() {
    let attempt = |mut span: Span| {
        span.attributes.push("bellwether.service", "payments");
        span.attributes.push("bellwether.namespace", "default");
        of_kind(Kind::Client, span)
    };
    let call = of_kind(Kind::Server, span(1, 0, "gateway", 0, 100));
    let alone = assemble([call.clone(), attempt(span(2, 1, "gateway", 10, 70))]);
    let names = |trace: &Trace| -> Vec<(String, u64)> {
        let services = path(trace).services(trace);
        services.into_iter().map(|(doer, share)| (doer.service.to_owned(), share.critical_ns)).collect()
    };
    assert_eq!(names(&alone), [("gateway".to_owned(), 30), ("payments".to_owned(), 70)]);

    let answered = of_kind(Kind::Server, span(3, 2, "payments", 20, 40));
    let trace = assemble([call, attempt(span(2, 1, "gateway", 10, 70)), answered]);
    assert_eq!(names(&trace), [("gateway".to_owned(), 30), ("payments".to_owned(), 40)]);
    assert_eq!(path(&trace).wire_ns, 30);
}

#[test]
fn a_service_that_records_nothing_has_its_time_also_where_it_calls_others_through_a_proxy() {
    let proxied = |id, parent, kind, service: &str, start, duration| {
        let mut span = of_kind(kind, span(id, parent, "gateway", start, duration));
        span.attributes.push("bellwether.proxy", "p-1");
        span.attributes.push("bellwether.service", service);
        span
    };
    let trace = assemble([
        proxied(1, 0, Kind::Server, "shop", 0, 100),
        proxied(2, 1, Kind::Client, "shop", 5, 90),
        proxied(3, 2, Kind::Server, "shop", 10, 80),
        proxied(4, 3, Kind::Client, "shop", 10, 80),
        proxied(5, 4, Kind::Server, "stock", 30, 40),
        proxied(6, 5, Kind::Client, "stock", 30, 40),
    ]);
    let path = path(&trace);
    let services = path.services(&trace);
    let told: Vec<_> = services.iter().map(|(doer, share)| (doer.service, share.critical_ns)).collect();
    assert_eq!(told, [("gateway", 10), ("shop", 40), ("stock", 40)]);
    assert_eq!(path.wire_ns, 10, "only between the two proxies on the way to the shop");
}

#[test]
fn siblings_that_overlap_by_a_hundredth_follow_each_other_where_that_is_asked_for() {
    let trace =
        assemble([span(1, 0, "shop", 0, 1_000), span(2, 1, "stock", 0, 501), span(3, 1, "prices", 500, 500)]);
    assert_eq!(critical(&trace, &path(&trace)), [(1, 500), (2, 0), (3, 500)]);
    let tolerant = CriticalPath::of(&trace, &Rules { sibling_overlap_percent: 1, ..Rules::default() });
    tiles(&tolerant).unwrap();
    assert_eq!(critical(&trace, &tolerant), [(1, 0), (2, 500), (3, 500)]);
}

#[test]
fn published_traces_have_the_published_times() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/critical-path");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: published critical paths because ../shared/vectors/critical-path is not here");
        return;
    };
    let mut count = 0;
    for file in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some()) {
        let document: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let trace = jaeger(&document["data"][0]);
        for sibling_overlap_percent in [0, 1] {
            let path = CriticalPath::of(&trace, &Rules { sibling_overlap_percent, ..Rules::default() });
            tiles(&path).unwrap();
            let operations = path.operations(&trace);
            let found: BTreeMap<String, u64> = operations
                .iter()
                .map(|(doer, share)| {
                    (format!("[{}] {}", doer.service, doer.operation), share.critical_ns / 1_000)
                })
                .collect();
            let testing = &document["testing"];
            let expected = testing.get("opTimeExclusive").unwrap_or(&testing[0]);
            for (operation, expected) in expected.as_object().unwrap() {
                assert_eq!(Some(found[operation]), expected.as_u64(), "{operation} of {}", file.display());
            }
            let sum: u64 = expected.as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
            assert_eq!(sum * 1_000, path.duration_ns, "nothing else is on the path of {}", file.display());
            if let Some(work) = testing.get("totalWork").and_then(serde_json::Value::as_u64) {
                assert_eq!(operations.values().map(|share| share.total_ns).sum::<u64>(), work * 1_000);
            }
        }
        count += 1;
    }
    assert!(count > 0, "the folder holds traces");
}

/// A trace as Jaeger writes it, with the letters that these traces have as ids.
fn jaeger(trace: &serde_json::Value) -> Trace {
    let id = |text: &serde_json::Value| u64::from_str_radix(text.as_str().unwrap(), 36).unwrap();
    assemble(trace["spans"].as_array().unwrap().iter().map(|of| {
        let process = &trace["processes"][of["processID"].as_str().unwrap()];
        let parent = of["references"].get(0).map_or(0, |reference| id(&reference["spanID"]));
        let micros = |field: &str| of[field].as_u64().unwrap() * 1_000;
        let service = process["serviceName"].as_str().unwrap();
        let span = span(id(&of["spanID"]), parent, service, micros("startTime"), micros("duration"));
        Span { name: of["operationName"].as_str().unwrap().into(), ..span }
    }))
}

#[test]
fn a_hundred_thousand_spans_deep_wide_or_both_are_no_trouble() {
    // Recursion would overflow the stack, and a walk in square time would not end today.
    const SPANS: u64 = 100_000;
    let deep = (1..=SPANS).map(|id| span(id, id - 1, "deep", id, 2 * (SPANS - id) + 1));
    let wide = (1..=SPANS)
        .map(|id| span(id, u64::from(id > 1), "wide", 10 * id, if id == 1 { 20 * SPANS } else { 9 }));
    let bushy = (1..=SPANS).map(|id| span(id, id / 2, "bushy", id, 4 * SPANS - id));
    for spans in [deep.collect::<Vec<_>>(), wide.collect(), bushy.collect()] {
        let trace = assemble(spans);
        let path = path(&trace);
        assert_eq!(path.services(&trace).len(), 1);
    }
}

/// The rule as it is written down, by recursion and without any of the module's own parts.
fn by_the_book(trace: &Trace, at: usize, clips: &[(u64, u64)], into: &mut Vec<u64>) {
    let (begin, end) = clips[at];
    let mut children: Vec<usize> = trace.nodes()[at]
        .children
        .iter()
        .copied()
        .filter(|child| clips[*child].0 < clips[*child].1)
        .collect();
    children.sort_by_key(|child| {
        let (begin, end) = clips[*child];
        (std::cmp::Reverse(end), std::cmp::Reverse(begin), trace.nodes()[*child].span.span_id)
    });
    let mut until = end;
    for child in children {
        let (child_begin, child_end) = clips[child];
        if child_begin < until && child_end <= until {
            into[at] += until - child_end;
            by_the_book(trace, child, clips, into);
            until = child_begin;
        }
    }
    into[at] += until - begin;
}

fn clip_by_the_book(trace: &Trace, at: usize, within: (u64, u64), clips: &mut [(u64, u64)]) {
    let span = &trace.nodes()[at].span;
    clips[at] = (span.start.0.max(within.0), span.end().0.min(within.1));
    for child in &trace.nodes()[at].children {
        let begin = trace.nodes()[*child].span.start.0;
        if clips[at].0 < clips[at].1 && begin < span.end().0 {
            clip_by_the_book(trace, *child, clips[at], clips);
        }
    }
}

type Drawn = (u64, u64, u64, usize, u8);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec((0..30_u64, 0..200_u64, 0..200_u64, 0..5_usize, 0..5_u8), 1..40)
}

fn made(drawn: &[Drawn], hosts: bool) -> Trace {
    let spans = drawn.iter().enumerate().map(|(at, (parent, start, length, kind, host))| {
        let service = ["shop", "stock", "bank"][at % 3];
        let span = of_kind(Kind::ALL[*kind], span(at as u64 + 1, *parent, service, *start, *length));
        if hosts && *host > 0 {
            on(["", "a", "b", "c", "d"][usize::from(*host)], span)
        } else {
            on("one", span)
        }
    });
    assemble(spans)
}

proptest! {
    #[test]
    fn the_path_tiles_every_root_exactly(drawn in drawn(), overlap in 0..3_u8, max_skew_ns in 0..400_u64) {
        let trace = made(&drawn, true);
        let rules = Rules { max_skew_ns, sibling_overlap_percent: overlap };
        for root in trace.roots() {
            let path = CriticalPath::of_root(&trace, *root, &rules);
            tiles(&path)?;
            prop_assert_eq!(path.duration_ns, trace.nodes()[*root].span.duration_ns);
            let shares: u64 = path.services(&trace).values().map(|share| share.critical_ns).sum();
            prop_assert_eq!(shares + path.wire_ns, path.duration_ns);
            prop_assert!(path.makespan_ns >= path.duration_ns);
            prop_assert!(path.wire_assumed_ns <= path.wire_ns);
            for (node, time) in trace.nodes().iter().zip(&path.spans) {
                prop_assert!(time.self_ns <= node.span.duration_ns);
                prop_assert!(time.delta_ns.unsigned_abs() <= max_skew_ns);
            }
        }
    }

    #[test]
    fn on_one_host_it_is_the_path_by_the_book(drawn in drawn()) {
        let internal: Vec<Drawn> = drawn.into_iter().map(|(a, b, c, _, _)| (a, b, c, 0, 0)).collect();
        let trace = made(&internal, false);
        let mut clips = vec![(0, 0); trace.nodes().len()];
        clip_by_the_book(&trace, trace.main_root(), (0, u64::MAX), &mut clips);
        let mut expected = vec![0; trace.nodes().len()];
        by_the_book(&trace, trace.main_root(), &clips, &mut expected);
        let path = path(&trace);
        let found: Vec<u64> = path.spans.iter().map(|span| span.critical_ns).collect();
        prop_assert_eq!(found, expected);
    }
}

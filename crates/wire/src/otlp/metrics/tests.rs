//! Requests as OpenTelemetry's own definitions write them, and the series that come of them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
        SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
        number_data_point, summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::otlp::metrics_from_json;

#[derive(Debug, Default)]
struct Notes {
    last: String,
    samples: BTreeMap<String, (i64, f64)>,
    kinds: BTreeMap<String, (&'static str, String)>,
    exemplars: Vec<String>,
}

impl Sink for Notes {
    fn series(&mut self, labels: &[(&str, &str)]) {
        assert!(labels.is_sorted_by(|(one, _), (other, _)| one < other), "{labels:?}");
        let name = labels.iter().find(|(name, _)| *name == "__name__").unwrap().1;
        let rest = labels.iter().filter(|(name, _)| *name != "__name__");
        self.last =
            format!("{name}{:?}", rest.collect::<Vec<_>>()).replace(['(', ')', '"'], "").replace(", ", "=");
    }

    fn sample(&mut self, time: i64, value: f64) {
        self.samples.insert(self.last.clone(), (time, value));
    }

    fn exemplar(&mut self, time: i64, value: f64, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        self.exemplars.push(format!("{} {time} {value} {}", self.last, labels.join(" ")));
    }

    fn family(&mut self, name: &str, kind: &'static str, _: &str, unit: &str) {
        self.kinds.insert(name.to_owned(), (kind, unit.to_owned()));
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

const SECOND: u64 = 1_000_000_000;

fn number(time: u64, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: time * SECOND,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn sum(points: Vec<NumberDataPoint>, temporality: AggregationTemporality, is_monotonic: bool) -> Data {
    Data::Sum(Sum { data_points: points, aggregation_temporality: temporality.into(), is_monotonic })
}

fn request(resource: Vec<KeyValue>, metrics: Vec<Metric>) -> Vec<u8> {
    let scope = InstrumentationScope { name: String::new(), ..InstrumentationScope::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let of = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![of] }.encode_to_vec()
}

fn read_with(deltas: &Deltas, request: &[u8]) -> (Notes, Counted) {
    let mut notes = Notes::default();
    let counted = decode(request, deltas, &mut notes).unwrap();
    (notes, counted)
}

fn read(metrics: Vec<Metric>) -> (Vec<(String, f64)>, Counted) {
    let (notes, counted) = read_with(&Deltas::default(), &request(vec![], metrics));
    (notes.samples.into_iter().map(|(series, (_, value))| (series, value)).collect(), counted)
}

use AggregationTemporality::{Cumulative, Delta, Unspecified};

#[test]
fn names_say_their_units_and_what_counts() {
    for (name, unit, kind, expected) in [
        ("http.server.request.duration", "s", 'h', "http_server_request_duration_seconds"),
        ("http.server.requests", "{request}", 'c', "http_server_requests_total"),
        ("requests_total", "1", 'c', "requests_total"),
        ("process.memory", "By", 'g', "process_memory_bytes"),
        ("memory.usage_bytes", "By", 'g', "memory_usage_bytes"),
        ("disk.io", "By/s", 'g', "disk_io_bytes_per_second"),
        ("cpu.utilization", "1", 'g', "cpu_utilization_ratio"),
        ("1st", "", 'g', "_1st"),
        ("a..b--c", "", 'g', "a_b_c"),
        ("", "s", 'g', "seconds"),
        ("speed", "m/s", 'g', "speed_meters_per_second"),
        ("odd", "{a}/{b}", 'g', "odd"),
    ] {
        assert_eq!(names::metric(name, unit, kind == 'c', kind == 'g'), expected, "{name} in {unit}");
    }
    for (key, expected) in
        [("http.route", "http_route"), ("1a", "key_1a"), ("_a", "key_a"), ("__a", "__a"), ("é", "_")]
    {
        assert_eq!(names::label(key), expected);
    }
}

#[test]
fn a_resource_is_job_instance_and_target_info() {
    let resource = vec![
        text("service.name", "cart"),
        text("service.namespace", "shop"),
        text("service.instance.id", "cart-1"),
        text("host.name", "a"),
        attribute("cores", Value::IntValue(4)),
    ];
    let mut point = number(5, 2.5);
    point.attributes = vec![
        text("http.route", "/"),
        attribute("ok", Value::BoolValue(true)),
        text("http_route", "b"),
        text("job", "x"),
    ];
    let gauge = Data::Gauge(Gauge { data_points: vec![point] });
    let (notes, counted) =
        read_with(&Deltas::default(), &request(resource, vec![metric("level", "ms", gauge)]));
    let found: Vec<_> = notes.samples.iter().map(|(series, sample)| (series.as_str(), *sample)).collect();
    assert_eq!(
        found,
        [
            ("level_milliseconds[http_route=/;b=instance=cart-1=job=shop/cart=ok=true]", (5_000, 2.5)),
            ("target_info[cores=4=host_name=a=instance=cart-1=job=shop/cart]", (5_000, 1.0)),
        ]
    );
    assert_eq!(counted, Counted { samples: 2, refused: BTreeMap::new() });
    assert_eq!(notes.kinds["level_milliseconds"], ("gauge", "milliseconds".to_owned()));
}

#[test]
fn deltas_are_added_up_by_series_and_come_in_order() {
    let deltas = Deltas::default();
    let send = |time, value, monotonic| {
        let of = metric("calls", "", sum(vec![number(time, value)], Delta, monotonic));
        let (notes, counted) = read_with(&deltas, &request(vec![], vec![of]));
        (notes.samples.into_values().next().map(|(_, value)| value), counted.rejected())
    };
    assert_eq!(send(1, 2.0, true), (Some(2.0), (0, String::new())));
    assert_eq!(send(2, 3.0, true).0, Some(5.0));
    // What is sent again was counted already.
    let (none, (refused, why)) = send(2, 3.0, true);
    assert_eq!((none, refused), (None, 1));
    assert_eq!(why, "1 point: late_delta (deltas of a series come in the order of their times)");
    assert_eq!(send(3, 1.0, true).0, Some(6.0));
    assert_eq!(send(1, -1.0, false).0, Some(-1.0), "one that also falls is another metric");
}

fn histogram(time: u64, counts: &[u64], bounds: &[f64], temporality: AggregationTemporality) -> Metric {
    let point = HistogramDataPoint {
        time_unix_nano: time * SECOND,
        count: counts.iter().sum(),
        sum: Some(1.5),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    };
    let data = Histogram { data_points: vec![point], aggregation_temporality: temporality.into() };
    metric("took", "s", Data::Histogram(data))
}

#[test]
fn a_histogram_becomes_classic_buckets() {
    let (samples, _) = read(vec![histogram(1, &[1, 2, 3], &[-0.5, 10.0], Cumulative)]);
    let named = |name: &str, value| (name.to_owned(), value);
    assert_eq!(
        samples,
        [
            named("took_seconds_bucket[le=+Inf]", 6.0),
            named("took_seconds_bucket[le=-0.5]", 1.0),
            named("took_seconds_bucket[le=10]", 3.0),
            named("took_seconds_count[]", 6.0),
            named("took_seconds_sum[]", 1.5),
        ]
    );
    let deltas = Deltas::default();
    for (time, expected) in [(1, 3.0), (2, 6.0)] {
        let (notes, _) =
            read_with(&deltas, &request(vec![], vec![histogram(time, &[1, 2, 3], &[-0.5, 10.0], Delta)]));
        assert_eq!(notes.samples["took_seconds_bucket[le=10]"].1, expected);
        assert_eq!(notes.samples["took_seconds_sum[]"].1, expected / 2.0);
    }
}

#[test]
fn an_exemplar_stays_with_the_bucket_that_it_was_counted_in() {
    let case = |value, trace: u8, span: u8| Exemplar {
        time_unix_nano: 7 * SECOND,
        value: Some(exemplar::Value::AsDouble(value)),
        trace_id: vec![trace; 16],
        span_id: vec![span; 8],
        ..Exemplar::default()
    };
    let mut of = histogram(9, &[1, 2, 3], &[-0.5, 10.0], Cumulative);
    let Some(Data::Histogram(data)) = &mut of.data else { unreachable!() };
    // The upper bound belongs to a bucket; without a trace an exemplar leads nowhere.
    data.data_points[0].exemplars = vec![case(10.0, 1, 2), case(99.0, 3, 0), case(1.0, 0, 1)];
    let mut point = number(9, 3.0);
    point.exemplars = vec![case(1.0, 4, 5)];
    let counter = metric("jobs", "", sum(vec![point.clone()], Cumulative, true));
    let level = metric("level", "", sum(vec![point], Cumulative, false));
    let (notes, _) = read_with(&Deltas::default(), &request(vec![], vec![of, counter, level]));
    let (one, three, four) = ("01".repeat(16), "03".repeat(16), "04".repeat(16));
    assert_eq!(
        notes.exemplars,
        [
            format!("took_seconds_bucket[le=10] 7000 10 span_id=0202020202020202 trace_id={one}"),
            format!("took_seconds_bucket[le=+Inf] 7000 99 trace_id={three}"),
            format!("jobs_total[] 7000 1 span_id=0505050505050505 trace_id={four}"),
        ]
    );
}

fn exponential(
    time: u64,
    scale: i32,
    offset: i32,
    counts: &[u64],
    temporality: AggregationTemporality,
) -> Metric {
    let point = ExponentialHistogramDataPoint {
        time_unix_nano: time * SECOND,
        count: counts.iter().sum::<u64>() + 2,
        sum: Some(0.0),
        scale,
        zero_count: 1,
        positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
        negative: Some(Buckets { offset: 0, bucket_counts: vec![1] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: temporality.into() };
    metric("took", "", Data::ExponentialHistogram(data))
}

/// The buckets by their bounds.
fn buckets(notes: &Notes) -> Vec<(f64, f64)> {
    let bound = |series: &str| series.strip_prefix("took_bucket[le=")?.strip_suffix(']')?.parse().ok();
    let mut all: Vec<(f64, f64)> =
        notes.samples.iter().filter_map(|(series, (_, value))| Some((bound(series)?, *value))).collect();
    all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    all
}

#[test]
fn an_exponential_histogram_becomes_classic_buckets_that_hold_what_it_held() {
    let (notes, _) =
        read_with(&Deltas::default(), &request(vec![], vec![exponential(1, 0, 1, &[3, 0, 4], Cumulative)]));
    // From -2 to -1, zero, from 2 to 4, and from 8 to 16.
    let inf = f64::INFINITY;
    assert_eq!(
        buckets(&notes),
        [(-2.0, 0.0), (-1.0, 1.0), (0.0, 2.0), (2.0, 2.0), (4.0, 5.0), (8.0, 5.0), (16.0, 9.0), (inf, 9.0)]
    );
    // Finer buckets become coarser ones with the same bounds.
    let (fine, _) =
        read_with(&Deltas::default(), &request(vec![], vec![exponential(1, 5, 32, &[1; 32], Cumulative)]));
    let fine = buckets(&fine);
    assert!(fine.contains(&(2.0, 2.0)) && fine.contains(&(4.0, 34.0)) && fine.len() == 4 + 4 + 1, "{fine:?}");
    let deltas = Deltas::default();
    read_with(&deltas, &request(vec![], vec![exponential(1, 0, 1, &[3], Delta)]));
    let (notes, _) = read_with(&deltas, &request(vec![], vec![exponential(2, 1, 6, &[4], Delta)]));
    assert_eq!(
        buckets(&notes).into_iter().filter(|(bound, _)| *bound > 1.0).collect::<Vec<_>>(),
        [(2.0, 4.0), (4.0, 7.0), (8.0, 7.0), (16.0, 11.0), (inf, 11.0)]
    );
}

#[test]
fn a_summary_has_its_quantiles_and_a_point_without_a_value_ends_its_series() {
    let point = SummaryDataPoint {
        time_unix_nano: SECOND,
        count: 3,
        sum: 6.0,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 2.0 }],
        ..SummaryDataPoint::default()
    };
    let (samples, _) = read(vec![metric("s", "", Data::Summary(Summary { data_points: vec![point] }))]);
    let expected = [("s[quantile=0.5]", 2.0), ("s_count[]", 3.0), ("s_sum[]", 6.0)];
    assert_eq!(samples, expected.map(|(name, value)| (name.to_owned(), value)));
    let point = NumberDataPoint { time_unix_nano: SECOND, flags: 1, ..NumberDataPoint::default() };
    let (samples, _) = read(vec![metric("a", "", Data::Gauge(Gauge { data_points: vec![point] }))]);
    assert!(monitoring::series::is_stale(samples[0].1));
}

#[test]
fn points_are_refused_one_by_one() {
    let good = number(1, 1.0);
    let mut many = number(1, 1.0);
    many.attributes = (0..100).map(|at| text(&format!("l{at}"), "v")).collect();
    for (of, reason) in [
        (
            metric(
                "a",
                "",
                sum(
                    vec![good.clone(), NumberDataPoint { time_unix_nano: 0, ..good.clone() }],
                    Cumulative,
                    true,
                ),
            ),
            Reason::NoTime,
        ),
        (
            metric(
                "a",
                "",
                sum(vec![good.clone(), NumberDataPoint { value: None, ..good.clone() }], Cumulative, true),
            ),
            Reason::NoValue,
        ),
        (metric("a", "", sum(vec![good.clone(), many], Cumulative, true)), Reason::Labels),
        (metric("", "", sum(vec![good.clone()], Cumulative, false)), Reason::Labels),
        (metric("a", "", sum(vec![good], Unspecified, true)), Reason::NoTemporality),
        (histogram(1, &[1, 2], &[1.0, 2.0], Cumulative), Reason::NoValue),
        (histogram(1, &[1, 2, 3], &[2.0, 1.0], Cumulative), Reason::NoValue),
        (exponential(1, 99, 0, &[1], Cumulative), Reason::NoValue),
    ] {
        let (samples, counted) = read(vec![of]);
        assert_eq!(counted.refused, BTreeMap::from([(reason, 1)]), "{samples:?}");
        assert_eq!(counted.samples, samples.len() as u64);
    }
    assert!(decode(b"\x0a\xff", &Deltas::default(), &mut Notes::default()).is_err());
}

#[test]
fn a_request_that_says_too_much_is_bounded() {
    let mut point = HistogramDataPoint {
        time_unix_nano: SECOND,
        count: 1_000,
        bucket_counts: vec![1; 1_000],
        explicit_bounds: (1..1_000).map(f64::from).collect(),
        ..HistogramDataPoint::default()
    };
    point.attributes = (0..40).map(|at| text(&format!("l{at}"), &"v".repeat(10_000))).collect();
    let data = Histogram { data_points: vec![point], aggregation_temporality: Cumulative.into() };
    let (samples, counted) = read(vec![metric("a", "", Data::Histogram(data))]);
    assert_eq!((samples.len(), counted.refused.get(&Reason::TooLarge)), (0, Some(&1)));
}

#[test]
fn json_says_the_same() {
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},
        "scopeMetrics":[{"scope":{"name":"s"},"metrics":[
        {"name":"took","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1000000000",
          "count":"3","sum":1.5,"bucketCounts":["1","2"],"explicitBounds":[0.5]}]}},
        {"name":"e","exponentialHistogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[
          {"timeUnixNano":1000000000,"count":1,"scale":-1,"positive":{"offset":-1,"bucketCounts":[1]}}]}},
        {"name":"n","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"1000000000","asInt":"-7"}]}}]}]}]}"#;
    let bytes = metrics_from_json(json.as_bytes()).unwrap();
    let (notes, counted) = read_with(&Deltas::default(), &bytes);
    assert!(counted.refused.is_empty(), "{counted:?}");
    let of = "job=a=otel_scope_name=s";
    assert_eq!(
        notes.samples[&format!("took_seconds_bucket[{of}=le=0.5]")
            .replace(&format!("{of}=le=0.5"), "job=a=le=0.5=otel_scope_name=s")]
            .1,
        1.0
    );
    assert_eq!(notes.samples[&format!("n_total[{of}]")].1, -7.0);
    assert_eq!(notes.samples["e_bucket[job=a=le=0.25=otel_scope_name=s]"].1, 0.0);
    assert_eq!(notes.samples["e_bucket[job=a=le=1=otel_scope_name=s]"].1, 1.0);
    assert!(
        metrics_from_json(br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":1}]}]}]}"#).is_err()
    );
}

#[test]
fn opentelemetrys_own_example_is_understood() {
    let Ok(document) = std::fs::read("../../../shared/vectors/otlp/metrics.json") else {
        println!("skipped: opentelemetrys_own_example_of_metrics because ../shared/vectors is not there");
        return;
    };
    let (notes, counted) = read_with(&Deltas::default(), &metrics_from_json(&document).unwrap());
    assert!(counted.refused.is_empty() && counted.samples > 5, "{notes:?} {counted:?}");
}

proptest! {
    #[test]
    fn no_bytes_end_the_process(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, &Deltas::default(), &mut Notes::default());
    }

    #[test]
    fn buckets_ascend_and_hold_all(counts in proptest::collection::vec(0_u64..9, 0..40), offset in -2_000_i32..2_000, scale in -10_i32..=20) {
        let (notes, counted) = read_with(&Deltas::default(), &request(vec![], vec![exponential(1, scale, offset, &counts, Cumulative)]));
        prop_assert!(counted.refused.is_empty());
        let found = buckets(&notes);
        prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{:?}", found);
        prop_assert_eq!(found.last().unwrap().1, counts.iter().sum::<u64>() as f64 + 2.0);
    }
}

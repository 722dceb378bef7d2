use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message;

use super::{Counted, Sink, Version, decode};

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// Written whatever it is: who leaves out what is equal to zero leaves out −0 as well.
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct SecondExemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Exemplar>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct First {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    metadata: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct SecondSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<SecondExemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct Second {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    series: Vec<SecondSeries>,
}

#[derive(Default)]
struct Text(String);

impl Sink for Text {
    type Spelling = ();

    fn spelled(&mut self, _: &[u8]) -> Result<(), ()> {
        Err(())
    }

    fn series(&mut self, labels: &[(&str, &str)], _: Option<()>) {
        self.0 += &format!("{labels:?};").replace('"', "");
    }

    fn sample(&mut self, time: i64, value: f64) {
        self.0 += &format!(" {time}={value:?};");
    }

    fn exemplar(&mut self, time: i64, value: f64, labels: &[(&str, &str)]) {
        self.0 += &format!(" {time}={value:?} of {labels:?};").replace('"', "");
    }
}

fn read(version: Version, request: &impl Message) -> (Counted, String) {
    let mut text = Text::default();
    let counted = decode(version, &request.encode_to_vec(), &mut text).unwrap();
    (counted, text.0)
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Series {
    let label = |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    let sample = |(timestamp, value): &(i64, f64)| Sample { value: Some(*value), timestamp: *timestamp };
    Series {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        exemplars: Vec::new(),
        histograms: Vec::new(),
    }
}

#[test]
fn both_versions_mean_the_same() {
    let one = First {
        series: vec![series(
            &[("job", "a"), ("__name__", "up"), ("empty", "")],
            &[(-5, -0.0), (0, f64::INFINITY)],
        )],
        metadata: vec![b"anything".to_vec()],
    };
    let samples = one.series[0].samples.clone();
    let two = Second {
        symbols: ["", "job", "a", "__name__", "up", "empty"].map(str::to_owned).into(),
        series: vec![SecondSeries { labels: vec![1, 2, 3, 4, 5, 0], samples, exemplars: Vec::new() }],
    };
    let expected = "[(__name__, up), (job, a)]; -5=-0.0; 0=inf;";
    let counted = Counted { received: 2, ..Counted::default() };
    assert_eq!(read(Version::One, &one), (counted, expected.to_owned()));
    assert_eq!(read(Version::Two, &two), (counted, expected.to_owned()));
}

#[test]
fn a_series_without_valid_labels_is_counted_and_its_neighbours_are_taken() {
    let mut request = First {
        series: vec![
            series(&[("job", "a")], &[(1, 1.0)]),
            series(&[("__name__", "up"), ("a", "1"), ("a", "2")], &[(1, 1.0), (2, 1.0)]),
            series(&[("__name__", "up"), ("", "1")], &[(1, 1.0)]),
            series(&[("__name__", "ok")], &[(1, 1.0)]),
        ],
        metadata: Vec::new(),
    };
    request.series[3].histograms.push(Vec::new());
    let (counted, text) = read(Version::One, &request);
    assert_eq!(counted, Counted { received: 6, invalid_labels: 4, native_histograms: 1, exemplars: 0 });
    assert_eq!(text, "[(__name__, ok)]; 1=1.0;");
    let sample = vec![Sample { value: Some(1.0), timestamp: 1 }];
    let request = Second {
        symbols: vec![String::new(), "__name__".into(), "up".into()],
        series: vec![
            SecondSeries { labels: vec![1, 9], samples: sample.clone(), exemplars: Vec::new() },
            SecondSeries { labels: vec![1], samples: sample, exemplars: Vec::new() },
        ],
    };
    assert_eq!(read(Version::Two, &request).0.invalid_labels, 2);
}

#[test]
fn exemplars_of_both_versions_stay_with_their_series_and_leave_its_labels_alone() {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let labels = vec![label("trace_id", "4bf9"), label("span_id", "00f0")];
    let mut of = series(&[("__name__", "took")], &[(7, 1.0)]);
    of.exemplars.push(Exemplar { labels, value: 0.5, timestamp: 6 });
    of.exemplars.push(Exemplar { labels: vec![label("a", "1"), label("a", "2")], value: 1.0, timestamp: 6 });
    // As Prometheus sends them: without a sample.
    let mut alone = series(&[("__name__", "other")], &[]);
    alone.exemplars.push(Exemplar { labels: Vec::new(), value: 2.0, timestamp: 8 });
    let one = First { series: vec![of, alone], metadata: Vec::new() };
    let first = SecondExemplar { labels: vec![1, 2, 3, 4], value: 0.5, timestamp: 6 };
    let second = SecondExemplar { labels: Vec::new(), value: 2.0, timestamp: 8 };
    let sample = vec![Sample { value: Some(1.0), timestamp: 7 }];
    let two = Second {
        symbols: ["", "trace_id", "4bf9", "span_id", "00f0", "__name__", "took", "other"]
            .map(str::to_owned)
            .into(),
        series: vec![
            SecondSeries { labels: vec![5, 6], samples: sample, exemplars: vec![first] },
            SecondSeries { labels: vec![5, 7], samples: Vec::new(), exemplars: vec![second] },
        ],
    };
    let counted = Counted { received: 1, exemplars: 2, ..Counted::default() };
    let expected = "[(__name__, took)]; 7=1.0; 6=0.5 of [(span_id, 00f0), (trace_id, 4bf9)];[(__name__, other)]; 8=2.0 of [];";
    assert_eq!(read(Version::One, &one), (counted, expected.to_owned()));
    assert_eq!(read(Version::Two, &two), (counted, expected.to_owned()));
}

#[test]
fn a_content_type_says_the_version() {
    let of = Version::of;
    assert_eq!(of("application/x-protobuf"), Some(Version::One));
    assert_eq!(of("application/x-protobuf;proto=prometheus.WriteRequest"), Some(Version::One));
    assert_eq!(of("application/x-protobuf; proto=io.prometheus.write.v2.Request"), Some(Version::Two));
    assert_eq!((of("application/x-protobuf;proto=other"), of("text/plain")), (None, None));
}

/// Remembers what every spelling means.
#[derive(Default)]
struct Learned(Text, HashMap<Vec<u8>, String>);

impl Sink for Learned {
    type Spelling = Vec<u8>;

    fn spelled(&mut self, spelling: &[u8]) -> Result<(), Vec<u8>> {
        let Some(labels) = self.1.get(spelling) else { return Err(spelling.to_vec()) };
        self.0.0 += labels;
        Ok(())
    }

    fn series(&mut self, labels: &[(&str, &str)], spelling: Option<Vec<u8>>) {
        let mut text = Text::default();
        text.series(labels, None);
        self.0.0 += &text.0;
        spelling.map(|spelling| self.1.insert(spelling, text.0));
    }

    fn sample(&mut self, time: i64, value: f64) {
        self.0.sample(time, value);
    }

    fn exemplar(&mut self, time: i64, value: f64, labels: &[(&str, &str)]) {
        self.0.exemplar(time, value, labels);
    }
}

/// The fields of a series in any order: labels, of which some are not valid, and what was measured.
fn any_series() -> impl Strategy<Value = Vec<u8>> {
    let text = (0..3_u8, prop_oneof![8 => 0..3_usize, 1 => 120..140_usize, 1 => 16_370..16_400_usize]);
    let text = text.prop_map(|(letter, len)| char::from(b'a' + letter).to_string().repeat(len));
    let label = (prop_oneof![Just("__name__".to_owned()), "[a-c]?"], text)
        .prop_map(|(name, value)| Series { labels: vec![Label { name, value }], ..Series::default() });
    let sample = (0..3_i64).prop_map(|time| series(&[], &[(time, 1.5)]));
    let labels = proptest::collection::vec(label, 0..4);
    let (samples, is_odd) = (proptest::collection::vec(sample, 0..3), prop::bool::weighted(0.2));
    (labels, samples, is_odd).prop_map(|(labels, mut samples, is_odd)| {
        let mut fields = labels;
        fields.append(&mut samples);
        if is_odd {
            fields.reverse();
        }
        fields.iter().flat_map(|field| field.encode_to_vec()).collect()
    })
}

proptest! {
    #[test]
    fn who_knows_spellings_is_told_the_same_as_who_reads_all_labels(
        series in proptest::collection::vec(any_series(), 0..6),
        order in proptest::collection::vec(0..6_usize, 0..12),
    ) {
        let mut request = Vec::new();
        for series in order.iter().filter_map(|at| series.get(*at)) {
            request.push(0x0a);
            prost::encoding::encode_varint(series.len() as u64, &mut request);
            request.extend(series);
        }
        let (mut read, mut learned) = (Text::default(), Learned::default());
        let counted = decode(Version::One, &request, &mut read).unwrap();
        for _ in 0..2 {
            learned.0 = Text::default();
            prop_assert_eq!(decode(Version::One, &request, &mut learned).unwrap(), counted);
            prop_assert_eq!(&learned.0.0, &read.0);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for version in [Version::One, Version::Two] {
            let _ = decode(version, &bytes, &mut Text::default());
        }
    }
}

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
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
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
    fn series(&mut self, labels: &[(&str, &str)]) {
        self.0 += &format!("{labels:?};").replace('"', "");
    }

    fn sample(&mut self, time: i64, value: f64) {
        self.0 += &format!(" {time}={value:?};");
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
        series: vec![SecondSeries { labels: vec![1, 2, 3, 4, 5, 0], samples }],
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
    assert_eq!(counted, Counted { received: 6, invalid_labels: 4, native_histograms: 1 });
    assert_eq!(text, "[(__name__, ok)]; 1=1.0;");
    let request = Second {
        symbols: vec![String::new(), "__name__".into(), "up".into()],
        series: vec![
            SecondSeries { labels: vec![1, 9], samples: vec![Sample { value: Some(1.0), timestamp: 1 }] },
            SecondSeries { labels: vec![1], samples: vec![Sample { value: Some(1.0), timestamp: 1 }] },
        ],
    };
    assert_eq!(read(Version::Two, &request).0.invalid_labels, 2);
}

#[test]
fn a_content_type_says_the_version() {
    let of = Version::of;
    assert_eq!(of("application/x-protobuf"), Some(Version::One));
    assert_eq!(of("application/x-protobuf;proto=prometheus.WriteRequest"), Some(Version::One));
    assert_eq!(of("application/x-protobuf; proto=io.prometheus.write.v2.Request"), Some(Version::Two));
    assert_eq!((of("application/x-protobuf;proto=other"), of("text/plain")), (None, None));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for version in [Version::One, Version::Two] {
            let _ = decode(version, &bytes, &mut Text::default());
        }
    }
}

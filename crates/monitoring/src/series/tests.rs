use proptest::prelude::*;

use super::{Appended, CHUNK_SAMPLES, Chunk, Head, Labels, MatchOp, Matcher, STALE, Texts, is_stale};
use crate::promql::{Samples, Storage};

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).unwrap()
}

#[test]
fn labels_are_sorted_and_unique_and_never_empty() {
    let labels = Labels::new([("b", "2"), ("a", "1"), ("c", ""), ("b", "3"), ("__name__", "up")]);
    assert_eq!(labels.to_string(), "up{a=\"1\", b=\"3\"}");
    assert_eq!((labels.get("b"), labels.get("c"), labels.len()), ("3", "", 3));
    assert_eq!(labels.without_name().to_string(), "{a=\"1\", b=\"3\"}");
    assert!(labels < Labels::new([("a", "0")]), "by names first");
}

#[test]
fn texts_are_kept_once_and_swept_when_nobody_holds_them() {
    let mut texts = Texts::default();
    let labels = texts.intern_labels(&Labels::new([("a", "x"), ("b", "x")]));
    assert_eq!(texts.len(), 3);
    let [a, b] = labels.as_slice() else { panic!("two labels") };
    assert!(std::sync::Arc::ptr_eq(&a.value, &b.value));
    drop(labels);
    texts.sweep();
    assert!(texts.is_empty());
}

#[test]
fn a_regular_expression_means_the_whole_value() {
    let means = |op, value: &str, of: &str| matcher("a", op, value).matches(of);
    assert!(means(MatchOp::Matches, "a|bc", "bc"));
    assert!(!means(MatchOp::Matches, "a|b", "bc"));
    assert!(means(MatchOp::NotMatches, "a|b", "bc"));
    assert!(means(MatchOp::Matches, ".*", ""));
    assert!(Matcher::new("a", MatchOp::Matches, "(").is_err());
    assert!(Matcher::new("a", MatchOp::Matches, "a)(b").is_err(), "no group of ours can be closed");
    assert!(Matcher::new("a", MatchOp::Matches, "((a{100}){100}){100}").is_err(), "too large");
}

#[test]
fn a_head_finds_series_by_all_kinds_of_matchers() {
    let mut head = Head::default();
    for (name, job) in [("up", "a"), ("up", "b"), ("down", "a"), ("down", "")] {
        let id = head.series(&Labels::new([("__name__", name), ("job", job)]));
        assert_eq!(head.append(id, 10, 1.0), Appended::Stored);
    }
    let found = |matchers: &[Matcher]| -> Vec<String> {
        let found = head.select(matchers, 0, 100).unwrap();
        found.iter().map(|series| series.labels.to_string()).collect()
    };
    assert_eq!(found(&[matcher("__name__", MatchOp::Equal, "up")]), ["up{job=\"a\"}", "up{job=\"b\"}"]);
    assert_eq!(found(&[matcher("job", MatchOp::Equal, "")]), ["down"]);
    assert_eq!(found(&[matcher("job", MatchOp::Matches, "a|c")]), ["up{job=\"a\"}", "down{job=\"a\"}"]);
    assert_eq!(found(&[matcher("job", MatchOp::NotEqual, "a")]), ["up{job=\"b\"}", "down"]);
    assert_eq!(found(&[matcher("job", MatchOp::NotMatches, "|b")]), ["up{job=\"a\"}", "down{job=\"a\"}"]);
    let both = [matcher("job", MatchOp::Equal, "a"), matcher("__name__", MatchOp::NotMatches, "u.")];
    assert_eq!(found(&both), ["down{job=\"a\"}"]);
    assert!(head.select(&both, 11, 100).unwrap().is_empty(), "no samples then");
}

#[test]
fn a_head_takes_each_time_once() {
    let mut head = Head::default();
    let id = head.series(&Labels::new([("a", "b")]));
    assert_eq!(head.append(id, 10, f64::NAN), Appended::Stored);
    assert_eq!(head.append(id, 10, f64::NAN), Appended::Duplicate);
    assert_eq!(head.append(id, 10, 1.0), Appended::OutOfOrder);
    assert_eq!(head.append(id, 9, 1.0), Appended::OutOfOrder);
    assert_eq!(head.append(id + 1, 9, 1.0), Appended::OutOfOrder, "no such series");
}

#[test]
fn a_chunk_of_regular_samples_is_small() {
    let mut chunk = Chunk::default();
    for index in 0..120 {
        assert!(chunk.push(index * 15_000, 42.0));
    }
    assert!(!chunk.push(120 * 15_000, 42.0), "full");
    assert!(chunk.bytes() <= 16 + 8 + 120 * 2 / 8 + 8, "{} bytes", chunk.bytes());
    assert!(is_stale(STALE) && !is_stale(f64::NAN));
}

proptest! {
    #[test]
    fn a_chunk_gives_every_bit_back(
        start in proptest::num::i64::ANY,
        samples in proptest::collection::vec((1_u64..1 << 40, prop_oneof![
            proptest::num::u64::ANY, Just(STALE.to_bits()), Just((-0.0_f64).to_bits()), (0_u64..50).prop_map(|v| (v as f64).to_bits()),
        ]), 1..CHUNK_SAMPLES),
    ) {
        let mut chunk = Chunk::default();
        let mut time = start.saturating_sub(1 << 50);
        let mut expected = Vec::new();
        for (step, bits) in samples {
            time = time.saturating_add(i64::try_from(step).unwrap());
            if chunk.push(time, f64::from_bits(bits)) {
                expected.push((time, bits));
            }
        }
        let read = |from, to| {
            let mut samples = Samples::default();
            chunk.read(from, to, &mut samples);
            samples.times.iter().copied().zip(samples.values.iter().map(|v| v.to_bits())).collect::<Vec<_>>()
        };
        prop_assert_eq!(read(i64::MIN, i64::MAX), expected.clone());
        let middle = expected[expected.len() / 2].0;
        let after: Vec<_> = expected.into_iter().filter(|(time, _)| *time >= middle).collect();
        prop_assert_eq!(read(middle, i64::MAX), after);
    }
}

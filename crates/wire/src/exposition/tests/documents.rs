use std::{fs, path::Path};

use super::*;

#[test]
fn text_is_read_with_all_its_liberties() {
    let body = "\n  # a comment\n#TYPE a   counter\n#  HELP  a  what \\\\ it\\nis \n\ta_total\t{ x = \"1\" , y=\"a\\\"b\\\\\\n\", }   3.5   -12  \n\
                b 1\nc{}+Inf\n# TYPE d untyped\nd{e=\"\"} NaN";
    let notes = read(Format::Text, body).unwrap();
    let samples: Vec<_> =
        notes.samples.iter().map(|(of, value, time)| (of.as_str(), value.to_bits(), *time)).collect();
    assert_eq!(
        samples,
        [
            ("__name__=\"a_total\";x=\"1\";y=\"a\\\"b\\\\\\n\";", 3.5_f64.to_bits(), Some(-12)),
            ("__name__=\"b\";", 1.0_f64.to_bits(), None),
            ("__name__=\"c\";", f64::INFINITY.to_bits(), None),
            ("__name__=\"d\";", f64::NAN.to_bits(), None),
        ]
    );
    assert_eq!(notes.kinds["a"], Kind::Counter);
    assert_eq!(notes.kinds["d"], Kind::Unknown);
    assert_eq!(notes.helps["a"], "what \\ it\nis ");
}

#[test]
fn text_that_is_wrong_is_refused_by_its_line() {
    for (body, why) in [
        ("a 1\nb\n", "line 2: there is no value"),
        ("a 1 2 3", "line 1: something follows the timestamp"),
        ("a 1 1.5", "line 1: a timestamp is a whole number"),
        ("a 1_0", "line 1: a value is no number"),
        ("a 0x10", "line 1: a value is no number"),
        ("a +NaN", "line 1: a value is no number"),
        ("1a 1", "line 1: a metric's name"),
        ("{a=\"b\"} 1", "line 1: a metric's name"),
        ("a{b=\"c\"", "line 1: the labels have no end"),
        ("a{b=\"c} 1", "line 1: the labels have no end"),
        ("a{b=\"c\" d=\"e\"} 1", "line 1: two labels have no comma"),
        ("a{b=\"c\",b=\"d\"} 1", "line 1: a label is given twice"),
        ("a{b:c=\"d\"} 1", "line 1: a label's name"),
        ("a{b} 1", "line 1: a label has no \"=\""),
        ("a{b=c} 1", "line 1: a label's value is not in quotes"),
        ("a{__name__=\"b\"} 1", "line 1: the name of a metric"),
        ("# TYPE a meh", "line 1: a type that is none"),
        ("# TYPE a-b gauge", "line 1: a metric's name"),
        ("<html>", "line 1: a metric's name"),
    ] {
        let error = read(Format::Text, body).map(|notes| notes.samples).unwrap_err().to_string();
        assert!(error.starts_with(why), "{body:?} is {error}");
    }
}

#[test]
fn open_metrics_has_exemplars_times_in_seconds_and_units() {
    let body = "# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# HELP a_seconds h\\\"q\\n\n\
                a_seconds_bucket{le=\"1.0\"} 2 1.5 # {trace_id=\"x # y\"} 0.25 1.25\n\
                a_seconds_bucket{le=\"+Inf\"} 2 1.5\na_seconds_count 2 1.5\na_seconds_sum 1.5 1.5\n\
                # TYPE b counter\nb_total 9223372036854775808 # {} 1\n# EOF";
    let notes = read(Format::OpenMetrics, body).unwrap();
    assert_eq!(notes.samples[0], ("__name__=\"a_seconds_bucket\";le=\"1.0\";".into(), 2.0, Some(1_500)));
    assert_eq!(notes.exemplars, [("[(\"trace_id\", \"x # y\")]".into(), 0.25), ("[]".into(), 1.0)]);
    assert_eq!(notes.helps["a_seconds"], "h\"q\n");
    assert_eq!(notes.samples[4].1, 9_223_372_036_854_775_808.0);
}

#[test]
fn open_metrics_refuses_what_contradicts_itself() {
    for (body, why) in [
        ("a 1\n", "the body has no"),
        ("a 1", "the body is cut off"),
        ("a 1\n\n# EOF\n", "a metric's name"),
        ("# a comment\n# EOF\n", "a comment is one of"),
        ("a 1\n# EOF\n\n", "something follows"),
        ("a{b=\"c\" ,d=\"e\"} 1\n# EOF", "two labels have no comma"),
        ("a{b=\"c\"}  1\n# EOF", "a value is no number"),
        ("a 1 \n# EOF", "a value is no number"),
        ("a 1 inf\n# EOF", "a timestamp is a finite"),
        ("# TYPE a counter\n# TYPE a counter\n# EOF", "it is said twice"),
        ("a 1\n# TYPE a gauge\n# EOF", "what is said of a family"),
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# HELP a x\n# EOF", "a family stands in two places"),
        ("# TYPE a counter\na 1\n# EOF", "a family stands in two places"),
        ("# TYPE a counter\na_total 1\na_bucket 1\na_total 2\n# EOF", "a family stands in two places"),
        ("# TYPE a_seconds gauge\n# UNIT a_seconds ms\n# EOF", "a family's name ends with its unit"),
        ("# TYPE a counter\na_total -1\n# EOF", "a count or the sum"),
        ("# TYPE a counter\na_total NaN\n# EOF", "a count or a sum is a number"),
        ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1.5\n# EOF", "a count is a whole number"),
        ("# TYPE a histogram\na_bucket 1\n# EOF", "a bucket has a number"),
        ("# TYPE a histogram\na_bucket{le=\"x\"} 1\n# EOF", "a bucket has a number"),
        (
            "# TYPE a histogram\na_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n# EOF",
            "a histogram with negative",
        ),
        ("# TYPE a histogram\na_bucket{le=\"1\"} 1\na_count 1\na_sum 1\n# EOF", "a histogram ends with"),
        (
            "# TYPE a histogram\na_bucket{x=\"1\",le=\"+Inf\"} 1\na_bucket{x=\"2\",le=\"1\"} 1\n# EOF",
            "a histogram ends with",
        ),
        ("# TYPE a summary\na{quantile=\"1.01\"} 1\n# EOF", "a quantile is from 0 to 1"),
        ("# TYPE a summary\na{quantile=\"0.5\"} -1\n# EOF", "the value of a quantile"),
        (
            "# TYPE a summary\na_count{x=\"1\"} 1\na_sum{x=\"2\"} 1\na_sum{x=\"1\"} 1\n# EOF",
            "the samples of a metric stand",
        ),
        ("# TYPE a info\na_info 2\n# EOF", "an info is 1"),
        ("# TYPE a stateset\na{a=\"x\"} 2\n# EOF", "a state is 0 or 1"),
        ("# TYPE a gauge\na 1 2\na 1 1\n# EOF", "timestamps of a metric go"),
        ("# TYPE a gauge\na 1 # {} 1\n# EOF", "only buckets and totals"),
    ] {
        let error = refused(body);
        let (_, said) = error.split_once(": ").unwrap();
        assert!(said.starts_with(why), "{body:?} is {error}");
    }
}

#[test]
fn what_is_longer_than_is_taken_is_refused() {
    let many: Vec<String> = (0..=MAX_LABELS).map(|n| format!("l{n}=\"\"")).collect();
    for body in [
        format!("a{{{}}} 1\n", many.join(",")),
        format!("{} 1\n", "a".repeat(MAX_NAME_BYTES + 1)),
        format!("a{{{}=\"b\"}} 1\n", "l".repeat(MAX_NAME_BYTES + 1)),
        format!("a{{b=\"{}\"}} 1\n", "v".repeat(MAX_VALUE_BYTES + 1)),
    ] {
        assert!(read(Format::Text, &body).is_err());
    }
    let series: String = (0..1_001).map(|n| format!("a{{n=\"{n}\"}} 1\n")).collect();
    assert!(read(Format::Text, &series).unwrap_err().to_string().contains("more than 1000 series"));
    let exemplar =
        |chars: usize| format!("# TYPE a counter\na_total 1 # {{a=\"{}\"}} 1\n# EOF\n", "é".repeat(chars));
    assert!(read(Format::OpenMetrics, &exemplar(127)).is_ok());
    assert!(refused(&exemplar(128)).contains("128"));
}

#[test]
fn every_published_document_of_open_metrics_is_judged_as_it_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/openmetrics");
    let Ok(cases) = fs::read_dir(&folder) else {
        println!(
            "skipped: published documents of OpenMetrics because ../shared/vectors/openmetrics is not here"
        );
        return;
    };
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for case in cases.map(|case| case.unwrap().path()) {
        let expected: serde_json::Value =
            serde_json::from_slice(&fs::read(case.join("test.json")).unwrap()).unwrap();
        let body = fs::read_to_string(case.join("metrics")).unwrap();
        let (expected, found) =
            (expected["shouldParse"].as_bool().unwrap(), read(Format::OpenMetrics, &body));
        *if expected { &mut good } else { &mut bad } += 1;
        if found.is_ok() != expected {
            wrong.push(format!("{}: {:?}\n{body}", case.display(), found.err()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(good > 15 && bad > 75, "{good} good and {bad} bad ones");
}

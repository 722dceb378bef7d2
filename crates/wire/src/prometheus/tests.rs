use http::StatusCode;
use monitoring::{
    promql::{Answer, Point, QueryError, parse},
    series::Labels,
};
use serde_json::{Value as Json, json};

use super::{Failure, FailureKind, Parameters, build_info, label_sets, query, texts};

fn data(text: &str) -> Json {
    let whole: Json = serde_json::from_str(text).unwrap();
    assert_eq!(whole["status"], "success");
    whole["data"].clone()
}

fn one(value: f64) -> String {
    let answer = data(&query(&Answer::Scalar(Point { time: 0, value })));
    answer["result"][1].as_str().unwrap().to_owned()
}

#[test]
fn numbers_are_written_as_prometheus_writes_them() {
    for (value, written) in [
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (1e-7, "1e-07"),
        (1.5e20, "150000000000000000000"),
        (1e21, "1e+21"),
        (-2.5e-300, "-2.5e-300"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        assert_eq!(one(value), written);
    }
}

#[test]
fn times_have_three_digits_of_fraction_or_none() {
    for (time, written) in [(0, "0"), (1000, "1"), (1001, "1.001"), (1_500, "1.500"), (-1, "-0.001")] {
        let text = query(&Answer::Scalar(Point { time, value: 1.0 }));
        assert!(text.contains(&format!("[{written},\"1\"]")), "{text}");
    }
}

#[test]
fn each_type_of_answer_has_its_shape() {
    let labels = Labels::new([("__name__", "up"), ("job", "a\"b\\\n")]);
    let at = |time, value| Point { time, value };
    let metric = json!({"__name__": "up", "job": "a\"b\\\n"});
    let vector = data(&query(&Answer::Vector(vec![(labels.clone(), at(1500, 1.0))])));
    assert_eq!(vector, json!({"resultType": "vector", "result": [{"metric": metric, "value": [1.5, "1"]}]}));
    let matrix = data(&query(&Answer::Matrix(vec![(labels.clone(), vec![at(0, 1.0), at(1000, 2.0)])])));
    let values = json!([[0, "1"], [1, "2"]]);
    assert_eq!(matrix, json!({"resultType": "matrix", "result": [{"metric": metric, "values": values}]}));
    assert_eq!(data(&query(&Answer::Matrix(Vec::new()))), json!({"resultType": "matrix", "result": []}));
    let string = data(&query(&Answer::String(2000, "é\"".into())));
    assert_eq!(string, json!({"resultType": "string", "result": [2, "é\""]}));
    assert_eq!(data(&label_sets(&[labels])), json!([metric]));
    assert_eq!(data(&texts(["a", "b"])), json!(["a", "b"]));
    assert_eq!(data(&build_info("1"))["version"], "2.42.0");
}

#[test]
fn a_failure_has_the_status_and_the_type_that_clients_know() {
    let failures = [
        (Failure::expression("query", &parse("sum(").unwrap_err()), StatusCode::BAD_REQUEST, "bad_data"),
        (QueryError::Samples(1).into(), StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        (QueryError::Steps(1).into(), StatusCode::BAD_REQUEST, "bad_data"),
        (QueryError::Cancelled.into(), StatusCode::SERVICE_UNAVAILABLE, "canceled"),
        (Failure::new(FailureKind::Timeout, "late"), StatusCode::SERVICE_UNAVAILABLE, "timeout"),
    ];
    for (failure, status, kind) in failures {
        let document: Json = serde_json::from_str(&failure.document()).unwrap();
        assert_eq!((failure.status(), &document["errorType"]), (status, &json!(kind)));
        assert_eq!((&document["status"], &document["error"]), (&json!("error"), &json!(failure.message)));
    }
}

#[test]
fn parameters_come_from_the_form_first_and_from_the_path() {
    let read = Parameters::read("query=a&x=%C3%A9+%2B&match[]=1&empty=", "query=b&match%5B%5D=2").unwrap();
    assert_eq!(read.first("query"), Some("b"));
    assert_eq!(read.first("x"), Some("é +"));
    assert_eq!(read.all("match[]").collect::<Vec<_>>(), ["2", "1"]);
    assert_eq!((read.first("empty"), read.first("none")), (None, None));
    assert!(read.required("none").unwrap_err().message.contains("\"none\""));
    assert!(Parameters::read("a=%ff", "").is_err());
    assert!(Parameters::read(&"a&".repeat(1_001), "").is_err());
}

#[test]
fn times_and_durations_are_numbers_of_seconds_or_texts() {
    let read = |text: &str| Parameters::read(&format!("p={text}"), "").unwrap();
    for (text, time) in [
        ("1.5", 1500),
        ("-1", -1000),
        ("1e3", 1_000_000),
        ("1970-01-01T00:00:02.5Z", 2500),
        ("1435781451.781", 1_435_781_451_781),
    ] {
        assert_eq!(read(text).time("p"), Ok(Some(time)), "{text}");
    }
    for (text, duration) in [("15", 15_000), ("0.5", 500), ("1h30m", 5_400_000), ("-1", -1000)] {
        assert_eq!(read(text).duration("p"), Ok(Some(duration)), "{text}");
    }
    for bad in ["x", "NaN", "inf", "1e300"] {
        assert!(read(bad).time("p").is_err() && read(bad).duration("p").is_err(), "{bad}");
    }
    assert_eq!((read("").time("p"), read("").duration("p")), (Ok(None), Ok(None)));
}

//! Numbers that have to be right.

mod bounds;
mod exposition;
mod histogram;
mod ledger;
mod native;
mod recorder;
mod rollup;
mod sources;

use crate::{ExponentialHistogram, Outcome, Reporter, StatusClass};

fn histogram(values: &[f64]) -> ExponentialHistogram {
    let mut histogram = ExponentialHistogram::new();
    for value in values {
        assert!(histogram.record(*value));
    }
    histogram
}

#[test]
fn words_are_what_they_stand_for() {
    assert_eq!(Outcome::ALL.map(Outcome::as_str), ["ok", "error", "timeout", "refused", "cancelled"]);
    assert_eq!(Reporter::ALL.map(Reporter::as_str), ["source", "destination"]);
    let classes = [0, 100, 204, 399, 400, 599, 600].map(|status| StatusClass::of(status).as_str());
    assert_eq!(classes, ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "none"]);
}

use super::*;

fn policy(max_ejection: f64, keep: u32) -> OutlierPolicy {
    OutlierPolicy { max_ejection, keep, ..OutlierPolicy::default() }
}

#[test]
fn no_more_endpoints_are_out_than_the_guards_allow() {
    for (max_ejection, keep, endpoints, most) in [
        (0.3, 1, 10, 3),
        (0.3, 1, 3, 1),
        (0.3, 1, 2, 1),
        (0.3, 1, 1, 0),
        (0.3, 2, 2, 0),
        (1.0, 0, 4, 4),
        (1.0, 3, 4, 1),
        (0.0, 0, 100, 0),
    ] {
        let ejections = Ejections::new();
        let policy = policy(max_ejection, keep);
        let out = (0..2 * endpoints).filter(|_| ejections.eject(&policy, endpoints)).count();
        assert_eq!((out as u32, ejections.count()), (most, most), "{max_ejection} {keep} {endpoints}");
        if most > 0 {
            ejections.readmit();
            assert!(ejections.eject(&policy, endpoints) && !ejections.eject(&policy, endpoints));
        }
    }
    let none = Ejections::new();
    none.readmit();
    assert_eq!(none.count(), 0);
}

#[test]
fn a_guard_that_says_no_is_asked_again() {
    let rules = BreakerPolicy::default();
    let breaker = Breaker::new(1, at(0));
    let fail = |may_open: bool| {
        let (permit, _) = Permit::acquire(&breaker, &rules, at(1)).expect("a permit");
        permit.end_if(&rules, Outcome::Failure, at(1), || may_open)
    };
    for _ in 0..20 {
        assert_eq!(fail(false), None);
    }
    assert_eq!(fail(true).map(|t| t.to), Some(State::Open));
}

#[test]
fn where_too_few_are_left_all_are_used() {
    let policy = OutlierPolicy { panic_below: 0.5, ..OutlierPolicy::default() };
    assert_eq!([policy.panics(5, 10), policy.panics(4, 10), policy.panics(0, 0)], [false, true, false]);
}

#[test]
fn who_is_far_below_its_siblings_is_found_and_nobody_else() {
    let deviation = Deviation { factor: 1.9, min_calls: 100, min_endpoints: 5 };
    let record = |calls, failures| Record { calls, failures };
    let mut fleet = vec![record(1_000, 10); 9];
    assert_eq!(deviation.outliers(&fleet), []);
    fleet.push(record(1_000, 400));
    fleet.push(record(99, 99));
    let outliers = deviation.outliers(&fleet);
    assert_eq!(outliers.iter().map(|outlier| outlier.at).collect::<Vec<_>>(), [9]);
    assert!(outliers[0].rate < outliers[0].threshold);
    assert_eq!(deviation.outliers(&fleet[6..10]), [], "four say nothing about each other");
    assert_eq!(deviation.outliers(&[record(1_000, 900); 10]), [], "all do equally badly");
    assert_eq!(deviation.outliers(&[]), []);
}

#[test]
fn an_outlier_is_tripped_once() {
    let rules = BreakerPolicy::default();
    let breaker = Breaker::new(1, at(0));
    let reason = Reason::Deviation { rate: 0.6, threshold: 0.871 };
    let tripped = breaker.trip(&rules, reason, at(1)).expect("a transition");
    assert_eq!((tripped.to, tripped.until), (State::Open, Some(at(5_001))));
    let text = "60% of its calls succeed, and 87.1% would do among its siblings";
    assert_eq!(tripped.reason.to_string(), text);
    assert_eq!(breaker.trip(&rules, reason, at(2)), None);
}

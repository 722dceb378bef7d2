use std::{collections::BTreeMap, time::Duration};

use identity::{Mono, Now, Wall};
use proptest::prelude::*;

use super::*;
use crate::series::{Labels, LabelsBuilder};

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Now {
    Now { mono: Mono(nanos), wall: Wall(1_700_000_000 * SECOND + nanos) }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied())
}

fn job() -> Job {
    Job {
        name: "shop".to_owned(),
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        path: "/metrics".to_owned(),
        params: Vec::new(),
        honor_labels: false,
        honor_timestamps: true,
        sample_limit: 0,
        body_limit: 1 << 20,
        static_targets: Vec::new(),
        relabel: Vec::new(),
        metric_relabel: Vec::new(),
    }
}

fn rule(action: Action, sources: &[&str], regex: &str, target: &str, replacement: &str) -> Rule {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let sources = sources.iter().map(|name| (*name).to_owned()).collect();
    Rule::new(
        action,
        sources,
        None,
        Some(regex).filter(|text| !text.is_empty()),
        given(target),
        given(replacement),
    )
    .unwrap()
}

fn after(of: &[(&str, &str)], rules: &[Rule]) -> Option<String> {
    relabelled(labels(of).to_builder(), rules).map(|labels| labels.to_string())
}

#[test]
fn each_action_does_what_prometheus_says() {
    let of = [("__name__", "m"), ("a", "foo"), ("b", "bar"), ("c", "Baz")];
    let after = |rule: Rule| after(&of, &[rule]);
    let all = |changed: &str| Some(changed.to_owned());
    assert_eq!(
        after(rule(Action::Replace, &["a"], "f(.*)", "d", "ch${1}-ch$1")),
        all(r#"m{a="foo", b="bar", c="Baz", d="choo-choo"}"#)
    );
    assert_eq!(
        after(rule(Action::Replace, &["a", "b"], "f(.*);(.*)r", "a", "b${1}${2}m")),
        all(r#"m{a="boobam", b="bar", c="Baz"}"#)
    );
    assert_eq!(after(rule(Action::Replace, &["a"], "o", "d", "x")), all(r#"m{a="foo", b="bar", c="Baz"}"#));
    assert_eq!(
        after(rule(Action::Replace, &["a"], "(f).*", "x_$1", "$1")),
        all(r#"m{a="foo", b="bar", c="Baz", x_f="f"}"#)
    );
    assert_eq!(after(rule(Action::Replace, &["b"], "bar", "b", "$9")), all(r#"m{a="foo", c="Baz"}"#));
    assert_eq!(after(rule(Action::Keep, &["a"], "f", "", "")), None);
    assert_eq!(after(rule(Action::Drop, &["a", "nothing"], "foo;", "", "")), None);
    assert!(after(rule(Action::Keep, &["a"], "f.+", "", "")).is_some());
    assert_eq!(after(rule(Action::KeepEqual, &["a"], "", "b", "")), None);
    assert!(after(rule(Action::DropEqual, &["a"], "", "b", "")).is_some());
    assert_eq!(after(rule(Action::LabelDrop, &[], "a|b", "", "")), all(r#"m{c="Baz"}"#));
    assert_eq!(after(rule(Action::LabelKeep, &[], "__name__|b", "", "")), all(r#"m{b="bar"}"#));
    assert_eq!(
        after(rule(Action::LabelMap, &[], "(a|b)", "", "x_$1")),
        all(r#"m{a="foo", b="bar", c="Baz", x_a="foo", x_b="bar"}"#)
    );
    assert_eq!(after(rule(Action::Lowercase, &["c"], "", "c", "")), all(r#"m{a="foo", b="bar", c="baz"}"#));
    assert_eq!(after(rule(Action::Uppercase, &["a"], "", "a", "")), all(r#"m{a="FOO", b="bar", c="Baz"}"#));
}

#[test]
fn a_rule_that_writes_needs_a_label_and_an_expression_has_to_be_one() {
    let new = |action, regex, target: Option<&str>| {
        Rule::new(action, Vec::new(), None, Some(regex), target.map(str::to_owned), None).map(drop)
    };
    assert_eq!(new(Action::Replace, "a", None), Err(RuleError::Target));
    assert_eq!(new(Action::Lowercase, "a", Some("${1}")), Err(RuleError::Target));
    assert_eq!(new(Action::Keep, "a", None), Ok(()));
    assert!(matches!(new(Action::Keep, "(", None), Err(RuleError::Regex(_))));
}

#[test]
fn a_target_is_what_relabelling_makes_of_what_was_discovered() {
    let mut job = job();
    job.params = vec![("module".to_owned(), "http 2xx".to_owned())];
    job.relabel = vec![
        rule(Action::Replace, &["__meta_zone"], "", "zone", ""),
        rule(Action::Drop, &["zone"], "z", "", ""),
        rule(Action::Replace, &["__meta_path"], "(.+)", "__metrics_path__", ""),
    ];
    let found = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        job.target(&job.discovered("10.0.0.1:9100", &pairs))
    };
    let target = found(&[("__meta_zone", "a"), ("__meta_path", "/stats"), ("team", "x")]).unwrap().unwrap();
    assert_eq!(
        target.labels,
        labels(&[("instance", "10.0.0.1:9100"), ("job", "shop"), ("team", "x"), ("zone", "a")])
    );
    assert_eq!(
        (target.address.as_str(), target.path.as_str()),
        ("10.0.0.1:9100", "/stats?module=http%202xx")
    );
    assert_eq!(found(&[("__meta_zone", "z")]), Ok(None));
    assert!(found(&[("__scheme__", "https")]).unwrap_err().contains("https"));
    let address = |text: &str| job.target(&job.discovered(text, &[])).map(|target| target.unwrap().address);
    assert_eq!(address("example.com").unwrap(), "example.com:80");
    assert_eq!(address("[fd00::1]:9100").unwrap(), "[fd00::1]:9100");
    assert!(address("example.com:0").is_err());
}

#[test]
fn the_labels_of_a_target_win_unless_they_are_to_be_honoured() {
    let target = labels(&[("instance", "i"), ("job", "j")]);
    let series = [("__name__", "m"), ("exported_job", "x"), ("job", "own"), ("le", "1")];
    let joined = |prefer| joined(&series, &target, prefer).build().to_string();
    assert_eq!(joined(Prefer::Series), r#"m{exported_job="x", instance="i", job="own", le="1"}"#);
    assert_eq!(
        joined(Prefer::Target),
        r#"m{exported_exported_job="own", exported_job="x", instance="i", job="j", le="1"}"#
    );
}

#[test]
fn each_target_is_asked_once_an_interval_at_its_own_moment() {
    let (mut schedule, interval) = (Schedule::default(), Duration::from_secs(15));
    for key in 0..1_000_u64 {
        schedule.put(at(0), key, interval, key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    let (mut asked, mut busiest) = (BTreeMap::<u64, Vec<u64>>::new(), 0);
    let end = 60 * SECOND;
    let mut now = 0;
    while let Some(next) = schedule.next_deadline().filter(|next| next.0 <= end) {
        now = next.0.max(now);
        let mut due = schedule.due(at(now));
        let second = asked.values().flatten().filter(|time| **time / SECOND == now / SECOND).count();
        busiest = if now > 30 * SECOND { busiest.max(second) } else { busiest };
        for key in due.drain(..) {
            asked.entry(key).or_default().push(now);
            schedule.finished(at(now + 1), &key, interval);
        }
    }
    assert_eq!(asked.len(), 1_000);
    for (key, times) in &asked {
        assert!(times[0] <= 2 * SECOND, "{key} came first at {}", times[0]);
        assert!((4..=6).contains(&times.len()), "{key}: {times:?}");
        assert!(times.windows(2).skip(1).all(|pair| pair[1] - pair[0] == 15 * SECOND), "{key}: {times:?}");
    }
    assert!(busiest < 90, "{busiest} in a second, and 67 is the mean");
}

#[test]
fn those_that_never_answer_take_no_more_than_the_places() {
    let (mut schedule, interval) = (Schedule::default(), Duration::from_secs(1));
    (0..1_000_u64).for_each(|key| schedule.put(at(0), key, interval, 0));
    let due = schedule.due(at(0));
    assert_eq!((due.len(), schedule.len(), schedule.next_deadline()), (AT_ONCE, (1_000, AT_ONCE), None));
    schedule.remove(&due[0]);
    schedule.finished(at(1), &due[0], interval);
    schedule.finished(at(1), &due[1], interval);
    assert_eq!(schedule.due(at(1)).len(), 2);
    assert_eq!(schedule.len(), (999, AT_ONCE));
}

#[test]
fn one_that_is_removed_and_comes_back_while_it_is_asked_keeps_its_turn() {
    let (mut schedule, interval) = (Schedule::default(), Duration::from_secs(1));
    schedule.put(at(0), 1, interval, 0);
    assert_eq!(schedule.due(at(0)), [1]);
    schedule.remove(&1);
    schedule.put(at(1), 1, interval, 0);
    schedule.finished(at(2), &1, interval);
    assert_eq!(schedule.due(at(5 * SECOND)), [1]);
    assert!(schedule.due(at(9 * SECOND)).is_empty());
}

proptest! {
    #[test]
    fn a_turn_comes_within_its_interval_and_never_at_once(now in any::<u32>(), millis in 1_u64..100_000, spread in any::<u64>()) {
        let (mut schedule, interval) = (Schedule::default(), Duration::from_millis(millis));
        let now = at(u64::from(now));
        schedule.put(now, (), interval, spread);
        let first = schedule.next_deadline().unwrap();
        prop_assert!(first.since(now.mono) <= interval);
        let then = now.after(first.since(now.mono));
        prop_assert_eq!(schedule.due(then).len(), 1);
        schedule.finished(then, &(), interval);
        let next = schedule.next_deadline().unwrap().since(then.mono);
        prop_assert!(next > Duration::ZERO && next <= interval);
    }

    #[test]
    fn no_rule_ends_the_process(regex in "[a-z(.*)|$^+]{0,8}", template in "[a-z${}0-9]{0,8}", value in ".{0,8}") {
        let rule = Rule::new(Action::Replace, vec!["a".to_owned()], None, Some(&regex), Some("b".to_owned()), Some(template));
        if let Ok(rule) = rule {
            let mut of = LabelsBuilder::default();
            of.set("a".into(), value.as_str().into());
            let _ = relabelled(of, &[rule]);
        }
    }
}

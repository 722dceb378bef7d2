//! What is said of an instance, and what it changes.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

#[test]
fn an_unchanged_registration_makes_no_revision_but_a_new_lease() {
    let mut registry = Registry::default();
    assert!(registry.apply(start(), register("a", 80, 1, None)).unwrap().created);
    let again = registry.apply(start(), register("a", 80, 2, None)).unwrap();
    assert_eq!((again.created, again.lease, registry.revision()), (false, Some(LeaseId(2)), 1));
    let held = registry.apply(start(), register("a", 80, 3, Some(2))).unwrap();
    assert_eq!((held.change, held.lease), (None, Some(LeaseId(2))), "the holder keeps its lease");
    registry.apply(start(), register("a", 81, 4, None)).unwrap();
    assert_eq!(registry.revision(), 2);
}

#[test]
fn a_draft_shows_nothing_until_it_is_committed_and_sees_itself() {
    let mut registry = Registry::default();
    let mut draft = registry.draft();
    assert!(draft.apply(start(), register("a", 80, 1, None)).unwrap().created);
    assert!(!draft.apply(start(), register("a", 81, 2, None)).unwrap().created);
    let batch = draft.finish();
    assert_eq!((registry.revision(), registry.instance_count()), (0, 0));
    registry.commit(start(), batch);
    assert_eq!((registry.revision(), registry.instance_count()), (2, 1));
    assert_eq!(registry.instance(&target("cart", "a")).unwrap().registration.port, 81);
}

#[test]
fn what_breaks_a_rule_changes_nothing_and_names_the_field() {
    let long = "x".repeat(TEXT_MAX + 1);
    type Break = fn(&mut Registration, &str);
    let cases: [(&str, Break); 7] = [
        ("port", |r, _| r.port = 0),
        ("zone", |r, long| r.zone = Some(long.into())),
        ("version", |r, _| r.version = Some("1\u{7}".into())),
        ("weight", |r, _| r.weight = WEIGHT_MAX + 1),
        ("metadata value", |r, long| r.metadata = [("k", long)].into_iter().collect()),
        ("ttl", |r, _| r.ttl = Some(Duration::from_millis(1).into())),
        ("deregister_after", |r, _| (r.ttl, r.deregister_after) = (None, Some(TTL.into()))),
    ];
    let mut registry = Registry::default();
    for (field, break_it) in cases {
        let mut registration = leased(80);
        break_it(&mut registration, &long);
        let refused =
            registry.apply(start(), Command::register(target("cart", "a"), registration, LeaseId(1), "t"));
        match refused {
            Err(Error::Invalid(invalid)) => assert_eq!(invalid.what(), field),
            other => panic!("{field}: {other:?}"),
        }
        assert_eq!((registry.revision(), registry.instance_count()), (0, 0));
    }
}

#[test]
fn a_warm_up_goes_on_through_a_change_and_begins_anew_after_an_interruption() {
    let second = |second| start().after(Duration::from_secs(second));
    let mut registry = Registry::default();
    let register = |port| {
        let warm_up = Some(Duration::from_secs(10).into());
        let registration = Box::new(Registration { ttl: None, warm_up, ..leased(port) });
        ask("a", Ask::Register { registration, lease: LeaseId(1), held: None })
    };
    let ramp = |registry: &Registry, at| registry.ramp(second(at), &target("cart", "a"));
    registry.apply(second(0), register(80)).unwrap();
    assert_eq!((status(&registry, "a"), ramp(&registry, 5)), (Some(Status::Starting), Some(0.5)));
    registry.apply(second(5), register(81)).unwrap();
    assert_eq!(ramp(&registry, 5), Some(0.5), "as warm as before");
    let drain = Ask::Drain { held: None, force: false, reason: "r".into() };
    registry.apply(second(6), ask("a", drain)).unwrap();
    assert_eq!(ramp(&registry, 6), None);
    registry.apply(second(7), ask("a", Ask::Undrain { held: None, reason: "r".into() })).unwrap();
    assert!(registry.advance(second(16)).is_empty(), "no calls came meanwhile that would have warmed it");
    assert_eq!(registry.advance(second(17)).len(), 1);
    assert_eq!(status(&registry, "a"), Some(Status::Up));
}

#[test]
fn facts_tell_what_decides_and_what_would_without_it() {
    let mut registry = Registry::default();
    let registration = Registration {
        checks: [Check::new(Probe::Tcp)].into(),
        warm_up: Some(Duration::from_secs(10).into()),
        ..leased(80)
    };
    registry.apply(start(), Command::register(target("cart", "a"), registration, LeaseId(1), "t")).unwrap();
    let facts = |registry: &Registry| -> Vec<(FactKind, Status)> {
        let instance = registry.instance(&target("cart", "a")).unwrap();
        let facts = instance.facts();
        assert_eq!(facts.first().map_or(Status::Up, |first| first.status), instance.status);
        facts.iter().map(|fact| (fact.kind, fact.status)).collect()
    };
    let starting = [(FactKind::Check, Status::Starting), (FactKind::WarmUp, Status::Starting)];
    assert_eq!(facts(&registry), starting);
    registry.apply(start(), ask("a", Ask::Drain { held: None, force: true, reason: "r".into() })).unwrap();
    registry.advance(start().after(TTL));
    let pin = Ask::Override { status: Pinned::Up, lasts: None, reason: "r".into() };
    registry.apply(start(), ask("a", pin)).unwrap();
    let all = [
        (FactKind::Override, Status::Up),
        (FactKind::Lease, Status::Down),
        (FactKind::Drain, Status::Draining),
        starting[0],
        starting[1],
    ];
    assert_eq!(facts(&registry), all);
}

#[test]
fn metadata_keeps_texts_of_every_length() {
    for length in [0, 1, 63, 64, 65, 4_095, 4_096, 4_097, 300_000] {
        let entries = [("a".repeat(length), "ü".repeat(length)), ("b".to_owned(), String::new())];
        let metadata: Metadata = entries.iter().cloned().collect();
        let said: Vec<(String, String)> =
            metadata.iter().map(|(n, t)| (n.to_owned(), t.to_owned())).collect();
        assert_eq!(said, entries, "{length}");
    }
}

#[test]
fn periods_are_kept_to_the_nanosecond_and_nought_is_one() {
    for nanos in [0, 1, 999_999_999, 1_000_000_000, u64::MAX - 1] {
        let period = Duration::from_nanos(nanos);
        assert_eq!(Duration::from(Period::from(period)), period);
    }
    assert!(Duration::from(Period::from(Duration::MAX)) > TTL_MAX * 1_000);
    let nought = Registration { ttl: Some(Duration::ZERO.into()), ..leased(80) };
    assert_eq!(nought.check().unwrap_err().what(), "ttl");
}

#[test]
fn an_instance_fits_into_192_bytes_with_its_counts_and_its_slot_into_112() {
    let counts = 2 * size_of::<usize>();
    assert!(size_of::<Instance>() + counts <= 192, "{}", size_of::<Instance>());
    assert!(size_of::<crate::roll::Slot>() <= 112, "{}", size_of::<crate::roll::Slot>());
    assert_eq!(size_of::<Option<Period>>(), 8);
}

proptest! {
    #[test]
    fn metadata_says_what_a_map_says(entries in vec(("[a-c]{0,2}|é", "[a-z]{0,3}|ü"), 0..12)) {
        let map: BTreeMap<String, String> = entries.iter().cloned().collect();
        let metadata: Metadata = entries.into_iter().collect();
        let said: Vec<(&str, &str)> = metadata.iter().collect();
        let meant: Vec<(&str, &str)> = map.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        prop_assert_eq!(said, meant);
        prop_assert_eq!(metadata.len(), map.len());
        for name in ["", "a", "bc", "é", "nobody"] {
            prop_assert_eq!(metadata.get(name), map.get(name).map(String::as_str));
        }
    }
}

//! Each test's name is the claim. Time is an argument; a plain map stands beside the registry.

use std::{collections::BTreeMap, time::Duration};

use identity::{Mono, Now, Wall};
use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(15);

fn start() -> Now {
    Now { mono: Mono(0), wall: Wall(1_700_000_000_000_000_000) }
}

fn target(service: &str, instance: &str) -> Target {
    Target {
        namespace: "default".parse().unwrap(),
        service: service.parse().unwrap(),
        instance: instance.parse().unwrap(),
    }
}

fn leased(port: u16) -> Registration {
    Registration { ttl: Some(TTL), ..Registration::new(Host::parse("10.0.0.1").unwrap(), port) }
}

fn register(instance: &str, port: u16, lease: u64, held: Option<u64>) -> Command {
    let (registration, lease, held) = (Box::new(leased(port)), LeaseId(lease), held.map(LeaseId));
    ask(instance, Ask::Register { registration, lease, held })
}

fn ask(instance: &str, ask: Ask) -> Command {
    Command { target: target("cart", instance), actor: "test".into(), ask }
}

fn status(registry: &Registry, instance: &str) -> Option<Status> {
    registry.instance(&target("cart", instance)).map(|i| i.status)
}

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
fn an_old_process_cannot_touch_its_successor() {
    let mut registry = Registry::default();
    registry.apply(start(), register("a", 80, 1, None)).unwrap();
    registry.apply(start(), register("a", 80, 2, None)).unwrap();
    let stale = Err(Error::StaleLease(target("cart", "a")));
    assert_eq!(registry.apply(start(), Command::heartbeat(target("cart", "a"), LeaseId(1))), stale);
    assert_eq!(
        registry.heartbeat(start(), &target("cart", "a"), Some(LeaseId(1))).map(|_| ()),
        stale.clone().map(|_: Outcome| ())
    );
    let gone = ask("a", Ask::Deregister { held: Some(LeaseId(1)), reason: "stopping".into() });
    assert_eq!(registry.apply(start(), gone), stale);
    assert_eq!(registry.apply(start(), register("a", 99, 3, Some(1))), stale);
    assert_eq!(status(&registry, "a"), Some(Status::Up));
}

#[test]
fn a_lapsed_lease_is_down_then_recovers_by_a_heartbeat_or_is_forgotten() {
    let mut registry = Registry::default();
    registry.apply(start(), register("a", 80, 1, None)).unwrap();
    registry.apply(start(), register("b", 81, 2, None)).unwrap();
    let beat = start().after(TTL - Duration::from_nanos(1));
    assert_eq!(registry.heartbeat(beat, &target("cart", "b"), None), Ok(true));
    assert_eq!(registry.next_deadline(), Some(Mono(0) + TTL));

    let lapse = start().after(TTL);
    let changes = registry.advance(lapse);
    assert_eq!(changes.len(), 1);
    assert_eq!((status(&registry, "a"), status(&registry, "b")), (Some(Status::Down), Some(Status::Up)));
    assert_eq!(&*changes[0].cause.reason, "lease lapsed: no heartbeat for 15s");

    let late = Command::heartbeat(target("cart", "a"), LeaseId(1));
    assert_eq!(registry.heartbeat(lapse, &target("cart", "a"), None), Ok(false));
    assert_eq!(registry.apply(lapse, late.clone()).unwrap().change.unwrap().cause.action, Action::Recovered);
    assert_eq!(status(&registry, "a"), Some(Status::Up));

    let lapse = lapse.after(TTL);
    registry.advance(lapse);
    registry.advance(lapse.after(TTL * DEREGISTER_AFTER_TTLS));
    assert_eq!(registry.instance_count(), 0);
    assert_eq!(registry.apply(lapse, late), Err(Error::NotFound(target("cart", "a"))));
    assert_eq!(registry.next_deadline(), None);
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
        ("ttl", |r, _| r.ttl = Some(Duration::from_millis(1))),
        ("deregister_after", |r, _| (r.ttl, r.deregister_after) = (None, Some(TTL))),
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
fn metadata_services_and_broken_addresses_are_refused_in_every_spelling() {
    for bad in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
        "10.0.0.256",
        "",
        "a..b",
        "-a",
        "a/b",
        "a b",
        "user@host",
        "http://a",
        &"x".repeat(254),
    ] {
        assert!(Host::parse(bad).is_err(), "{bad:?} must be refused");
    }
    for good in ["127.0.0.1", "::1", "[::1]", "cart.internal", "CART", "my_container", "x1.example."] {
        assert!(Host::parse(good).is_ok(), "{good:?}");
    }
}

#[test]
fn a_key_stays_with_its_home_while_that_is_down() {
    let mut registry = Registry::default();
    for (name, lease) in [("a", 1), ("b", 2), ("c", 3)] {
        registry.apply(start(), register(name, 80, lease, None)).unwrap();
    }
    let (namespace, service) = ("default".parse().unwrap(), "cart".parse().unwrap());
    let owner = |registry: &Registry, key: &str| {
        registry.owner(start(), &namespace, &service, key.as_bytes()).unwrap()
    };
    let before: Vec<_> = (0..100).map(|i| owner(&registry, &format!("k{i}"))).collect();
    assert!(before.iter().all(|o| o.effective.as_ref() == Some(&o.home) && o.reason.is_empty()));
    let beat = start().after(Duration::from_secs(1));
    for name in ["b", "c"] {
        registry.heartbeat(beat, &target("cart", name), None).unwrap();
    }
    registry.advance(start().after(TTL));
    for (i, before) in before.iter().enumerate() {
        let now = owner(&registry, &format!("k{i}"));
        assert_eq!(now.home, before.home);
        assert_eq!(now.effective == before.effective, before.home.as_str() != "a");
        assert_eq!(now.reason.is_empty(), before.home.as_str() != "a");
    }
}

#[test]
fn a_watcher_misses_nothing_or_is_told_to_resync() {
    let mut registry = Registry::default();
    for port in 1..=10 {
        registry.apply(start(), register("a", port, 1, None)).unwrap();
    }
    let Since::Changes(changes) = registry.since(4, &Scope::All) else { panic!("still known") };
    assert_eq!(changes.iter().map(|c| c.revision).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
    assert_eq!(registry.since(10, &Scope::All), Since::Changes(vec![]));
    assert_eq!(registry.since(11, &Scope::All), Since::Resync, "from a future that was lost");
    let restored = Registry::restore(start(), registry.snapshot());
    assert_eq!(restored.since(9, &Scope::All), Since::Resync);
    assert_eq!(restored.since(10, &Scope::All), Since::Changes(vec![]));
}

#[derive(Debug, Clone)]
enum Step {
    Register { instance: u8, port: u16, with_lease: bool },
    Deregister { instance: u8 },
    Heartbeat { instance: u8 },
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8, 1..4_u16, any::<bool>()).prop_map(|(instance, port, with_lease)| Step::Register {
            instance,
            port,
            with_lease
        }),
        (0..4_u8).prop_map(|instance| Step::Deregister { instance }),
        (0..4_u8).prop_map(|instance| Step::Heartbeat { instance }),
        (1..200_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The plain reference: seconds of the last sign of life, and whether the lease has lapsed since.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    port: u16,
    seen: u64,
    down: bool,
}

fn plain_pass(plain: &mut BTreeMap<u8, Plain>, second: u64) {
    let ttl = TTL.as_secs();
    plain.retain(|_, p| {
        if !p.down && second >= p.seen + ttl {
            // The registry judges when it is advanced; its second deadline counts from then.
            (p.down, p.seen) = (true, second);
        } else if p.down && second >= p.seen + ttl * u64::from(DEREGISTER_AFTER_TTLS) {
            return false;
        }
        true
    });
}

proptest! {
    #[test]
    fn any_history_agrees_with_the_plain_reference_and_with_its_own_replay(steps in prop::collection::vec(step(), 1..60)) {
        let mut registry = Registry::default();
        let mut plain: BTreeMap<u8, Plain> = BTreeMap::new();
        let mut history: Vec<Change> = Vec::new();
        let mut second = 0;
        for (lease, step) in (1..).zip(steps) {
            let now = start().after(Duration::from_secs(second));
            let name = |instance: u8| format!("i{instance}");
            let current = |registry: &Registry, instance: u8| registry.instance(&target("cart", &name(instance))).map(|i| i.lease.0);
            let before = registry.revision();
            match step {
                Step::Register { instance, port, with_lease } => {
                    let held = current(&registry, instance).filter(|_| with_lease);
                    let outcome = registry.apply(now, register(&name(instance), port, lease, held)).unwrap();
                    prop_assert_eq!(outcome.created, !plain.contains_key(&instance));
                    history.extend(outcome.change);
                    plain.insert(instance, Plain { port, seen: second, down: false });
                }
                Step::Deregister { instance } => {
                    let gone = Ask::Deregister { held: None, reason: "r".into() };
                    let outcome = registry.apply(now, ask(&name(instance), gone));
                    prop_assert_eq!(outcome.is_ok(), plain.remove(&instance).is_some());
                    history.extend(outcome.ok().and_then(|o| o.change));
                }
                Step::Heartbeat { instance } => {
                    let target = target("cart", &name(instance));
                    let held = registry.instance(&target).map_or(LeaseId(0), |i| i.lease);
                    let outcome = registry.apply(now, Command::heartbeat(target, held));
                    prop_assert_eq!(outcome.is_ok(), plain.contains_key(&instance));
                    history.extend(outcome.ok().and_then(|o| o.change));
                    if let Some(p) = plain.get_mut(&instance) {
                        (p.seen, p.down) = (second, false);
                    }
                }
                Step::Pass { seconds } => {
                    second += seconds;
                    history.extend(registry.advance(start().after(Duration::from_secs(second))));
                    plain_pass(&mut plain, second);
                }
            }
            prop_assert!(registry.revision() >= before && registry.revision() <= before + 4);
            let seen: Vec<_> = registry.instances().map(|(t, i)| (t.instance.to_string(), i.registration.port, i.status)).collect();
            let expected: Vec<_> = plain.iter().map(|(i, p)| (name(*i), p.port, if p.down { Status::Down } else { Status::Up })).collect();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(registry.instance_count(), plain.len());
        }
        let mut replayed = Registry::default();
        for change in history {
            replayed.replay(start(), change);
        }
        prop_assert_eq!(replayed.revision(), registry.revision());
        prop_assert!(replayed.instances().eq(registry.instances()));
    }
}

//! When leases do not lapse, though nobody renews them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::select};

use super::*;

fn second(second: u64) -> Now {
    start().after(Duration::from_secs(second))
}

fn in_zone(zone: &str, instance: &str, checks: impl Into<Box<[Check]>>) -> Command {
    let registration = Registration { zone: Some(zone.into()), checks: checks.into(), ..leased(80) };
    Command::register(target("cart", instance), registration, LeaseId(1), "test")
}

/// A registry with as many instances of a zone, called `a0` and so on in zone `a`, registered one second
/// after the other so that their leases lapse in this order.
fn staggered(registry: &mut Registry, zone: &str, count: u64) {
    for i in 0..count {
        registry.apply(second(i), in_zone(zone, &format!("{zone}{i}"), [])).unwrap();
    }
}

/// Lets seconds pass one by one, and says what was noticed.
fn pass(registry: &mut Registry, from: u64, to: u64) -> Vec<(u64, Notice)> {
    let mut noticed = Vec::new();
    for at in from..=to {
        let now = second(at);
        noticed.extend(registry.tick(now).map(|notice| (at, notice)));
        let due = registry.due(now, usize::MAX);
        noticed.extend(due.notices.into_iter().map(|notice| (at, notice)));
        let mut draft = registry.draft();
        for command in due.commands {
            draft.apply(now, command).unwrap();
        }
        let batch = draft.finish();
        registry.commit(now, batch);
    }
    noticed
}

fn down(registry: &Registry) -> Vec<String> {
    let down = registry.instances().filter(|(_, instance)| instance.status == Status::Down);
    down.map(|(target, _)| target.instance.to_string()).collect()
}

fn zone(name: &str) -> Zone {
    Some(name.into())
}

#[test]
fn four_that_lapse_are_failures_of_instances_whatever_their_share() {
    let mut registry = Registry::default();
    staggered(&mut registry, "a", 4);
    assert_eq!(pass(&mut registry, 4, 30), []);
    assert_eq!(down(&registry), ["a0", "a1", "a2", "a3"]);
}

#[test]
fn the_fifth_protects_its_zone_and_takes_back_those_that_had_lapsed_before() {
    let mut registry = Registry::default();
    staggered(&mut registry, "a", 10);
    assert_eq!(pass(&mut registry, 10, 18), []);
    assert_eq!(down(&registry), ["a0", "a1", "a2", "a3"]);
    let began = Notice::ProtectionBegan { zone: zone("a"), late: 10, leases: 10 };
    assert_eq!(pass(&mut registry, 19, 60), [(19, began)]);
    assert_eq!(down(&registry), Vec::<String>::new());
    assert!(registry.is_protected(&zone("a")));
}

#[test]
fn five_of_many_are_no_third_of_their_zone() {
    let mut registry = Registry::default();
    for i in 0..20 {
        registry.apply(second(0), in_zone("a", &format!("a{i}"), [])).unwrap();
    }
    for at in 1..30 {
        for i in 5..20 {
            registry.heartbeat(second(at), &target("cart", &format!("a{i}")), None).unwrap();
        }
        assert_eq!(pass(&mut registry, at, at), []);
    }
    assert_eq!(down(&registry).len(), 5);
}

#[test]
fn a_zone_that_is_cut_off_leaves_the_lapses_of_others_alone() {
    let mut registry = Registry::default();
    for i in 0..10 {
        registry.apply(second(0), in_zone("a", &format!("a{i}"), [])).unwrap();
        registry.apply(second(0), in_zone("b", &format!("b{i}"), [])).unwrap();
    }
    for at in 1..40 {
        for i in 1..10 {
            registry.heartbeat(second(at), &target("cart", &format!("b{i}")), None).unwrap();
        }
        pass(&mut registry, at, at);
    }
    assert_eq!(down(&registry), ["b0"], "one of b went, and nothing is known of a");
    assert_eq!(registry.protected_zones().collect::<Vec<_>>(), [&zone("a")]);
}

#[test]
fn a_failed_check_and_a_deregistration_are_knowledge_and_go_through() {
    let mut registry = Registry::default();
    for i in 0..10 {
        registry.apply(second(0), in_zone("a", &format!("a{i}"), [Check::new(Probe::Tcp)])).unwrap();
    }
    pass(&mut registry, 1, 20);
    assert!(registry.is_protected(&zone("a")));
    let judge = |verdict| Ask::Judge { lease: LeaseId(1), check: Check::new(Probe::Tcp), verdict };
    registry.apply(second(20), ask("a0", judge(Verdict::failing("refused")))).unwrap();
    registry.apply(second(20), ask("a1", Ask::Deregister { held: None, reason: "r".into() })).unwrap();
    assert_eq!(down(&registry), ["a0"]);
    assert_eq!(registry.instance_count(), 9);
}

#[test]
fn it_ends_after_its_time_and_does_not_begin_again_before_the_zone_was_well() {
    let mut registry = Registry::default();
    staggered(&mut registry, "a", 10);
    let over = 19 + PROTECTED_MAX.as_secs();
    pass(&mut registry, 10, over - 1);
    assert_eq!(down(&registry), Vec::<String>::new());
    let ended = Notice::ProtectionEnded { zone: zone("a"), recovered: false };
    assert_eq!(pass(&mut registry, over, over + 20), [(over, ended)]);
    assert_eq!(down(&registry).len(), 10);

    // All come back, which is what it is to be well, and are cut off once more.
    let back = over + 20;
    for i in 0..10 {
        registry
            .apply(second(back), Command::heartbeat(target("cart", &format!("a{i}")), LeaseId(1)))
            .unwrap();
    }
    let noticed = pass(&mut registry, back, back + 30);
    assert!(matches!(noticed[..], [(_, Notice::ProtectionBegan { .. })]), "{noticed:?}");
    assert_eq!(down(&registry), Vec::<String>::new());
}

#[test]
fn once_most_are_back_whoever_is_still_late_has_one_ttl_more() {
    let mut registry = Registry::default();
    staggered(&mut registry, "a", 10);
    pass(&mut registry, 10, 40);
    for at in 41..80 {
        for i in 1..10 {
            registry.heartbeat(second(at), &target("cart", &format!("a{i}")), None).unwrap();
        }
        for (when, notice) in pass(&mut registry, at, at) {
            let expected = Notice::ProtectionEnded { zone: zone("a"), recovered: true };
            assert_eq!((when, notice), (41, expected));
        }
        let expected: &[&str] = if at < 41 + TTL.as_secs() { &[] } else { &["a0"] };
        assert_eq!(down(&registry), expected, "second {at}");
    }
}

#[test]
fn after_a_stall_or_a_jump_of_the_clock_every_lease_has_one_ttl_of_grace() {
    let stalls: [(Duration, Duration); 3] = [
        // Nobody looked.
        (Duration::from_secs(60), Duration::from_secs(60)),
        // The machine slept, or its clock was set, either way.
        (Duration::from_secs(1), Duration::from_secs(3_600)),
        (Duration::from_secs(1), Duration::ZERO),
    ];
    for (mono, wall) in stalls {
        let mut registry = Registry::default();
        for i in 0..3 {
            registry.apply(second(0), in_zone("a", &format!("a{i}"), [])).unwrap();
        }
        assert_eq!(pass(&mut registry, 1, 14), []);
        let before = second(14);
        // Set back by a minute, where the wall clock did not move on.
        let wall = if wall.is_zero() { before.wall - Duration::from_secs(60) } else { before.wall + wall };
        let after = Now { mono: before.mono + mono, wall };
        assert!(matches!(registry.tick(after), Some(Notice::Grace { gap }) if gap >= STALLED));
        assert_eq!(registry.advance(after).len(), 0, "nobody is struck off for our own absence");
        let almost = after.after(TTL - Duration::from_nanos(1));
        assert_eq!(registry.advance(almost).len(), 0);
        assert_eq!(registry.advance(after.after(TTL)).len(), 3);
    }
    let mut registry = Registry::default();
    registry.apply(second(0), in_zone("a", "a0", [])).unwrap();
    pass(&mut registry, 1, 15);
    registry.tick(second(100));
    assert_eq!(down(&registry), ["a0"], "what had lapsed before stays so");
}

/// What happens in a history.
#[derive(Debug, Clone)]
enum Step {
    /// No heartbeat of this zone comes through, or they do again.
    Cut(usize, bool),
    /// An instance dies, or comes back.
    Kill(usize, bool),
    Leave(usize),
    Wait(u64),
}

const ZONES: usize = 3;
const INSTANCES: usize = 24;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..ZONES, any::<bool>()).prop_map(|(zone, is_cut)| Step::Cut(zone, is_cut)),
        3 => (0..INSTANCES, prop::bool::weighted(0.6)).prop_map(|(at, is_dead)| Step::Kill(at, is_dead)),
        1 => (0..INSTANCES).prop_map(Step::Leave),
        6 => select(&[1_u64, 2, 5, 10, 20, 60, 300]).prop_map(Step::Wait),
    ]
}

/// A lease in whole seconds.
#[derive(Debug)]
struct Lease {
    zone: usize,
    ttl: u64,
    until: u64,
    lapsed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doubt {
    Protected { until: u64 },
    Spent,
}

/// The rule as its documentation has it, worked out anew each second.
#[derive(Debug, Default)]
struct Rule {
    leases: BTreeMap<usize, Lease>,
    doubts: BTreeMap<usize, Doubt>,
}

impl Rule {
    fn beat(&mut self, at: usize, second: u64) {
        let Some(lease) = self.leases.get_mut(&at) else { return };
        (lease.until, lease.lapsed) = (second + lease.ttl, None);
    }

    fn second(&mut self, now: u64) {
        for zone in 0..ZONES {
            let is_due = |lease: &Lease| lease.zone == zone && lease.lapsed.is_none() && lease.until <= now;
            let doubt = self.doubts.get(&zone).copied();
            if doubt.is_none() && !self.leases.values().any(is_due) {
                continue;
            }
            let of_late = |lease: &&Lease| {
                lease.zone == zone && (lease.lapsed.is_none() || lease.until + lease.ttl > now)
            };
            let leases: Vec<&Lease> = self.leases.values().filter(of_late).collect();
            let late = leases.iter().filter(|lease| lease.until <= now + lease.ttl / 2).count();
            let lapsed = leases.iter().filter(|lease| lease.until <= now).count();
            let is_doubtful = !leases.is_empty() && late * 3 >= leases.len();
            let doubt = match doubt {
                None if lapsed >= 5 && is_doubtful => {
                    for lease in self.leases.values_mut().filter(|lease| lease.zone == zone) {
                        lease.lapsed = lease.lapsed.filter(|_| lease.until + lease.ttl <= now);
                    }
                    Some(Doubt::Protected { until: now + 600 })
                }
                Some(Doubt::Protected { .. }) if !is_doubtful => {
                    for lease in self.leases.values_mut().filter(|lease| is_due(lease)) {
                        lease.until = now + lease.ttl;
                    }
                    None
                }
                Some(Doubt::Protected { until }) if until <= now => Some(Doubt::Spent),
                Some(Doubt::Spent) if !is_doubtful => None,
                doubt => doubt,
            };
            match doubt {
                Some(doubt) => self.doubts.insert(zone, doubt),
                None => self.doubts.remove(&zone),
            };
            if !matches!(doubt, Some(Doubt::Protected { .. })) {
                for lease in self.leases.values_mut().filter(|lease| is_due(lease)) {
                    lease.lapsed = Some(now);
                }
            }
        }
        self.leases.retain(|_, lease| lease.lapsed.is_none_or(|lapsed| now < lapsed + lease.ttl * 10));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn protection_follows_its_rule_whatever_is_cut_off_and_dies(steps in prop::collection::vec(step(), 1..40)) {
        let mut registry = Registry::default();
        let mut rule = Rule::default();
        let mut cut = [false; ZONES];
        let mut dead = [false; INSTANCES];
        let (name, mut now) = (|at: usize| target("cart", &format!("i{at:02}")), 0);
        for at in 0..INSTANCES {
            let (zone, ttl) = (at % ZONES, [6, 12, 18][at / ZONES % 3]);
            let registration = Registration {
                zone: Some(zone.to_string().into()),
                ttl: Some(Duration::from_secs(ttl).into()),
                ..leased(80)
            };
            registry.apply(second(0), Command::register(name(at), registration, LeaseId(1), "test")).unwrap();
            rule.leases.insert(at, Lease { zone, ttl, until: ttl, lapsed: None });
        }
        for step in steps {
            match step {
                Step::Cut(zone, is_cut) => cut[zone] = is_cut,
                Step::Kill(at, is_dead) => dead[at] = is_dead,
                Step::Leave(at) => {
                    let gone = Command {
                        target: name(at),
                        actor: "test".into(),
                        ask: Ask::Deregister { held: None, reason: "r".into() },
                    };
                    prop_assert_eq!(registry.apply(second(now), gone).is_ok(), rule.leases.remove(&at).is_some());
                }
                Step::Wait(seconds) => {
                    for at in now + 1..=now + seconds {
                        let beats = |i: &usize| {
                            let Some(lease) = rule.leases.get(i) else { return false };
                            let every = lease.ttl / 3;
                            !dead[*i] && !cut[lease.zone] && at % every == *i as u64 % every
                        };
                        let beating: Vec<usize> = (0..INSTANCES).filter(beats).collect();
                        for i in beating {
                            if registry.heartbeat(second(at), &name(i), None) == Ok(false) {
                                registry.apply(second(at), Command::heartbeat(name(i), LeaseId(1))).unwrap();
                            }
                            rule.beat(i, at);
                        }
                        let noticed = pass(&mut registry, at, at);
                        let stalls = noticed.iter().filter(|(_, notice)| matches!(notice, Notice::Grace { .. }));
                        prop_assert_eq!(stalls.count(), 0);
                        rule.second(at);
                        let there: BTreeSet<String> = rule.leases.keys().map(|i| name(*i).to_string()).collect();
                        let seen = registry.instances().map(|(target, _)| target.to_string()).collect();
                        prop_assert_eq!(there, seen, "second {}", at);
                        let lapsed = rule.leases.iter().filter(|(_, lease)| lease.lapsed.is_some());
                        let lapsed: Vec<String> = lapsed.map(|(i, _)| format!("i{i:02}")).collect();
                        prop_assert_eq!(down(&registry), lapsed, "second {}: {:?}", at, rule);
                        for zone in 0..ZONES {
                            let is_protected = matches!(rule.doubts.get(&zone), Some(Doubt::Protected { .. }));
                            let zone = Some(zone.to_string().into());
                            prop_assert_eq!(registry.is_protected(&zone), is_protected, "second {}", at);
                        }
                    }
                    now += seconds;
                }
            }
        }
    }
}

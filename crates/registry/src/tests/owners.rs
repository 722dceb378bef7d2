//! Who owns a key.

use std::collections::BTreeMap;

use hash_ring::Ring;
use identity::InstanceId;

use super::*;

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

/// A service of instances a to e of equal weight.
fn five() -> Registry {
    let mut registry = Registry::default();
    for (name, lease) in ["a", "b", "c", "d", "e"].into_iter().zip(1..) {
        registry.apply(start(), register(name, 80, lease, None)).unwrap();
    }
    registry
}

fn look_up(registry: &Registry, key: &str, lookup: &Lookup) -> Owner {
    let (namespace, service) = ("default".parse().unwrap(), "cart".parse().unwrap());
    registry.look_up(start(), &namespace, &service, key.as_bytes(), lookup).unwrap()
}

#[test]
fn every_algorithm_moves_only_the_keys_of_who_is_away_and_back_again() {
    let mut registry = five();
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    for algorithm in Algorithm::ALL {
        let lookup = Lookup { algorithm, bounded: None };
        let owners = |registry: &Registry| -> Vec<Owner> {
            keys.iter().map(|key| look_up(registry, key, &lookup)).collect()
        };
        let before = owners(&registry);
        let pin = Ask::Override { status: Pinned::Down, lasts: None, reason: "a test".into() };
        registry.apply(start(), ask("c", pin)).unwrap();
        let away = owners(&registry);
        for (before, away) in before.iter().zip(&away) {
            assert_eq!(before.home, away.home, "{algorithm}");
            let is_c = before.home.as_str() == "c";
            assert_eq!(before.effective != away.effective, is_c, "{algorithm}");
            assert_eq!(away.reason.starts_with("c is down; the next"), is_c, "{algorithm} {away:?}");
        }
        assert!(away.iter().any(|owner| owner.home.as_str() == "c"), "{algorithm}");
        registry.apply(start(), ask("c", Ask::Release { reason: "done".into() })).unwrap();
        assert_eq!(owners(&registry), before, "{algorithm}");
    }
    let homes = |algorithm| -> Vec<InstanceId> {
        keys.iter().map(|key| look_up(&registry, key, &Lookup { algorithm, bounded: None }).home).collect()
    };
    assert_ne!(homes(Algorithm::Ring), homes(Algorithm::Maglev));
    assert_ne!(homes(Algorithm::Ring), homes(Algorithm::Nearest));
}

#[test]
fn past_the_nearest_goes_to_the_nearest_of_the_others_in_either_direction() {
    let mut registry = five();
    let lookup = Lookup { algorithm: Algorithm::Nearest, bounded: None };
    let members = ["a", "b", "c", "d", "e"].map(|name| {
        let target = target("cart", name);
        (name, registry.instance(&target).map_or(0, |instance| instance.registration.weight))
    });
    let ring = Ring::new(members);
    let mut elsewhere = 0;
    for away in ["c", "e"] {
        let pin = Ask::Override { status: Pinned::Down, lasts: None, reason: "a test".into() };
        registry.apply(start(), ask(away, pin)).unwrap();
        let left = ring.without("c");
        let left = if away == "e" { left.without("e") } else { left };
        for key in (0..200).map(|n| format!("k{n}")) {
            let owner = look_up(&registry, &key, &lookup);
            assert_eq!(Some(owner.home.as_str()), ring.nearest(key.as_bytes()));
            assert_eq!(owner.effective.as_ref().map(|id| id.as_str()), left.nearest(key.as_bytes()), "{key}");
            elsewhere += u32::from(
                left.nearest(key.as_bytes()) != ring.walk(key.as_bytes()).find(|id| left.node(id).is_some()),
            );
        }
    }
    assert!(elsewhere > 50, "for {elsewhere} keys the circle goes another way");
}

#[test]
fn with_a_bound_nobody_is_given_more_than_his_part_of_the_calls() {
    for algorithm in Algorithm::ALL {
        let mut registry = five();
        let pin = Ask::Override { status: Pinned::Down, lasts: None, reason: "a test".into() };
        registry.apply(start(), ask("e", pin)).unwrap();
        let mut bounded = Bounded { bound: Bound::new(1.25).unwrap(), in_flight: Default::default() };
        for call in 1..=100_u32 {
            let lookup = Lookup { algorithm, bounded: Some(bounded.clone()) };
            // The most popular key there can be.
            let owner = look_up(&registry, "the-one", &lookup);
            let chosen = owner.effective.unwrap();
            assert_ne!(chosen.as_str(), "e", "it takes no calls, so it is no part of the mean");
            let load = bounded.in_flight.entry(chosen.clone()).or_default();
            *load += 1;
            assert!(f64::from(*load) <= (1.25 * f64::from(call) / 4.0).ceil(), "{algorithm} {call} {load}");
            if chosen != owner.home && owner.home.as_str() != "e" {
                assert!(owner.reason.contains("calls in flight"), "{}", owner.reason);
            }
        }
    }
}

#[test]
fn tables_are_kept_for_so_many_services_and_answered_for_all() {
    let mut registry = Registry::default();
    let services = 2 * crate::owner::TABLES_KEPT;
    for n in 0..services {
        let target = target(&format!("s{n}"), "a");
        registry.apply(start(), Command::register(target, leased(80), LeaseId(1), "t")).unwrap();
    }
    let lookup = Lookup { algorithm: Algorithm::Maglev, bounded: None };
    let namespace = "default".parse().unwrap();
    let kept = |registry: &Registry| registry.tables_kept.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..2 {
        for n in 0..services {
            let service = format!("s{n}").parse().unwrap();
            assert!(registry.look_up(start(), &namespace, &service, b"k", &lookup).is_some());
        }
        assert_eq!(kept(&registry), crate::owner::TABLES_KEPT);
    }
    for n in 0..services {
        let gone = Ask::Deregister { held: None, reason: "r".into() };
        let command = Command { target: target(&format!("s{n}"), "a"), actor: "t".into(), ask: gone };
        registry.apply(start(), command).unwrap();
    }
    assert_eq!(kept(&registry), 0);
}

#[test]
fn parts_are_the_shares_of_keys_by_every_algorithm() {
    let mut registry = five();
    let light = Registration { weight: 20, ..leased(80) };
    registry.apply(start(), Command::register(target("cart", "e"), light, LeaseId(9), "t")).unwrap();
    let none = Registration { weight: 0, ..leased(80) };
    registry.apply(start(), Command::register(target("cart", "f"), none, LeaseId(9), "t")).unwrap();
    let (namespace, service) = ("default".parse().unwrap(), "cart".parse().unwrap());
    for algorithm in Algorithm::ALL {
        let parts = registry.parts(&namespace, &service, algorithm).unwrap().count();
        assert!((parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-9, "{algorithm}");
        let lookup = Lookup { algorithm, bounded: None };
        const KEYS: usize = 20_000;
        let mut found: BTreeMap<InstanceId, usize> = BTreeMap::new();
        for n in 0..KEYS {
            *found.entry(look_up(&registry, &format!("key-{n}"), &lookup).home).or_default() += 1;
        }
        for part in &parts {
            let keys = found.get(&part.instance).copied().unwrap_or(0) as f64 / KEYS as f64;
            assert!((part.share - keys).abs() < 0.02, "{algorithm} {part:?} {keys}");
        }
        assert_eq!((parts[5].points, parts[5].share), (0, 0.0), "no weight, no keys");
        assert!(parts[4].points < parts[0].points);
    }
}

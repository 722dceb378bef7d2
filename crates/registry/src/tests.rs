//! Each test's name is the claim. Time is an argument; a plain map stands beside the registry.

use std::{collections::BTreeMap, time::Duration};

use identity::{Mono, Now, Wall};
use proptest::prelude::*;

use super::*;

mod hosts;
mod leases;
mod owners;
mod probes;
mod registrations;
mod watchers;

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

//! The ring of a service, whatever its members do.

use hash_ring::Ring;
use identity::{InstanceId, Namespace, ServiceName};
use proptest::prelude::*;

use super::*;

/// What happens to the members of a service, and to its ring.
#[derive(Debug, Clone)]
enum Step {
    /// This member comes, or changes its weight.
    Put(u8, u32),
    Remove(u8),
    /// Everybody goes, and with them the service.
    End,
    /// Somebody looks a key up.
    Ask,
    /// Somebody asks what is to be done before he does.
    Plan,
    /// He has done it.
    Keep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..30_u8, prop::sample::select(&[0_u32, 1, 100, 250])).prop_map(|(id, weight)| Step::Put(id, weight)),
        4 => (0..30_u8).prop_map(Step::Remove),
        1 => Just(Step::End),
        6 => Just(Step::Ask),
        3 => Just(Step::Plan),
        3 => Just(Step::Keep),
    ]
}

fn of() -> (Namespace, ServiceName) {
    ("default".parse().unwrap(), "cart".parse().unwrap())
}

fn weighed(weight: u32) -> Registration {
    Registration { weight, ..leased(80) }
}

fn put(registry: &mut Registry, instance: &str, weight: u32) {
    let target = target("cart", instance);
    registry.apply(start(), Command::register(target, weighed(weight), LeaseId(1), "test")).unwrap();
}

/// The ring as one would build it now.
fn plain(registry: &Registry) -> Ring {
    Ring::new(registry.instances().map(|(target, of)| (target.instance.as_str(), of.registration.weight)))
}

fn ring(registry: &Registry) -> Option<std::sync::Arc<Ring>> {
    let (namespace, service) = of();
    registry.service_at(&namespace, &service).map(|service| registry.ring(service))
}

/// Whether the ring is the one that would be built now.
fn is_kept_up(registry: &Registry) -> bool {
    match ring(registry) {
        Some(ring) => *ring == plain(registry),
        None => registry.instance_count() == 0,
    }
}

/// A plan, also where it is little work.
fn plan(registry: &Registry) -> Option<Plan> {
    let (namespace, service) = of();
    registry.plan_of(&namespace, &service)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_ring_that_is_kept_up_is_the_one_that_would_be_built(steps in prop::collection::vec(step(), 1..80)) {
        let mut registry = Registry::default();
        let mut plans: Vec<Plan> = Vec::new();
        for step in steps {
            match step {
                Step::Put(id, weight) => put(&mut registry, &format!("i{id}"), weight),
                Step::Remove(id) => {
                    let gone = Ask::Deregister { held: None, reason: "r".into() };
                    let _ = registry.apply(start(), ask(&format!("i{id}"), gone));
                }
                Step::End => {
                    let all: Vec<InstanceId> = registry.instances().map(|(t, _)| t.instance.clone()).collect();
                    for id in all {
                        let gone = Ask::Deregister { held: None, reason: "r".into() };
                        registry.apply(start(), ask(id.as_str(), gone)).unwrap();
                    }
                }
                Step::Ask => {
                    prop_assert!(is_kept_up(&registry), "{registry:?}");
                }
                Step::Plan => plans.extend(plan(&registry)),
                // Perhaps one that is long out of date, and of a service that has gone since.
                Step::Keep => if !plans.is_empty() {
                    registry.keep_ring(&plans.swap_remove(0).make());
                }
            }
        }
        prop_assert!(is_kept_up(&registry), "{registry:?}");
    }
}

#[test]
fn what_is_little_work_is_done_at_once_and_what_is_much_is_planned() {
    let (namespace, service) = of();
    let mut registry = Registry::default();
    assert!(registry.plan(&namespace, &service).is_none(), "there is no such service");
    for n in 0..3 {
        put(&mut registry, &format!("big{n}"), 10_000);
    }
    assert!(registry.plan(&namespace, &service).is_none(), "48,000 points are soon there");
    assert!(ring(&registry).is_some());
    for n in 3..30 {
        put(&mut registry, &format!("big{n}"), 10_000);
    }
    let made = registry.plan(&namespace, &service).expect("480,000 points take their time").make();
    assert_eq!(**made.ring(), plain(&registry));
    // Who has it made can look up on it, whatever has changed since.
    let gone = Ask::Deregister { held: None, reason: "r".into() };
    registry.apply(start(), ask("big7", gone)).unwrap();
    let owner = |key: &[u8]| registry.look_up_on(&made, start(), key, &Lookup::default()).unwrap().home;
    let left = plain(&registry);
    for key in (0..100_u32).map(u32::to_le_bytes) {
        assert_eq!(Some(owner(&key).as_str()), left.owner(&key));
    }
    registry.keep_ring(&made);
    assert!(registry.plan(&namespace, &service).is_none(), "one change costs a thirtieth of the whole");
    assert_eq!(*ring(&registry).unwrap(), left);
    assert!(
        registry.plan(&namespace, &service).is_none() && registry.plan_of(&namespace, &service).is_none()
    );
}

#[test]
fn many_changes_after_each_other_make_one_ring_and_not_one_each() {
    let mut registry = Registry::default();
    let (namespace, service) = of();
    put(&mut registry, "first", 100);
    assert!(ring(&registry).is_some());
    let steps = |registry: &Registry| match registry.plan_of(&namespace, &service) {
        Some(plan) => plan.steps(),
        None => Some(0),
    };
    assert_eq!(steps(&registry), Some(0));
    for n in 0..10 {
        put(&mut registry, "second", 100 + n);
    }
    assert_eq!(steps(&registry), Some(1), "what it weighs now says all");
    for n in 0..100 {
        put(&mut registry, &format!("i{n}"), 100);
    }
    assert_eq!(steps(&registry), None, "building anew is less");
    assert_eq!(*ring(&registry).unwrap(), plain(&registry));
}

//! Random lives.

use proptest::prelude::*;
use storage_disk::Fault;

use super::world::{World, small, with_zeros};
use crate::Settings;

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Snapshot,
    Reopen,
    Kill,
    Crash,
    /// A fault a few operations from now, for a while.
    Fail {
        after: u64,
        length: u64,
        fault: Fault,
    },
    Heal,
    Room(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        3 => Just(Fault::Error),
        2 => Just(Fault::Torn),
        1 => Just(Fault::Short),
        1 => Just(Fault::NoSpace),
        1 => Just(Fault::Crash)
    ];
    prop_oneof![
        10 => (1..5_u64).prop_map(Step::Append),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => Just(Step::Crash),
        3 => (0..12_u64, 1..8_u64, fault).prop_map(|(after, length, fault)| Step::Fail { after, length, fault }),
        2 => Just(Step::Heal),
        1 => proptest::option::of(0..600_u64).prop_map(Step::Room),
    ]
}

/// One life; every opening checks what it finds.
fn check(seed: u64, settings: Settings, steps: Vec<Step>) {
    let mut world = World::new(seed, settings);
    world.open();
    for step in steps {
        match step {
            Step::Append(count) => {
                let _ = world.append(count);
            }
            Step::Snapshot => {
                world.snapshot();
            }
            Step::Reopen => {
                world.open();
            }
            Step::Kill => world.kill(),
            Step::Crash => world.crash(),
            Step::Fail { after, length, fault } => {
                let from = world.disk.operations() + after;
                world.disk.fail(from..from + length, fault);
            }
            Step::Heal => world.disk.heal(),
            Step::Room(bytes) => world.disk.set_room(bytes.map(|bytes| world.disk.used_bytes() + bytes)),
        }
        if world.journal.is_none() {
            world.open();
        }
    }
    world.crash();
    world.disk.set_room(None);
    assert!(world.open());
    world.append(1).unwrap();
    world.crash();
    assert!(world.open());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_is_recovered_is_submitted_whatever_happens(
        seed in any::<u64>(),
        zeros in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        check(seed, if zeros { with_zeros() } else { small() }, steps);
    }
}

//! Every fault at every operation.

use storage_disk::Fault;

use super::world::{World, small, with_zeros};
use crate::{AppendError, Settings};

/// A life of a journal: appends, batches, snapshots, a restart.
fn live(world: &mut World) {
    world.open();
    for round in 0..3 {
        for count in [1, 3, 1, 1, 1] {
            let _ = world.append(count);
        }
        if round != 1 {
            world.snapshot();
        }
        let _ = world.append(1);
    }
    world.open();
    let _ = world.append(1);
    let _ = world.append(2);
}

/// Whatever happened before: the journal opens, has all it must have, takes more, and keeps that.
fn check_afterwards(world: &mut World) {
    assert!(world.open());
    world.append(1).unwrap();
    world.append(2).unwrap();
    world.crash();
    assert!(world.open());
    world.append(1).unwrap();
    world.kill();
    assert!(world.open());
}

fn operations(settings: Settings) -> u64 {
    let mut world = World::new(0, settings);
    live(&mut world);
    world.disk.operations()
}

fn check_everywhere(fault: Fault, length: u64, seeds: u64, end: fn(&mut World)) {
    for settings in [small(), with_zeros()] {
        for index in 0..operations(settings.clone()) + length {
            for seed in 0..seeds {
                let mut world = World::new(seed * 1000 + index, settings.clone());
                world.disk.fail(index..index + length, fault);
                live(&mut world);
                end(&mut world);
                check_afterwards(&mut world);
            }
        }
    }
}

#[test]
fn a_loss_of_power_at_any_operation_loses_nothing_acknowledged() {
    check_everywhere(Fault::Crash, 1, 6, World::crash);
}

#[test]
fn a_kill_at_any_operation_loses_nothing_acknowledged() {
    check_everywhere(Fault::Crash, 1, 2, World::kill);
}

#[test]
fn an_error_at_any_operation_loses_nothing_acknowledged() {
    for length in [1, 4] {
        check_everywhere(Fault::Error, length, 1, World::crash);
        check_everywhere(Fault::Error, length, 1, World::kill);
    }
}

#[test]
fn a_torn_write_at_any_operation_loses_nothing_acknowledged() {
    for length in [1, 4] {
        check_everywhere(Fault::Torn, length, 1, World::crash);
        check_everywhere(Fault::Torn, length, 1, World::kill);
    }
}

#[test]
fn short_writes_lose_nothing_and_fail_nothing() {
    let mut world = World::new(1, small());
    world.disk.fail(0.., Fault::Short);
    live(&mut world);
    assert_eq!(world.journal().stats().failures, 0);
    world.crash();
    check_afterwards(&mut world);
}

#[test]
fn a_full_disk_at_any_operation_loses_nothing_acknowledged() {
    for length in [1, 9] {
        check_everywhere(Fault::NoSpace, length, 1, World::crash);
    }
}

#[test]
fn a_full_disk_fails_appends_keeps_reading_and_heals_by_itself() {
    let mut world = World::new(1, small());
    world.open();
    world.append(1).unwrap();
    let before = world.journal().segments();
    for room in [0, 1, 20, 60, 150] {
        world.disk.set_room(Some(world.disk.used_bytes() + room));
        let refused = (0..20).find_map(|_| world.append(2).err()).unwrap();
        assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
        assert!(refused.to_string().contains("free some space"), "{refused}");
        assert!(world.journal().stats().failing.is_some());
        let mut read = 0;
        world
            .journal()
            .read(before[0].number, &mut |_, _, _| {
                read += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert!(read > 0);
        world.disk.set_room(None);
        world.append(1).unwrap();
        assert_eq!(world.journal().stats().failing, None);
    }
    check_afterwards(&mut world);
}

#[test]
fn a_journal_opens_and_reads_on_a_full_disk() {
    let mut world = World::new(1, small());
    world.open();
    world.append(5).unwrap();
    world.crash();
    world.disk.set_room(Some(0));
    assert!(world.open());
    assert!(matches!(world.append(1), Err(AppendError::Full { .. })));
    world.disk.set_room(None);
    check_afterwards(&mut world);
}

#[test]
fn the_reserve_is_left_to_others() {
    let mut world = World::new(1, Settings { reserve_bytes: 1000, ..small() });
    world.disk.set_room(Some(1500));
    world.open();
    let refused = (0..50).find_map(|_| world.append(1).err()).unwrap();
    assert!(matches!(refused, AppendError::Full { reserve: 1000, .. }), "{refused}");
    assert!(world.disk.used_bytes() < 600);
    world.journal().append_from_reserve(super::world::KIND, super::world::payload(100)).wait().unwrap();
    world.disk.set_room(None);
    world.append(1).unwrap();
}

#[test]
fn a_failed_sync_gives_the_segment_up() {
    let mut world = World::new(1, Settings::default());
    world.open();
    let first = world.append(1).unwrap();
    let next = world.disk.operations();
    world.disk.fail(next + 1..=next + 1, Fault::Error);
    let refused = world.append(1).unwrap_err();
    assert!(matches!(refused, AppendError::Disk { action: "sync", .. }), "{refused}");
    let second = world.append(1).unwrap();
    assert_eq!((second.segment, second.record), (first.segment + 1, first.record + 1));
    check_afterwards(&mut world);
}

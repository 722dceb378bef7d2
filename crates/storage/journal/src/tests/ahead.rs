//! Zeros ahead of the groups: they are there, they count, and nobody takes them for anything else.

use std::path::PathBuf;

use storage_disk::{Disk, Fault, FaultyDisk, Open};

use super::world::{KIND, World, folder, open, payload, with_zeros};
use crate::format::{MARK_FILE, segment_path};
use crate::{AppendError, OpenError, Settings};

/// The newest segment: its file's length, and how much of it is committed.
fn lengths(world: &World) -> (u64, u64) {
    let newest = world.journal().segments().last().copied().unwrap();
    let path = segment_path(folder(), newest.number);
    (world.disk.open(&path, Open::Read).unwrap().len().unwrap(), newest.bytes)
}

/// A world whose newest segment ends with zeros, which came with the last record.
fn ahead(settings: Settings) -> World {
    let mut world = World::new(1, settings);
    world.open();
    for _ in 0..20 {
        world.append(1).unwrap();
        let (length, committed) = lengths(&world);
        if length > committed {
            return world;
        }
    }
    panic!("no zeros are written ahead");
}

#[test]
fn groups_are_written_over_zeros_and_the_file_grows_now_and_then() {
    let settings = Settings { ahead_bytes: 4096, ..Settings::default() };
    let mut world = World::new(1, settings);
    world.open();
    let mut grown = Vec::new();
    let mut last = 0;
    for _ in 0..400 {
        world.append(1).unwrap();
        let (length, committed) = lengths(&world);
        assert!(length >= committed && length - committed <= 4096.min(committed), "{committed} of {length}");
        assert_eq!(world.journal().bytes(), length, "the zeros are counted");
        if length != last {
            grown.push(length - last);
        }
        last = length;
    }
    assert!(grown.len() < 25, "of 400 groups, {} made the file longer: {grown:?}", grown.len());
    world.crash();
    assert!(world.open());
}

#[test]
fn a_journal_that_holds_little_takes_no_more_than_it_holds() {
    let mut world = World::new(1, Settings::default());
    world.open();
    for _ in 0..50 {
        world.append(1).unwrap();
        let (length, committed) = lengths(&world);
        assert_eq!(length, committed);
    }
}

#[test]
fn large_groups_make_the_file_longer_by_themselves() {
    let mut world = World::new(1, Settings { ahead_bytes: 4096, ..Settings::default() });
    world.open();
    for _ in 0..20 {
        world.journal().append(KIND, [7; 2000]).wait().unwrap();
        let (length, committed) = lengths(&world);
        assert_eq!(length, committed);
    }
}

#[test]
fn zeros_end_with_their_segment() {
    let world = ahead(with_zeros());
    world.journal().rotate().wait().unwrap();
    let on_disk = |world: &World| {
        let is_segment = |(path, _): &(PathBuf, u64)| path.extension().is_some_and(|it| it == "journal");
        world.disk.files().into_iter().filter(is_segment).map(|(_, length)| length).collect::<Vec<_>>()
    };
    let committed = |world: &World| world.journal().segments().iter().map(|of| of.bytes).collect::<Vec<_>>();
    assert_eq!(on_disk(&world), committed(&world), "a segment that is followed by another");
    let bytes = world.journal().bytes();
    assert_eq!(bytes, committed(&world).iter().sum::<u64>());

    let mut world = ahead(with_zeros());
    let expected = committed(&world);
    world.journal().close();
    assert_eq!(on_disk(&world), expected, "a journal that is closed");
    world.open();
    assert_eq!(world.append(1).unwrap().segment, 1, "it goes on in the same segment");
}

#[test]
fn zeros_that_a_killed_process_left_are_the_end_and_its_segment_is_continued() {
    let mut world = ahead(with_zeros());
    let (_, committed) = lengths(&world);
    world.kill();
    let (journal, recovery, ids) = open(&world.disk.copy(), with_zeros()).unwrap();
    assert_eq!((ids, recovery.torn_bytes), (world.state.clone(), 0));
    assert_eq!((journal.bytes(), journal.segments()[0].bytes), (committed, committed));
    drop(journal);
    world.open();
    assert_eq!(world.append(1).unwrap().segment, 1, "nothing of it is in doubt");
    world.crash();
    assert!(world.open());
}

#[test]
fn a_kill_between_the_group_and_its_zeros_or_before_its_sync_takes_nothing_away() {
    let before = ahead(with_zeros()).state.len() - 1;
    // One operation more each time: the group's write, its zeros, the sync, the mark.
    for done in 0..4 {
        for end in [World::kill, World::crash] {
            let mut world = World::new(done, with_zeros());
            world.open();
            for _ in 0..before {
                world.append(1).unwrap();
            }
            let next = world.disk.operations();
            world.disk.fail(next + done.., Fault::Crash);
            assert_eq!(world.append(1).is_ok(), done == 3, "the sync decides");
            end(&mut world);
            assert!(world.open());
            world.append(1).unwrap();
            world.crash();
            assert!(world.open());
        }
    }
}

#[test]
fn zeros_where_something_was_acknowledged_are_damage() {
    let mut world = ahead(with_zeros());
    world.append(1).unwrap();
    let (length, committed) = lengths(&world);
    assert!(length > committed);
    world.kill();
    let path = segment_path(folder(), 1);
    let last = payload(*world.state.last().unwrap()).len() as u64 + 33;
    let file = world.disk.open(&path, Open::Write).unwrap();
    file.write_all_at(&vec![0; last as usize], committed - last).unwrap();
    let refused = open(&world.disk, with_zeros()).unwrap_err();
    assert!(refused.to_string().contains("before the committed length"), "{refused}");
    // Without the mark nothing says so, as where the file ends there.
    world.disk.remove(&folder().join(MARK_FILE)).unwrap();
    let kept = world.state.len() - 1;
    assert_eq!(open(&world.disk, with_zeros()).unwrap().2, world.state[..kept]);
}

#[test]
fn a_bit_among_the_zeros_is_a_torn_end_and_loses_nothing() {
    let mut world = ahead(with_zeros());
    let (length, committed) = lengths(&world);
    world.kill();
    for byte in committed..length {
        let disk = world.disk.copy();
        assert!(disk.flip(&segment_path(folder(), 1), byte * 8));
        let (journal, recovery, ids) = open(&disk, with_zeros()).unwrap();
        assert_eq!((&ids, recovery.torn_bytes), (&world.state, length - committed));
        let appended = journal.append(KIND, payload(1000)).wait().unwrap();
        assert_eq!(appended.segment, 2, "what is not understood is left alone");
    }
}

#[test]
fn a_full_disk_takes_the_zeros_back_and_groups_go_on() {
    let settings = Settings { ahead_bytes: 4096, ..Settings::default() };
    let mut world = World::new(1, settings.clone());
    world.open();
    while world.journal().bytes() < 1500 {
        world.append(1).unwrap();
    }
    // Room for the groups that follow, and for a part of any zeros behind them.
    let (before, committed) = lengths(&world);
    let zeros = before - committed;
    world.disk.set_room(Some(world.disk.used_bytes() + 1200));
    let mut appended = 0;
    let refused = loop {
        match world.append(1) {
            Ok(_) => appended += 1,
            Err(refused) => break refused,
        }
        let (length, committed) = lengths(&world);
        assert!(length == before || length == committed, "{length} with {committed} committed");
    };
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
    // A record takes at most 80 bytes: nothing but the groups has taken the room.
    assert!(appended >= (1200 + zeros) / 80, "only {appended} after {zeros} zeros");
    world.disk.set_room(None);
    world.append(1).unwrap();
    assert_eq!(world.journal().stats().failing, None);
    world.kill();
    assert!(world.open());
}

#[test]
fn zeros_do_not_take_the_reserve_of_others() {
    let reserve_bytes = 2000;
    let mut world = World::new(1, Settings { ahead_bytes: 4096, reserve_bytes, ..Settings::default() });
    world.disk.set_room(Some(5000));
    world.open();
    let refused = (0..200).find_map(|_| {
        let refused = world.append(1).err();
        let free = world.disk.free_bytes(folder()).unwrap();
        assert!(free + 81 >= reserve_bytes, "{free} are free");
        refused
    });
    assert!(matches!(refused, Some(AppendError::Full { .. })), "{refused:?}");
}

#[test]
fn a_journal_without_zeros_reads_one_with_them_and_back() {
    let without = || Settings { ahead_bytes: 0, ..with_zeros() };
    let mut world = ahead(with_zeros());
    for settings in [without(), with_zeros(), without()] {
        world.kill();
        world.settings = settings;
        assert!(world.open());
        world.append(3).unwrap();
    }
    let disk: FaultyDisk = world.disk.crash();
    assert!(!matches!(open(&disk, without()), Err(OpenError::Damaged(_))));
}

//! How old records go.

use super::world::{KIND, World, open, origins, payload, small};
use crate::{History, Origin, Position, ReadError, Settings, SnapshotError};

#[test]
fn a_snapshot_takes_the_place_of_what_came_before_it() {
    let mut world = World::new(1, small());
    world.open();
    for _ in 0..20 {
        world.append(1).unwrap();
    }
    let before = world.journal().bytes();
    let mut snapshot = world.journal().begin_snapshot().unwrap();
    // Appends go on meanwhile and are not covered.
    world.journal().append(KIND, payload(21)).wait().unwrap();
    for id in 1..=20 {
        snapshot.write(KIND, &payload(id)).unwrap();
    }
    assert!(world.journal().segments().len() > 2, "nothing is removed before it is finished");
    let info = snapshot.finish().unwrap();
    assert_eq!((info.records, info.removed_bytes), (20, before));
    assert_eq!(world.journal().segments().len(), 1);
    world.journal = None;
    let found = origins(&world.disk.crash(), small());
    assert_eq!(found.len(), 21);
    assert!(found[..20].iter().all(|(origin, _)| *origin == Origin::Snapshot));
    assert_eq!(found[20], (Origin::Segment(info.segment), 21));
}

#[test]
fn a_second_snapshot_replaces_the_first() {
    let mut world = World::new(1, small());
    world.open();
    for _ in 0..3 {
        world.append(5).unwrap();
        assert!(world.snapshot());
        assert!(world.snapshot(), "also when nothing came between");
    }
    let names: Vec<String> = world
        .disk
        .files()
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into())
        .collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".snapshot")).count(), 1, "{names:?}");
    world.crash();
    world.open();
}

#[test]
fn an_unfinished_snapshot_leaves_everything_as_it_was() {
    let mut world = World::new(1, small());
    world.open();
    world.append(9).unwrap();
    let mut snapshot = world.journal().begin_snapshot().unwrap();
    snapshot.write(KIND, &payload(1)).unwrap();
    assert!(matches!(world.journal().begin_snapshot(), Err(SnapshotError::Busy)));
    drop(snapshot);
    assert!(world.disk.files().iter().all(|(path, _)| path.extension().is_none_or(|it| it != "tmp")));
    assert!(world.snapshot());
    world.crash();
    world.open();
}

#[test]
fn an_empty_state_is_a_snapshot_too() {
    let mut world = World::new(1, small());
    world.open();
    world.journal().begin_snapshot().unwrap().finish().unwrap();
    world.append(1).unwrap();
    world.crash();
    world.open();
    assert_eq!(world.state, [1]);
}

#[test]
fn a_large_snapshot_is_written_in_groups() {
    let disk = storage_disk::FaultyDisk::new(1);
    let (journal, _, _) = open(&disk, Settings::default()).unwrap();
    let mut snapshot = journal.begin_snapshot().unwrap();
    let ids = 1..=20_000;
    for id in ids.clone() {
        snapshot.write(KIND, &payload(id)).unwrap();
    }
    assert!(snapshot.finish().unwrap().bytes > 400_000);
    drop(journal);
    let (_, recovery, found) = open(&disk.crash(), Settings::default()).unwrap();
    assert_eq!((recovery.snapshot_records, found), (20_000, ids.collect()));
}

#[test]
fn a_window_forgets_its_oldest_segments_but_never_the_newest() {
    let window = Settings { history: History::Window, ..small() };
    let mut world = World::new(1, window.clone());
    world.open();
    for _ in 0..30 {
        world.append(1).unwrap();
    }
    assert!(matches!(world.journal().begin_snapshot(), Err(SnapshotError::NotKept)));
    let segments = world.journal().segments();
    let removed = world.journal().remove_before(segments[2].number);
    assert_eq!(removed, segments[0].bytes + segments[1].bytes);
    assert_eq!(world.journal().segments(), segments[2..]);
    let gone = world.journal().read(segments[0].number, &mut |_, _, _| std::ops::ControlFlow::Continue(()));
    assert!(matches!(gone, Err(ReadError::NotFound(_))));
    world.journal().remove_before(u64::MAX);
    assert_eq!(world.journal().segments().len(), 1);
    let survivor = world.disk.crash();
    let (_, recovery, ids) = open(&survivor, window).unwrap();
    assert_eq!((ids.last(), recovery.damaged), (Some(&30), vec![]));
}

#[test]
fn a_window_forgets_its_newest_segment_once_another_has_begun() {
    let window = Settings { history: History::Window, ..Settings::default() };
    let mut world = World::new(1, window.clone());
    world.open();
    world.append(1).unwrap();
    let next = Position { segment: 2, record: 2 };
    for _ in 0..2 {
        assert_eq!(world.journal().rotate().wait(), Ok(next), "an empty one stays the newest");
    }
    assert!(world.journal().remove_before(2) > 0);
    assert_eq!(world.append(1), Ok(next));
    let (_, recovery, ids) = open(&world.disk.crash(), window).unwrap();
    assert_eq!((ids, recovery.damaged), (vec![2], vec![]));
}

#[test]
fn a_journal_with_snapshots_does_not_forget_by_age() {
    let mut world = World::new(1, small());
    world.open();
    for _ in 0..30 {
        world.append(1).unwrap();
    }
    assert_eq!(world.journal().remove_before(u64::MAX), 0);
    assert!(world.journal().segments().len() > 1);
}

#[test]
fn what_a_snapshot_covers_goes_only_after_its_name_is_durable() {
    use storage_disk::Fault;
    // The snapshot's last step fails, the process is killed, and the next one loses power early.
    for failing in 8..14 {
        for crashing in 1..4 {
            for seed in 0..20 {
                let mut world = World::new(seed * 100 + failing * 10 + crashing, small());
                world.open();
                world.append(4).unwrap();
                world.append(4).unwrap();
                let next = world.disk.operations();
                world.disk.fail(next + failing..=next + failing, Fault::Error);
                world.snapshot();
                world.kill();
                world.disk.fail(crashing.., Fault::Crash);
                world.open();
                world.crash();
                assert!(world.open());
            }
        }
    }
}

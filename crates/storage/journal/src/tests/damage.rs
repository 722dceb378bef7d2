//! Every cut and every flipped bit.

use std::path::PathBuf;

use storage_disk::FaultyDisk;

use super::world::{World, open};
use crate::{History, OnDamage, OpenError, Settings};

/// A small journal with a snapshot and several segments, closed in good order; and its records.
fn sound(history: History) -> (FaultyDisk, Vec<u64>) {
    let mut world = World::new(1, settings(history, OnDamage::Refuse));
    world.open();
    for _ in 0..2 {
        world.append(2).unwrap();
    }
    if history == History::Snapshots {
        assert!(world.snapshot());
    }
    for _ in 0..4 {
        world.append(1).unwrap();
    }
    world.journal = None;
    assert!(world.disk.files().len() >= 4, "{:?}", world.disk.files());
    (world.disk, world.state)
}

fn settings(history: History, on_damage: OnDamage) -> Settings {
    Settings { history, on_damage, segment_bytes: 150, ..Settings::default() }
}

/// Whatever was done to the disk: everything is there, or the loss is loud.
fn check_refusing(disk: &FaultyDisk, history: History, all: &[u64], what: &str) -> bool {
    let files = disk.files();
    match open(disk, settings(history, OnDamage::Refuse)) {
        Ok((_, _, ids)) => assert_eq!(ids, all, "{what}: a silent loss"),
        Err(OpenError::Damaged(damage)) => {
            assert!(!damage.is_empty());
            assert_eq!((disk.files(), disk.operations()), (files, 0), "{what}: the folder was touched");
            return true;
        }
        Err(other) => panic!("{what}: {other}"),
    }
    false
}

/// The same, for those who take what is left: it opens, says what is lost, and goes on.
fn check_skipping(disk: &FaultyDisk, history: History, all: &[u64], what: &str) {
    let (journal, recovery, ids) = open(disk, settings(history, OnDamage::SkipRest)).unwrap();
    assert!(ids.iter().all(|id| all.contains(id)), "{what}: made up");
    assert!(ids == all || !recovery.damaged.is_empty(), "{what}: a silent loss");
    journal.append(super::world::KIND, super::world::payload(1000)).wait().unwrap();
    drop(journal);
    let (_, _, again) = open(&disk.crash(), settings(history, OnDamage::SkipRest)).unwrap();
    assert_eq!(again, [&ids[..], &[1000]].concat(), "{what}: what was left is lost later");
}

fn check_all(
    history: History,
    damages: impl Fn(&(PathBuf, u64)) -> Vec<u64>,
    apply: fn(&FaultyDisk, &PathBuf, u64),
) {
    let (disk, all) = sound(history);
    let mut loud = 0;
    for file in disk.files() {
        for at in damages(&file) {
            let what = format!("{} at {at}", file.0.display());
            let damaged = disk.copy();
            apply(&damaged, &file.0, at);
            loud += u64::from(check_refusing(&damaged, history, &all, &what));
            // The checksum that refuses is the same; one bit a byte keeps the test short.
            if at % 8 == at / 8 % 8 {
                check_skipping(&damaged, history, &all, &what);
            }
        }
    }
    assert!(loud > 0, "no damage was noticed");
}

#[test]
fn a_cut_at_any_byte_is_harmless_or_loud() {
    for history in [History::Snapshots, History::Window] {
        check_all(
            history,
            |(_, length)| (0..*length).collect(),
            |disk, path, at| {
                assert!(disk.cut(path, at));
            },
        );
    }
}

#[test]
fn a_flip_of_any_bit_is_harmless_or_loud() {
    for history in [History::Snapshots, History::Window] {
        check_all(
            history,
            |(_, length)| (0..*length * 8).collect(),
            |disk, path, at| {
                assert!(disk.flip(path, at));
            },
        );
    }
}

#[test]
fn a_missing_file_is_harmless_or_loud() {
    use storage_disk::Disk;
    let remove = |disk: &FaultyDisk, path: &PathBuf, _: u64| {
        let copy = disk.remove(path);
        copy.unwrap();
    };
    let (disk, all) = sound(History::Snapshots);
    for (path, _) in disk.files() {
        let damaged = disk.copy();
        remove(&damaged, &path, 0);
        // The removal itself was an operation.
        let damaged = damaged.copy();
        let is_loud = check_refusing(&damaged, History::Snapshots, &all, &path.display().to_string());
        assert_eq!(is_loud, !path.ends_with("committed"), "{}", path.display());
    }
}

#[test]
fn zeros_and_rubbish_after_the_end_are_a_torn_write() {
    for rubbish in [vec![0; 1000], vec![0xa5; 1000], b"bwjournl".repeat(30)] {
        use storage_disk::{Disk, Open};
        let (disk, all) = sound(History::Snapshots);
        let segments: Vec<_> = disk
            .files()
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|it| it == "journal"))
            .collect();
        let (last, length) = segments.last().unwrap();
        disk.open(last, Open::Write).unwrap().write_all_at(&rubbish, *length).unwrap();
        let (journal, recovery, ids) = open(&disk, settings(History::Snapshots, OnDamage::Refuse)).unwrap();
        let is_zero = rubbish.iter().all(|byte| *byte == 0);
        assert_eq!((ids, recovery.torn_bytes), (all, if is_zero { 0 } else { rubbish.len() as u64 }));
        journal.append(super::world::KIND, super::world::payload(1000)).wait().unwrap();
    }
}

#[test]
fn a_payload_that_imitates_a_group_is_not_taken_for_one() {
    use crate::format::{GROUP_HEADER_BYTES, GroupBuffer, HEADER_BYTES, RECORD_HEADER_BYTES};
    let disk = FaultyDisk::new(1);
    let (journal, _, _) = open(&disk, Settings::default()).unwrap();
    // The right place and number, and all that an outsider can know; not the salt.
    let inside = HEADER_BYTES + (GROUP_HEADER_BYTES + RECORD_HEADER_BYTES) as u64;
    let mut forged = GroupBuffer::new();
    forged.push(1, b"forged");
    let forged = forged.seal(0, inside, 2).to_vec();
    journal.append(1, &forged).wait().unwrap();
    let segment = journal.segments()[0];
    drop(journal);
    // The group around it is torn: without the mark, nothing proves that it was ever acknowledged.
    let path = crate::format::segment_path(super::world::folder(), segment.number);
    storage_disk::Disk::remove(&disk, &super::world::folder().join("committed")).unwrap();
    assert!(disk.flip(&path, HEADER_BYTES * 8));
    let (_, recovery, ids) = open(&disk, Settings::default()).unwrap();
    assert_eq!((ids, recovery.damaged), (vec![], vec![]));
    assert!(recovery.torn_bytes > 0);
}

#[test]
fn a_later_version_is_refused_by_its_name() {
    use crate::format::HEADER_BYTES;
    use storage_disk::Disk;
    let (disk, _) = sound(History::Window);
    let (path, _) = disk.files()[0].clone();
    let mut bytes = disk.read(&path, 1 << 20).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..HEADER_BYTES as usize]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    disk.replace(&path, &bytes).unwrap();
    for on_damage in [OnDamage::Refuse, OnDamage::SkipRest] {
        let refused = open(&disk, settings(History::Window, on_damage)).unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 2, supported: 1, .. }), "{refused}");
    }
}

#[test]
fn a_segment_set_aside_is_remembered() {
    let (disk, all) = sound(History::Window);
    let (path, length) = disk.files()[0].clone();
    assert!(disk.cut(&path, length - 1));
    let (_, recovery, ids) = open(&disk, settings(History::Window, OnDamage::SkipRest)).unwrap();
    assert_eq!(recovery.damaged.len(), 1);
    assert!(ids.len() < all.len());
    assert!(disk.files().iter().any(|(path, _)| path.extension().is_some_and(|it| it == "damaged")));
    let (journal, recovery, again) = open(&disk, settings(History::Window, OnDamage::SkipRest)).unwrap();
    assert_eq!((again, recovery.damaged), (ids, vec![]), "it is reported once");
    assert_eq!(journal.stats().damaged_segments, 1);
    let oldest = journal.segments()[0];
    assert!(oldest.is_damaged);
    journal.read(oldest.number, &mut |_, _, _| std::ops::ControlFlow::Continue(())).unwrap();
    drop(journal);
    let refused = open(&disk, settings(History::Window, OnDamage::Refuse)).unwrap_err();
    assert!(refused.to_string().contains("set aside"), "{refused}");
}

#[test]
fn damage_before_the_last_group_is_loud_also_without_the_mark() {
    use crate::format::{HEADER_BYTES, segment_path};
    use storage_disk::Disk;
    let mut world = World::new(1, Settings::default());
    world.open();
    for _ in 0..3 {
        world.append(1).unwrap();
    }
    let segment = world.journal().segments()[0];
    world.journal = None;
    let path = segment_path(super::world::folder(), segment.number);
    world.disk.remove(&super::world::folder().join("committed")).unwrap();
    assert_eq!(open(&world.disk.copy(), Settings::default()).unwrap().2, [1, 2, 3]);
    let last_group = {
        let mut reader =
            crate::reader::Reader::open(&world.disk, &path, crate::format::FileKind::Segment, 1).unwrap();
        reader.next(u64::MAX).unwrap();
        reader.next(u64::MAX).unwrap();
        reader.position()
    };
    for bit in HEADER_BYTES * 8..last_group * 8 {
        let damaged = world.disk.copy();
        assert!(damaged.flip(&path, bit));
        let refused = open(&damaged, Settings::default()).unwrap_err().to_string();
        assert!(refused.contains("but a valid group at byte"), "{refused}");
    }
}

//! Claims about both disks and about the data folder.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::folder::{Migration, open};

fn folder() -> &'static Path {
    Path::new("/data")
}

fn faulty(seed: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(seed);
    disk.create_folder(folder()).unwrap();
    disk
}

fn contents(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    disk.read(path, 1 << 20)
}

/// The two disks answer the same calls in the same way.
fn check_conformance(disk: &dyn Disk, root: &Path) {
    let deep = root.join("a/b");
    disk.create_folder(&deep).unwrap();
    disk.create_folder(&deep).unwrap();
    let path = deep.join("one");
    assert_eq!(disk.open(&path, Open::Read).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.open(&path, Open::Write).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.remove(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.list(&root.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);

    let file = disk.open(&path, Open::CreateNew).unwrap();
    assert_eq!(disk.open(&path, Open::CreateNew).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(file.is_empty().unwrap());
    file.write_all_at(b"hello", 3).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(disk, &path).unwrap(), b"\0\0\0hello");
    file.truncate(4).unwrap();
    assert_eq!(contents(disk, &path).unwrap(), b"\0\0\0h");
    let mut short = [0; 9];
    assert_eq!(file.read_at(&mut short, 2).unwrap(), 2);
    assert_eq!(file.read_at(&mut short, 20).unwrap(), 0);
    assert_eq!(file.read_exact_at(&mut short, 0).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(disk.read(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);

    let other = deep.join("two");
    disk.rename(&path, &other).unwrap();
    disk.replace(&deep.join("three"), b"3").unwrap();
    disk.replace(&deep.join("three"), b"33").unwrap();
    disk.sync_folder(&deep).unwrap();
    let names: Vec<String> = disk.list(&deep).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["three", "two"]);
    assert!(disk.list(root).unwrap().contains(&Entry { name: "a".to_owned(), is_folder: true }));
    assert_eq!(disk.list(&other).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    assert_eq!(contents(disk, &deep.join("three")).unwrap(), b"33");

    assert!(file.try_lock().unwrap());
    let second = disk.open(&other, Open::Write).unwrap();
    assert!(!second.try_lock().unwrap());
    drop(file);
    assert!(second.try_lock().unwrap());
    disk.remove(&other).unwrap();
    assert!(disk.free_bytes(root).unwrap() > 0);
    assert!(disk.is_writable(root));
}

#[test]
fn both_disks_answer_alike() {
    let real = tempfile::tempdir().unwrap();
    check_conformance(&RealDisk, real.path());
    let faulty = faulty(1);
    check_conformance(&faulty, folder());
}

#[test]
fn what_was_synced_survives_every_crash_and_what_was_not_may_be_lost() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let disk = faulty(seed);
        let path = folder().join("file");
        let file = disk.open(&path, Open::CreateNew).unwrap();
        file.write_all_at(&[1; 700], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_folder(folder()).unwrap();
        file.write_all_at(&[2; 1400], 700).unwrap();
        let found = contents(&disk.crash(), &path).unwrap();
        assert_eq!(found[..700], [1; 700]);
        outcomes.insert(found.iter().map(|byte| u8::from(*byte == 2)).collect::<Vec<u8>>());
        assert!(file.len().is_err(), "the old machine is gone");
    }
    assert!(outcomes.contains(&vec![0; 700]), "all lost");
    assert!(outcomes.iter().any(|found| found.len() == 2100 && !found[700..].contains(&0)), "nothing lost");
    let holes = |found: &Vec<u8>| found.len() > 700 && found[700..].windows(2).any(|pair| pair == [0, 1]);
    assert!(outcomes.iter().any(holes), "a later part without an earlier one");
}

#[test]
fn names_that_were_not_synced_may_be_lost() {
    let survives = |seed: u64| {
        let disk = faulty(seed);
        disk.open(&folder().join("file"), Open::CreateNew).unwrap().sync_data().unwrap();
        !disk.crash().files().is_empty()
    };
    let fates: BTreeSet<bool> = (0..50).map(survives).collect();
    assert_eq!(fates.len(), 2);
}

#[test]
fn a_failed_sync_loses_what_a_second_one_does_not_bring_back() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = faulty(seed);
        let path = folder().join("file");
        let file = disk.open(&path, Open::CreateNew).unwrap();
        disk.sync_folder(folder()).unwrap();
        file.write_all_at(&[7; 100], 0).unwrap();
        disk.fail(disk.operations()..=disk.operations(), Fault::Error);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(contents(&disk, &path).unwrap(), [7; 100], "the page cache shows it all the same");
        assert_eq!(contents(&disk.kill(), &path).unwrap(), [7; 100], "also to the next process");
        lost += usize::from(contents(&disk.crash(), &path).unwrap() != [7; 100]);
    }
    assert!(lost > 0);
}

#[test]
fn a_full_disk_takes_what_fits_and_heals_when_room_is_given_back() {
    let disk = faulty(1);
    disk.set_room(Some(10));
    let file = disk.open(&folder().join("file"), Open::CreateNew).unwrap();
    assert_eq!(file.write_at(&[1; 16], 0).unwrap(), 10);
    assert_eq!(file.write_at(&[1; 6], 10).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(&[2; 10], 0).unwrap(), 10, "overwriting needs no room");
    assert_eq!(disk.free_bytes(folder()).unwrap(), 0);
    disk.set_room(None);
    file.write_all_at(&[1; 6], 10).unwrap();
}

#[test]
fn scripted_faults_hit_the_operations_they_name() {
    let disk = faulty(1);
    let file = disk.open(&folder().join("file"), Open::CreateNew).unwrap();
    let next = disk.operations();
    disk.fail(next..=next, Fault::Short);
    disk.fail(next + 1..=next + 1, Fault::Torn);
    disk.fail(next + 2..=next + 2, Fault::NoSpace);
    disk.fail(next + 3.., Fault::Crash);
    assert_eq!(file.write_at(&[1; 8], 0).unwrap(), 4);
    assert!(file.write_at(&[2; 8], 0).is_err());
    assert_eq!(contents(&disk, &folder().join("file")).unwrap(), [2; 4]);
    assert_eq!(file.truncate(0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(file.truncate(0).is_err());
    disk.heal();
    assert!(file.truncate(0).is_err(), "a crash does not heal");
}

#[test]
fn replacing_a_file_leaves_the_old_or_the_new_content_wherever_it_is_interrupted() {
    let path = folder().join("file");
    let operations = {
        let disk = faulty(0);
        disk.replace(&path, b"old").unwrap();
        let before = disk.operations();
        disk.replace(&path, b"new").unwrap();
        disk.operations() - before
    };
    for (index, fault) in (0..operations).flat_map(|index| [(index, Fault::Crash), (index, Fault::Error)]) {
        for seed in 0..20 {
            let disk = faulty(seed);
            disk.replace(&path, b"old").unwrap();
            disk.fail(disk.operations() + index..=disk.operations() + index, fault);
            let result = disk.replace(&path, b"new");
            let found = contents(&disk.crash(), &path).unwrap();
            assert!(found == b"old" || found == b"new", "{found:?}");
            assert!(result.is_err() || found == b"new");
        }
    }
}

#[test]
fn a_data_folder_is_made_found_again_and_has_one_owner() {
    let real = tempfile::tempdir().unwrap();
    for (disk, path) in [
        (Arc::new(RealDisk) as Arc<dyn Disk>, real.path().join("data")),
        (Arc::new(FaultyDisk::new(1)), PathBuf::from("/data")),
    ] {
        let first = DataFolder::open(disk.clone(), &path).unwrap();
        assert_eq!(first.store(Store::Spans), path.join("spans"));
        let refused = DataFolder::open(disk.clone(), &path).unwrap_err();
        let FolderError::Locked { pid, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*pid, Some(std::process::id()));
        assert!(refused.to_string().contains("stop that process"), "{refused}");
        drop(first);
        DataFolder::open(disk.clone(), &path).unwrap();
    }
}

/// Opens the folder, which must be refused and left as it is, and returns the error.
fn check_refused(disk: &FaultyDisk) -> FolderError {
    let before = (disk.files(), disk.operations());
    let refused = DataFolder::open(Arc::new(disk.clone()), folder()).unwrap_err();
    assert_eq!((disk.files(), disk.operations()), before, "a refused folder is not touched");
    refused
}

#[test]
fn a_newer_folder_is_refused_and_left_as_it_is() {
    let disk = faulty(1);
    disk.replace(&folder().join("FORMAT"), b"bellwether data folder, format 2\n").unwrap();
    let refused = check_refused(&disk);
    assert!(matches!(refused, FolderError::Newer { found: 2, supported: 1, .. }), "{refused}");
}

#[test]
fn a_damaged_folder_is_refused_and_left_as_it_is() {
    for content in ["", "bellwether data folder, format \n", "bellwether data folder, format 0\n", "x\n"] {
        let disk = faulty(1);
        disk.replace(&folder().join("FORMAT"), content.as_bytes()).unwrap();
        assert!(matches!(check_refused(&disk), FolderError::Damaged { .. }), "{content:?}");
    }
    let disk = faulty(1);
    disk.create_folder(&folder().join("catalog")).unwrap();
    let refused = check_refused(&disk);
    assert!(refused.to_string().contains("FORMAT is missing although"), "{refused}");
}

#[test]
fn a_folder_of_something_else_is_refused_and_left_as_it_is() {
    let disk = faulty(1);
    disk.replace(&folder().join("thesis.tex"), b"precious").unwrap();
    assert!(matches!(check_refused(&disk), FolderError::NotAFolder { .. }));

    let disk = FaultyDisk::new(1);
    disk.create_folder(Path::new("/")).unwrap();
    disk.replace(folder(), b"a file").unwrap();
    assert!(matches!(check_refused(&disk), FolderError::NotAFolder { .. }));
}

#[test]
fn a_read_only_folder_is_refused_and_left_as_it_is() {
    let disk = faulty(1);
    drop(DataFolder::open(Arc::new(disk.clone()), folder()).unwrap());
    disk.set_read_only(true);
    assert!(matches!(check_refused(&disk), FolderError::ReadOnly { .. }));

    let missing = FaultyDisk::new(1);
    missing.set_read_only(true);
    let refused = DataFolder::open(Arc::new(missing.clone()), folder()).unwrap_err();
    assert!(matches!(refused, FolderError::ReadOnly { .. }), "{refused}");
    assert!(missing.files().is_empty());
}

#[test]
fn a_folder_whose_first_start_was_interrupted_anywhere_opens_the_next_time() {
    for index in 0..20 {
        for seed in 0..5 {
            let disk = FaultyDisk::new(seed);
            disk.fail(index.., Fault::Crash);
            let _ = DataFolder::open(Arc::new(disk.clone()), folder());
            DataFolder::open(Arc::new(disk.crash()), folder()).unwrap();
        }
    }
}

#[test]
fn an_older_folder_is_migrated_step_by_step() {
    let migrations: &[Migration] = &[
        |disk, path| disk.replace(&path.join("first"), b""),
        |disk, path| disk.rename(&path.join("first"), &path.join("second")),
    ];
    let disk = faulty(1);
    drop(DataFolder::open(Arc::new(disk.clone()), folder()).unwrap());
    drop(open(Arc::new(disk.clone()), folder(), 3, migrations).unwrap());
    assert!(disk.files().iter().any(|(path, _)| path.ends_with("second")));
    assert_eq!(contents(&disk, &folder().join("FORMAT")).unwrap(), b"bellwether data folder, format 3\n");
    assert!(matches!(check_refused(&disk), FolderError::Newer { found: 3, .. }));
}

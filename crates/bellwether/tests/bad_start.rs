//! What is in the way of a start is named, with what to do about it, and left as it is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{collections::BTreeMap, fs, net::TcpListener, path::Path};

use support::{Process, run, stderr, stdout, text};

const FREE: &str = "127.0.0.1:0";

/// Tries to start on the folder, and gives what was said and the exit code.
fn refused(data: &Path) -> (String, Option<i32>) {
    let output = run(&["up", "--data", text(data), "--listen", FREE, "--gateway", FREE]);
    assert_eq!(stdout(&output), "");
    (stderr(&output), output.status.code())
}

/// Every file below a folder with what it holds.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(text(&path).to_owned(), fs::read(&path).unwrap());
        }
    }
    files
}

/// A folder that was in use and is not any more.
fn used_folder(data: &Path) {
    let arguments = ["up", "--data", text(data), "--listen", FREE, "--gateway", FREE];
    assert_eq!(Process::start(&arguments).terminate().0, Some(0));
}

#[test]
fn a_taken_port_is_named_before_the_data_folder_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind(FREE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (listen, gateway) in [(address.as_str(), FREE), (FREE, address.as_str())] {
        let output = run(&["up", "--data", text(&data), "--listen", listen, "--gateway", gateway]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said.contains("BW-3001") && said.contains(&address) && said.contains("127.0.0.1:0"),
            "{said}"
        );
        assert!(!data.exists());
    }
}

#[test]
fn a_folder_that_another_process_owns_is_refused_and_the_owner_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let owner = Process::start(&["up", "--data", text(&data), "--listen", FREE, "--gateway", FREE]);
    let (said, code) = refused(&data);
    assert_eq!(code, Some(1));
    assert!(said.contains("BW-3003") && said.contains(&owner.pid().to_string()), "{said}");
    assert_eq!(owner.terminate().0, Some(0));
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    used_folder(folder.path());
    fs::write(folder.path().join("FORMAT"), "bellwether data folder, format 9999\n").unwrap();
    let before = contents(folder.path());
    let (said, code) = refused(folder.path());
    assert_eq!(code, Some(1));
    assert!(said.contains("BW-3005") && said.contains("9999"), "{said}");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_damaged_folder_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    used_folder(folder.path());
    fs::write(folder.path().join("FORMAT"), "something else\n").unwrap();
    let before = contents(folder.path());
    let (said, code) = refused(folder.path());
    assert_eq!(code, Some(1));
    assert!(said.contains("BW-3006") && said.contains("FORMAT"), "{said}");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_damaged_registry_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let up = Process::start(&["up", "--data", text(data), "--listen", FREE, "--gateway", FREE]);
    let place = up.address("listen");
    for number in 0..3 {
        support::register(place, "greeter", &format!("greeter-{number}"), place);
    }
    assert_eq!(up.terminate().0, Some(0));
    // A bit of the first record of whichever file of the catalog holds the registrations.
    let held = |bytes: &[u8]| bytes.windows(9).position(|window| window == b"greeter-0");
    let (file, at) = contents(&data.join("catalog"))
        .into_iter()
        .find_map(|(file, bytes)| Some((file, held(&bytes)?)))
        .unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let before = contents(&data.join("catalog"));
    let (said, code) = refused(data);
    assert_eq!(code, Some(1));
    assert!(said.contains("BW-3006"), "{said}");
    assert_eq!(contents(&data.join("catalog")), before);
}

#[test]
fn a_path_that_is_no_data_folder_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let (said, code) = refused(&file);
    assert_eq!(code, Some(1));
    assert!(said.contains("BW-3007"), "{said}");
    // Nor is a folder of somebody's own files taken over.
    let (said, code) = refused(folder.path());
    assert_eq!(code, Some(1));
    assert!(said.contains("BW-3007") && said.contains("file"), "{said}");
    assert_eq!(contents(folder.path()), BTreeMap::from([(text(&file).to_owned(), b"precious".to_vec())]));
}

#[test]
fn a_place_that_cannot_be_written_to_is_refused() {
    // Root may write wherever the modes of files forbid it, but nobody can make a folder here.
    let (said, code) = refused(Path::new("/proc/bellwether/data"));
    assert_eq!(code, Some(1));
    assert!(said.contains("BW-30") && said.contains("/proc/bellwether"), "{said}");
}

#[test]
fn other_machines_are_not_served_without_protection() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (listen, gateway) in [("0.0.0.0:0", FREE), (FREE, "0.0.0.0:0")] {
        let output = run(&["up", "--data", text(&data), "--listen", listen, "--gateway", gateway]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("BW-3008"), "{}", stderr(&output));
    }
    let exposed =
        ["up", "--data", text(&data), "--listen", "0.0.0.0:0", "--gateway", "0.0.0.0:0", "--insecure"];
    assert_eq!(Process::start(&exposed).terminate().0, Some(0));
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let missing = ["--tls-cert", "/missing/cert.pem", "--tls-key", "/missing/key.pem"];
    let output = run(&[&["server", "--data", text(&data), "--listen", FREE], &missing[..]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("BW-3009") && stderr(&output).contains("/missing/"),
        "{}",
        stderr(&output)
    );
}

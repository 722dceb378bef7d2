//! Ends a process together with everything it started.
//!
//! `cargo test` that hangs has started a test that hangs, which may have started a server; ending only cargo would
//! leave the others behind. A process group of its own would be the usual answer, but then Ctrl-C would not reach
//! the children any more.

use std::collections::BTreeMap;
use std::process::Command;

/// Kills a process and its descendants. Where there is no `/proc`, only the process itself.
pub(crate) fn kill(root: u32) {
    let pids = descendants(root, &parents()).into_iter().map(|pid| pid.to_string());
    // What has ended meanwhile makes `kill` fail, and that is fine.
    let _ = Command::new("kill").arg("-KILL").args(pids).output();
}

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) {
    let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).output();
}

/// Each process' parent.
fn parents() -> BTreeMap<u32, u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent(&stat)?))
        })
        .collect()
}

/// The fourth field of `/proc/PID/stat`. The second is a program's name in parentheses, which may itself hold spaces
/// and parentheses.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The process and all below it, parents first.
fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| **parent == pid).map(|(child, _)| child));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(parent("42 (a (b) c) S 7 42 42"), Some(7));
    }

    #[test]
    fn grandchildren_are_found_and_strangers_are_not() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1)]);
        assert_eq!(descendants(2, &parents), [2, 3, 4]);
    }
}

//! The web console: its types, its tests, and the proof that what is committed is what its sources build.
//!
//! The built pages are committed so that `cargo build` needs no Node. The build writes over them; when that changes a
//! byte, the step fails and leaves the new pages in place to be committed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::context::Context;
use crate::counts::counts;
use crate::step::Verdict;
use crate::{command, tools};

const SOURCES: &str = "crates/console/web";
const BUILT: &str = "crates/console/dist";

const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The step.
pub(crate) fn step(context: &mut Context) -> Verdict {
    if let Err(reason) = prepare(context) {
        return Verdict::skipped(reason);
    }
    let built = context.root.join(BUILT);
    let before = match read(&built) {
        Ok(files) => files,
        Err(error) => return Verdict::failed(format!("{BUILT}: {error}"), ""),
    };
    let mut check = context.command("npm");
    check
        .args(["run", "check"])
        .current_dir(context.root.join(SOURCES))
        .env("NO_COLOR", "1")
        .env("CI", "true");
    let finished = command::run(check, LIMIT);
    let verdict = match (finished.failure, read(&built)) {
        (Some(failure), _) => Verdict::failed(failure.to_string(), finished.text.clone()),
        (None, Err(error)) => Verdict::failed(format!("{BUILT}: {error}"), ""),
        (None, Ok(after)) => match differences(&before, &after).as_slice() {
            [] => Verdict::passed(""),
            files => Verdict::failed(
                format!("{BUILT} is not what its sources build; commit what the build wrote"),
                files.join("\n"),
            ),
        },
    };
    verdict.with_tests(counts(&finished.text), Vec::new())
}

/// Sees to it that Node and the console's packages are there; or says why they cannot be.
pub(crate) fn prepare(context: &mut Context) -> Result<(), String> {
    let web = context.root.join(SOURCES);
    if !web.join("package-lock.json").exists() {
        return Err(format!("there is no {SOURCES}/package-lock.json"));
    }
    context.tools.need(&tools::NODE)?;
    context.tools.need(&tools::NPM)?;
    // npm writes the second file when it has installed what the first one asks for.
    if is_newer(&web.join("node_modules/.package-lock.json"), &web.join("package-lock.json")) {
        return Ok(());
    }
    let mut install = context.command("npm");
    install.args(["ci", "--no-audit", "--no-fund"]).current_dir(&web);
    match command::run(install, LIMIT) {
        command::Finished { failure: None, .. } => Ok(()),
        command::Finished { failure: Some(reason), text } => {
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
            Err(format!("npm ci in {SOURCES} failed: {reason}: {last}"))
        }
    }
}

/// Whether both files are there and the first is not older than the second.
fn is_newer(first: &Path, second: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    matches!((time(first), time(second)), (Some(first), Some(second)) if first >= second)
}

/// All files below a folder, by their path in it.
fn read(folder: &Path) -> std::io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        if !next.exists() {
            continue;
        }
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap_or(&path).to_path_buf(), std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

/// Each file that differs, with how.
fn differences(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let names: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let what = match (before.get(name), after.get(name)) {
                (Some(old), Some(new)) if old == new => return None,
                (Some(_), Some(_)) => "differs",
                (None, _) => "is missing",
                (_, None) => "is not built any more",
            };
            Some(format!("{BUILT}/{} {what}", name.display()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<PathBuf, Vec<u8>> {
        list.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_same_files_make_no_difference() {
        assert_eq!(differences(&files(&[("a.js", "1")]), &files(&[("a.js", "1")])), [] as [String; 0]);
    }

    #[test]
    fn each_file_that_differs_is_named_with_how() {
        let found = differences(
            &files(&[("a.js", "1"), ("gone.js", "1")]),
            &files(&[("a.js", "2"), ("assets/new.js", "1")]),
        );
        assert_eq!(
            found,
            [
                "crates/console/dist/a.js differs",
                "crates/console/dist/assets/new.js is missing",
                "crates/console/dist/gone.js is not built any more",
            ]
        );
    }
}

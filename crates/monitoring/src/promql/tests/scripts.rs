//! Scripts of our own, and Prometheus' own where they are there.

use std::{fs, path::Path};

use super::script::{Report, run};

/// The scripts of a folder, in the order of their names.
fn scripts(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    found
}

fn passes(scripts: &[(String, String)]) -> usize {
    let mut total = Report::default();
    for (name, script) in scripts {
        let report = run(name, script);
        assert!(report.evaluations > 0, "{name} evaluates nothing");
        total.evaluations += report.evaluations;
        total.failures.extend(report.failures);
    }
    assert!(total.failures.is_empty(), "{} failed:\n{}", total.failures.len(), total.failures.join("\n"));
    total.evaluations
}

#[test]
fn our_own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/promql/tests/scripts");
    assert!(passes(&scripts(&folder)) >= 40);
}

#[test]
fn every_script_of_prometheus_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/promql-2.42");
    let scripts = scripts(&folder);
    if scripts.is_empty() {
        println!("skipped: every_script_of_prometheus_passes because the folder of vectors is not there");
        return;
    }
    assert_eq!(passes(&scripts), 566);
}

//! DuckDB counts what we count, from the same files.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Failure;

/// What to say where it is not installed.
pub(super) const MISSING: &str = "DuckDB is not installed; `cargo xtask test rust` brings it";

const PROGRAM: &str = "import sys, duckdb\n\
    files = sys.stdin.read().splitlines()\n\
    row = duckdb.sql('SELECT count(*), count(DISTINCT SpanId), count(*) FILTER (WHERE \
    \"SpanAttributes.http.status_code\" = 500) FROM read_parquet(' + repr(files) + ', \
    union_by_name = true)').fetchall()[0]\n\
    print(*row, duckdb.__version__)\n";

/// What DuckDB counts.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) spans: u64,
    pub(super) ids: u64,
    /// Spans with status 500.
    pub(super) failed: u64,
    pub(super) version: String,
}

/// Counts the spans in these files; `None` where DuckDB is not installed.
pub(super) fn count(files: &[PathBuf]) -> Result<Option<Counts>, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let python = |tools: &Path| {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", tools).stdin(Stdio::null()).stderr(Stdio::null());
        python
    };
    let places = [target.join("tools/duckdb"), PathBuf::from("target/tools/duckdb")];
    let has =
        |tools: &&PathBuf| python(tools).args(["-c", "import duckdb"]).status().is_ok_and(|it| it.success());
    let Some(tools) = places.iter().find(has) else { return Ok(None) };
    let mut child =
        python(tools).args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    if let Some(mut input) = child.stdin.take() {
        std::io::Write::write_all(&mut input, names.join("\n").as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let [spans, ids, failed, version] = words[..] else {
        return Err("DuckDB could not read the blocks".into());
    };
    Ok(Some(Counts {
        spans: spans.parse()?,
        ids: ids.parse()?,
        failed: failed.parse()?,
        version: version.to_owned(),
    }))
}

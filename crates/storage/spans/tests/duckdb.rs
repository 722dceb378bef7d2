//! A reader that knows nothing of us opens blocks and counts what we count.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use identity::{SpanId, TraceId, Wall};
use storage_disk::{Disk, RealDisk};
use storage_spans::{Batch, Query, Settings, Spans};
use traces::{Attributes, Event, Kind, Resource, Span, Status};

/// DuckDB, from PyPI; installed by `cargo xtask test`.
fn python() -> Result<Command, String> {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/duckdb");
    let python = || {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &tools).stdin(Stdio::null()).stderr(Stdio::inherit());
        python
    };
    let probe = python().args(["-c", "import duckdb"]).stderr(Stdio::null()).status();
    match probe.map_err(|error| format!("python3 cannot be run: {error}"))?.success() {
        true => Ok(python()),
        false => Err("duckdb is not installed; cargo xtask test installs it".to_owned()),
    }
}

/// The rows that a query gives, one a line, over all blocks as `spans`.
fn rows(python: &mut Command, blocks: &[std::path::PathBuf], sql: &str) -> Vec<String> {
    let program = "import sys, duckdb\n\
                   files = sys.argv[2:]\n\
                   duckdb.sql(\"CREATE VIEW spans AS SELECT *, file_row_number AS row FROM \
                   read_parquet(\" + repr(files) + \", file_row_number = true, filename = true, \
                   union_by_name = true)\")\n\
                   for row in duckdb.sql(sys.argv[1]).fetchall(): print(*row, sep='|')\n";
    let output = python.args(["-c", program, sql]).args(blocks).output().unwrap();
    assert!(output.status.success(), "{sql}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn resource(service: &str) -> Arc<Resource> {
    let mut attributes = Attributes::new();
    attributes.push("service.name", service);
    attributes.push("process.pid", 4_711);
    Arc::new(Resource::new(attributes))
}

/// Three spans of a trace: a server of the shop, its client, and the server that it called.
fn trace(number: u128) -> Vec<Span> {
    let id = TraceId::new((number << 64) | 7).unwrap();
    let span = |of: u64, service: &str, name: &str, kind| {
        let span_id = SpanId::new(number as u64 * 10 + of).unwrap();
        let mut span =
            Span::new(id, span_id, name, Wall(1_700_000_000_000_000_000 + number as u64), resource(service));
        span.parent_span_id = (of > 1).then(|| SpanId::new(number as u64 * 10 + of - 1).unwrap());
        span.kind = kind;
        span.duration_ns = 1_000 * number as u64;
        span.attributes.push("size", 643.0);
        span.attributes.push("count", 643);
        span.attributes.push("text", "643");
        span
    };
    let mut last = span(3, "payments", "charge", Kind::Server);
    if number.is_multiple_of(5) {
        last.status = Status::error("declined");
        let attributes = [("exception.type".into(), "Declined".into())].into_iter().collect();
        last.events =
            vec![Event { at: Wall(9), name: "exception".into(), attributes, dropped_attributes: 0 }];
    }
    if number == 77 {
        last.attributes.push("rare", traces::Value::Map([("deep".into(), 1.5.into())].into_iter().collect()));
    }
    vec![span(1, "shop", "GET /", Kind::Server), span(2, "shop", "POST", Kind::Client), last]
}

#[test]
fn duckdb_opens_blocks_and_counts_what_we_count() {
    if let Err(why) = python() {
        println!("skipped: duckdb_opens_blocks_and_counts_what_we_count because {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let settings = Settings { reserve_bytes: 0, max_age: Duration::MAX, ..Settings::default() };
    let (store, _) = Spans::open(disk, folder.path(), settings).unwrap();
    for part in 0..2_u128 {
        // The second block has the called half of the first block's last traces.
        let mut spans: Vec<Span> = (1..=300).flat_map(|number| trace(part * 300 + number)).collect();
        if part == 0 {
            spans.retain(|span| span.trace_id.get() >> 64 <= 250 || &*span.name != "charge");
        } else {
            spans.extend((251..=300).map(|number| trace(number).remove(2)));
        }
        store.accept(Batch { received: spans.len() as u64, spans, ..Batch::default() }).wait().unwrap();
        store.seal().unwrap();
    }
    let blocks = store.blocks();
    assert_eq!(blocks.len(), 2);
    let ask = |sql: &str| rows(&mut python().unwrap(), &blocks, sql);

    let stored = store.ledger().stored;
    assert_eq!(ask("SELECT count(*), count(DISTINCT TraceId) FROM spans"), [format!("{stored}|600")]);
    let operations = store.operations("default", "shop");
    let counted: Vec<String> = operations.iter().map(|of| format!("{}|{}", of.name, of.spans)).collect();
    let by_name = "SELECT SpanName, count(*) FROM spans WHERE ServiceName = 'shop' GROUP BY 1 ORDER BY 1";
    assert_eq!(ask(by_name), counted);
    let errors = Query { errors_only: true, limit: 1_000, ..Query::default() };
    let found = store.search(&errors).traces.len().to_string();
    assert_eq!(ask("SELECT count(*) FROM spans WHERE StatusCode = 'Error'"), [found]);

    let types = "SELECT DISTINCT typeof(\"SpanAttributes.size\"), typeof(\"SpanAttributes.count\"), \
                 typeof(\"SpanAttributes.text\"), \"SpanAttributes.size\", \"SpanAttributes.count\" FROM spans";
    assert_eq!(ask(types), ["DOUBLE|BIGINT|VARCHAR|643.0|643"]);
    let resources = "SELECT DISTINCT ResourceAttributes->>'service.name', \
                     json_type(ResourceAttributes, '$.\"process.pid\"') FROM spans ORDER BY 1";
    assert_eq!(ask(resources), ["payments|UBIGINT", "shop|UBIGINT"]);
    assert_eq!(
        ask("SELECT SpanAttributes FROM spans WHERE SpanAttributes IS NOT NULL"),
        [r#"{"rare":{"deep":1.5}}"#]
    );
    let events = "SELECT count(*), min(Events->0->>'name') FROM spans WHERE Events IS NOT NULL";
    assert_eq!(ask(events), ["120|exception"]);
    let times = "SELECT epoch_ns(min(Timestamp)), sum(Duration) FROM spans";
    assert_eq!(ask(times), [format!("1700000000000000001|{}", 3_000 * 600 * 601 / 2)]);

    // Each parent is a row of the same block or an id of another one.
    let parents = "SELECT count(*), count(DISTINCT coalesce(s.ParentSpanId, p.SpanId)), \
                   count(*) FILTER (s.ParentSpanId IS NOT NULL) FROM spans s LEFT JOIN spans p \
                   ON p.filename = s.filename AND p.row = s.row - s.ParentRowsBack \
                   WHERE coalesce(s.ParentSpanId, p.SpanId) IS NOT NULL";
    assert_eq!(ask(parents), ["1200|1200|50"]);
    let one = format!("{:032X}", (42_u128 << 64) | 7);
    let chain = format!(
        "SELECT hex(s.SpanId), hex(p.SpanId) FROM spans s JOIN spans p ON p.filename = s.filename \
         AND p.row = s.row - s.ParentRowsBack WHERE hex(s.TraceId) = '{one}' ORDER BY 1"
    );
    let id = |of: u64| format!("{:016X}", 42 * 10 + of);
    assert_eq!(ask(&chain), [format!("{}|{}", id(2), id(1)), format!("{}|{}", id(3), id(2))]);
}

//! Bytes that decoders understand.

use std::{path::Path, sync::Arc};

use identity::{SpanId, TraceId, Wall};
use storage_disk::{Disk, FaultyDisk};
use storage_journal::Journal;
use storage_spans::{Batch, Settings, Spans};
use traces::{Attributes, Event, Kind, Link, Resource, Span, Status, StatusCode, Value};
use wire::otlp;

/// A folder of a disk in memory.
pub(crate) const FOLDER: &str = "/data";

/// Some traces with everything that a span may have.
pub fn spans() -> Vec<Span> {
    let resource = |service: &str| {
        let mut attributes = Attributes::new();
        attributes.push("service.name", service);
        attributes.push("process.pid", 4_711);
        Arc::new(Resource::new(attributes))
    };
    let (shop, cart) = (resource("shop"), resource("cart"));
    let span = |trace: u128, of: u64| {
        let trace_id = TraceId::new(trace << 64 | 7)?;
        let resource = Arc::clone(if of.is_multiple_of(2) { &shop } else { &cart });
        let start = Wall(1_700_000_000_000_000_000 + of * 1_000);
        let mut span = Span::new(trace_id, SpanId::new(of)?, "GET /orders/{order}", start, resource);
        span.parent_span_id = SpanId::new(of - 1);
        span.kind = Kind::ALL[of as usize % Kind::ALL.len()];
        span.duration_ns = of * 977;
        span.attributes.push("http.route", "/orders/{order}");
        span.attributes.push("http.status_code", 200 + of as i64);
        span.attributes.push("retry.budget", 0.25 * of as f64);
        span.attributes.push("is.cached", of.is_multiple_of(3));
        if of == 4 {
            span.status = Status { code: StatusCode::Error, message: "order is not open".into() };
            let list = Value::Array(vec![Value::from("deep"), Value::Bytes(vec![0, 255].into())]);
            span.attributes.push("list", list);
            let (at, name, attributes) = (start, "exception".into(), span.attributes.clone());
            span.events.push(Event { at, name, attributes, dropped_attributes: 1 });
            span.links.push(Link {
                trace_id,
                span_id: SpanId::new(1)?,
                flags: 1,
                trace_state: "vendor=1".into(),
                attributes: Attributes::new(),
                dropped_attributes: 0,
            });
            span.dropped.events = 2;
        }
        Some(span)
    };
    (1..=3).flat_map(|trace| (1..=5).filter_map(move |of| span(trace, of))).collect()
}

/// Requests of OTLP in JSON.
pub fn otlp_json() -> Vec<Vec<u8>> {
    let nested = br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},
        "scopeSpans":[{"scope":{"name":"s"},"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C",
        "spanId":"eee19b7ec3c1b174","name":"n","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1544712660000000000",
        "endTimeUnixNano":1544712661000000000,"attributes":[{"key":"k","value":{"arrayValue":{"values":
        [{"kvlistValue":{"values":[{"key":"x","value":{"doubleValue":"NaN"}}]}},{"bytesValue":"AAE="}]}}}],
        "status":{"code":2,"message":"m"}}]}]}]}"#;
    vec![otlp::to_json(&spans().into_iter().map(Arc::new).collect::<Vec<_>>()).into_bytes(), nested.to_vec()]
}

/// The same as Protocol Buffers.
pub fn otlp() -> Vec<Vec<u8>> {
    otlp_json().iter().filter_map(|request| otlp::from_json(request).ok()).collect()
}

/// Lists of Zipkin's spans.
pub fn zipkin_json() -> Vec<Vec<u8>> {
    let full = br#"[{"traceId":"5982fe77008310cc80f1da5e10147517","parentId":"90394f6bcffb5d13","id":"67fae42571535f60",
        "kind":"SERVER","name":"get /api","timestamp":1516781775726000,"duration":26000,"debug":true,"shared":true,
        "localEndpoint":{"serviceName":"frontend","ipv4":"10.0.0.1","ipv6":"::1","port":8080},
        "remoteEndpoint":{"serviceName":"backend"},"annotations":[{"timestamp":1516781775726001,"value":"foo"}],
        "tags":{"http.path":"/api","error":"boom"}}]"#;
    vec![full.to_vec(), br#"[{"traceId":"1","id":"1"}]"#.to_vec(), b"[]".to_vec()]
}

/// The same as Protocol Buffers.
pub fn zipkin_protobuf() -> Vec<Vec<u8>> {
    // ListOfSpans { spans: [{ trace_id, id, kind: CLIENT, name: "get", timestamp, duration, local_endpoint, tags }] }
    let span = [
        &b"\x0a\x08\x01\x02\x03\x04\x05\x06\x07\x08\x1a\x08\x08\x07\x06\x05\x04\x03\x02\x01\x20\x01\x2a\x03get"[..],
        &b"\x31\x10\x27\x00\x00\x00\x00\x00\x00\x38\xf4\x03\x42\x0b\x0a\x03abc\x12\x04\x0a\x00\x00\x01"[..],
        &b"\x5a\x08\x0a\x03key\x12\x01v"[..],
    ]
    .concat();
    vec![[&[0x0a, span.len() as u8][..], &span].concat()]
}

/// Headers that carry a context, a name and a value a line.
pub fn propagation() -> Vec<Vec<u8>> {
    let headers: [&[u8]; 6] = [
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: rojo=00f067aa0ba902b7,congo=t61",
        b"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
        b"x-b3-traceid: 80f198ee56343ba864fe8b2a57d3eff7\nx-b3-spanid: e457b5a2e4d86bd1\nx-b3-sampled: 1\nx-b3-flags: 1",
        b"uber-trace-id: 5af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:3",
        b"sw8: 1-TVJTLTE=-TVNFRy0x-3-c2VydmljZQ==-aW5zdGFuY2U=-L2FwaQ==-MTAuMC4wLjE6ODA=",
        b"traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-extra\nb3: 0",
    ];
    headers.map(<[u8]>::to_vec).to_vec()
}

/// Requests of Prometheus' remote write: the first byte says in which version.
pub fn remote_write() -> Vec<Vec<u8>> {
    let label = |name: &str, value: &str| {
        let text = |tag: u8, text: &str| [&[tag, text.len() as u8][..], text.as_bytes()].concat();
        let label = [text(0x0a, name), text(0x12, value)].concat();
        [&[0x0a, label.len() as u8][..], &label].concat()
    };
    let sample = b"\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xe8\x07";
    let series = [&label("__name__", "up")[..], &label("job", "shop"), sample, sample].concat();
    let first = [&[1, 0x0a, series.len() as u8][..], &series].concat();
    // Symbols "", "__name__", "up"; a series of labels 1, 2 with a sample.
    let second = b"\x02\x22\x00\x22\x08__name__\x22\x02up\x2a\x12\x0a\x02\x01\x02\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xe8\x07";
    vec![first, second.to_vec()]
}

/// Queries in PromQL.
pub fn promql() -> Vec<Vec<u8>> {
    let queries = [
        "sum by (job) (rate(http_requests_total{status=~\"5..\", job!=\"a\"}[5m] offset 1h)) / ignoring(x) group_left y",
        "histogram_quantile(0.99, sum(rate(latency_bucket[1m:15s])) by (le)) > bool 0.5 and on(a) absent(up @ start())",
        "vector(-1 ^ 2 ^ 3 % 0x1F + 1e-9) or topk(3, label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")) unless vector(Inf)",
    ];
    queries.map(|query| query.as_bytes().to_vec()).to_vec()
}

/// Searches of traces.
pub fn query() -> Vec<Vec<u8>> {
    let queries = [
        "service = \"shop\" and (duration > 100ms or not error) and http.status_code >= 500",
        "name =~ \"GET /.*\" and exists(tenant.id) and kind = server and \"two words\" != 3.5",
    ];
    queries.map(|query| query.as_bytes().to_vec()).to_vec()
}

/// Records of the store of spans, each with its kind before it.
pub fn spans_record() -> Vec<Vec<u8>> {
    let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new(1));
    let mut records = Vec::new();
    if let Ok((store, _)) = Spans::open(Arc::clone(&disk), Path::new(FOLDER), settings()) {
        let spans = spans();
        // Dropped, the store finishes what it has begun.
        drop(store.accept(Batch { received: spans.len() as u64, spans, ..Batch::default() }));
        drop(store);
    }
    let keep = &mut |_, kind, payload: &[u8]| {
        records.push([&[kind][..], payload].concat());
        Ok(())
    };
    drop(Journal::open(disk, Path::new(FOLDER), storage_journal::Settings::default(), keep));
    records
}

/// A segment of a journal.
pub fn journal() -> Vec<Vec<u8>> {
    let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new(1));
    let (folder, settings) = (Path::new(FOLDER), storage_journal::Settings::default());
    if let Ok((journal, _)) = Journal::open(Arc::clone(&disk), folder, settings, &mut |_, _, _| Ok(())) {
        for (at, text) in ["one", "", "a longer record"].iter().enumerate() {
            drop(journal.append(at as u8, text).wait());
        }
    }
    disk.read(&folder.join(crate::targets::SEGMENT), 1 << 20).into_iter().collect()
}

/// A block of spans.
pub fn block() -> Vec<Vec<u8>> {
    storage_spans::parquet(&spans(), Wall(1)).into_iter().collect()
}

/// Settings of a store in memory.
pub(crate) fn settings() -> Settings {
    Settings { reserve_bytes: 0, ..Settings::default() }
}

//! Spans as real senders make them, in any number.
//!
//! The shapes are those of spans that the instrumentations of Flask, requests and sqlite3 record: a call of a
//! shop goes through six services, each answering a request (server), asking its database (client) and calling
//! the next (client), so that a trace has 10.4 spans on average. A span has 9.5 attributes of 34 keys (10.0
//! here) and takes some 500 bytes as OTLP; three of a hundred fail and tell of it in an event. Ids, addresses,
//! ports, paths with ids in them, statements and sizes are drawn anew for each span, by a generator with a seed.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use prost::Message;

const SERVICES: [&str; 6] = ["storefront", "cart", "checkout", "payments", "inventory", "shipping"];
const ROUTES: [&str; 6] =
    ["/", "/cart/{user}", "/checkout/{order}", "/payments/{order}", "/stock/{sku}", "/shipments/{order}"];
const TABLES: [&str; 6] = ["sessions", "carts", "orders", "payments", "stock", "shipments"];
const AGENTS: [&str; 4] =
    ["python-requests/2.32.5", "Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "k6/1.2"];

/// When the first trace begins.
pub(crate) const BEGIN: u64 = 1_760_000_000_000_000_000;
/// Nanoseconds between the begins of two traces.
pub(crate) const PACE: u64 = 500_000;

/// Makes requests, each of whole traces, as a collector sends them on.
pub(crate) struct Generator {
    state: u64,
    /// Traces so far.
    pub(crate) traces: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, traces: 0 }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// The id of a trace by its number: nobody has to remember them.
    pub(crate) fn trace_id(number: u64) -> u128 {
        let mut of = Generator::new(number ^ 0x5851_f42d_4c95_7f2d);
        u128::from(of.next()) << 64 | u128::from(of.next() | 1)
    }

    /// A request with about so many spans, and how many it has.
    pub(crate) fn request(&mut self, about: usize) -> (Vec<u8>, usize) {
        let mut by_service: Vec<Vec<Span>> = SERVICES.iter().map(|_| Vec::new()).collect();
        let mut count = 0;
        while count < about {
            count += self.trace(&mut by_service);
        }
        let of = |(service, spans): (usize, Vec<Span>)| ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "opentelemetry.instrumentation.flask".to_owned(),
                    version: "0.58b0".to_owned(),
                    ..Default::default()
                }),
                spans,
                ..Default::default()
            }],
            ..Default::default()
        };
        let spans = by_service.into_iter().enumerate().filter(|(_, spans)| !spans.is_empty());
        let request = ExportTraceServiceRequest { resource_spans: spans.map(of).collect() };
        (request.encode_to_vec(), count)
    }

    fn trace(&mut self, into: &mut [Vec<Span>]) -> usize {
        let id = Self::trace_id(self.traces).to_be_bytes().to_vec();
        let start = BEGIN + self.traces * PACE;
        self.traces += 1;
        // Each hop is a server span, most often a statement, and a client span to the next hop.
        let hops = [1, 2, 3, 4, 4, 5, 6][self.below(7) as usize];
        let (mut parent, mut at, mut room) = (Vec::new(), start, 20_000_000 + self.below(180_000_000));
        let mut count = 0;
        for hop in 0..hops {
            let service = if hop == 0 { 0 } else { 1 + self.below(5) as usize };
            let server = self.span(&id, &parent, span::SpanKind::Server, at, room);
            let own = server.span_id.clone();
            let server = self.server(server, service);
            into[service].push(server);
            count += 1;
            for _ in 0..self.below(3) {
                let within = self.below(room / 4 + 1);
                let statement = self.span(&id, &own, span::SpanKind::Client, at + within, room / 8 + 1);
                let statement = self.statement(statement, service);
                into[service].push(statement);
                count += 1;
            }
            let within = self.below(room / 8 + 1);
            (at, room) = (at + within, room - room / 4);
            let client = self.span(&id, &own, span::SpanKind::Client, at, room);
            parent = client.span_id.clone();
            let client = self.client(client, service);
            into[service].push(client);
            count += 1;
            at += self.below(200_000);
            room -= room / 8;
        }
        count
    }

    fn span(&mut self, id: &[u8], parent: &[u8], kind: span::SpanKind, start: u64, room: u64) -> Span {
        Span {
            trace_id: id.to_vec(),
            span_id: (self.next() | 1).to_be_bytes().to_vec(),
            parent_span_id: parent.to_vec(),
            flags: 0x100,
            kind: kind as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: start + room / 2 + self.below(room / 2 + 1),
            ..Default::default()
        }
    }

    fn server(&mut self, mut span: Span, service: usize) -> Span {
        let order = self.below(1_000_000);
        span.name = format!("GET {}", ROUTES[service]);
        let target = ROUTES[service].replace("{order}", &order.to_string());
        let target = target.replace("{user}", &format!("u{}", order % 5_000)).replace("{sku}", "sku-77");
        let status = if self.below(100) < 3 { 500 } else { 200 };
        span.attributes = vec![
            text("http.method", "GET"),
            text("http.server_name", "0.0.0.0"),
            text("http.scheme", "http"),
            int("net.host.port", 8_080 + service as i64),
            text("http.host", &format!("{}:{}", SERVICES[service], 8_080 + service)),
            text("http.target", &target),
            text("net.peer.ip", &format!("10.0.{}.{}", self.below(4), self.below(250))),
            text("http.user_agent", AGENTS[self.below(4) as usize]),
            int("net.peer.port", 32_768 + self.below(28_000) as i64),
            text("http.flavor", "1.1"),
            text("http.route", ROUTES[service]),
            int("http.status_code", status),
        ];
        if self.below(20) == 0 {
            span.attributes.push(text("tenant.id", &format!("tenant-{}", self.below(40))));
        }
        if self.below(1_000) == 0 {
            span.attributes.push(text("debug.session", &format!("{:016x}", self.next())));
        }
        if status == 500 { self.failed(span) } else { span }
    }

    fn client(&mut self, mut span: Span, service: usize) -> Span {
        span.name = "GET".to_owned();
        let to = SERVICES[(service + 1) % SERVICES.len()];
        let order = self.below(1_000_000);
        span.attributes = vec![
            text("http.method", "GET"),
            text("http.url", &format!("http://{to}:8080/{}/{order}?expand=items", TABLES[service])),
            int("http.status_code", 200),
            int("http.response_content_length", self.below(60_000) as i64),
            text("net.peer.name", to),
            double("client.retry_budget", self.below(1_000) as f64 / 10.0),
        ];
        span
    }

    fn statement(&mut self, mut span: Span, service: usize) -> Span {
        let table = TABLES[service];
        span.name = "SELECT".to_owned();
        span.attributes = vec![
            text("db.system", "sqlite"),
            text("db.name", &format!("{table}.db")),
            text(
                "db.statement",
                &format!("SELECT id, state, total FROM {table} WHERE id = ? AND tenant = ?"),
            ),
            text("db.operation", "SELECT"),
            text("db.sql.table", table),
            int("db.rows", self.below(50) as i64),
            boolean("db.cached", self.below(4) == 0),
            text("db.user", "shop"),
            text("thread.name", &format!("worker-{}", self.below(16))),
            int("thread.id", 140_000_000 + self.below(16) as i64),
        ];
        span
    }

    fn failed(&mut self, mut span: Span) -> Span {
        span.status = Some(Status { code: 2, message: "ValueError: order is not open".to_owned() });
        span.events = vec![span::Event {
            time_unix_nano: span.end_time_unix_nano,
            name: "exception".to_owned(),
            attributes: vec![
                text("exception.type", "ValueError"),
                text("exception.message", "order is not open"),
                text(
                    "exception.stacktrace",
                    &format!("{TRACEBACK}ValueError: order {}", self.below(1_000_000)),
                ),
                text("exception.escaped", "False"),
            ],
            ..Default::default()
        }];
        span
    }
}

const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"/app/shop/views.py\", line 131, in order\n    \
     return orders.open(order_id)\n  File \"/app/shop/orders.py\", line 44, in open\n    raise \
     ValueError(\"order is not open\")\n";

fn resource(service: usize) -> Resource {
    let attributes = vec![
        text("service.name", SERVICES[service]),
        text("service.version", "1.14.2"),
        text("service.instance.id", &format!("{}-7d9f6c5b4-x{service}k2p", SERVICES[service])),
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.37.0"),
        text("host.name", &format!("node-{}", service % 3)),
    ];
    Resource { attributes, ..Default::default() }
}

fn value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(key: &str, text: &str) -> KeyValue {
    value(key, any_value::Value::StringValue(text.to_owned()))
}

fn int(key: &str, number: i64) -> KeyValue {
    value(key, any_value::Value::IntValue(number))
}

fn double(key: &str, number: f64) -> KeyValue {
    value(key, any_value::Value::DoubleValue(number))
}

fn boolean(key: &str, truth: bool) -> KeyValue {
    value(key, any_value::Value::BoolValue(truth))
}

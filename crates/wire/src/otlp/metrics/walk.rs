//! The walk over an `ExportMetricsServiceRequest`.
//!
//! Numbers of fields are those of `opentelemetry/proto/metrics/v1/metrics.proto` and of its imports, version 1.
//! Unknown fields are stepped over. A resource may stand behind its metrics, so what contains others is
//! looked through twice.

use std::collections::BTreeMap;

use monitoring::series::{METRIC_NAME, STALE};

use crate::protobuf::{Broken, Fields, Raw};

use super::{
    Counted, Deltas, MAX_LABELS, MAX_OUTPUT_BYTES, Malformed, Reason, Sink,
    deltas::Total,
    labels::{Set, key_value},
    names,
    points::{Of, Point},
};

/// Gives the samples of a request to the sink.
///
/// # Errors
/// The bytes are no message. What the sink was given is to be forgotten then.
pub fn decode(request: &[u8], deltas: &Deltas, sink: &mut impl Sink) -> Result<Counted, Malformed> {
    let malformed = |Broken { what, address }: Broken| {
        let at = address.saturating_sub(request.as_ptr().addr());
        Malformed(format!("{what}, at byte {at}"))
    };
    let mut walk = Walk { deltas, sink, counted: Counted::default(), room: MAX_OUTPUT_BYTES };
    walk.request(request).map_err(malformed)?;
    Ok(walk.counted)
}

struct Walk<'s, S> {
    deltas: &'s Deltas,
    sink: &'s mut S,
    counted: Counted,
    /// How many bytes of labels may still be given.
    room: usize,
}

/// A metric that is being read.
struct Metric<'a> {
    name: &'a str,
    help: &'a str,
    unit: &'a str,
    of: Of,
    is_counter: bool,
    is_gauge: bool,
    temporality: u64,
}

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// What identifies a resource, and is said by `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

impl<S: Sink> Walk<'_, S> {
    fn request(&mut self, message: &[u8]) -> Result<(), Broken> {
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            if let (1, Raw::Bytes(message)) = (number, raw) {
                self.resource_metrics(message)?;
            }
        }
        Ok(())
    }

    fn resource_metrics(&mut self, message: &[u8]) -> Result<(), Broken> {
        let (mut about, mut identity) = (Set::default(), BTreeMap::new());
        let mut fields = Fields::of(last(message, 1)?);
        while let Some((number, raw)) = fields.next()? {
            let (1, Raw::Bytes(message)) = (number, raw) else { continue };
            match key_value(message)? {
                Some((key, value)) if IDENTIFYING.contains(&key) => drop(identity.insert(key, value)),
                Some((key, value)) => about.add(key, value),
                None => {}
            }
        }
        let text = |key: &str| identity.get(key).map_or("", |value| value);
        let mut base = Set::default();
        let separator = if text("service.namespace").is_empty() { "" } else { "/" };
        base.set("job", format!("{}{separator}{}", text("service.namespace"), text("service.name")));
        base.set("instance", text("service.instance.id").to_owned());

        let mut newest = 0;
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            if let (2, Raw::Bytes(message)) = (number, raw) {
                newest = newest.max(self.scope_metrics(message, &base)?);
            }
        }
        let is_known = base.get("job").is_some() || base.get("instance").is_some();
        if newest > 0 && is_known && !about.pairs().is_empty() {
            for (name, value) in base.pairs() {
                about.set(name, value.to_owned());
            }
            about.set(METRIC_NAME, "target_info");
            if !about.is_broken() {
                self.sink.family("target_info", "gauge", "What is known of a target.", "");
                self.sample(&about, newest, 1.0);
            }
        }
        Ok(())
    }

    /// Gives the time of the newest point.
    fn scope_metrics(&mut self, message: &[u8], base: &Set<'_>) -> Result<u64, Broken> {
        let mut base = base.clone();
        let mut fields = Fields::of(last(message, 1)?);
        while let Some((number, raw)) = fields.next()? {
            if let (1 | 2, Raw::Bytes(bytes)) = (number, raw) {
                let name = if number == 1 { "otel_scope_name" } else { "otel_scope_version" };
                base.set(name, String::from_utf8_lossy(bytes).into_owned());
            }
        }
        let mut newest = 0;
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            if let (2, Raw::Bytes(message)) = (number, raw) {
                newest = newest.max(self.metric(message, &base)?);
            }
        }
        Ok(newest)
    }

    fn metric(&mut self, message: &[u8], base: &Set<'_>) -> Result<u64, Broken> {
        let mut texts = [&b""[..]; 3];
        let mut data = None;
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1..=3, Raw::Bytes(bytes)) => texts[number as usize - 1] = bytes,
                (5 | 7 | 9 | 10 | 11, Raw::Bytes(message)) => data = Some((number, message)),
                _ => {}
            }
        }
        let Some((kind, message)) = data else { return Ok(0) };
        let [name, help, unit] = texts.map(|bytes| std::str::from_utf8(bytes).unwrap_or_default());
        let (mut temporality, mut is_monotonic) = (0, false);
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (2, Raw::Varint(of)) => temporality = of,
                (3, Raw::Varint(of)) => is_monotonic = of != 0,
                _ => {}
            }
        }
        let of = match kind {
            5 | 7 => Of::Number,
            9 => Of::Histogram,
            10 => Of::Exponential,
            _ => Of::Summary,
        };
        // A gauge and a summary say what holds now.
        let temporality = if matches!(kind, 5 | 11) { CUMULATIVE } else { temporality };
        let is_counter = kind == 7 && is_monotonic;
        let metric = Metric { name, help, unit, of, is_counter, is_gauge: kind == 5, temporality };
        self.points(message, &metric, base)
    }

    fn points(&mut self, message: &[u8], metric: &Metric<'_>, base: &Set<'_>) -> Result<u64, Broken> {
        let name = names::metric(metric.name, metric.unit, metric.is_counter, metric.is_gauge);
        let kind = match metric.of {
            Of::Number if metric.is_counter => "counter",
            Of::Number => "gauge",
            Of::Histogram | Of::Exponential => "histogram",
            Of::Summary => "summary",
        };
        if !name.is_empty() {
            self.sink.family(&name, kind, metric.help, &names::unit(metric.unit));
        }
        let mut newest = 0;
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            let (1, Raw::Bytes(message)) = (number, raw) else { continue };
            let mut point = Point::read(metric.of, message)?;
            let mut labels = Set::default();
            for message in &point.attributes {
                if let Some((key, value)) = key_value(message)? {
                    labels.add(key, value);
                }
            }
            for (name, value) in base.pairs() {
                labels.set(name, value.to_owned());
            }
            match self.point(&name, metric, labels, &mut point) {
                Ok(()) => newest = newest.max(point.time),
                Err(reason) => *self.counted.refused.entry(reason).or_default() += 1,
            }
        }
        Ok(newest)
    }

    fn point(
        &mut self,
        name: &str,
        metric: &Metric<'_>,
        mut labels: Set<'_>,
        point: &mut Point<'_>,
    ) -> Result<(), Reason> {
        if point.time == 0 {
            return Err(Reason::NoTime);
        }
        // With the name, and a bound or a quantile.
        if name.is_empty() || labels.is_broken() || labels.pairs().len() + 2 > MAX_LABELS {
            return Err(Reason::Labels);
        }
        if ![DELTA, CUMULATIVE].contains(&metric.temporality) {
            return Err(Reason::NoTemporality);
        }
        point.check(metric.of)?;
        labels.set(METRIC_NAME, name.to_owned());
        let is_delta = metric.temporality == DELTA && !point.is_missing;
        let series = 3 + point.counts.len() + point.quantiles.len() + point.exponential.buckets().len();
        let bytes = series.saturating_mul(labels.bytes() + 32);
        self.room = self.room.checked_sub(bytes).ok_or(Reason::TooLarge)?;
        let mut total = Total::default();
        add(&mut total, point);
        if is_delta {
            let point = &*point;
            total = self.deltas.sum(labels.key(), point.time, |total| add(total, point))?;
            let bytes =
                (total.buckets.len() + total.exponential.buckets().len()).saturating_mul(labels.bytes() + 32);
            self.room = self.room.checked_sub(bytes).ok_or(Reason::TooLarge)?;
        }
        match metric.of {
            Of::Number => {
                self.sample(&labels, point.time, shown(point, total.value));
                if metric.is_counter {
                    self.exemplars(point, f64::NEG_INFINITY, f64::INFINITY);
                }
            }
            Of::Summary => self.summary(name, labels, point, &total),
            Of::Histogram => {
                let mut sum = 0_u64;
                let cumulative = total.buckets.iter().map(|(bound, count)| {
                    sum = sum.saturating_add(*count);
                    (from_ordered(*bound), sum)
                });
                let buckets: Vec<_> = cumulative.filter(|(bound, _)| bound.is_finite()).collect();
                self.histogram(name, labels, point, &total, &buckets);
            }
            Of::Exponential => {
                let buckets = total.exponential.buckets();
                self.histogram(name, labels, point, &total, &buckets);
            }
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        mut labels: Set<'_>,
        point: &Point<'_>,
        total: &Total,
        buckets: &[(f64, u64)],
    ) {
        labels.set(METRIC_NAME, format!("{name}_bucket"));
        let mut lower = f64::NEG_INFINITY;
        for (bound, count) in buckets {
            labels.set("le", bound.to_string());
            self.sample(&labels, point.time, shown(point, *count as f64));
            self.exemplars(point, lower, *bound);
            lower = *bound;
        }
        labels.set("le", "+Inf");
        self.sample(&labels, point.time, shown(point, total.count as f64));
        self.exemplars(point, lower, f64::INFINITY);
        labels.remove("le");
        self.count_and_sum(name, labels, point, total);
    }

    fn summary(&mut self, name: &str, mut labels: Set<'_>, point: &Point<'_>, total: &Total) {
        for (quantile, value) in &point.quantiles {
            labels.set("quantile", quantile.to_string());
            self.sample(&labels, point.time, shown(point, *value));
        }
        labels.remove("quantile");
        self.count_and_sum(name, labels, point, total);
    }

    fn count_and_sum(&mut self, name: &str, mut labels: Set<'_>, point: &Point<'_>, total: &Total) {
        labels.set(METRIC_NAME, format!("{name}_count"));
        self.sample(&labels, point.time, shown(point, total.count as f64));
        if point.sum.is_some() || point.is_missing {
            labels.set(METRIC_NAME, format!("{name}_sum"));
            self.sample(&labels, point.time, shown(point, total.value));
        }
    }

    /// Gives the exemplars above one bound and up to the other to the sink, as those of the series before.
    fn exemplars(&mut self, point: &Point<'_>, lower: f64, upper: f64) {
        let within =
            point.exemplars.iter().filter(|of| of.value <= upper && (of.value > lower || lower == upper));
        for exemplar in within {
            let labels = [("span_id", &*exemplar.span_id), ("trace_id", &*exemplar.trace_id)];
            let from = usize::from(exemplar.span_id.is_empty());
            self.sink.exemplar(millis(exemplar.time), exemplar.value, labels.get(from..).unwrap_or_default());
        }
    }

    fn sample(&mut self, labels: &Set<'_>, time: u64, value: f64) {
        self.sink.series(&labels.pairs());
        self.sink.sample(millis(time), value);
        self.counted.samples += 1;
    }
}

fn millis(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}

/// A value, or that there is none any more.
fn shown(point: &Point<'_>, value: f64) -> f64 {
    if point.is_missing { STALE } else { value }
}

/// Adds a point to what was counted.
fn add(total: &mut Total, point: &Point<'_>) {
    total.value += point.value.or(point.sum).unwrap_or_default();
    total.count = total.count.saturating_add(point.count);
    let bounds = point.bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(&point.counts) {
        let sum = total.buckets.entry(ordered(bound)).or_default();
        *sum = sum.saturating_add(*count);
    }
    total.exponential.add(&point.exponential);
}

/// A number whose order is that of the floats.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn from_ordered(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// The last message of this field; an empty one where there is none.
fn last(message: &[u8], wanted: u32) -> Result<&[u8], Broken> {
    let mut found = &b""[..];
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        if let (true, Raw::Bytes(message)) = (number == wanted, raw) {
            found = message;
        }
    }
    Ok(found)
}

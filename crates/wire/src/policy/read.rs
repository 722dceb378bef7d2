//! From a tree that was checked to values.
//!
//! What the table has let through is of the right kind, so a value that is not there is one that was
//! left out, and gets its default.

use std::time::Duration;

use identity::duration;
use resilience::{
    Algorithm, Backoff, BreakerPolicy, BudgetPolicy, CallPolicy, ConcurrencyPolicy, Deviation,
    Fallback as Answer, HalfOpen, HashKey, LimitKey, LoadBalancing, Mode, OpenFor, OutlierPolicy, Rate,
    RateLimitPolicy, RatePolicy, RetryPolicy, Timeouts, Tracing, Window,
};

use super::{
    DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, Document, Fault, KINDS, Kind, Mark, Mistake, Spec,
    shape::{Shape, real, share, whole},
    shown,
    table::{self},
    tree::{self, Node, Value},
};
use crate::nearest::nearest;

const BEGIN: Mark = Mark { line: 1, column: 1 };

/// Reads a text with one document.
///
/// # Errors
/// The first mistake.
pub fn read(text: &str) -> Result<Document, Mistake> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let why = format!("the document has {} bytes, and {DOCUMENT_BYTES_MAX} are the most", text.len());
        return Err(Mistake::new(Fault::Value, "", BEGIN, why));
    }
    let trees = tree::read(text)?;
    match trees.as_slice() {
        [only] => document(only),
        [] => {
            let why = "there is no document".to_owned();
            Err(Mistake::new(Fault::Missing, "", BEGIN, why))
        }
        [_, second, ..] => {
            let why = "a second document begins here; one is taken at a time".to_owned();
            Err(Mistake::new(Fault::Value, "", second.at, why))
        }
    }
}

/// Reads a text with any number of documents, as YAML separates them with `---`.
///
/// # Errors
/// The first mistake.
pub fn read_all(text: &str) -> Result<Vec<Document>, Mistake> {
    if text.len() > DOCUMENT_BYTES_MAX.saturating_mul(DOCUMENTS_MAX) {
        let why = "the text is longer than all documents that it may hold".to_owned();
        return Err(Mistake::new(Fault::Value, "", BEGIN, why));
    }
    let trees = tree::read(text)?;
    if let Some(beyond) = trees.get(DOCUMENTS_MAX) {
        let why = format!("there are more than {DOCUMENTS_MAX} documents");
        return Err(Mistake::new(Fault::Value, "", beyond.at, why));
    }
    trees.iter().map(document).collect()
}

fn document(node: &Node) -> Result<Document, Mistake> {
    let kind = kind(node)?;
    Shape::Object(table::document(kind)).check(node, "")?;
    let (metadata, spec) = (node.get("metadata"), node.get("spec"));
    let name =
        |of: Option<&Node>, key: &str| of.and_then(|of| of.get(key)?.text()).unwrap_or_default().to_owned();
    // The table has let these through; where it has not, the rule of the name says why.
    let refused = |why: identity::Invalid| Mistake::new(Fault::Value, "/metadata", node.at, why.to_string());
    let namespace = metadata.and_then(|of| of.get("namespace")?.text());
    let service = matches!(kind, Kind::ServicePolicy).then(|| name(spec, "service").parse()).transpose();
    let document = Document {
        namespace: namespace.map(str::parse).transpose().map_err(refused)?,
        name: name(metadata, "name").parse().map_err(refused)?,
        service: service.map_err(refused)?,
        spec: spec.map(self::spec).transpose()?.unwrap_or_default(),
        json: node.to_json(),
    };
    let is_good = document.spec.over(&CallPolicy::default());
    is_good.map_err(|error| broken(node, &error))?;
    Ok(document)
}

/// Which table holds. Asked first, since every other mistake depends on it.
fn kind(node: &Node) -> Result<Kind, Mistake> {
    if !matches!(node.value, Value::Map(_)) {
        let why = "a policy is an object with apiVersion, kind, metadata and spec".to_owned();
        return Err(Mistake::new(Fault::Value, "", node.at, why));
    }
    let known = KINDS.map(Kind::as_str);
    let Some(given) = node.get("kind") else {
        let why = format!("\"kind\" is missing: {}", known.join(" or "));
        return Err(Mistake::new(Fault::Missing, "/kind", node.at, why));
    };
    let word = given.text().unwrap_or_default();
    KINDS.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
        let why = match word {
            "Route" | "Listener" => {
                format!("the kind {word} is not known to this version: {}", known.join(" or "))
            }
            _ => format!("{} is not a kind of policy: {}", shown(word), known.join(" or ")),
        };
        Mistake::new(Fault::Value, "/kind", given.at, why).meant(nearest(word, known))
    })
}

/// A rule between values, which the table does not know: told at the deepest place that it names.
fn broken(document: &Node, error: &identity::Invalid) -> Mistake {
    let (mut node, mut path) = (document.get("spec").unwrap_or(document), "/spec".to_owned());
    for key in error.what().split('.') {
        let Some(next) = node.get(key) else { break };
        path = format!("{path}/{key}");
        node = next;
    }
    Mistake::new(Fault::Value, &path, node.at, error.to_string())
}

/// A section that may be switched off.
fn switch<T>(
    spec: &Node,
    name: &str,
    read: impl FnOnce(&Node) -> Result<T, Mistake>,
) -> Result<Option<Option<T>>, Mistake> {
    let Some(node) = spec.get(name) else { return Ok(None) };
    if node.is_null() { Ok(Some(None)) } else { read(node).map(|read| Some(Some(read))) }
}

fn spec(node: &Node) -> Result<Spec, Mistake> {
    let never = || RetryPolicy { max_retries: 0, on: Vec::new(), ..RetryPolicy::default() };
    Ok(Spec {
        timeouts: node.get("timeouts").map(timeouts),
        retry: node.get("retry").map(|node| if node.is_null() { never() } else { retry(node) }),
        circuit_breaker: switch(node, "circuit_breaker", |node| breaker(node, "circuit_breaker"))?,
        outlier_detection: switch(node, "outlier_detection", outliers)?,
        load_balancing: node.get("load_balancing").map(load_balancing),
        rate_limits: node.get("rate_limits").map(|node| node.items().iter().map(rate_limit).collect()),
        concurrency: switch(node, "concurrency", |node| Ok(concurrency(node)))?,
        fallback: switch(node, "fallback", |node| Ok(fallback(node)))?,
        tracing: node.get("tracing").map(tracing),
    })
}

fn time(node: &Node, name: &str) -> Option<Duration> {
    node.get(name).and_then(as_time)
}

fn as_time(node: &Node) -> Option<Duration> {
    node.text().and_then(|text| duration::parse(text).ok())
}

fn count(node: &Node, name: &str) -> Option<u32> {
    node.get(name).and_then(whole).and_then(|number| u32::try_from(number).ok())
}

fn part(node: &Node, name: &str) -> Option<f64> {
    node.get(name).and_then(share)
}

fn timeouts(node: &Node) -> Timeouts {
    let below = Timeouts::default();
    Timeouts {
        connect: time(node, "connect").unwrap_or(below.connect),
        attempt: time(node, "attempt"),
        call: time(node, "call").unwrap_or(below.call),
        idle: time(node, "idle").unwrap_or(below.idle),
    }
}

fn retry(node: &Node) -> RetryPolicy {
    let below = RetryPolicy::default();
    let condition = |node: &Node| match whole(node) {
        Some(status) => status.to_string().parse().ok(),
        None => node.text().and_then(|text| text.parse().ok()),
    };
    let backoff = node.get("backoff").map(|node| {
        let base = time(node, "base").unwrap_or(below.backoff.base);
        // A longer first wait alone is no mistake.
        Backoff { base, max: time(node, "max").unwrap_or(below.backoff.max.max(base)) }
    });
    let budget = node.get("budget").map(|node| BudgetPolicy {
        ratio: part(node, "ratio").unwrap_or(below.budget.ratio),
        min_per_second: count(node, "min_per_second").unwrap_or(below.budget.min_per_second),
    });
    RetryPolicy {
        max_retries: count(node, "max_retries").unwrap_or(below.max_retries),
        on: node.get("on").map_or(below.on, |on| on.items().iter().filter_map(condition).collect()),
        non_idempotent: node.get("non_idempotent").is_some_and(|flag| flag.value == Value::Flag(true)),
        backoff: backoff.unwrap_or(below.backoff),
        budget: budget.unwrap_or(below.budget),
    }
}

/// How many calls a rate needs where the document does not say.
const MIN_CALLS: u32 = 20;

fn breaker(node: &Node, section: &str) -> Result<BreakerPolicy, Mistake> {
    let below = BreakerPolicy::default();
    let rate = |name: &str| {
        let node = node.get(name).filter(|node| !node.is_null())?;
        let threshold = part(node, "threshold")?;
        Some(Rate { threshold, min_calls: count(node, "min_calls").unwrap_or(MIN_CALLS) })
    };
    let mode = match node.get("mode").and_then(Node::text) {
        Some("shadow") => Mode::Shadow,
        Some("disabled") => Mode::Disabled,
        _ => Mode::Enforce,
    };
    let consecutive_failures = match node.get("consecutive_failures") {
        Some(rule) => count(rule, "threshold"),
        None => below.consecutive_failures,
    };
    Ok(BreakerPolicy {
        mode,
        consecutive_failures,
        failure_rate: rate("failure_rate"),
        slow_call_rate: rate("slow_call_rate"),
        slow_after: node.get("slow_call_rate").and_then(|node| time(node, "slow_after")),
        window: window(node, section)?.unwrap_or(below.window),
        open_for: node.get("open_for").map_or(below.open_for, open_for),
        half_open: node.get("half_open").map_or(below.half_open, half_open),
        ramp: time(node, "ramp"),
    })
}

/// Both rates look at one window, so both may name it, and no two.
fn window(node: &Node, section: &str) -> Result<Option<Window>, Mistake> {
    let mut found: Option<Window> = None;
    for name in ["failure_rate", "slow_call_rate"] {
        let Some(given) = node.get(name).and_then(|rate| rate.get("window")) else { continue };
        let window = match as_time(given) {
            Some(length) => Window::Time(length),
            None => Window::Calls(count(given, "calls").unwrap_or_default()),
        };
        if found.is_some_and(|found| found != window) {
            let why =
                "failure_rate and slow_call_rate have one window; give both the same, or one of them none";
            let path = format!("/spec/{section}/{name}/window");
            return Err(Mistake::new(Fault::Value, &path, given.at, why.to_owned()));
        }
        found = Some(window);
    }
    Ok(found)
}

fn open_for(node: &Node) -> OpenFor {
    let below = OpenFor::default();
    let base = as_time(node).or_else(|| time(node, "base")).unwrap_or(below.base);
    OpenFor {
        base,
        multiplier: node.get("multiplier").and_then(real).unwrap_or(below.multiplier),
        max: time(node, "max").unwrap_or(below.max.max(base)),
        jitter: part(node, "jitter").unwrap_or(below.jitter),
    }
}

fn half_open(node: &Node) -> HalfOpen {
    let below = HalfOpen::default();
    let probes = count(node, "probes").unwrap_or(below.probes);
    HalfOpen {
        probes,
        successes: count(node, "successes").unwrap_or(probes),
        close_at: part(node, "close_at"),
        lease: time(node, "lease").unwrap_or(below.lease),
        max: time(node, "max"),
    }
}

fn outliers(node: &Node) -> Result<OutlierPolicy, Mistake> {
    let below = OutlierPolicy::default();
    let deviation = node.get("deviation").filter(|node| !node.is_null()).map(|node| Deviation {
        factor: node.get("factor").and_then(real).unwrap_or_default(),
        min_calls: count(node, "min_calls").unwrap_or(100),
        min_endpoints: count(node, "min_endpoints").unwrap_or(5),
    });
    Ok(OutlierPolicy {
        rules: breaker(node, "outlier_detection")?,
        max_ejection: part(node, "max_ejection").unwrap_or(below.max_ejection),
        keep: count(node, "keep").unwrap_or(below.keep),
        panic_below: part(node, "panic_below").unwrap_or(below.panic_below),
        deviation,
    })
}

fn load_balancing(node: &Node) -> LoadBalancing {
    let word = node.get("algorithm").and_then(Node::text);
    let algorithm = Algorithm::ALL.into_iter().find(|of| Some(of.as_str()) == word);
    LoadBalancing {
        algorithm: algorithm.unwrap_or_default(),
        hash_key: node.get("hash_key").and_then(key),
        bounded: node.get("bounded").and_then(real),
    }
}

fn key(node: &Node) -> Option<HashKey> {
    let named = |name: &str| node.get(name).and_then(Node::text).map(Into::into);
    match node.text() {
        Some("path") => Some(HashKey::Path),
        Some("source") => Some(HashKey::Source),
        _ => (named("header").map(HashKey::Header))
            .or_else(|| named("cookie").map(HashKey::Cookie))
            .or_else(|| named("query").map(HashKey::Query)),
    }
}

fn rate_limit(node: &Node) -> RateLimitPolicy {
    let calls = count(node, "calls").unwrap_or_default();
    let by = |node: &Node| match node.text() {
        Some("caller") => Some(LimitKey::Caller),
        _ => key(node).map(LimitKey::Request),
    };
    RateLimitPolicy {
        rate: RatePolicy {
            calls,
            per: time(node, "per").unwrap_or(Duration::from_secs(1)),
            burst: count(node, "burst").unwrap_or(calls.min(1_000_000)),
        },
        by: node.get("by").and_then(by),
    }
}

fn concurrency(node: &Node) -> ConcurrencyPolicy {
    ConcurrencyPolicy {
        limit: count(node, "limit").unwrap_or_default(),
        queue: count(node, "queue").unwrap_or_default(),
        wait: time(node, "wait").unwrap_or(Duration::from_secs(1)),
    }
}

fn fallback(node: &Node) -> Answer {
    let below = Answer::default();
    let text = |name: &str| node.get(name).and_then(Node::text);
    Answer {
        status: node.get("status").and_then(whole).and_then(|of| u16::try_from(of).ok()).unwrap_or_default(),
        content_type: text("content_type").map_or(below.content_type, Into::into),
        body: text("body").map_or(below.body, Into::into),
    }
}

fn tracing(node: &Node) -> Tracing {
    Tracing { share: part(node, "share").unwrap_or(Tracing::default().share) }
}

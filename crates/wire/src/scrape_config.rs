//! Whom to scrape, in the form of Prometheus' own configuration: `global` and `scrape_configs`.
//!
//! What is understood is done, and what is not is an error that names the key: a target that is asked in another way
//! than its configuration says would be worse than none. `evaluation_interval` is taken, since it stands in almost
//! every file, and means nothing here.

use std::{collections::BTreeMap, time::Duration};

use identity::{duration, size};
use monitoring::scrape::{Action, Job, Rule};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{nearest::nearest, policy};

/// The longest text, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// How many jobs there may be.
pub const MAX_JOBS: usize = 1_000;
/// How many targets they may name together.
pub const MAX_TARGETS: usize = 10_000;
/// The shortest interval.
pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// The interval and the time-out where nothing is said, and the size of an answer.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// The time-out where nothing is said; it is the interval where that is shorter.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes, and the most that can be asked for.
pub const BODY_LIMIT: usize = 16 << 20;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Mistake {
    path: String,
    why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(default)]
    global: Global,
    #[serde(default)]
    scrape_configs: Vec<Raw>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Global {
    scrape_interval: Option<String>,
    scrape_timeout: Option<String>,
    #[serde(rename = "evaluation_interval")]
    _evaluation_interval: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    job_name: String,
    scrape_interval: Option<String>,
    scrape_timeout: Option<String>,
    metrics_path: Option<String>,
    scheme: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    honor_labels: bool,
    honor_timestamps: Option<bool>,
    #[serde(default)]
    sample_limit: usize,
    body_size_limit: Option<String>,
    follow_redirects: Option<bool>,
    #[serde(default)]
    static_configs: Vec<Static>,
    #[serde(default)]
    relabel_configs: Vec<Relabel>,
    #[serde(default)]
    metric_relabel_configs: Vec<Relabel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Static {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, Json>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relabel {
    #[serde(default)]
    source_labels: Vec<String>,
    separator: Option<String>,
    regex: Option<Json>,
    target_label: Option<String>,
    replacement: Option<Json>,
    action: Option<String>,
}

/// Reads a configuration.
///
/// # Errors
/// The first mistake.
pub fn read(text: &str) -> Result<Vec<Job>, Mistake> {
    let mistake = |path: &str, why: String| Mistake { path: path.to_owned(), why };
    if text.len() > MAX_BYTES {
        return Err(mistake("/", format!("the text has {} bytes, and {MAX_BYTES} are the most", text.len())));
    }
    let data = policy::data(text).map_err(|error| mistake(error.path(), error.to_string()))?;
    let whole: Whole = data.map(of).transpose()?.unwrap_or_default();
    if whole.scrape_configs.len() > MAX_JOBS {
        return Err(mistake("/scrape_configs", format!("there are more than {MAX_JOBS} jobs")));
    }
    let mut jobs: Vec<Job> = Vec::new();
    for (at, raw) in whole.scrape_configs.into_iter().enumerate() {
        let path = format!("/scrape_configs/{at}");
        let job = job(raw, &whole.global).map_err(|(key, why)| mistake(&format!("{path}/{key}"), why))?;
        if jobs.iter().any(|other| other.name == job.name) {
            return Err(mistake(&format!("{path}/job_name"), format!("there are two jobs {:?}", job.name)));
        }
        jobs.push(job);
    }
    match jobs.iter().map(|job| job.static_targets.len()).sum::<usize>() {
        0..=MAX_TARGETS => Ok(jobs),
        more => Err(mistake(
            "/scrape_configs",
            format!("there are {more} targets, and {MAX_TARGETS} are the most"),
        )),
    }
}

fn of<T: DeserializeOwned>(data: Json) -> Result<T, Mistake> {
    serde_path_to_error::deserialize(data).map_err(|error| {
        let path = format!("/{}", error.path().to_string().replace(['.', '['], "/").replace(']', ""));
        let why = error.inner().to_string();
        // "unknown field `a`, expected one of `b`, `c`": the nearest of those that are known is enough.
        let mut quoted = why.split('`').skip(1).step_by(2);
        let why = match (why.starts_with("unknown field"), quoted.next()) {
            (true, Some(unknown)) => match nearest(unknown, quoted) {
                Some(near) => format!("{unknown:?} is not understood here; did you mean {near:?}?"),
                None => format!("{unknown:?} is not understood here; leave it out"),
            },
            _ => why,
        };
        Mistake { path, why }
    })
}

/// What is wrong, and in which key.
type Wrong = (&'static str, String);

fn job(raw: Raw, global: &Global) -> Result<Job, Wrong> {
    let span = |key, own: Option<&String>, general: Option<&String>, usual| {
        let text = own.or(general);
        text.map_or(Ok(usual), |text| duration::parse(text).map_err(|error| (key, error.to_string())))
    };
    let interval =
        span("scrape_interval", raw.scrape_interval.as_ref(), global.scrape_interval.as_ref(), INTERVAL)?;
    if interval < MIN_INTERVAL {
        return Err(("scrape_interval", "it is shorter than 100ms".to_owned()));
    }
    let usual = TIMEOUT.min(interval);
    let timeout = span("scrape_timeout", raw.scrape_timeout.as_ref(), global.scrape_timeout.as_ref(), usual)?;
    if timeout > interval || timeout.is_zero() {
        return Err(("scrape_timeout", "it is longer than the interval, or nothing".to_owned()));
    }
    if raw.job_name.is_empty() {
        return Err(("job_name", "it is empty".to_owned()));
    }
    if raw.scheme.is_some_and(|scheme| scheme != "http") {
        return Err(("scheme", "http is spoken, and nothing else".to_owned()));
    }
    if raw.follow_redirects == Some(true) {
        return Err(("follow_redirects", "redirects are not followed; say false or leave it out".to_owned()));
    }
    let body_limit = match raw.body_size_limit.as_deref() {
        None | Some("0") => BODY_LIMIT,
        Some(text) => match size::parse(text) {
            Ok(bytes) if bytes <= BODY_LIMIT as u64 => bytes as usize,
            Ok(_) => return Err(("body_size_limit", "it is more than 16MiB".to_owned())),
            Err(error) => return Err(("body_size_limit", error.to_string())),
        },
    };
    let params = raw.params.into_iter().filter_map(|(name, values)| Some((name, values.into_iter().next()?)));
    Ok(Job {
        name: raw.job_name,
        interval,
        timeout,
        path: raw.metrics_path.unwrap_or_else(|| "/metrics".to_owned()),
        params: params.collect(),
        honor_labels: raw.honor_labels,
        honor_timestamps: raw.honor_timestamps.unwrap_or(true),
        sample_limit: raw.sample_limit,
        body_limit,
        static_targets: raw.static_configs.into_iter().flat_map(targets).collect(),
        relabel: rules(raw.relabel_configs).map_err(|why| ("relabel_configs", why))?,
        metric_relabel: rules(raw.metric_relabel_configs).map_err(|why| ("metric_relabel_configs", why))?,
    })
}

fn targets(of: Static) -> impl Iterator<Item = (String, Vec<(String, String)>)> {
    let labels: Vec<_> = of.labels.into_iter().map(|(name, value)| (name, text(value))).collect();
    of.targets.into_iter().map(move |target| (target, labels.clone()))
}

/// What a value of YAML was written as, near enough: `regex: 5` means the text "5".
fn text(value: Json) -> String {
    match value {
        Json::String(text) => text,
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

fn rules(all: Vec<Relabel>) -> Result<Vec<Rule>, String> {
    let rule = |(at, raw): (usize, Relabel)| {
        let name = raw.action.as_deref().unwrap_or("replace");
        let action =
            Action::named(name).ok_or_else(|| format!("{at}: the action {name:?} is not understood"))?;
        let regex = raw.regex.map(text);
        let replacement = raw.replacement.map(text);
        Rule::new(action, raw.source_labels, raw.separator, regex.as_deref(), raw.target_label, replacement)
            .map_err(|error| format!("{at}: {error}"))
    };
    all.into_iter().enumerate().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
global:
  scrape_interval: 30s
  evaluation_interval: 30s
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ['localhost:9100', "10.0.0.1:9100"]
        labels: {zone: a, rack: 7}
    relabel_configs:
      - source_labels: [__address__]
        regex: '(.*):\d+'
        target_label: instance
    metric_relabel_configs:
      - {source_labels: [__name__], regex: go_.*, action: drop}
  - job_name: probe
    scrape_interval: 5s
    scrape_timeout: 1s
    metrics_path: /probe
    params: {module: [http_2xx]}
    honor_labels: true
    honor_timestamps: false
    sample_limit: 10
    body_size_limit: 1MB
"#;

    #[test]
    fn a_file_as_prometheus_has_it_is_understood() {
        let jobs = read(FILE).unwrap();
        let [node, probe] = jobs.as_slice() else { panic!("{jobs:?}") };
        assert_eq!((node.interval, node.timeout), (Duration::from_secs(30), TIMEOUT));
        let (address, labels) = &node.static_targets[1];
        let target = node.target(&node.discovered(address, labels)).unwrap().unwrap();
        assert_eq!(target.labels.to_string(), r#"{instance="10.0.0.1", job="node", rack="7", zone="a"}"#);
        assert_eq!(node.metric_relabel.len(), 1);
        assert_eq!((probe.interval, probe.timeout), (Duration::from_secs(5), Duration::from_secs(1)));
        let target = probe.target(&probe.discovered("a:1", &[])).unwrap().unwrap();
        assert_eq!(target.path, "/probe?module=http_2xx");
        assert!(probe.honor_labels && !probe.honor_timestamps);
        assert_eq!((probe.sample_limit, probe.body_limit), (10, 1_000_000));
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let job = |rest: &str| format!("scrape_configs: [{{job_name: a, {rest}}}]");
        for (text, wrong) in [
            (
                "rule_files: [a.yml]".to_owned(),
                "/rule_files: \"rule_files\" is not understood here; leave it out",
            ),
            (
                job("metric_path: /a"),
                "/scrape_configs/0/metric_path: \"metric_path\" is not understood here; did you mean \"metrics_path\"?",
            ),
            (job("scheme: https"), "/scrape_configs/0/scheme: http is spoken"),
            (job("scrape_interval: 5"), "/scrape_configs/0/scrape_interval: "),
            (job("scrape_interval: 1ms"), "/scrape_configs/0/scrape_interval: it is shorter"),
            (job("scrape_timeout: 1m"), "/scrape_configs/0/scrape_timeout: it is longer"),
            (job("body_size_limit: 1TB"), "/scrape_configs/0/body_size_limit: it is more"),
            (job("follow_redirects: true"), "/scrape_configs/0/follow_redirects: redirects"),
            (
                job("relabel_configs: [{action: hashmod}]"),
                "/scrape_configs/0/relabel_configs: 0: the action \"hashmod\"",
            ),
            (job("relabel_configs: [{regex: (}]"), "/scrape_configs/0/relabel_configs: 0: "),
            (
                "scrape_configs: [{job_name: a}, {job_name: a}]".to_owned(),
                "/scrape_configs/1/job_name: there are two",
            ),
            ("scrape_configs: [{job_name: ''}]".to_owned(), "/scrape_configs/0/job_name: it is empty"),
            ("a: &b 1".to_owned(), "/a: line 1"),
        ] {
            let error = read(&text).map(drop).unwrap_err().to_string();
            assert!(error.starts_with(wrong), "{text} is {error}");
        }
    }
}

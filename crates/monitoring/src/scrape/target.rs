//! A target, and what it takes to make one.

use std::{sync::Arc, time::Duration};

use super::{Rule, relabelled};
use crate::series::{Labels, LabelsBuilder, METRIC_NAME};

/// What Prometheus' `scrape_configs` say of one job.
#[derive(Debug, Clone)]
pub struct Job {
    /// What it is called, which becomes the label `job`.
    pub name: String,
    /// The time from one scrape to the next.
    pub interval: Duration,
    /// How long a scrape may take, which is no longer than the interval.
    pub timeout: Duration,
    /// The path that is asked for.
    pub path: String,
    /// Parameters of the query.
    pub params: Vec<(String, String)>,
    /// Whether the target's own labels win over those of discovery.
    pub honor_labels: bool,
    /// Whether the target's own times hold.
    pub honor_timestamps: bool,
    /// How many samples a scrape may have after relabelling; 0 is no limit but the store's.
    pub sample_limit: usize,
    /// How many bytes an answer may have.
    pub body_limit: usize,
    /// What is asked, where nobody discovers it: each an address and its labels.
    pub static_targets: Vec<(String, Vec<(String, String)>)>,
    /// What makes targets of what was discovered.
    pub relabel: Vec<Rule>,
    /// What becomes of each series.
    pub metric_relabel: Vec<Rule>,
}

/// What is scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Those that its series get.
    pub labels: Labels,
    /// `host:port`
    pub address: String,
    /// The path and its query.
    pub path: String,
    /// From one scrape to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
}

impl Job {
    /// The labels from which relabelling starts.
    #[must_use]
    pub fn discovered(&self, address: &str, labels: &[(String, String)]) -> Labels {
        let own = [("job", &*self.name), ("__metrics_path__", &self.path), ("__scheme__", "http")];
        let mut builder = LabelsBuilder::default();
        let params: Vec<_> =
            self.params.iter().map(|(name, value)| (format!("__param_{name}"), value.clone())).collect();
        let all = own.into_iter().chain(params.iter().map(|(name, value)| (&**name, &**value)));
        let all = all.chain(labels.iter().map(|(name, value)| (&**name, &**value)));
        for (name, value) in all.chain([("__address__", address)]) {
            builder.set(Arc::from(name), Arc::from(value));
        }
        builder.build()
    }

    /// The target that was discovered under these labels; none where relabelling drops it.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn target(&self, discovered: &Labels) -> Result<Option<Target>, String> {
        let Some(labels) = relabelled(discovered.to_builder(), &self.relabel) else { return Ok(None) };
        let address = labels.get("__address__").to_owned();
        if address.is_empty() {
            return Ok(None);
        }
        if labels.get("__scheme__") != "http" {
            return Err(format!("the scheme {:?} is not spoken; http is", labels.get("__scheme__")));
        }
        let address = match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && (!host.contains(':') || host.ends_with(']')) => {
                match port.parse() {
                    Ok(1_u16..) => address,
                    _ => return Err(format!("the address {address:?} has no port from 1 to 65535")),
                }
            }
            _ => format!("{address}:80"),
        };
        let mut builder = labels.to_builder();
        builder.keep(|name| !name.starts_with("__"));
        if labels.get("instance").is_empty() {
            builder.set("instance".into(), address.as_str().into());
        }
        Ok(Some(Target {
            labels: builder.build(),
            path: path(&labels),
            address,
            interval: self.interval,
            timeout: self.timeout.min(self.interval),
        }))
    }
}

/// The path, with the parameters that labels say.
fn path(labels: &Labels) -> String {
    let path = labels.get("__metrics_path__");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut path = format!("{slash}{path}");
    for label in labels.as_slice() {
        if let Some(name) = label.name.strip_prefix("__param_") {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{}={}", escaped(name), escaped(&label.value)));
        }
    }
    path
}

/// As a query has to be written.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// Whose labels win where a series has one that its target has, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// The target's; the series' own are kept as `exported_…`.
    Target,
    /// The series' own.
    Series,
}

/// The labels of a series of a target.
#[must_use]
pub fn joined(series: &[(&str, &str)], target: &Labels, prefer: Prefer) -> LabelsBuilder {
    let mut all = target.to_builder();
    for (name, value) in series {
        let is_taken = *name != METRIC_NAME && !target.get(name).is_empty();
        if !is_taken || prefer == Prefer::Series {
            all.set(Arc::from(*name), Arc::from(*value));
        }
    }
    if prefer == Prefer::Target {
        for (name, value) in
            series.iter().filter(|(name, _)| *name != METRIC_NAME && !target.get(name).is_empty())
        {
            let mut exported = format!("exported_{name}");
            while !all.get(&exported).is_empty() {
                exported.insert_str(0, "exported_");
            }
            all.set(exported.into(), Arc::from(*value));
        }
    }
    all
}

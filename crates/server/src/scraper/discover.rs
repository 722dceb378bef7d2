//! Whom there is to ask.

use std::{sync::Arc, time::Duration};

use monitoring::{
    scrape::{Action, Job, Rule, Target},
    series::Labels,
};
use registry::Instance;
use wire::scrape_config::{BODY_LIMIT, TIMEOUT};

use crate::api;

/// The pool of the instances, which no job can be called.
const INSTANCES: &str = "";

/// Which target it is: its job, and what it is within that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pool: String,
    of: String,
}

impl Key {
    pub(super) fn of_instance(target: &registry::Target) -> Self {
        let of = format!("{}/{}/{}", target.namespace, target.service, target.instance);
        Self { pool: INSTANCES.to_owned(), of }
    }

    pub(super) fn is_instance(&self) -> bool {
        self.pool == INSTANCES
    }

    /// The name of its pool.
    pub(crate) fn pool(&self) -> &str {
        if self.is_instance() { "registry" } else { &self.pool }
    }
}

/// A target as it was discovered.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(super) key: Key,
    pub(super) job: Arc<Job>,
    pub(super) discovered: Labels,
    /// Or why it cannot be asked.
    pub(super) target: Result<Target, String>,
    /// Whether somebody says that there are metrics.
    pub(super) is_told: bool,
}

impl Wanted {
    /// A hash of what it is, which says when it is asked.
    pub(super) fn spread(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (&self.key.pool, &self.key.of).hash(&mut hasher);
        hasher.finish()
    }
}

/// What holds for instances: identity, as calls have it, and the service as `job`.
pub(super) fn of_instances(interval: Duration) -> Job {
    let label = |target: &str, source: &str| {
        let sources = vec![format!("__meta_bellwether_{source}")];
        Rule::new(Action::Replace, sources, None, None, Some(target.to_owned()), None).ok()
    };
    let labels =
        [("job", "service"), ("service", "service"), ("namespace", "namespace"), ("instance", "instance")];
    Job {
        name: "registry".to_owned(),
        interval,
        timeout: TIMEOUT.min(interval),
        path: "/metrics".to_owned(),
        params: Vec::new(),
        honor_labels: false,
        honor_timestamps: true,
        sample_limit: 0,
        body_limit: BODY_LIMIT,
        static_targets: Vec::new(),
        relabel: labels.iter().filter_map(|(target, source)| label(target, source)).collect(),
        metric_relabel: Vec::new(),
    }
}

/// An instance as a target; none where it does not want to be one.
pub(super) fn instance(
    job: &Arc<Job>,
    target: &registry::Target,
    instance: &Instance,
    told_only: bool,
) -> Option<Wanted> {
    let says = |name: &str| instance.registration.metadata.get(&format!("prometheus.io/{name}")).is_some();
    let is_told = ["scrape", "port", "path"].into_iter().any(says);
    if told_only && !is_told {
        return None;
    }
    let group = api::scrape_target(target, instance)?;
    let labels: Vec<_> = group.labels.into_iter().collect();
    wanted(Key::of_instance(target), job, group.targets.first()?, &labels, is_told)
}

/// A target that a configuration names.
pub(super) fn told(job: &Arc<Job>, address: &str, labels: &[(String, String)]) -> Wanted {
    let of = job.discovered(address, labels).to_string();
    let key = Key { pool: job.name.clone(), of };
    let dropped = |key, discovered| {
        let target = Err("relabelling drops it".to_owned());
        Wanted { key, job: job.clone(), discovered, target, is_told: false }
    };
    wanted(key.clone(), job, address, labels, true)
        .unwrap_or_else(|| dropped(key, job.discovered(address, labels)))
}

fn wanted(
    key: Key,
    job: &Arc<Job>,
    address: &str,
    labels: &[(String, String)],
    is_told: bool,
) -> Option<Wanted> {
    let discovered = job.discovered(address, labels);
    let target = job.target(&discovered).transpose()?;
    Some(Wanted { key, job: job.clone(), discovered, target, is_told })
}

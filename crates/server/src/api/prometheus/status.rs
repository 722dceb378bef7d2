//! What there is beside series.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Extension, extract::State as Of};
use monitoring::{
    promql::{Storage, StorageError},
    series::Labels,
};
use storage_catalog::Scope;
use wire::prometheus::{
    self, Failure, FailureKind, MetricMetadata, OverBudget, TsdbStatus, success, tsdb_status,
};

use super::{Answered, Document, Given, query::now, run::asked};
use crate::{
    api::{Caller, Shared},
    state::State,
};

/// How many entries each ranking has where nobody says.
const RANKED: usize = 10;
/// How many it may have.
const MAX_RANKED: usize = 10_000;

/// Our own, which nobody else describes, and those of others.
fn metrics(state: &State, wanted: Option<&str>) -> Vec<MetricMetadata> {
    let own = storage_samples::FAMILIES.into_iter().filter(|(name, ..)| wanted.is_none_or(|of| of == *name));
    let own: Vec<_> = own
        .map(|(name, kind, help)| MetricMetadata {
            name: name.into(),
            kind,
            help: help.into(),
            unit: "".into(),
        })
        .collect();
    let is_own = |of: &MetricMetadata| own.iter().any(|own| own.name == of.name);
    let mut others = state.families.known(wanted);
    others.retain(|of| !is_own(of));
    own.into_iter().chain(others).collect()
}

fn limit(given: &wire::prometheus::Parameters) -> Result<Option<usize>, Failure> {
    let limit = given.first("limit").map(str::parse::<usize>).transpose();
    limit.map_err(|_| Failure::new(FailureKind::BadData, "limit must be a number"))
}

/// What is known of metrics.
pub(super) async fn metadata(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let limit = limit(&given)?.unwrap_or(usize::MAX);
    let mut found = metrics(&state, given.first("metric"));
    found.truncate(limit);
    Ok(Document(prometheus::metadata(&found)))
}

/// Which version answers.
pub(super) async fn build_info(Extension(caller): Caller) -> Answered {
    caller.require(Scope::Read, None)?;
    Ok(Document(prometheus::build_info(env!("CARGO_PKG_VERSION"))))
}

/// How many series there are, and of what.
pub(super) async fn tsdb(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let limit = limit(&given)?.unwrap_or(RANKED).min(MAX_RANKED);
    let series_per_service = state.series.max_series_of_service() as u64;
    let of = state.clone();
    let document = asked(&state, None, move |source, _| {
        let over_budget = of.series.over_budget().into_iter().map(over_budget).collect();
        let failed = |error: StorageError| Failure::new(FailureKind::Internal, error.to_string());
        let storage = source.storage();
        let (from, to) = (now().saturating_sub(3_600_000), now());
        let selected = storage.select(&[], from, to).map_err(failed)?;
        let labels: Vec<Labels> = selected.into_iter().map(|series| series.labels).collect();
        let status = counted(&labels, (from, to), limit);
        Ok(tsdb_status(&TsdbStatus { series_per_service, over_budget, ..status }))
    });
    Ok(Document(document.await?))
}

fn counted(series: &[Labels], times: (i64, i64), limit: usize) -> TsdbStatus {
    let mut by_pair: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut by_metric: BTreeMap<&str, u64> = BTreeMap::new();
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for labels in series {
        *by_metric.entry(labels.metric()).or_default() += 1;
        for label in labels.as_slice() {
            *by_pair.entry((&label.name, &label.value)).or_default() += 1;
            values.entry(&label.name).or_default().insert(&label.value);
        }
    }
    let ranked = |all: Vec<(String, u64)>| {
        let mut all = all;
        all.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        all.truncate(limit);
        all
    };
    let bytes = |of: &BTreeSet<&str>| of.iter().map(|value| value.len() as u64).sum();
    TsdbStatus {
        series: series.len() as u64,
        pairs: by_pair.len() as u64,
        times,
        by_metric: ranked(by_metric.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()),
        values_by_label: ranked(
            values.iter().map(|(name, of)| ((*name).to_owned(), of.len() as u64)).collect(),
        ),
        bytes_by_label: ranked(values.iter().map(|(name, of)| ((*name).to_owned(), bytes(of))).collect()),
        by_pair: ranked(by_pair.iter().map(|((name, value), n)| (format!("{name}={value}"), *n)).collect()),
        ..TsdbStatus::default()
    }
}

fn over_budget(over: storage_samples::OverBudget) -> OverBudget {
    let storage_samples::OverBudget { service, series, folded, label } = over;
    OverBudget {
        service: service.into(),
        series,
        folded,
        label: label.map(|(label, values)| (label.into(), values)),
    }
}

/// Rules, of which there are none.
pub(super) async fn rules(Extension(caller): Caller) -> Answered {
    caller.require(Scope::Read, None)?;
    Ok(Document(success(r#"{"groups":[]}"#)))
}

/// Alerts, of which there are none.
pub(super) async fn alerts(Extension(caller): Caller) -> Answered {
    caller.require(Scope::Read, None)?;
    Ok(Document(success(r#"{"alerts":[]}"#)))
}

/// What is scraped, and what was discovered and is not.
pub(super) async fn targets(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let (mut active, mut dropped) = state.targets.all();
    match given.first("state").unwrap_or("any") {
        "active" => dropped.clear(),
        "dropped" => active.clear(),
        _ => {}
    }
    if let Some(pool) = given.first("scrapePool") {
        active.retain(|target| target.pool == pool);
        dropped.retain(|target| target.pool == pool);
    }
    Ok(Document(prometheus::targets(&active, &dropped)))
}

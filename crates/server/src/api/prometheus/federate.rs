//! Federation: the newest samples of series, for a Prometheus that scrapes them.

use axum::{
    Extension,
    extract::State as Of,
    response::{IntoResponse, Response},
};
use http::header;
use monitoring::{
    exposition::CONTENT_TYPE,
    promql::{LOOKBACK, Point, Samples, Storage, StorageError, parse_selector},
    series::is_stale,
};
use storage_catalog::Scope;
use wire::prometheus::{Failure, FailureKind, federation};

use super::{Given, Wrong, query::now, run::asked};
use crate::api::{Caller, Shared};

/// The newest sample of each series that a selector means and that has not ended, of the last five minutes.
pub(super) async fn federate(
    Of(state): Shared,
    Extension(caller): Caller,
    Given(given): Given,
) -> Result<Response, Wrong> {
    caller.require(Scope::Read, None)?;
    let selectors: Result<Vec<_>, _> = given.all("match[]").map(parse_selector).collect();
    let selectors = selectors.map_err(|error| Failure::expression("match[]", &error))?;
    let text = asked(&state, None, move |source, _| {
        let failed = |error: StorageError| Failure::new(FailureKind::Internal, error.to_string());
        let (storage, to) = (source.storage(), now());
        let mut found = std::collections::BTreeMap::new();
        for selector in &selectors {
            for series in storage.select(&selector.matchers, to - LOOKBACK, to).map_err(failed)? {
                let mut samples = Samples::default();
                series.samples.read(to - LOOKBACK, to, &mut samples).map_err(failed)?;
                if let (Some(&time), Some(&value)) = (samples.times.last(), samples.values.last())
                    && !is_stale(value)
                {
                    found.insert(series.labels, Point { time, value });
                }
            }
        }
        Ok(federation(found.into_iter().collect()))
    });
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text.await?).into_response())
}

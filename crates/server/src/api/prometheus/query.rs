//! Queries.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Extension, extract::State as Of};
use monitoring::promql::{Evaluator, Limits, Query, ValueType, parse};
use storage_catalog::Scope;
use wire::prometheus::{ExemplarsOf, Failure, FailureKind, Parameters, query, success};

use super::{Answered, Document, Given, run::asked};
use crate::{
    api::{Caller, Shared},
    clock,
    state::State,
};

/// How many points a series of an answer may have.
const MAX_POINTS: i64 = 11_000;

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::BadData, message)
}

/// How long the client wants to wait.
fn timeout(given: &Parameters) -> Result<Option<Duration>, Failure> {
    let milliseconds = given.duration("timeout")?;
    Ok(milliseconds.and_then(|milliseconds| u64::try_from(milliseconds).ok()).map(Duration::from_millis))
}

/// Now, in milliseconds.
pub(super) fn now() -> i64 {
    i64::try_from(clock::now().wall.0 / 1_000_000).unwrap_or(i64::MAX)
}

/// An expression at a time.
pub(super) async fn instant(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let time = given.time("time")?.unwrap_or_else(now);
    answered(&state, &given, time, time, None).await
}

/// An expression over time.
pub(super) async fn over_time(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    given.required("start")?;
    given.required("end")?;
    given.required("step")?;
    let start = given.time("start")?.unwrap_or_default();
    let end = given.time("end")?.unwrap_or_default();
    if end < start {
        return Err(Failure::parameter("end", "end timestamp must not be before start time").into());
    }
    let step = given.duration("step")?.unwrap_or_default();
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Failure::parameter("step", why).into());
    }
    if (end - start) / step > MAX_POINTS {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. \
                   Try decreasing the query resolution (?step=XX)";
        return Err(bad(why).into());
    }
    answered(&state, &given, start, end, Some(step)).await
}

async fn answered(
    state: &Arc<State>,
    given: &Parameters,
    start: i64,
    end: i64,
    step: Option<i64>,
) -> Answered {
    let timeout = timeout(given)?;
    let text = given.required("query")?;
    let expr = parse(text).map_err(|error| Failure::expression("query", &error))?;
    let of = expr.value_type();
    if step.is_some() && !matches!(of, ValueType::Scalar | ValueType::Vector) {
        let why =
            format!("invalid expression type \"{of}\" for range query, must be Scalar or instant Vector");
        return Err(Failure::parameter("query", why).into());
    }
    // One more than the distances between them.
    let limits = Limits { steps: MAX_POINTS as usize + 1, ..Limits::default() };
    let document = asked(state, timeout, move |source, cancelled| {
        let storage = source.storage();
        let asked = Query { expr: &expr, start, end, step };
        Ok(query(&Evaluator::new(&storage, limits, cancelled).answer(asked)?))
    });
    Ok(Document(document.await?))
}

/// An expression as it should be written.
pub(super) async fn format(Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let expr = parse(given.required("query")?).map_err(|error| Failure::expression("query", &error))?;
    Ok(Document(success(&serde_json::Value::from(expr.pretty()).to_string())))
}

/// Exemplars of the series that an expression selects; of the last hour where nobody says.
pub(super) async fn exemplars(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let expr = parse(given.required("query")?).map_err(|error| Failure::expression("query", &error))?;
    let end = given.time("end")?.unwrap_or_else(now);
    let start = given.time("start")?.unwrap_or_else(|| end.saturating_sub(3_600_000));
    if end < start {
        return Err(Failure::parameter("end", "end timestamp must not be before start timestamp").into());
    }
    let of = state.clone();
    let document = asked(&state, timeout(&given)?, move |_, _| {
        let mut all = BTreeMap::new();
        for selector in expr.selectors() {
            let found = of.series.exemplars(&selector.matchers, start, end);
            all.extend(found.map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?);
        }
        let all = all.into_iter().map(|(series, of)| {
            let exemplars = of.into_iter().map(|of| (of.labels, of.value, of.time)).collect();
            ExemplarsOf { series, exemplars }
        });
        Ok(wire::prometheus::exemplars(&all.collect::<Vec<_>>()))
    });
    Ok(Document(document.await?))
}

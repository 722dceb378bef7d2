//! Which series there are.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension,
    extract::{Path, State as Of},
};
use monitoring::{
    promql::{Storage, parse_selector},
    series::{Label, Labels, Matcher, is_label_name},
};
use storage_catalog::Scope;
use wire::prometheus::{Failure, FailureKind, Parameters, label_sets, texts};

use super::{
    Answered, Document, Given,
    query::now,
    run::{Source, asked},
};
use crate::{
    api::{Caller, Shared},
    state::State,
};

/// What is asked for: which series, and when.
struct Wanted {
    selectors: Vec<Vec<Matcher>>,
    from: i64,
    to: i64,
}

impl Wanted {
    fn read(given: &Parameters) -> Result<Self, Failure> {
        let (from, to) = (given.time("start")?.unwrap_or(0), given.time("end")?.unwrap_or_else(now));
        let selector = |text: &str| parse_selector(text).map(|selector| selector.matchers);
        let selectors: Result<_, _> = given.all("match[]").map(selector).collect();
        let selectors = selectors.map_err(|error| Failure::expression("match[]", &error))?;
        Ok(Self { selectors, from, to })
    }

    /// The labels of the series that any selector means, or of all.
    fn found(&self, source: &Source) -> Result<BTreeSet<Labels>, Failure> {
        let storage = source.storage();
        let all = [Vec::<Matcher>::new()];
        let selectors = if self.selectors.is_empty() { &all[..] } else { &self.selectors };
        let mut found = BTreeSet::new();
        for matchers in selectors {
            let selected = storage.select(matchers, self.from, self.to);
            let selected =
                selected.map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
            found.extend(selected.into_iter().map(|series| series.labels));
        }
        Ok(found)
    }
}

async fn wanted<T: Send + 'static>(
    state: &Arc<State>,
    wanted: Wanted,
    shape: impl FnOnce(BTreeSet<Labels>) -> T + Send + 'static,
) -> Result<T, Failure> {
    asked(state, None, move |source, _| wanted.found(source).map(shape)).await
}

/// Series by selectors.
pub(super) async fn series(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let asked = Wanted::read(&given)?;
    if asked.selectors.is_empty() {
        return Err(Failure::new(FailureKind::BadData, "no match[] parameter provided").into());
    }
    let shape = |found: BTreeSet<Labels>| label_sets(&found.into_iter().collect::<Vec<_>>());
    Ok(Document(wanted(&state, asked, shape).await?))
}

/// The names of labels.
pub(super) async fn labels(Of(state): Shared, Extension(caller): Caller, Given(given): Given) -> Answered {
    caller.require(Scope::Read, None)?;
    let shape = |found: BTreeSet<Labels>| {
        let labels = found.iter().flat_map(|labels| labels.as_slice());
        let names: BTreeSet<&str> = labels.map(|label| &*label.name).collect();
        texts(names)
    };
    Ok(Document(wanted(&state, Wanted::read(&given)?, shape).await?))
}

/// The values of a label.
pub(super) async fn label_values(
    Of(state): Shared,
    Extension(caller): Caller,
    Path(name): Path<String>,
    Given(given): Given,
) -> Answered {
    caller.require(Scope::Read, None)?;
    if !is_label_name(&name) {
        return Err(Failure::new(FailureKind::BadData, format!("invalid label name: {name:?}")).into());
    }
    let shape = move |found: BTreeSet<Labels>| {
        let labels = found.iter().filter_map(|labels| labels.find(&name));
        let values: BTreeSet<&str> = labels.map(|label: &Label| &*label.value).collect();
        texts(values)
    };
    Ok(Document(wanted(&state, Wanted::read(&given)?, shape).await?))
}

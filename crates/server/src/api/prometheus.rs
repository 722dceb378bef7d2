//! Prometheus' HTTP API, so that its dashboards and tools work as they are.
//!
//! Handlers read parameters, ask a [`Storage`](monitoring::promql::Storage) and shape the answer; which
//! store stands behind it is said in [`source`](run::Source::storage) alone. What is asked is evaluated beside the
//! server's own threads, a few queries at a time, and ends when nobody waits for it any more.

mod federate;
mod query;
mod run;
mod series;
mod status;

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use wire::prometheus::{Failure, Parameters};

use super::extract::whole;
use crate::{listener::Refusal, state::State};

pub(crate) use run::QUERIES_AT_ONCE;

/// Everything that is Prometheus'. It is described by Prometheus, and so not in our own
/// description.
pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::over_time).post(query::over_time))
        .route("/api/v1/query_exemplars", get(query::exemplars).post(query::exemplars))
        .route("/api/v1/format_query", get(query::format).post(query::format))
        .route("/api/v1/series", get(series::series).post(series::series))
        .route("/api/v1/labels", get(series::labels).post(series::labels))
        .route("/api/v1/label/{name}/values", get(series::label_values))
        .route("/api/v1/metadata", get(status::metadata))
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/api/v1/status/tsdb", get(status::tsdb))
        .route("/api/v1/rules", get(status::rules))
        .route("/api/v1/alerts", get(status::alerts))
        .route("/api/v1/targets", get(status::targets))
        .route("/federate", get(federate::federate))
}

/// What a handler answers: a document, or an error in Prometheus' words.
type Answered = Result<Document, Wrong>;

/// A document in JSON.
struct Document(String);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// Why there is no answer.
enum Wrong {
    /// In Prometheus' words.
    Failed(Failure),
    /// What has nothing to do with Prometheus, such as who may ask, in our own.
    Refused(Refusal),
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<T: Into<Refusal>> From<T> for Wrong {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        match self {
            Self::Failed(failure) => (failure.status(), Document(failure.document())).into_response(),
            Self::Refused(refusal) => refusal.into_response(),
        }
    }
}

/// The parameters of a request, of the path and of a form.
struct Given(Parameters);

impl<S: Send + Sync> FromRequest<S> for Given {
    type Rejection = Wrong;

    async fn from_request(request: Request, _: &S) -> Result<Self, Wrong> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if !is_form {
            return Ok(Self(Parameters::read(&query, "")?));
        }
        let body = whole(request.into_body()).await.map_err(Wrong::Refused)?;
        Ok(Self(Parameters::read(&query, &String::from_utf8_lossy(&body))?))
    }
}

use http::StatusCode;
use monitoring::promql::{ParseError, QueryError};

/// The types of errors that clients tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A parameter is missing or makes no sense.
    BadData,
    /// A query that makes sense cannot be answered.
    Execution,
    /// It was ended by whoever asked, or by a server that stops.
    Canceled,
    /// It took too long.
    Timeout,
    /// There is no such thing.
    NotFound,
    /// It is our fault.
    Internal,
}

/// An error as Prometheus answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its type.
    pub kind: FailureKind,
    /// What is wrong, and where.
    pub message: String,
}

impl Failure {
    /// A type and what is wrong.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A parameter that makes no sense.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::new(FailureKind::BadData, format!("invalid parameter \"{name}\": {why}"))
    }

    /// An expression that cannot be read.
    pub fn expression(parameter: &str, error: &ParseError) -> Self {
        Self::parameter(parameter, error)
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            FailureKind::BadData => StatusCode::BAD_REQUEST,
            FailureKind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::Canceled | FailureKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::NotFound => StatusCode::NOT_FOUND,
            FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The document that it is answered with.
    pub fn document(&self) -> String {
        let kind = match self.kind {
            FailureKind::BadData => "bad_data",
            FailureKind::Execution => "execution",
            FailureKind::Canceled => "canceled",
            FailureKind::Timeout => "timeout",
            FailureKind::NotFound => "not_found",
            FailureKind::Internal => "internal",
        };
        serde_json::json!({"status": "error", "errorType": kind, "error": self.message}).to_string()
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let kind = match error {
            QueryError::Steps(_) => FailureKind::BadData,
            QueryError::Cancelled => FailureKind::Canceled,
            QueryError::Storage(_) => FailureKind::Internal,
            _ => FailureKind::Execution,
        };
        Self::new(kind, error.to_string())
    }
}

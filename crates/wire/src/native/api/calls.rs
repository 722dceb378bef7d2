//! Rates, errors and durations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rates, errors and durations of the calls in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Red {
    /// Calls, whatever became of them.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that were refused without being sent.
    pub refused: u64,
    /// Calls per second over the window.
    pub rate_per_second: f64,
    /// Errors per call, 0 to 1.
    pub error_ratio: f64,
    /// Whether that is more than one call in twenty, of five or more.
    #[serde(default)]
    pub failing: bool,
    /// The exact mean duration, Σ sum / Σ count.
    pub mean_ns: u64,
    /// Half of the calls were no slower.
    pub p50_ns: Option<Quantile>,
    /// Nine of ten calls were no slower.
    pub p90_ns: Option<Quantile>,
    /// Ninety-nine of a hundred calls were no slower.
    pub p99_ns: Option<Quantile>,
    /// The slowest call.
    pub max_ns: u64,
}

/// A quantile with the bounds of the bucket that it fell into: the truth lies between them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quantile {
    /// The best single figure.
    pub estimate: u64,
    /// Not less than this.
    pub lower: u64,
    /// Not more than this.
    pub upper: u64,
}

/// The calls of each service and edge in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RedReport {
    /// The length of the window.
    pub window_ns: u64,
    /// By service.
    pub services: Vec<ServiceRed>,
    /// By caller and service.
    pub edges: Vec<EdgeRed>,
}

/// The calls to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceRed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Its figures.
    pub red: Red,
}

/// The calls from one caller to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EdgeRed {
    /// The namespace of both.
    pub namespace: String,
    /// Who calls.
    pub caller: String,
    /// Who is called.
    pub service: String,
    /// Its figures.
    pub red: Red,
}

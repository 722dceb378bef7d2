//! What a document says, section by section, and how sections merge.

use identity::Invalid;
use resilience::{
    BreakerPolicy, CallPolicy, ConcurrencyPolicy, Fallback, LoadBalancing, OutlierPolicy, Parts,
    RateLimitPolicy, RetryPolicy, Timeouts, Tracing,
};

/// The sections of a document; `None` for those that it leaves to what is below.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spec {
    pub(super) timeouts: Option<Timeouts>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) circuit_breaker: Option<Option<BreakerPolicy>>,
    pub(super) outlier_detection: Option<Option<OutlierPolicy>>,
    pub(super) load_balancing: Option<LoadBalancing>,
    pub(super) rate_limits: Option<Vec<RateLimitPolicy>>,
    pub(super) concurrency: Option<Option<ConcurrencyPolicy>>,
    pub(super) fallback: Option<Option<Fallback>>,
    pub(super) tracing: Option<Tracing>,
}

macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident = $field:ident;)*) => {
        /// A part of a policy that a document gives or leaves out as a whole.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Section {
            $($(#[$doc])* $name,)*
        }

        impl Section {
            /// Every section, in the order of documents.
            pub const ALL: &'static [Section] = &[$(Section::$name,)*];

            /// The key in documents.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Section::$name => stringify!($field),)*
                }
            }
        }

        impl Spec {
            /// Whether the document gives this section, be it to switch it off.
            pub fn gives(&self, section: Section) -> bool {
                match section {
                    $(Section::$name => self.$field.is_some(),)*
                }
            }

            /// What holds where this is said over what is below.
            ///
            /// # Errors
            /// The first rule that is broken, which that of a document that was read never is.
            pub fn over(&self, below: &CallPolicy) -> Result<CallPolicy, Invalid> {
                CallPolicy::new(Parts {
                    $($field: self.$field.clone().unwrap_or_else(|| below.$field.clone()),)*
                })
            }
        }
    };
}

sections! {
    /// How long things may take.
    Timeouts = timeouts;
    /// When to try again.
    Retry = retry;
    /// When to refuse.
    CircuitBreaker = circuit_breaker;
    /// When to take an endpoint out.
    OutlierDetection = outlier_detection;
    /// Which endpoint to choose.
    LoadBalancing = load_balancing;
    /// How many calls in how much time.
    RateLimits = rate_limits;
    /// How many calls at once.
    Concurrency = concurrency;
    /// What to answer instead of an error.
    Fallback = fallback;
    /// Which traces are kept.
    Tracing = tracing;
}

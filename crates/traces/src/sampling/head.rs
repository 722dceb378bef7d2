//! A share for each route: how much of which traces is kept is decided where a trace begins.

use identity::TraceId;

use super::Ratio;

/// Shares by service and route. What is said of a route goes before what is said of its service, and that
/// before what is said of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    of_all: Ratio,
    /// Service, route if one is meant, and share; at most [`Head::MAX_RULES`].
    rules: Vec<(Box<str>, Option<Box<str>>, Ratio)>,
}

impl Head {
    /// Rules of one head: each call looks through all of them.
    pub const MAX_RULES: usize = 256;

    /// The share of all that no rule is about.
    pub const fn new(of_all: Ratio) -> Self {
        Self { of_all, rules: Vec::new() }
    }

    /// The same with a rule for a service, or for one route of it; the same rule again replaces it. `None` where
    /// there are too many.
    #[must_use]
    pub fn with(mut self, service: &str, route: Option<&str>, share: Ratio) -> Option<Self> {
        self.rules.retain(|(of, by, _)| **of != *service || by.as_deref() != route);
        if self.rules.len() == Self::MAX_RULES {
            return None;
        }
        self.rules.push((service.into(), route.map(Into::into), share));
        Some(self)
    }

    /// The share of a route of a service.
    pub fn share(&self, service: &str, route: &str) -> Ratio {
        let of = |wanted: Option<&str>| {
            let found = self.rules.iter().find(|(of, by, _)| **of == *service && by.as_deref() == wanted);
            found.map(|(_, _, share)| *share)
        };
        of(Some(route)).or_else(|| of(None)).unwrap_or(self.of_all)
    }

    /// Whether a trace that begins with this route is kept.
    pub fn keeps(&self, trace_id: TraceId, service: &str, route: &str) -> bool {
        self.share(service, route).keeps(trace_id)
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new(Ratio::ALL)
    }
}

//! How many series a service may have, and what becomes of more.
//!
//! One label with a value per user must not cost everybody else their figures. A series that is beyond its service's
//! budget gets no labels of its own: its samples are *folded* into a series that has the labels in [`KEPT`] and
//! [`OVERFLOW`], whose sample at a time is the sum of all that were folded into it at that time. So the sum over a
//! metric stays what it was, per bucket of a histogram as well, and only who it was is not known any more. Markers of
//! an end and other values that are no number add nothing.
//!
//! **What it cannot do:** tell that a sender repeats a batch, since nothing is remembered of what was folded: it is
//! added twice. A rate over a folded counter jumps where a series joins or leaves the sum.

use std::collections::HashMap;

use monitoring::series::{BUCKET_LABEL, Labels, METRIC_NAME};

use super::{
    key,
    varint::{Cursor, put_bytes},
};

/// The label of a series that others are folded into, as OpenTelemetry's SDKs call it.
pub const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");
/// The reason for which a sample that went into a sum is not there by itself.
pub(crate) const FOLDED: &str = "folded";
/// How many series a service's others may be folded into.
const OVERFLOW_SERIES: usize = 1_000;
/// The labels that stay, which say where a series comes from, in their order.
const KEPT: [&str; 6] = [METRIC_NAME, "instance", "job", BUCKET_LABEL, "namespace", "service"];

/// A service that has more series than it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverBudget {
    /// The `namespace` and `service` of its series, or else their `job`.
    pub service: Box<str>,
    /// How many series it has, those that others are folded into left out.
    pub series: u64,
    /// How many samples of others were folded since the last part.
    pub folded: u64,
    /// The label with the most values, and how many.
    pub label: Option<(Box<str>, u64)>,
}

/// What a service has in an epoch.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) series: usize,
    pub(crate) overflow: usize,
    pub(crate) folded: u64,
}

/// What a series is to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// One of its service's own.
    Own,
    /// Folded into the one with this key.
    Folded(Vec<u8>),
}

/// What the services have, by what they are called.
#[derive(Debug, Default)]
pub(crate) struct Services(HashMap<Box<str>, Used>);

impl Services {
    /// Where the samples of a new series go, when a service may have `most`.
    pub(crate) fn room(&self, key: &[u8], most: usize) -> Room {
        let pairs = Pairs::of(key);
        let used = self.0.get(&*pairs.service());
        if pairs.is_overflow() || used.is_none_or(|used| used.series < most) {
            return Room::Own;
        }
        Room::Folded(pairs.folded())
    }

    /// Whether there may be one more series with this key, which is counted then.
    pub(crate) fn add(&mut self, key: &[u8]) -> bool {
        let pairs = Pairs::of(key);
        let used = self.0.entry(pairs.service().into_owned().into()).or_default();
        if !pairs.is_overflow() {
            used.series += 1;
            return true;
        }
        let has_room = used.overflow < OVERFLOW_SERIES;
        used.overflow += usize::from(has_room);
        has_room
    }

    /// Samples of a series went into a sum.
    pub(crate) fn fold(&mut self, key: &[u8], samples: u64) {
        if let Some(used) = self.0.get_mut(&*Pairs::of(key).service()) {
            used.folded += samples;
        }
    }

    /// Those of whose samples some were folded.
    pub(crate) fn over(&self) -> impl Iterator<Item = (&str, &Used)> {
        self.0.iter().filter(|(_, used)| used.folded > 0).map(|(service, used)| (&**service, used))
    }
}

/// Whether others are folded into a series with these labels.
pub(crate) fn is_overflow(labels: &Labels) -> bool {
    labels.get(OVERFLOW.0) == OVERFLOW.1
}

/// The key of the series that the one with this key is folded into.
pub(crate) fn folded(key: &[u8]) -> Vec<u8> {
    Pairs::of(key).folded()
}

/// Whether labels are a service's own.
pub(crate) fn is_of(labels: &Labels, service: &str) -> bool {
    *Pairs::of(&key::of(labels)).service() == *service && !is_overflow(labels)
}

/// Names and values of a key.
struct Pairs<'a>(&'a [u8]);

impl<'a> Pairs<'a> {
    fn of(key: &'a [u8]) -> Self {
        Self(key)
    }

    fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || Some((cursor.bytes()?, cursor.bytes()?)))
    }

    fn get(&self, name: &str) -> &'a str {
        let found = self.iter().find(|(of, _)| *of == name.as_bytes());
        found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    fn service(&self) -> std::borrow::Cow<'a, str> {
        match (self.get("namespace"), self.get("service")) {
            (_, "") => self.get("job").into(),
            ("", service) => service.into(),
            (namespace, service) => format!("{namespace}/{service}").into(),
        }
    }

    fn is_overflow(&self) -> bool {
        self.get(OVERFLOW.0) == OVERFLOW.1
    }

    /// The key of the series that it is folded into.
    fn folded(&self) -> Vec<u8> {
        let mut into = Vec::with_capacity(self.0.len());
        let put = |into: &mut Vec<u8>, name: &str, value: &[u8]| {
            put_bytes(into, name.as_bytes());
            put_bytes(into, value);
        };
        for name in KEPT {
            // In the order of the names.
            if name == "service" {
                put(&mut into, OVERFLOW.0, OVERFLOW.1.as_bytes());
            }
            if let Some((_, value)) = self.iter().find(|(of, _)| *of == name.as_bytes()) {
                put(&mut into, name, value);
            }
        }
        into
    }
}

#[cfg(test)]
mod tests {
    use monitoring::series::Texts;

    use super::*;

    fn key(labels: &[(&str, &str)]) -> Vec<u8> {
        let mut into = Vec::new();
        key::put(labels.iter().copied(), &mut into);
        into
    }

    #[test]
    fn a_series_beyond_the_budget_keeps_where_it_comes_from_and_its_bucket() {
        let mut services = Services::default();
        let of = |user: &str| {
            key(&[
                ("__name__", "calls_bucket"),
                ("instance", "10.0.0.1:80"),
                ("job", "cart"),
                ("le", "0.5"),
                ("namespace", "shop"),
                ("service", "cart"),
                ("user", user),
            ])
        };
        assert_eq!(services.room(&of("ann"), 1), Room::Own);
        assert!(services.add(&of("ann")));
        let Room::Folded(folded) = services.room(&of("bob"), 1) else { panic!("there is no room for bob") };
        let labels = key::labels(&folded, &mut Texts::default()).unwrap();
        assert_eq!(
            labels.to_string(),
            r#"calls_bucket{instance="10.0.0.1:80", job="cart", le="0.5", namespace="shop", otel_metric_overflow="true", service="cart"}"#
        );
        assert_eq!(key::of(&labels), folded, "in the order of the names");
        assert_eq!(services.room(&folded, 1), Room::Own, "nothing is folded twice");
        services.fold(&of("bob"), 3);
        assert_eq!(
            services.over().map(|(name, used)| (name, used.folded)).collect::<Vec<_>>(),
            [("shop/cart", 3)]
        );
    }

    #[test]
    fn what_others_are_folded_into_is_bounded_too() {
        let mut services = Services::default();
        for number in 0..OVERFLOW_SERIES {
            let name = format!("m{number}");
            assert!(services.add(&key(&[("__name__", &name), ("job", "j"), OVERFLOW])));
        }
        assert!(!services.add(&key(&[("__name__", "one_more"), ("job", "j"), OVERFLOW])));
        assert!(services.add(&key(&[("__name__", "one_more"), ("job", "other"), OVERFLOW])));
    }
}

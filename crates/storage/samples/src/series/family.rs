//! The order of series in a part.
//!
//! The series of one histogram stand next to each other, buckets by their bounds and then the count of all, since each
//! counts what the one before counts and a little more (see `column`). Else they stand in the order of their labels.

use std::cmp::Ordering;

use monitoring::{
    promql::parse_float,
    series::{BUCKET_LABEL, Label, Labels, METRIC_NAME},
};

/// What a series is among those of its histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Bucket(f64),
    Count,
    Other,
}

/// A series in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    labels: &'a Labels,
    /// The name of the histogram, or of what is none.
    family: &'a str,
    role: Role,
}

impl<'a> Member<'a> {
    pub(crate) fn of(labels: &'a Labels) -> Self {
        let name = labels.metric();
        let (family, role) = match (name.strip_suffix("_bucket"), name.strip_suffix("_count")) {
            (Some(family), _) => (family, parse_float(labels.get(BUCKET_LABEL)).map(Role::Bucket)),
            (_, Some(family)) => (family, Some(Role::Count)),
            _ => (name, Some(Role::Other)),
        };
        match role {
            Some(role) => Self { labels, family, role },
            None => Self { labels, family: name, role: Role::Other },
        }
    }

    /// The labels that tell the histograms of a name apart.
    fn others(&self) -> impl Iterator<Item = &'a Label> {
        let is_bucket = matches!(self.role, Role::Bucket(_));
        let tells =
            move |label: &&Label| &*label.name != METRIC_NAME && !(is_bucket && &*label.name == BUCKET_LABEL);
        self.labels.as_slice().iter().filter(tells)
    }

    /// Whether its values may be told as what they are more than those of the one that stands before it.
    pub(crate) fn is_above(&self, before: &Self) -> bool {
        matches!((before.role, self.role), (Role::Bucket(_), Role::Bucket(_) | Role::Count))
            && self.family == before.family
            && self.others().eq(before.others())
    }

    pub(crate) fn cmp(&self, other: &Self) -> Ordering {
        let by_role = || match (self.role, other.role) {
            (Role::Bucket(one), Role::Bucket(other)) => one.total_cmp(&other),
            (Role::Bucket(_), _) | (Role::Count, Role::Other) => Ordering::Less,
            (_, Role::Bucket(_)) | (Role::Other, Role::Count) => Ordering::Greater,
            _ => Ordering::Equal,
        };
        let of_family = self.family.cmp(other.family).then_with(|| self.others().cmp(other.others()));
        of_family.then_with(by_role).then_with(|| self.labels.cmp(other.labels))
    }
}

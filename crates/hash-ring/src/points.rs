//! Points in order, found at once.
//!
//! A binary search over 16,000 points takes fourteen steps that no processor can predict. Positions are
//! hashes, though, and so they are spread evenly: their first bits say almost exactly where they are. So a
//! table has, for each value of the first bits, the first point of that bucket; there are one or two
//! buckets a point, and what is left to search is a bucket. Somebody who chooses names so that all points
//! fall into one bucket gets a binary search again and no more.
//!
//! The same buckets sort the points when a ring is built, in linear time.
//!
//! Positions, owners and buckets are arrays of their own: a lookup touches one line of each, and a
//! change copies them in long runs.

use std::ops::Range;

use crate::nodes::Edit;

/// A position and the number of the node that it belongs to.
pub(crate) type Point = (u64, u32);

/// How many points a search compares at once, without asking how many there are in the bucket: a branch that
/// depends on that would be guessed wrongly half of the time. It is enough for all but one lookup in 200.
const FEW: usize = 4;

/// Sorted by position; points at the same position by node.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Points {
    /// [`FEW`] more than there are points: the ends of the circle, at which every search and every arc stops.
    positions: Vec<u64>,
    /// One more than there are points: behind the last point comes the first again. Empty without points.
    owners: Vec<u32>,
    /// For each bucket the number of the first point in it or after it; one more than there are buckets.
    starts: Vec<u32>,
    /// How many bits of a position are left when those of the bucket are taken.
    shift: u32,
}

impl Default for Points {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Points {
    /// The points in order.
    pub(crate) fn new(points: &[Point]) -> Self {
        let shift = shift_for(points.len());
        let mut starts = starts(points.iter().map(|(position, _)| *position), shift);
        // Room for what closes the arrays as well, so that they are not moved for it.
        let mut positions = Vec::with_capacity(points.len() + FEW);
        let mut owners = Vec::with_capacity(points.len() + 1);
        positions.resize(points.len(), 0);
        owners.resize(points.len(), 0);
        for (position, owner) in points {
            // Each bucket's start serves as its next free place, and ends up at the start of the next one.
            let place = &mut starts[(position >> shift) as usize];
            positions[*place as usize] = *position;
            owners[*place as usize] = *owner;
            *place += 1;
        }
        starts.rotate_right(1);
        starts[0] = 0;
        let mut bucket = Vec::new();
        for ends in starts.windows(2) {
            let run = ends[0] as usize..ends[1] as usize;
            if run.len() > 1 {
                sort(&mut positions[run.clone()], &mut owners[run], &mut bucket);
            }
        }
        close(&mut positions, &mut owners);
        Self { positions, owners, starts, shift }
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len() - FEW
    }

    /// The number of the first point at or after a position; that of the last point plus one if there is none.
    pub(crate) fn first(&self, position: u64) -> usize {
        let bucket = (position >> self.shift) as usize;
        let start = self.starts[bucket] as usize;
        // Points of later buckets are not before the position, so that they do no harm here.
        let few = start + before(&self.positions[start..start + FEW], position);
        if few < start + FEW {
            return few;
        }
        let end = self.starts[bucket + 1] as usize;
        few + self.positions[few..end].partition_point(|point| *point < position)
    }

    /// The owner of the point of this number, where one past the last is the first again. `None` without points.
    pub(crate) fn owner(&self, point: usize) -> Option<u32> {
        self.owners.get(point).copied()
    }

    /// Where the point of this number is, where one past the last is the first again. `None` without points.
    pub(crate) fn position(&self, point: usize) -> Option<u64> {
        let len = self.len();
        self.positions[..len].get(if point == len { 0 } else { point }).copied()
    }

    /// The owners of the points from this one on, and then of those before it.
    pub(crate) fn round(&self, point: usize) -> (&[u32], &[u32]) {
        let (before, after) = self.owners[..self.len()].split_at(point);
        (after, before)
    }

    /// The number of the point that is nearest in either direction; of two as near the one ahead. Not the
    /// number of a point where there is none.
    pub(crate) fn nearest(&self, position: u64) -> usize {
        let ahead = self.first(position);
        let previous = ahead.checked_sub(1).unwrap_or(self.len().saturating_sub(1));
        match (self.position(previous), self.position(ahead)) {
            // Of points at the same position the first one counts, from whichever side one comes.
            (Some(behind), Some(next)) if position.wrapping_sub(behind) < next.wrapping_sub(position) => {
                self.first(behind)
            }
            _ => ahead,
        }
    }

    /// The points by their distance from a position, in either direction; of those as near those ahead, and
    /// of those at one position the first, as [`Points::nearest`] has it.
    pub(crate) fn nearby(&self, position: u64) -> Nearby<'_> {
        let ahead = self.first(position);
        Nearby { points: self, position, ahead, behind: ahead, tied: 0..0, left: self.len() }
    }

    /// Where each arc ends, as a number of positions from 0 on, with its owner. The last ends the circle.
    pub(crate) fn arcs(&self) -> impl Iterator<Item = (u128, Option<u32>)> {
        let end = |position: &u64| u128::from(*position) + 1;
        self.positions[..=self.len()]
            .iter()
            .enumerate()
            .map(move |(point, position)| (end(position), self.owner(point)))
    }

    /// The points after a change: without those of `gone`, which have their old numbers of nodes, with
    /// those of `come`, which have the new ones. It costs as much as copying all and looking up the few.
    pub(crate) fn changed(&self, gone: Vec<Point>, come: Vec<Point>, edit: Edit) -> Self {
        let len = self.len() + come.len() - gone.len();
        let steps = self.steps(gone, come, edit);
        let mut positions = Vec::with_capacity(len + FEW);
        let mut owners = Vec::with_capacity(len + 1);
        let mut copied = 0;
        let end = Step { place: self.len(), bucket: 0, come: None };
        for step in steps.iter().chain([&end]) {
            positions.extend_from_slice(&self.positions[copied..step.place]);
            let run = self.owners[copied..step.place].iter();
            owners.extend(run.map(|owner| edit.renumber(*owner)));
            copied = step.place + usize::from(step.come.is_none());
            if let Some((position, owner)) = step.come {
                positions.push(position);
                owners.push(owner);
            }
        }
        close(&mut positions, &mut owners);
        let shift = shift_for(len);
        let starts = if shift == self.shift {
            self.starts_after(&steps)
        } else {
            starts(positions[..len].iter().copied(), shift)
        };
        Self { positions, owners, starts, shift }
    }

    /// What a change does, from the first position to the last.
    fn steps(&self, mut gone: Vec<Point>, mut come: Vec<Point>, edit: Edit) -> Vec<Step> {
        gone.sort_unstable();
        come.sort_unstable();
        let tied = |position: u64, from: usize| {
            (from..self.len()).take_while(move |point| self.positions[*point] == position)
        };
        let bucket = |position: u64| (position >> self.shift) as usize;
        let mut steps = Vec::with_capacity(gone.len() + come.len());
        let mut taken = 0;
        for (position, owner) in gone {
            // A node can have two points at one position, and then both go.
            let mut ties = tied(position, self.first(position).max(taken));
            let place = ties.find(|point| self.owners[*point] == owner);
            debug_assert!(place.is_some(), "only points that are there can go");
            if let Some(place) = place {
                taken = place + 1;
                steps.push(Step { place, bucket: bucket(position), come: None });
            }
        }
        for (position, owner) in come {
            let first = self.first(position);
            let before = |point: &usize| edit.renumber(self.owners[*point]) < owner;
            let place = first + tied(position, first).take_while(before).count();
            steps.push(Step { place, bucket: bucket(position), come: Some((position, owner)) });
        }
        // Who comes before a point has to be there before that point goes; the sort is stable.
        steps.sort_by_key(|step| (step.place, step.come.is_none()));
        steps
    }

    /// The starts of the buckets after a change that keeps their number.
    fn starts_after(&self, steps: &[Step]) -> Vec<u32> {
        let mut starts = Vec::with_capacity(self.starts.len());
        let mut more = 0_u32;
        for step in steps {
            let run = &self.starts[starts.len()..(step.bucket + 1).max(starts.len())];
            starts.extend(run.iter().map(|start| start.wrapping_add(more)));
            more = if step.come.is_some() { more.wrapping_add(1) } else { more.wrapping_sub(1) };
        }
        let run = &self.starts[starts.len()..];
        starts.extend(run.iter().map(|start| start.wrapping_add(more)));
        starts
    }
}

/// Points by their distance from a position: two ways around the circle, and each step on the one that is
/// shorter by then. They have been around together when every point was met.
#[derive(Clone)]
pub(crate) struct Nearby<'a> {
    points: &'a Points,
    position: u64,
    /// The number of the next point ahead, up to one past the last.
    ahead: usize,
    /// The number of the last point behind that was taken.
    behind: usize,
    /// Points at one position behind, in their order.
    tied: Range<usize>,
    left: usize,
}

impl Iterator for Nearby<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let Self { points, position, .. } = *self;
        let len = points.len();
        if self.tied.is_empty() {
            if self.ahead == len {
                self.ahead = 0;
            }
            let last = self.behind.checked_sub(1).unwrap_or(len - 1);
            let (next, behind) = (points.positions[self.ahead], points.positions[last]);
            // A point at the position itself is ahead at once, and behind only all the way around.
            let back = position.wrapping_sub(behind);
            if back == 0 || next.wrapping_sub(position) <= back {
                self.ahead += 1;
                return points.owner(self.ahead - 1);
            }
            self.behind = points.first(behind);
            self.tied = self.behind..last + 1;
        }
        points.owner(self.tied.next()?)
    }
}

/// A point that comes before the old point of this number, or that old point, which goes.
struct Step {
    place: usize,
    bucket: usize,
    come: Option<Point>,
}

/// Between one and two buckets a point.
fn shift_for(points: usize) -> u32 {
    u64::BITS - points.max(2).next_power_of_two().ilog2()
}

/// For each bucket how many points are before it, and then how many there are.
fn starts(positions: impl Iterator<Item = u64>, shift: u32) -> Vec<u32> {
    let mut starts = vec![0_u32; (u64::MAX >> shift) as usize + 2];
    positions.for_each(|position| starts[(position >> shift) as usize + 1] += 1);
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    starts
}

/// Sorts the points of a bucket, with a list that is used for all buckets.
fn sort(positions: &mut [u64], owners: &mut [u32], list: &mut Vec<Point>) {
    list.clear();
    list.extend(positions.iter().copied().zip(owners.iter().copied()));
    list.sort_unstable();
    for ((position, owner), point) in positions.iter_mut().zip(owners).zip(list) {
        (*position, *owner) = *point;
    }
}

/// How many of these points are before a position.
fn before(points: &[u64], position: u64) -> usize {
    points.iter().map(|point| usize::from(*point < position)).sum()
}

/// Puts the end of the circle behind the points, and the first owner behind the last.
fn close(positions: &mut Vec<u64>, owners: &mut Vec<u32>) {
    positions.extend([u64::MAX; FEW]);
    owners.extend(owners.first().copied());
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// Positions that meet each other: the ends of the circle, of buckets, and a few others.
    fn position() -> impl Strategy<Value = u64> {
        let near = select(vec![0, 1, 2, 1 << 32, 1 << 62, 1 << 63, u64::MAX / 3, u64::MAX - 1, u64::MAX]);
        prop_oneof![3 => near, 1 => any::<u64>(), 2 => 0..40_u64]
    }

    fn points(nodes: u32) -> impl Strategy<Value = Vec<Point>> {
        vec((position(), 0..nodes), 0..60)
    }

    fn listed(points: &Points) -> Vec<Point> {
        let len = points.len();
        points.positions[..len].iter().copied().zip(points.owners.iter().copied()).collect()
    }

    /// What is right: go through all points.
    fn first(sorted: &[Point], position: u64) -> Option<Point> {
        sorted.iter().find(|point| point.0 >= position).or(sorted.first()).copied()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_first_point_is_found_also_among_ties_and_at_the_ends(
            mut plain in points(5), wanted in vec(position(), 20),
        ) {
            let points = Points::new(&plain);
            plain.sort_unstable();
            prop_assert_eq!(listed(&points), plain.clone());
            for wanted in wanted {
                let point = points.first(wanted);
                let found = points.position(point).zip(points.owner(point));
                prop_assert_eq!(found, first(&plain, wanted));
            }
        }

        #[test]
        fn the_nearest_point_is_found_in_either_direction(
            mut plain in points(5), wanted in vec(position(), 20),
        ) {
            let points = Points::new(&plain);
            plain.sort_unstable();
            for wanted in wanted {
                let distance = |(position, owner): &Point| {
                    let ahead = position.wrapping_sub(wanted);
                    (ahead.min(ahead.wrapping_neg()), ahead > 1 << 63, *owner)
                };
                let nearest = plain.iter().min_by_key(|point| distance(point));
                prop_assert_eq!(points.owner(points.nearest(wanted)), nearest.map(|point| point.1));
            }
        }

        #[test]
        fn points_come_by_their_distance_each_once(mut plain in points(5), wanted in vec(position(), 20)) {
            let points = Points::new(&plain);
            for wanted in wanted {
                let distance = |(position, owner): &Point| {
                    let ahead = position.wrapping_sub(wanted);
                    (ahead.min(ahead.wrapping_neg()), ahead > 1 << 63, *owner)
                };
                plain.sort_by_key(distance);
                let owners: Vec<u32> = plain.iter().map(|(_, owner)| *owner).collect();
                prop_assert_eq!(points.nearby(wanted).collect::<Vec<_>>(), owners);
            }
        }

        #[test]
        fn a_change_is_equal_to_building_anew(
            plain in points(6), come in points(6), gone in vec(any::<prop::sample::Index>(), 0..30),
            at in 0..6_u32, kind in 0..3_u8,
        ) {
            let (edit, mut leaving, come) = match kind {
                0 => (Edit::Kept, Vec::new(), come),
                1 => (Edit::Inserted(at), Vec::new(), come),
                // The node that goes takes all its points, and none come for it.
                _ => (
                    Edit::Removed(at),
                    plain.iter().copied().filter(|(_, owner)| *owner == at).collect(),
                    come.into_iter().filter(|(_, owner)| *owner < 5).collect(),
                ),
            };
            let mut left: Vec<Point> =
                plain.iter().copied().filter(|(_, owner)| kind != 2 || *owner != at).collect();
            for index in gone {
                if !left.is_empty() {
                    leaving.push(left.swap_remove(index.index(left.len())));
                }
            }
            left.iter_mut().for_each(|(_, owner)| *owner = edit.renumber(*owner));
            left.extend(&come);
            let changed = Points::new(&plain).changed(leaving, come, edit);
            prop_assert!(changed == Points::new(&left), "{:?} instead of {left:?}", listed(&changed));
        }

        #[test]
        fn arcs_cover_the_circle_once(plain in points(5)) {
            let points = Points::new(&plain);
            let mut begin = 0;
            for (end, owner) in points.arcs() {
                prop_assert!(end >= begin);
                if end > begin {
                    prop_assert_eq!(owner, points.owner(points.first(begin as u64)), "from {}", begin);
                    prop_assert_eq!(owner, points.owner(points.first((end - 1) as u64)), "to {}", end);
                }
                begin = end;
            }
            prop_assert_eq!(begin, 1 << 64);
        }
    }

    #[test]
    fn a_crowded_bucket_is_searched_by_halving() {
        let plain: Vec<Point> = (0..10_000).map(|n| (u64::from(n) * 2, n % 7)).collect();
        let points = Points::new(&plain);
        for wanted in [0, 1, 2, 9_999, 19_997, 19_998, 19_999, u64::MAX] {
            assert_eq!(points.owner(points.first(wanted)), first(&plain, wanted).map(|point| point.1));
        }
    }
}

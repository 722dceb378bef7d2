//! Bounded loads: a node that has enough is passed over.
//!
//! Consistent hashing alone gives a node with a popular key whatever that key brings. With a bound c no node
//! is given a call that would take it above c times the mean, rounded up; the call goes on to the next node
//! that has room, which a c above 1 makes sure is not far (Mirrokni, Thorup, Zadimoghaddam, "Consistent
//! Hashing with Bounded Loads", SODA 2018). The mean counts the call that is to be placed. Where nodes have
//! weights, a node's part of the load is by its weight.
//!
//! Calls that are in flight stay where they are, as they must. So a node can be above the bound for a while
//! when calls elsewhere end; it is not given more.

/// How far above the mean a node may be loaded, from 1 (all alike) on.
///
/// Kept in thousandths and compared in whole numbers: 1.1 times 10 is 11 here, and not a little more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    thousandths: u32,
}

/// A bound that is no number from 1 to [`Bound::MAX`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundError(f64);

impl Bound {
    /// The highest bound, which is as good as none.
    pub const MAX: f64 = 1_000.0;

    /// A bound, rounded to a thousandth.
    pub fn new(c: f64) -> Result<Self, BoundError> {
        if (1.0..=Self::MAX).contains(&c) {
            Ok(Self { thousandths: (c * 1_000.0).round() as u32 })
        } else {
            Err(BoundError(c))
        }
    }

    /// Whether a node has room for one call more: whether then it would have at most its weight's part of
    /// c times all calls, rounded up.
    ///
    /// `load` is what it has now, `total` what all have together, `weights` the sum of the weights of all nodes
    /// that may be chosen.
    pub fn admits(self, load: u32, weight: u32, total: u64, weights: u64) -> bool {
        // load + 1 <= ceil(x) is load < x. The products stay below 2^116.
        let all = u128::from(total) + 1;
        u128::from(load) * (1_000 * u128::from(weights))
            < u128::from(self.thousandths) * all * u128::from(weight)
    }
}

impl std::fmt::Display for BoundError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "bound {}: give a number from 1 (all nodes alike) to {}, such as 1.25",
            self.0,
            Bound::MAX
        )
    }
}

impl std::error::Error for BoundError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_below_one_and_what_is_no_number_are_refused() {
        for c in [0.999, 0.0, -1.0, f64::NAN, f64::INFINITY, 1_000.5] {
            assert!(Bound::new(c).is_err(), "{c}");
        }
        assert_eq!(
            Bound::new(0.5).unwrap_err().to_string(),
            "bound 0.5: give a number from 1 (all nodes alike) to 1000, such as 1.25"
        );
    }

    #[test]
    fn a_node_is_filled_to_the_mean_times_c_rounded_up_and_no_further() {
        let room = |c: f64, total: u64, nodes: u64| {
            (0..).find(|load| !Bound::new(c).unwrap().admits(*load, 7, total, 7 * nodes)).unwrap()
        };
        assert_eq!(room(1.0, 0, 3), 1, "the first call goes anywhere");
        assert_eq!(room(1.0, 2, 3), 1, "three calls on three nodes: one each");
        assert_eq!(room(1.0, 3, 3), 2, "four calls on three nodes: at most two");
        assert_eq!(room(1.1, 99, 10), 11, "and not twelve, as in binary fractions");
        assert_eq!(room(1.25, 9, 10), 2, "1.25 rounded up");
        assert_eq!(room(2.0, 9, 5), 4);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let bound = Bound::new(Bound::MAX).unwrap();
        assert!(bound.admits(u32::MAX, u32::MAX, u64::MAX, u64::MAX));
        assert!(!Bound::new(1.0).unwrap().admits(u32::MAX, 1, 0, u64::MAX));
    }
}

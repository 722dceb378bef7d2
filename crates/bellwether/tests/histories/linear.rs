//! Whether a history of concurrent operations could have happened one operation at a time.
//!
//! Linearizability (Herlihy and Wing) asks for an order of the operations in which each takes effect at
//! one moment between its invocation and its return, and in which each answer is the one that a
//! sequential object gives. The search follows Wing and Gong, in the just-in-time form that Lowe gave it:
//! the history is walked in the order of time, and an operation is put into the order only when one that
//! returns could not have answered as it did without it. All orders are followed at once as a set of
//! configurations (which of the open operations have taken effect, and the object's state then), so that
//! two orders that lead to the same place are followed once.
//!
//! Linearizability is local: a history of many objects has an order if that of each object has one. So
//! objects are checked one by one, and the set stays small.
//!
//! An operation whose answer was lost may have taken effect or not. The model says so by giving both
//! states; such an operation returns when its server has ended, because nobody carries it out after that.

use std::{
    collections::HashSet,
    fmt::{self, Debug},
    hash::Hash,
};

/// Operations of one object that may be under way at the same time: a bit each.
const OPEN_MAX: usize = 64;

/// Configurations that are followed at a time. A history that needs more is refused as undecided, which
/// fails a test as well.
const CONFIGURATIONS_MAX: usize = 1 << 16;

/// A sequential object.
pub(crate) trait Object {
    type State: Clone + Debug + Eq + Hash;
    /// A call with what was answered to it.
    type Operation: Debug;

    /// The state before the first operation.
    fn begin(&self) -> Self::State;

    /// The states that the object can be in after this operation has taken effect in `state`. There are
    /// several where the answer does not tell, and none where it contradicts the state.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> Vec<Self::State>;

    /// Whether the history may end in this state.
    fn may_end(&self, _state: &Self::State) -> bool {
        true
    }
}

/// An operation in time. Moments are numbers of one clock, all different.
#[derive(Debug, Clone)]
pub(crate) struct Timed<O> {
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    pub(crate) operation: O,
}

/// Why a history has no order, or none that was found.
pub(crate) struct Contradiction(String);

impl Debug for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An order that is being followed.
type Configuration<S> = (u64, S);

/// Looks for an order.
pub(crate) fn check<M: Object>(object: &M, history: &[Timed<M::Operation>]) -> Result<(), Contradiction> {
    let mut moments = Vec::with_capacity(2 * history.len());
    for (index, Timed { invoked, returned, .. }) in history.iter().enumerate() {
        assert!(invoked < returned, "an operation returns after its invocation: {:?}", history[index]);
        moments.extend([(*invoked, index), (*returned, index)]);
    }
    moments.sort_unstable();
    let mut open = Open { object, history, slots: [None; OPEN_MAX] };
    let mut orders = HashSet::from([(0, object.begin())]);
    for (moment, index) in moments {
        if moment == history[index].invoked {
            open.enter(index)?;
        } else {
            orders = open.leave(index, orders)?;
        }
    }
    if orders.iter().any(|(_, state)| object.may_end(state)) {
        return Ok(());
    }
    let states: Vec<_> = orders.iter().map(|(_, state)| state).collect();
    Err(Contradiction(format!("the history cannot end in any of the states that it can lead to: {states:?}")))
}

/// The operations under way, each in a slot that is its bit.
struct Open<'a, M: Object> {
    object: &'a M,
    history: &'a [Timed<M::Operation>],
    slots: [Option<usize>; OPEN_MAX],
}

impl<M: Object> Open<'_, M> {
    fn enter(&mut self, index: usize) -> Result<(), Contradiction> {
        let free = self.slots.iter_mut().find(|slot| slot.is_none());
        let full = || Contradiction(format!("more than {OPEN_MAX} operations of one object at a time"));
        *free.ok_or_else(full)? = Some(index);
        Ok(())
    }

    /// The orders in which this operation, which returns now, has taken effect.
    fn leave(
        &mut self,
        index: usize,
        orders: HashSet<Configuration<M::State>>,
    ) -> Result<HashSet<Configuration<M::State>>, Contradiction> {
        let slot = self.slots.iter().position(|slot| *slot == Some(index)).unwrap();
        let bit = 1 << slot;
        let (mut after, mut known) = (HashSet::new(), orders.clone());
        let mut waiting: Vec<_> = orders.into_iter().collect();
        while let Some((done, state)) = waiting.pop() {
            if done & bit != 0 {
                after.insert((done & !bit, state));
                continue;
            }
            for next in self.longer(done, &state) {
                if known.insert(next.clone()) {
                    waiting.push(next);
                }
            }
            if known.len() > CONFIGURATIONS_MAX {
                return Err(Contradiction("undecided: more orders than can be followed".to_owned()));
            }
        }
        if after.is_empty() {
            return Err(self.contradiction(index, &known));
        }
        self.slots[slot] = None;
        Ok(after)
    }

    /// An order with one more of the open operations.
    fn longer(&self, done: u64, state: &M::State) -> Vec<Configuration<M::State>> {
        let open = self.slots.iter().enumerate().filter_map(|(slot, index)| Some((slot, (*index)?)));
        let waiting = open.filter(|(slot, _)| done & (1 << slot) == 0);
        let stepped = waiting.flat_map(|(slot, index)| {
            let states = self.object.step(state, &self.history[index].operation);
            states.into_iter().map(move |state| (done | 1 << slot, state))
        });
        stepped.collect()
    }

    fn contradiction(&self, index: usize, known: &HashSet<Configuration<M::State>>) -> Contradiction {
        let states: HashSet<_> = known.iter().map(|(_, state)| state).collect();
        let mut text = format!("no order allows {:?}\nthe states before it:", self.history[index]);
        states.iter().take(16).for_each(|state| text += &format!("\n  {state:?}"));
        text += "\nunder way meanwhile:";
        for other in self.slots.iter().flatten().filter(|other| **other != index) {
            text += &format!("\n  {:?}", self.history[*other]);
        }
        let mut earlier: Vec<_> = (self.history.iter())
            .filter(|operation| operation.returned < self.history[index].returned)
            .collect();
        earlier.sort_unstable_by_key(|operation| operation.returned);
        text += "\nthe last that returned before:";
        let skipped = earlier.len().saturating_sub(12);
        earlier[skipped..].iter().for_each(|operation| text += &format!("\n  {operation:?}"));
        Contradiction(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A register of one number: what is written is read.
    struct Cell;

    #[derive(Debug, Clone, Copy)]
    enum Do {
        Write(u8),
        /// A write whose answer was lost.
        Lost(u8),
        Read(u8),
    }

    impl Object for Cell {
        type State = u8;
        type Operation = Do;

        fn begin(&self) -> u8 {
            0
        }

        fn step(&self, state: &u8, operation: &Do) -> Vec<u8> {
            match *operation {
                Do::Write(value) => vec![value],
                Do::Lost(value) => vec![*state, value],
                Do::Read(value) if value == *state => vec![value],
                Do::Read(_) => Vec::new(),
            }
        }
    }

    fn has_order(history: &[(u64, u64, Do)]) -> bool {
        let timed = |&(invoked, returned, operation): &_| Timed { invoked, returned, operation };
        check(&Cell, &history.iter().map(timed).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn one_after_the_other_is_an_order() {
        assert!(has_order(&[]));
        assert!(has_order(&[
            (1, 2, Do::Write(7)),
            (3, 4, Do::Read(7)),
            (5, 6, Do::Write(8)),
            (7, 8, Do::Read(8))
        ]));
    }

    #[test]
    fn a_read_that_misses_a_finished_write_has_none() {
        assert!(!has_order(&[(1, 2, Do::Write(7)), (3, 4, Do::Read(0))]));
    }

    #[test]
    fn a_read_during_a_write_may_see_either() {
        for seen in [0, 7] {
            assert!(has_order(&[(1, 4, Do::Write(7)), (2, 3, Do::Read(seen))]));
        }
        assert!(!has_order(&[(1, 4, Do::Write(7)), (2, 3, Do::Read(8))]));
    }

    #[test]
    fn what_was_seen_once_is_not_unseen_again() {
        // Both reads are within the write; the later one steps back.
        assert!(has_order(&[(1, 6, Do::Write(7)), (2, 3, Do::Read(0)), (4, 5, Do::Read(7))]));
        assert!(!has_order(&[(1, 6, Do::Write(7)), (2, 3, Do::Read(7)), (4, 5, Do::Read(0))]));
    }

    #[test]
    fn two_readers_agree_on_the_order_of_two_writes() {
        let writes = [(1, 20, Do::Write(1)), (2, 21, Do::Write(2))];
        let readers = |first: [u8; 2], second: [u8; 2]| {
            let reads = [(3, 4, first[0]), (5, 6, second[0]), (7, 8, first[1]), (9, 10, second[1])];
            let reads = reads.map(|(invoked, returned, seen)| (invoked, returned, Do::Read(seen)));
            has_order(&[&writes[..], &reads].concat())
        };
        assert!(readers([1, 2], [1, 2]));
        assert!(!readers([1, 1], [2, 2]));
    }

    #[test]
    fn a_lost_write_may_have_happened_or_not_but_not_after_its_server_ended() {
        assert!(has_order(&[(1, 2, Do::Lost(7)), (3, 4, Do::Read(0))]));
        assert!(has_order(&[(1, 2, Do::Lost(7)), (3, 4, Do::Read(7))]));
        assert!(!has_order(&[(1, 2, Do::Lost(7)), (3, 4, Do::Read(0)), (5, 6, Do::Read(7))]));
    }

    #[test]
    fn a_history_too_wide_to_decide_is_not_called_sound() {
        let wide: Vec<_> = (0..64).map(|n| (n + 1, 1000 + n, Do::Lost(n as u8))).collect();
        assert!(!has_order(&wide));
    }

    /// Every order, one after the other: what the check must agree with.
    fn by_hand(history: &[(u64, u64, Do)], done: u32, state: u8) -> bool {
        if done.count_ones() as usize == history.len() {
            return true;
        }
        let left = || (0..history.len()).filter(|index| done & (1 << index) == 0);
        left().any(|index| {
            let (invoked, _, operation) = history[index];
            left().all(|other| history[other].1 >= invoked || other == index)
                && Cell
                    .step(&state, &operation)
                    .into_iter()
                    .any(|state| by_hand(history, done | 1 << index, state))
        })
    }

    fn histories() -> impl Strategy<Value = Vec<(u64, u64, Do)>> {
        let operation = (0..3_u8, 0..3_u8).prop_map(|(kind, value)| match kind {
            0 => Do::Write(value),
            1 => Do::Lost(value),
            _ => Do::Read(value),
        });
        prop::collection::vec((0..12_u64, 1..8_u64, operation), 1..7).prop_map(|drawn| {
            // Moments are all different, as those of a counter are.
            let moment = |at: u64, index: usize, side: u64| at * 100 + index as u64 * 2 + side;
            let timed = |(index, &(at, long, operation)): (usize, &(u64, u64, Do))| {
                (moment(at, index, 0), moment(at + long, index, 1), operation)
            };
            drawn.iter().enumerate().map(timed).collect()
        })
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_trying_every_order(history in histories()) {
            prop_assert_eq!(has_order(&history), by_hand(&history, 0, 0));
        }
    }
}

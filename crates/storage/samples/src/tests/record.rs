use monitoring::{ExponentialHistogram, Ledger, Outcome, SeriesKey, SeriesState, StatusClass, Total};
use proptest::prelude::*;

use super::{durations, key, seconds};
use crate::record;

fn histogram() -> impl Strategy<Value = ExponentialHistogram> {
    prop::collection::vec(0..u64::MAX / 2, 0..50).prop_map(durations)
}

proptest! {
    #[test]
    fn a_batch_comes_back_from_its_record(
        rows in prop::collection::vec(("[a-z]{1,5}", 0..5_usize, 0..6_usize, histogram()), 0..5)
    ) {
        let row = |(service, outcome, status, durations): (String, usize, usize, _)| {
            let mut key = key(&service, Outcome::ALL[outcome]);
            key.status = StatusClass::ALL[status];
            (key, durations)
        };
        let mut ledger = Ledger { received: 9, stored: 5, ..Ledger::default() };
        ledger.drop_for("queue_full", 4);
        let rows = rows.into_iter().map(row).collect();
        let batch = record::Batch { origin: None, received_at: seconds(1), ledger, rows };
        prop_assert_eq!(record::decode(&record::encode(&batch)).unwrap(), batch);
    }

    #[test]
    fn a_series_comes_back_from_its_record(
        total in histogram(), slots in prop::collection::vec((any::<u64>(), histogram(), any::<u128>()), 0..4),
        outcome in 0..5_usize, is_overflow in any::<bool>(),
    ) {
        let outcome = Outcome::ALL[outcome];
        let overflow = SeriesKey::Overflow { reporter: Default::default(), outcome };
        let key = if is_overflow { overflow } else { SeriesKey::Calls(key("shop", outcome)) };
        let slots = slots.into_iter().map(|(at, slot, sum)| (at, Total::from_parts(slot, sum))).collect();
        let state = SeriesState { key, total: Total::from_parts(total, u128::MAX), slots };
        prop_assert_eq!(record::decode_series(&record::encode_series(&state)).unwrap(), state);
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (record::decode(&bytes), record::decode_head(&bytes), record::decode_series(&bytes));
    }
}

use proptest::prelude::*;

use crate::bounds::{MAX_SCHEMA, MIN_SCHEMA, index, lower, upper};

#[test]
fn bounds_are_powers_of_the_base() {
    for schema in MIN_SCHEMA..=MAX_SCHEMA {
        for at in -300..300 {
            let exact = 2_f64.powf(f64::from(at + 1) / 2_f64.powi(schema.into()));
            let bound = upper(at, schema);
            if exact.is_finite() && exact > f64::MIN_POSITIVE {
                assert!(
                    (bound / exact - 1.0).abs() < 1e-13,
                    "bound {at} of schema {schema}: {bound} {exact}"
                );
            }
        }
    }
}

#[test]
fn an_upper_bound_is_inside_and_the_next_number_is_not() {
    for schema in -4..=MAX_SCHEMA {
        for at in -2_000..2_000 {
            let bound = upper(at, schema);
            if bound.is_finite() && bound >= f64::MIN_POSITIVE {
                assert_eq!(index(bound, schema), at, "{bound} at schema {schema}");
                assert_eq!(index(bound.next_up(), schema), at + 1, "above {bound} at schema {schema}");
            }
        }
    }
}

#[test]
fn powers_of_two_end_their_buckets_at_every_schema() {
    for exponent in -1022..=1023 {
        let value = 2_f64.powi(exponent);
        for schema in 0..=MAX_SCHEMA {
            assert_eq!(index(value, schema), (exponent << schema) - 1);
            assert_eq!(upper((exponent << schema) - 1, schema), value);
        }
    }
}

#[test]
fn the_smallest_and_the_largest_numbers_have_buckets() {
    for schema in -4..=MAX_SCHEMA {
        for value in [f64::from_bits(1), f64::from_bits(3), f64::MIN_POSITIVE.next_down(), f64::MAX] {
            let at = index(value, schema);
            assert!(lower(at, schema) <= value && value <= upper(at, schema), "{value:e} at {schema}");
        }
    }
    assert_eq!(upper(index(f64::MAX, 5), 5), f64::INFINITY);
}

proptest! {
    #[test]
    fn a_value_lies_between_the_bounds_of_its_bucket(bits in 1..f64::MAX.to_bits(), schema in -4..=MAX_SCHEMA) {
        let value = f64::from_bits(bits);
        let at = index(value, schema);
        // Subnormal bounds are cut to whole steps, so one of them may equal the value.
        prop_assert!(lower(at, schema) < value || value < f64::MIN_POSITIVE);
        prop_assert!(value <= upper(at, schema) || value < f64::MIN_POSITIVE);
    }

    #[test]
    fn a_coarser_index_is_the_finer_one_shifted(bits in 1..f64::MAX.to_bits(), schema in -4..MAX_SCHEMA) {
        let value = f64::from_bits(bits);
        prop_assert_eq!(index(value, schema), index(value, schema + 1) >> 1);
    }
}

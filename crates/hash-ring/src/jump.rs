//! Jump: buckets that have numbers and no names.

use std::num::NonZeroU32;

/// The bucket of a key among `buckets`, by Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash
/// Algorithm" (2014): no memory, and no bucket has more than its part but for chance. Buckets can come and go
/// only at the end, which suits shards and not instances. A key that is text is hashed first.
pub fn jump(mut key: u64, buckets: NonZeroU32) -> u32 {
    let buckets = i64::from(buckets.get());
    let (mut bucket, mut next) = (0, 0);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // From bucket + 1 on, each number of buckets takes the key away with the same chance as any other.
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: u64, buckets: u32) -> u32 {
        jump(key, NonZeroU32::new(buckets).unwrap())
    }

    #[test]
    fn published_values_come_out() {
        assert_eq!(of(0xDEAD_10CC, 666), 361);
        assert_eq!(of(256, 1_024), 520);
    }

    #[test]
    fn many_buckets_come_out_as_an_independent_program_computes_them() {
        for (key, buckets, bucket) in [
            (1, 2_147_483_647, 262_355_607),
            (3_735_928_559, 1_000_000, 479_362),
            (u64::MAX, 1_000_000_000, 699_554_662),
            (10_863_919_174_838_991, 4_000_000_000, 977_315_119),
            (7, 123_456_789, 93_766_741),
        ] {
            assert_eq!(of(key, buckets), bucket, "{key} among {buckets}");
        }
    }

    #[test]
    fn one_bucket_has_everything_and_the_last_number_of_buckets_works() {
        assert_eq!(of(u64::MAX, 1), 0);
        assert!(of(u64::MAX, u32::MAX) < u32::MAX);
    }
}

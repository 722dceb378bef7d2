//! Key by key onto a node that is starting.

use twox_hash::XxHash64;

/// Where a key lies between 0 and 1: the same everywhere, and independent of its place on a ring.
///
/// A node that takes more and more keys takes those below its ramp; a key that it has it keeps.
pub fn fraction(key: &[u8]) -> f64 {
    // The upper 53 bits are all that a double can tell apart.
    (XxHash64::oneshot(1, key) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_evenly_also_those_of_one_stretch_of_the_circle() {
        let keys = (0..100_000_u32).map(|n| n.to_le_bytes());
        let stretch: Vec<f64> =
            keys.filter(|key| XxHash64::oneshot(0, key) < u64::MAX / 10).map(|key| fraction(&key)).collect();
        assert!(stretch.iter().all(|share| (0.0..1.0).contains(share)));
        for tenth in 0..10 {
            let from = f64::from(tenth) / 10.0;
            let within = stretch.iter().filter(|share| (from..from + 0.1).contains(*share)).count();
            assert!(within.abs_diff(stretch.len() / 10) < 200, "{within} of {} from {from}", stretch.len());
        }
    }
}

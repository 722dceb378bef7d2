//! Numbers that look random and are the same in every run.

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, around 0 with a deviation of 1: the sum of twelve parts.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..3)
            .map(|_| self.next())
            .flat_map(|bits| (0..4).map(move |at| bits >> (16 * at) & 0xffff))
            .sum::<u64>() as f64
            / 65_536.0
            - 6.0
    }

    /// How often something happens that happens so often on average.
    pub(crate) fn count(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (limit, mut left, mut count) = ((-mean).exp(), self.part(), 0);
        while left > limit {
            left *= self.part();
            count += 1;
        }
        count
    }
}

//! Whether a block may have spans of a trace (Bloom, 1970), without looking into it.
//!
//! Trace ids are random mostly, but nothing says that they are, so they are mixed first. Sixteen bits a trace
//! let one of some two thousand strangers pass, which costs a look at four kilobytes of the block.

use identity::TraceId;

const BITS_EACH: usize = 16;
const PROBES: u32 = 8;

/// The set of a block's traces, more or less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter(Box<[u64]>);

impl Filter {
    pub(crate) fn of(ids: &[TraceId]) -> Self {
        let words = (ids.len() * BITS_EACH).div_ceil(64).max(1);
        let mut filter = vec![0_u64; words].into_boxed_slice();
        for id in ids {
            for bit in probes(*id, words) {
                filter[bit / 64] |= 1 << (bit % 64);
            }
        }
        Self(filter)
    }

    pub(crate) fn may_have(&self, id: TraceId) -> bool {
        probes(id, self.0.len()).all(|bit| self.0[bit / 64] & (1 << (bit % 64)) != 0)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        (!words.is_empty() && rest.is_empty())
            .then(|| Self(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// Double hashing, as Kirsch and Mitzenmacher (2006) have shown to be enough.
fn probes(id: TraceId, words: usize) -> impl Iterator<Item = usize> {
    let id = id.get();
    let (first, second) = (mix(id as u64), mix((id >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15) | 1);
    let (first, bits) = (first.wrapping_add(second >> 7), (words * 64) as u128);
    (0..PROBES).map(move |probe| {
        let hash = first.wrapping_add(second.wrapping_mul(u64::from(probe)));
        ((u128::from(hash) * bits) >> 64) as usize
    })
}

/// The last step of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

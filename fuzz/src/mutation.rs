//! Makes bytes that are nearly right: what is wrong altogether is refused at the first byte and proves little.

/// The longest that is made of a seed.
const MAX_BYTES: usize = 64 << 10;

/// Numbers at which something changes: lengths, tags, ends of varints, characters that mean something in text.
const EDGES: [u8; 20] =
    [0, 1, 2, 3, 7, 8, 0x0a, 0x12, 0x20, b'"', b'(', b'-', b'0', b'[', b'{', b'}', 0x7f, 0x80, 0xfe, 0xff];

/// Random numbers with a seed: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, or 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // The remainder of a 64-bit number is as even as this needs.
        (self.number() % limit.max(1) as u64) as usize
    }
}

/// Bytes made of one of the seeds by a few changes.
pub fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(&mut bytes, seeds, random);
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let length = 1 + random.below(16);
    let end = (at + length).min(bytes.len());
    match random.below(9) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.insert(at, EDGES[random.below(EDGES.len())]),
        3 => {
            // The same again, which nests what opens and repeats what may stand once.
            let piece = bytes[at..end].to_vec();
            let times = 1 + random.below(64);
            bytes.splice(at..at, piece.repeat(times));
        }
        4 => {
            // What another seed has in some place.
            if let Some(other) = seeds.get(random.below(seeds.len())) {
                let from = random.below(other.len() + 1);
                let piece = other[from..(from + 4 * length).min(other.len())].to_vec();
                bytes.splice(at..end, piece);
            }
        }
        5 => bytes[at..end].iter_mut().for_each(|byte| *byte = random.number() as u8),
        kind => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = match kind {
                    6 => *byte ^ (1 << random.below(8)),
                    7 => EDGES[random.below(EDGES.len())],
                    _ => byte.wrapping_add(random.below(9) as u8).wrapping_sub(4),
                };
            }
        }
    }
}

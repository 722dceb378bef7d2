//! Samples of one series, packed as they come.
//!
//! Times as differences of differences, values as what changed in their bits: the scheme that Gorilla published and
//! everybody in this field uses for fresh samples, because it takes one value at a time and gives back every bit,
//! those of a NaN included. Sealed parts are for packing better; this is for appending.
//!
//! ```text
//! first:  64 bits time, 64 bits value
//! time:   0                      the same distance as before
//!         10, 110, 1110          a distance that differs by what fits into 14, 17 or 20 bits, signed
//!         1111                   a distance that differs by 64 bits
//! value:  0                      the same bits
//!         10                     changed bits, within the window of the last change
//!         11, 5 bits, 6 bits     a new window: zeros before it, its width (0 is 64), then the changed bits
//! ```

use crate::promql::Samples;

/// How many samples go into one chunk: enough to pay for its head, and few enough to read a part.
pub const CHUNK_SAMPLES: usize = 120;

/// Samples of one series in the order of their times. Each series has one that is being filled, so what it takes
/// itself counts: the first time is that of the first word, and small numbers are.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    bits: Bits,
    last: i64,
    delta: i64,
    value: u64,
    count: u8,
    leading: u8,
    width: u8,
}

impl Chunk {
    /// Appends a sample, whose time has to be later than the last one's; whether there was room.
    pub fn push(&mut self, time: i64, value: f64) -> bool {
        if self.len() >= CHUNK_SAMPLES || (self.count > 0 && time <= self.last) {
            return false;
        }
        let bits = value.to_bits();
        if self.count == 0 {
            self.bits.push(time.cast_unsigned(), 64);
            self.bits.push(bits, 64);
            self.width = 0;
        } else {
            let delta = time.wrapping_sub(self.last);
            self.push_delta(delta.wrapping_sub(self.delta));
            self.delta = delta;
            self.push_value(bits);
        }
        (self.last, self.value) = (time, bits);
        self.count += 1;
        true
    }

    fn push_delta(&mut self, change: i64) {
        if change == 0 {
            return self.bits.push(0, 1);
        }
        for (prefix, length, width) in [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)] {
            let half = 1_i64 << (width - 1);
            if (-half..half).contains(&change) {
                let change = change.cast_unsigned() & ((1 << width) - 1);
                return self.bits.push(prefix << width | change, length + width);
            }
        }
        self.bits.push(0b1111, 4);
        self.bits.push(change.cast_unsigned(), 64);
    }

    #[allow(clippy::cast_possible_truncation, reason = "at most 64")]
    fn push_value(&mut self, value: u64) {
        let changed = value ^ self.value;
        if changed == 0 {
            return self.bits.push(0, 1);
        }
        let (leading, trailing) = (changed.leading_zeros().min(31), changed.trailing_zeros());
        let (before, width) = (u32::from(self.leading), u32::from(self.width));
        let below = 64 - before - width;
        if width > 0 && leading >= before && trailing >= below {
            return self.bits.push_both(0b10, 2, changed >> below, width);
        }
        let width = 64 - leading - trailing;
        (self.leading, self.width) = (leading as u8, width as u8);
        let head = 0b11 << 11 | u64::from(leading) << 6 | u64::from(width) & 63;
        self.bits.push_both(head, 13, changed >> trailing, width);
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The times of the first and the last sample.
    #[must_use]
    pub fn times(&self) -> (i64, i64) {
        (self.bits.words.first().map_or(0, |first| first.cast_signed()), self.last)
    }

    /// The last sample.
    #[must_use]
    pub fn last(&self) -> Option<(i64, f64)> {
        (self.count > 0).then(|| (self.last, f64::from_bits(self.value)))
    }

    /// How many bytes the samples take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.bits.words.len() + 1) * 8
    }

    /// Appends the samples of a time, both ends included.
    pub fn read(&self, from: i64, to: i64, into: &mut Samples) {
        let mut bits = Reader { bits: &self.bits, at: 0 };
        let (mut time, mut delta, mut value, mut leading, mut width) = (0_i64, 0_i64, 0_u64, 0, 0);
        for index in 0..self.count {
            if index == 0 {
                (time, value) = (bits.take(64).cast_signed(), bits.take(64));
            } else {
                delta = delta.wrapping_add(bits.delta());
                time = time.wrapping_add(delta);
                if bits.take(1) == 1 {
                    if bits.take(1) == 1 {
                        leading = bits.short(5);
                        width = bits.short(6);
                        width = if width == 0 { 64 } else { width };
                    }
                    let below = 64_u32.saturating_sub(leading + width);
                    value ^= bits.take(width) << below;
                }
            }
            if time > to {
                return;
            }
            if time >= from {
                into.push(time, f64::from_bits(value));
            }
        }
    }
}

/// Bits, the first of a word the highest. The word that is being filled stands here, so that a sample that changes little
/// touches no other memory.
#[derive(Debug, Clone, Default)]
struct Bits {
    words: Vec<u64>,
    tail: u64,
    /// How many bits of the tail are taken; below 64.
    taken: u8,
}

impl Bits {
    /// Two values one after the other, of which the first has few bits.
    fn push_both(&mut self, first: u64, first_width: u32, second: u64, width: u32) {
        if first_width + width <= 64 {
            return self.push(first << width | second, first_width + width);
        }
        self.push(first, first_width);
        self.push(second, width);
    }

    /// From one bit to 64, of which no other is set.
    #[allow(clippy::cast_possible_truncation, reason = "less than 64")]
    #[inline]
    fn push(&mut self, value: u64, width: u32) {
        let taken = u32::from(self.taken) + width;
        if taken < 64 {
            self.tail |= value << (64 - taken);
            self.taken = taken as u8;
            return;
        }
        let over = taken - 64;
        self.words.push(self.tail | value >> over);
        // Nothing is over where the word is just full.
        self.tail = value.checked_shl(64 - over).unwrap_or_default();
        self.taken = over as u8;
    }
}

struct Reader<'a> {
    bits: &'a Bits,
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, width: u32) -> u64 {
        if width == 0 {
            return 0;
        }
        #[allow(clippy::cast_possible_truncation, reason = "less than 64")]
        let (word, offset) = (self.at / 64, (self.at % 64) as u32);
        let get = |word: usize| self.bits.words.get(word).copied().unwrap_or(self.bits.tail);
        let mut value = get(word) << offset;
        if offset + width > 64 {
            value |= get(word + 1) >> (64 - offset);
        }
        self.at += width as usize;
        value >> (64 - width)
    }

    #[allow(clippy::cast_possible_truncation, reason = "a few bits")]
    fn short(&mut self, width: u32) -> u32 {
        self.take(width) as u32
    }

    fn delta(&mut self) -> i64 {
        for width in [0, 14, 17, 20] {
            if self.take(1) == 0 {
                let unsigned = self.take(width);
                let shift = 64 - width;
                return if width == 0 { 0 } else { (unsigned << shift).cast_signed() >> shift };
            }
        }
        self.take(64).cast_signed()
    }
}

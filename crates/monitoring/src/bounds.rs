//! Where the buckets of a base-2 exponential histogram begin and end.
//!
//! At schema *s* a bucket is a factor of 2^(2^−s) wide. Bucket *i* holds the values *v* with
//! base^i < *v* ≤ base^(i+1), numbered as OTLP does (Prometheus' native histograms give the same bucket
//! the number *i* + 1). The buckets of every schema are unions of those of the next finer one, so one
//! table, of the finest schema, serves all: an index at schema *s* is the finest one shifted right.
//!
//! The table is made of integers at compile time and not with `exp2`, whose last bit differs from one
//! mathematics library to the next: two processes must never put one value into different buckets. The
//! upper bound that is reported for a bucket is the very number that is compared with, so that a value
//! equal to it is inside.

/// The finest schema that is kept: buckets 0.27 % wide.
pub(crate) const MAX_SCHEMA: i8 = 8;
/// The coarsest schema that is read: OTLP's. Our own histograms never get beyond −4, where the 132
/// buckets of all positive numbers fit.
pub(crate) const MIN_SCHEMA: i8 = -10;

/// Buckets to a factor of two at the finest schema.
const PER_OCTAVE: usize = 1 << MAX_SCHEMA;
const FRACTION_BITS: u32 = 52;

/// The 52 fraction bits of 2^(k/256), for each k.
const FRACTIONS: [u64; PER_OCTAVE] = fractions();

/// For each value of the upper eight fraction bits: how many of [`FRACTIONS`] lie below the smallest
/// fraction that begins with them. From there the right place is at most two steps away.
const HINTS: [u16; PER_OCTAVE] = hints();

/// Products of 2^(1/2), 2^(1/4) … 2^(1/256), chosen by the bits of k, with 63 bits of fraction.
const fn fractions() -> [u64; PER_OCTAVE] {
    let mut roots = [0_u128; MAX_SCHEMA as usize];
    let mut root = 1_u128 << 64; // Two.
    let mut bit = 0;
    while bit < roots.len() {
        root = (root << 63).isqrt();
        roots[bit] = root;
        bit += 1;
    }
    let mut fractions = [0; PER_OCTAVE];
    let mut k = 0;
    while k < PER_OCTAVE {
        let mut product = 1_u128 << 63;
        let mut bit = 0;
        while bit < roots.len() {
            if k & (PER_OCTAVE >> (bit + 1)) != 0 {
                product = (product * roots[bit]) >> 63;
            }
            bit += 1;
        }
        let rounded = (product + (1 << 10)) >> 11;
        fractions[k] = (rounded as u64) & ((1 << FRACTION_BITS) - 1);
        k += 1;
    }
    fractions
}

const fn hints() -> [u16; PER_OCTAVE] {
    let mut hints = [0; PER_OCTAVE];
    let mut chunk = 0;
    let mut below = 0;
    while chunk < PER_OCTAVE {
        let start = (chunk as u64) << (FRACTION_BITS - 8);
        while below < PER_OCTAVE && FRACTIONS[below] < start {
            below += 1;
        }
        hints[chunk] = below as u16;
        chunk += 1;
    }
    hints
}

/// The index of the bucket at `schema` that holds `value`, which must be positive and finite.
pub(crate) fn index(value: f64, schema: i8) -> i32 {
    let (exponent, fraction) = parts(value);
    let mut below = usize::from(HINTS[(fraction >> (FRACTION_BITS - 8)) as usize]);
    while below < PER_OCTAVE && FRACTIONS[below] < fraction {
        below += 1;
    }
    // At most 1024 × 256 in size, so nothing overflows.
    let finest = exponent * PER_OCTAVE as i32 + below as i32 - 1;
    finest >> (MAX_SCHEMA - schema)
}

/// The exponent and the fraction bits of a positive number, subnormal ones normalised.
fn parts(value: f64) -> (i32, u64) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let exponent = (bits >> FRACTION_BITS) as i32 & 0x7ff;
    if exponent != 0 {
        return (exponent - 1023, fraction);
    }
    let shift = fraction.leading_zeros() - (63 - FRACTION_BITS);
    (-1022 - shift as i32, (fraction << shift) & ((1 << FRACTION_BITS) - 1))
}

/// The largest value of bucket `index` at `schema`; infinite beyond the largest number.
pub(crate) fn upper(index: i32, schema: i8) -> f64 {
    let finest = (i64::from(index) + 1) << (MAX_SCHEMA - schema);
    let exponent = finest.div_euclid(PER_OCTAVE as i64);
    let fraction = FRACTIONS[finest.rem_euclid(PER_OCTAVE as i64) as usize];
    match exponent {
        1024.. => f64::INFINITY,
        -1022..1024 => f64::from_bits(((exponent + 1023) as u64) << FRACTION_BITS | fraction),
        // Subnormal: the bits that do not fit are cut off, as they were for the values themselves.
        _ => f64::from_bits(
            (1 << FRACTION_BITS | fraction).checked_shr((-1022 - exponent) as u32).unwrap_or(0),
        ),
    }
}

/// The bound that every value of bucket `index` at `schema` exceeds.
pub(crate) fn lower(index: i32, schema: i8) -> f64 {
    upper(index - 1, schema)
}

//! A slot of a rollup in few bytes.
//!
//! A rollup holds up to 360 slots for each of some thousand series, nearly all of which are only read
//! when someone asks. Packed, a slot of twenty buckets takes about 60 bytes instead of 450. This form
//! never leaves the process, so it has no version.
//!
//! Numbers are LEB128, signed ones zigzag: schema, zero count, nanoseconds of the sum, bits of the
//! smallest and of the largest value (eight bytes each), then for each bucket the distance of its index
//! to the one before, and its count.

use crate::{ExponentialHistogram, Total};

pub(crate) fn pack(total: &Total) -> Box<[u8]> {
    let histogram = &total.histogram;
    let mut bytes = Vec::with_capacity(32 + 3 * histogram.buckets().len());
    put(&mut bytes, zigzag(histogram.schema().into()));
    put(&mut bytes, histogram.zero_count().into());
    put(&mut bytes, total.sum_ns);
    for extreme in [histogram.min(), histogram.max()] {
        bytes.extend(extreme.unwrap_or(f64::NAN).to_bits().to_le_bytes());
    }
    let mut last = 0;
    for bucket in histogram.buckets() {
        put(&mut bytes, zigzag(i64::from(bucket.index) - last));
        put(&mut bytes, bucket.count.into());
        last = bucket.index.into();
    }
    bytes.into()
}

/// Reads what [`pack`] wrote; anything else gives an empty total.
pub(crate) fn unpack(bytes: &[u8]) -> Total {
    read(bytes).unwrap_or_default()
}

fn read(mut bytes: &[u8]) -> Option<Total> {
    let schema = i32::try_from(unzigzag(take(&mut bytes)?)).ok()?;
    let zero_count = u64::try_from(take(&mut bytes)?).ok()?;
    let sum_ns = take(&mut bytes)?;
    let mut extreme = || {
        let (bits, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        Some(f64::from_bits(u64::from_le_bytes(*bits)))
    };
    let (min, max) = (extreme()?, extreme()?);
    let known = |value: f64| (!value.is_nan()).then_some(value);
    let mut buckets = Vec::new();
    let mut index = 0;
    while !bytes.is_empty() {
        index += i32::try_from(unzigzag(take(&mut bytes)?)).ok()?;
        buckets.push((index, u64::try_from(take(&mut bytes)?).ok()?));
    }
    let sum = sum_ns as f64 / 1e9;
    let histogram =
        ExponentialHistogram::from_parts(schema, zero_count, buckets, sum, known(min), known(max)).ok()?;
    Some(Total { histogram, sum_ns })
}

fn zigzag(number: i64) -> u128 {
    (((number << 1) ^ (number >> 63)) as u64).into()
}

fn unzigzag(number: u128) -> i64 {
    let number = number as u64;
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0;
    for shift in (0..126).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

//! A slot of a rollup in few bytes.
//!
//! A rollup holds up to 360 slots for each of some thousand series, nearly all of which are only read
//! when someone asks. Packed, a slot of fifty buckets takes about 150 bytes instead of 900. This form
//! never leaves the process, so it has no version, and what is read is what was written here.
//!
//! First sixteen bytes for the smallest and the largest value. The rest are numbers in LEB128, signed
//! ones zigzag: schema, zero count, the upper and the lower half of the sum in nanoseconds, then for each
//! bucket the distance of its index to the one before, and its count.

use crate::Total;

pub(crate) fn pack(total: &Total) -> Box<[u8]> {
    let histogram = &total.histogram;
    let mut bytes = Vec::with_capacity(32 + 3 * histogram.len());
    let (min, max) = histogram.extremes();
    bytes.extend(min.to_bits().to_le_bytes());
    bytes.extend(max.to_bits().to_le_bytes());
    put(&mut bytes, zigzag(histogram.schema().into()));
    put(&mut bytes, histogram.zero_count());
    put(&mut bytes, (total.sum_ns >> 64) as u64);
    put(&mut bytes, total.sum_ns as u64);
    let mut last = 0;
    for (index, count) in histogram.counts() {
        put(&mut bytes, zigzag(i64::from(index) - last));
        put(&mut bytes, count);
        last = index.into();
    }
    bytes.into()
}

/// Makes `total` what [`pack`] was given; without a new allocation, since this is done 360 times for each
/// series when an hour is asked for.
pub(crate) fn unpack_into(bytes: &[u8], total: &mut Total) {
    let mut bytes = bytes;
    let (min, max) = (take_float(&mut bytes), take_float(&mut bytes));
    let schema = unzigzag(take(&mut bytes)) as i8;
    let zero_count = take(&mut bytes);
    total.sum_ns = u128::from(take(&mut bytes)) << 64;
    total.sum_ns |= u128::from(take(&mut bytes));
    let mut index = 0;
    let buckets = std::iter::from_fn(|| {
        if bytes.is_empty() {
            return None;
        }
        index += unzigzag(take(&mut bytes));
        Some((index as i32, take(&mut bytes)))
    });
    let sum = total.sum_ns as f64 / 1e9;
    total.histogram.refill(schema, zero_count, buckets, sum, (min, max));
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let Some((byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn take_float(bytes: &mut &[u8]) -> f64 {
    let Some((bits, rest)) = bytes.split_first_chunk() else { return 0.0 };
    *bytes = rest;
    f64::from_bits(u64::from_le_bytes(*bits))
}

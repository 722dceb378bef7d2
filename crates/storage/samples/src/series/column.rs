//! Samples of a sealed part, packed by column: times, and values to the last bit.
//!
//! **Times** are differences of differences, each with how often it repeats: a steady scrape is a few bytes
//! however long it is, and series that are scraped together have the same bytes, which are stored once.
//!
//! **Values** are mostly numbers that somebody wrote in decimal, and counters. A value is *exact at d* where
//! an integer m below 2⁵³ gives it back as `m / 10^d`, bit by bit; the division is rounded correctly, so that it
//! is the same everywhere. The d of a column is the smallest at which all are exact that are exact at all. What
//! then remains are integers, which are packed as differences. What is exact nowhere (−0, NaN with its payload,
//! infinities, the marker of an ended series) stands beside them with its bits. Where that is more than one in
//! [`FEW`], the column is one of doubles instead.
//!
//! ```text
//! kind  u8: 0 constant, 1 gaps, 4 bits, 5 above, 6 whole, 7 integers, 8 doubles
//! whole:    a number, which all values are
//! above:    a column of what the values are more than those of the series before, at the same times
//! the others begin with exceptions: count, then for each the distance to the one before and 8 bytes
//! constant: 8 bytes
//! gaps:     d, first, divisor, then (values without a change, change) for each change
//! integers: d, first, divisor, then pco over (value - first) / divisor
//! doubles:  pco over the doubles
//! bits:     8 bytes a value
//! gaps and bits: 0 and the bytes, or 1 and the bytes in zstd, whichever is less
//! ```
//!
//! A *bucket* of a histogram counts what the one below it counts and a little more, and the count of all what its last
//! bucket does. So a column may stand above that of the series before it, where both are integers: what is left are the
//! calls of one bucket, most of which do not change at all.
//!
//! pco is used without its framing: a column says itself what it is and how long. What earlier versions wrote with it,
//! as kinds 2 and 3, is read.
//!
//! Whoever packs a column reads it back before it is kept ([`pack`]): a value that a mistake in this module or in
//! pco would change is found while it is still in memory, and the column is kept as plain bits then.

use pco::{
    ChunkConfig, DecompressorScratch, DeltaSpec, ModeSpec,
    data_types::Number,
    standalone::simple_decompress,
    wrapped::{FileCompressor, FileDecompressor},
};

use super::varint::{Cursor, put, put_signed};

/// The most values of a column. Larger ones save a few hundredths and make short queries read more.
pub(crate) const COLUMN_SAMPLES: usize = 480;

/// One value of so many may stand beside the integers of a column.
const FEW: usize = 8;

/// Powers of ten that are exact as doubles, up to the most digits behind a point that are looked for.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Integers below this are exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// How much work pco puts into a column; more gains little on columns this short.
const PCO_LEVEL: usize = 6;
const ZSTD_LEVEL: i32 = 6;
/// Columns of fewer bytes are not worth zstd's frame.
const ZSTD_FROM: usize = 32;

const CONSTANT: u8 = 0;
const GAPS: u8 = 1;
const FRAMED_INTEGERS: u8 = 2;
const FRAMED_DOUBLES: u8 = 3;
const BITS: u8 = 4;
const ABOVE: u8 = 5;
const WHOLE: u8 = 6;
const INTEGERS: u8 = 7;
const DOUBLES: u8 = 8;

/// What pco reads beyond the end of a page that is shorter, so that it needs no copy of its own.
const PCO_PADDING: usize = 3 << 10;

/// Appends times, which ascend.
pub(crate) fn pack_times(times: &[i64], into: &mut Vec<u8>) {
    put(into, times.len() as u64);
    let (mut last, mut delta, mut run) = (0_i64, 0_i64, (0_i64, 0_u64));
    for &time in times {
        let step = time.wrapping_sub(last);
        let change = step.wrapping_sub(delta);
        (last, delta) = (time, step);
        if run.1 > 0 && run.0 != change {
            put_signed(into, run.0);
            put(into, run.1);
            run.1 = 0;
        }
        run = (change, run.1 + 1);
    }
    if run.1 > 0 {
        put_signed(into, run.0);
        put(into, run.1);
    }
}

/// Reads what [`pack_times`] wrote.
pub(crate) fn unpack_times(bytes: &[u8]) -> Option<Vec<i64>> {
    let mut cursor = Cursor(bytes);
    let count = usize::try_from(cursor.number()?).ok().filter(|count| *count <= COLUMN_SAMPLES)?;
    let mut times = Vec::with_capacity(count);
    let (mut last, mut delta) = (0_i64, 0_i64);
    while times.len() < count {
        let (change, run) = (cursor.signed()?, cursor.number()?);
        if run == 0 || run > (count - times.len()) as u64 {
            return None;
        }
        for _ in 0..run {
            delta = delta.wrapping_add(change);
            last = last.wrapping_add(delta);
            times.push(last);
        }
    }
    Some(times)
}

/// Appends values, none of them changed by a bit: above those of the series before at the same times, if there are some
/// and it takes less. Whether it stands above them.
pub(crate) fn pack(values: &[f64], before: Option<&[f64]>, into: &mut Vec<u8>) -> bool {
    let start = into.len();
    let mut unpacker = Unpacker::default();
    let mut is_same = |bytes: &[u8], before: Option<&[f64]>| {
        let same = |(one, other): (&f64, &f64)| one.to_bits() == other.to_bits();
        let read = unpacker.unpack(bytes, values.len(), before);
        read.is_some_and(|read| read.iter().zip(values).all(same))
    };
    if let Some(more) = before.and_then(|before| above(values, before)) {
        into.push(ABOVE);
        if pack_small(&more, into).is_some() && is_same(&into[start..], before) {
            return true;
        }
        into.truncate(start);
    }
    if pack_small(values, into).is_some() && is_same(&into[start..], None) {
        return false;
    }
    into.truncate(start);
    into.extend([BITS, 0]);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
    put_smaller(&bytes, into);
    false
}

/// Whether a column stands above the one of the series before.
pub(crate) fn is_above(bytes: &[u8]) -> bool {
    bytes.first() == Some(&ABOVE)
}

/// How much more the values are, where all are integers and it takes less to say that.
fn above(values: &[f64], before: &[f64]) -> Option<Vec<f64>> {
    let integer = |value: &f64| exact(*value, 0);
    if values.len() != before.len() {
        return None;
    }
    let of: Vec<i64> = values.iter().map(integer).collect::<Option<_>>()?;
    let before: Vec<i64> = before.iter().map(integer).collect::<Option<_>>()?;
    let more: Vec<i64> = of.iter().zip(&before).map(|(of, before)| of - before).collect();
    let weight = |integers: &[i64]| -> u64 {
        let steps = integers.iter().zip(integers.iter().skip(1)).map(|(before, after)| after - before);
        steps.map(|step| u64::from(64 - step.unsigned_abs().leading_zeros())).sum()
    };
    (weight(&more) < weight(&of)).then(|| more.into_iter().map(|more| more as f64).collect())
}

fn pack_small(values: &[f64], into: &mut Vec<u8>) -> Option<()> {
    let first = values.first()?;
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        if let Some(integer) = exact(*first, 0) {
            into.push(WHOLE);
            put_signed(into, integer);
        } else {
            into.extend([CONSTANT, 0]);
            into.extend(first.to_bits().to_le_bytes());
        }
        return Some(());
    }
    match Integers::of(values) {
        Some(integers) => integers.pack(values, into),
        None => {
            into.extend([DOUBLES, 0]);
            put_numbers(values, order_of_doubles(values), into)
        }
    }
}

/// Appends numbers as pco packs them.
fn put_numbers<T: Number>(numbers: &[T], order: usize, into: &mut Vec<u8>) -> Option<()> {
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(numbers, &config(order)).ok()?;
    file.write_header(&mut *into).ok()?;
    chunk.write_meta(&mut *into).ok()?;
    chunk.write_page(0, into).ok()?;
    Some(())
}

fn config(order: usize) -> ChunkConfig {
    let delta = if order == 0 { DeltaSpec::NoOp } else { DeltaSpec::TryConsecutive(order) };
    ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(delta)
}

/// A value's digits behind the point and its integer, where it has them.
fn decimal(value: f64) -> Option<(usize, i64)> {
    (0..POWERS.len()).find_map(|digits| Some((digits, exact(value, digits)?)))
}

#[allow(clippy::cast_possible_truncation, reason = "below 2^53")]
fn exact(value: f64, digits: usize) -> Option<i64> {
    let power = POWERS.get(digits)?;
    let integer = (value * power).round();
    let is_exact = integer.abs() < EXACT && (integer / power).to_bits() == value.to_bits();
    // Minus zero divides to itself, but no integer says so.
    (is_exact && !(integer == 0.0 && value.is_sign_negative())).then_some(integer as i64)
}

/// A column as integers, and what is none.
struct Integers {
    digits: usize,
    integers: Vec<i64>,
    /// Where values are not what their integer says.
    exceptions: Vec<usize>,
}

impl Integers {
    fn of(values: &[f64]) -> Option<Self> {
        let most = values.len() / FEW;
        let (mut digits, mut inexact) = (0, 0);
        for &value in values {
            // Most values are exact where the one before was.
            if exact(value, digits).is_some() {
                continue;
            }
            match decimal(value) {
                Some((needed, _)) => digits = digits.max(needed),
                None => inexact += 1,
            }
            if inexact > most {
                return None;
            }
        }
        let (mut integers, mut exceptions) = (Vec::with_capacity(values.len()), Vec::new());
        for (at, &value) in values.iter().enumerate() {
            match exact(value, digits) {
                Some(integer) => integers.push(integer),
                None => {
                    exceptions.push(at);
                    // The same as before costs nothing among differences.
                    integers.push(integers.last().copied().unwrap_or_default());
                }
            }
        }
        (exceptions.len() <= most).then_some(Self { digits, integers, exceptions })
    }

    fn pack(self, values: &[f64], into: &mut Vec<u8>) -> Option<()> {
        let Self { digits, mut integers, exceptions } = self;
        // What stands before the first integer is like it.
        let leading = exceptions.iter().enumerate().take_while(|(at, place)| at == *place).count();
        let first = integers.get(leading).copied().unwrap_or_default();
        integers.iter_mut().take(leading).for_each(|integer| *integer = first);
        let steps = || integers.iter().zip(integers.iter().skip(1)).map(|(before, after)| after - before);
        let divisor = steps().fold(0_u64, |divisor, step| gcd(divisor, step.unsigned_abs())).max(1);
        let changes = steps().filter(|step| *step != 0).count();
        let is_gaps = changes <= values.len() / 8;
        into.push(if is_gaps { GAPS } else { INTEGERS });
        put(into, exceptions.len() as u64);
        let mut before = 0;
        for at in exceptions {
            put(into, (at - before) as u64);
            into.extend(values[at].to_bits().to_le_bytes());
            before = at;
        }
        put(into, digits as u64);
        put_signed(into, first);
        put(into, divisor);
        let divisor = i64::try_from(divisor).ok()?;
        if is_gaps {
            let (mut gaps, mut gap) = (Vec::new(), 0);
            for step in steps() {
                if step == 0 {
                    gap += 1;
                } else {
                    put(&mut gaps, gap);
                    put_signed(&mut gaps, step / divisor);
                    gap = 0;
                }
            }
            put_smaller(&gaps, into);
            return Some(());
        }
        let scaled: Vec<i64> = integers.iter().map(|integer| (integer - first) / divisor).collect();
        put_numbers(&scaled, order(&scaled), into)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// How often differences are to be taken: as often as they become smaller. pco's own search costs several
/// times what it packs.
fn order(integers: &[i64]) -> usize {
    let size = |value: i64| u64::from(64 - value.unsigned_abs().leading_zeros());
    let (mut sizes, mut last, mut step) = ([0_u64; 3], 0, 0);
    for &integer in integers {
        let now = integer.wrapping_sub(last);
        sizes[0] += size(integer);
        sizes[1] += size(now);
        sizes[2] += size(now.wrapping_sub(step));
        (last, step) = (integer, now);
    }
    (0..3).min_by_key(|order| sizes[*order]).unwrap_or_default()
}

/// The same for doubles, whose order is that of their bits.
fn order_of_doubles(values: &[f64]) -> usize {
    let bits: Vec<i64> = values.iter().map(|value| value.to_bits().cast_signed()).collect();
    order(&bits).min(1)
}

fn put_smaller(bytes: &[u8], into: &mut Vec<u8>) {
    let packed = (bytes.len() >= ZSTD_FROM).then(|| zstd::bulk::compress(bytes, ZSTD_LEVEL).ok()).flatten();
    match packed.filter(|packed| packed.len() < bytes.len()) {
        Some(packed) => {
            into.push(1);
            into.extend(packed);
        }
        None => {
            into.push(0);
            into.extend_from_slice(bytes);
        }
    }
}

fn smaller(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    /// The most that a column has: a change of each value and what stands before it.
    const MOST: usize = COLUMN_SAMPLES * 20;
    let is_packed = cursor.byte()? != 0;
    let rest = std::mem::take(&mut cursor.0);
    if is_packed { zstd::bulk::decompress(rest, MOST).ok() } else { Some(rest.to_vec()) }
}

/// Reads columns, and keeps what that needs from one to the next.
#[derive(Default)]
pub(crate) struct Unpacker {
    padded: Vec<u8>,
    scratch: DecompressorScratch,
    integers: Vec<i64>,
    values: Vec<f64>,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

impl Unpacker {
    /// Reads what [`pack`] wrote, of which there are `count` values, with those of the series before where it stands above
    /// them. The values that it gives are best [given back](Self::reuse).
    pub(crate) fn unpack(&mut self, bytes: &[u8], count: usize, before: Option<&[f64]>) -> Option<Vec<f64>> {
        if count > COLUMN_SAMPLES {
            return None;
        }
        self.values.clear();
        if let Some((&ABOVE, more)) = bytes.split_first() {
            self.column(more, count)?;
            let before = before.filter(|before| before.len() == count)?;
            self.values.iter_mut().zip(before).for_each(|(value, before)| *value += before);
        } else {
            self.column(bytes, count)?;
        }
        (self.values.len() == count).then(|| std::mem::take(&mut self.values))
    }

    /// Takes the room of values that nobody needs any more.
    pub(crate) fn reuse(&mut self, values: Vec<f64>) {
        self.values = values;
    }

    fn column(&mut self, bytes: &[u8], count: usize) -> Option<()> {
        let mut cursor = Cursor(bytes);
        let kind = cursor.byte()?;
        if kind == WHOLE {
            self.values.resize(count, cursor.signed()? as f64);
            return Some(());
        }
        let (mut exceptions, mut at) = (Vec::new(), 0_usize);
        for _ in 0..cursor.count(9)? {
            at = at.checked_add(usize::try_from(cursor.number()?).ok()?)?;
            exceptions.push((at, f64::from_bits(cursor.fixed()?)));
        }
        match kind {
            CONSTANT => self.values.resize(count, f64::from_bits(cursor.fixed()?)),
            GAPS | INTEGERS | FRAMED_INTEGERS => self.integers(kind, &mut cursor, count)?,
            DOUBLES => {
                self.values.resize(count, 0.0);
                numbers(cursor.0, &mut self.padded, &mut self.scratch, &mut self.values)?;
            }
            FRAMED_DOUBLES => self.values = simple_decompress::<f64>(cursor.0).ok()?,
            BITS => {
                let bytes = smaller(&mut cursor)?;
                for bytes in bytes.chunks(8) {
                    self.values.push(bytes.try_into().ok().map(f64::from_le_bytes)?);
                }
            }
            _ => return None,
        }
        for (at, value) in exceptions {
            *self.values.get_mut(at)? = value;
        }
        Some(())
    }

    #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
    fn integers(&mut self, kind: u8, cursor: &mut Cursor<'_>, count: usize) -> Option<()> {
        let power = *POWERS.get(usize::try_from(cursor.number()?).ok()?)?;
        let (first, divisor) = (cursor.signed()?, i64::try_from(cursor.number()?).ok()?);
        if kind == GAPS {
            let gaps = smaller(cursor)?;
            let mut cursor = Cursor(&gaps);
            let mut integer = first;
            while !cursor.0.is_empty() {
                let gap = usize::try_from(cursor.number()?).ok()?.checked_add(1)?;
                if gap > count - self.values.len() {
                    return None;
                }
                self.values.resize(self.values.len() + gap, integer as f64 / power);
                integer = integer.wrapping_add(cursor.signed()?.wrapping_mul(divisor));
            }
            self.values.resize(count, integer as f64 / power);
            return Some(());
        }
        if kind == FRAMED_INTEGERS {
            self.integers = simple_decompress::<i64>(cursor.0).ok()?;
        } else {
            self.integers.resize(count, 0);
            numbers(cursor.0, &mut self.padded, &mut self.scratch, &mut self.integers)?;
        }
        let value = |scaled: &i64| first.wrapping_add(scaled.wrapping_mul(divisor)) as f64 / power;
        self.values.extend(self.integers.iter().map(value));
        Some(())
    }
}

/// Fills `into` with what [`put_numbers`] wrote.
fn numbers<T: Number>(
    bytes: &[u8],
    padded: &mut Vec<u8>,
    scratch: &mut DecompressorScratch,
    into: &mut [T],
) -> Option<()> {
    padded.clear();
    padded.extend_from_slice(bytes);
    padded.resize(bytes.len() + PCO_PADDING, 0);
    let (file, rest) = FileDecompressor::new(padded.as_slice()).ok()?;
    let (chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let mut page = chunk.page_decompressor_with_scratch(rest, into.len(), scratch).ok()?;
    let progress = page.read(into).ok()?;
    // The end stood within the column, and not in what was put behind it.
    (progress.finished && page.into_src().len() >= PCO_PADDING).then_some(())
}

//! Walks over bytes that may be anything: whatever is not there is `None`.

/// The rest of some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn fixed(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// An unsigned LEB128 integer: most take a byte.
    #[inline]
    pub(crate) fn var(&mut self) -> Option<u64> {
        match self.0.split_first() {
            Some((byte, rest)) if byte & 0x80 == 0 => {
                self.0 = rest;
                Some(u64::from(*byte))
            }
            _ => self.long_var(),
        }
    }

    fn long_var(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn var32(&mut self) -> Option<u32> {
        self.var()?.try_into().ok()
    }

    /// A count of things of which each takes at least a byte, so that a wrong one reserves no memory.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.var()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }
}

/// Adds an unsigned LEB128 integer.
#[inline]
pub(crate) fn put_var(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// A signed number as an unsigned one that is small where it is near zero.
pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// The number behind [`zigzag`].
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

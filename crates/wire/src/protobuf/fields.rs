//! The fields of a Protocol Buffers message, one after the other, borrowed from its bytes.

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group, which nothing has used for a decade and which is stepped over.
    Group,
}

/// Bytes that break the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) what: &'static str,
    /// The address at which reading ended. Messages borrow from the request, so whoever has that knows the
    /// place, and nobody has to count along.
    pub(crate) address: usize,
}

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field and its number, or nothing at the end.
    // Called some thirty times a span or a series; not inlined, its answer travels through memory.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Raw<'a>)>, Broken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| self.broken("a field's number is out of range"))?;
        Ok(Some((number, self.value(number, tag & 7)?)))
    }

    /// The next number of a packed field, or nothing at the end.
    pub(crate) fn packed(&mut self) -> Result<Option<u64>, Broken> {
        if self.0.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    #[inline(always)]
    fn value(&mut self, number: u32, wire_type: u64) -> Result<Raw<'a>, Broken> {
        match wire_type {
            0 => self.varint().map(Raw::Varint),
            1 => self.array().map(|bytes| Raw::Fixed64(u64::from_le_bytes(bytes))),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).ok().filter(|len| *len <= self.0.len());
                let len = len.ok_or_else(|| self.broken("a field is longer than its message"))?;
                let (bytes, rest) = self.0.split_at(len);
                self.0 = rest;
                Ok(Raw::Bytes(bytes))
            }
            3 => self.skip_group(number),
            5 => self.array().map(|bytes| Raw::Fixed32(u32::from_le_bytes(bytes))),
            _ => Err(self.broken("a field has no known wire type")),
        }
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Broken> {
        if let [byte, rest @ ..] = self.0
            && *byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0_u64;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            // What would be beyond the 64th bit is cut off, as Protocol Buffers does it.
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(number);
            }
        }
        Err(self.broken("a number does not end"))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (bytes, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| self.broken("a number is cut off"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    #[cold]
    #[inline(never)]
    /// Without recursion: groups may be nested as deep as the message is long.
    fn skip_group(&mut self, number: u32) -> Result<Raw<'a>, Broken> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let tag = self.varint()?;
            let number = u32::try_from(tag >> 3).map_err(|_| self.broken("a group's tag is out of range"))?;
            match tag & 7 {
                3 => open.push(number),
                4 if number == innermost => {
                    open.pop();
                }
                4 => return Err(self.broken("a group ends that did not begin")),
                wire_type => {
                    self.value(number, wire_type)?;
                }
            }
        }
        Ok(Raw::Group)
    }

    #[cold]
    pub(crate) fn broken(&self, what: &'static str) -> Broken {
        Broken { what, address: self.0.as_ptr().addr() }
    }
}

//! Texts that repeat, each kept once.
//!
//! Senders write the same keys in the same order span after span. So the text that stood at this place of
//! the span before is compared first, and only what is different is hashed. A text that is known needs no
//! check of its UTF-8: its bytes passed before.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8;

/// Where a text stands whose like has probably stood at the same place before: as many places as most
/// spans have attributes. Beyond, texts are hashed.
const PLACES: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    texts: Vec<&'a str>,
    /// Positions in `texts`. The hash is seeded, so that no sender can make all its keys collide.
    known: HashTable<u32>,
    hasher: DefaultHashBuilder,
    before: [u32; PLACES],
}

impl<'a> Names<'a> {
    /// The position of this text, which stands at `place`.
    #[inline]
    pub(super) fn position(&mut self, bytes: &'a [u8], place: usize) -> Result<u32, NotUtf8> {
        if let Some(before) = self.before.get(place)
            && self.texts.get(*before as usize).is_some_and(|text| text.as_bytes() == bytes)
        {
            return Ok(*before);
        }
        let position = self.look_up(bytes)?;
        if let Some(before) = self.before.get_mut(place) {
            *before = position;
        }
        Ok(position)
    }

    fn look_up(&mut self, bytes: &'a [u8]) -> Result<u32, NotUtf8> {
        let Self { texts, known, hasher, .. } = self;
        let hash = hasher.hash_one(bytes);
        let is_it =
            |position: &u32| texts.get(*position as usize).is_some_and(|text| text.as_bytes() == bytes);
        if let Some(position) = known.find(hash, is_it) {
            return Ok(*position);
        }
        let text = str::from_utf8(bytes).map_err(|_| NotUtf8)?;
        let position = texts.len() as u32;
        texts.push(text);
        let hash_of = |position: &u32| {
            let text = texts.get(*position as usize).copied().unwrap_or_default();
            hasher.hash_one(text.as_bytes())
        };
        known.insert_unique(hash, position, hash_of);
        Ok(position)
    }

    pub(super) fn into_texts(self) -> Vec<&'a str> {
        self.texts
    }
}

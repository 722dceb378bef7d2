//! Sets of a block's rows.

use std::ops::Range;

use crate::block::schema::PAGE_ROWS;

const WORD: u32 = u64::BITS;

/// A set of the rows of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    words: Vec<u64>,
    count: u32,
}

impl Rows {
    /// None of so many rows.
    pub(super) fn none(count: u32) -> Self {
        Self { words: vec![0; count.div_ceil(WORD) as usize], count }
    }

    /// All of so many.
    pub(super) fn all(count: u32) -> Self {
        let mut all = Self::none(count);
        all.add(0..count);
        all
    }

    pub(super) fn insert(&mut self, row: u32) {
        if row < self.count {
            self.words[(row / WORD) as usize] |= 1 << (row % WORD);
        }
    }

    /// Adds these rows.
    pub(super) fn add(&mut self, rows: Range<u32>) {
        let (mut row, end) = (rows.start, rows.end.min(self.count));
        while row < end {
            let (bit, left) = (row % WORD, end - row);
            let count = left.min(WORD - bit);
            let ones = if count == WORD { u64::MAX } else { (1 << count) - 1 };
            self.words[(row / WORD) as usize] |= ones << bit;
            row += count;
        }
    }

    pub(super) fn has(&self, row: u32) -> bool {
        self.words.get((row / WORD) as usize).is_some_and(|word| word & (1 << (row % WORD)) != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Those of both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
        self
    }

    /// Those of either.
    pub(super) fn or(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
        self
    }

    /// Those that are not of the other.
    pub(super) fn without(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
        self
    }

    /// Whether any of these rows is one.
    pub(super) fn has_any(&self, rows: Range<u32>) -> bool {
        let mut row = rows.start;
        while row < rows.end {
            let word = self.words.get((row / WORD) as usize).copied().unwrap_or(0) >> (row % WORD);
            if word != 0 {
                return row + word.trailing_zeros() < rows.end;
            }
            row += WORD - row % WORD;
        }
        false
    }

    /// The stretches of whole pages that have some.
    pub(super) fn pages(&self) -> Vec<Range<u32>> {
        let mut pages: Vec<Range<u32>> = Vec::new();
        for first in (0..self.count).step_by(PAGE_ROWS) {
            let page = first..(first + PAGE_ROWS as u32).min(self.count);
            match pages.last_mut() {
                _ if !self.has_any(page.clone()) => {}
                Some(last) if last.end == first => last.end = page.end,
                _ => pages.push(page),
            }
        }
        pages
    }

    /// All of them in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().zip(0_u32..).flat_map(|(word, at)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * WORD + bit)
            })
        })
    }
}

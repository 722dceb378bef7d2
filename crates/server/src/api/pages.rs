//! How lists are cut into pages.

use wire::native::problem::Problem;

use super::extract::invalid;

/// Items of a page where nobody asks for another number.
const DEFAULT: usize = 100;
/// Items of the largest page.
const MAX: usize = 1_000;

/// The number of items to answer with.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(DEFAULT),
        Some(limit) if (1..=MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(invalid("limit", format!("limit {limit} is not valid: a number from 1 to {MAX}"))),
    }
}

/// A page of items in order of their names, and the token of the next: the last name of this one.
pub(super) fn by_name<T>(
    items: impl Iterator<Item = T>,
    name: impl Fn(&T) -> String,
    after: Option<&str>,
    limit: usize,
) -> (Vec<T>, Option<String>) {
    let mut items = items.skip_while(|item| after.is_some_and(|after| name(item).as_str() <= after));
    let page: Vec<T> = items.by_ref().take(limit).collect();
    let next = items.next().and_then(|_| page.last().map(name));
    (page, next)
}

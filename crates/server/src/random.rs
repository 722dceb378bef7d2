//! Where lease ids and token secrets come from: the operating system.

use std::sync::{Mutex, PoisonError};

use wire::native::problem::{Code, Problem};

/// Numbers that are drawn at once, for those who need one each.
const DRAWN: usize = 64;

/// A random number. Each registration needs one for its lease, and a call of the system for each of them is the
/// third that a registration costs, beside reading and writing; so some are drawn ahead. No two callers get the
/// same one.
pub(crate) fn number() -> Result<u64, Problem> {
    static AHEAD: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    // A vector of numbers is whole whenever a panic may come.
    let mut ahead = AHEAD.lock().unwrap_or_else(PoisonError::into_inner);
    if ahead.is_empty() {
        *ahead = numbers(DRAWN)?;
    }
    Ok(ahead.pop().unwrap_or_default())
}

/// Random numbers, all drawn at once.
pub(crate) fn numbers(count: usize) -> Result<Vec<u64>, Problem> {
    let mut bytes = vec![0; count * size_of::<u64>()];
    getrandom::fill(&mut bytes).map_err(|error| none(&error))?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| none(&error))?;
    Ok(bytes)
}

fn none(error: &getrandom::Error) -> Problem {
    Problem::new(Code::Internal, format!("the system has no random numbers: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_comes_twice_whoever_asks() {
        let some = || (0..10 * DRAWN).map(|_| number().unwrap()).collect::<Vec<_>>();
        let drawn: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(some)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 4 * 10 * DRAWN);
        assert!(!drawn.contains(&0));
    }
}

//! Where lease ids and token secrets come from: the operating system.

use wire::native::problem::{Code, Problem};

/// A random number.
pub(crate) fn number() -> Result<u64, Problem> {
    bytes().map(u64::from_le_bytes)
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

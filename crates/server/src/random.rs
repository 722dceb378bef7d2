//! Where lease ids and token secrets come from: the operating system.

use wire::native::problem::{Code, Problem};

/// A random number.
pub(crate) fn number() -> Result<u64, Problem> {
    bytes().map(u64::from_le_bytes)
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Problem::new(Code::Internal, format!("the system has no random numbers: {error}"))),
    }
}

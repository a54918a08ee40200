//! Why an operation of a guest cannot go on: [`Stop`].

use crate::Error;
use crescendo_abi::TrapCode;

/// A trap, whose place the builtin's caller knows, or an error.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest trapped.
    Trap(TrapCode),
    /// The engine or the embedder's limiter failed.
    Error(Error),
}

impl From<TrapCode> for Stop {
    fn from(code: TrapCode) -> Stop {
        Stop::Trap(code)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

impl From<Stop> for Error {
    /// For operations that no guest asked for: a trap has no place then.
    fn from(stop: Stop) -> Error {
        match stop {
            Stop::Trap(code) => Error::from(code),
            Stop::Error(error) => error,
        }
    }
}

/// The range `start..start + len` as indices into something of `size` parts.
///
/// # Errors
///
/// The given trap when the range does not lie inside.
pub(crate) fn range(
    start: u64,
    len: u64,
    size: u64,
    trap: TrapCode,
) -> Result<std::ops::Range<usize>, TrapCode> {
    match start.checked_add(len) {
        // What exists in memory has a size that fits `usize`.
        Some(end) if end <= size => Ok(start as usize..end as usize),
        _ => Err(trap),
    }
}

#[cfg(test)]
mod tests {
    use super::range;
    use crescendo_abi::TrapCode::MemoryOutOfBounds;

    #[test]
    fn ranges_end_at_the_size_at_most() {
        let table = [
            (0, 0, 0, Some(0..0)),
            (1, 0, 0, None),
            (4, 0, 4, Some(4..4)),
            (0, 5, 4, None),
            (1, 3, 4, Some(1..4)),
            (u64::MAX, 1, 4, None),
            (1, u64::MAX, 4, None),
        ];
        for (start, len, size, expected) in table {
            assert_eq!(range(start, len, size, MemoryOutOfBounds).ok(), expected, "{start}+{len} in {size}");
        }
    }
}

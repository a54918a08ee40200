//! What becomes of the compiler's errors.

use crate::error::Error;
use crescendo_jit::CompileError;

/// The error for who asked. A defect of the compiler ends builds with debug assertions, see `compile.rs`.
pub(super) fn failed(error: CompileError) -> Error {
    debug_assert!(!error.is_defect(), "{error}");
    Error::host(error)
}

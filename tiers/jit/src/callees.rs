//! What is known of the functions that a function calls.

use crescendo_module::DefinedFuncIdx;
use std::fmt;

/// Says how functions of the same module are called.
pub trait Callees: fmt::Debug {
    /// How many bytes the body of a function may have that is inlined; 0 if it must not be. The body is valid then.
    fn most_inlined_bytes(&self, callee: DefinedFuncIdx) -> usize;

    /// Whether calls may go straight to the code of a function, past its entry record, as long as the caller's code exists. Such calls
    /// are in [`Compiled::calls`](crate::Compiled::calls).
    fn has_code(&self, callee: DefinedFuncIdx) -> bool;
}

/// Nothing is inlined, and all calls go through entry records.
#[derive(Clone, Copy, Debug)]
pub struct UnknownCallees;

impl Callees for UnknownCallees {
    fn most_inlined_bytes(&self, _callee: DefinedFuncIdx) -> usize {
        0
    }

    fn has_code(&self, _callee: DefinedFuncIdx) -> bool {
        false
    }
}

//! Every WebAssembly operator once: its signature, immediates, effects, weight and, for value operators, its lowering.
//!
//! [`Op`] numbers the rows of `rows.rs`. The interpreter's translator, disassembler and generated handlers and the
//! compiler all derive from them. The rows need no compiler; the feature `lower` adds the lowerings to Cranelift IR
//! behind the trait `Emit`.
//!
//! | type | what |
//! |---|---|
//! | [`Op`] | a row's number |
//! | [`Row`] | a row's facts |
//! | [`Kind`] | whether a tier lowers the row as a value, a memory access or in its own control code |
//! | [`AtomicOp`] | what an atomic access does |
//! | [`Ty`] | the machine type of an operand |
//! | [`body::Operators`] | the operators of a valid body, decoded for a tier |
//! | [`translate::Translate`] | what a tier does for each operator, called by one match |
//! | `lower::Emit` | what a lowering needs from the tier that asks for it |
#![forbid(unsafe_code)]

pub mod body;
#[cfg(feature = "lower")]
pub mod lower;
mod ops;
mod rows;
pub mod translate;
mod unsupported;

pub use ops::{AtomicOp, Kind, Op, Row, Ty};
pub use unsupported::reason;

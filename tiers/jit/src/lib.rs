//! WebAssembly functions to machine code, with Cranelift, one function at a time.
//!
//! In goes a validated function of a module ([`Request`]), out come position-independent bytes with the calls
//! whose displacements are still to be filled in, the rows of instructions that trap, and a map from code to wasm offsets ([`Compiled`]). The
//! crate owns no executable memory, starts no threads and knows no instance: the code gets everything from
//! its context, so that all instances of a module share it. The engine's tiering installs what comes out
//! here. Its invariant: compiling a validated function never panics, and the code reads and writes nothing
//! but what the contexts of `crescendo_abi` lead to.
//!
//! | type | what |
//! |---|---|
//! | [`Compiler`], [`CompilerOptions`], [`Support`] | Cranelift for this machine, and what the code calls |
//! | [`Request`], [`Entry`] | a function to compile, from its start or from a loop |
//! | [`Callees`], [`InlinedCall`], [`DirectCall`] | calls that become a part of the caller's code, or go straight to the callee's |
//! | [`Compiled`], [`Trap`], [`Location`], [`Landing`] | machine code and what is known of its instructions |
//! | [`EntryThunks`], [`CallThunks`], [`Thunk`] | the ways between native code, interpreter and host, two sets a signature |
//! | [`Scratch`] | reused buffers |
//! | [`CompileError`] | why a function was not compiled |
//!
//! # Native calls
//!
//! A native function has Cranelift's `tail` convention: `(record, context, params…) -> results…`, where
//! `record` is the callee's entry record (anything in direct calls: only what is not compiled looks at it) and references are 64-bit integers. Results beyond the registers
//! that return values ([`results_in_memory`]) go through memory, all of them: a pointer to their slots
//! follows the context as a third parameter and nothing is returned. Cranelift's own way, a hidden first
//! parameter, would move the record and the context to other registers, where the stubs of functions that are
//! not compiled do not look for them.
//!
//! | glossary | |
//! |---|---|
//! | record | `VmFuncRef`, a function as callers see it |
//! | run | a straight-line piece of wasm that pays its fuel at once |
//! | canonical slot | where the interpreter keeps an operand (`crescendo_abi::frame`) |
//! | OSR | on-stack replacement: native code that takes over an interpreted frame at a loop header |
#![forbid(unsafe_code)]

mod bulk;
mod callees;
mod calls;
mod checks;
mod compiler;
mod control;
mod error;
mod exceptions;
mod flags;
mod function;
mod inline;
mod memory;
mod operands;
mod operators;
mod osr;
mod output;
mod signature;
#[cfg(test)]
mod tests;
mod thunks;
mod variables;
mod widening;

pub use callees::{Callees, UnknownCallees};
pub use compiler::{Compiler, CompilerOptions, Entry, OptLevel, Request, Scratch, Support};
pub use error::CompileError;
pub use output::{Clause, Compiled, DirectCall, InlinedCall, Landing, Location, Trap, Try};
pub use signature::{results_in_memory, shape};
pub use thunks::{CallThunks, EntryThunks, Thunk};

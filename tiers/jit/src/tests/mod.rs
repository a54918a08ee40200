//! Tests that compile, with Cranelift's verifier, and look at what comes out. Nothing here runs the code.

mod calls;
mod extremes;
mod operators;
mod programs;
mod setup;
mod thunks;
mod widening;

//! Tests that compile, with Cranelift's verifier, and look at what comes out. Nothing here runs the code.

mod look;
mod programs;
mod setup;
mod thunks;

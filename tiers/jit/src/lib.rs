//! WebAssembly functions to machine code.
#![forbid(unsafe_code)]

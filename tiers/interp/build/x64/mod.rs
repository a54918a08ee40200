//! Handlers for x86-64: decoding, removing frames, rewriting, proving.
//!
//! Input is the machine code that Cranelift made of one handler and its traps. The build script calls [`strip()`], which removes
//! the frame where that is sound, [`rewrite()`] where there is none any more, then [`prove()`] on the bytes that it will link. All decode with
//! [`decode::decode()`] and follow control flow from the entry ([`graph::Graph`]); nothing is found by searching for byte patterns.
//!
//! Trusted: Cranelift's code generation apart from frames and traps, that a rewritten handler computes what it did before, and that
//! stores through pointers other than the stack pointer do not hit the native stack.

pub mod decode;
#[cfg(test)]
mod decode_tests;
pub mod graph;
pub mod inst;
pub mod prove;
pub mod rewrite;
pub mod strip;
mod vector;

pub use prove::prove;
pub use rewrite::rewrite;
pub use strip::{WhyNot, strip};

/// Bytes from hexadecimal digits; blanks and line ends separate.
#[cfg(test)]
fn bytes(text: &str) -> Vec<u8> {
    let digits = text.split_whitespace();
    digits.map(|byte| u8::from_str_radix(byte, 16).expect("tests write two digits a byte")).collect()
}

//! Proof of handlers for aarch64.
//!
//! The same proof as for x86-64 on fixed-size instructions, without stripping: Cranelift gives leaf functions no frame here
//! when frame pointers are not asked for.

pub mod decode;
pub mod prove;

pub use prove::prove;

/// The bytes of instructions.
#[cfg(test)]
fn code(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

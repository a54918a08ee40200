//! Copying and filling bytes that other threads may read and write meanwhile.
//!
//! Guests may race on the bytes of shared memories, and what they see then is defined: each byte is one that was written.
//! Rust's own copies may assume that nobody else writes, so everything here is relaxed atomic accesses, by words where both
//! sides are aligned alike.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes of a word.
const WORD: usize = 8;

/// Copies `len` bytes; the ranges may overlap.
///
/// # Safety
///
/// Both ranges are readable, the target is writable, and whatever else accesses them meanwhile does so atomically or from
/// generated code.
pub(crate) unsafe fn copy(target: *mut u8, source: *const u8, len: usize) {
    let source = source.cast_mut();
    let alike = (target.addr() ^ source.addr()).is_multiple_of(WORD);
    let step = if alike { WORD } else { 1 };
    let byte = |at: usize| {
        // SAFETY: inside of the source (`at < len`).
        let value = unsafe { load8(source.wrapping_add(at)) };
        // SAFETY: inside of the target.
        unsafe { store8(target.wrapping_add(at), value) }
    };
    let word = |at: usize| {
        // SAFETY: inside of the source (`at + WORD <= len`), and aligned.
        let value = unsafe { load64(source.wrapping_add(at)) };
        // SAFETY: inside of the target, and aligned.
        unsafe { store64(target.wrapping_add(at), value) }
    };
    // Bytes before the first word, and where the last one ends.
    let head = if alike { target.addr().wrapping_neg() % WORD } else { len }.min(len);
    let tail = len - (len - head) % step;
    // What is overwritten was read before.
    if target.addr() <= source.addr() {
        (0..head).for_each(byte);
        (head..tail).step_by(WORD).for_each(word);
        (tail..len).for_each(byte);
    } else {
        (tail..len).rev().for_each(byte);
        (head..tail).step_by(WORD).rev().for_each(word);
        (0..head).rev().for_each(byte);
    }
}

/// Sets `len` bytes.
///
/// # Safety
///
/// As for the target of [`copy`].
pub(crate) unsafe fn fill(target: *mut u8, value: u8, len: usize) {
    let words = u64::from_ne_bytes([value; WORD]);
    let head = (target.addr().wrapping_neg() % WORD).min(len);
    let tail = len - (len - head) % WORD;
    for at in (0..head).chain(tail..len) {
        // SAFETY: inside of the range.
        unsafe { store8(target.wrapping_add(at), value) };
    }
    for at in (head..tail).step_by(WORD) {
        // SAFETY: inside of the range, and aligned.
        unsafe { store64(target.wrapping_add(at), words) };
    }
}

/// # Safety
///
/// The byte is readable.
unsafe fn load8(place: *mut u8) -> u8 {
    // SAFETY: the caller's promise; nobody accesses the byte in another way than atomically.
    unsafe { AtomicU8::from_ptr(place) }.load(Ordering::Relaxed)
}

/// # Safety
///
/// The byte is writable.
unsafe fn store8(place: *mut u8, value: u8) {
    // SAFETY: as above.
    unsafe { AtomicU8::from_ptr(place) }.store(value, Ordering::Relaxed);
}

/// # Safety
///
/// The word is readable and aligned.
unsafe fn load64(place: *mut u8) -> u64 {
    // SAFETY: as above.
    unsafe { AtomicU64::from_ptr(place.cast()) }.load(Ordering::Relaxed)
}

/// # Safety
///
/// The word is writable and aligned.
unsafe fn store64(place: *mut u8, value: u64) {
    // SAFETY: as above.
    unsafe { AtomicU64::from_ptr(place.cast()) }.store(value, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{copy, fill};

    #[test]
    fn copies_and_fills_do_what_slices_do() {
        let bytes: Vec<u8> = (0..96).collect();
        for (target, source) in [(0, 1), (1, 0), (3, 11), (11, 3), (0, 40), (40, 0), (5, 5), (9, 30), (30, 9)]
        {
            for len in [0, 1, 3, 7, 8, 9, 16, 23, 40, 50] {
                let (mut expected, mut found) = (bytes.clone(), bytes.clone());
                expected.copy_within(source..source + len, target);
                let base = found.as_mut_ptr();
                // SAFETY: both ranges lie in the vector.
                unsafe { copy(base.wrapping_add(target), base.wrapping_add(source), len) };
                assert_eq!(found, expected, "{len} bytes from {source} to {target}");
                expected[target..target + len].fill(7);
                // SAFETY: as above.
                unsafe { fill(base.wrapping_add(target), 7, len) };
                assert_eq!(found, expected, "{len} bytes at {target}");
            }
        }
    }
}

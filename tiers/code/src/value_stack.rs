//! The stack of interpreted frames.
//!
//! A store owns one. Its pages are accessible from the start but take memory only once touched, so a large limit is free.
//! Interpreted functions compare their frame's end with the limit at entry; the guard page behind it is for code that does
//! not, and no fault in it is a trap.

use crate::{Reservation, page_size};
use std::io;

/// A value stack: it grows upwards from [`ValueStack::base`] to [`ValueStack::limit`].
///
/// # Examples
///
/// ```
/// let stack = crescendo_code::ValueStack::new(1 << 20)?;
/// assert_eq!(stack.limit().addr() - stack.base().addr(), 1 << 20);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ValueStack {
    reservation: Reservation,
    usable: usize,
}

impl ValueStack {
    /// Makes a stack of at least `len` bytes, zeroed, with an inaccessible page behind it.
    ///
    /// # Errors
    ///
    /// The operating system's error when it refuses the address space.
    pub fn new(len: usize) -> io::Result<ValueStack> {
        let page = page_size();
        let usable = len.checked_next_multiple_of(page).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut reservation =
            Reservation::reserve(usable.checked_add(page).ok_or(io::ErrorKind::OutOfMemory)?)?;
        reservation.commit(0..usable)?;
        Ok(ValueStack { reservation, usable })
    }

    /// The first slot, aligned to a page.
    pub fn base(&self) -> *mut u64 {
        self.reservation.base().cast()
    }

    /// One past the last byte that a frame may use.
    pub fn limit(&self) -> *mut u8 {
        self.reservation.base().wrapping_add(self.usable)
    }

    /// Bytes between base and limit.
    pub fn len(&self) -> usize {
        self.usable
    }

    /// Whether no frame fits.
    pub fn is_empty(&self) -> bool {
        self.usable == 0
    }

    /// Gives the memory of everything from byte `keep` on back; those slots are zero afterwards. For a stack that was deep
    /// once and is not in use above `keep` now.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn trim(&mut self, keep: usize) -> io::Result<()> {
        let start = keep.min(self.usable).next_multiple_of(page_size());
        self.reservation.zero(start..self.usable)
    }
}

//! Zeroed memory of a size known at run time, whose allocation may fail and which may grow by moving.
//!
//! Backs tables, and linear memories without a reservation. The system hands large zeroed allocations out lazily, so that
//! spare capacity costs address space only.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::{self, NonNull};

/// Alignment of every buffer: that of the widest slot.
const ALIGN: usize = 16;

/// An allocation whose bytes are zero until written.
pub(crate) struct ZeroedBuffer {
    base: NonNull<u8>,
    capacity: usize,
}

impl ZeroedBuffer {
    /// A buffer without capacity.
    pub(crate) fn empty() -> ZeroedBuffer {
        ZeroedBuffer { base: NonNull::<u128>::dangling().cast(), capacity: 0 }
    }

    /// The first byte; dangling when there is no capacity.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Makes room for `needed` bytes and keeps the first `used`; grows in steps that double up to `most`. On failure
    /// nothing has changed.
    pub(crate) fn grow(&mut self, used: usize, needed: usize, most: usize) -> Result<(), OutOfMemory> {
        debug_assert!(used <= self.capacity, "only what was allocated is used");
        if needed <= self.capacity {
            return Ok(());
        }
        let doubled = self.capacity.saturating_mul(2).min(most).max(needed);
        let grown = match ZeroedBuffer::allocate(doubled) {
            Ok(grown) => grown,
            // Under an address-space limit there may still be room for what is really needed.
            Err(OutOfMemory) => ZeroedBuffer::allocate(needed)?,
        };
        // SAFETY: both buffers have at least `used` bytes (`used <= capacity < needed`), and the new one is fresh.
        unsafe { ptr::copy_nonoverlapping(self.base(), grown.base(), used) };
        *self = grown;
        Ok(())
    }

    fn allocate(bytes: usize) -> Result<ZeroedBuffer, OutOfMemory> {
        if bytes == 0 {
            return Ok(ZeroedBuffer::empty());
        }
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| OutOfMemory)?;
        // SAFETY: the layout's size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        Ok(ZeroedBuffer { base: NonNull::new(base).ok_or(OutOfMemory)?, capacity: bytes })
    }
}

// SAFETY: the allocation is the buffer's own, and bytes do not depend on a thread.
unsafe impl Send for ZeroedBuffer {}

impl Drop for ZeroedBuffer {
    fn drop(&mut self) {
        if self.capacity != 0
            && let Ok(layout) = Layout::from_size_align(self.capacity, ALIGN)
        {
            // SAFETY: `allocate` got `base` with this very layout, and this is its only owner.
            unsafe { dealloc(self.base.as_ptr(), layout) };
        }
    }
}

/// The system has no memory left for a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

impl std::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("out of memory")
    }
}

#[cfg(test)]
mod tests {
    use super::{OutOfMemory, ZeroedBuffer};

    #[test]
    fn growing_keeps_the_used_part_and_zeroes_the_rest() {
        let mut buffer = ZeroedBuffer::empty();
        buffer.grow(0, 3, 100).unwrap();
        // SAFETY: three bytes were just made room for.
        unsafe { buffer.base().write_bytes(7, 3) };
        buffer.grow(3, 40, 100).unwrap();
        // SAFETY: 40 bytes were just made room for.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.base(), 40) };
        assert_eq!(bytes[..3], [7, 7, 7]);
        assert!(bytes[3..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_size_that_no_system_has_is_refused() {
        assert_eq!(ZeroedBuffer::empty().grow(0, usize::MAX, usize::MAX), Err(OutOfMemory));
        assert_eq!(ZeroedBuffer::empty().grow(0, 1 << 60, usize::MAX), Err(OutOfMemory));
    }
}

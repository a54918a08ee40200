//! The memory of thunks: [`ThunkMemory`].
//!
//! cranelift-jit's own memory lies where the kernel puts it, which is far from the engine. Most calls between guests and the host
//! go through a thunk: from compiled code near the engine to the engine by way of memory that is far from both, a call of a host
//! function takes 3.8 ns, and 3.0 by way of memory that is near (wasmtime: 3.8, in turns).

use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider};
use cranelift_module::{ModuleError, ModuleResult};
use crescendo_code::{Reservation, page_size};
use std::io;

/// Bytes that are reserved at a time: a page for each time that thunks are made.
const CHUNK: usize = 4 << 20;

/// Pages that are written once, then executable. What is allocated is written before more is: a chunk that is full is executable at once.
#[derive(Default)]
pub(super) struct ThunkMemory {
    /// The last one is filled.
    chunks: Vec<Reservation>,
    /// Bytes of the last chunk that are executable: whole pages.
    sealed: usize,
    /// Bytes of the last chunk that are in use.
    used: usize,
}

impl JITMemoryProvider for ThunkMemory {
    fn allocate(&mut self, size: usize, align: u64, kind: JITMemoryKind) -> io::Result<*mut u8> {
        let align = usize::try_from(align).ok().filter(|align| *align <= page_size());
        let (Some(align), JITMemoryKind::Executable) = (align, kind) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let start = self.used.next_multiple_of(align);
        let fits = self.chunks.last().is_some_and(|chunk| size <= chunk.len().saturating_sub(start));
        let start = if fits { start } else { 0 };
        if !fits {
            // What is in use of the one before is made executable with it.
            self.seal()?;
            self.chunks.push(Reservation::reserve_near(size.max(CHUNK))?);
            (self.sealed, self.used) = (0, 0);
        }
        let Some(chunk) = self.chunks.last_mut() else { return Err(io::ErrorKind::OutOfMemory.into()) };
        chunk.commit(self.sealed..(start + size).next_multiple_of(page_size()))?;
        self.used = start + size;
        Ok(chunk.base().wrapping_add(start))
    }

    unsafe fn free_memory(&mut self) {
        self.chunks.clear();
        (self.sealed, self.used) = (0, 0);
    }

    fn finalize(&mut self, _branch_protection: BranchProtection) -> ModuleResult<()> {
        self.seal().map_err(|error| ModuleError::Allocation { err: error })
    }
}

impl ThunkMemory {
    /// Makes executable what was written.
    fn seal(&mut self) -> io::Result<()> {
        let end = self.used.next_multiple_of(page_size());
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.make_executable(self.sealed..end)?;
        }
        (self.sealed, self.used) = (end, end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_goes_into_another_chunk_and_all_becomes_executable() {
        let mut memory = ThunkMemory::default();
        let mut places = Vec::new();
        for (size, align) in [(5, 1), (CHUNK / 2, 64), (CHUNK / 2, 16), (CHUNK + 1, 32), (3, 16)] {
            let place = memory.allocate(size, align, JITMemoryKind::Executable).unwrap();
            assert!(place.addr().is_multiple_of(align as usize));
            // SAFETY: the bytes were just allocated.
            unsafe { place.write_bytes(0xc3, size) };
            places.push((place, size));
        }
        assert_eq!(memory.chunks.len(), 3);
        memory.finalize(BranchProtection::None).unwrap();
        for (place, size) in &places {
            // SAFETY: what was written is still readable.
            assert_eq!(unsafe { place.wrapping_add(size - 1).read() }, 0xc3);
        }
        let after = memory.allocate(1, 1, JITMemoryKind::Executable).unwrap();
        assert!(after.addr().is_multiple_of(page_size()), "pages that are executable are not written again");
        assert!(memory.allocate(1, 1, JITMemoryKind::Writable).is_err());
        // SAFETY: nothing in it runs.
        unsafe { memory.free_memory() };
        assert!(memory.chunks.is_empty());
    }
}

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

/// Pages that are written once, then executable.
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

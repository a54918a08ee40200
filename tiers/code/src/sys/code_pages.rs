//! Memory that is executable and never writable: a mapping of an anonymous file, into which code is written by system calls.
//!
//! No mapping of the file can be written to, so there is no moment at which a guest that controls a store instruction could
//! change code, and writing next to code that other threads run needs no change of protections.

use super::near::map_near;
use super::pages::succeed;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

/// Linux 6.3's flag for files that may be mapped executable; older kernels do not know it.
const MFD_EXEC: libc::c_uint = 0x10;

/// From the end of the mapping to this code, in bytes: what is smaller has room in between.
const GAP: usize = 512 << 20;

/// An executable mapping.
#[derive(Debug)]
pub(crate) struct CodePages {
    file: File,
    base: *const u8,
    len: usize,
}

// SAFETY: `base` is only an address here; the mapping belongs to the value and is the same for all threads.
unsafe impl Send for CodePages {}
// SAFETY: as above; the file is written at places that the caller owns.
unsafe impl Sync for CodePages {}

impl CodePages {
    /// Maps `len` bytes, a multiple of the page size, that read as zero and take no memory yet; close to this code if there is
    /// room.
    pub(crate) fn map(len: usize) -> io::Result<CodePages> {
        let file = anonymous_file()?;
        file.set_len(len as u64)?;
        let access = libc::PROT_READ | libc::PROT_EXEC;
        let base = map_near(len, GAP, |place, flags| {
            // SAFETY: a new mapping touches nothing that exists: the flags never replace one.
            unsafe { libc::mmap(place, len, access, libc::MAP_SHARED | flags, file.as_raw_fd(), 0) }
        })?;
        Ok(CodePages { file, base: base.cast_const(), len })
    }

    pub(crate) fn base(&self) -> *const u8 {
        self.base
    }

    /// Writes code that no thread runs yet.
    pub(crate) fn write(&self, at: usize, code: &[u8]) -> io::Result<()> {
        self.file.write_all_at(code, at as u64)
    }

    /// Gives the memory of whole pages back; they read as zero afterwards.
    pub(crate) fn discard(&self, range: Range<usize>) -> io::Result<()> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (start, len) = (range.start as libc::off_t, (range.end - range.start) as libc::off_t);
        // SAFETY: the descriptor is open, and the call does not touch this process's memory but the file's pages, whose code
        // nobody runs any more.
        succeed(unsafe { libc::fallocate(self.file.as_raw_fd(), mode, start, len) })
    }
}

impl Drop for CodePages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and whoever drops it says that no code in it runs.
        let _ = unsafe { libc::munmap(self.base.cast_mut().cast(), self.len) };
    }
}

fn anonymous_file() -> io::Result<File> {
    let create = |flags: libc::c_uint| {
        // SAFETY: the name is a string that ends in zero.
        let descriptor = unsafe { libc::memfd_create(c"crescendo code".as_ptr(), flags) };
        succeed(descriptor)?;
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        Ok(unsafe { File::from_raw_fd(descriptor) })
    };
    create(libc::MFD_CLOEXEC | MFD_EXEC).or_else(|_: io::Error| create(libc::MFD_CLOEXEC))
}

/// Makes every core forget instructions that it may have fetched from memory that now holds other code. Without effect on
/// kernels that do not know the call; processors of this architecture notice the change by themselves nearly always.
pub(crate) fn synchronize_cores() {
    const REGISTER_SYNC_CORE: libc::c_int = 1 << 6;
    const SYNC_CORE: libc::c_int = 1 << 5;
    for command in [REGISTER_SYNC_CORE, SYNC_CORE] {
        // SAFETY: the call has no memory arguments.
        let _ = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    }
}

/// Makes what every other thread of the process has written so far visible here, and what this thread has written visible to
/// them before they go on. `false` on kernels that cannot.
pub fn synchronize_threads() -> bool {
    const REGISTER_EXPEDITED: libc::c_int = 1 << 4;
    const EXPEDITED: libc::c_int = 1 << 3;
    [REGISTER_EXPEDITED, EXPEDITED].into_iter().all(|command| {
        // SAFETY: the call has no memory arguments.
        (unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }) == 0
    })
}

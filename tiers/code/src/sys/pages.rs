//! Mappings of address space.
//!
//! Callers check that ranges are whole pages inside the mapping; a range outside is caught here again, since the calls would
//! reach other mappings.

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::ops::Range;
use std::sync::OnceLock;

/// Bytes in a page of the operating system, a power of two.
pub fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: `sysconf` has no preconditions.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        // POSIX lets the call fail for unknown names only. 64 KiB is a multiple of every page size that Linux has here.
        usize::try_from(size).unwrap_or(1 << 16)
    })
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    None,
    ReadWrite,
}

/// A private anonymous mapping, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: MmapRaw,
}

impl Mapping {
    /// Maps `len` bytes, a multiple of the page size, without access and without swap space for them.
    pub(crate) fn reserve(len: usize) -> io::Result<Mapping> {
        let map = MmapOptions::new().len(len).no_reserve_swap().map_anon()?;
        let mapping = Mapping { map: MmapRaw::from(map) };
        mapping.protect(0..len, Access::None)?;
        Ok(mapping)
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Changes what may be done with whole pages.
    pub(crate) fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        let access = match access {
            Access::None => libc::PROT_NONE,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        let (start, len) = self.part(range)?;
        // SAFETY: the range lies in this mapping, and nobody but its owner relies on the access to it.
        succeed(unsafe { libc::mprotect(start, len, access) })
    }

    /// Gives the memory of whole pages back; they read as zero afterwards.
    pub(crate) fn discard(&self, range: Range<usize>) -> io::Result<()> {
        let (start, len) = self.part(range)?;
        // SAFETY: the range lies in this mapping, and its owner has asked to lose the bytes.
        succeed(unsafe { libc::madvise(start, len, libc::MADV_DONTNEED) })
    }

    fn part(&self, range: Range<usize>) -> io::Result<(*mut libc::c_void, usize)> {
        if range.start > range.end || range.end > self.map.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok((self.base().wrapping_add(range.start).cast(), range.end - range.start))
    }
}

/// Turns the result of a call that reports failure by a negative number and `errno` into a `Result`.
pub(super) fn succeed(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! Mappings of address space.
//!
//! Callers check that ranges are whole pages inside the mapping; a range outside is caught here again, since the calls would
//! reach other mappings.

use super::image_file::ImageFile;
use super::near::map_near;
use std::io;
use std::ops::Range;
use std::ptr;
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
    ReadExecute,
}

/// From the end of a mapping that is close to this code to the code, in bytes.
const GAP: usize = 32 << 20;

/// A private anonymous mapping, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: *mut u8,
    len: usize,
}

// SAFETY: `base` is only an address here; the mapping belongs to the value and is the same for all threads.
unsafe impl Send for Mapping {}
// SAFETY: as above; the methods are system calls, which may be made at once.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and its owner has no references into it any more.
        let _ = unsafe { libc::munmap(self.base.cast(), self.len.max(1)) };
    }
}

impl Mapping {
    /// Maps `len` bytes, a multiple of the page size, without access and without swap space for them.
    pub(crate) fn reserve(len: usize) -> io::Result<Mapping> {
        let base = map_inaccessible(len, ptr::null_mut(), 0);
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { base: base.cast(), len })
    }

    /// As [`Mapping::reserve`], close to this code if there is room.
    pub(crate) fn reserve_near(len: usize) -> io::Result<Mapping> {
        let base = map_near(len, GAP, |place, flags| map_inaccessible(len, place, flags))?;
        Ok(Mapping { base, len })
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    /// Changes what may be done with whole pages.
    pub(crate) fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        let access = match access {
            Access::None => libc::PROT_NONE,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Access::ReadExecute => libc::PROT_READ | libc::PROT_EXEC,
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

    /// Replaces whole pages by private copies of a file's from `offset` on, readable and writable. Giving their memory back brings
    /// the file's bytes back. After an error the old pages are there or none.
    pub(crate) fn map_image(&self, range: Range<usize>, image: &ImageFile, offset: usize) -> io::Result<()> {
        let whole = range.end.checked_sub(range.start).and_then(|len| len.checked_add(offset));
        if whole.is_none_or(|end| end > image.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.replace(range, 0, image.descriptor(), offset)
    }

    /// Replaces whole pages by zeros, readable and writable. After an error the old pages are there or none.
    pub(crate) fn map_zeros(&self, range: Range<usize>) -> io::Result<()> {
        self.replace(range, libc::MAP_ANONYMOUS, -1, 0)
    }

    fn replace(
        &self,
        range: Range<usize>,
        kind: libc::c_int,
        descriptor: libc::c_int,
        offset: usize,
    ) -> io::Result<()> {
        let (start, len) = self.part(range)?;
        if len == 0 {
            return Ok(());
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE | kind;
        // SAFETY: the range lies in this mapping, and its owner has asked to lose the bytes.
        let mapped = unsafe { libc::mmap(start, len, access, flags, descriptor, offset as libc::off_t) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn part(&self, range: Range<usize>) -> io::Result<(*mut libc::c_void, usize)> {
        if range.start > range.end || range.end > self.len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok((self.base().wrapping_add(range.start).cast(), range.end - range.start))
    }
}

/// Maps pages without access and without swap space for them, at the kernel's choice for null; `MAP_FAILED` if it refuses. `flags`
/// must not be one that replaces mappings.
fn map_inaccessible(len: usize, place: *mut libc::c_void, flags: libc::c_int) -> *mut libc::c_void {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | flags;
    // SAFETY: a new mapping that replaces none touches nothing that exists.
    unsafe { libc::mmap(place, len.max(1), libc::PROT_NONE, flags, -1, 0) }
}

/// Turns the result of a call that reports failure by a negative number and `errno` into a `Result`.
pub(super) fn succeed(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! Bytes in an anonymous file, from which reservations get private copies of whole pages, made when a page is written to.
//!
//! The file is sealed: nobody can change or shorten it, not even a guest that finds it under `/proc`, so that mappings of it
//! never fault and their pages are what was written here.

use super::pages::succeed;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Linux 6.3's flag for files that are never executed; older kernels do not know it.
const MFD_NOEXEC_SEAL: libc::c_uint = 0x8;

/// Files at most: a process may often have no more than 1,024 open, and others need some too.
const MOST: usize = 128;

/// Files that are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Bytes that pages of a [`Reservation`](crate::Reservation) can have from the start. Mappings outlive the value.
#[derive(Debug)]
pub struct ImageFile {
    file: Counted,
    len: usize,
}

impl ImageFile {
    /// A file of `len` bytes, rounded up to whole pages: `parts`, each by its offset, written in this order, and zeros.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when a part ends outside, `QuotaExceeded` when there are 128 already, else the operating system's error.
    pub fn new<'a>(len: usize, parts: impl IntoIterator<Item = (usize, &'a [u8])>) -> io::Result<ImageFile> {
        let len = len.checked_next_multiple_of(super::page_size()).ok_or(io::ErrorKind::OutOfMemory)?;
        let file = Counted::open()?;
        // All pages are there from now on: a guest that reads one takes no memory.
        // SAFETY: the descriptor is open, and the call has no memory arguments.
        succeed(unsafe { libc::fallocate(file.0.as_raw_fd(), 0, 0, len as libc::off_t) })?;
        for (at, bytes) in parts {
            if at.checked_add(bytes.len()).is_none_or(|end| end > len) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            file.0.write_all_at(bytes, at as u64)?;
        }
        let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        // SAFETY: the descriptor is open, and the call has no memory arguments.
        succeed(unsafe { libc::fcntl(file.0.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        Ok(ImageFile { file, len })
    }

    /// Bytes in the file, a multiple of the page size.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn descriptor(&self) -> libc::c_int {
        self.file.0.as_raw_fd()
    }
}

/// An open file that counts.
#[derive(Debug)]
struct Counted(File);

impl Counted {
    fn open() -> io::Result<Counted> {
        let counted =
            OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < MOST).then_some(open + 1));
        counted.map_err(|_| io::ErrorKind::QuotaExceeded)?;
        anonymous_file().map(Counted).inspect_err(|_| {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

fn anonymous_file() -> io::Result<File> {
    let create = |flags: libc::c_uint| {
        // SAFETY: the name is a string that ends in zero.
        let descriptor = unsafe { libc::memfd_create(c"crescendo data".as_ptr(), flags) };
        succeed(descriptor)?;
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        Ok(unsafe { File::from_raw_fd(descriptor) })
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    create(flags | MFD_NOEXEC_SEAL).or_else(|_: io::Error| create(flags))
}

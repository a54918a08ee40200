//! Address space of which pages become accessible one range at a time.
//!
//! Linear memories reserve their whole possible size, so that their base never moves, and commit what the guest may touch;
//! the rest is the guard region. A reservation costs address space only: no memory, no swap. Whoever owns a memory or a
//! stack owns its reservation; the invariant is that no method reaches outside of it.

use crate::sys::{self, Access, ImageFile, Mapping};
use std::io;
use std::ops::Range;

/// A range of address space, inaccessible at first and unmapped when dropped.
///
/// All ranges are in bytes from its start and must be multiples of [`page_size`](crate::page_size). References that a caller
/// makes from [`Reservation::base`] must not outlive the borrow of the reservation that they were made under: methods that
/// take `&mut self` may change or remove any byte.
///
/// # Examples
///
/// ```
/// use crescendo_code::{Reservation, page_size};
///
/// let mut memory = Reservation::reserve(8 << 30)?;
/// memory.commit(0..page_size())?;
/// // SAFETY: byte 0 is committed.
/// unsafe { memory.base().write(42) };
/// memory.zero(0..page_size())?;
/// // SAFETY: as above.
/// assert_eq!(unsafe { memory.base().read() }, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reservation {
    mapping: Mapping,
    len: usize,
}

impl Reservation {
    /// Reserves `len` bytes, rounded up to whole pages, without access.
    ///
    /// # Errors
    ///
    /// The operating system's error when it refuses, as under a limit of address space, or when `len` exceeds what an
    /// address can reach.
    pub fn reserve(len: usize) -> io::Result<Reservation> {
        let len = len.checked_next_multiple_of(sys::page_size()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Reservation { mapping: Mapping::reserve(len)?, len })
    }

    /// As [`Reservation::reserve`], within 2 GiB of the engine's own code if there is room: for code, which calls it and is called
    /// by it.
    ///
    /// # Errors
    ///
    /// As for [`Reservation::reserve`].
    pub fn reserve_near(len: usize) -> io::Result<Reservation> {
        let len = len.checked_next_multiple_of(sys::page_size()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Reservation { mapping: Mapping::reserve_near(len)?, len })
    }

    /// The address of byte 0. It stays the same as long as the reservation lives.
    pub fn base(&self) -> *mut u8 {
        self.mapping.base()
    }

    /// Bytes reserved, a multiple of the page size.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is reserved.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the pages of `range` readable and writable. Pages that are so already keep their bytes, the others are zero.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the range is not made of pages of the reservation, else the operating system's error.
    pub fn commit(&mut self, range: Range<usize>) -> io::Result<()> {
        self.check(&range)?;
        self.mapping.protect(range, Access::ReadWrite)
    }

    /// Makes the pages of `range` readable and executable, and no longer writable.
    ///
    /// # Errors
    ///
    /// As for [`Reservation::commit`].
    pub fn make_executable(&mut self, range: Range<usize>) -> io::Result<()> {
        self.check(&range)?;
        self.mapping.protect(range, Access::ReadExecute)
    }

    /// Gives the memory of `range` back and makes its pages inaccessible.
    ///
    /// # Errors
    ///
    /// As for [`Reservation::commit`]. After an error of the operating system the bytes may be gone and yet accessible.
    pub fn decommit(&mut self, range: Range<usize>) -> io::Result<()> {
        self.check(&range)?;
        self.mapping.discard(range.clone())?;
        self.mapping.protect(range, Access::None)
    }

    /// Sets the bytes of `range` to zero by giving their memory back; access stays what it is. Pages that
    /// [`Reservation::map_image`] has made have the image's bytes again instead.
    ///
    /// Costs a system call and a page fault at the next touch of each page: below some hundred kilobytes, writing zeros to
    /// committed pages is faster.
    ///
    /// # Errors
    ///
    /// As for [`Reservation::commit`].
    pub fn zero(&mut self, range: Range<usize>) -> io::Result<()> {
        self.check(&range)?;
        self.mapping.discard(range)
    }

    /// Makes `range` readable and writable, with the image's bytes from `offset` on, a multiple of the page size. A page costs
    /// memory when it is written to first.
    ///
    /// # Errors
    ///
    /// As for [`Reservation::commit`], and `InvalidInput` when the image has not as many bytes. After an error of the operating
    /// system the bytes are as before or inaccessible, and other mappings may take their place: the reservation is of no use any more.
    pub fn map_image(&mut self, range: Range<usize>, image: &ImageFile, offset: usize) -> io::Result<()> {
        self.check(&range)?;
        self.mapping.map_image(range, image, offset)
    }

    /// Makes `range` readable and writable zeros that have nothing to do with an image any more.
    ///
    /// # Errors
    ///
    /// As for [`Reservation::map_image`].
    pub fn unmap_image(&mut self, range: Range<usize>) -> io::Result<()> {
        self.check(&range)?;
        self.mapping.map_zeros(range)
    }

    fn check(&self, range: &Range<usize>) -> io::Result<()> {
        let page = sys::page_size();
        let whole = range.start.is_multiple_of(page) && range.end.is_multiple_of(page);
        if whole && range.start <= range.end && range.end <= self.len {
            return Ok(());
        }
        let message = format!("bytes {range:?} are not whole pages of a reservation of {} bytes", self.len);
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

//! Shared memories: what the stores of several threads use at once.
//!
//! A [`SharedRecord`] belongs to no store; every store that uses it has a `MemoryRecord` that refers to it, and contexts point
//! to the one [`VmMemory`] in here. Invariant: base and reservation never change, the length only grows and is read and
//! written atomically, and bytes below it are readable and writable. Nobody ever has a Rust reference to the bytes: guests
//! race on them.

use super::memory::{GUARDED_RESERVATION, has_guard, most_bytes};
use super::parking::{ParkingLot, Tick};
use super::stop::range;
use super::{WaitResult, racy};
use crate::error::{Result, limit};
use crate::{Engine, MemoryType};
use crescendo_abi::{TrapCode, VmMemory};
use crescendo_code::{GuardRange, Reservation, page_size};
use std::cell::UnsafeCell;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A memory that several threads may use.
pub(crate) struct SharedRecord {
    vm: UnsafeCell<VmMemory>,
    ty: MemoryType,
    /// The entry in the list of ranges where faults of native code are traps. It ends before the reservation does.
    _range: Option<GuardRange>,
    /// Locked while the memory grows.
    reservation: Mutex<Reservation>,
    parked: ParkingLot,
}

// SAFETY: field by field. Of `vm`, base and guarded length never change after `new`, and the length is accessed through
// an atomic only (`SharedRecord::length`); the base is an address that is not dereferenced but by atomics and generated code.
// `reservation` and `parked` lock themselves, `ty` is plain data, `_range` a reference to atomics.
unsafe impl Send for SharedRecord {}
// SAFETY: as for `Send`.
unsafe impl Sync for SharedRecord {}

impl SharedRecord {
    /// A memory of its type's minimum size, all zero, with address space for its maximum.
    ///
    /// # Errors
    ///
    /// When the configuration forbids shared memories, or the system has no address space or no memory left.
    pub(crate) fn new(engine: &Engine, ty: MemoryType) -> Result<SharedRecord> {
        let config = engine.config();
        if !config.shared_memory {
            return Err(limit!("shared memories are switched off: see `Config::shared_memory`"));
        }
        let guarded = config.guarded_memories() && has_guard(&ty);
        let reserved = if guarded { Reservation::reserve(GUARDED_RESERVATION).ok() } else { None };
        let guarded = reserved.is_some();
        let reservation = match reserved {
            Some(reservation) => reservation,
            None => {
                // A memory that never moves has room for its maximum from the start.
                let most = ty.maximum.unwrap_or(u64::MAX).saturating_mul(ty.page_size());
                let most = usize::try_from(most).unwrap_or(usize::MAX).min(most_bytes(&ty));
                Reservation::reserve(most.max(1)).map_err(|error| {
                    limit!("{error}: a shared memory takes address space for its maximum of {most} bytes")
                })?
            }
        };
        let (base, reserved) = (reservation.base(), reservation.len());
        let guarded_len = if guarded { reserved as u64 } else { 0 };
        let record = SharedRecord {
            vm: UnsafeCell::new(VmMemory { base, len: 0, guarded_len }),
            ty,
            reservation: Mutex::new(reservation),
            _range: guarded.then(|| GuardRange::new(base, reserved)),
            parked: ParkingLot::default(),
        };
        record.grow(ty.minimum)?;
        Ok(record)
    }

    /// What contexts point to.
    pub(crate) fn vm(&self) -> NonNull<VmMemory> {
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(self.vm.get()) }
    }

    fn length(&self) -> &AtomicU64 {
        // SAFETY: the field is alive.
        let length = unsafe { &raw mut (*self.vm.get()).len };
        // SAFETY: the field is alive and aligned, and everybody accesses it atomically: generated code by whole words.
        unsafe { AtomicU64::from_ptr(length) }
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.length().load(Ordering::SeqCst)
    }

    /// The first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        // SAFETY: the field never changes.
        unsafe { (*self.vm.get()).base }
    }

    /// Whether accesses need no check.
    pub(crate) fn is_guarded(&self) -> bool {
        // SAFETY: the field never changes.
        unsafe { (*self.vm.get()).guarded_len != 0 }
    }

    /// The type that the memory was made with.
    pub(crate) fn declared_type(&self) -> &MemoryType {
        &self.ty
    }

    /// The bytes of a size that is `delta` pages more than `pages`; `None` when no memory is as large.
    pub(crate) fn bytes_after(&self, pages: u64, delta: u64) -> Option<usize> {
        let bytes = pages.checked_add(delta)?.checked_mul(self.ty.page_size())?;
        usize::try_from(bytes).ok()
    }

    /// Adds `delta` pages of zeros and answers the number of pages before.
    ///
    /// # Errors
    ///
    /// When the memory would exceed its maximum, or the system refuses; nothing has changed then.
    pub(crate) fn grow(&self, delta: u64) -> Result<u64> {
        let mut reservation = self.reservation.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.len() as usize;
        let pages = used as u64 >> self.ty.page_size_log2;
        if delta == 0 {
            return Ok(pages);
        }
        let maximum = self.ty.maximum.unwrap_or(u64::MAX).saturating_mul(self.ty.page_size());
        let most = usize::try_from(maximum).unwrap_or(usize::MAX).min(most_bytes(&self.ty));
        let desired = match self.bytes_after(pages, delta) {
            Some(desired) if desired <= most => desired,
            _ => return Err(limit!("a memory would exceed its maximum of {most} bytes")),
        };
        let whole = |bytes: usize| bytes.next_multiple_of(page_size());
        reservation.commit(whole(used)..whole(desired))?;
        self.length().store(desired as u64, Ordering::SeqCst);
        Ok(pages)
    }
}

/// Bulk operators.
impl SharedRecord {
    fn range(&self, start: u64, len: u64) -> Result<Range<usize>, TrapCode> {
        range(start, len, self.len(), TrapCode::MemoryOutOfBounds)
    }

    /// Sets `len` bytes from `start` on.
    pub(crate) fn fill(&self, start: u64, value: u8, len: u64) -> Result<(), TrapCode> {
        let range = self.range(start, len)?;
        // SAFETY: the range lies inside of the memory, which never shrinks, and nobody refers to its bytes.
        unsafe { racy::fill(self.base().wrapping_add(range.start), value, range.len()) };
        Ok(())
    }

    /// Writes bytes to `start`.
    pub(crate) fn write(&self, start: u64, bytes: &[u8]) -> Result<(), TrapCode> {
        let range = self.range(start, bytes.len() as u64)?;
        // SAFETY: as above; the source does not change, being borrowed.
        unsafe { racy::copy(self.base().wrapping_add(range.start), bytes.as_ptr(), range.len()) };
        Ok(())
    }
}

/// Waiting and notifying.
impl SharedRecord {
    /// The address of an aligned value.
    fn place(&self, address: u64, bytes: u64) -> Result<*mut u8, TrapCode> {
        let range = atomic_range(address, bytes, self.len())?;
        Ok(self.base().wrapping_add(range.start))
    }

    /// Wakes `count` waiters of the 32-bit or 64-bit value at an address; answers how many there were.
    pub(crate) fn notify(&self, address: u64, count: u32) -> Result<u32, TrapCode> {
        self.place(address, 4)?;
        Ok(self.parked.notify(address, count))
    }

    /// Waits for a notification if the 32-bit value at an address is the expected one.
    pub(crate) fn wait32<E: From<TrapCode>>(
        &self,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
        tick: Option<Tick<'_, E>>,
    ) -> Result<WaitResult, E> {
        let place = self.place(address, 4)?;
        // SAFETY: the value lies inside of the memory, is aligned, and nobody refers to it.
        let value = unsafe { AtomicU32::from_ptr(place.cast()) };
        self.parked.wait(address, || value.load(Ordering::SeqCst) == expected, timeout, tick)
    }

    /// As [`SharedRecord::wait32`], for a 64-bit value.
    pub(crate) fn wait64<E: From<TrapCode>>(
        &self,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
        tick: Option<Tick<'_, E>>,
    ) -> Result<WaitResult, E> {
        let place = self.place(address, 8)?;
        // SAFETY: as above.
        let value = unsafe { AtomicU64::from_ptr(place.cast()) };
        self.parked.wait(address, || value.load(Ordering::SeqCst) == expected, timeout, tick)
    }

    /// The bytes. The slice stays valid as the memory grows, which it does not show.
    pub(crate) fn cells(&self) -> &[UnsafeCell<u8>] {
        let cells = ptr::slice_from_raw_parts(self.base().cast::<UnsafeCell<u8>>(), self.len() as usize);
        // SAFETY: the memory's bytes are accessible, and stay so as long as the record lives; cells may change.
        unsafe { &*cells }
    }
}

/// The range of an atomic access in a memory of `size` bytes; alignment comes first.
pub(crate) fn atomic_range(address: u64, bytes: u64, size: u64) -> Result<Range<usize>, TrapCode> {
    if !address.is_multiple_of(bytes) {
        return Err(TrapCode::UnalignedAtomic);
    }
    range(address, bytes, size, TrapCode::MemoryOutOfBounds)
}

#[cfg(test)]
mod tests {
    use super::SharedRecord;
    use crate::{Config, Engine, MemoryType};
    use crescendo_abi::TrapCode;

    #[test]
    fn every_kind_of_shared_memory_grows_in_its_place() {
        let small = MemoryType { page_size_log2: 0, ..MemoryType::shared(10, 70_000) };
        let large = MemoryType { memory64: true, ..MemoryType::shared(1, 3) };
        let checked = Engine::new(Config::new().signals_based_traps(false)).unwrap();
        for (engine, ty, guarded, last) in [
            (&Engine::default(), MemoryType::shared(1, 3), true, 3 << 16),
            (&checked, MemoryType::shared(1, 3), false, 3 << 16),
            (&Engine::default(), large, false, 3 << 16),
            (&Engine::default(), small, false, 70_000),
            (&Engine::default(), MemoryType::shared(0, 0), true, 0),
        ] {
            let memory = SharedRecord::new(engine, ty).unwrap();
            assert_eq!(memory.is_guarded(), guarded, "{ty}");
            let base = memory.base();
            let maximum = ty.maximum.unwrap();
            assert_eq!(memory.grow(maximum - ty.minimum).unwrap(), ty.minimum, "{ty}");
            assert!(memory.grow(1).is_err() && memory.grow(u64::MAX).is_err(), "{ty}");
            assert_eq!((memory.base(), memory.len()), (base, last), "{ty}");
            memory.fill(0, 7, last).unwrap();
            assert_eq!(memory.fill(1, 7, last), Err(TrapCode::MemoryOutOfBounds));
            assert_eq!(memory.cells().len() as u64, last);
        }
    }

    #[test]
    fn addresses_are_aligned_and_inside() {
        let memory = SharedRecord::new(&Engine::default(), MemoryType::shared(1, 1)).unwrap();
        assert_eq!(memory.notify(2, 1), Err(TrapCode::UnalignedAtomic));
        assert_eq!(memory.notify(0x1_0000, 1), Err(TrapCode::MemoryOutOfBounds));
        assert_eq!(memory.notify(0xfffc, 1), Ok(0));
        assert_eq!(memory.wait64(4, 0, None, None), Err(TrapCode::UnalignedAtomic));
    }
}

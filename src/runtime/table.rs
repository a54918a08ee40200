//! Tables: their elements, their type, their growth.
//!
//! An element is a slot: the address of an entry record, or the index of an external reference; 0 is null. Invariant:
//! `vm.len` elements from `vm.base` on are allocated, and each is 0 or a reference that is valid in the table's store.

use super::stop::range;
use super::zeroed::{OutOfMemory, ZeroedBuffer};
use crate::TableType;
use crate::error::{Result, limit};
use crate::limits::ResourceLimiter;
use crescendo_abi::{SLOT_SIZE, TrapCode, VmTable};
use std::ptr::{self, NonNull};

/// A table of a store.
#[repr(C)]
pub(crate) struct TableRecord {
    /// Must be first: contexts point to it, builtins cast back.
    vm: VmTable,
    ty: TableType,
    buffer: ZeroedBuffer,
}

impl TableRecord {
    /// A table of its type's minimum size, filled with `init`, which must be a reference of the store or 0. The caller has
    /// counted it in the store.
    ///
    /// # Errors
    ///
    /// When the limiter refuses the size, or the system has no memory left.
    pub(crate) fn new(
        ty: TableType,
        init: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<TableRecord> {
        let buffer = ZeroedBuffer::empty();
        let mut record = TableRecord { vm: VmTable { base: buffer.base().cast(), len: 0 }, ty, buffer };
        record.grow(ty.minimum, init, limiter)??;
        Ok(record)
    }

    /// The type that the table was made with.
    pub(crate) fn declared_type(&self) -> &TableType {
        &self.ty
    }

    /// The type with the present size as its minimum, which is what imports are matched with.
    pub(crate) fn current_type(&self) -> TableType {
        TableType { minimum: self.vm.len, ..self.ty }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> u64 {
        self.vm.len
    }

    /// The elements.
    pub(crate) fn elements(&self) -> &[u64] {
        // SAFETY: the type's invariant; the guest does not run while the host has the borrow.
        unsafe { std::slice::from_raw_parts(self.vm.base, self.vm.len as usize) }
    }

    /// The elements, to be changed to references of the same store.
    pub(crate) fn elements_mut(&mut self) -> &mut [u64] {
        // SAFETY: the type's invariant; the guest does not run while the host has the borrow.
        unsafe { std::slice::from_raw_parts_mut(self.vm.base, self.vm.len as usize) }
    }

    /// Adds `delta` elements that hold `init`. The inner answer is the number of elements before, or why the growth was
    /// refused or failed; then nothing has changed.
    ///
    /// # Errors
    ///
    /// When the limiter makes one, which ends the guest.
    pub(crate) fn grow(
        &mut self,
        delta: u64,
        init: u64,
        mut limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<Result<u64>> {
        let old = self.vm.len;
        if delta == 0 {
            return Ok(Ok(old));
        }
        let desired = old.checked_add(delta).and_then(|elements| usize::try_from(elements).ok());
        let maximum = self.ty.maximum.map(|elements| usize::try_from(elements).unwrap_or(usize::MAX));
        if let Some(limiter) = &mut limiter
            && !limiter.table_growing(old as usize, desired.unwrap_or(usize::MAX), maximum)?
        {
            return Ok(Err(limit!("the store's limiter refused a table of {desired:?} elements")));
        }
        if let Err(error) = self.resize(desired, maximum, init) {
            let told = error.to_string();
            if let Some(limiter) = limiter {
                limiter.table_grow_failed(error)?;
            }
            return Ok(Err(limit!("{told}")));
        }
        Ok(Ok(old))
    }

    /// Grows to `desired` elements, `None` being more than there can be.
    fn resize(&mut self, desired: Option<usize>, maximum: Option<usize>, init: u64) -> Result<()> {
        let ceiling = if self.ty.table64 { usize::MAX / SLOT_SIZE } else { u32::MAX as usize };
        let most = maximum.unwrap_or(ceiling).min(ceiling);
        let desired = match desired {
            Some(desired) if desired <= most => desired,
            _ => return Err(limit!("a table would exceed its maximum of {most} elements")),
        };
        let used = self.vm.len as usize;
        self.buffer
            .grow(used * SLOT_SIZE, desired * SLOT_SIZE, most * SLOT_SIZE)
            .map_err(|OutOfMemory| limit!("{OutOfMemory}: a table of {desired} elements"))?;
        self.vm.base = self.buffer.base().cast();
        self.vm.len = desired as u64;
        // The buffer comes zeroed, and so stays untouched for null.
        if init != 0 {
            self.elements_mut()[used..].fill(init);
        }
        Ok(())
    }
}

/// Bulk operators. The elements that they write must be references of the table's store and element type.
impl TableRecord {
    /// Sets `len` elements from `start` on.
    pub(crate) fn fill(&mut self, start: u64, value: u64, len: u64) -> Result<(), TrapCode> {
        let range = range(start, len, self.vm.len, TrapCode::TableOutOfBounds)?;
        self.elements_mut()[range].fill(value);
        Ok(())
    }

    /// Copies `len` elements of `source`, from `source_start` on, to `target`, from `target_start` on. Both may be one table.
    ///
    /// # Safety
    ///
    /// Both are alive, and nobody else uses them meanwhile.
    pub(crate) unsafe fn copy(
        target: NonNull<TableRecord>,
        target_start: u64,
        source: NonNull<TableRecord>,
        source_start: u64,
        len: u64,
    ) -> Result<(), TrapCode> {
        // SAFETY: alive and not changed meanwhile (the caller's promise).
        let to = unsafe { target.as_ref() };
        // SAFETY: as above.
        let from = unsafe { source.as_ref() };
        let to_range = range(target_start, len, to.vm.len, TrapCode::TableOutOfBounds)?;
        let from_range = range(source_start, len, from.vm.len, TrapCode::TableOutOfBounds)?;
        let to = to.vm.base.wrapping_add(to_range.start);
        let from = from.vm.base.wrapping_add(from_range.start);
        // SAFETY: both ranges were just checked to lie inside of their tables; `copy` allows overlaps.
        unsafe { ptr::copy(from, to, to_range.len()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::TableRecord;
    use crate::{RefType, TableType};

    #[test]
    fn growth_fills_what_is_new() {
        let mut table = TableRecord::new(TableType::new(RefType::EXTERNREF, 2, Some(6)), 7, None).unwrap();
        assert_eq!(table.grow(3, 9, None).unwrap().unwrap(), 2);
        assert_eq!(table.elements(), [7, 7, 9, 9, 9]);
        assert!(table.grow(2, 9, None).unwrap().is_err());
        assert_eq!(table.grow(1, 0, None).unwrap().unwrap(), 5);
        assert_eq!(table.elements(), [7, 7, 9, 9, 9, 0]);
    }

    #[test]
    fn sizes_that_no_system_has_are_refused() {
        let mut table = TableRecord::new(TableType::new64(RefType::EXTERNREF, 0, None), 0, None).unwrap();
        assert!(table.grow(u64::MAX, 0, None).unwrap().is_err());
        assert!(table.grow(1 << 58, 0, None).unwrap().is_err());
        let mut table = TableRecord::new(TableType::new(RefType::EXTERNREF, 0, None), 0, None).unwrap();
        assert!(table.grow(1 << 32, 0, None).unwrap().is_err());
    }
}

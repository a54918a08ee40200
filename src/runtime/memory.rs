//! Linear memories: their bytes, their type, their growth.
//!
//! A memory that qualifies lies in a reservation that is larger than any address its guest can form, so that accesses need
//! no check and the base never moves (*guarded*). The others, and those for which the system refused the reservation, are
//! plain allocations that move when they grow (`guarded_len` 0). The record of a shared memory refers to what all its stores
//! share (`shared_memory.rs`). Invariant of the others: `vm.len` bytes from `vm.base` on are readable
//! and writable, and every byte between `vm.len` and `vm.guarded_len` faults.

use super::image::MemoryImage;
use super::pool::{GuardedMemory, Pool};
use super::racy;
use super::shared_memory::SharedRecord;
use super::stop::range;
use super::zeroed::{OutOfMemory, ZeroedBuffer};
use crate::error::{Error, Result, bug, limit};
use crate::limits::ResourceLimiter;
use crate::{Engine, MemoryType};
use crescendo_abi::{TrapCode, VmMemory};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Address space of a guarded memory: any 32-bit index plus any 32-bit offset, and the widest access.
pub(super) const GUARDED_RESERVATION: usize = (4 << 30) + (4 << 30) + (64 << 10);

/// Whether a memory of this type can have a guard: every address that its guest can form can be reserved, and its end is
/// that of a page of the system.
pub(crate) fn has_guard(ty: &MemoryType) -> bool {
    !ty.memory64 && ty.page_size_log2 == 16
}

/// Bytes that a memory may have at most, whatever maximum its type has: its number of pages fits its index type.
pub(super) fn most_bytes(ty: &MemoryType) -> usize {
    let bytes =
        crescendo_module::max_memory_pages(ty.memory64, ty.page_size_log2).saturating_mul(ty.page_size());
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A linear memory of a store.
#[repr(C)]
pub(crate) struct MemoryRecord {
    /// What contexts point to, unless the memory is shared. Must be first.
    vm: VmMemory,
    ty: MemoryType,
    backing: Backing,
}

enum Backing {
    /// No bytes and no way to get any: what instances without memories have.
    Dummy,
    Guarded(GuardedMemory),
    Plain(ZeroedBuffer),
    /// The memory is there, and the record's own `vm` means nothing.
    Shared(Arc<SharedRecord>),
}

impl MemoryRecord {
    /// The memory of size 0 that stands for memory 0 of an instance without memories.
    pub(crate) fn dummy() -> MemoryRecord {
        let vm = VmMemory { base: ptr::without_provenance_mut(16), len: 0, guarded_len: 0 };
        MemoryRecord { vm, ty: MemoryType::new(0, Some(0)), backing: Backing::Dummy }
    }

    /// A memory of its type's minimum size, all zero, or with the bytes of an image that lies in it if it can have one: see
    /// [`MemoryRecord::has_image`]. The caller has counted it in the store.
    ///
    /// # Errors
    ///
    /// When the limiter refuses the size, or the system has no memory left.
    pub(crate) fn new(
        engine: &Engine,
        ty: MemoryType,
        image: Option<&Arc<MemoryImage>>,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<MemoryRecord> {
        if ty.shared {
            if let Some(limiter) = limiter {
                let bytes =
                    |pages: u64| usize::try_from(pages.saturating_mul(ty.page_size())).unwrap_or(usize::MAX);
                let (desired, maximum) = (bytes(ty.minimum), ty.maximum.map(bytes));
                if !limiter.memory_growing(0, desired, maximum)? {
                    return Err(limit!("the store's limiter refused a memory of {desired} bytes"));
                }
            }
            return Ok(MemoryRecord::of_shared(Arc::new(SharedRecord::new(engine, ty)?)));
        }
        let mut record = MemoryRecord::empty(engine, ty, image);
        record.grow(ty.minimum, limiter)??;
        Ok(record)
    }

    /// What a shared memory is in a store.
    pub(crate) fn of_shared(shared: Arc<SharedRecord>) -> MemoryRecord {
        let vm = VmMemory { base: ptr::without_provenance_mut(16), len: 0, guarded_len: 0 };
        MemoryRecord { vm, ty: *shared.declared_type(), backing: Backing::Shared(shared) }
    }

    /// What contexts point to.
    ///
    /// # Safety
    ///
    /// The record is alive.
    pub(crate) unsafe fn vm(record: NonNull<MemoryRecord>) -> NonNull<VmMemory> {
        // SAFETY: the caller's promise.
        match unsafe { record.as_ref() }.shared() {
            Some(shared) => shared.vm(),
            // The first field.
            None => record.cast(),
        }
    }

    /// What the memory's stores share, if it is a shared memory.
    pub(crate) fn shared(&self) -> Option<&Arc<SharedRecord>> {
        match &self.backing {
            Backing::Shared(shared) => Some(shared),
            _ => None,
        }
    }

    fn empty(engine: &Engine, ty: MemoryType, image: Option<&Arc<MemoryImage>>) -> MemoryRecord {
        let qualifies = engine.config().guarded_memories() && has_guard(&ty);
        // A minimum that cannot be had is for `grow` to report.
        let minimum = (ty.minimum.checked_mul(ty.page_size()))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| *bytes <= most_bytes(&ty));
        let minimum = minimum.filter(|_| qualifies);
        let memory = minimum.and_then(|bytes| engine.pool().take_memory(bytes, image).ok());
        match memory {
            Some(memory) => {
                let vm = VmMemory { base: memory.base(), len: 0, guarded_len: memory.reserved() as u64 };
                MemoryRecord { vm, ty, backing: Backing::Guarded(memory) }
            }
            None => {
                let buffer = ZeroedBuffer::empty();
                let vm = VmMemory { base: buffer.base(), len: 0, guarded_len: 0 };
                MemoryRecord { vm, ty, backing: Backing::Plain(buffer) }
            }
        }
    }

    /// Gives what other memories can use to the pool. Nobody looks at the memory any more.
    pub(crate) fn recycle(&mut self, pool: &Pool) {
        if let Backing::Guarded(memory) = std::mem::replace(&mut self.backing, Backing::Dummy) {
            pool.give_memory(memory);
        }
    }

    /// The type that the memory was made with.
    pub(crate) fn declared_type(&self) -> &MemoryType {
        &self.ty
    }

    /// The type with the present size as its minimum, which is what imports are matched with.
    pub(crate) fn current_type(&self) -> MemoryType {
        MemoryType { minimum: self.pages(), ..self.ty }
    }

    /// Whether the first bytes were those of an image.
    pub(crate) fn has_image(&self) -> bool {
        match &self.backing {
            Backing::Guarded(memory) => memory.has_image(),
            _ => false,
        }
    }

    /// Makes a memory zero that nobody has used yet.
    pub(crate) fn wipe_image(&mut self) {
        if let Backing::Guarded(memory) = &mut self.backing {
            memory.wipe_image();
        }
    }

    /// Whether accesses need no check.
    pub(crate) fn is_guarded(&self) -> bool {
        self.shared().map_or(self.vm.guarded_len != 0, |shared| shared.is_guarded())
    }

    /// Number of pages.
    pub(crate) fn pages(&self) -> u64 {
        self.len() >> self.ty.page_size_log2
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.shared().map_or(self.vm.len, |shared| shared.len())
    }

    /// The first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.shared().map_or(self.vm.base, |shared| shared.base())
    }

    /// The memory's bytes; none of a shared memory, on which threads race.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the type's invariant; the guest does not run while the host has the borrow.
        unsafe { std::slice::from_raw_parts(self.vm.base, self.vm.len as usize) }
    }

    /// The memory's bytes, to be changed; none of a shared memory.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the type's invariant; the guest does not run while the host has the borrow.
        unsafe { std::slice::from_raw_parts_mut(self.vm.base, self.vm.len as usize) }
    }

    /// Adds `delta` pages of zeros. The inner answer is the number of pages before, or why the growth was refused or
    /// failed; then nothing has changed.
    ///
    /// # Errors
    ///
    /// When the limiter makes one, which ends the guest.
    pub(crate) fn grow(
        &mut self,
        delta: u64,
        mut limiter: Option<&mut dyn ResourceLimiter>,
    ) -> Result<Result<u64>> {
        let old_pages = self.pages();
        if delta == 0 {
            return Ok(Ok(old_pages));
        }
        let log2 = u32::from(self.ty.page_size_log2);
        let bytes_of =
            |pages: u64| pages.checked_mul(1 << log2).and_then(|bytes| usize::try_from(bytes).ok());
        let desired = old_pages.checked_add(delta).and_then(bytes_of);
        let maximum = self.ty.maximum.map(|pages| bytes_of(pages).unwrap_or(usize::MAX));
        if let Some(limiter) = &mut limiter
            && !limiter.memory_growing(self.len() as usize, desired.unwrap_or(usize::MAX), maximum)?
        {
            return Ok(Err(limit!("the store's limiter refused a memory of {desired:?} bytes")));
        }
        // Other threads may make a shared memory grow meanwhile.
        let outcome = match &self.backing {
            Backing::Shared(shared) => shared.grow(delta),
            _ => self.resize(desired, maximum).map(|()| old_pages),
        };
        let error = match outcome {
            Ok(old_pages) => return Ok(Ok(old_pages)),
            Err(error) => error,
        };
        let told = error.to_string();
        if let Some(limiter) = limiter {
            limiter.memory_grow_failed(error)?;
        }
        Ok(Err(limit!("{told}")))
    }

    /// Grows to `desired` bytes, `None` being more than there can be.
    fn resize(&mut self, desired: Option<usize>, maximum: Option<usize>) -> Result<()> {
        let ceiling = most_bytes(&self.ty);
        let most = maximum.unwrap_or(ceiling).min(ceiling);
        let desired = match desired {
            Some(desired) if desired <= most => desired,
            _ => return Err(limit!("a memory would exceed its maximum of {most} bytes")),
        };
        let used = self.vm.len as usize;
        match &mut self.backing {
            Backing::Shared(_) => return Err(bug!("a shared memory grows in another way")),
            Backing::Dummy => return Err(Error::msg("an instance without memories cannot grow one")),
            Backing::Guarded(memory) => memory.resize(desired)?,
            Backing::Plain(buffer) => {
                let failed = |OutOfMemory| limit!("{OutOfMemory}: a memory of {desired} bytes");
                buffer.grow(used, desired, most).map_err(failed)?;
                self.vm.base = buffer.base();
            }
        }
        self.vm.len = desired as u64;
        Ok(())
    }
}

/// Bulk operators.
impl MemoryRecord {
    /// Sets `len` bytes from `start` on.
    pub(crate) fn fill(&mut self, start: u64, value: u8, len: u64) -> Result<(), TrapCode> {
        if let Some(shared) = self.shared() {
            return shared.fill(start, value, len);
        }
        let range = self.range(start, len)?;
        self.bytes_mut()[range].fill(value);
        Ok(())
    }

    /// Writes `len` bytes of `data`, from `source` on, to `start`.
    pub(crate) fn init(&mut self, start: u64, data: &[u8], source: u64, len: u64) -> Result<(), TrapCode> {
        let target = self.range(start, len)?;
        let source = range(source, len, data.len() as u64, TrapCode::MemoryOutOfBounds)?;
        match self.shared() {
            Some(shared) => shared.write(start, &data[source]),
            None => {
                self.bytes_mut()[target].copy_from_slice(&data[source]);
                Ok(())
            }
        }
    }

    /// Copies `len` bytes of `from`, from `source_start` on, to `to`, from `target_start` on. Both may be one memory.
    ///
    /// # Safety
    ///
    /// Nobody else uses their bytes meanwhile unless they are shared.
    pub(crate) unsafe fn copy(
        to: &MemoryRecord,
        target_start: u64,
        from: &MemoryRecord,
        source_start: u64,
        len: u64,
    ) -> Result<(), TrapCode> {
        let (to_range, from_range) = (to.range(target_start, len)?, from.range(source_start, len)?);
        let is_shared = to.shared().is_some() || from.shared().is_some();
        let to = to.base().wrapping_add(to_range.start);
        let from = from.base().wrapping_add(from_range.start);
        if is_shared {
            // SAFETY: as below; other threads race on them only by atomics and from generated code.
            unsafe { racy::copy(to, from, to_range.len()) };
            return Ok(());
        }
        // SAFETY: both ranges were just checked to lie inside of their memories; `copy` allows overlaps.
        unsafe { ptr::copy(from, to, to_range.len()) };
        Ok(())
    }

    fn range(&self, start: u64, len: u64) -> Result<std::ops::Range<usize>, TrapCode> {
        range(start, len, self.len(), TrapCode::MemoryOutOfBounds)
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryRecord;
    use crate::{Config, Engine, MemoryType};

    #[test]
    fn both_kinds_of_memory_grow_with_zeros() {
        let checked = Engine::new(Config::new().memory_reservation(false)).unwrap();
        for (engine, guarded) in [(Engine::default(), true), (checked, false)] {
            let mut memory = MemoryRecord::new(&engine, MemoryType::new(1, Some(3)), None, None).unwrap();
            assert_eq!(memory.is_guarded(), guarded);
            memory.bytes_mut().fill(1);
            assert_eq!(memory.grow(2, None).unwrap().unwrap(), 1);
            assert!(memory.grow(1, None).unwrap().is_err());
            assert_eq!((memory.pages(), memory.len()), (3, 3 << 16));
            assert!(memory.bytes()[..1 << 16].iter().all(|&byte| byte == 1));
            assert!(memory.bytes()[1 << 16..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn memories_with_small_pages_have_any_size_and_no_guard() {
        let ty = MemoryType { page_size_log2: 0, ..MemoryType::new(100, Some(300)) };
        let mut memory = MemoryRecord::new(&Engine::default(), ty, None, None).unwrap();
        assert!(!memory.is_guarded());
        assert_eq!((memory.pages(), memory.len()), (100, 100));
        assert_eq!(memory.grow(200, None).unwrap().unwrap(), 100);
        assert!(memory.grow(1, None).unwrap().is_err());
        assert!(memory.fill(299, 1, 1).is_ok() && memory.fill(300, 1, 1).is_err());
        // A size of 2^32 would look like 0.
        let ty = MemoryType { page_size_log2: 0, ..MemoryType::new(0, None) };
        let mut memory = MemoryRecord::new(&Engine::default(), ty, None, None).unwrap();
        assert!(memory.grow(1 << 32, None).unwrap().is_err());
    }

    #[test]
    fn sizes_that_no_system_has_are_refused() {
        let engine = Engine::default();
        for ty in [MemoryType::new64(1 << 40, None), MemoryType::new64(u64::MAX >> 16, None)] {
            assert!(MemoryRecord::new(&engine, ty, None, None).is_err(), "{ty}");
        }
        let mut memory = MemoryRecord::new(&engine, MemoryType::new(0, None), None, None).unwrap();
        assert!(memory.grow(u64::MAX, None).unwrap().is_err());
        assert!(memory.grow(65537, None).unwrap().is_err());
    }
}

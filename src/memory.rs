//! Linear memories as embedders see them: [`Memory`].

use crate::error::arguments;
use crate::runtime::MemoryRecord;
use crate::store::{StoreId, StoreOpaque, Stored};
use crate::{AsContext, AsContextMut, MemoryType, Result};
use std::ptr::NonNull;

/// A linear memory of a store.
///
/// Bytes are borrowed together with the store, so that no guest runs while the host holds them. Sizes are in pages of
/// 64 KiB unless the memory's type has another page size, offsets in bytes.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, Memory, MemoryType, Store};
///
/// # fn main() -> crescendo::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let memory = Memory::new(&mut store, MemoryType::new(1, Some(2)))?;
/// memory.write(&mut store, 0xfffe, b"ab")?;
/// assert!(memory.write(&mut store, 0xffff, b"ab").is_err());
/// assert_eq!(memory.grow(&mut store, 1)?, 1);
/// assert_eq!(memory.data(&store)[0xfffe..0x10001], *b"ab\0");
/// assert!(memory.grow(&mut store, 1).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Memory(Stored<MemoryRecord>);

impl Memory {
    /// Makes a memory of the type's minimum size, all zero.
    ///
    /// # Errors
    ///
    /// When the type is not valid, the store's limiter refuses the memory or its size, or the system has no memory left.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Memory> {
        check_type(&ty)?;
        let (store, limiter) = store.as_context_mut().0.parts();
        store.count(0, 1, 0)?;
        let record = MemoryRecord::new(store.engine(), ty, None, limiter)?;
        let record = store.push_memory(record);
        // SAFETY: the store just took the record over.
        Ok(unsafe { Memory::from_record(store.id(), record) })
    }

    /// The memory with this record.
    ///
    /// # Safety
    ///
    /// The record belongs to the store named `store`.
    pub(crate) unsafe fn from_record(store: StoreId, record: NonNull<MemoryRecord>) -> Memory {
        // SAFETY: the caller's promise; a store's records live as long as the store.
        Memory(unsafe { Stored::new(store, record) })
    }

    /// The type that the memory was made with.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        *self.record(store.as_context().opaque()).declared_type()
    }

    /// The present size in pages.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.record(store.as_context().opaque()).pages()
    }

    /// The present size in bytes.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.data(&store).len()
    }

    /// Bytes in a page: 65,536, or 1.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn page_size(&self, store: impl AsContext) -> u64 {
        self.ty(store).page_size()
    }

    /// The binary logarithm of [`Memory::page_size`].
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn page_size_log2(&self, store: impl AsContext) -> u8 {
        self.ty(store).page_size_log2
    }

    /// Adds `delta` pages of zeros and answers the size before, in pages.
    ///
    /// # Errors
    ///
    /// When the limiter, the type's maximum or the system refuses, or the memory belongs to another store. The memory is
    /// then as it was.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let (store, limiter) = store.as_context_mut().0.parts();
        self.0.check(store)?;
        let record = self.0.get_mut(store);
        let pages = record.pages();
        record
            .grow(delta, limiter)?
            .map_err(|error| error.context(format_args!("a memory of {pages} pages cannot grow by {delta}")))
    }

    /// The memory's bytes.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn data<'a>(&self, store: &'a impl AsContext) -> &'a [u8] {
        self.record(store.as_context().opaque()).bytes()
    }

    /// The memory's bytes, to be changed.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn data_mut<'a>(&self, store: &'a mut impl AsContextMut) -> &'a mut [u8] {
        self.0.get_mut(store.as_context_mut().into_opaque_mut()).bytes_mut()
    }

    /// The memory's bytes together with the store's data, both to be changed.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn data_and_store_mut<'a, C: AsContextMut>(
        &self,
        store: &'a mut C,
    ) -> (&'a mut [u8], &'a mut C::Data) {
        let inner = store.as_context_mut().0;
        (self.0.get_mut(&mut inner.opaque).bytes_mut(), &mut inner.data)
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// When not all of them are inside the memory, or the memory belongs to another store. `buffer` is then unchanged.
    pub fn read(&self, store: impl AsContext, offset: usize, buffer: &mut [u8]) -> Result<()> {
        let store = store.as_context();
        self.0.check(store.opaque())?;
        let bytes = self.record(store.opaque()).bytes();
        match offset.checked_add(buffer.len()).and_then(|end| bytes.get(offset..end)) {
            Some(source) => buffer.copy_from_slice(source),
            None => return Err(out_of_bounds(offset, buffer.len(), bytes.len())),
        }
        Ok(())
    }

    /// Writes `buffer` to the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// When not all of them are inside the memory, or the memory belongs to another store. The memory is then unchanged.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, buffer: &[u8]) -> Result<()> {
        let mut store = store.as_context_mut();
        self.0.check(store.opaque())?;
        let bytes = self.0.get_mut(store.opaque_mut()).bytes_mut();
        let len = bytes.len();
        match offset.checked_add(buffer.len()).and_then(|end| bytes.get_mut(offset..end)) {
            Some(target) => target.copy_from_slice(buffer),
            None => return Err(out_of_bounds(offset, buffer.len(), len)),
        }
        Ok(())
    }

    /// The address of byte 0, for hosts that share a memory with code that Rust does not see. It may change whenever the
    /// memory grows.
    ///
    /// # Panics
    ///
    /// When the memory belongs to another store.
    pub fn data_ptr(&self, store: impl AsContext) -> *mut u8 {
        self.record(store.as_context().opaque()).base()
    }

    #[track_caller]
    pub(crate) fn record<'a>(&self, store: &'a StoreOpaque) -> &'a MemoryRecord {
        self.0.get(store)
    }

    pub(crate) fn stored(self) -> Stored<MemoryRecord> {
        self.0
    }
}

#[cold]
fn out_of_bounds(offset: usize, len: usize, size: usize) -> crate::Error {
    arguments!("{len} bytes at offset {offset} are not inside a memory of {size} bytes")
}

/// Fails for types that no module could declare, and for shared memories, which belong to no store.
fn check_type(ty: &MemoryType) -> Result<()> {
    ty.check()?;
    if ty.shared {
        return Err(arguments!("a shared memory is a `SharedMemory`"));
    }
    Ok(())
}

//! Memories of several threads as embedders see them: [`SharedMemory`].

use crate::error::arguments;
use crate::runtime::{SharedRecord, WaitResult};
use crate::{Engine, MemoryType, Result, Trap, TrapCode};
use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A linear memory that belongs to no store and that the guests of any number of threads may use at once. Clones are the same
/// memory.
///
/// Its bytes never move. It takes address space for its maximum from the start, and memory as it grows.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "wat")] {
/// use crescendo::{Engine, Instance, MemoryType, Module, SharedMemory, Store};
///
/// # fn main() -> crescendo::Result<()> {
/// let engine = Engine::default();
/// let memory = SharedMemory::new(&engine, MemoryType::shared(1, 2))?;
/// let module = Module::new(&engine, r#"
///     (module
///         (import "host" "memory" (memory 1 2 shared))
///         (func (export "add") (param i32) (result i32)
///             (i32.atomic.rmw.add (i32.const 0) (local.get 0))))
/// "#)?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let mut store = Store::new(&engine, ());
///             let instance = Instance::new(&mut store, &module, &[memory.clone().into()]).unwrap();
///             let add = instance.get_typed_func::<i32, i32>(&store, "add").unwrap();
///             (0..100).for_each(|_| drop(add.call(&mut store, 1).unwrap()));
///         });
///     }
/// });
/// // SAFETY: the other threads have ended.
/// assert_eq!(unsafe { *memory.data()[0].get() }, 400u32.to_le_bytes()[0]);
/// # Ok(())
/// # }
/// # main().unwrap();
/// # }
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    engine: Engine,
    record: Arc<SharedRecord>,
}

impl SharedMemory {
    /// Makes a memory of the type's minimum size, all zero.
    ///
    /// # Errors
    ///
    /// When the type is not shared or not valid, [`crate::Config::shared_memory`] is off, or the system has no address
    /// space or no memory left. No store's limiter is asked.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory> {
        ty.check()?;
        if !ty.shared {
            return Err(arguments!("a memory that is not shared belongs to a store: see `Memory`"));
        }
        Ok(SharedMemory::from_record(engine.clone(), Arc::new(SharedRecord::new(engine, ty)?)))
    }

    pub(crate) fn from_record(engine: Engine, record: Arc<SharedRecord>) -> SharedMemory {
        SharedMemory { engine, record }
    }

    pub(crate) fn record(&self) -> &Arc<SharedRecord> {
        &self.record
    }

    /// The engine that the memory was made for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The type that the memory was made with.
    pub fn ty(&self) -> MemoryType {
        *self.record.declared_type()
    }

    /// The type with the present size as its minimum, which is what imports are matched with.
    pub(crate) fn current_type(&self) -> MemoryType {
        MemoryType { minimum: self.size(), ..self.ty() }
    }

    /// The present size in pages. Other threads may make it grow at any moment.
    pub fn size(&self) -> u64 {
        self.record.len() >> self.ty().page_size_log2
    }

    /// Bytes in a page.
    pub fn page_size(&self) -> u64 {
        self.ty().page_size()
    }

    /// The binary logarithm of [`SharedMemory::page_size`].
    pub fn page_size_log2(&self) -> u8 {
        self.ty().page_size_log2
    }

    /// The present size in bytes.
    pub fn data_size(&self) -> usize {
        self.record.len() as usize
    }

    /// The memory's bytes, as many as there are now.
    ///
    /// Guests and other threads may read and write them at any moment. Reading or writing one through its cell is sound only when
    /// nobody else does meanwhile; use atomics otherwise, such as [`std::sync::atomic::AtomicU8::from_ptr`].
    pub fn data(&self) -> &[UnsafeCell<u8>] {
        self.record.cells()
    }

    /// Adds `delta` pages of zeros and answers the size before, in pages.
    ///
    /// # Errors
    ///
    /// When the type's maximum or the system refuses. The memory is then as it was.
    pub fn grow(&self, delta: u64) -> Result<u64> {
        self.record.grow(delta).map_err(|error| {
            error.context(format_args!("a shared memory of {} pages cannot grow by {delta}", self.size()))
        })
    }

    /// Wakes up to `count` threads that wait at the byte offset `address`, as `memory.atomic.notify` does; answers how many.
    ///
    /// # Errors
    ///
    /// A trap when the address is not a multiple of 4 or not inside the memory.
    pub fn atomic_notify(&self, address: u64, count: u32) -> Result<u32, Trap> {
        Ok(self.record.notify(address, count)?)
    }

    /// Waits, as `memory.atomic.wait32` does: if the 32-bit value at the byte offset `address` is `expected`, until
    /// somebody notifies the address or the time is up. Without a timeout perhaps for ever.
    ///
    /// # Errors
    ///
    /// A trap when the address is not a multiple of 4 or not inside the memory.
    pub fn atomic_wait32(
        &self,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        Ok(self.record.wait32::<TrapCode>(address, expected, timeout, None)?)
    }

    /// As [`SharedMemory::atomic_wait32`], for a 64-bit value.
    ///
    /// # Errors
    ///
    /// A trap when the address is not a multiple of 8 or not inside the memory.
    pub fn atomic_wait64(
        &self,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        Ok(self.record.wait64::<TrapCode>(address, expected, timeout, None)?)
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedMemory").field(&format_args!("{}", self.current_type())).finish()
    }
}

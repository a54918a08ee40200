//! The part of a store that does not depend on the type of its data: every object that guests own or use.
//!
//! Objects are appended and never removed before the store is dropped, and each lies in an allocation of its own that does
//! not move, since contexts, records and tables point to each other without counting. [`StoreHeader`] is what generated code
//! and builtins reach through a context.

use super::exceptions::Exceptions;
use super::{InFlight, Pins, StoreId, UpdateDeadline};
use crate::error::{Error, Result, limit};
use crate::instance::InstanceData;
use crate::limits::{self, ResourceLimiter};
use crate::runtime::{HostFunction, MemoryRecord, TableRecord};
use crate::tag::TagRecord;
use crate::tiering::Activity;
use crate::{Engine, WasmBacktrace};
use crescendo_abi::{TrapCode, VmContext, VmGlobal, VmStoreContext};
use crescendo_code::ValueStack;
use std::any::Any;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// What a run of wasm that ended without returning left behind in Rust.
pub(crate) enum Failure {
    /// A host function or a builtin failed.
    Error(Error),
    /// A host function panicked with this payload.
    Panic(Box<dyn Any + Send>),
}

/// What `VmContext::store` points to: the part that generated code sees, then the part that only builtins see.
#[repr(C)]
pub(crate) struct StoreHeader {
    /// Must be first: builtins cast the one to the other.
    pub(crate) vm: VmStoreContext,
    /// The store, derived from the exclusive borrow with which the innermost run of wasm was started; null outside.
    pub(crate) owner: Option<NonNull<dyn AnyStore>>,
    /// What the innermost run failed with, from the builtin that met it to the end of the run.
    pub(crate) failure: Option<Failure>,
    /// The frames of a run that failed, if they were looked at before their native ones were given up.
    pub(crate) captured: Option<WasmBacktrace>,
    /// The exception that is being thrown.
    pub(crate) in_flight: InFlight,
    /// The last exception that left a guest, or that the host has thrown: its tag and its slots.
    pub(crate) pending: Option<(NonNull<TagRecord>, Vec<u64>)>,
    /// Exceptions that the host refers to.
    pub(crate) pins: Pins,
    /// The native entry of functions that are not compiled.
    pub(crate) native_stub: *const u8,
    /// For which thread the limits of the native stack were found out last.
    pub(crate) native_stack: NativeStack,
    /// Whether the store is inside wasm, for whoever frees code; made with the value stack.
    pub(crate) activity: Activity,
    /// While an exception is thrown: where the frame of the interpreted function ends that throws; null elsewhere.
    pub(crate) frame_end: *mut u64,
}

/// The part of a thread's native stack on which wasm may be entered.
#[derive(Clone, Copy, Default)]
pub(crate) struct NativeStack {
    /// The thread's number ([`crescendo_code::ready_thread`]); 0 stands for none.
    pub(crate) thread: u64,
    /// The lowest address at which wasm may be entered.
    pub(crate) low: usize,
    /// One past the highest.
    pub(crate) high: usize,
    /// Bytes that wasm may use, from where it is entered.
    pub(crate) most: usize,
    /// Where it was entered last, for which the store's limit is.
    pub(crate) entered_at: usize,
}

impl NativeStack {
    /// Whether the calling thread has entered wasm here last, so that the store's limit still holds.
    #[inline]
    pub(crate) fn is_entered_at(&self, here: usize) -> bool {
        self.entered_at == here && self.thread == crescendo_code::ready_thread()
    }
}

impl StoreHeader {
    /// Takes out what the last run left behind: what it failed with, and the code of its trap.
    pub(crate) fn take_outcome(&mut self) -> (Option<Failure>, Option<TrapCode>) {
        let code = self.vm.trap();
        self.vm.trap_code = 0;
        (self.failure.take(), code)
    }
}

/// A [`super::StoreInner`] whose type of data is forgotten.
pub(crate) trait AnyStore {
    /// The store's objects.
    fn objects(&mut self) -> &mut StoreOpaque;

    /// The store's objects, and its limiter if it has one.
    fn parts(&mut self) -> (&mut StoreOpaque, Option<&mut dyn ResourceLimiter>);

    /// Asks the embedder what to do now that the epoch deadline is reached.
    ///
    /// # Errors
    ///
    /// What the embedder fails with.
    fn epoch_deadline_reached(&mut self) -> Result<UpdateDeadline>;
}

/// How many objects a store may have and has.
struct Counts {
    instances: usize,
    tables: usize,
    memories: usize,
}

/// Objects of one type, each at an address that does not change.
pub(super) struct Arena<R>(pub(super) Vec<NonNull<R>>);

impl<R> Arena<R> {
    fn push(&mut self, record: R) -> NonNull<R> {
        let record = NonNull::from(Box::leak(Box::new(record)));
        self.0.push(record);
        record
    }
}

impl<R> Drop for Arena<R> {
    fn drop(&mut self) {
        for record in &self.0 {
            // SAFETY: `push` leaked it from a box, and nothing else frees it.
            drop(unsafe { Box::from_raw(record.as_ptr()) });
        }
    }
}

/// Every object of a store; see the module's page.
pub(crate) struct StoreOpaque {
    id: StoreId,
    engine: Engine,
    pub(super) header: NonNull<StoreHeader>,
    pub(super) value_stack: Option<ValueStack>,
    pub(super) instances: Arena<InstanceData>,
    memories: Arena<MemoryRecord>,
    /// One of `memories`.
    dummy_memory: Option<NonNull<MemoryRecord>>,
    pub(super) tables: Arena<TableRecord>,
    pub(super) globals: Arena<VmGlobal>,
    tags: Arena<TagRecord>,
    host_functions: Arena<HostFunction>,
    extern_refs: Vec<Arc<dyn Any + Send + Sync>>,
    pub(super) exceptions: Exceptions,
    created: Counts,
    allowed: Counts,
}

// SAFETY: field by field. `engine`, `extern_refs` are `Send`. `header` and the arenas' pointers are owned by the store alone and
// refer to each other only; what they own is `Send` (`Failure`, modules, callbacks that are `Send + Sync`, mappings, plain
// memory). Exceptions, here and in the header, are handles, slots and addresses of `tags`. `header.owner` and `header.vm` hold
// pointers into a thread's stack only while wasm runs, when the store is exclusively borrowed by that thread.
unsafe impl Send for StoreOpaque {}
// SAFETY: as for `Send`; everything behind a shared borrow is only read. The one exception, caches in modules and the
// engine, synchronises itself.
unsafe impl Sync for StoreOpaque {}

impl StoreOpaque {
    pub(super) fn new(engine: &Engine) -> StoreOpaque {
        let mut vm = VmStoreContext::new();
        vm.epoch = engine.epoch();
        vm.capture = crate::backtrace::capture;
        if let Some(tiering) = engine.tiering() {
            [vm.interpreter_thunks, vm.host_thunks, vm.entry_thunks] = tiering.thunk_tables();
        }
        let header = StoreHeader {
            vm,
            owner: None,
            failure: None,
            captured: None,
            in_flight: InFlight::default(),
            pending: None,
            pins: Pins::default(),
            native_stub: crescendo_interp::native_stub(),
            native_stack: NativeStack::default(),
            activity: Activity::default(),
            frame_end: ptr::null_mut(),
        };
        StoreOpaque {
            id: StoreId::allocate(),
            engine: engine.clone(),
            header: NonNull::from(Box::leak(Box::new(header))),
            value_stack: None,
            instances: Arena(Vec::new()),
            memories: Arena(Vec::new()),
            dummy_memory: None,
            tables: Arena(Vec::new()),
            globals: Arena(Vec::new()),
            tags: Arena(Vec::new()),
            host_functions: Arena(Vec::new()),
            extern_refs: Vec::new(),
            exceptions: Exceptions::new(),
            created: Counts { instances: 0, tables: 0, memories: 0 },
            allowed: Counts {
                instances: limits::DEFAULT_INSTANCE_LIMIT,
                tables: limits::DEFAULT_TABLE_LIMIT,
                memories: limits::DEFAULT_MEMORY_LIMIT,
            },
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    #[inline]
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The header's address, which contexts hold.
    #[inline]
    pub(crate) fn header(&self) -> NonNull<StoreHeader> {
        self.header
    }

    /// The part of the header that generated code sees.
    #[inline]
    pub(crate) fn vm(&self) -> NonNull<VmStoreContext> {
        self.header.cast()
    }

    /// The fuel left.
    pub(crate) fn fuel(&self) -> Result<u64> {
        self.check_fuel_enabled()?;
        // SAFETY: the header lives as long as the store.
        Ok(unsafe { (*self.header.as_ptr()).vm.fuel })
    }

    /// Sets the fuel left.
    pub(crate) fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.check_fuel_enabled()?;
        // SAFETY: the header lives as long as the store, which is borrowed exclusively.
        unsafe { (*self.header.as_ptr()).vm.fuel = fuel.min(i64::MAX as u64) };
        Ok(())
    }

    fn check_fuel_enabled(&self) -> Result<()> {
        if self.engine.config().consume_fuel {
            Ok(())
        } else {
            Err(Error::msg("fuel is not enabled in this engine: see `Config::consume_fuel`"))
        }
    }

    /// Takes over the counts that a limiter allows.
    pub(super) fn allow(&mut self, limiter: &dyn ResourceLimiter) {
        self.allowed =
            Counts { instances: limiter.instances(), tables: limiter.tables(), memories: limiter.memories() };
    }

    /// Reserves the right to create so many objects.
    ///
    /// # Errors
    ///
    /// When one of the counts would exceed what the limiter allows; then nothing is reserved.
    pub(crate) fn count(&mut self, instances: usize, memories: usize, tables: usize) -> Result<()> {
        let table = [
            ("instances", self.created.instances, instances, self.allowed.instances),
            ("memories", self.created.memories, memories, self.allowed.memories),
            ("tables", self.created.tables, tables, self.allowed.tables),
        ];
        for (what, created, more, allowed) in table {
            if more > 0 && created.saturating_add(more) > allowed {
                let wanted = created.saturating_add(more);
                return Err(limit!("{wanted} {what} in a store that may have {allowed}"));
            }
        }
        self.created.instances += instances;
        self.created.memories += memories;
        self.created.tables += tables;
        Ok(())
    }

    /// Makes the value stack if it does not exist and enters it in the header.
    pub(crate) fn ensure_value_stack(&mut self) -> Result<()> {
        if self.value_stack.is_some() {
            return Ok(());
        }
        let bytes = self.engine.config().max_wasm_stack;
        let stack = self.engine.pool().take_stack(bytes).map_err(|error| {
            Error::from(error).context(format_args!("cannot reserve a value stack of {bytes} bytes"))
        })?;
        // SAFETY: the header lives as long as the store, which is borrowed exclusively.
        let header = unsafe { self.header.as_mut() };
        header.vm.value_top = stack.base();
        header.vm.value_stack_limit = stack.limit();
        header.activity =
            self.engine.tiering().map(crate::tiering::EngineTiering::add_store).unwrap_or_default();
        self.value_stack = Some(stack);
        Ok(())
    }

    /// Where the value stack starts: its top while nothing runs.
    pub(crate) fn value_stack_base(&self) -> *mut u64 {
        self.value_stack.as_ref().map_or(ptr::null_mut(), ValueStack::base)
    }

    pub(crate) fn push_instance(&mut self, instance: InstanceData) -> NonNull<InstanceData> {
        self.instances.push(instance)
    }

    pub(crate) fn push_memory(&mut self, memory: MemoryRecord) -> NonNull<MemoryRecord> {
        self.memories.push(memory)
    }

    /// The memory of size 0 that all instances without memories share.
    pub(crate) fn dummy_memory(&mut self) -> NonNull<MemoryRecord> {
        match self.dummy_memory {
            Some(dummy) => dummy,
            None => *self.dummy_memory.insert(self.memories.push(MemoryRecord::dummy())),
        }
    }

    pub(crate) fn push_table(&mut self, table: TableRecord) -> NonNull<TableRecord> {
        self.tables.push(table)
    }

    pub(crate) fn push_global(&mut self, global: VmGlobal) -> NonNull<VmGlobal> {
        self.globals.push(global)
    }

    pub(crate) fn push_tag(&mut self, tag: TagRecord) -> NonNull<TagRecord> {
        self.tags.push(tag)
    }

    pub(crate) fn push_host_function(&mut self, function: HostFunction) -> NonNull<HostFunction> {
        self.host_functions.push(function)
    }

    /// The instance with this context; `None` for the context of a host function. Takes time in proportion to the number of
    /// instances: for backtraces only.
    pub(crate) fn instance_of(&self, context: *mut VmContext) -> Option<NonNull<InstanceData>> {
        self.instances.0.iter().copied().find(|instance| {
            // SAFETY: instances live as long as the store.
            let instance = unsafe { instance.as_ref() };
            ptr::eq(instance.context(), context)
        })
    }

    /// An instance of the module with this number. Takes time in proportion to the number of instances: for backtraces only.
    pub(crate) fn instance_of_module(&self, module: usize) -> Option<NonNull<InstanceData>> {
        self.instances.0.iter().copied().find(|instance| {
            // SAFETY: instances live as long as the store.
            let instance = unsafe { instance.as_ref() };
            instance.module().id() == module
        })
    }

    /// Interrupts guests when the engine's epoch is so many steps further than now.
    pub(crate) fn set_epoch_deadline(&mut self, ticks: u64) {
        let now = self.engine.epoch().load(std::sync::atomic::Ordering::Relaxed);
        // SAFETY: the header lives as long as the store, which is borrowed exclusively.
        unsafe { (*self.header.as_ptr()).vm.epoch_deadline = now.saturating_add(ticks) };
    }

    /// Keeps a host value for guests; the answer is what stands in a slot, never 0.
    pub(crate) fn push_extern_ref(&mut self, value: Arc<dyn Any + Send + Sync>) -> Result<u32> {
        self.extern_refs.push(value);
        match u32::try_from(self.extern_refs.len()) {
            Ok(index) => Ok(index),
            Err(_) => {
                self.extern_refs.pop();
                Err(limit!("{} external references in a store, which cannot have more", u32::MAX))
            }
        }
    }

    /// The host value behind a slot's external reference; `None` for an index that was never given out.
    pub(crate) fn extern_ref(&self, index: u32) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.extern_refs.get((index as usize).checked_sub(1)?)
    }
}

impl Drop for StoreOpaque {
    fn drop(&mut self) {
        // SAFETY: `new` leaked it from a box. The objects whose contexts point to it are dropped after this without
        // looking at it.
        drop(unsafe { Box::from_raw(self.header.as_ptr()) });
        let pool = self.engine.pool();
        for memory in &mut self.memories.0 {
            // SAFETY: the record is alive, and nothing else refers to it: no guest runs when its store is dropped.
            unsafe { memory.as_mut() }.recycle(pool);
        }
        if let Some(stack) = self.value_stack.take() {
            pool.give_stack(stack);
        }
    }
}

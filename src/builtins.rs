//! The bodies of [`Builtin`]: from wasm into the engine.
//!
//! Generated code calls the functions of [`TABLE`] with the context that is running. Each wrapper turns what its body answers
//! into a status: a trap's code goes to the store's context, an error or a panic to [`StoreHeader::failure`], from where
//! `runtime::enter` fetches it when the run has ended. Invariant: no panic leaves a wrapper, and no wrapper holds a reference
//! to the store while the host or a limiter runs.
//!
//! Operands are slots: those of 32-bit memories and tables have an unspecified upper half.

use crate::UpdateDeadline;
use crate::error::{Error, bug};
use crate::instance::{InstanceData, init_memory, init_table};
use crate::limits::ResourceLimiter;
use crate::runtime::{
    HostFunction, MemoryRecord, SharedRecord, Stop, TableRecord, Tick, WaitResult, atomic_range, throw,
};
use crate::store::{AnyStore, Failure, InFlight, StoreHeader};
use crate::{ThrownException, tiering};
use crescendo_abi::{
    Builtin, BuiltinFn, ExitStatus, HostOutcome, SLOT_SIZE, TrapCode, VmBuiltins, VmContext, VmFuncRef,
    VmHostContext, VmStoreContext,
};
use crescendo_module::{DataIdx, ElemIdx, FuncIdx, MemoryIdx, TableIdx, TagIdx};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The table that every context points to.
pub(crate) static TABLE: VmBuiltins = VmBuiltins { functions: functions() };

const fn functions() -> [BuiltinFn; Builtin::ALL.len()] {
    let mut functions = [translate as BuiltinFn; Builtin::ALL.len()];
    let mut index = 0;
    while index < functions.len() {
        functions[index] = function(Builtin::ALL[index]);
        index += 1;
    }
    functions
}

const fn function(builtin: Builtin) -> BuiltinFn {
    match builtin {
        Builtin::Translate => translate,
        Builtin::HostCall => host_call,
        Builtin::MemoryGrow => memory_grow,
        Builtin::MemoryCopy => memory_copy,
        Builtin::MemoryFill => memory_fill,
        Builtin::MemoryInit => memory_init,
        Builtin::DataDrop => data_drop,
        Builtin::TableGrow => table_grow,
        Builtin::TableFill => table_fill,
        Builtin::TableCopy => table_copy,
        Builtin::TableInit => table_init,
        Builtin::ElemDrop => elem_drop,
        Builtin::EpochReached => epoch_reached,
        Builtin::FunctionHot => function_hot,
        Builtin::LoopHot => loop_hot,
        Builtin::MultiplyAdd => multiply_add,
        Builtin::AtomicNotify => atomic_notify,
        Builtin::AtomicWait32 => atomic_wait32,
        Builtin::AtomicWait64 => atomic_wait64,
        Builtin::Throw => throw_new,
        Builtin::ThrowRef => throw_ref,
        Builtin::HostFailed => host_failed,
    }
}

/// Bytes that a bulk operator handles for a unit of fuel; an element of a table counts as a slot.
const BYTES_PER_FUEL: u64 = 64;

/// A call of a builtin whose context is that of an instance. Made by the wrappers only: generated code vouches that the
/// context is alive and that `args` leads to the operands.
struct Call {
    context: *mut VmContext,
    args: *mut u64,
    a: u64,
    b: u64,
}

/// What a builtin that has succeeded answers.
struct Status(ExitStatus);

impl From<()> for Status {
    fn from((): ()) -> Status {
        Status(ExitStatus::Return)
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Status {
        Status(status)
    }
}

macro_rules! builtins {
    ($($name:ident => $body:ident;)*) => {$(
        #[doc = concat!("[`Builtin`] of this name: see `", stringify!($body), "`.")]
        ///
        /// # Safety
        ///
        /// As [`crescendo_abi::BuiltinFn`] says; called by generated code, while the store runs wasm.
        unsafe extern "C" fn $name(context: *mut VmContext, args: *mut u64, a: u64, b: u64) -> u64 {
            let call = Call { context, args, a, b };
            let outcome = catch_unwind(AssertUnwindSafe(|| $body(&call)));
            let stop = match outcome {
                Ok(Ok(status)) => return Status::from(status).0 as u64,
                Ok(Err(Stop::Trap(code))) => return call.trap(code),
                Ok(Err(Stop::Error(error))) => Failure::Error(error),
                Err(payload) => Failure::Panic(payload),
            };
            // SAFETY: the context is alive (the caller's promise).
            let header = unsafe { header_of(context) };
            // SAFETY: the header is alive, and no builtin holds a reference to it now.
            unsafe { fail(header, stop) }
        }
    )*};
}

builtins! {
    translate => do_translate;
    memory_grow => do_memory_grow;
    memory_copy => do_memory_copy;
    memory_fill => do_memory_fill;
    memory_init => do_memory_init;
    data_drop => do_data_drop;
    table_grow => do_table_grow;
    table_fill => do_table_fill;
    table_copy => do_table_copy;
    table_init => do_table_init;
    elem_drop => do_elem_drop;
    epoch_reached => do_epoch_reached;
    function_hot => do_function_hot;
    loop_hot => do_loop_hot;
    multiply_add => do_multiply_add;
    atomic_notify => do_atomic_notify;
    atomic_wait32 => do_atomic_wait32;
    atomic_wait64 => do_atomic_wait64;
    throw_new => do_throw;
    throw_ref => do_throw_ref;
}

/// The header of the store that a context belongs to.
///
/// # Safety
///
/// The context, of an instance or of a host function, is alive.
#[inline]
unsafe fn header_of(context: *mut VmContext) -> *mut StoreHeader {
    // SAFETY: the caller's promise; host functions' contexts have the same field at the same place.
    unsafe { (*context).store }.cast()
}

/// Leaves a failure for the end of the run.
///
/// # Safety
///
/// The header is alive, and there is no reference to it.
#[cold]
unsafe fn fail(header: *mut StoreHeader, failure: Failure) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*header).failure = Some(failure) };
    ExitStatus::HostError as u64
}

/// [`Builtin::HostCall`].
///
/// # Safety
///
/// As [`crescendo_abi::BuiltinFn`] says; called by generated code, while the store runs wasm.
unsafe extern "C" fn host_call(context: *mut VmContext, args: *mut u64, caller: u64, _b: u64) -> u64 {
    let host_context = context.cast::<VmHostContext>();
    // SAFETY: the context is that of a host function (`Builtin::HostCall`).
    let function = unsafe { (*host_context).function }.cast::<HostFunction>();
    // SAFETY: as above.
    let call = unsafe { (*host_context).call };
    // SAFETY: the context is alive.
    let header = unsafe { header_of(context) };
    // SAFETY: the function is alive as long as its store.
    let slots = unsafe { (*function).slots() };
    // SAFETY: the header is alive, the field plain data.
    let outer_top = unsafe { (*header).vm.value_top };
    // SAFETY: as above. Everything of the outer run that is in use lies below the end of the slots.
    unsafe { (*header).vm.value_top = args.wrapping_add(slots) };
    // SAFETY: as above.
    unsafe { (*header).vm.native_caller = ptr::with_exposed_provenance_mut(caller as usize) };
    // SAFETY: the handler for host calls passes the slots and the calling instance's context.
    let HostOutcome { status, .. } = unsafe { call(host_context, args) };
    // SAFETY: as before.
    unsafe { (*header).vm.value_top = outer_top };
    if status == ExitStatus::Return as u64 {
        return status;
    }
    // SAFETY: the host function has just failed.
    unsafe { host_failed(context, args, 0, 0) }
}

/// [`Builtin::HostFailed`].
///
/// # Safety
///
/// As [`crescendo_abi::BuiltinFn`] says; called by generated code, while the store runs wasm.
#[cold]
unsafe extern "C" fn host_failed(context: *mut VmContext, _args: *mut u64, _a: u64, _b: u64) -> u64 {
    // SAFETY: the context is alive.
    let header = unsafe { header_of(context) };
    // SAFETY: the header is alive, and nothing else refers to the field.
    let failure = unsafe { &mut (*header).failure }.take();
    let failure = match failure {
        // SAFETY: the header is alive, and the guest has stopped in this builtin.
        Some(Failure::Error(error)) => match unsafe { throw_error(header, error) } {
            Ok(status) => return status as u64,
            Err(error) => Failure::Error(error),
        },
        Some(panic) => panic,
        None => Failure::Error(bug!("a host function has failed without a reason")),
    };
    // SAFETY: the header is alive, and there is no reference to it.
    unsafe { fail(header, failure) }
}

impl Call {
    fn trap(&self, code: TrapCode) -> u64 {
        // SAFETY: the context is alive (`Call`).
        let store = unsafe { (*self.context).store };
        // SAFETY: the store is alive, the field plain data.
        unsafe { (*store).trap_code = code as u32 };
        ExitStatus::Trap as u64
    }

    /// The instance that runs. The borrow must end before the host or the guest runs.
    fn instance(&self) -> &InstanceData {
        // SAFETY: the context is alive and of an instance (`Call`).
        unsafe { InstanceData::of_live_context(self.context) }
    }

    /// The instance that runs, to be changed: nothing else may refer to it meanwhile.
    fn change_instance(&self, change: impl FnOnce(&mut InstanceData)) -> Result<(), Stop> {
        // SAFETY: the context is alive and of an instance (`Call`).
        let Some(mut instance) = (unsafe { InstanceData::of_context(self.context) }) else {
            return Err(bug!("a builtin was called without an instance").into());
        };
        // SAFETY: instances live as long as their store, and only the running builtin refers to this one.
        change(unsafe { instance.as_mut() });
        Ok(())
    }

    /// Where the frame of the interpreted function ends that has stopped; `None` in native code, which uses no slots.
    fn end_of_frame(&self) -> Option<*mut u64> {
        // SAFETY: the context is alive (`Call`).
        let store = unsafe { (*self.context).store };
        // SAFETY: the store is alive, and only this thread uses it.
        let VmStoreContext { exit_ip: ip, exit_fp: fp, exit_context: context, .. } = unsafe { store.read() };
        if context.is_null() {
            return None;
        }
        let instance = self.instance();
        let (_, bytecode) = instance.module().code().find(instance.variant(), ip)?;
        Some(fp.wrapping_add(bytecode.frame_slots() as usize))
    }

    /// An operand.
    fn arg(&self, index: usize) -> u64 {
        // SAFETY: the operands of the builtin lie there (`Call`).
        unsafe { self.args.wrapping_add(index).read() }
    }

    /// An operand of an index type: 64 bits wide, or 32.
    fn index(&self, index: usize, wide: bool) -> u64 {
        let value = self.arg(index);
        if wide { value } else { u64::from(value as u32) }
    }

    /// Sets the result of a growth: the size before, or -1.
    fn set_grown(&self, old: Option<u64>, wide: bool) {
        let value = old.unwrap_or(u64::MAX);
        // SAFETY: the result goes where the first operand was (`Call`).
        unsafe { self.args.write(if wide { value } else { u64::from(value as u32) }) };
    }

    fn memory(&self, index: u64) -> NonNull<MemoryRecord> {
        self.instance().memory(MemoryIdx::new(index as u32))
    }

    fn table(&self, index: u64) -> NonNull<TableRecord> {
        self.instance().table(TableIdx::new(index as u32))
    }

    /// Whether a memory's addresses are 64 bits wide, and its bytes.
    fn memory_shape(&self, index: u64) -> (bool, u64) {
        // SAFETY: a store's memories live as long as the store; the borrow ends here.
        let memory = unsafe { self.memory(index).as_ref() };
        (memory.declared_type().memory64, memory.len())
    }

    /// Whether a table's indices are 64 bits wide, and the bytes that its elements count as.
    fn table_shape(&self, index: u64) -> (bool, u64) {
        // SAFETY: a store's tables live as long as the store; the borrow ends here.
        let table = unsafe { self.table(index).as_ref() };
        (table.declared_type().table64, table.len() * SLOT_SIZE as u64)
    }

    /// Calls `grow` with the store's limiter.
    fn limited<R>(
        &self,
        grow: impl FnOnce(Option<&mut dyn ResourceLimiter>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        // SAFETY: the context is alive (`Call`).
        let header = unsafe { header_of(self.context) };
        // SAFETY: the header is alive, the field plain data.
        let owner: Option<NonNull<dyn AnyStore>> = unsafe { (*header).owner };
        let Some(mut owner) = owner else { return Err(bug!("a guest runs without its store")) };
        // SAFETY: `owner` is the borrow that the run was started with, which is not used until the run ends or goes on.
        let (_, limiter) = unsafe { owner.as_mut() }.parts();
        grow(limiter)
    }

    /// Takes the fuel for handling so many bytes, of which there are at most `available`.
    fn charge(&self, bytes: u64, available: u64) -> Result<(), TrapCode> {
        let fuel = bytes.min(available) / BYTES_PER_FUEL;
        // Most copies are small.
        if fuel == 0 || !self.instance().module().engine().config().consume_fuel {
            return Ok(());
        }
        // SAFETY: the context is alive (`Call`).
        let store = unsafe { (*self.context).store };
        // SAFETY: the store is alive, the field plain data.
        let left = unsafe { (*store).fuel };
        let left = left.checked_sub(fuel).ok_or(TrapCode::OutOfFuel)?;
        // SAFETY: as above.
        unsafe { (*store).fuel = left };
        Ok(())
    }

    /// Takes the fuel for handling so many elements, which are `available` bytes at most.
    fn charge_elements(&self, elements: u64, available: u64) -> Result<(), TrapCode> {
        self.charge(elements.saturating_mul(SLOT_SIZE as u64), available)
    }
}

/// A record of the store, for as long as a builtin runs.
///
/// # Safety
///
/// The record is alive, and nothing else refers to it meanwhile.
unsafe fn exclusive<'a, R>(mut record: NonNull<R>) -> &'a mut R {
    // SAFETY: the caller's promise.
    unsafe { record.as_mut() }
}

fn do_translate(call: &Call) -> Result<(), Stop> {
    let record: *mut VmFuncRef = ptr::with_exposed_provenance_mut(call.a as usize);
    // SAFETY: the record is alive (`Builtin::Translate`); the copy is only looked at.
    let VmFuncRef { context, func_index: index, .. } = unsafe { record.read() };
    // SAFETY: only records of instances have the entry that gets here, and those have their instance's context.
    let instance = unsafe { InstanceData::of_live_context(context) };
    let module = instance.module();
    let Some(func) = module.info().defined_func(FuncIdx::new(index)) else {
        return Err(bug!("function {index} has no body to translate").into());
    };
    let bytecode = module.bytecode(instance.variant(), func)?;
    // SAFETY: the record is that of the function in a live instance (`Builtin::Translate`).
    unsafe { tiering::link(module, record, instance.variant(), func, bytecode) };
    tiering::called_first(module, instance.variant(), func);
    Ok(())
}

fn do_memory_grow(call: &Call) -> Result<(), Stop> {
    // SAFETY: a store's memories live as long as the store; the limiter cannot reach them.
    let memory = unsafe { exclusive(call.memory(call.a)) };
    let wide = memory.declared_type().memory64;
    let delta = call.index(0, wide);
    let old = call.limited(|limiter| memory.grow(delta, limiter))?;
    call.set_grown(old.ok(), wide);
    Ok(())
}

fn do_memory_copy(call: &Call) -> Result<(), Stop> {
    let instance = call.instance();
    let memory = |index| {
        // SAFETY: a store's memories live as long as the store, and nobody changes their records meanwhile.
        unsafe { instance.memory(MemoryIdx::new(index as u32)).as_ref() }
    };
    let (target, source) = (memory(call.a), memory(call.b));
    let (target_wide, source_wide) = (target.declared_type().memory64, source.declared_type().memory64);
    let len = call.index(2, target_wide && source_wide);
    call.charge(len, target.len())?;
    let (start, from) = (call.index(0, target_wide), call.index(1, source_wide));
    // SAFETY: only the running builtin uses the bytes, unless they are shared.
    Ok(unsafe { MemoryRecord::copy(target, start, source, from, len) }?)
}

/// `memory.copy` of native code, which has checked the ranges.
///
/// # Safety
///
/// Both ranges are in memories of the running store that are not shared.
#[cfg(feature = "cranelift")]
pub(crate) unsafe extern "C" fn copy_bytes(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's promise; `copy` allows overlaps.
    unsafe { ptr::copy(from, to, len) }
}

/// `memory.fill` of native code, which has checked the range.
///
/// # Safety
///
/// The range is in a memory of the running store that is not shared.
#[cfg(feature = "cranelift")]
pub(crate) unsafe extern "C" fn fill_bytes(to: *mut u8, byte: u64, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::write_bytes(to, byte as u8, len) }
}

fn do_memory_fill(call: &Call) -> Result<(), Stop> {
    // SAFETY: a store's memories live as long as the store, and only the running builtin uses them.
    let memory = unsafe { exclusive(call.memory(call.a)) };
    let wide = memory.declared_type().memory64;
    let (start, value, len) = (call.index(0, wide), call.arg(1) as u8, call.index(2, wide));
    call.charge(len, memory.len())?;
    Ok(memory.fill(start, value, len)?)
}

fn do_memory_init(call: &Call) -> Result<(), Stop> {
    let (wide, available) = call.memory_shape(call.a);
    let (start, source, len) = (call.index(0, wide), call.index(1, false), call.index(2, false));
    call.charge(len, available)?;
    let (memory, segment) = (MemoryIdx::new(call.a as u32), DataIdx::new(call.b as u32));
    init_memory(call.instance(), memory, segment, start, source, len)
}

fn do_data_drop(call: &Call) -> Result<(), Stop> {
    call.change_instance(|instance| instance.drop_data(DataIdx::new(call.a as u32)))
}

fn do_table_grow(call: &Call) -> Result<(), Stop> {
    // SAFETY: a store's tables live as long as the store; the limiter cannot reach them.
    let table = unsafe { exclusive(call.table(call.a)) };
    let wide = table.declared_type().table64;
    let (init, delta) = (call.arg(0), call.index(1, wide));
    let old = call.limited(|limiter| table.grow(delta, init, limiter))?;
    call.set_grown(old.ok(), wide);
    Ok(())
}

fn do_table_fill(call: &Call) -> Result<(), Stop> {
    // SAFETY: a store's tables live as long as the store, and only the running builtin uses them.
    let table = unsafe { exclusive(call.table(call.a)) };
    let wide = table.declared_type().table64;
    let (start, value, len) = (call.index(0, wide), call.arg(1), call.index(2, wide));
    call.charge_elements(len, table.len() * SLOT_SIZE as u64)?;
    Ok(table.fill(start, value, len)?)
}

fn do_table_copy(call: &Call) -> Result<(), Stop> {
    let (target, source) = (call.table(call.a), call.table(call.b));
    let (target_wide, available) = call.table_shape(call.a);
    let (source_wide, _) = call.table_shape(call.b);
    let len = call.index(2, target_wide && source_wide);
    call.charge_elements(len, available)?;
    let (start, from) = (call.index(0, target_wide), call.index(1, source_wide));
    // SAFETY: both are alive, and only the running builtin uses them.
    Ok(unsafe { TableRecord::copy(target, start, source, from, len) }?)
}

fn do_table_init(call: &Call) -> Result<(), Stop> {
    let (wide, available) = call.table_shape(call.a);
    let (start, source, len) = (call.index(0, wide), call.index(1, false), call.index(2, false));
    call.charge_elements(len, available)?;
    let (table, segment) = (TableIdx::new(call.a as u32), ElemIdx::new(call.b as u32));
    init_table(call.instance(), table, segment, start, source, len)
}

fn do_elem_drop(call: &Call) -> Result<(), Stop> {
    call.change_instance(|instance| instance.drop_elements(ElemIdx::new(call.a as u32)))
}

fn do_epoch_reached(call: &Call) -> Result<(), Stop> {
    // SAFETY: the context is alive (`Call`).
    let header = unsafe { header_of(call.context) };
    // SAFETY: the header is alive, the field plain data.
    let Some(mut owner) = (unsafe { (*header).owner }) else {
        return Err(bug!("a guest runs without its store").into());
    };
    // SAFETY: as above.
    let outer_top = unsafe { (*header).vm.value_top };
    let top = call.end_of_frame().unwrap_or(outer_top);
    // SAFETY: as above. Everything of the guest that is in use lies below.
    unsafe { (*header).vm.value_top = top };
    // SAFETY: `owner` is the borrow that the run was started with, which is not used until the run ends or goes on.
    let update = unsafe { owner.as_mut() }.epoch_deadline_reached();
    // SAFETY: as before.
    unsafe { (*header).vm.value_top = outer_top };
    match update? {
        UpdateDeadline::Continue(ticks) => {
            // SAFETY: as before.
            unsafe { owner.as_mut() }.objects().set_epoch_deadline(ticks);
            Ok(())
        }
        UpdateDeadline::Interrupt => Err(TrapCode::Interrupt.into()),
    }
}

fn do_function_hot(call: &Call) -> Result<(), Stop> {
    let record: *mut VmFuncRef = ptr::with_exposed_provenance_mut(call.a as usize);
    // SAFETY: the record is alive (`Builtin::FunctionHot`); the copy is only looked at.
    let VmFuncRef { context, func_index: index, .. } = unsafe { record.read() };
    // SAFETY: only records of instances have the entry that gets here, and those have their instance's context.
    let instance = unsafe { InstanceData::of_live_context(context) };
    let module = instance.module();
    let Some(func) = module.info().defined_func(FuncIdx::new(index)) else {
        return Err(bug!("function {index} has no body to compile").into());
    };
    tiering::function_hot(module, instance.variant(), func);
    Ok(())
}

fn do_multiply_add(call: &Call) -> Result<(), Stop> {
    let vector = |first: usize| [call.arg(first), call.arg(first + 1)];
    let [a, b, c] = [vector(0), vector(2), vector(4)];
    let negated = call.b != 0;
    let result: [u64; 2] = std::array::from_fn(|i| match call.a {
        4 => {
            let lane = |shift: u32| {
                let [a, b, c] = [a[i], b[i], c[i]].map(|half| f32::from_bits((half >> shift) as u32));
                let sum = (if negated { -a } else { a }).mul_add(b, c);
                u64::from(sum.to_bits()) << shift
            };
            lane(0) | lane(32)
        }
        _ => {
            let [a, b, c] = [a[i], b[i], c[i]].map(f64::from_bits);
            (if negated { -a } else { a }).mul_add(b, c).to_bits()
        }
    });
    for (i, half) in result.into_iter().enumerate() {
        // SAFETY: the result goes where the first operand was (`Call`).
        unsafe { call.args.wrapping_add(i).write(half) };
    }
    Ok(())
}

fn do_loop_hot(call: &Call) -> Result<(), Stop> {
    let instance = call.instance();
    let module = instance.module();
    let Some(func) = module.info().defined_func(FuncIdx::new(call.a as u32)) else {
        return Err(bug!("function {} has no loops", call.a).into());
    };
    let code = tiering::loop_hot(module, instance.variant(), func, call.b as u32);
    let address = code.map_or(0, |code| code.expose_provenance() as u64);
    // SAFETY: the handler has room for the address there (`Builtin::LoopHot`).
    unsafe { call.args.write(address) };
    Ok(())
}

/// How often a waiting guest looks at the epoch.
const EPOCH_PERIOD: Duration = Duration::from_millis(10);

impl Call {
    /// The place of an atomic value in memory `a`: the first operand and the operand `offset`.
    ///
    /// # Errors
    ///
    /// A trap when the value is not aligned or not inside the memory.
    fn atomic_place(&self, offset: usize, bytes: u64) -> Result<(u64, Option<Arc<SharedRecord>>), TrapCode> {
        // SAFETY: a store's memories live as long as the store; the borrow ends here.
        let memory = unsafe { self.memory(self.a).as_ref() };
        let (address, wrapped) =
            self.index(0, memory.declared_type().memory64).overflowing_add(self.arg(offset));
        // No memory ends there, so that what has wrapped around is outside, unless it is not even aligned.
        let size = if wrapped { 0 } else { memory.len() };
        atomic_range(address, bytes, size)?;
        Ok((address, memory.shared().cloned()))
    }

    fn set_result(&self, value: u32) {
        // SAFETY: the result goes where the first operand was (`Call`).
        unsafe { self.args.write(value.into()) };
    }

    /// Whether the epoch has reached the store's deadline.
    fn epoch_is_over(&self) -> bool {
        // SAFETY: the context is alive (`Call`).
        let store = unsafe { (*self.context).store };
        // SAFETY: the store is alive, and only this thread uses its fields.
        let epoch = unsafe { (*store).epoch };
        // SAFETY: as above.
        let deadline = unsafe { (*store).epoch_deadline };
        // SAFETY: the engine, which has the epoch, lives as long as its stores.
        unsafe { &*epoch }.load(Ordering::Relaxed) >= deadline
    }

    /// Waits with what is left of the operands; deadlines of the store interrupt it, too.
    fn wait(
        &self,
        bytes: u64,
        wait: impl FnOnce(
            &SharedRecord,
            u64,
            Option<Duration>,
            Option<Tick<'_, Stop>>,
        ) -> Result<WaitResult, Stop>,
    ) -> Result<(), Stop> {
        let (address, shared) = self.atomic_place(3, bytes)?;
        let Some(shared) = shared else { return Err(TrapCode::ExpectedSharedMemory.into()) };
        // Negative: for ever.
        let timeout = u64::try_from(self.arg(2) as i64).ok().map(Duration::from_nanos);
        let mut run = || if self.epoch_is_over() { do_epoch_reached(self) } else { Ok(()) };
        let tick = Tick { period: EPOCH_PERIOD, run: &mut run };
        let interruptible = self.instance().module().engine().config().epoch_interruption;
        let result = wait(&shared, address, timeout, interruptible.then_some(tick))?;
        self.set_result(result as u32);
        Ok(())
    }
}

fn do_atomic_notify(call: &Call) -> Result<(), Stop> {
    let (address, shared) = call.atomic_place(2, 4)?;
    let woken = match shared {
        Some(shared) => shared.notify(address, call.arg(1) as u32)?,
        // Nobody can wait there.
        None => 0,
    };
    call.set_result(woken);
    Ok(())
}

fn do_atomic_wait32(call: &Call) -> Result<(), Stop> {
    let expected = call.arg(1) as u32;
    call.wait(4, |shared, address, timeout, tick| shared.wait32(address, expected, timeout, tick))
}

fn do_atomic_wait64(call: &Call) -> Result<(), Stop> {
    let expected = call.arg(1);
    call.wait(8, |shared, address, timeout, tick| shared.wait64(address, expected, timeout, tick))
}

/// Throws what was put into [`StoreHeader::in_flight`].
fn throw_in_flight(call: &Call) -> Result<ExitStatus, Stop> {
    // SAFETY: the context is alive (`Call`).
    let header = unsafe { header_of(call.context) };
    // SAFETY: the header is alive, the field plain data.
    unsafe { (*header).frame_end = call.end_of_frame().unwrap_or(ptr::null_mut()) };
    // SAFETY: the header is alive, and the guest has stopped in this builtin.
    let thrown = unsafe { throw_or_leave(header) };
    // SAFETY: as before.
    unsafe { (*header).frame_end = ptr::null_mut() };
    Ok(thrown?)
}

/// Throws the exception in flight; the error is for one that nothing in the run catches.
///
/// # Safety
///
/// The header is alive, its guest has stopped in a builtin, and there is no reference to either.
unsafe fn throw_or_leave(header: *mut StoreHeader) -> Result<ExitStatus, Error> {
    // SAFETY: the header is alive, the field plain data.
    let (Some(mut owner), Some(header)) = (unsafe { (*header).owner }, NonNull::new(header)) else {
        return Err(bug!("a guest runs without its store"));
    };
    // SAFETY: `owner` is the borrow that the run was started with, which is not used until the run ends or goes on.
    let store = unsafe { owner.as_mut() }.objects();
    // SAFETY: the caller's promises.
    match unsafe { throw::throw(header, store) }? {
        Some(status) => Ok(status),
        // SAFETY: as above.
        None => Err(unsafe { throw::uncaught(header, store) }),
    }
}

/// What a host function's error becomes: if it is an exception, it goes on in the guest that called the function. The error
/// comes back when it is none, or nothing catches it.
///
/// # Safety
///
/// As for [`throw_or_leave`].
#[cold]
unsafe fn throw_error(header: *mut StoreHeader, error: Error) -> Result<ExitStatus, Error> {
    let Some(thrown) = error.downcast_ref::<ThrownException>() else { return Err(error) };
    // SAFETY: the header is alive, the field plain data.
    let Some(mut owner) = (unsafe { (*header).owner }) else { return Err(error) };
    // SAFETY: `owner` is the borrow that the run was started with, which is not used until the run ends or goes on.
    let store = unsafe { owner.as_mut() }.objects();
    if thrown.tag().stored().check(store).is_err() {
        // An exception of another store is an error like any other.
        return Err(error);
    }
    let ty = thrown.tag().record(store).ty();
    let mut slots = vec![0; ty.param_slots()];
    let mut at = 0;
    for (field, ty) in thrown.fields().iter().zip(ty.params()) {
        field.put(ty, &mut slots, &mut at, store.id())?;
    }
    let tag = Some(thrown.tag().stored().address(store));
    // SAFETY: the header is alive, and there is no reference to it.
    unsafe { (*header).in_flight = InFlight { tag, slots, reference: 0 } };
    // SAFETY: as above.
    let pending = unsafe { (*header).pending.take() };
    // SAFETY: the caller's promises.
    match unsafe { throw_or_leave(header) } {
        Ok(status) => Ok(status),
        Err(again) if again.is::<ThrownException>() => {
            // Its values are pinned now for whoever gets it; the error itself knows where it comes from.
            // SAFETY: as above.
            let again = unsafe { &mut (*header).pending };
            *again = pending.or(again.take());
            Err(error)
        }
        Err(other) => Err(other),
    }
}

fn do_throw(call: &Call) -> Result<ExitStatus, Stop> {
    let tag = call.instance().tag(TagIdx::new(call.a as u32));
    // SAFETY: a store's tags live as long as the store.
    let count = unsafe { tag.as_ref() }.ty().param_slots();
    // SAFETY: the context is alive (`Call`).
    let header = unsafe { header_of(call.context) };
    // SAFETY: the header is alive, and nothing else refers to the field.
    let in_flight = unsafe { &mut (*header).in_flight };
    in_flight.tag = Some(tag);
    in_flight.reference = 0;
    in_flight.slots.clear();
    in_flight.slots.extend((0..count).map(|index| call.arg(index)));
    throw_in_flight(call)
}

fn do_throw_ref(call: &Call) -> Result<ExitStatus, Stop> {
    let handle = call.arg(0);
    if handle == 0 {
        return Err(TrapCode::NullReference.into());
    }
    // SAFETY: the context is alive (`Call`).
    let header = unsafe { header_of(call.context) };
    // SAFETY: the header is alive, the field plain data.
    let Some(mut owner) = (unsafe { (*header).owner }) else {
        return Err(bug!("a guest runs without its store").into());
    };
    // SAFETY: `owner` is the borrow that the run was started with, which is not used until the run ends or goes on.
    let store = unsafe { owner.as_mut() }.objects();
    let Ok((tag, slots)) = store.exception(handle) else {
        return Err(bug!("the guest has a reference {handle:#x} to no exception").into());
    };
    let in_flight = InFlight { tag: Some(tag), slots: slots.to_vec(), reference: handle };
    // SAFETY: the header is alive, and nothing else refers to the field.
    unsafe { (*header).in_flight = in_flight };
    throw_in_flight(call)
}

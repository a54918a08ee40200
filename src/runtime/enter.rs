//! From the host into wasm: stacks and limits before a run, traps, errors and panics after it.
//!
//! Called by `Func::call_raw`, by typed calls and by instantiation for start functions. Compiled functions take their slots from where
//! the host has them. Slots for the interpreter go to the value stack above everything that outer runs use
//! (`VmStoreContext::value_top`, which the builtin for host calls moves), and come back from there. Native recursion through the host
//! is bounded here, where each such recursion passes.

use super::HostFunction;
use crate::error::{Error, Result, bug};
use crate::store::{AnyStore, Failure, NativeStack, StoreHeader, StoreInner};
use crate::{Trap, TrapCode, WasmBacktrace};
use crescendo_abi::{ExitStatus, SLOT_SIZE, VmFuncRef, VmStoreContext};
use crescendo_interp::DirectCall;
use std::panic;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Native stack that is left to the host: for host functions and for the engine itself, which is deeper in unoptimised
/// builds.
const HOST_RESERVE: usize = 256 << 10;

/// Calls a function with slots: max(parameters, results) of them, replaced by the results. After an error their contents are
/// unspecified.
///
/// # Errors
///
/// A trap, or what a host function or builtin failed with; with the backtrace of the wasm functions that were running.
///
/// # Panics
///
/// Resumes the panic of a host function.
///
/// # Safety
///
/// The record belongs to the store. The slots are as many as the function needs, and hold values of the types of its
/// parameters that belong to the store.
#[inline(always)]
pub(crate) unsafe fn call<T: 'static>(
    store: &mut StoreInner<T>,
    record: NonNull<VmFuncRef>,
    slots: &mut [u64],
) -> Result<()> {
    let header = store.opaque.header();
    // SAFETY: the record belongs to the store, which is alive.
    if unsafe { is_compiled(header, record) } {
        // SAFETY: the caller's promises, and there is native code.
        unsafe { call_native(store, record, slots) }
    } else {
        // SAFETY: the caller's promises.
        unsafe { call_otherwise(store, record, slots) }
    }
}

/// Whether a function has native code. It may lose it at any time: then its native entry leads to the interpreter.
///
/// # Safety
///
/// The record belongs to the store with this header, which is alive.
#[inline(always)]
pub(crate) unsafe fn is_compiled(header: NonNull<StoreHeader>, record: NonNull<VmFuncRef>) -> bool {
    let place = record.as_ptr().wrapping_byte_add(VmFuncRef::NATIVE as usize).cast::<*mut u8>();
    // SAFETY: the record is alive and has this field; whoever changes it while guests may run does so atomically.
    let native = unsafe { AtomicPtr::from_ptr(place) }.load(Ordering::Acquire);
    // SAFETY: the header is alive, the field plain data.
    let compiled = native.cast_const() != unsafe { (*header.as_ptr()).native_stub };
    // SAFETY: the record is alive.
    compiled && !unsafe { HostFunction::is_host(record) }
}

/// As [`call`], for a function with native code.
///
/// # Safety
///
/// As for [`call`]; [`is_compiled`] was true.
#[inline(always)]
pub(crate) unsafe fn call_native<T: 'static>(
    store: &mut StoreInner<T>,
    record: NonNull<VmFuncRef>,
    slots: &mut [u64],
) -> Result<()> {
    let header = store.opaque.header();
    let owner = NonNull::from(store as &mut dyn AnyStore);
    // SAFETY: the caller's promises; `header` and `owner` are of one store, which is borrowed exclusively.
    unsafe { run_native(header, owner, record, slots.as_mut_ptr()) }
}

/// As [`call`], for a function without native code.
///
/// # Safety
///
/// As for [`call`].
#[inline(always)] // Typed calls have a fixed number of slots, whose copies then are a few moves: 3 ns of 25 a call.
pub(crate) unsafe fn call_otherwise<T: 'static>(
    store: &mut StoreInner<T>,
    record: NonNull<VmFuncRef>,
    slots: &mut [u64],
) -> Result<()> {
    let header = store.opaque.header();
    let owner = NonNull::from(store as &mut dyn AnyStore);
    // SAFETY: the record belongs to the store, which is alive.
    match unsafe { HostFunction::of_record(record) } {
        // SAFETY: the function belongs to the store, whose only reference `owner` was made of; the caller vouches for the
        // slots.
        Some(function) => unsafe { call_host(function, owner, slots) },
        // SAFETY: the caller's promises; `header` and `owner` are of one store, which is borrowed exclusively.
        None => unsafe { run(header, owner, record, slots) },
    }
}

/// Calls a host function from the host: no wasm is involved, and a panic just goes through.
///
/// # Safety
///
/// As for [`HostFunction::call`], the number of slots aside.
unsafe fn call_host(
    function: NonNull<HostFunction>,
    owner: NonNull<dyn AnyStore>,
    slots: &mut [u64],
) -> Result<()> {
    // SAFETY: the function is alive.
    let needed = unsafe { function.as_ref() }.slots();
    if slots.len() < needed {
        return Err(bug!("{} slots for a host function that needs {needed}", slots.len()));
    }
    // SAFETY: the caller's promises, and there are enough slots.
    unsafe { HostFunction::call(function, owner, slots.as_mut_ptr()) }
}

/// Runs a wasm function by its interpreter's entry.
///
/// # Safety
///
/// As for [`call`]; `header` is that of `owner`, to which there is no other live reference.
#[inline(always)]
unsafe fn run(
    header: NonNull<StoreHeader>,
    owner: NonNull<dyn AnyStore>,
    record: NonNull<VmFuncRef>,
    slots: &mut [u64],
) -> Result<()> {
    // SAFETY: the store is alive, and the field is plain data.
    if unsafe { (*header.as_ptr()).vm.transitions }.is_null() {
        // SAFETY: the caller's promise.
        unsafe { prepare(header, owner, crescendo_code::stack_pointer()) }?;
        let _leave = Leave(header);
        // SAFETY: as above.
        return unsafe { run_prepared(header, owner, record, slots) };
    }
    // SAFETY: the caller's promise; the outer run has prepared thread and store.
    unsafe { run_prepared(header, owner, record, slots) }
}

/// Runs a function by its native code. Its arguments and results lie in the slots.
///
/// # Safety
///
/// As for [`run`]; [`is_compiled`] was true, and there are enough slots.
#[inline(never)] // One for all types of data: the callers are inlined into the embedder.
unsafe fn run_native(
    header: NonNull<StoreHeader>,
    owner: NonNull<dyn AnyStore>,
    record: NonNull<VmFuncRef>,
    slots: *mut u64,
) -> Result<()> {
    let here = crescendo_code::stack_pointer();
    // SAFETY: the store is alive and only this thread uses it; the borrow ends before anything else looks at the header.
    let state = unsafe { &mut *header.as_ptr() };
    let outermost = state.vm.transitions.is_null() && crescendo_code::running_store().is_null();
    if !outermost || !state.native_stack.is_entered_at(here) {
        // SAFETY: the caller's promises.
        return unsafe { run_native_slowly(header, owner, record, slots, here) };
    }
    state.activity.enter();
    state.owner = Some(owner);
    // SAFETY: the caller's promise.
    let call = unsafe { direct_call(header, record, slots) };
    // SAFETY: the store is alive, and there is no reference to it when a run has failed.
    let failed = |status| unsafe { explain_native(status, header) };
    // SAFETY: the thunk is that of the record's type, the slots are the caller's, and the native stack's limit is set. Traps of native
    // code find the store by the thread, which is in no run, or are checks where there are no signals.
    let result = unsafe { crescendo_interp::run_direct(call, header.cast().as_ptr(), failed) };
    // SAFETY: as above.
    let state = unsafe { &mut *header.as_ptr() };
    state.owner = None;
    state.activity.leave();
    match result {
        Ok(()) => Ok(()),
        Err(failure) => Err(fail(failure)),
    }
}

/// A call of a function that is or was compiled.
///
/// # Safety
///
/// As for [`run_native`].
#[inline(always)]
unsafe fn direct_call(
    header: NonNull<StoreHeader>,
    record: NonNull<VmFuncRef>,
    slots: *mut u64,
) -> DirectCall {
    // SAFETY: the record is alive; nobody changes the field.
    let ty = unsafe { (*record.as_ptr()).type_id };
    // SAFETY: the header is alive, the field plain data.
    let thunks = unsafe { (*header.as_ptr()).vm.entry_thunks };
    // SAFETY: the thunks of a type are made before code of that type, and stay.
    let thunk = unsafe { *thunks.wrapping_add(ty as usize) };
    DirectCall { record: record.as_ptr(), thunk, slots }
}

/// As [`run_native`], wherever the thread is: inside other runs, or on a stack whose limit has to be set.
///
/// # Safety
///
/// As for [`run_native`]; the stack pointer was at `here`.
#[cold] // Not rare, but out of the way.
unsafe fn run_native_slowly(
    header: NonNull<StoreHeader>,
    owner: NonNull<dyn AnyStore>,
    record: NonNull<VmFuncRef>,
    slots: *mut u64,
    here: usize,
) -> Result<()> {
    // SAFETY: the store is alive, and the field is plain data.
    let outermost = unsafe { (*header.as_ptr()).vm.transitions }.is_null();
    if outermost {
        // SAFETY: the caller's promise.
        unsafe { prepare(header, owner, here) }?;
        // SAFETY: as above.
    } else if crescendo_code::stack_pointer() < unsafe { (*header.as_ptr()).vm.native_stack_limit }.addr() {
        return Err(Error::from(TrapCode::StackOverflow));
    }
    // SAFETY: the caller's promise.
    let call = unsafe { direct_call(header, record, slots) };
    // SAFETY: the store is alive and only this thread uses it.
    let outer = unsafe { (*header.as_ptr()).owner.replace(owner) };
    // SAFETY: as in `run_native`.
    let failed = |status| unsafe { explain_native(status, header) };
    // SAFETY: as in `run_native`; the limit is set.
    let result = unsafe { crescendo_interp::run_direct_nested(call, header.cast().as_ptr(), failed) };
    // SAFETY: the store is alive and only this thread uses it.
    let state = unsafe { &mut *header.as_ptr() };
    state.owner = outer;
    if outermost {
        state.activity.leave();
    }
    result.map_err(fail)
}

/// Why a run of native code failed that ended with this status.
///
/// # Safety
///
/// As for [`explain`].
#[cold]
unsafe fn explain_native(status: u64, header: NonNull<StoreHeader>) -> Box<Failure> {
    let status = if status == ExitStatus::Trap as u64 { ExitStatus::Trap } else { ExitStatus::HostError };
    // SAFETY: the store is alive, and the field is plain data.
    let Some(mut owner) = (unsafe { (*header.as_ptr()).owner }) else {
        return Box::new(Failure::Error(bug!("a guest ran without its store")));
    };
    // SAFETY: the caller's promise; `owner` is the borrow that the run was started with.
    let failure = Box::new(unsafe { explain(status, header, owner) });
    // SAFETY: as above.
    let base = unsafe { owner.as_mut() }.objects().value_stack_base();
    // Thunks that were left behind had moved it. Inside other runs it is not the base: there `run_direct_nested` knows what it was.
    // SAFETY: the store is alive and only this thread uses it.
    unsafe { (*header.as_ptr()).vm.value_top = base };
    failure
}

/// The error of a run that did not return.
///
/// # Panics
///
/// Resumes the panic of a host function.
#[cold]
#[expect(clippy::boxed_local, reason = "a pointer is what fits a register on the way here")]
fn fail(failure: Box<Failure>) -> Error {
    match *failure {
        Failure::Error(error) => error,
        Failure::Panic(payload) => panic::resume_unwind(payload),
    }
}

/// Says that a store's outermost run has ended, also if it ends by a panic of the host.
struct Leave(NonNull<StoreHeader>);

impl Drop for Leave {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the store outlives its runs, and the run that might use it has ended.
        unsafe { self.0.as_ref() }.activity.leave();
    }
}

/// As [`run`], when thread and store are ready.
///
/// # Safety
///
/// As for [`run`], and [`prepare`] was called for the outermost of the runs under way.
#[inline(always)]
unsafe fn run_prepared(
    header: NonNull<StoreHeader>,
    owner: NonNull<dyn AnyStore>,
    record: NonNull<VmFuncRef>,
    slots: &mut [u64],
) -> Result<()> {
    // SAFETY: the store is alive and only this thread uses it; the borrow ends before anything else looks at the header.
    let state = unsafe { &mut *header.as_ptr() };
    let base = state.vm.value_top;
    let room = state.vm.value_stack_limit.addr().saturating_sub(base.addr()) / SLOT_SIZE;
    if slots.len() > room || crescendo_code::stack_pointer() < state.vm.native_stack_limit.addr() {
        return Err(Error::from(TrapCode::StackOverflow));
    }
    let outer = state.owner.replace(owner);
    // SAFETY: the value stack has room for the slots from its top on, as was just checked, and nothing else points there.
    unsafe { ptr::copy_nonoverlapping(slots.as_ptr(), base, slots.len()) };
    let mut failure = None;
    // SAFETY: `explain` gets what this function got, and no reference to the store is live while it runs.
    let failed = |status| failure = Some(unsafe { explain(status, header, owner) });
    let vm = header.cast::<VmStoreContext>().as_ptr();
    // SAFETY: the record is alive, its parameters lie at `base`, below the limit, and both stacks' limits are set. Engines
    // that use signals registered handlers and text when they were made, others run no guarded variant.
    let status = unsafe { crescendo_interp::run(record.as_ptr(), base, vm, failed) };
    // SAFETY: the store is alive and only this thread uses it.
    unsafe { (*header.as_ptr()).owner = outer };
    if status == ExitStatus::Return {
        // SAFETY: as for the copy before; the results lie where the parameters were.
        unsafe { ptr::copy_nonoverlapping(base, slots.as_mut_ptr(), slots.len()) };
        return Ok(());
    }
    match failure {
        Some(failure) => Err(fail(Box::new(failure))),
        None => Err(bug!("a run ended with {status:?} without a reason")),
    }
}

/// Readies thread and store for the outermost of nested runs, with the stack pointer at `here`: a store may come from another thread
/// between them.
///
/// # Safety
///
/// As for [`run`].
#[inline]
unsafe fn prepare(header: NonNull<StoreHeader>, owner: NonNull<dyn AnyStore>, here: usize) -> Result<()> {
    // SAFETY: the store is alive, and the field is plain data.
    if !unsafe { (*header.as_ptr()).native_stack }.is_entered_at(here) {
        // SAFETY: the caller's promise.
        unsafe { prepare_here(header, owner, here) }?;
    }
    // SAFETY: the store is alive and only this thread uses it.
    unsafe { header.as_ref() }.activity.enter();
    Ok(())
}

/// Sets the limit of the native stack for a run that starts with the stack pointer at `here`.
///
/// # Safety
///
/// As for [`run`].
#[inline(never)]
unsafe fn prepare_here(
    header: NonNull<StoreHeader>,
    owner: NonNull<dyn AnyStore>,
    here: usize,
) -> Result<()> {
    // SAFETY: the store is alive, and the field is plain data.
    let known = unsafe { (*header.as_ptr()).native_stack };
    let thread = crescendo_code::ready_thread();
    let mut stack = if known.thread == thread && thread != 0 && (known.low..known.high).contains(&here) {
        known
    } else {
        // SAFETY: the caller's promise.
        unsafe { prepare_thread(owner, here) }?
    };
    // Without signals no thread has a number, and each call comes here.
    stack.entered_at = if stack.thread == 0 { usize::MAX } else { here };
    // SAFETY: the store is alive and only this thread uses it.
    let state = unsafe { &mut *header.as_ptr() };
    state.native_stack = stack;
    state.vm.native_stack_limit = ptr::without_provenance_mut(native_stack_limit(stack, here));
    Ok(())
}

/// Readies the calling thread, whose stack pointer is at `here`, and the store for it.
///
/// # Safety
///
/// As for [`run`].
#[cold]
unsafe fn prepare_thread(owner: NonNull<dyn AnyStore>, here: usize) -> Result<NativeStack> {
    let mut owner = owner;
    // SAFETY: there is no other live reference to the store (the caller's promise).
    let store = unsafe { owner.as_mut() }.objects();
    if store.engine().config().signals_based_traps {
        crescendo_code::ensure_thread_ready()?;
    }
    store.ensure_value_stack()?;
    Ok(native_stack(here, store.engine().config().max_wasm_stack))
}

/// The lowest address of the native stack at which the host may still enter wasm, when it is at `here` now.
#[inline]
fn native_stack_limit(stack: NativeStack, here: usize) -> usize {
    stack.low.max(here.saturating_sub(stack.most))
}

/// The native stack that `here` is on, of which wasm may use so much.
fn native_stack(here: usize, most: usize) -> NativeStack {
    match crescendo_code::native_stack_bounds() {
        Ok(bounds) if (bounds.low..bounds.high).contains(&here) => {
            let reserve = HOST_RESERVE.min((bounds.high - bounds.low) / 4);
            NativeStack {
                thread: crescendo_code::ready_thread(),
                low: bounds.low + reserve,
                high: bounds.high,
                most,
                entered_at: here,
            }
        }
        // The thread's stack is unknown, or the host runs on a stack of its own making: it gets little.
        _ => NativeStack {
            thread: 0,
            low: here.saturating_sub(HOST_RESERVE),
            high: here,
            most,
            entered_at: here,
        },
    }
}

/// Why a run failed that ended with this status; the frames that were running are still there.
///
/// # Safety
///
/// As for [`run`].
#[cold]
unsafe fn explain(status: ExitStatus, header: NonNull<StoreHeader>, owner: NonNull<dyn AnyStore>) -> Failure {
    let mut owner = owner;
    // SAFETY: there is no other live reference to the store (the caller's promise).
    let store = unsafe { owner.as_mut() }.objects();
    // SAFETY: the store is alive and only this thread uses it; the borrow ends here.
    let (failure, code) = unsafe { (*header.as_ptr()).take_outcome() };
    // SAFETY: as above.
    let captured = unsafe { (*header.as_ptr()).captured.take() };
    let backtrace = || captured.unwrap_or_else(|| WasmBacktrace::of_last_run(store));
    Failure::Error(match (status, failure, code) {
        (_, Some(Failure::Panic(payload)), _) => return Failure::Panic(payload),
        (_, Some(Failure::Error(error)), _) => error.with_backtrace(backtrace),
        (ExitStatus::Trap, None, Some(code)) => {
            let backtrace = backtrace();
            Error::from(backtrace.place(code)).with_backtrace(|| backtrace)
        }
        (status, None, code) => bug!("a run ended with {status:?}, trap code {code:?}"),
    })
}

impl WasmBacktrace {
    /// A trap at the place of the innermost frame.
    fn place(&self, code: TrapCode) -> Trap {
        let place =
            self.frames().first().and_then(|frame| Some((frame.func_index(), frame.module_offset()?)));
        match place {
            Some((func, offset)) => Trap::at(code, func, u32::try_from(offset).unwrap_or(u32::MAX)),
            None => Trap::new(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HOST_RESERVE, native_stack, native_stack_limit};

    #[test]
    fn the_native_limit_lies_below_and_inside_of_the_stack() {
        let here = crescendo_code::stack_pointer();
        let bounds = crescendo_code::native_stack_bounds().unwrap();
        for most in [0, 4096, usize::MAX] {
            let limit = native_stack_limit(native_stack(here, most), here);
            assert!(limit > bounds.low && limit <= here, "{most}");
        }
        assert_eq!(native_stack_limit(native_stack(here, 4096), here), here - 4096);
        assert_eq!(native_stack(64, 0).low, 0, "a stack that nobody knows");
        assert_eq!(native_stack(1 << 20, 0).low, (1 << 20) - HOST_RESERVE);
    }
}

//! From the host into wasm: stacks and limits before a run, traps, errors and panics after it.
//!
//! Called by `Func::call_raw` and by instantiation for start functions. Slots go to the value stack above everything that
//! outer runs use (`VmStoreContext::value_top`, which the builtin for host calls moves), and come back from there. Native
//! recursion through the host is bounded here, where each such recursion passes.

use super::HostFunction;
use crate::error::{Error, Result, bug};
use crate::store::{AnyStore, Failure, NativeStack, StoreHeader, StoreInner, StoreOpaque};
use crate::{Trap, TrapCode, WasmBacktrace};
use crescendo_abi::{ExitStatus, SLOT_SIZE, VmFuncRef, VmStoreContext};
use std::panic;
use std::ptr::{self, NonNull};

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
    // SAFETY: the caller's promises, and there are enough slots; null stands for the host.
    unsafe { HostFunction::call(function, owner, ptr::null_mut(), slots.as_mut_ptr()) }
}

/// Runs a wasm function.
///
/// # Safety
///
/// As for [`call`]; `header` is that of `owner`, to which there is no other live reference.
#[inline(always)] // Typed calls have a fixed number of slots, whose copies then are a few moves: 3 ns of 25 a call.
unsafe fn run(
    header: NonNull<StoreHeader>,
    owner: NonNull<dyn AnyStore>,
    record: NonNull<VmFuncRef>,
    slots: &mut [u64],
) -> Result<()> {
    // SAFETY: the store is alive, and the field is plain data.
    if unsafe { (*header.as_ptr()).vm.transitions }.is_null() {
        // SAFETY: the caller's promise.
        unsafe { prepare(header, owner) }?;
        let _leave = Leave(owner);
        // SAFETY: as above.
        return unsafe { run_prepared(header, owner, record, slots) };
    }
    // SAFETY: the caller's promise; the outer run has prepared thread and store.
    unsafe { run_prepared(header, owner, record, slots) }
}

/// Says that a store's outermost run has ended, also if it ends by a panic of the host.
struct Leave(NonNull<dyn AnyStore>);

impl Drop for Leave {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the store outlives its runs, and the run that might use it has ended.
        unsafe { self.0.as_mut() }.objects().leave_wasm();
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
        Some(Failure::Error(error)) => Err(error),
        Some(Failure::Panic(payload)) => panic::resume_unwind(payload),
        None => Err(bug!("a run ended with {status:?} without a reason")),
    }
}

/// Readies thread and store for the outermost of nested runs: a store may come from another thread between them.
///
/// # Safety
///
/// As for [`run`].
#[inline]
unsafe fn prepare(header: NonNull<StoreHeader>, owner: NonNull<dyn AnyStore>) -> Result<()> {
    let mut owner = owner;
    // SAFETY: there is no other live reference to the store (the caller's promise).
    let store = unsafe { owner.as_mut() }.objects();
    let here = crescendo_code::stack_pointer();
    // SAFETY: the store is alive, and the field is plain data.
    let known = unsafe { (*header.as_ptr()).native_stack };
    let thread = crescendo_code::ready_thread();
    let stack = if known.thread == thread && thread != 0 && (known.low..known.high).contains(&here) {
        known
    } else {
        prepare_thread(store, here)?
    };
    // SAFETY: as above.
    unsafe { (*header.as_ptr()).native_stack = stack };
    let limit = native_stack_limit(stack, here, store.engine().config().max_wasm_stack);
    // SAFETY: as above.
    unsafe { (*header.as_ptr()).vm.native_stack_limit = ptr::without_provenance_mut(limit) };
    store.enter_wasm();
    Ok(())
}

/// Readies the calling thread, whose stack pointer is at `here`, and the store for it.
#[cold]
fn prepare_thread(store: &mut StoreOpaque, here: usize) -> Result<NativeStack> {
    if store.engine().config().signals_based_traps {
        crescendo_code::ensure_thread_ready()?;
    }
    store.ensure_value_stack()?;
    Ok(native_stack(here))
}

/// The lowest address of the native stack at which the host may still enter wasm, when it is at `here` now.
#[inline]
fn native_stack_limit(stack: NativeStack, here: usize, most: usize) -> usize {
    stack.low.max(here.saturating_sub(most))
}

/// The native stack that `here` is on.
fn native_stack(here: usize) -> NativeStack {
    match crescendo_code::native_stack_bounds() {
        Ok(bounds) if (bounds.low..bounds.high).contains(&here) => {
            let reserve = HOST_RESERVE.min((bounds.high - bounds.low) / 4);
            // Without signals no thread is ever ready, and each call comes here.
            NativeStack {
                thread: crescendo_code::ready_thread(),
                low: bounds.low + reserve,
                high: bounds.high,
            }
        }
        // The thread's stack is unknown, or the host runs on a stack of its own making: it gets little.
        _ => NativeStack { thread: 0, low: here.saturating_sub(HOST_RESERVE), high: here },
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
            let limit = native_stack_limit(native_stack(here), here, most);
            assert!(limit > bounds.low && limit <= here, "{most}");
        }
        assert_eq!(native_stack_limit(native_stack(here), here, 4096), here - 4096);
        assert_eq!(native_stack(64).low, 0, "a stack that nobody knows");
        assert_eq!(native_stack(1 << 20).low, (1 << 20) - HOST_RESERVE);
    }
}

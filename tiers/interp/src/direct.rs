//! From the host straight into native code, without handlers in between.
//!
//! A signature's thunk takes the arguments from slots of the host and leaves the results there, so that the value stack is not
//! touched. Native code preserves the registers that the C convention preserves; whoever gives its frames up (traps, errors,
//! panics of host functions) lands behind the call here, with the stack pointer that the store remembers.

use crescendo_abi::{ExitStatus, VmFuncRef, VmStoreContext, VmTransition};
use std::mem::MaybeUninit;
use std::ptr;

/// A compiled function as the host calls it.
#[derive(Clone, Copy, Debug)]
pub struct DirectCall {
    /// The function's entry record.
    pub record: *const VmFuncRef,
    /// The thunk from the host for the function's type.
    pub thunk: *const u8,
    /// Params, afterwards results: as many slots as the more of them needs.
    pub slots: *mut u64,
}

/// Calls a wasm function by its native entry, when the thread is in no other run: its traps are the store's until this returns.
///
/// When the function traps or fails, the answer is what `failed` makes of the status, before the run's crossing is undone. Native frames
/// were looked at before ([`VmStoreContext::capture`]). Thunks that a failure left behind have moved [`VmStoreContext::value_top`], which
/// `failed` puts back.
///
/// # Safety
/// - As for [`crate::run()`]; the record's native entry is or was that of compiled code, and the thunk is that of its type.
/// - Nobody else uses the slots meanwhile.
/// - The thread runs no store ([`crescendo_code::running_store`]).
#[inline(always)] // A call of its own, and the values kept across it, are 1 ns of 10.
pub unsafe fn run_direct<E>(
    call: DirectCall,
    store: *mut VmStoreContext,
    failed: impl FnOnce(u64) -> E,
) -> Result<(), E> {
    // Stores are what this costs most: fields that nobody reads are not written. Nothing is outside, so there is no exit state to keep.
    let mut transition = MaybeUninit::<VmTransition>::uninit();
    let link = transition.as_mut_ptr();
    let prev = link.wrapping_byte_add(VmTransition::PREV as usize).cast::<*mut VmTransition>();
    // SAFETY: a field of a place on the stack.
    unsafe { prev.write(ptr::null_mut()) };
    let run_sp = link.wrapping_byte_add(VmTransition::RUN_SP as usize).cast::<usize>();
    // SAFETY: as above.
    unsafe { run_sp.write(crescendo_code::stack_pointer()) };
    // SAFETY: the store is alive and used by this thread only.
    unsafe { (*store).transitions = link };
    crescendo_code::set_running_store(store);
    // SAFETY: the caller's promises.
    let status = unsafe { enter(call, store) };
    crescendo_code::set_running_store(ptr::null_mut());
    if status == ExitStatus::Return as u64 {
        // SAFETY: the store is alive; nothing else changed the chain, since inner runs restore it.
        unsafe { (*store).transitions = ptr::null_mut() };
        return Ok(());
    }
    let error = failed(status);
    // SAFETY: as above.
    unsafe { (*store).transitions = ptr::null_mut() };
    Err(error)
}

/// As [`run_direct`], wherever the thread is. It puts the top of the value stack back itself.
///
/// # Safety
/// As for [`run_direct`], but for the last.
pub unsafe fn run_direct_nested<E>(
    call: DirectCall,
    store: *mut VmStoreContext,
    failed: impl FnOnce(u64) -> E,
) -> Result<(), E> {
    // SAFETY: the store is alive and used by this thread only; the borrow ends before the guest runs.
    let state = unsafe { &mut *store };
    let (outer_entry_sp, outer_base) = (state.entry_sp, state.base_transition);
    let mut transition = VmTransition {
        prev: state.transitions,
        outer_exit_ip: state.exit_ip,
        outer_exit_fp: state.exit_fp,
        outer_exit_context: state.exit_context,
        outer_value_top: state.value_top,
        run_sp: ptr::without_provenance_mut(crescendo_code::stack_pointer()),
        run_fp: ptr::null_mut(),
    };
    let link = &raw mut transition;
    state.transitions = link;
    state.base_transition = link;
    let outer_store = crescendo_code::set_running_store(store);
    // SAFETY: the caller's promises.
    let status = unsafe { enter(call, store) };
    crescendo_code::set_running_store(outer_store);
    let result = if status == ExitStatus::Return as u64 { Ok(()) } else { Err(failed(status)) };
    // SAFETY: the link is alive, and nobody else has it now.
    let outer = unsafe { link.read() };
    // SAFETY: the store is alive; nothing else changed the chain, since inner runs restore it.
    let state = unsafe { &mut *store };
    state.transitions = outer.prev;
    state.exit_ip = outer.outer_exit_ip;
    state.exit_fp = outer.outer_exit_fp;
    state.exit_context = outer.outer_exit_context;
    state.entry_sp = outer_entry_sp;
    state.base_transition = outer_base;
    // Thunks that a failure left behind had moved it.
    state.value_top = outer.outer_value_top;
    result
}

/// Calls the thunk and gives its status, or that with which the run was given up.
///
/// # Safety
/// As for [`run_direct_nested`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn enter(call: DirectCall, store: *mut VmStoreContext) -> u64 {
    // SAFETY: the record is alive.
    let context = unsafe { (*call.record).context };
    let status;
    // SAFETY: the thunk has the C convention, and the stack is aligned for it. A run that is given up comes back behind the call with
    // the same stack pointer; registers are all given up, but for the two that are on the stack.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "push rbp",
            "mov [rcx + {entry_sp}], rsp",
            "call r8",
            "pop rbp",
            "pop rbx",
            entry_sp = const VmStoreContext::ENTRY_SP,
            in("rdi") call.record,
            in("rsi") context,
            in("rdx") call.slots,
            in("rcx") store,
            in("r8") call.thunk,
            lateout("rax") status,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("C"),
        );
    }
    status
}

/// There is no native code for other machines.
///
/// # Safety
/// None.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn enter(_call: DirectCall, _store: *mut VmStoreContext) -> u64 {
    ExitStatus::HostError as u64
}

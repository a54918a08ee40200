//! Finding the frames of a stopped store: interpreted ones on the value stack, native ones on the native stack.
//!
//! The chain of transitions leads from one kind to the other and over the host. Within interpreted code the walk follows the
//! frames' records, within native code frame pointers. A native frame whose address belongs to no function is a
//! thunk or a handler: there native code was entered, and the next transition says from where.

use crate::run::{is_base, return_switch_cell};
use crescendo_abi::frame::{
    RECORD_CALLER_CONTEXT, RECORD_CALLER_FP, RECORD_REAL_RETURN_IP, RECORD_RETURN_IP,
};
use crescendo_abi::{SLOT_SIZE, VmContext, VmStoreContext, VmTransition};
use crescendo_code::native_code_at;
use std::ops::ControlFlow;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// A frame as the walk finds it.
#[derive(Clone, Copy, Debug)]
pub struct RawFrame {
    /// Inside the running cell: its start where the frame trapped or called a builtin, its last byte where it called. In
    /// native code the instruction that trapped, or the last byte of the call.
    pub ip: *const u8,
    /// The frame's first slot; the frame pointer of a native frame.
    pub fp: *mut u64,
    /// The frame's context; null for a native frame.
    pub context: *mut VmContext,
    /// Which of the cell's micro-operators stopped; 0 for frames that called.
    pub micro_op: u32,
    /// The innermost crossing while the frame runs: how its kind of code was entered.
    pub transition: *mut VmTransition,
    /// [`VmStoreContext::value_top`] while the frame runs; in interpreted code at or above what it was when the code was entered.
    pub value_top: *mut u64,
}

impl RawFrame {
    /// Whether the frame is native.
    pub fn is_native(&self) -> bool {
        self.context.is_null()
    }

    /// Whether the code that was walked through until here was entered by something other than a frame of its kind.
    fn is_outside(&self) -> bool {
        if self.is_native() {
            native_code_at(self.ip).is_none_or(|place| place.info().module == 0)
        } else {
            is_base(self.ip)
        }
    }

    /// The caller of a native frame.
    ///
    /// # Safety
    /// The frame is alive and has a frame pointer.
    unsafe fn native_caller(&self) -> RawFrame {
        // SAFETY: native code keeps frame pointers; the caller's promise.
        let caller = unsafe { self.fp.read() };
        // SAFETY: as above; the return address lies behind the saved frame pointer.
        let return_address = unsafe { self.fp.wrapping_add(1).read() };
        RawFrame {
            ip: with_exposed_provenance::<u8>(return_address as usize).wrapping_sub(1),
            fp: with_exposed_provenance_mut(caller as usize),
            ..*self
        }
    }

    /// The caller of an interpreted frame whose record starts at a slot.
    ///
    /// # Safety
    /// The frame is alive and its record is there.
    unsafe fn interpreted_caller(&self, record_slot: u32) -> RawFrame {
        // SAFETY: the caller's promise.
        let record = unsafe { self.fp.cast::<u8>().add(record_slot as usize * SLOT_SIZE) };
        // SAFETY: a record has a return ip, a caller's fp and, across contexts, two words more.
        let word = |offset: i32| unsafe { record.wrapping_add(offset as usize).cast::<u64>().read() };
        let mut return_ip = with_exposed_provenance::<u8>(word(RECORD_RETURN_IP) as usize);
        let mut context = self.context;
        if return_ip == return_switch_cell() {
            return_ip = with_exposed_provenance(word(RECORD_REAL_RETURN_IP) as usize);
            context = with_exposed_provenance_mut(word(RECORD_CALLER_CONTEXT) as usize);
        }
        RawFrame {
            // A return address is the start of the next cell; the call ends right before it.
            ip: return_ip.wrapping_sub(1),
            fp: with_exposed_provenance_mut(word(RECORD_CALLER_FP) as usize),
            context,
            micro_op: 0,
            ..*self
        }
    }
}

/// Visits the frames of a store that is stopped (in a builtin, a host function, or the `failed` of [`crate::run`]), innermost
/// first, over all crossings between host, interpreter and native code.
///
/// `record_slot` says in which slot the record of an interpreted frame's function starts; `None` ends the walk of that run.
///
/// # Safety
/// The store and everything that its frames refer to is alive, and `record_slot` is right.
pub unsafe fn walk(
    store: *const VmStoreContext,
    record_slot: impl FnMut(&RawFrame) -> Option<u32>,
    visit: impl FnMut(&RawFrame) -> ControlFlow<()>,
) {
    // SAFETY: the caller's promises.
    unsafe { walk_until(store, std::ptr::null_mut(), record_slot, visit) }
}

/// As [`walk`], but only the frames of the innermost run that the host has started.
///
/// # Safety
/// As for [`walk`].
pub unsafe fn walk_run(
    store: *const VmStoreContext,
    record_slot: impl FnMut(&RawFrame) -> Option<u32>,
    visit: impl FnMut(&RawFrame) -> ControlFlow<()>,
) {
    // SAFETY: the store is alive.
    let base = unsafe { (*store).base_transition };
    // SAFETY: the caller's promises.
    unsafe { walk_until(store, base, record_slot, visit) }
}

/// Walks to the base of the code that a crossing leads to; over all crossings for null.
///
/// # Safety
/// As for [`walk`].
unsafe fn walk_until(
    store: *const VmStoreContext,
    last: *mut VmTransition,
    mut record_slot: impl FnMut(&RawFrame) -> Option<u32>,
    mut visit: impl FnMut(&RawFrame) -> ControlFlow<()>,
) {
    // SAFETY: the store is alive.
    let stopped = unsafe { store.read() };
    // Outside of all crossings there are no frames, whatever a run has left behind in the store.
    if stopped.transitions.is_null() {
        return;
    }
    let mut frame = RawFrame {
        ip: stopped.exit_ip,
        fp: stopped.exit_fp,
        context: stopped.exit_context,
        micro_op: stopped.exit_micro_op,
        transition: stopped.transitions,
        value_top: stopped.value_top,
    };
    loop {
        while !frame.fp.is_null() && !frame.is_outside() {
            if visit(&frame).is_break() {
                return;
            }
            frame = if frame.is_native() {
                // SAFETY: the frame is alive.
                unsafe { frame.native_caller() }
            } else {
                let Some(slot) = record_slot(&frame) else { break };
                // SAFETY: the frame is alive, and its record is there.
                unsafe { frame.interpreted_caller(slot) }
            };
        }
        let transition = frame.transition;
        if transition == last {
            return;
        }
        // The host has made the outermost crossing from outside: there was no exit state to keep.
        // SAFETY: the chain's links are on the native stack of runs that have not ended.
        if unsafe { (*transition).prev }.is_null() {
            return;
        }
        // SAFETY: as above.
        let outer = unsafe { transition.read() };
        frame = RawFrame {
            ip: outer.outer_exit_ip,
            fp: outer.outer_exit_fp,
            context: outer.outer_exit_context,
            micro_op: 0,
            transition: outer.prev,
            value_top: outer.outer_value_top,
        };
    }
}

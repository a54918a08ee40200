//! From where an exception is thrown to where it is caught.
//!
//! [`throw`] looks for a clause in the frames of the innermost run that the host has started, innermost frame first, writes what
//! the exception carries to where the clause finds it, and says in the store where code goes on; the status that it answers gets
//! there by way of the handlers or the assembly of `crescendo_interp::run`, which give up the stacks in between. No Rust frame
//! lies there but the builtin's own, which has returned by then: an exception leaves a run of the host as an error, and goes on
//! from the host function's frame if that returns the error.

use crate::error::Result;
use crate::instance::InstanceData;
use crate::store::{InFlight, StoreHeader, StoreOpaque};
use crate::tag::TagRecord;
use crate::{Error, Tag, ThrownException};
use crescendo_abi::{ExitStatus, VmContext};
use crescendo_interp::RawFrame;
use crescendo_module::TagIdx;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::ptr::NonNull;

/// Where an exception is caught.
struct Target {
    frame: RawFrame,
    place: Place,
    /// Whether the clause takes what the exception carries.
    with_slots: bool,
    /// Whether the clause takes a reference.
    with_ref: bool,
}

enum Place {
    /// A cell, the first slot for what is carried, the slot for a reference.
    Interpreted { cell: *const u8, slot: u32, ref_slot: Option<u32> },
    /// Code, the stack pointer there, the clause's number.
    Native { pc: *const u8, sp: *mut u8, number: u32 },
}

/// Throws [`StoreHeader::in_flight`] from where the guest has stopped. `None` if nothing in the run catches it; then nothing
/// has changed.
///
/// # Errors
///
/// When the store has no room for an exception that a clause wants a reference to.
///
/// # Safety
///
/// `header` is that of `store`, whose guest has stopped in a builtin. There is no other live reference to either.
pub(crate) unsafe fn throw(
    header: NonNull<StoreHeader>,
    store: &mut StoreOpaque,
) -> Result<Option<ExitStatus>> {
    let header = header.as_ptr();
    // SAFETY: the header is alive (the caller's promise).
    let Some(tag) = (unsafe { (*header).in_flight.tag }) else {
        return Err(crate::error::bug!("there is no exception to throw"));
    };
    // SAFETY: the caller's promise.
    let Some(target) = (unsafe { find(store, tag) }) else { return Ok(None) };
    // SAFETY: the header is alive.
    let mut reference = unsafe { (*header).in_flight.reference };
    if target.with_ref && reference == 0 {
        // SAFETY: as above; the list stays where it is while the exception is made.
        let slots = unsafe { (*header).in_flight.slots.clone() };
        reference = store.allocate_exception(tag, &slots)?.get();
    }
    // SAFETY: as above.
    let InFlight { mut slots, .. } = std::mem::take(unsafe { &mut (*header).in_flight });
    // SAFETY: as above; the borrow ends before anything else looks at the header.
    let vm = unsafe { &mut (*header).vm };
    let same_run = vm.transitions == target.frame.transition;
    vm.transitions = target.frame.transition;
    vm.value_top = target.frame.value_top;
    let status = match target.place {
        Place::Interpreted { cell, slot, ref_slot } => {
            let fp = target.frame.fp;
            let carried: &[u64] = if target.with_slots { &slots } else { &[] };
            for (index, value) in carried.iter().enumerate() {
                // SAFETY: the frame has room for what the clause's label takes, which has the tag's types.
                unsafe { fp.wrapping_add(slot as usize + index).write(*value) };
            }
            if let Some(ref_slot) = ref_slot {
                // SAFETY: as above.
                unsafe { fp.wrapping_add(ref_slot as usize).write(reference) };
            }
            // SAFETY: the walk has found the frame, and the cell is its function's.
            unsafe { crescendo_interp::resume_handlers(vm, &target.frame, cell) };
            if same_run { ExitStatus::Resume } else { ExitStatus::Unwind }
        }
        Place::Native { pc, sp, number } => {
            if !target.with_slots {
                slots.clear();
            }
            slots.push(reference);
            vm.thrown = slots.as_ptr();
            vm.unwind_pc = pc;
            vm.unwind_sp = sp;
            vm.unwind_fp = target.frame.fp.cast();
            vm.unwind_value = u64::from(number);
            ExitStatus::Unwind
        }
    };
    // The slots stay where native code reads them, and the room for the next exception.
    // SAFETY: as above.
    unsafe { (*header).in_flight = InFlight { tag: None, slots, reference: 0 } };
    Ok(Some(status))
}

/// The innermost clause that catches an exception of this tag.
///
/// # Safety
///
/// The store's guest has stopped in a builtin.
unsafe fn find(store: &StoreOpaque, tag: NonNull<TagRecord>) -> Option<Target> {
    let mut target = None;
    let record_slot = Cell::new(None);
    let visit = |frame: &RawFrame| {
        // SAFETY: the frame is alive, and its context is an instance's.
        let (found, slot) = unsafe { clause_of(frame, tag) };
        record_slot.set(slot);
        target = found;
        if target.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    // SAFETY: the store is alive, and so are its frames while it is stopped; the slot is what the frame's bytecode says.
    unsafe { crescendo_interp::walk_run(store.vm().as_ptr(), |_| record_slot.take(), visit) };
    target
}

/// What catches an exception in a frame, and in which slot the record of an interpreted frame starts.
///
/// # Safety
///
/// The frame is alive, and its context is an instance's.
unsafe fn clause_of(frame: &RawFrame, tag: NonNull<TagRecord>) -> (Option<Target>, Option<u32>) {
    if frame.is_native() {
        // SAFETY: the caller's promise.
        return (unsafe { native_clause_of(frame, tag) }, None);
    }
    // SAFETY: the caller's promise.
    let instance = unsafe { InstanceData::of_live_context(frame.context) };
    let Some((_, bytecode)) = instance.module().code().find(instance.variant(), frame.ip) else {
        return (None, None);
    };
    let mut clauses = bytecode.clauses_at(frame.ip);
    let found = clauses.find(|clause| takes(instance, clause.tag, tag)).map(|clause| Target {
        frame: *frame,
        place: Place::Interpreted {
            cell: bytecode.clause_cell(clause),
            slot: clause.slot,
            ref_slot: clause.ref_slot,
        },
        with_slots: clause.tag.is_some(),
        with_ref: clause.ref_slot.is_some(),
    });
    (found, Some(bytecode.record_slot()))
}

/// As [`clause_of`], for native frames.
///
/// # Safety
///
/// The frame is alive.
unsafe fn native_clause_of(frame: &RawFrame, tag: NonNull<TagRecord>) -> Option<Target> {
    let landing = crescendo_code::native_landing_at(frame.ip.wrapping_add(1))?;
    let sp = frame.fp.cast::<u8>().wrapping_sub(landing.frame_bytes as usize);
    let context = sp.wrapping_add(landing.context_at as usize).cast::<*mut VmContext>();
    // SAFETY: the compiler says that the frame holds the running context there.
    let context = unsafe { context.read() };
    // SAFETY: native functions run in contexts of instances.
    let instance = unsafe { InstanceData::of_live_context(context) };
    let clause = landing.clauses().find(|clause| takes(instance, clause.tag, tag))?;
    Some(Target {
        frame: *frame,
        place: Place::Native { pc: landing.pc, sp, number: clause.number },
        with_slots: clause.tag.is_some(),
        with_ref: clause.with_ref,
    })
}

/// Whether a clause of an instance's function takes exceptions of a tag.
fn takes(instance: &InstanceData, clause: Option<u32>, tag: NonNull<TagRecord>) -> bool {
    clause.is_none_or(|index| instance.tag(TagIdx::new(index)) == tag)
}

/// The error for an exception that nothing in a run catches; it is pending in the store from now on.
///
/// # Safety
///
/// As for [`throw`].
pub(crate) unsafe fn uncaught(header: NonNull<StoreHeader>, store: &StoreOpaque) -> Error {
    // SAFETY: the header is alive (the caller's promise).
    let InFlight { tag, slots, .. } = std::mem::take(unsafe { &mut (*header.as_ptr()).in_flight });
    let Some(record) = tag else { return crate::error::bug!("there is no exception to throw") };
    // SAFETY: the tag of an exception of the store is the store's.
    let tag = unsafe { Tag::from_record(store.id(), record) };
    // SAFETY: an exception's slots have its tag's types.
    let fields = unsafe { crate::exn_ref::fields_of(store, tag, &slots) };
    // SAFETY: as above.
    unsafe { (*header.as_ptr()).pending = Some((record, slots)) };
    match fields {
        Ok(fields) => Error::host(ThrownException::new(tag, fields)),
        Err(error) => error,
    }
}

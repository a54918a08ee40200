//! Whether a fault is a guest's trap, and what follows if it is.
//!
//! Called by the signal handler with the machine's state, already read out by `sys`; what it answers, `sys` writes back.
//! Everything here is async-signal-safe: no locks, no allocation, no panics, no system calls.

use crate::guards::is_guarded;
use crate::native::native_trap_at;
use crate::text::{find_row, native_landing};
use crate::thread::running_store;
use std::ptr::with_exposed_provenance_mut;

use crescendo_abi::{ExitStatus, TrapCode, VmContext, VmMemory, VmStoreContext};

/// Faults below this address are accesses through a null record: no field lies further from its start.
const NULL_REGION: usize = 4096 * 16;

/// What the processor refused to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// An access to an address that is not mapped, or not for this access.
    Access {
        /// The address.
        address: usize,
    },
    /// An instruction that does not exist: how generated code traps explicitly.
    Illegal,
    /// An integer division by zero, or one whose quotient does not fit.
    Divide,
}

/// The registers of the interrupted code, by their meaning in [`crescendo_abi::regs`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) pc: usize,
    pub(crate) ip: *const u8,
    pub(crate) fp: *mut u64,
    pub(crate) context: *mut VmContext,
    /// The frame pointer of native code.
    pub(crate) frame_pointer: *mut u64,
    pub(crate) sp: usize,
}

/// Where the interrupted thread goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landing {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    /// The first two arguments, for landings that take any.
    pub(crate) arguments: Option<[usize; 2]>,
}

/// Bytes below the stack pointer that are left alone: nothing that Cranelift makes uses them, but a debugger might.
const RED_ZONE: usize = 128;

/// Records the trap in the store if the fault is one, and tells where to go on. `None` leaves everything as it was.
///
/// # Safety
///
/// `registers` must be what the faulting thread's registers held. Whoever registered the region vouches for the rest, see
/// [`crate::register_text`].
pub(crate) unsafe fn catch(fault: Fault, registers: &Registers) -> Option<Landing> {
    let Some((region, row)) = find_row(registers.pc) else {
        return catch_native(fault, registers);
    };
    // SAFETY: the pc has a row, so the context is alive (promise of `register_text`).
    if !unsafe { explains(fault, row.code, registers.context) } {
        return None;
    }
    // SAFETY: as above.
    let store: *mut VmStoreContext = unsafe { (*registers.context).store };
    // SAFETY: a live context's store is alive, and the thread that runs its guest is the one that is interrupted here.
    let store = unsafe { &mut *store };
    store.exit_ip = registers.ip;
    store.exit_fp = registers.fp;
    store.exit_context = registers.context;
    store.trap_code = u32::from(row.code);
    store.exit_micro_op = u32::from(row.micro_op);
    if std::ptr::eq(store.transitions, store.base_transition) {
        // All frames are on the value stack: the native one need not even be usable.
        return Some(Landing { pc: region.landing.addr(), sp: store.entry_sp.addr(), arguments: None });
    }
    land_on_frames(region.native_landing, store, registers)
}

/// As [`catch`], for native code, which has no context in a register: the thread knows whose guest it runs.
fn catch_native(fault: Fault, registers: &Registers) -> Option<Landing> {
    let code = native_trap_at(registers.pc)?;
    let explained = match (fault, code) {
        (Fault::Illegal, _) => true,
        (Fault::Divide, TrapCode::IntegerDivisionByZero | TrapCode::IntegerOverflow) => true,
        (Fault::Access { address }, TrapCode::MemoryOutOfBounds) => is_guarded(address),
        (Fault::Access { address }, code) => is_null_access(code) && address < NULL_REGION,
        _ => false,
    };
    if !explained {
        return None;
    }
    // SAFETY: native code runs only under a run that named its store, which lives and is used by this thread alone.
    let store = unsafe { running_store().as_mut() }?;
    let (pc, frame) = match code {
        // A prologue found no room for its frame: the call stops, as in the interpreter, not the function that was called.
        TrapCode::StackOverflow => {
            // SAFETY: a prologue checks after it has pushed the frame pointer, and set the new one.
            let caller = unsafe { registers.frame_pointer.read() } as usize;
            // SAFETY: as above; the return address lies behind it.
            let return_address = unsafe { registers.frame_pointer.wrapping_add(1).read() } as usize;
            (return_address - 1, with_exposed_provenance_mut(caller))
        }
        _ => (registers.pc, registers.frame_pointer),
    };
    store.exit_ip = std::ptr::with_exposed_provenance(pc);
    store.exit_fp = frame;
    store.exit_context = std::ptr::null_mut();
    store.trap_code = code as u32;
    store.exit_micro_op = 0;
    land_on_frames(native_landing()?, store, registers)
}

/// Goes on above the frames of native code, which are looked at before they are given up.
fn land_on_frames(landing: *const u8, store: *mut VmStoreContext, registers: &Registers) -> Option<Landing> {
    let arguments = Some([store.expose_provenance(), ExitStatus::Trap as usize]);
    Some(Landing { pc: landing.addr(), sp: registers.sp - RED_ZONE, arguments })
}

/// Whether a trap with this code can show itself as this fault. Anything else at the same pc is a defect of the process, and
/// hiding it as a trap would let it run on.
///
/// # Safety
///
/// The context must be alive.
unsafe fn explains(fault: Fault, code: u8, context: *const VmContext) -> bool {
    match (fault, TrapCode::from_u8(code)) {
        (Fault::Illegal, Some(_)) => true,
        (Fault::Divide, Some(TrapCode::IntegerDivisionByZero | TrapCode::IntegerOverflow)) => true,
        (Fault::Access { address }, Some(TrapCode::MemoryOutOfBounds)) => {
            // SAFETY: the caller's promise.
            unsafe { in_guarded_memory(context, address) }
        }
        (Fault::Access { address }, Some(code)) => is_null_access(code) && address < NULL_REGION,
        _ => false,
    }
}

/// Whether an access through a null record can be this trap.
fn is_null_access(code: TrapCode) -> bool {
    matches!(code, TrapCode::NullReference | TrapCode::NullFunctionReference | TrapCode::UninitializedElement)
}

/// Whether `address` lies where a fault means that the guest left one of the context's memories.
///
/// # Safety
///
/// The context must be alive.
unsafe fn in_guarded_memory(context: *const VmContext, address: usize) -> bool {
    // SAFETY: the caller's promise.
    let count = unsafe { (*context).memory_count };
    let memories = context.wrapping_byte_add(VmContext::MEMORIES as usize).cast::<*const VmMemory>();
    (0..count as usize).any(|index| {
        // SAFETY: a context has `memory_count` pointers at this offset (contract of `VmContext`).
        let memory = unsafe { memories.wrapping_add(index).read() };
        // SAFETY: a context's memories live as long as its store.
        let base = unsafe { (*memory).base };
        // SAFETY: as above.
        let guarded_len = unsafe { (*memory).guarded_len };
        (address.wrapping_sub(base.addr()) as u64) < guarded_len
    })
}

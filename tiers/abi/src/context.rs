//! The `repr(C)` layouts of instances, stores, functions, memories, tables and globals.
//!
//! Owners live in the crate `crescendo`; generated code reads and writes the fields by the offsets that the constants here
//! give. All pointers stay valid while the owning store lives: a store frees nothing before it is dropped.

use crate::{TrapCode, VmBuiltins};
use core::ptr;
use core::sync::atomic::AtomicU64;

macro_rules! offsets {
    ($type:ident { $($name:ident: $field:ident = $offset:literal;)* }) => {
        impl $type {
            $(#[doc = concat!("Byte offset of `", stringify!($field), "`.")] pub const $name: i32 = $offset;)*
        }
        const _: () = { $(assert!(core::mem::offset_of!($type, $field) == $offset);)* };
    };
}

/// Whether the code of an instance runs on memories with guard regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// All memories have guard regions and faults are traps: accesses and divisions are not checked.
    Guarded,
    /// Every access and division is checked; works with any memory and without signal handlers.
    Checked,
}

/// How a run of wasm ended, as generated code and builtins report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ExitStatus {
    /// The called function returned; its results are in its frame's first slots.
    Return = 0,
    /// The guest trapped; the code is in [`VmStoreContext::trap_code`].
    Trap = 1,
    /// A builtin or host function failed; what it failed with waits in the store.
    HostError = 2,
    /// The base frame of a run that native code started tail-calls native code: see [`VmStoreContext::tail_record`].
    TailCall = 3,
    /// A builtin that handlers called has thrown an exception, and the running run of handlers catches it: whoever started
    /// the run goes on in it at [`VmStoreContext::resume_ip`].
    Resume = 4,
    /// As `Resume`, but native code catches it, or handlers further out: whoever sees it gives up the native stack down to
    /// [`VmStoreContext::unwind_sp`].
    Unwind = 5,
}

/// An instance as generated code sees it: this header, then the variable parts that [`crate::VmOffsets`] places.
#[repr(C)]
pub struct VmContext {
    /// The store that the instance belongs to.
    pub store: *mut VmStoreContext,
    /// The engine's builtins.
    pub builtins: *const VmBuiltins,
    /// The Rust side of the instance, opaque to generated code.
    pub instance: *mut (),
    /// Number of entries in the memories array; at least 1, since an instance without memories has a dummy of size 0.
    pub memory_count: u64,
    /// Address of byte 0 of memory 0 when the context was made. In guarded instances memories never move, and compiled code
    /// relies on it; in others it means nothing.
    pub memory_base: *mut u8,
}
offsets!(VmContext {
    STORE: store = 0;
    BUILTINS: builtins = 8;
    INSTANCE: instance = 16;
    MEMORY_COUNT: memory_count = 24;
    MEMORY_BASE: memory_base = 32;
});

impl VmContext {
    /// Byte offset of the array of pointers to memories, right behind the header.
    pub const MEMORIES: i32 = 40;
}
const _: () = assert!(size_of::<VmContext>() == VmContext::MEMORIES as usize);

/// What stands in the context register while a host function is called: the context of its entry record.
#[repr(C)]
pub struct VmHostContext {
    /// The store that the function belongs to; at the same offset as in [`VmContext`].
    pub store: *mut VmStoreContext,
    /// The engine's builtins; at the same offset as in [`VmContext`].
    pub builtins: *const VmBuiltins,
    /// The Rust side of the host function, opaque to generated code.
    pub function: *mut (),
    /// Calls the host function.
    pub call: HostFn,
    /// What `call` calls, opaque to generated code.
    pub callback: *const (),
}
offsets!(VmHostContext {
    STORE: store = 0;
    BUILTINS: builtins = 8;
    FUNCTION: function = 16;
    CALL: call = 24;
    CALLBACK: callback = 32;
});

/// The signature of [`VmHostContext::call`]: its context and max(parameters, results) slots. The caller is
/// [`VmStoreContext::native_caller`]. Never unwinds.
pub type HostFn = unsafe extern "C" fn(context: *mut VmHostContext, slots: *mut u64) -> HostOutcome;

/// How a call of a host function ended: two registers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HostOutcome {
    /// An [`ExitStatus`] number. When it is [`ExitStatus::HostError`], [`crate::Builtin::HostFailed`] says how the run goes on.
    pub status: u64,
    /// The function's context after a failure, so that callers need not keep it.
    pub context: *mut VmHostContext,
}

/// The part of a store that generated code sees: the running activation's limits, the fuel, where the guest stopped.
#[repr(C)]
pub struct VmStoreContext {
    /// One past the last byte of the value stack that a frame may use.
    pub value_stack_limit: *mut u8,
    /// Fuel left, in units of operator weights. Out of fuel when a charge exceeds it. `i64::MAX` at most.
    pub fuel: u64,
    /// Where the guest stopped: inside the cell that trapped or called out (ip of the cell, or return address - 1); in native
    /// code the address of the instruction that trapped, or the return address of the call less one.
    pub exit_ip: *const u8,
    /// The frame that stopped; in native code its frame pointer.
    pub exit_fp: *mut u64,
    /// The context that stopped; null when native code stopped.
    pub exit_context: *mut VmContext,
    /// Native stack pointer of the innermost run of wasm: a trap lands there.
    pub entry_sp: *mut u8,
    /// The innermost crossing from the host into wasm.
    pub transitions: *mut VmTransition,
    /// Number of a [`TrapCode`], 0 for none.
    pub trap_code: u32,
    /// Which of the stopped cell's micro-operators trapped, from 0.
    pub exit_micro_op: u32,
    /// Lowest native stack address at which the host may still enter wasm, and that a native frame may reach down to.
    pub native_stack_limit: *mut u8,
    /// The first slot of the value stack that no frame uses while native code or the host runs.
    pub value_top: *mut u64,
    /// The context that last made a call which may leave its instance, from native code or to the host.
    pub native_caller: *mut VmContext,
    /// Thunks through which native code calls functions that are not compiled, by canonical type id.
    pub interpreter_thunks: *const *const u8,
    /// Thunks through which native code calls host functions, by canonical type id.
    pub host_thunks: *const *const u8,
    /// After [`ExitStatus::TailCall`]: the entry record of the function that is tail-called.
    pub tail_record: *const VmFuncRef,
    /// After a tail call of a run's base frame: the thunk that takes the arguments from slots.
    pub tail_entry: *const u8,
    /// After a tail call of code that took over an interpreted frame: the first argument.
    pub tail_args: *mut u64,
    /// After a tail call of code that took over an interpreted frame: the number of arguments' slots.
    pub tail_count: u64,
    /// The engine's epoch.
    pub epoch: *const AtomicU64,
    /// The guest is interrupted when the epoch reaches this.
    pub epoch_deadline: u64,
    /// The crossing from the host that started the innermost run; null when that is the outermost and the host has entered native code
    /// directly.
    pub base_transition: *mut VmTransition,
    /// After [`ExitStatus::Resume`]: the cell that goes on.
    pub resume_ip: *const u8,
    /// After [`ExitStatus::Resume`]: its frame.
    pub resume_fp: *mut u64,
    /// After [`ExitStatus::Resume`]: its context.
    pub resume_context: *mut VmContext,
    /// After [`ExitStatus::Unwind`]: the native stack pointer at the place that goes on.
    pub unwind_sp: *mut u8,
    /// After [`ExitStatus::Unwind`]: the frame pointer there.
    pub unwind_fp: *mut u8,
    /// After [`ExitStatus::Unwind`]: the place.
    pub unwind_pc: *const u8,
    /// After [`ExitStatus::Unwind`]: what the place finds in the register of a C result. [`ExitStatus::Resume`] where handlers
    /// go on, the number of the clause in native code.
    pub unwind_value: u64,
    /// While an exception is on its way to native code: the slots of what it carries, then its reference if the clause takes one.
    pub thrown: *const u64,
    /// Looks at the frames of a run before those on the native stack are given up. Never unwinds.
    pub capture: CaptureFn,
    /// Thunks through which the host calls native code, by canonical type id.
    pub entry_thunks: *const *const u8,
}

/// The signature of [`VmStoreContext::capture`].
pub type CaptureFn = unsafe extern "C" fn(store: *mut VmStoreContext);

extern "C" fn capture_nothing(_store: *mut VmStoreContext) {}
offsets!(VmStoreContext {
    VALUE_STACK_LIMIT: value_stack_limit = 0;
    FUEL: fuel = 8;
    EXIT_IP: exit_ip = 16;
    EXIT_FP: exit_fp = 24;
    EXIT_CONTEXT: exit_context = 32;
    ENTRY_SP: entry_sp = 40;
    TRANSITIONS: transitions = 48;
    TRAP_CODE: trap_code = 56;
    EXIT_MICRO_OP: exit_micro_op = 60;
    NATIVE_STACK_LIMIT: native_stack_limit = 64;
    VALUE_TOP: value_top = 72;
    NATIVE_CALLER: native_caller = 80;
    INTERPRETER_THUNKS: interpreter_thunks = 88;
    HOST_THUNKS: host_thunks = 96;
    TAIL_RECORD: tail_record = 104;
    TAIL_ENTRY: tail_entry = 112;
    TAIL_ARGS: tail_args = 120;
    TAIL_COUNT: tail_count = 128;
    EPOCH: epoch = 136;
    EPOCH_DEADLINE: epoch_deadline = 144;
    BASE_TRANSITION: base_transition = 152;
    RESUME_IP: resume_ip = 160;
    RESUME_FP: resume_fp = 168;
    RESUME_CONTEXT: resume_context = 176;
    UNWIND_SP: unwind_sp = 184;
    UNWIND_FP: unwind_fp = 192;
    UNWIND_PC: unwind_pc = 200;
    UNWIND_VALUE: unwind_value = 208;
    THROWN: thrown = 216;
    CAPTURE: capture = 224;
    ENTRY_THUNKS: entry_thunks = 232;
});

impl VmStoreContext {
    /// A store context without stacks and fuel, in which nothing has run.
    pub const fn new() -> VmStoreContext {
        VmStoreContext {
            value_stack_limit: ptr::null_mut(),
            fuel: 0,
            exit_ip: ptr::null(),
            exit_fp: ptr::null_mut(),
            exit_context: ptr::null_mut(),
            entry_sp: ptr::null_mut(),
            transitions: ptr::null_mut(),
            trap_code: 0,
            exit_micro_op: 0,
            native_stack_limit: ptr::null_mut(),
            value_top: ptr::null_mut(),
            native_caller: ptr::null_mut(),
            interpreter_thunks: ptr::null(),
            host_thunks: ptr::null(),
            tail_record: ptr::null(),
            tail_entry: ptr::null(),
            tail_args: ptr::null_mut(),
            tail_count: 0,
            epoch: ptr::null(),
            epoch_deadline: 0,
            base_transition: ptr::null_mut(),
            resume_ip: ptr::null(),
            resume_fp: ptr::null_mut(),
            resume_context: ptr::null_mut(),
            unwind_sp: ptr::null_mut(),
            unwind_fp: ptr::null_mut(),
            unwind_pc: ptr::null(),
            unwind_value: 0,
            thrown: ptr::null(),
            capture: capture_nothing,
            entry_thunks: ptr::null(),
        }
    }

    /// The code of the trap that the last run ended with.
    pub fn trap(&self) -> Option<TrapCode> {
        TrapCode::from_u8(self.trap_code as u8)
    }
}

impl Default for VmStoreContext {
    fn default() -> VmStoreContext {
        VmStoreContext::new()
    }
}

/// One crossing from the host into wasm or between interpreted and native code, on the native stack; the chain starts at
/// [`VmStoreContext::transitions`].
///
/// It keeps what the crossing covers up: the outer side's exit state, which is where a walker goes on when it has reached
/// the base frame of the inner side.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VmTransition {
    /// The crossing before this one, null at the first.
    pub prev: *mut VmTransition,
    /// Exit state of the outer side: inside the cell, or inside the native call instruction.
    pub outer_exit_ip: *const u8,
    /// Exit state of the outer side: its frame. Without a crossing before this one the exit state says nothing.
    pub outer_exit_fp: *mut u64,
    /// Exit state of the outer side; null when that is native code.
    pub outer_exit_context: *mut VmContext,
    /// [`VmStoreContext::value_top`] on the outer side.
    pub outer_value_top: *mut u64,
    /// Where native code has started handlers: the native stack pointer when it called the first one. The return address is
    /// right below as long as they run. Where the host has called: a native stack pointer above all that wasm uses. Unspecified
    /// elsewhere.
    pub run_sp: *mut u8,
    /// Where native code has started handlers: its frame pointer. Unspecified elsewhere.
    pub run_fp: *mut u8,
}
offsets!(VmTransition {
    PREV: prev = 0;
    EXIT_IP: outer_exit_ip = 8;
    EXIT_FP: outer_exit_fp = 16;
    EXIT_CONTEXT: outer_exit_context = 24;
    VALUE_TOP: outer_value_top = 32;
    RUN_SP: run_sp = 40;
    RUN_FP: run_fp = 48;
});

impl VmTransition {
    /// Bytes of a transition.
    pub const SIZE: u32 = 56;
}
const _: () = assert!(size_of::<VmTransition>() == VmTransition::SIZE as usize);

/// The entry record of a function. A `funcref` is a pointer to one, null for the null reference.
#[derive(Debug)]
#[repr(C)]
pub struct VmFuncRef {
    /// The interpreter's entry cell: first "translate me", later the function's bytecode, or a host function's cell.
    pub entry: *const u8,
    /// The context that the function runs in; a [`VmHostContext`] for host functions.
    pub context: *mut VmContext,
    /// The canonical id of the function's type.
    pub type_id: u32,
    /// The function's index in its module, `u32::MAX` for a host function.
    pub func_index: u32,
    /// The native entry, with arguments in registers: the function's machine code, or a stub that jumps to the thunk for the
    /// function's type.
    pub native: *const u8,
}
offsets!(VmFuncRef {
    ENTRY: entry = 0;
    CONTEXT: context = 8;
    TYPE_ID: type_id = 16;
    FUNC_INDEX: func_index = 20;
    NATIVE: native = 24;
});

impl VmFuncRef {
    /// Bytes of a record.
    pub const SIZE: u32 = 32;
}
const _: () = assert!(size_of::<VmFuncRef>() == VmFuncRef::SIZE as usize);

/// A linear memory.
#[derive(Debug)]
#[repr(C)]
pub struct VmMemory {
    /// Address of byte 0.
    pub base: *mut u8,
    /// Bytes that the guest may access.
    pub len: u64,
    /// Bytes of address space, from `base` on, in which a fault is an out-of-bounds access of the guest; 0 when the memory
    /// has no guard region and every access must be checked.
    pub guarded_len: u64,
}
offsets!(VmMemory { BASE: base = 0; LEN: len = 8; GUARDED_LEN: guarded_len = 16; });

/// A table. An element is a `*const VmFuncRef` or, zero-extended, the index of an external reference; 0 is null.
#[derive(Debug)]
#[repr(C)]
pub struct VmTable {
    /// Address of element 0.
    pub base: *mut u64,
    /// Number of elements.
    pub len: u64,
}
offsets!(VmTable { BASE: base = 0; LEN: len = 8; });

/// A global's value: one slot, or two for a `v128`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
pub struct VmGlobal {
    /// The value's slots.
    pub slots: [u64; 2],
}

impl VmGlobal {
    /// Bytes of a global.
    pub const SIZE: u32 = 16;
}

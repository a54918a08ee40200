//! Entering and leaving the handlers.
//!
//! Owns the trampolines between Rust, handlers and native code and the cells that belong to no function. The
//! trampoline saves every callee-saved register, so that handlers need save none; a trap lands in it.

use crate::micro::MicroOp;
use crate::micro::Root;
use crate::table::Handler;
use crescendo_abi::{
    Builtin, ExitStatus, VmContext, VmFuncRef, VmHostContext, VmMemory, VmStoreContext, VmTransition,
};
use crescendo_code::{TextRegion, TrapRow};
use std::arch::global_asm;
use std::mem::offset_of;
use std::sync::OnceLock;

/// What the trampoline loads into registers.
#[repr(C)]
struct Entry {
    handler: u64,
    ip: *const u8,
    fp: *mut u64,
    memory: *mut u8,
    record: *const VmFuncRef,
    return_ip: *const u8,
    context: *mut VmContext,
    store: *mut VmStoreContext,
}

#[cfg(target_arch = "x86_64")]
global_asm!(
    // A frame from which handlers are called: all registers that the C convention preserves, and the store's place.
    ".macro crescendo_push_frame",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    ".endm",
    ".macro crescendo_pop_frame",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    ".endm",
    // An exception was caught in the run of this frame: the handlers go on elsewhere in it.
    ".macro crescendo_resume",
    "lea rbp, [rsp + {saved}]",
    "mov r10, [rsp]",
    "mov rdi, [r10 + {resume_ip}]",
    "mov rsi, [r10 + {resume_fp}]",
    "mov r15, [r10 + {resume_context}]",
    "mov rdx, [r15 + {memories}]",
    "mov rdx, [rdx + {base}]",
    "xor ecx, ecx",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "call [rdi]",
    ".endm",
    ".pushsection .text.crescendo_handlers, \"ax\", @progbits",
    ".balign 64",
    ".hidden crescendo_handlers_start",
    ".globl crescendo_handlers_start",
    "crescendo_handlers_start:",
    concat!(".incbin \"", env!("OUT_DIR"), "/handlers.bin\""),
    ".balign 16, 0xcc",
    ".hidden crescendo_enter",
    ".globl crescendo_enter",
    ".type crescendo_enter, @function",
    "crescendo_enter:",
    "crescendo_push_frame",
    "mov rax, [rdi + {handler}]",
    "mov rsi, [rdi + {fp}]",
    "mov rdx, [rdi + {memory}]",
    "mov rcx, [rdi + {record}]",
    "mov r8, [rdi + {return_ip}]",
    "mov r15, [rdi + {context}]",
    "mov r10, [rdi + {store}]",
    "mov rdi, [rdi + {ip}]",
    "xor r9d, r9d",
    "mov [rsp], r10",
    "mov [r10 + {entry_sp}], rsp",
    "call rax",
    "2:",
    "cmp eax, {resume}",
    "je 4f",
    "crescendo_pop_frame",
    "ret",
    ".hidden crescendo_landing",
    ".globl crescendo_landing",
    "crescendo_landing:",
    "mov eax, {trap}",
    "jmp 2b",
    "4:",
    "crescendo_resume",
    "jmp 2b",
    ".size crescendo_enter, . - crescendo_enter",
    // From native code; see `native`.
    ".hidden crescendo_native_stub",
    ".globl crescendo_native_stub",
    "crescendo_native_stub:",
    "mov rax, [rsi + {context_store}]",
    "mov rax, [rax + {interpreter_thunks}]",
    "mov r10d, [rdi + {type_id}]",
    "jmp [rax + r10*8]",
    ".hidden crescendo_native_host_stub",
    ".globl crescendo_native_host_stub",
    "crescendo_native_host_stub:",
    "mov rax, [rsi + {context_store}]",
    "mov rax, [rax + {host_thunks}]",
    "mov r10d, [rdi + {type_id}]",
    "mov rax, [rax + r10*8]",
    // The next call goes there. Records of host functions are their store's, and the thunk lives as long as the engine.
    "mov [rdi + {native}], rax",
    "jmp rax",
    ".hidden crescendo_native_interpret",
    ".globl crescendo_native_interpret",
    "crescendo_native_interpret:",
    "crescendo_push_frame",
    "mov r15, rsi",
    "mov r10, [rsi + {context_store}]",
    "mov [rsp], r10",
    "mov r11, [r10 + {transitions}]",
    "mov [r11 + {run_sp}], rsp",
    "mov [r11 + {run_fp}], rbp",
    "mov rsi, rdx",
    "mov r8, rcx",
    "mov rcx, rdi",
    "mov rdi, [rdi + {record_entry}]",
    "mov rdx, [r15 + {memories}]",
    "mov rdx, [rdx + {base}]",
    "xor r9d, r9d",
    "call [rdi]",
    "6:",
    "cmp eax, {tail_call}",
    "je 7f",
    "test eax, eax",
    "jnz 8f",
    "7:",
    "and eax, 1",
    "crescendo_pop_frame",
    "ret",
    "8:",
    "cmp eax, {resume}",
    "je 9f",
    "mov rdi, [rsp]",
    "mov rsi, rax",
    "jmp 5f",
    "9:",
    "crescendo_resume",
    "jmp 6b",
    ".hidden crescendo_native_host_failed",
    ".globl crescendo_native_host_failed",
    "crescendo_native_host_failed:",
    "push rdi",
    "mov rax, [rdi + {host_builtins}]",
    "xor esi, esi",
    "xor edx, edx",
    "xor ecx, ecx",
    "call [rax + {host_failed}]",
    "pop rdi",
    "mov rsi, rax",
    "jmp crescendo_native_leave",
    ".hidden crescendo_native_builtin",
    ".globl crescendo_native_builtin",
    "crescendo_native_builtin:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "sub rsp, 8",
    "mov rbx, rdi",
    "mov rax, [rdi + {context_store}]",
    "mov r10, [rbp + 8]",
    "dec r10",
    "mov [rax + {exit_ip}], r10",
    "mov r10, [rbp]",
    "mov [rax + {exit_fp}], r10",
    "mov qword ptr [rax + {exit_context}], 0",
    "call r8",
    "test rax, rax",
    "jnz 3f",
    "add rsp, 8",
    "pop rbx",
    "pop rbp",
    "ret",
    "3:",
    "mov rdi, rbx",
    "mov rsi, rax",
    // Context and status in rdi and rsi.
    "crescendo_native_leave:",
    "mov rdi, [rdi + {context_store}]",
    "5:",
    "cmp rsi, {resume}",
    "jae 20f",
    // Store and status in rdi and rsi; the frames are still there. Also where signals of native code land.
    ".hidden crescendo_native_landing",
    ".globl crescendo_native_landing",
    "crescendo_native_landing:",
    "mov rbx, rdi",
    "mov r12, rsi",
    "and rsp, -16",
    "call [rdi + {capture}]",
    "mov rsp, [rbx + {entry_sp}]",
    "mov rax, r12",
    // Whoever called handlers or native code goes on behind its call, whose return address is still there.
    "jmp [rsp - 8]",
    // An exception was caught further out in this run: `unwind_sp` and the fields behind it say where.
    "20:",
    "mov rsp, [rdi + {unwind_sp}]",
    "mov rbp, [rdi + {unwind_fp}]",
    "mov rax, [rdi + {unwind_value}]",
    "jmp [rdi + {unwind_pc}]",
    ".hidden crescendo_native_trap",
    ".globl crescendo_native_trap",
    "crescendo_native_trap:",
    "mov rax, [rdi + {context_store}]",
    "mov r10, [rsp]",
    "dec r10",
    "mov [rax + {exit_ip}], r10",
    "mov [rax + {exit_fp}], rbp",
    "mov qword ptr [rax + {exit_context}], 0",
    "mov [rax + {trap_code}], esi",
    "mov esi, {trap}",
    "jmp crescendo_native_leave",
    ".popsection",
    context_store = const VmContext::STORE,
    interpreter_thunks = const VmStoreContext::INTERPRETER_THUNKS,
    host_thunks = const VmStoreContext::HOST_THUNKS,
    type_id = const VmFuncRef::TYPE_ID,
    native = const VmFuncRef::NATIVE,
    exit_ip = const VmStoreContext::EXIT_IP,
    exit_fp = const VmStoreContext::EXIT_FP,
    exit_context = const VmStoreContext::EXIT_CONTEXT,
    trap_code = const VmStoreContext::TRAP_CODE,
    capture = const VmStoreContext::CAPTURE,
    handler = const offset_of!(Entry, handler),
    ip = const offset_of!(Entry, ip),
    fp = const offset_of!(Entry, fp),
    memory = const offset_of!(Entry, memory),
    record = const offset_of!(Entry, record),
    return_ip = const offset_of!(Entry, return_ip),
    context = const offset_of!(Entry, context),
    store = const offset_of!(Entry, store),
    entry_sp = const VmStoreContext::ENTRY_SP,
    trap = const ExitStatus::Trap as u32,
    tail_call = const ExitStatus::TailCall as u32,
    resume = const ExitStatus::Resume as u32,
    transitions = const VmStoreContext::TRANSITIONS,
    run_sp = const VmTransition::RUN_SP,
    run_fp = const VmTransition::RUN_FP,
    record_entry = const VmFuncRef::ENTRY,
    host_builtins = const VmHostContext::BUILTINS,
    host_failed = const Builtin::HostFailed as i32 * 8,
    // `rbp` and what follows it.
    saved = const ENTRY_FRAME,
    resume_ip = const VmStoreContext::RESUME_IP,
    resume_fp = const VmStoreContext::RESUME_FP,
    resume_context = const VmStoreContext::RESUME_CONTEXT,
    memories = const VmContext::MEMORIES,
    base = const VmMemory::BASE,
    unwind_sp = const VmStoreContext::UNWIND_SP,
    unwind_fp = const VmStoreContext::UNWIND_FP,
    unwind_value = const VmStoreContext::UNWIND_VALUE,
    unwind_pc = const VmStoreContext::UNWIND_PC,
);
const _: () = assert!(ExitStatus::Unwind as u64 > ExitStatus::Resume as u64);
// What a run that native code started answers it.
const _: () = assert!(ExitStatus::TailCall as u64 & 1 == 1 && ExitStatus::Return as u64 == 0);
const _: () = assert!(VmHostContext::STORE == VmContext::STORE);

/// Bytes from where the trampoline calls handlers to its frame pointer.
#[cfg(target_arch = "x86_64")]
const ENTRY_FRAME: usize = 48;
/// Bytes from where the trampoline calls handlers to its frame pointer.
#[cfg(not(target_arch = "x86_64"))]
const ENTRY_FRAME: usize = 0;

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .text.crescendo_handlers, \"ax\", @progbits",
    ".balign 64",
    ".hidden crescendo_handlers_start",
    ".globl crescendo_handlers_start",
    "crescendo_handlers_start:",
    concat!(".incbin \"", env!("OUT_DIR"), "/handlers.bin\""),
    ".balign 16",
    ".hidden crescendo_enter",
    ".globl crescendo_enter",
    ".type crescendo_enter, @function",
    "crescendo_enter:",
    "stp x29, x30, [sp, #-176]!",
    "mov x29, sp",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    "mov x9, x0",
    "ldr x8, [x9, #{handler}]",
    "ldr x2, [x9, #{ip}]",
    "ldr x3, [x9, #{fp}]",
    "ldr x4, [x9, #{memory}]",
    "ldr x5, [x9, #{record}]",
    "ldr x6, [x9, #{return_ip}]",
    "mov x7, xzr",
    "ldr x21, [x9, #{context}]",
    "ldr x10, [x9, #{store}]",
    "str x10, [sp, #160]",
    "mov x11, sp",
    "str x11, [x10, #{entry_sp}]",
    "blr x8",
    "2:",
    "cmp x0, #{resume}",
    "b.eq 4f",
    "ldp x19, x20, [sp, #16]",
    "ldp x21, x22, [sp, #32]",
    "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",
    "ldp x27, x28, [sp, #80]",
    "ldp d8, d9, [sp, #96]",
    "ldp d10, d11, [sp, #112]",
    "ldp d12, d13, [sp, #128]",
    "ldp d14, d15, [sp, #144]",
    "ldp x29, x30, [sp], #176",
    "ret",
    ".hidden crescendo_landing",
    ".globl crescendo_landing",
    "crescendo_landing:",
    "mov x0, #{trap}",
    "b 2b",
    // An exception was caught in this run: the handlers go on elsewhere in it.
    "4:",
    "mov x29, sp",
    "ldr x10, [sp, #160]",
    "ldr x2, [x10, #{resume_ip}]",
    "ldr x3, [x10, #{resume_fp}]",
    "ldr x21, [x10, #{resume_context}]",
    "ldr x4, [x21, #{memories}]",
    "ldr x4, [x4, #{base}]",
    "mov x5, xzr",
    "mov x6, xzr",
    "mov x7, xzr",
    "ldr x8, [x2]",
    "blr x8",
    "b 2b",
    ".size crescendo_enter, . - crescendo_enter",
    ".popsection",
    handler = const offset_of!(Entry, handler),
    ip = const offset_of!(Entry, ip),
    fp = const offset_of!(Entry, fp),
    memory = const offset_of!(Entry, memory),
    record = const offset_of!(Entry, record),
    return_ip = const offset_of!(Entry, return_ip),
    context = const offset_of!(Entry, context),
    store = const offset_of!(Entry, store),
    entry_sp = const VmStoreContext::ENTRY_SP,
    trap = const ExitStatus::Trap as u32,
    resume = const ExitStatus::Resume as u32,
    resume_ip = const VmStoreContext::RESUME_IP,
    resume_fp = const VmStoreContext::RESUME_FP,
    resume_context = const VmStoreContext::RESUME_CONTEXT,
    memories = const VmContext::MEMORIES,
    base = const VmMemory::BASE,
);

unsafe extern "C" {
    static crescendo_handlers_start: u8;
    static crescendo_landing: u8;
    fn crescendo_enter(entry: *const Entry) -> u64;
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    static crescendo_native_stub: u8;
    static crescendo_native_host_stub: u8;
    static crescendo_native_builtin: u8;
    static crescendo_native_interpret: u8;
    static crescendo_native_host_failed: u8;
    static crescendo_native_trap: u8;
    static crescendo_native_landing: u8;
}

/// What native code jumps to and calls, by address.
#[derive(Clone, Copy, Debug)]
pub struct NativeSupport {
    /// The native entry of functions that are not compiled: jumps to the thunk for the record's type.
    pub stub: *const u8,
    /// The native entry of host functions: jumps to the thunk for the record's type.
    pub host_stub: *const u8,
    /// Calls a builtin, `(context, args, a, b, function)` in the C convention; goes on only if it succeeds.
    pub builtin: *const u8,
    /// Runs an interpreted function whose arguments are in slots: `(record, context, fp, halt_cell)` in the C convention. It is 1
    /// when the run ends by a tail call, else 0; it goes on only if the run does not fail. The run's transition is the newest.
    pub interpret: *const u8,
    /// Ends the run since a host function has failed, `(host context)` in the C convention.
    pub host_failed: *const u8,
    /// Ends the run with a trap of the calling native code, `(context, code)` in the C convention.
    pub trap: *const u8,
    /// The cell that interpreted functions return to whose caller is native code.
    pub halt_cell: *const u8,
}

/// The entry cell of compiled functions of one signature.
///
/// It and what it leads to must live as long as an entry record or a running frame refers to it.
#[derive(Debug)]
pub struct NativeEntry {
    /// The handler for callers of another context, then the cell: handler, thunk, thunk for tail calls, native halt cell.
    words: Box<[u64; 5]>,
}

impl NativeEntry {
    /// A cell that enters native code through these thunks: `enter` is
    /// `(record, context, fp, return ip, caller's fp, caller's context) -> 0`, `tail` is `(record, context, fp) -> results`,
    /// both in the `tail` convention.
    pub fn new(enter: *const u8, tail: *const u8) -> NativeEntry {
        let handler = |op| Handler::single(Root::Guarded, op).map_or(0, Handler::address);
        let address = |pointer: *const u8| pointer.expose_provenance() as u64;
        NativeEntry {
            words: Box::new([
                handler(MicroOp::EnterNativeCross),
                handler(MicroOp::EnterNative),
                address(enter),
                address(tail),
                address(native_support().halt_cell),
            ]),
        }
    }

    /// The cell's address, for the `entry` of entry records.
    pub fn entry(&self) -> *const u8 {
        (&raw const self.words[1]).cast()
    }
}

/// The addresses for this machine; null, but for the cell, where native code is not supported.
pub fn native_support() -> NativeSupport {
    let halt_cell = (&raw const cells().native_halt).cast();
    #[cfg(target_arch = "x86_64")]
    return NativeSupport {
        stub: &raw const crescendo_native_stub,
        host_stub: &raw const crescendo_native_host_stub,
        builtin: &raw const crescendo_native_builtin,
        interpret: &raw const crescendo_native_interpret,
        host_failed: &raw const crescendo_native_host_failed,
        trap: &raw const crescendo_native_trap,
        halt_cell,
    };
    #[cfg(not(target_arch = "x86_64"))]
    NativeSupport {
        stub: std::ptr::null(),
        host_stub: std::ptr::null(),
        builtin: std::ptr::null(),
        interpret: std::ptr::null(),
        host_failed: std::ptr::null(),
        trap: std::ptr::null(),
        halt_cell,
    }
}

/// The native entry of functions that are not compiled.
pub fn native_stub() -> *const u8 {
    native_support().stub
}

/// The native entry of host functions.
pub fn native_host_stub() -> *const u8 {
    native_support().host_stub
}

/// Has the code that started the innermost crossing's handlers go on with handlers at `ip`, when the status
/// [`ExitStatus::Resume`] or [`ExitStatus::Unwind`] reaches it. Writes the store's fields for both.
///
/// # Safety
/// The store is alive and its guest stopped in a builtin. `frame` was found by [`crate::walk_run`]: it is the frame, interpreted,
/// that goes on. `ip` is a cell of its function.
pub unsafe fn resume_handlers(store: *mut VmStoreContext, frame: &crate::RawFrame, ip: *const u8) {
    // SAFETY: the store is alive, and only this thread uses it.
    let state = unsafe { &mut *store };
    let (sp, fp) = if frame.transition == state.base_transition {
        (state.entry_sp, state.entry_sp.wrapping_add(ENTRY_FRAME))
    } else {
        // SAFETY: the crossing's link is on the native stack.
        let started = unsafe { frame.transition.read() };
        (started.run_sp, started.run_fp)
    };
    state.resume_ip = ip;
    state.resume_fp = frame.fp;
    state.resume_context = frame.context;
    state.unwind_sp = sp;
    state.unwind_fp = fp;
    // SAFETY: handlers run below; the return address of the first stays right below the stack pointer while they do.
    state.unwind_pc = unsafe { sp.cast::<*const u8>().wrapping_sub(1).read() };
    state.unwind_value = ExitStatus::Resume as u64;
}

/// Start and length of the handlers' text.
pub(crate) fn text() -> (*const u8, usize) {
    (&raw const crescendo_handlers_start, crate::table::HANDLER_BYTES)
}

pub(crate) fn text_region(start: *const u8, len: usize, rows: &'static [TrapRow]) -> TextRegion {
    #[cfg(target_arch = "x86_64")]
    let native_landing = &raw const crescendo_native_landing;
    #[cfg(not(target_arch = "x86_64"))]
    let native_landing = std::ptr::null();
    TextRegion { start, len, rows, landing: &raw const crescendo_landing, native_landing }
}

/// Cells that belong to no function. An entry has two words: the handler for callers of another context, then the cell.
struct StaticCells {
    halt: [u64; 1],
    native_halt: [u64; 1],
    return_switch: [u64; 1],
    untranslated: [u64; 2],
    host: [u64; 2],
}

fn cells() -> &'static StaticCells {
    static CELLS: OnceLock<StaticCells> = OnceLock::new();
    CELLS.get_or_init(|| {
        // The build script makes each of these; see the test of `table.rs`.
        let handler = |op| Handler::single(Root::Guarded, op).map_or(0, Handler::address);
        StaticCells {
            halt: [handler(MicroOp::Halt)],
            native_halt: [handler(MicroOp::Halt)],
            return_switch: [handler(MicroOp::ReturnSwitch)],
            untranslated: [handler(MicroOp::UntranslatedCross), handler(MicroOp::Untranslated)],
            // Host functions are never entered from their own context.
            host: [handler(MicroOp::HostCall), handler(MicroOp::Unreachable)],
        }
    })
}

/// The entry of a function that is not translated yet: it calls `Builtin::Translate` and goes on at the record's new entry.
pub fn untranslated_entry() -> *const u8 {
    (&raw const cells().untranslated[1]).cast()
}

/// The entry of host functions: it calls `Builtin::HostCall`.
pub fn host_entry() -> *const u8 {
    (&raw const cells().host[1]).cast()
}

/// The cell that calls across contexts return to.
pub(crate) fn return_switch_cell() -> *const u8 {
    (&raw const cells().return_switch).cast()
}

/// Whether an address less one is that of a cell at which a run ends.
pub(crate) fn is_base(ip: *const u8) -> bool {
    let cell = ip.wrapping_add(1);
    cell == halt_cell() || cell == native_support().halt_cell
}

fn halt_cell() -> *const u8 {
    (&raw const cells().halt).cast()
}

/// Calls a wasm function. Its params are in the slots from `fp` on, and so are its results when it returns.
///
/// When it traps or fails, `failed` runs before the run's frames are given up: there, and only there, [`crate::walk()`] finds them.
///
/// # Safety
/// - `record` is the entry record of a wasm function (not of a host function) of the store, and everything that it refers to
///   is alive and laid out as `crescendo_abi` says.
/// - `fp` points into the store's value stack; slots up to the larger of params and results lie below its limit and above
///   every frame in use.
/// - The params have the function's types.
/// - Trap handlers are installed and [`crate::handler_text`] is registered, unless the function's instance is of
///   [`crate::Variant::Checked`].
/// - No other thread uses the store.
pub unsafe fn run(
    record: *const VmFuncRef,
    fp: *mut u64,
    store: *mut VmStoreContext,
    failed: impl FnOnce(ExitStatus),
) -> ExitStatus {
    // SAFETY: the record is alive.
    let VmFuncRef { entry: ip, context, .. } = unsafe { record.read() };
    let memories = context.wrapping_byte_add(VmContext::MEMORIES as usize).cast::<*mut VmMemory>();
    // SAFETY: an instance's context points to at least one memory.
    let memory = unsafe { memories.read() };
    // SAFETY: the store is alive and used by this thread only; the borrow ends before the handlers run.
    let state = unsafe { &mut *store };
    let (outer_entry_sp, outer_base) = (state.entry_sp, state.base_transition);
    let mut transition = VmTransition {
        prev: state.transitions,
        outer_exit_ip: state.exit_ip,
        outer_exit_fp: state.exit_fp,
        outer_exit_context: state.exit_context,
        outer_value_top: state.value_top,
        run_sp: std::ptr::without_provenance_mut(crescendo_code::stack_pointer()),
        run_fp: std::ptr::null_mut(),
    };
    let link = &raw mut transition;
    state.transitions = link;
    state.base_transition = link;
    state.trap_code = 0;
    let entry = Entry {
        // SAFETY: an entry points to a cell, which starts with its handler.
        handler: unsafe { ip.cast::<u64>().read_unaligned() },
        ip,
        fp,
        // SAFETY: memories are alive as long as their store.
        memory: unsafe { (*memory).base },
        record,
        return_ip: halt_cell(),
        context,
        store,
    };
    let outer_store = crescendo_code::set_running_store(store);
    // SAFETY: the caller's duties are those of the handlers.
    let status = unsafe { crescendo_enter(&raw const entry) };
    crescendo_code::set_running_store(outer_store);
    let status = match status {
        0 => ExitStatus::Return,
        1 => ExitStatus::Trap,
        _ => ExitStatus::HostError,
    };
    if status != ExitStatus::Return {
        failed(status);
    }
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
    status
}

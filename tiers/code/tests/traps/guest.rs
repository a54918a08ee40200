//! A guest made of a few instructions: its text region, its instance, and the way in.

use crescendo_abi::{TrapCode, VmContext, VmMemory, VmStoreContext};
use crescendo_code::{
    Reservation, TextRegion, TrapRow, ensure_thread_ready, install_trap_handlers, page_size, register_text,
};
use std::sync::LazyLock;
use std::{env, process, ptr, slice};

/// One instruction sequence of the test's text region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Loads from the address in rdx.
    Load,
    /// The same, as the second row and micro-operator 1, four bytes further.
    LoadLater,
    /// A load whose row is one byte off.
    LoadWithoutRow,
    /// A load through the record in rdx.
    LoadNull,
    /// `ud2` with some words on the stack.
    Unreachable,
    /// `ud2` with a stack pointer that points nowhere.
    UnreachableWithoutStack,
    /// A division by zero.
    DivideByZero,
    /// A division whose quotient does not fit.
    DivideOverflow,
    /// Nothing.
    Return,
}

impl Code {
    pub const ALL: [Code; 9] = [
        Code::Load,
        Code::LoadLater,
        Code::LoadWithoutRow,
        Code::LoadNull,
        Code::Unreachable,
        Code::UnreachableWithoutStack,
        Code::DivideByZero,
        Code::DivideOverflow,
        Code::Return,
    ];

    /// The bytes, and the row: offset of the instruction, code, micro-operator.
    fn parts(self) -> (&'static [u8], Option<(u32, TrapCode, u8)>) {
        let memory = TrapCode::MemoryOutOfBounds;
        match self {
            // mov rax, [rdx]; ret
            Code::Load => (&[0x48, 0x8b, 0x02, 0xc3], Some((0, memory, 0))),
            // nop dword ptr [rax]; nop; mov rax, [rdx]; ret
            Code::LoadLater => (&[0x0f, 0x1f, 0x00, 0x90, 0x48, 0x8b, 0x02, 0xc3], Some((4, memory, 1))),
            Code::LoadWithoutRow => (&[0x48, 0x8b, 0x02, 0xc3], Some((1, memory, 0))),
            // mov rax, [rdx + 16]; ret
            Code::LoadNull => {
                (&[0x48, 0x8b, 0x42, 0x10, 0xc3], Some((0, TrapCode::NullFunctionReference, 0)))
            }
            // push rax; push rax; push rax; ud2
            Code::Unreachable => {
                (&[0x50, 0x50, 0x50, 0x0f, 0x0b], Some((3, TrapCode::UnreachableCodeReached, 0)))
            }
            // mov rsp, 16; ud2
            Code::UnreachableWithoutStack => (
                &[0x48, 0xc7, 0xc4, 0x10, 0x00, 0x00, 0x00, 0x0f, 0x0b],
                Some((7, TrapCode::UnreachableCodeReached, 2)),
            ),
            // xor eax, eax; cdq; xor ecx, ecx; idiv ecx; ret
            Code::DivideByZero => (
                &[0x31, 0xc0, 0x99, 0x31, 0xc9, 0xf7, 0xf9, 0xc3],
                Some((5, TrapCode::IntegerDivisionByZero, 0)),
            ),
            // mov eax, 0x8000_0000; cdq; mov ecx, -1; idiv ecx; ret
            Code::DivideOverflow => (
                &[0xb8, 0, 0, 0, 0x80, 0x99, 0xb9, 0xff, 0xff, 0xff, 0xff, 0xf7, 0xf9, 0xc3],
                Some((11, TrapCode::IntegerOverflow, 3)),
            ),
            Code::Return => (&[0xc3], None),
        }
    }

    fn address(self) -> usize {
        TEXT.start.addr() + 16 * self as usize
    }

    /// Code and micro-operator of the row.
    pub fn row(self) -> (TrapCode, u32) {
        let (_, row) = self.parts();
        let (_, code, micro_op) = row.expect("code with a row");
        (code, micro_op.into())
    }
}

static TEXT: LazyLock<TextRegion> = LazyLock::new(|| {
    let len = page_size();
    // SAFETY: a fresh mapping overlaps nothing.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(start, libc::MAP_FAILED);
    let start = start.cast::<u8>();
    // SAFETY: the mapping is readable, writable, zeroed and lives for ever; nobody else knows it.
    let bytes = unsafe { slice::from_raw_parts_mut(start, len) };
    let mut rows = Vec::new();
    for (chunk, code) in bytes.chunks_exact_mut(16).zip(Code::ALL) {
        let (text, row) = code.parts();
        chunk[..text.len()].copy_from_slice(text);
        if let Some((offset, trap, micro_op)) = row {
            rows.push(TrapRow { offset: 16 * code as u32 + offset, code: trap as u8, micro_op });
        }
    }
    // SAFETY: the mapping is ours; no reference into it is used from here on.
    assert_eq!(unsafe { libc::mprotect(start.cast(), len, libc::PROT_READ | libc::PROT_EXEC) }, 0);
    TextRegion {
        start,
        len,
        rows: rows.leak(),
        landing: landing as *const () as *const u8,
        native_landing: std::ptr::null(),
    }
});

// `enter(code, context, ip, fp, rdx)` calls the code with the registers that the handlers' contract names, and answers 0.
// A trap lands at `landing`, which answers 1.
std::arch::global_asm!(
    ".global crescendo_test_enter",
    "crescendo_test_enter:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov r15, rsi",
    "mov rax, [r15]",
    "mov [rax + 40], rsp",
    "mov rax, rdi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "mov rdx, r8",
    "call rax",
    "xor eax, eax",
    "2:",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".global crescendo_test_landing",
    "crescendo_test_landing:",
    "mov eax, 1",
    "jmp 2b",
);

unsafe extern "C" {
    #[link_name = "crescendo_test_enter"]
    fn enter(code: usize, context: *mut Context, ip: *const u8, fp: *mut u64, rdx: usize) -> u32;
    #[link_name = "crescendo_test_landing"]
    fn landing();
}

#[repr(C)]
struct Context {
    header: VmContext,
    memories: [*mut VmMemory; 2],
}

/// An instance with two memories of one page each, guarded up to four and three pages.
pub struct Guest {
    context: Box<Context>,
    store: Box<VmStoreContext>,
    memories: [Box<VmMemory>; 2],
    _reservations: [Reservation; 2],
    frame: Box<[u64; 4]>,
}

/// A trap as the store shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Caught {
    pub code: Option<TrapCode>,
    pub micro_op: u32,
    pub ip: usize,
    pub fp: usize,
    pub context: usize,
}

pub const IP: usize = 0x1234_5678;

impl Guest {
    /// Makes one, with everything that traps need.
    pub fn new() -> Guest {
        install_trap_handlers().unwrap();
        // SAFETY: the rows are true of the code, which is entered with the registers that the contract asks for.
        unsafe { register_text(&TEXT) };
        let (first, first_memory) = memory(4);
        let (second, second_memory) = memory(3);
        let mut memories = [Box::new(first_memory), Box::new(second_memory)];
        let mut store = Box::new(VmStoreContext::new());
        let header = VmContext {
            store: &raw mut *store,
            builtins: ptr::null(),
            instance: ptr::null_mut(),
            memory_count: memories.len() as u64,
            memory_base: std::ptr::null_mut(),
        };
        let context =
            Box::new(Context { header, memories: memories.each_mut().map(|memory| &raw mut **memory) });
        Guest { context, store, memories, _reservations: [first, second], frame: Box::default() }
    }

    /// Start of memory `index`.
    pub fn base(&self, index: usize) -> usize {
        self.memories[index].base.addr()
    }

    /// One past the guard region of memory `index`.
    pub fn guard_end(&self, index: usize) -> usize {
        self.base(index) + self.memories[index].guarded_len as usize
    }

    /// Forgets the guard region of memory `index`.
    pub fn unguard(&mut self, index: usize) {
        self.memories[index].guarded_len = 0;
    }

    /// Runs `code` with `rdx`; the trap if it traps.
    pub fn run(&mut self, code: Code, rdx: usize) -> Option<Caught> {
        ensure_thread_ready().unwrap();
        self.run_unprepared(code, rdx)
    }

    /// The same, without making the thread fit.
    pub fn run_unprepared(&mut self, code: Code, rdx: usize) -> Option<Caught> {
        *self.store = VmStoreContext::new();
        let fp = self.frame.as_mut_ptr();
        let ip = ptr::without_provenance(IP);
        // Handlers find the context by its address.
        let context = &raw mut *self.context;
        context.expose_provenance();
        (&raw mut *self.store).expose_provenance();
        // SAFETY: `enter` keeps the C calling convention whether the code returns or traps; the context is alive.
        let trapped = unsafe { enter(code.address(), context, ip, fp, rdx) };
        (trapped == 1).then(|| Caught {
            code: self.store.trap(),
            micro_op: self.store.exit_micro_op,
            ip: self.store.exit_ip.addr(),
            fp: self.store.exit_fp.addr(),
            context: self.store.exit_context.addr(),
        })
    }

    /// What the store must show after `code` has trapped.
    pub fn expected(&self, code: Code) -> Option<Caught> {
        let (trap, micro_op) = code.row();
        Some(Caught {
            code: Some(trap),
            micro_op,
            ip: IP,
            fp: self.frame.as_ptr().addr(),
            context: (&raw const *self.context).addr(),
        })
    }
}

fn memory(pages: usize) -> (Reservation, VmMemory) {
    let page = page_size();
    let mut reservation = Reservation::reserve((pages + 1) * page).unwrap();
    reservation.commit(0..page).unwrap();
    let memory = VmMemory { base: reservation.base(), len: page as u64, guarded_len: (pages * page) as u64 };
    (reservation, memory)
}

/// Runs `body` in a process of its own, which runs only the test `name`, and then exits with 0.
pub fn in_child(name: &str, body: impl FnOnce()) -> process::Output {
    const KEY: &str = "CRESCENDO_CHILD";
    if env::var_os(KEY).is_some_and(|value| value == name) {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // The child may die of a signal, of which no core file is to be left.
        // SAFETY: `none` is an `rlimit`.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
        body();
        process::exit(0);
    }
    let mut command = process::Command::new(env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(KEY, name).output().unwrap()
}

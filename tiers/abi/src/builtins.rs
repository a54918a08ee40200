//! Upcalls from generated code into Rust: one closed list.
//!
//! The engine fills a [`VmBuiltins`] table once; every context points to it. All have one signature, so that one handler
//! serves them all: `(context, args, a, b) -> status`. `args` points to the slots that hold the operands, first operand
//! first; results are written to the same slots from the first on. `a` and `b` are immediates of the operator. The status is
//! an [`crate::ExitStatus`] number; a builtin never unwinds.

use crate::VmContext;

/// The signature of most builtins; see the module's page for the meaning of the parameters.
pub type BuiltinFn = unsafe extern "C" fn(context: *mut VmContext, args: *mut u64, a: u64, b: u64) -> u64;

macro_rules! builtins {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// The number of a builtin: its index in [`VmBuiltins`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Builtin { $($(#[$doc])* $name = $number,)* }

        impl Builtin {
            /// Every builtin, in the order of their numbers.
            pub const ALL: &[Builtin] = &[$(Builtin::$name),*];

            /// The builtin's name, as the disassembler prints it.
            pub const fn name(self) -> &'static str {
                match self { $(Builtin::$name => stringify!($name),)* }
            }
        }
    };
}

builtins! {
    /// Translates the function whose entry record is `a`. `args` is unused. On success the record's entry is the function's bytecode.
    Translate = 0;
    /// Calls the host function whose [`crate::VmHostContext`] is the context; `a` is the calling instance's context.
    HostCall = 1;
    /// `memory.grow`: `a` memory index. Operand: delta in pages; result: old size or -1. Both have the memory's index type.
    MemoryGrow = 2;
    /// `memory.copy`: `a` destination, `b` source memory index. Operands: destination, source, length.
    MemoryCopy = 3;
    /// `memory.fill`: `a` memory index. Operands: destination, value, length.
    MemoryFill = 4;
    /// `memory.init`: `a` memory index, `b` data segment. Operands: destination, source, length.
    MemoryInit = 5;
    /// `data.drop`: `a` data segment.
    DataDrop = 6;
    /// `table.grow`: `a` table index. Operands: init value, delta; result: old size or -1.
    TableGrow = 7;
    /// `table.fill`: `a` table index. Operands: start, value, length.
    TableFill = 8;
    /// `table.copy`: `a` destination, `b` source table index. Operands: destination, source, length.
    TableCopy = 9;
    /// `table.init`: `a` table index, `b` element segment. Operands: destination, source, length.
    TableInit = 10;
    /// `elem.drop`: `a` element segment.
    ElemDrop = 11;
    /// The epoch has reached the store's deadline. No operands. The guest goes on with a later deadline, or is interrupted.
    EpochReached = 12;
    /// The counter of the function whose entry record is `a` has run out. `args` is unused.
    FunctionHot = 13;
    /// The counter of loop `b` of the function whose index is `a` has run out. Writes the address of native code that takes the
    /// frame over to `args`, or null.
    LoopHot = 14;
    /// Relaxed `madd`, or `nmadd` if `b` is not zero, of lanes of `a` bytes, rounded once. Operands: three vectors; result: one.
    MultiplyAdd = 15;
    /// `memory.atomic.notify`: `a` memory index. Operands: address, count, offset; result: how many were woken.
    AtomicNotify = 16;
    /// `memory.atomic.wait32`: `a` memory index. Operands: address, expected, timeout, offset; result: 0 notified, 1 another
    /// value, 2 time is up.
    AtomicWait32 = 17;
    /// `memory.atomic.wait64`, as `AtomicWait32`.
    AtomicWait64 = 18;
    /// `throw`: `a` tag index. Operands: what the exception carries. Never succeeds: it answers [`crate::ExitStatus::Resume`],
    /// [`crate::ExitStatus::Unwind`] or a failure.
    Throw = 19;
    /// `throw_ref` and `rethrow`. Operand: a reference to an exception. Answers as `Throw`.
    ThrowRef = 20;
    /// The host function whose [`crate::VmHostContext`] is the context has failed. No operands. Answers as `Throw`.
    HostFailed = 21;
}

/// The table of builtins, indexed by [`Builtin`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VmBuiltins {
    /// One function per [`Builtin`], in the order of their numbers.
    pub functions: [BuiltinFn; Builtin::ALL.len()],
}

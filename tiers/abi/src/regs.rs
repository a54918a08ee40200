//! Which value a handler finds in which register: written here and nowhere else.
//!
//! Handlers have Cranelift's `tail` calling convention; its integer arguments are, in order, rdi rsi rdx rcx r8 r9 on x86-64
//! and x2 to x7 on aarch64, its float arguments xmm0.. and v0... The context is in the pinned register (r15, x21).
//!
//! | argument | while a function runs | at a function's entry | after a return |
//! |---|---|---|---|
//! | int 0 | ip: the running cell | ip: the entry cell | ip |
//! | int 1 | fp: the running frame | fp of the new frame | fp |
//! | int 2 | base of memory 0 | base of memory 0; entered across contexts: the caller's context | base of memory 0 |
//! | int 3 | hot local 1 | the callee's entry record | - |
//! | int 4 | accumulator | return ip | first result |
//! | int 5 | hot local 0 | caller's fp | address of the returning frame's record |
//! | pinned | context | callee's context | context |
//! | float 0 | accumulator | - | first result |
//! | float 1, 2 | hot float locals 0, 1 | - | - |
//!
//! Hot locals are in their slots at every call and reloaded after it. An `i32` in an integer register is zero-extended to 64
//! bits. Variable shifts need rcx and divisions rdx on x86-64, which is why the accumulator and the hotter local lie elsewhere.

/// Index of the integer argument that holds ip.
pub const IP: usize = 0;
/// Index of the integer argument that holds fp.
pub const FP: usize = 1;
/// Index of the integer argument that holds the base of memory 0.
pub const MEMORY_BASE: usize = 2;
/// Number of integer arguments of a handler.
pub const INT_ARGS: usize = 6;
/// Number of float arguments of a handler.
pub const FLOAT_ARGS: usize = 3;

/// Integer arguments that hold values: accumulator, hot local 0, hot local 1.
pub const INT_VALUES: [usize; 3] = [4, 5, 3];
/// Float arguments that hold values: accumulator, hot local 0, hot local 1.
pub const FLOAT_VALUES: [usize; 3] = [0, 1, 2];

/// At a function's entry: the integer argument with the callee's entry record.
pub const ENTRY_RECORD: usize = 3;
/// At a function's entry: the integer argument with the return ip.
pub const ENTRY_RETURN_IP: usize = 4;
/// At a function's entry: the integer argument with the caller's fp.
pub const ENTRY_CALLER_FP: usize = 5;
/// At a function's entry across contexts: the integer argument with the caller's context.
pub const ENTRY_CALLER_CONTEXT: usize = 2;
/// After a return: the integer argument with the address of the returning frame's record.
pub const RETURN_RECORD: usize = 5;

/// An entry cell has a second handler, for callers of another context, this many bytes before it.
pub const CROSS_ENTRY_BACK: i32 = 8;

/// Encodings of the integer arguments on x86-64: rdi rsi rdx rcx r8 r9.
pub const X64_INT_ARGS: [u8; INT_ARGS] = [7, 6, 2, 1, 8, 9];
/// Encoding of the pinned register on x86-64: r15.
pub const X64_PINNED: u8 = 15;
/// Encodings of the integer arguments on aarch64: x2 to x7.
pub const A64_INT_ARGS: [u8; INT_ARGS] = [2, 3, 4, 5, 6, 7];
/// Encoding of the pinned register on aarch64: x21.
pub const A64_PINNED: u8 = 21;

//! Everything that Rust code and generated code both see.
//!
//! Owns the `repr(C)` layouts (`Vm*`), the numbers of builtins and traps, the frame layout of interpreted functions and the
//! register assignment of the handlers. Nothing here runs: the crate depends on nothing and every other crate of the engine
//! depends on it. Its invariant: a layout is written once, here, and the tests of this crate pin every offset.
//!
//! | type | what |
//! |---|---|
//! | [`VmContext`], [`VmOffsets`] | one instance as generated code sees it, and where its variable parts lie |
//! | [`VmStoreContext`] | one store: limits, fuel, where the guest stopped |
//! | [`VmFuncRef`] | the entry record of a function; a non-null `funcref` is a pointer to one |
//! | [`VmMemory`], [`VmTable`], [`VmGlobal`] | linear memories, tables, globals |
//! | [`VmTransition`] | one crossing from the host into wasm, linked into a chain |
//! | [`Builtin`] | upcalls from generated code into Rust |
//! | [`TrapCode`] | why a guest stopped |
//! | [`frame`] | the layout of an interpreted function's frame |
//! | [`regs`] | which value a handler finds in which register |
#![forbid(unsafe_code)]

mod builtins;
mod context;
pub mod frame;
mod offsets;
pub mod regs;
mod trap;

pub use builtins::{Builtin, BuiltinFn, VmBuiltins};
pub use context::{
    CaptureFn, ExitStatus, HostFn, HostOutcome, Variant, VmContext, VmFuncRef, VmGlobal, VmHostContext,
    VmMemory, VmStoreContext, VmTable, VmTransition,
};
pub use offsets::{ContextCounts, VmOffsets};
pub use trap::TrapCode;

#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("Crescendo runs on 64-bit little-endian targets only");

/// Bytes in a default wasm page, 64 KiB.
pub const WASM_PAGE_SIZE: u64 = 1 << 16;

/// Bytes that one value slot takes; a `v128` takes two.
pub const SLOT_SIZE: usize = 8;

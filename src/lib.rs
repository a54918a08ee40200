//! Crescendo: a WebAssembly engine that starts every function at once.
//!
//! # Flow
//!
//! An [`Engine`] carries the [`Config`] and everything that stores share. [`Module::new`] turns bytes into a validated
//! module, a [`Store`] owns the state of running guests, a [`Linker`] gives a module's imports names, [`Instance`]s are
//! made from modules, and [`Func`]s are called.
//!
//! ```
//! use crescendo::{Engine, Linker, Module, Result, Store};
//!
//! fn main() -> Result<()> {
//!     let engine = Engine::default();
//!     // (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
//!     let bytes = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\0\
//!                   \x07\x07\x01\x03add\0\0\x0a\x09\x01\x07\0\x20\0\x20\x01\x6a\x0b";
//!     let module = Module::new(&engine, bytes)?;
//!     let mut store = Store::new(&engine, ());
//!     let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
//!     let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
//!     assert_eq!(add.call(&mut store, (40, 2))?, 42);
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | choose proposals, limits, stack sizes | [`Config`], [`ModuleLimits`] |
//! | load, validate and inspect modules | [`Module`] |
//! | keep data for host functions, meter and limit guests | [`Store`], [`ResourceLimiter`] |
//! | give a guest its imports | [`Linker`], [`Func::wrap`], [`Caller`] |
//! | call a guest | [`TypedFunc`], [`Func::call`] |
//! | reach into a guest | [`Memory`], [`Table`], [`Global`] |
//! | throw and look into exceptions | [`Tag`], [`ExnRef`], [`ThrownException`], [`Store::throw`] |
//! | let guests of several threads share a memory | [`SharedMemory`] |
//! | find out why a call failed | [`Error`], [`Trap`], [`WasmBacktrace`] |
//!
//! # Handles
//!
//! [`Func`], [`Memory`], [`Table`], [`Global`] and [`Instance`] are `Copy` names of objects that a store owns until it is
//! dropped. A handle works with its own store only. With another store, functions that return a [`Result`] return an
//! error and all others panic; their pages say so. A [`SharedMemory`] belongs to no store.

mod backtrace;
mod builtins;
mod caller;
mod config;
mod engine;
mod error;
mod exn_ref;
mod extern_ref;
mod externs;
mod func;
mod global;
mod host_func;
mod instance;
mod limits;
mod linker;
mod memory;
mod module;
mod module_bytes;
mod runtime;
mod shared_memory;
mod store;
mod table;
mod tag;
mod tiering;
mod trap;
mod typed;
mod values;

pub use caller::Caller;
pub use config::Config;
pub use crescendo_abi::TrapCode;
#[cfg(feature = "count-regions")]
#[doc(hidden)]
pub use crescendo_interp::region_counts;
pub use crescendo_module::{
    ExternType, FuncType, GlobalType, HeapType, MemoryType, MemoryTypeBuilder, MemoryTypeError, ModuleError,
    ModuleErrorKind, ModuleLimits, Name, Proposal, RefType, TableType, TagType, ValType, Validation,
};
pub use engine::Engine;
pub use error::{Error, ErrorKind, IncompatibleImport, Result, UnknownImport};
pub use exn_ref::{ExnRef, ThrownException};
pub use extern_ref::ExternRef;
pub use externs::{Export, ExportType, Extern, ImportType};
pub use func::Func;
pub use global::Global;
pub use instance::Instance;
pub use limits::{
    DEFAULT_INSTANCE_LIMIT, DEFAULT_MEMORY_LIMIT, DEFAULT_TABLE_LIMIT, ResourceLimiter, StoreLimits,
    StoreLimitsBuilder,
};
pub use linker::{InstancePre, Linker};
pub use memory::Memory;
pub use module::{CustomSection, Module, ModuleFunction};
pub use runtime::WaitResult;
pub use shared_memory::SharedMemory;
pub use store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut, UpdateDeadline};
pub use table::Table;
pub use tag::Tag;
pub use tiering::{Baseline, FunctionReport, LoopReport, Tiering, TieringMode, TieringReport};
#[cfg(feature = "cranelift")]
pub use tiering::{CompiledForm, ProfilingStrategy};
pub use trap::{FrameInfo, Trap, WasmBacktrace};
pub use typed::{IntoFunc, TypedFunc, WasmParams, WasmResults, WasmRet, WasmTy};
pub use values::{Ref, V128, Val};

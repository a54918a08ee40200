//! WASI preview 1 for Crescendo: the functions of `wasi_snapshot_preview1` as host functions of a [`Linker`].
//!
//! The work itself (descriptors, sandboxed directories, clocks, errno values) is wasi-common's; this crate only connects its
//! generated entry points to the engine. A crate of its own, so that embedders without WASI do not build wasi-common.
//!
//! * [`add_to_linker`] defines the functions; [`WasiCtxBuilder`] builds the [`WasiCtx`] that they work on and that the
//!   embedder keeps in the store's data.
//! * [`I32Exit`] is the error that `proc_exit` ends the guest with; [`WasiError`] is the one for a call that broke WASI's
//!   rules (a pointer outside the memory, no memory at all).
//! * `functions` lists each function with its signature once; `outcome` turns results of wasi-common into errno values,
//!   exits and errors.
//!
//! Invariant: whatever arguments a guest passes, a call ends with an errno, an exit or an `Err`, never with a panic.
//!
//! # Examples
//!
//! ```
//! use crescendo::{Engine, Linker, Module, Store};
//! use crescendo_wasi::{I32Exit, WasiCtxBuilder};
//!
//! # fn main() -> crescendo::Result<()> {
//! // (module
//! //   (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
//! //   (memory (export "memory") 1)
//! //   (func (export "_start") i32.const 7 call 0))
//! # let wasm = b"\0asm\x01\0\0\0\x01\x08\x02\x60\x01\x7f\0\x60\0\0\x02\x24\x01\x16wasi_snapshot_preview1\x09proc_exit\0\0\
//! #     \x03\x02\x01\x01\x05\x03\x01\0\x01\x07\x13\x02\x06memory\x02\0\x06_start\0\x01\x0a\x08\x01\x06\0\x41\x07\x10\0\x0b";
//! let engine = Engine::default();
//! let module = Module::new(&engine, wasm)?;
//! let mut linker = Linker::new(&engine);
//! crescendo_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
//!
//! let mut store = Store::new(&engine, WasiCtxBuilder::new().inherit_stdio().build());
//! let instance = linker.instantiate(&mut store, &module)?;
//! let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
//! let error = start.call(&mut store, ()).unwrap_err();
//! assert_eq!(error.downcast_ref::<I32Exit>(), Some(&I32Exit(7)));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod functions;
mod outcome;

pub use functions::{add_imports_to_linker, add_to_linker};
pub use outcome::{I32Exit, WasiError};
pub use wasi_common::sync::{Dir, WasiCtxBuilder, ambient_authority};
pub use wasi_common::{WasiCtx, WasiDir, WasiFile, pipe};

/// The module name of WASI preview 1.
pub const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// The module name of the snapshot before preview 1, which early toolchains import.
pub const PREVIEW_0: &str = "wasi_unstable";

#[cfg(doc)]
use crescendo::Linker;

//! What runs behind the API: records that generated code uses, the way into wasm, the way out.
//!
//! | place | what |
//! |---|---|
//! | [`enter`] | from the host into wasm, and what a run that failed becomes |
//! | [`HostFunction`] | from wasm into the host |
//! | [`throw`] | from where an exception is thrown to where it is caught |
//! | [`MemoryRecord`], [`TableRecord`] | linear memories and tables with their storage |
//! | [`SharedRecord`] | what the records of a shared memory in all its stores refer to |
//! | [`Pool`] | the stacks and memories of dropped stores, for new ones |
//! | [`MemoryImage`] | what a module's data segments leave in a memory |
//! | [`CodeTable`] | a module's bytecode |
//! | [`Stop`] | why an operation cannot go on |
//!
//! The builtins (`crate::builtins`) are the third way: from wasm into the engine.

mod code_table;
pub(crate) mod enter;
mod host_function;
mod image;
mod memory;
mod parking;
mod pool;
mod racy;
mod shared_memory;
mod stop;
mod table;
pub(crate) mod throw;
mod zeroed;

pub(crate) use code_table::CodeTable;
pub(crate) use host_function::{Callback, HostFunction, slot_count};
pub(crate) use image::MemoryImage;
pub(crate) use memory::{MemoryRecord, has_guard};
pub(crate) use parking::Tick;
pub use parking::WaitResult;
pub(crate) use pool::Pool;
pub(crate) use shared_memory::{SharedRecord, atomic_range};
pub(crate) use stop::{Stop, range};
pub(crate) use table::TableRecord;
pub(crate) use zeroed::ZeroedBuffer;

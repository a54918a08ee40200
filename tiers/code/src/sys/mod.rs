//! Every call to the operating system, and everything that depends on the processor.
//!
//! | module | owns |
//! |---|---|
//! | `pages` | mappings of address space |
//! | `image_file` | files of which pages are copies until they are written to |
//! | `clock` | the moment and the thread, for profilers |
//! | `priority` | how threads compete for processors |
//! | `code_pages` | executable memory |
//! | `near` | addresses close to the engine's own code |
//! | `signals` | the process's trap handlers and those they hide |
//! | `machine` | the registers in a signal's machine context; the stack pointer |
//! | `alternate_stack` | what a thread needs before it may trap |
//! | `native_stack` | the bounds of a thread's native stack |
//!
//! Linux only so far. Elsewhere `pages` (`MADV_DONTNEED` need not zero), `machine`, `native_stack` and the numbers in `signals`
//! differ.

#[cfg(not(target_os = "linux"))]
compile_error!("Crescendo runs on Linux only so far");

mod alternate_stack;
mod clock;
mod code_pages;
mod image_file;
#[cfg_attr(target_arch = "x86_64", path = "machine_x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "machine_aarch64.rs")]
mod machine;
mod native_stack;
mod near;
mod pages;
mod priority;
mod signals;

pub use alternate_stack::ensure_thread_ready;
pub use clock::{monotonic_nanoseconds, thread_id, thread_nanoseconds};
pub use code_pages::synchronize_threads;
pub(crate) use code_pages::{CodePages, synchronize_cores};
pub use image_file::ImageFile;
pub use machine::{missing_cpu_feature, stack_pointer};
pub use native_stack::{StackBounds, native_stack_bounds, scan_native_stack};
pub use pages::page_size;
pub(crate) use pages::{Access, Mapping};
pub use priority::{
    Processors, ThreadNumber, lower_priority_of, lower_thread_priority, never_preempt, raise_thread_priority,
};
pub use signals::install_trap_handlers;

//! Machine code that traps, the memory it touches, and every call to the operating system.
//!
//! The crate owns the registry of text regions (which pc may trap, and why), the signal handlers that turn a fault at such a
//! pc into a trap, address space reservations for linear memories and value stacks, and what a thread needs before it may
//! run wasm. The private module `sys` is the only place of the engine's core that talks to the operating system. Callers are
//! the interpreter, which registers its handlers, and the crate `crescendo`, which owns memories and stores. Its invariant:
//! a fault that is not a guest's trap reaches the handler that was installed before, as if this crate did not exist.
//!
//! | name | what |
//! |---|---|
//! | [`TextRegion`], [`TrapRow`], [`register_text`] | code in which a fault is a trap |
//! | [`install_trap_handlers`] | the process's signal handlers, once |
//! | [`ensure_thread_ready`], [`ready_thread`] | the calling thread's alternate signal stack |
//! | [`NativeCode`], [`native_code_at`], [`native_landing_at`] | executable memory, and what an address in it belongs to |
//! | [`set_running_store`], [`running_store`] | whose guest runs on a thread, for traps of native code |
//! | [`GuardRange`] | addresses at which a fault of native code is a trap |
//! | [`Reservation`] | a range of address space, committed page by page |
//! | [`ImageFile`] | what pages of a reservation can have in them from the start |
//! | [`ValueStack`] | the stack of interpreted frames |
//! | [`native_stack_bounds`], [`scan_native_stack`], [`stack_pointer`] | where the calling thread's native stack ends, the words on it, where the caller is |
//! | [`missing_cpu_feature`] | whether this machine can run the handlers |
//! | [`synchronize_threads`] | a barrier on all threads, for whoever frees what others may use |
//! | [`monotonic_nanoseconds`], [`thread_id`] | for profilers |
//! | [`thread_nanoseconds`] | what work has cost |
//! | [`page_size`] | the granularity of all of this |

mod guards;
mod native;
mod reservation;
mod sys;
mod text;
mod thread;
mod trap;
mod value_stack;

pub use guards::GuardRange;
pub use native::{
    LandingPlace, NativeCall, NativeClause, NativeCode, NativeInfo, NativeInlined, NativeInlinedCall,
    NativeLanding, NativeLocation, NativePlace, NativeTrap, NativeTry, ensure_native_memory, native_code_at,
    native_landing_at,
};
pub use reservation::Reservation;
pub use sys::{
    ImageFile, Processors, StackBounds, ThreadNumber, ensure_thread_ready, install_trap_handlers,
    lower_priority_of, lower_thread_priority, missing_cpu_feature, monotonic_nanoseconds,
    native_stack_bounds, never_preempt, page_size, raise_thread_priority, scan_native_stack, stack_pointer,
    synchronize_threads, thread_id, thread_nanoseconds,
};
pub use text::{TextRegion, TrapRow, register_text};
pub use thread::{ready_thread, running_store, set_running_store};
pub use value_stack::ValueStack;

//! What the engine knows of the calling thread: one thread-local, since compilers find the address of each by a call.

use crescendo_abi::VmStoreContext;
use std::cell::Cell;
use std::ptr;

struct Thread {
    /// 0 until the thread is ready, then a number that no other thread has had.
    ready: Cell<u64>,
    /// The store whose guest runs on this thread; signal handlers read it.
    running: Cell<*mut VmStoreContext>,
}

thread_local! {
    static THREAD: Thread = const { Thread { ready: Cell::new(0), running: Cell::new(ptr::null_mut()) } };
}

/// The number of the calling thread if it is ready: no other thread of the process has it, ever. 0 before
/// [`crate::ensure_thread_ready`].
#[inline]
pub fn ready_thread() -> u64 {
    THREAD.with(|thread| thread.ready.get())
}

/// Gives the calling thread its number.
pub(crate) fn set_ready_thread(number: u64) {
    THREAD.with(|thread| thread.ready.set(number));
}

/// Names the store whose guest runs on the calling thread from now on; gives the one before.
#[inline]
pub fn set_running_store(store: *mut VmStoreContext) -> *mut VmStoreContext {
    THREAD.with(|thread| thread.running.replace(store))
}

/// The store whose guest runs on the calling thread; null for none.
#[inline]
pub fn running_store() -> *mut VmStoreContext {
    THREAD.with(|thread| thread.running.get())
}

//! The alternate signal stack of each thread that runs wasm.
//!
//! Rust gives its own threads one of 8 KiB, or of the kernel's least size where that is more; threads that C made have none.
//! On a machine with AVX-512 the kernel asks for 3,376 bytes at least, and a trap uses 3,200 in an optimized build, kernel's
//! frame included (3,616 with AddressSanitizer): Rust's stacks suffice and are kept. In an unoptimized build it is 5,120, and
//! 8,584 with AddressSanitizer, which overflows them: there ours replaces Rust's. So it does where the kernel asks for more
//! than Rust's 8 KiB (AMX), and nothing is left for the handler. Ours is mapped at a thread's first entry and freed at its
//! exit, which takes 6 µs; that is why optimized builds do without where they can.

use super::pages::{Access, Mapping, page_size, succeed};
use super::signals::TRAP_SIGNALS;
use crate::thread::{ready_thread, set_ready_thread};
use std::cell::OnceCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, mem, ptr};

/// Bytes that the handlers need beside the kernel's frame, also when they are instrumented; a test measures that they take
/// less.
const HANDLER_BYTES: usize = if cfg!(debug_assertions) { 12 << 10 } else { 4 << 10 };

/// Bytes of a stack of ours, beside the kernel's frame: room for a program's own handlers that ours pass signals on to.
const OWN_BYTES: usize = 64 << 10;

thread_local! {
    static OWN: OnceCell<AlternateStack> = const { OnceCell::new() };
}

/// Makes the calling thread fit for running wasm: traps find an alternate signal stack and are not blocked.
///
/// To be called at each entry into wasm; after a thread's first call it costs one test. The stack is freed when the thread
/// ends. A thread that has a stack of sufficient size keeps it.
///
/// # Errors
///
/// The operating system's error when it refuses a stack.
///
/// # Examples
///
/// ```
/// crescendo_code::install_trap_handlers()?;
/// crescendo_code::ensure_thread_ready()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn ensure_thread_ready() -> io::Result<()> {
    if ready_thread() != 0 { Ok(()) } else { prepare() }
}

#[cold]
fn prepare() -> io::Result<()> {
    unblock()?;
    let needed = kernel_frame_bytes() + HANDLER_BYTES;
    let current = current()?;
    if current.ss_flags & libc::SS_DISABLE != 0 || current.ss_size < needed {
        let stack = AlternateStack::install()?;
        // While thread-locals are being destroyed there is no place for it, and the stack is dropped, which uninstalls it.
        // Traps then run on the native stack, which serves everything but its own overflow.
        let _ = OWN.try_with(|own| own.set(stack));
    }
    static THREADS: AtomicU64 = AtomicU64::new(0);
    set_ready_thread(THREADS.fetch_add(1, Ordering::Relaxed) + 1);
    Ok(())
}

/// Lets the signals that traps arrive as through: the kernel kills a thread that faults while they are blocked, and programs
/// that block all signals in their threads seldom mean these.
fn unblock() -> io::Result<()> {
    // SAFETY: zeros are a valid `sigset_t`; it is made empty right away.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is a `sigset_t`.
    succeed(unsafe { libc::sigemptyset(&mut set) })?;
    for signal in TRAP_SIGNALS {
        // SAFETY: `set` is an initialized `sigset_t`.
        succeed(unsafe { libc::sigaddset(&mut set, signal) })?;
    }
    // SAFETY: `set` is an initialized `sigset_t`; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut()) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The calling thread's alternate stack.
fn current() -> io::Result<libc::stack_t> {
    let mut stack = DISABLED;
    // SAFETY: the first pointer is null, which asks only; the second points to a `stack_t`.
    succeed(unsafe { libc::sigaltstack(ptr::null(), &mut stack) })?;
    Ok(stack)
}

const DISABLED: libc::stack_t =
    libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };

/// Bytes that the kernel writes to the stack for a signal; they depend on the processor's vector registers.
fn kernel_frame_bytes() -> usize {
    // SAFETY: `getauxval` has no preconditions; it answers 0 for what the kernel does not tell.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    (told as usize).max(libc::MINSIGSTKSZ)
}

/// An alternate stack of ours: a mapping with a guard page below.
struct AlternateStack {
    /// The lowest byte above the guard page.
    start: *mut libc::c_void,
    mapping: Option<Mapping>,
}

impl AlternateStack {
    fn install() -> io::Result<AlternateStack> {
        let guard = page_size();
        let len = (OWN_BYTES + kernel_frame_bytes()).next_multiple_of(guard);
        let mapping = Mapping::reserve(guard + len)?;
        mapping.protect(guard..guard + len, Access::ReadWrite)?;
        let start = mapping.base().wrapping_add(guard).cast();
        let new = libc::stack_t { ss_sp: start, ss_flags: 0, ss_size: len };
        // SAFETY: the range is readable and writable and stays so until `drop`, which uninstalls it first.
        succeed(unsafe { libc::sigaltstack(&new, ptr::null_mut()) })?;
        Ok(AlternateStack { start, mapping: Some(mapping) })
    }

    /// Takes the stack away from the thread, if it is still this one.
    fn uninstall(&self) -> io::Result<()> {
        if current()?.ss_sp != self.start {
            return Ok(());
        }
        // The stack from before is not put back: Rust has freed its own by the time that thread-locals are destroyed.
        // SAFETY: `DISABLED` is a `stack_t` that asks for no stack.
        succeed(unsafe { libc::sigaltstack(&DISABLED, ptr::null_mut()) })
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        if self.uninstall().is_err() {
            // The thread ends inside a signal handler and stands on this stack.
            mem::forget(self.mapping.take());
        }
    }
}

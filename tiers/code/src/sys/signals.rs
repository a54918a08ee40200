//! The process's handlers for the signals that traps arrive as, and the handlers that they hide.
//!
//! The handler either changes the interrupted thread's registers and returns, which makes it a trap, or does what the
//! handler before it would have done. It never jumps out: the return restores the signal mask, so the signal need not stay
//! deliverable inside (no `SA_NODEFER` of our own), and a fault in the handler itself kills the process instead of running
//! round in circles. It runs on the alternate stack (`SA_ONSTACK`), without which a native stack overflow could not even
//! be reported.

use super::machine;
use super::pages::succeed;
use crate::trap::{self, Fault};
use libc::{c_int, c_void, siginfo_t, ucontext_t};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::{io, mem, ptr};

/// Signals that traps arrive as.
pub(super) const TRAP_SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

// `si_code` of faults that can be traps; the `libc` crate does not have them for Linux.
const SEGV_MAPERR: c_int = 1;
const SEGV_ACCERR: c_int = 2;
const BUS_ADRERR: c_int = 2;
const FPE_INTDIV: c_int = 1;

/// What a signal did before ours: the two words of a `sigaction` that chaining needs. The third, the mask, becomes ours.
/// Atomics, because a handler may read while `install` corrects them.
struct Previous {
    handler: AtomicUsize,
    flags: AtomicI32,
}

static PREVIOUS: [Previous; TRAP_SIGNALS.len()] =
    [const { Previous { handler: AtomicUsize::new(libc::SIG_DFL), flags: AtomicI32::new(0) } };
        TRAP_SIGNALS.len()];

impl Previous {
    fn of(signal: c_int) -> Option<&'static Previous> {
        TRAP_SIGNALS.iter().position(|other| *other == signal).and_then(|index| PREVIOUS.get(index))
    }

    fn remember(&self, action: &libc::sigaction) {
        self.flags.store(action.sa_flags, Ordering::Relaxed);
        self.handler.store(action.sa_sigaction, Ordering::Release);
    }
}

/// Installs the handlers that make traps of faults in registered text, once per process; later calls do nothing.
///
/// Faults that are not traps, and signals that somebody sent, go to the handlers that were installed before. A program that
/// installs its own handlers later must call these for what it does not know.
///
/// # Errors
///
/// The operating system's error, the same at every call.
pub fn install_trap_handlers() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), Option<i32>>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let all = TRAP_SIGNALS
            .into_iter()
            .zip(&PREVIOUS)
            .try_for_each(|(signal, previous)| install(signal, previous));
        all.map_err(|error| error.raw_os_error())
    });
    installed.map_err(|code| code.map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error))
}

fn install(signal: c_int, previous: &Previous) -> io::Result<()> {
    // SAFETY: zeros are a valid `sigaction`: the default action.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: both pointers are null or point to a `sigaction`.
    succeed(unsafe { libc::sigaction(signal, ptr::null(), &mut old) })?;
    // Known before the first signal can arrive.
    previous.remember(&old);
    let mut new = old;
    new.sa_sigaction = on_signal as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
    // What concerns the handler before us stays as it wanted it: its mask, whether it may interrupt itself, and whether
    // interrupted system calls start again.
    new.sa_flags =
        libc::SA_SIGINFO | libc::SA_ONSTACK | (old.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART));
    // SAFETY: both pointers point to a `sigaction`; `on_signal` is async-signal-safe and has the signature that `SA_SIGINFO` asks for.
    succeed(unsafe { libc::sigaction(signal, &new, &mut old) })?;
    // Another thread may have installed one in between.
    previous.remember(&old);
    Ok(())
}

/// The handler of all trap signals.
extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, machine: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t`.
    let fault = unsafe { info.as_ref() }.and_then(|info| fault(signal, info));
    if let Some(fault) = fault
        // SAFETY: with `SA_SIGINFO`, the third argument points to the interrupted thread's machine context, ours until we return.
        && let Some(machine) = unsafe { machine.cast::<ucontext_t>().as_mut() }
    {
        let registers = machine::registers(machine);
        // SAFETY: these are the faulting thread's registers.
        if let Some(landing) = unsafe { trap::catch(fault, &registers) } {
            return machine::land(machine, landing);
        }
    }
    // SAFETY: the arguments are the kernel's.
    unsafe { pass_on(signal, info, machine) }
}

/// What the processor reported, if the signal comes from it and can be a trap.
fn fault(signal: c_int, info: &siginfo_t) -> Option<Fault> {
    match (signal, info.si_code) {
        (libc::SIGSEGV, SEGV_MAPERR | SEGV_ACCERR) | (libc::SIGBUS, BUS_ADRERR) => {
            // SAFETY: these codes come with an address.
            let address = unsafe { info.si_addr() };
            Some(Fault::Access { address: address.addr() })
        }
        (libc::SIGILL, code) if code > 0 => Some(Fault::Illegal),
        (libc::SIGFPE, FPE_INTDIV) => Some(Fault::Divide),
        _ => None,
    }
}

/// Does what the handler before ours would have done.
///
/// # Safety
///
/// The arguments must be those of a signal handler with `SA_SIGINFO`.
unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, machine: *mut c_void) {
    let Some(previous) = Previous::of(signal) else { return };
    let flags = previous.flags.load(Ordering::Relaxed);
    // SAFETY: the kernel passes a valid `siginfo_t`. Codes of 0 and below are signals that a process sent.
    let sent = unsafe { info.as_ref() }.is_none_or(|info| info.si_code <= 0);
    let handler = if flags & libc::SA_RESETHAND != 0 {
        previous.handler.swap(libc::SIG_DFL, Ordering::AcqRel)
    } else {
        previous.handler.load(Ordering::Acquire)
    };
    match handler {
        libc::SIG_IGN if sent => {}
        // The kernel kills a thread that ignores its own fault; so the default action, as for `SIG_DFL`.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: zeros are a valid `sigaction`: the default action.
            let default: libc::sigaction = unsafe { mem::zeroed() };
            // SAFETY: `default` is a `sigaction`; the old action is not asked for. Async-signal-safe by POSIX.
            unsafe { libc::sigaction(signal, &default, ptr::null_mut()) };
            if sent {
                // A fault happens again when we return; a signal that was sent does not.
                // SAFETY: async-signal-safe by POSIX.
                unsafe { libc::raise(signal) };
            }
        }
        handler if flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with `SA_SIGINFO` whoever installed the handler gave a function of this type.
            let handler = unsafe {
                mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(handler)
            };
            // SAFETY: these are the arguments that the kernel would have passed.
            unsafe { handler(signal, info, machine) }
        }
        handler => {
            // SAFETY: without `SA_SIGINFO` whoever installed the handler gave a function of this type.
            let handler = unsafe { mem::transmute::<usize, unsafe extern "C" fn(c_int)>(handler) };
            // SAFETY: this is the argument that the kernel would have passed.
            unsafe { handler(signal) }
        }
    }
}
